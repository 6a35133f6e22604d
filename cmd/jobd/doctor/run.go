package doctor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// Options say what is to be looked at.
type Options struct {
	Version  string // of this program
	RunDir   string
	StateDir string // where no jobd runs that says so itself

	Engine string // that jobd would be told to take

	Config               // of the flags alone, where the file takes too long
	Read   func() Config // reads the file

	PAMDir string   // in place of the host's own places; empty: those
	Canary []string // a command that calls RunCanary; nil: none is to be sent

	// Owned is nil where nobody but root can write to a path, or put something else in its place.
	Owned func(path string) error
	// Auditd reports whether an audit daemon has registered with the kernel.
	Auditd func() (bool, error)
}

// Config is what jobd would be told, or the defaults where that cannot be used.
type Config struct {
	Path      string // of the file; empty: none
	Error     error  // it cannot be used
	Floor     int64  // keep.free_mib, bytes; 0: none
	LabelDir  string // where labels would be kept; empty: nowhere
	LabelsOff bool   // label.use
}

// Everything is to be over within 3 s, also on a host on which much hangs. What the first two leave over the others may have.
const (
	askTime   = 500 * time.Millisecond  // for jobd's status, and for the configuration
	birdTime  = 900 * time.Millisecond  // for the canary, and what is asked about it
	checkTime = 1200 * time.Millisecond // for everything else, at the same time, at the least
	allTime   = 2700 * time.Millisecond // for all of it
	lateTime  = 100 * time.Millisecond  // for those that heed their deadline to say so
)

// examination is one run.
type examination struct {
	Options
	root   bool
	client *control.Client
	status *control.StatusAnswer // nil: no jobd answers …
	why    error                 // … because
}

// check is what makes the findings of one subject. name is that of its first one, by which it is called where it takes too long.
type check struct {
	name string
	run  func(context.Context) []Finding
}

// Run looks at everything.
func Run(ctx context.Context, o Options) Answer {
	start := time.Now()
	x := &examination{Options: o, root: os.Geteuid() == 0, client: control.NewClient(filepath.Join(o.RunDir, "jobd.sock"))}
	config := x.ask(ctx)
	// First what is measured, so that the others do not stand in its way.
	first := within(ctx, birdTime, []check{{"login", x.canary}})
	rest := within(ctx, max(checkTime, allTime-time.Since(start)), []check{
		{"jobd", x.daemon}, {"kernel.namespaces", x.kernel}, {"cgroup", x.cgroups}, {"audit.sessions", x.audit}, {"pam.services", x.pam},
		{"files.run", x.files}, {"selinux", x.selinux}, {"clock.books", x.clock}, {"disk.free", x.disk}, {"disk.write", x.diskWrite},
	})
	a := Answer{Version: o.Version, Findings: slices.Concat(config, rest, first)}
	a.TookNS = time.Since(start).Nanoseconds()
	a.count()
	return a
}

// ask gets what all others build upon.
func (x *examination) ask(ctx context.Context) []Finding {
	var status sync.WaitGroup
	status.Go(func() { x.askStatus(ctx) })
	read := make(chan Config, 1)
	out := within(ctx, askTime, []check{{"jobd.config", func(context.Context) []Finding {
		c := x.Read()
		read <- c
		return []Finding{judgeConfig(c, x.root)}
	}}})
	status.Wait()
	select {
	case x.Config = <-read:
	default:
	}
	return out
}

func (x *examination) askStatus(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	st, err := x.client.Status(ctx)
	if err != nil {
		x.why = err
		return
	}
	x.status = &st
}

// stateDir is the running jobd's own, else what was said.
func (x *examination) stateDir() string {
	if x.status != nil && x.status.Store.Path != "" {
		return filepath.Dir(x.status.Store.Path)
	}
	return x.StateDir
}

// within runs checks at the same time, and gives what they found in their order. Who is not done in time is left alone: it may hang
// where nothing interrupts it.
func within(ctx context.Context, most time.Duration, checks []check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	late := time.After(most + lateTime)
	var mu sync.Mutex
	found := make([][]Finding, len(checks))
	done := make(chan struct{})
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			list := c.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			found[i] = list
		})
	}
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-late:
	}
	mu.Lock()
	defer mu.Unlock()
	var out []Finding
	for i, c := range checks {
		if found[i] == nil {
			found[i] = []Finding{skip(c.name, "it took longer than %v to look", most.Round(time.Millisecond))}
		}
		out = append(out, found[i]...)
	}
	return out
}
