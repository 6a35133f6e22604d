package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/job/watch"
)

// errVersion is a request for the version.
var errVersion = errors.New("version")

// config is what jobd is told: paths and addresses by flags, the rest by the file.
type config struct {
	RunDir, StateDir string
	MetricsListen    string
	Engine           string
	Cgroup           kernel.CgroupMode
	File             string
	Check            bool

	settings
}

// settings are the keys of the configuration file.
type settings struct {
	HID        uint32        `toml:"hid"`        // upper half of every JID; 0: random at the first start, then kept
	Host       string        `toml:"host"`       // name in records; empty: the host's own
	Visibility string        `toml:"visibility"` // own or all: what ordinary users see
	AdminGID   *uint32       `toml:"admin_gid"`  // members see and do what root may
	KillGrace  time.Duration `toml:"kill_grace"` // between TERM and KILL
	Debug      bool          `toml:"debug"`

	Label   labelSettings   `toml:"label"`
	Exempt  exemptSettings  `toml:"exempt"`
	Linger  lingerSettings  `toml:"linger"`
	Record  recordSettings  `toml:"record"`
	Keep    keepSettings    `toml:"keep"`
	Watch   watchSettings   `toml:"watch"`
	Metrics metricsSettings `toml:"metrics"`
	Billing report.Billing  `toml:"billing"`
}

// recordSettings say what is kept of a process.
type recordSettings struct {
	Exec   kernel.ExecMode `toml:"exec"`   // of the programs that it ran: off, exe or argv
	Groups []string        `toml:"groups"` // figures: cpu, memory, io, switches, delays
}

// keepSettings say for how long the books are kept. Below 0: for ever.
type keepSettings struct {
	ProcessDays int   `toml:"process_days"`
	JobDays     int   `toml:"job_days"`
	FreeMiB     int64 `toml:"free_mib"` // of the file system: with less history halts
}

func defaultSettings() settings {
	return settings{
		Visibility: "own", KillGrace: 10 * time.Second,
		Label:   labelSettings{Use: labelAuto},
		Exempt:  exemptSettings{Programs: defaultExempt()},
		Record:  recordSettings{Exec: kernel.ExecExe, Groups: slices.Sorted(maps.Keys(groups))},
		Metrics: metricsSettings{Users: true},
		Keep:    keepSettings{ProcessDays: 90, JobDays: 400, FreeMiB: 256},
	}
}

// groups are the figures that can be left out. What is never left out is GroupBasic.
var groups = map[string]watch.Group{
	"cpu": watch.GroupCPU, "memory": watch.GroupMemory, "io": watch.GroupIO, "switches": watch.GroupSwitch, "delays": watch.GroupDelay,
}

// mask is the groups that are kept.
func (r recordSettings) mask() watch.Group {
	m := watch.GroupBasic
	for _, name := range r.Groups {
		m |= groups[name]
	}
	return m
}

func (r recordSettings) check() error {
	switch r.Exec {
	case kernel.ExecOff, kernel.ExecExe, kernel.ExecArgv:
	default:
		return fmt.Errorf("unknown record.exec %q: off, exe or argv", r.Exec)
	}
	for _, name := range r.Groups {
		if groups[name] == 0 {
			return fmt.Errorf("unknown group %q in record.groups: %s", name, strings.Join(slices.Sorted(maps.Keys(groups)), ", "))
		}
	}
	return nil
}

func (k keepSettings) check() error {
	for key, n := range map[string]int{"keep.process_days": k.ProcessDays, "keep.job_days": k.JobDays} {
		if n != -1 && (n < 1 || n > daysMost) {
			return fmt.Errorf("%s is 1 to %d, or -1 for ever", key, daysMost)
		}
	}
	if k.FreeMiB < 0 || k.FreeMiB > 1<<30 {
		return errors.New("keep.free_mib is 0 or more, and less than there are disks for")
	}
	return nil
}

// daysMost is a century.
const daysMost = 36_500

// floor is what the store takes, bytes; below 0: none.
func (k keepSettings) floor() int64 {
	if k.FreeMiB == 0 {
		return -1
	}
	return k.FreeMiB << 20
}

// days is what the store takes; below 0: for ever.
func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// summary says in one line what changes the figures, to see in the books when it was changed.
func (c *config) summary() string {
	return fmt.Sprintf("jobd %s, engine %s, cgroup %s, record.exec %s, record.groups %s", cmp.Or(version, "(devel)"), c.Engine, c.Cgroup,
		c.Record.Exec, strings.Join(slices.Sorted(slices.Values(c.Record.Groups)), "+"))
}

func (c *config) level() slog.Level {
	if c.Debug {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// parseConfig reads the command line and the file. An error names what is wrong and where; nothing has been touched.
func parseConfig(args []string, out io.Writer) (*config, error) {
	c := &config{settings: defaultSettings()}
	fs := flag.NewFlagSet("jobd", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.RunDir, "run-dir", hostRunDir, "`directory` of the sockets and the journal")
	fs.StringVar(&c.StateDir, "state-dir", "/var/lib/jobd", "`directory` of the books")
	fs.StringVar(&c.MetricsListen, "metrics-listen", "127.0.0.1:9853", "`address` for Prometheus; empty: none")
	fs.StringVar(&c.Engine, "engine", "auto", "auto, connector or bpf")
	cgroup := fs.String("cgroup", "auto", "auto, own, read or off")
	fs.StringVar(&c.File, "config", "", "configuration `file`")
	fs.BoolVar(&c.Check, "check", false, "read the configuration, say what is wrong with it, and stop")
	showVersion := fs.Bool("version", false, "print the version and stop")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case *showVersion:
		return nil, errVersion
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q: jobd takes flags only", fs.Arg(0))
	}
	if c.File != "" {
		if err := readSettings(c.File, &c.settings); err != nil {
			return nil, err
		}
	}
	c.Cgroup = kernel.CgroupMode(*cgroup)
	return c, c.check()
}

func (c *config) check() error {
	for _, dir := range []*string{&c.RunDir, &c.StateDir} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	switch c.Engine {
	case engineAuto, engineConnector:
	case engineBPF:
		if c.Label.Use == labelOff {
			return errors.New("cannot use --engine bpf with label.use off: labels are how it keeps who is in which job")
		}
	default:
		return fmt.Errorf("unknown --engine %q: auto, connector or bpf", c.Engine)
	}
	switch c.Cgroup {
	case kernel.CgroupAuto, kernel.CgroupOwn, kernel.CgroupRead, kernel.CgroupOff:
	default:
		return fmt.Errorf("unknown --cgroup %q: auto, own, read or off", c.Cgroup)
	}
	if c.Visibility != "own" && c.Visibility != "all" {
		return fmt.Errorf("unknown visibility %q: own or all", c.Visibility)
	}
	if c.KillGrace <= 0 {
		return errors.New("kill_grace has to be longer than 0s")
	}
	for _, check := range []func() error{c.Label.check, c.Exempt.check, c.Linger.check, c.Record.check, c.Keep.check, c.Metrics.check, c.Billing.Check} {
		if err := check(); err != nil {
			return err
		}
	}
	if c.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("cannot tell the host's name, set host in the configuration: %w", err)
		}
		c.Host = host
	}
	return nil
}

// readSettings reads the configuration file. A key that is not known is refused: it is a typing error more often than not.
func readSettings(path string, s *settings) error {
	md, err := toml.DecodeFile(path, s)
	var perr toml.ParseError
	switch {
	case errors.As(err, &perr):
		return fmt.Errorf("cannot read %s, line %d: %s", path, perr.Position.Line, perr.Message)
	case err != nil:
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		names := make([]string, len(unknown))
		for i, k := range unknown {
			names[i] = k.String()
		}
		return fmt.Errorf("cannot use %s: unknown key %s", path, strings.Join(names, ", "))
	}
	return nil
}
