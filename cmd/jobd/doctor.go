package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/jobd-project/jobd/cmd/jobd/doctor"
)

const doctorUsage = `usage: jobd doctor [flags]

Look whether this host is fit for jobd, and jobd for this host. See jobd-doctor(8).

`

// canaryVerb is what doctor calls itself with: jobd doctor canary SOCKET.
const canaryVerb = "canary"

// doctorFlags are what jobd doctor is told.
type doctorFlags struct {
	config
	pamDir   string
	json     bool
	noCanary bool
}

// doctorMain is jobd doctor: 0 nothing has to be done, 1 something has, or it failed, 2 it was not understood.
func doctorMain(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 2 && args[0] == canaryVerb {
		return told(stderr, "jobd doctor "+canaryVerb, doctor.RunCanary(args[1], stdin, stdout))
	}
	return told(stderr, "jobd doctor", runDoctor(args, stdout, stderr))
}

func runDoctor(args []string, stdout, stderr io.Writer) error {
	d := doctorFlags{config: config{settings: defaultSettings()}}
	if err := d.parse(args, stderr); err != nil {
		return err
	}
	o, err := d.options()
	if err != nil {
		return err
	}
	ans := doctor.Run(context.Background(), o)
	write := ans.WriteText
	if d.json {
		write = ans.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if !ans.Passed {
		return errFound
	}
	return nil
}

func (d *doctorFlags) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("jobd doctor", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // what is wrong is said once
	fs.StringVar(&d.RunDir, "run-dir", hostRunDir, "`directory` of jobd's sockets")
	fs.StringVar(&d.StateDir, "state-dir", "/var/lib/jobd", "`directory` of the books, where no jobd answers that knows")
	fs.StringVar(&d.Named, "config", "", "configuration `file`")
	fs.StringVar(&d.Engine, "engine", engineAuto, "what jobd is told: auto, connector or bpf")
	fs.StringVar(&d.pamDir, "pam-dir", "", "`directory` of PAM services, in place of the host's own")
	fs.BoolVar(&d.noCanary, "no-canary", false, "send no process out to see whether it is followed")
	fs.BoolVar(&d.json, "json", false, "answer in JSON")
	return fs
}

func (d *doctorFlags) parse(args []string, stderr io.Writer) error {
	fs := d.flags()
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, doctorUsage)
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		return err
	case err != nil:
		return usageError{err}
	case fs.NArg() > 0:
		return usageError{fmt.Errorf("unexpected argument %q: jobd doctor takes flags only", fs.Arg(0))}
	case !slices.Contains([]string{engineAuto, engineConnector, engineBPF}, d.Engine):
		return usageError{fmt.Errorf("unknown --engine %q: auto, connector or bpf", d.Engine)}
	}
	return nil
}

// options are those of package doctor. A configuration that cannot be used is a finding, and the defaults stand in for it.
func (d *doctorFlags) options() (o doctor.Options, err error) {
	d.Cgroup, d.MetricsListen = "auto", "" // not looked at
	bad := d.checkFlags()
	self, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("cannot tell which program this is: %w", err)
	}
	o = doctor.Options{
		Version: version, RunDir: d.RunDir, StateDir: d.StateDir, Engine: d.Engine, PAMDir: d.pamDir,
		Config: d.told(d.Named, bad), Read: func() doctor.Config { return d.reading(bad) },
		Canary: []string{self, "doctor", canaryVerb, filepath.Join(d.RunDir, "login.sock")},
		Owned:  func(path string) error { return rootsOwn(path, true, linksMost) }, Auditd: auditRegistered,
	}
	if d.noCanary {
		o.Canary = nil
	}
	return o, nil
}

// reading is what the file says. It may take long: the file may be on a disk that hangs, and so may what it names.
func (d doctorFlags) reading(bad error) doctor.Config {
	err := d.read(hostConfig, d.checkFiles)
	if err != nil {
		d.settings = defaultSettings()
	}
	return d.told(d.ReadFrom, errors.Join(bad, err))
}

func (d *doctorFlags) told(path string, bad error) doctor.Config {
	return doctor.Config{
		Path: path, Error: bad, Floor: max(d.Keep.floor(), 0), LabelDir: d.labelDir(), LabelsOff: d.Label.Use == labelOff,
	}
}

// auditRegistered reports whether an audit daemon takes records.
func auditRegistered() (bool, error) {
	a, err := openAudit()
	switch {
	case errors.Is(err, errNoAuditd):
		return false, nil
	case err != nil:
		return false, err
	}
	a.close()
	return true, nil
}
