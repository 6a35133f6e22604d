package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/report"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// errVersion is a request for the version.
var errVersion = errors.New("version")

// config is what jobd is told: paths and addresses by flags, the rest by the file.
type config struct {
	RunDir, StateDir string
	MetricsListen    string
	Engine           string
	Cgroup           kernel.CgroupMode
	Named            string    // the file that --config names; empty: none
	ReadFrom         string    // the file that was read; empty: none
	ReadAt           time.Time // just before that
	Check            bool

	settings
}

// settings are the keys of the configuration file.
type settings struct {
	HID        uint32        `toml:"hid"`        // upper half of every JID; 0: random at the first start, then kept
	Host       string        `toml:"host"`       // name in records; empty: the host's own
	Visibility string        `toml:"visibility"` // own or all: what ordinary users see
	AdminGID   int64         `toml:"admin_gid"`  // members see and do what root may; -1: there is no such group
	KillGrace  time.Duration `toml:"kill_grace"` // between TERM and KILL
	Debug      bool          `toml:"debug"`

	Label   labelSettings   `toml:"label"`
	Exempt  exemptSettings  `toml:"exempt"`
	Linger  lingerSettings  `toml:"linger"`
	Record  recordSettings  `toml:"record"`
	Keep    keepSettings    `toml:"keep"`
	Watch   watchSettings   `toml:"watch"`
	Metrics metricsSettings `toml:"metrics"`
	Log     logSettings     `toml:"log"`
	Billing report.Billing  `toml:"billing"`
}

// recordSettings say what is kept of a process.
type recordSettings struct {
	Exec   kernel.ExecMode `toml:"exec"`   // of the programs that it ran: off, exe or argv
	Groups []string        `toml:"groups"` // figures: cpu, memory, io, switches, delays
}

// logSettings say what goes into the log.
type logSettings struct {
	Burst int `toml:"burst"` // lines of one kind a second at most, the others are counted; 0: all
}

// burstMost is more than anybody reads.
const burstMost = 1_000_000

// keepSettings say for how long the books are kept. Below 0: for ever.
type keepSettings struct {
	ProcessDays int   `toml:"process_days"`
	JobDays     int   `toml:"job_days"`
	FreeMiB     int64 `toml:"free_mib"` // of the file system: with less history halts
}

func defaultSettings() settings {
	return settings{
		Visibility: "own", AdminGID: -1, KillGrace: 10 * time.Second,
		Label:   labelSettings{Use: labelAuto},
		Exempt:  exemptSettings{Programs: defaultExempt()},
		Record:  recordSettings{Exec: kernel.ExecExe, Groups: slices.Sorted(maps.Keys(groups))},
		Metrics: metricsSettings{Users: true},
		Keep:    keepSettings{ProcessDays: 90, JobDays: 400, FreeMiB: 256},
		Log:     logSettings{Burst: 20},
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
	var errs []error
	switch r.Exec {
	case kernel.ExecOff, kernel.ExecExe, kernel.ExecArgv:
	default:
		errs = append(errs, badKey("record.exec", "record.exec is off, exe or argv, not %q", r.Exec))
	}
	for _, name := range r.Groups {
		if groups[name] == 0 {
			errs = append(errs, badKey("record.groups", "record.groups has no %q: %s", name, strings.Join(slices.Sorted(maps.Keys(groups)), ", ")))
		}
	}
	return errors.Join(errs...)
}

func (k keepSettings) check() error {
	var errs []error
	for key, n := range map[string]int{"keep.process_days": k.ProcessDays, "keep.job_days": k.JobDays} {
		if n != -1 && (n < 1 || n > daysMost) {
			errs = append(errs, badKey(key, "%s is 1 to %d, or -1 for ever", key, daysMost))
		}
	}
	if k.FreeMiB < 0 || k.FreeMiB > 1<<30 {
		errs = append(errs, badKey("keep.free_mib", "keep.free_mib is 0 or more, and less than there are disks for"))
	}
	return errors.Join(errs...)
}

func (l logSettings) check() error {
	if l.Burst < 0 || l.Burst > burstMost {
		return badKey("log.burst", "log.burst is 0, for every line, to %d", burstMost)
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

// store is all of it as the store takes it.
func (k keepSettings) store() store.Keep {
	return store.Keep{Records: days(k.ProcessDays), Jobs: days(k.JobDays), Floor: k.floor()}
}

// adminGID is the group's id; nil: there is none.
func (s *settings) adminGID() *uint32 {
	if s.AdminGID < 0 {
		return nil
	}
	gid := uint32(s.AdminGID)
	return &gid
}

// summary says in one line what changes the figures, to see in the books when it was changed.
func (c *config) summary(s *settings) string {
	return fmt.Sprintf("jobd %s, engine %s, cgroup %s, record.exec %s, record.groups %s", cmp.Or(version, "(devel)"), c.Engine, c.Cgroup,
		s.Record.Exec, strings.Join(slices.Sorted(slices.Values(s.Record.Groups)), "+"))
}

func (s *settings) level() slog.Level {
	if s.Debug {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// parseConfig reads the command line and the file. An error names what is wrong and where; nothing has been touched.
func parseConfig(args []string, out io.Writer) (*config, error) {
	c := &config{}
	fs := flag.NewFlagSet("jobd", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.RunDir, "run-dir", hostRunDir, "`directory` of the sockets and the journal")
	fs.StringVar(&c.StateDir, "state-dir", "/var/lib/jobd", "`directory` of the books")
	fs.StringVar(&c.MetricsListen, "metrics-listen", "127.0.0.1:9853", "`address` for Prometheus; empty: none")
	fs.StringVar(&c.Engine, "engine", "auto", "auto, connector or bpf")
	cgroup := fs.String("cgroup", "auto", "auto, own, read or off")
	fs.StringVar(&c.Named, "config", "", "configuration `file`; without it "+hostConfig+", if it is there and --run-dir is not given")
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
	c.Cgroup = kernel.CgroupMode(*cgroup)
	if err := c.checkFlags(); err != nil {
		return nil, err
	}
	if c.Check {
		return c, c.read(hostConfig, c.checkFiles)
	}
	return c, c.read(hostConfig)
}

// read reads the file, or takes the defaults where there is none. host is where the host's own jobd has it; more is what else is to be
// checked than the file itself.
func (c *config) read(host string, more ...settingsCheck) (err error) {
	c.ReadFrom, c.ReadAt = c.fileToRead(host), time.Now()
	if c.settings, err = readSettings(c.ReadFrom, more...); err != nil {
		return err
	}
	if c.Engine == engineBPF && c.Label.Use == labelOff {
		return errors.New("cannot use --engine bpf with label.use off: labels are how it keeps who is in which job")
	}
	if c.Host == "" {
		if c.Host, err = os.Hostname(); err != nil {
			return fmt.Errorf("cannot tell the host's name, set host in the configuration: %w", err)
		}
	}
	return nil
}

func (c *config) checkFlags() error {
	for _, path := range []*string{&c.RunDir, &c.StateDir, &c.Named} {
		if *path == "" && path == &c.Named {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	switch c.Engine {
	case engineAuto, engineConnector, engineBPF:
	default:
		return fmt.Errorf("unknown --engine %q: auto, connector or bpf", c.Engine)
	}
	switch c.Cgroup {
	case kernel.CgroupAuto, kernel.CgroupOwn, kernel.CgroupRead, kernel.CgroupOff:
	default:
		return fmt.Errorf("unknown --cgroup %q: auto, own, read or off", c.Cgroup)
	}
	return c.checkAddress()
}

// checkAddress finds what no host can have. Whether this one can have it shows when it is tried.
func (c *config) checkAddress() error {
	if c.MetricsListen == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(c.MetricsListen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("cannot use --metrics-listen %q, it is HOST:PORT: %w", c.MetricsListen, err)
	}
	return nil
}

// settingsCheck says what of settings cannot be used: a BadKey for each key.
type settingsCheck func(*settings) error

// check is the one that looks at nothing but the values.
func (s *settings) check() error {
	var errs []error
	if s.Visibility != "own" && s.Visibility != "all" {
		errs = append(errs, badKey("visibility", "visibility is own or all, not %q", s.Visibility))
	}
	if s.AdminGID < -1 || s.AdminGID > math.MaxUint32-1 {
		errs = append(errs, badKey("admin_gid", "admin_gid is the number of a group, or -1 for none"))
	}
	if s.KillGrace <= 0 {
		errs = append(errs, badKey("kill_grace", "kill_grace has to be longer than 0s"))
	}
	for _, check := range []func() error{
		s.Label.check, s.Exempt.check, s.Linger.check, s.Record.check, s.Keep.check, s.Metrics.check, s.Log.check, s.Billing.Check,
	} {
		errs = append(errs, check())
	}
	return errors.Join(errs...)
}

func badKey(key, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &report.BadKey{Key: key, Text: err.Error(), Err: errors.Unwrap(err)}
}
