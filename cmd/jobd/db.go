package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/store"
)

const dbUsage = `usage: jobd db VERB [flags] [ARG...]

  stats                 what is in the books, and what it takes
  check                 look through all of it, page by page and job by job
  compact               give back what is unused; jobd must not be running
  backup FILE           a copy as it is at this moment; - is standard output
  export [FILE]         all of it as lines of JSON
  repair [FILE [OUT]]   take what is good out of a damaged file
  forget USER           take a person out, and keep the sums

flags of all: --state-dir DIR, --run-dir DIR. "jobd db VERB --help" names the others. See jobd-db(8).
`

// dbCommand is one jobd db under way.
type dbCommand struct {
	ctx      context.Context
	out      io.Writer // what was asked for
	err      io.Writer // what else there is to say
	runDir   string
	stateDir string
	json     bool
	force    bool
	since    time.Time
	until    time.Time
	uid      *uint32
	args     []string
}

// dbVerb is what jobd db can do.
type dbVerb struct {
	name  string
	args  string // for people
	most  int    // arguments at most
	least int
	flags func(*dbCommand, *flag.FlagSet)
	do    func(*dbCommand) error
}

func dbVerbs() []dbVerb {
	asJSON := func(c *dbCommand, fs *flag.FlagSet) { fs.BoolVar(&c.json, "json", false, "answer in JSON") }
	return []dbVerb{
		{name: "stats", flags: asJSON, do: (*dbCommand).stats},
		{name: "check", flags: asJSON, do: (*dbCommand).check},
		{name: "compact", flags: asJSON, do: (*dbCommand).compact},
		{name: "backup", args: "FILE", least: 1, most: 1, do: (*dbCommand).backup, flags: func(c *dbCommand, fs *flag.FlagSet) {
			asJSON(c, fs)
			fs.BoolVar(&c.force, "force", false, "put it in place of a file that is there")
		}},
		{name: "export", args: "[FILE]", most: 1, do: (*dbCommand).export, flags: func(c *dbCommand, fs *flag.FlagSet) {
			asJSON(c, fs)
			fs.Func("since", "only what was there at this `time` (RFC 3339) or later", timeFlag(&c.since))
			fs.Func("until", "only what was there before this `time`", timeFlag(&c.until))
			fs.BoolVar(&c.force, "force", false, "put it in place of a file that is there")
		}},
		{name: "repair", args: "[FILE [OUT]]", most: 2, do: (*dbCommand).repair, flags: asJSON},
		{name: "forget", args: "[USER]", most: 1, do: (*dbCommand).forget, flags: func(c *dbCommand, fs *flag.FlagSet) {
			asJSON(c, fs)
			fs.Func("uid", "whose processes and jobs they are, beside those of that name", uidFlag(&c.uid))
		}},
	}
}

// errFound is a check that found something: it has been said already.
var errFound = errors.New("something is wrong with the books")

// usageError is a command line that makes no sense.
type usageError struct{ error }

// dbMain is jobd db: 0 it is done, 1 it failed or a check found something, 2 it was not understood.
func dbMain(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	c := &dbCommand{ctx: ctx, out: stdout, err: stderr}
	return told(stderr, "jobd db", c.run(args))
}

// told says what went wrong, unless that has been said, and gives the exit code.
func told(stderr io.Writer, who string, err error) int {
	var bad usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errFound):
		return 1
	}
	fmt.Fprintf(stderr, "%s: %v\n", who, err)
	if errors.As(err, &bad) {
		return 2
	}
	return 1
}

func (c *dbCommand) run(args []string) error {
	if len(args) == 0 {
		return usageError{errors.New("a verb is missing; jobd db help lists them")}
	}
	if slices.Contains([]string{"help", "--help", "-h", "-help"}, args[0]) {
		_, err := io.WriteString(c.out, dbUsage)
		return err
	}
	verbs := dbVerbs()
	i := slices.IndexFunc(verbs, func(v dbVerb) bool { return v.name == args[0] })
	if i < 0 {
		return usageError{fmt.Errorf("unknown verb %q; jobd db help lists them", args[0])}
	}
	v := verbs[i]
	if err := c.parse(v, args[1:]); err != nil {
		return err
	}
	return v.do(c)
}

// parse takes flags before and behind the arguments.
func (c *dbCommand) parse(v dbVerb, args []string) error {
	fs := flag.NewFlagSet("jobd db "+v.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // what is wrong is said once, by dbMain
	fs.StringVar(&c.stateDir, "state-dir", "/var/lib/jobd", "`directory` of the books")
	fs.StringVar(&c.runDir, "run-dir", "/run/jobd", "`directory` of jobd's sockets")
	v.flags(c, fs)
	usage := func() {
		fs.SetOutput(c.err)
		fmt.Fprintf(c.err, "usage: jobd db %s\n", strings.TrimSpace(v.name+" [flags] "+v.args))
		fs.PrintDefaults()
	}
	for {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			usage()
			return err
		case err != nil:
			return usageError{err}
		}
		if args = fs.Args(); len(args) == 0 {
			break
		}
		c.args, args = append(c.args, args[0]), args[1:]
	}
	if n := len(c.args); n < v.least || n > v.most {
		return usageError{fmt.Errorf("usage: jobd db %s", strings.TrimSpace(v.name+" [flags] "+v.args))}
	}
	return nil
}

func timeFlag(to *time.Time) func(string) error {
	return func(s string) (err error) {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if *to, err = time.Parse(layout, s); err == nil {
				return nil
			}
		}
		return fmt.Errorf("%q is no time: 2026-03-04 or 2026-03-04T12:00:00Z", s)
	}
}

func (c *dbCommand) path() string { return filepath.Join(c.stateDir, "jobd.db") }

func (c *dbCommand) socket() string { return filepath.Join(c.runDir, "jobd.sock") }

// running reports whether a jobd answers at its socket.
func (c *dbCommand) running() bool {
	conn, err := net.DialTimeout("unix", c.socket(), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (c *dbCommand) client() *control.Client { return control.NewClient(c.socket()) }

// mustNotRun refuses what needs the books for itself.
func (c *dbCommand) mustNotRun(what string) error {
	if c.running() {
		return fmt.Errorf("cannot %s while jobd is running: stop it (systemctl stop jobd), %s, and start it again; logins go on meanwhile without jobs", what, what)
	}
	return nil
}

// books opens the books for reading: a backup made for that where jobd is running, else the file itself.
func (c *dbCommand) books() (*store.Store, error) {
	if !c.running() {
		return c.own()
	}
	st, err := c.client().DBStats(c.ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask jobd where the books are: %w", err)
	}
	c.stateDir = filepath.Dir(st.Path) // its own, whatever the flag says
	if err := roomFor(c.stateDir, st); err != nil {
		return nil, err
	}
	f, err := unnamed(c.stateDir)
	if err != nil {
		return nil, fmt.Errorf("cannot make room for a copy of the books: %w", err)
	}
	defer f.Close()
	bar := c.bar("copy")
	defer bar.end()
	if err := c.client().Backup(c.ctx, bar.writer(f, c.sizeHint())); err != nil {
		return nil, fmt.Errorf("cannot copy the books: %w", err)
	}
	// The file has no name, and so is gone with this process, however that ends.
	return store.OpenReadOnly(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), store.Options{})
}

// own opens the file itself. A jobd that is being started waits no longer than a moment for it.
func (c *dbCommand) own() (*store.Store, error) {
	s, err := store.OpenReadOnly(c.path(), store.Options{})
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w; or is jobd's socket not %s? then give --run-dir", err, c.socket())
	}
	return s, err
}

func (c *dbCommand) sizeHint() int64 {
	st, err := os.Stat(c.path())
	if err != nil {
		return 0
	}
	return st.Size()
}

// say writes an answer as JSON, or with text for people.
func (c *dbCommand) say(v any, text func(io.Writer)) error {
	if !c.json {
		text(c.out)
		return nil
	}
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
