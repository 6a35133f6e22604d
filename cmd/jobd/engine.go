package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/label"
)

const engineUsage = `usage: jobd engine VERB [flags]

  status    what of jobd's is in the kernel, whether jobd runs or not
  unload    take it out; jobd must not be running. Of the configuration only label.dir counts

flags: --run-dir DIR, --config FILE, as jobd has them; --json. See jobd(8).
`

// engineStatus is what jobd engine status shows.
type engineStatus struct {
	Running bool    `json:"running"` // a jobd answers in the run directory
	Labels  *string `json:"labels"`  // where the kernel keeps them; null: nowhere
}

// engineMain is jobd engine: 0 it is done, 1 it failed, 2 it was not understood.
func engineMain(args []string, stdout, stderr io.Writer) int {
	return told(stderr, "jobd engine", runEngine(args, stdout, stderr))
}

func runEngine(args []string, out, stderr io.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New("a verb is missing; jobd engine help lists them")}
	}
	verb, asJSON := args[0], false
	cfg := &config{Engine: engineBPF} // which may have been there whatever is to be used now
	fs := flag.NewFlagSet("jobd engine "+verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&cfg.RunDir, "run-dir", hostRunDir, "")
	fs.StringVar(&cfg.Named, "config", "", "")
	fs.BoolVar(&asJSON, "json", false, "")
	switch err := fs.Parse(args[1:]); {
	case verb == "help" || verb == "--help" || verb == "-h" || errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, engineUsage)
		return err
	case err != nil:
		return usageError{err}
	case fs.NArg() > 0:
		return usageError{fmt.Errorf("unexpected argument %q", fs.Arg(0))}
	}
	switch verb {
	case "status":
		var err error
		if cfg.settings, err = readSettings(cfg.fileToRead(hostConfig)); err != nil {
			return err
		}
		s, err := cfg.engineStatus()
		if err != nil {
			return err
		}
		return s.write(out, asJSON)
	case "unload":
		cfg.takeLabels(cfg.fileToRead(hostConfig), stderr)
		return cfg.unloadEngine()
	}
	return usageError{fmt.Errorf("there is no verb %q; jobd engine help lists them", verb)}
}

func (c *config) engineStatus() (s engineStatus, err error) {
	if s.Running, err = c.answers(); err != nil {
		return s, err
	}
	if dir := c.labelDir(); dir != "" && label.Kept(dir) {
		s.Labels = &dir
	}
	return s, nil
}

// answers reports whether a jobd listens in the run directory.
func (c *config) answers() (bool, error) {
	conn, err := net.Dial("unix", filepath.Join(c.RunDir, "jobd.sock"))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return false, nil
	case errors.Is(err, unix.EAGAIN): // others wait already
		return true, nil
	case err != nil:
		return false, fmt.Errorf("cannot tell whether jobd runs: %w", err)
	}
	return true, conn.Close()
}

func (s engineStatus) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	kept, runs := "none are kept in the kernel", "not running"
	if s.Labels != nil {
		kept = "kept in " + *s.Labels
	}
	if s.Running {
		runs = "running: jobctl status says more"
	}
	_, err := fmt.Fprintf(out, "jobd    %s\nlabels  %s\n", runs, kept)
	return err
}

// takeLabels reads where labels are, of a file that may be broken: it is no reason to leave in the kernel what a package that is removed, or
// root, wants out. What cannot be read of it is where jobd has it by itself.
func (c *config) takeLabels(file string, stderr io.Writer) {
	s, err := readSettings(file)
	if c.Label = (labelSettings{Use: labelAuto, Dir: s.Label.Dir}); c.Label.check() != nil {
		c.Label.Dir = ""
	}
	if err != nil {
		say(stderr, fmt.Errorf("the configuration cannot be used; what is unloaded is in %s:\n%w", cmp.Or(c.labelDir(), "no directory"), err))
	}
}

// unloadEngine takes out what outlives jobd. Processes stay in their jobs, which the next jobd finds by other witnesses.
func (c *config) unloadEngine() error {
	runs, err := c.answers()
	if err != nil {
		return err
	}
	if runs {
		return errors.New("cannot unload what a running jobd uses: stop it first; to have it keep none, set label.use to off")
	}
	if c.labelDir() == "" {
		return nil
	}
	return label.Unload(c.labelDir())
}
