package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/cmd/jobd/logs"
	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/metrics"
	"github.com/jobd-project/jobd/store"
)

// jobd is the daemon: the parts, and the loop that owns the model.
type jobd struct {
	cfg     *config                  // as jobd was started …
	live    atomic.Pointer[settings] // … and what of the file holds now: only the loop changes it, and as a whole
	reread  atomic.Pointer[reread]   // what became of the file when it was read last
	hup     chan os.Signal
	log     *slog.Logger
	lines   *logs.Log
	started time.Time
	whole   time.Time // up to when the books were written when jobd was started; zero: there were none
	boot    string

	holder    *holder
	handover  []byte // for the next jobd, written when all is closed; nil: there is none
	continued bool   // this jobd goes on exactly where the one before stopped

	store   *store.Store
	web     *webConfig // what is asked of who comes for the metrics; nil: nothing
	journal *store.Journal
	cgroups *kernel.Cgroups

	labels    *label.Labels // nil: the kernel keeps none
	labelsWhy error
	engineWhy string // why that one
	fellBack  bool   // … though bpf was wanted
	idsLate   string // why it tells of changes of ids late; empty: it does not
	refused   bool   // the bpf engine could not be opened

	// The model. Only the loop touches what follows.
	engine engine
	watch  *watch.Table
	notify *pnotify.Table
	table  *job.Table
	model

	logins   chan command // go before …
	commands chan command
	rouse    func()         // tells a loop that rests that one of them waits …
	settle   func()         // … and that it has been served
	ended    chan struct{}  // the loop has stopped
	clockSet chan time.Time // the clock was set; what it said until then
	meter    meter
	turns    turns
	api      counters
	confined []string // what jobd gave away of its rights

	auditPart, relayPart part // watch.audit and watch.relay
}

// model is the loop's own state beside the tables.
type model struct {
	asks      *control.Peer // whose command is being carried out
	waiters   map[job.JID][]chan<- job.Info
	unplaced  []unplaced
	lateAudit map[job.JID]time.Time
	lingering map[job.JID]*time.Timer // jobs whose time is set; nil: they are never killed
	exempting bool                    // some that are to leave their jobs wait for it
	reserving bool
	troubles  troubles
	used      bool // members have left since the sums were saved
	saved     time.Time
	compacted int64 // size of the journal after it was written anew
	swept     time.Time
	sweptAt   uint64                 // process events by then
	hopeless  job.JID                // ends although somebody is left in its cgroup
	toSweep   []job.JID              // still to be compared with their cgroups in this round
	spent     map[string]store.Total // by user, of jobs that have ended
	counters  *metrics.Collector     // for Prometheus
	borrowed  map[job.JID]*borrowed
	losses    losses
	surveying bool
	surveyAt  time.Time // no survey before this
	ears      ears
	clock     wallClock
	gcPercent int
	watching  watching
}

// newJobd is one that has touched nothing yet.
func newJobd(cfg *config, log *slog.Logger, lines *logs.Log) *jobd {
	d := &jobd{
		cfg: cfg, log: log, lines: lines, started: time.Now(), turns: newTurns(),
		logins: make(chan command), commands: make(chan command), ended: make(chan struct{}),
	}
	d.clockSet = make(chan time.Time, 1)
	d.waiters, d.lateAudit = make(map[job.JID][]chan<- job.Info), make(map[job.JID]time.Time)
	d.troubles = make(troubles)
	d.borrowed = make(map[job.JID]*borrowed)
	d.watching.ring, d.watching.subs = feed.New(), make(map[string]*subscription)
	d.watching.narrow()
	d.api.init()
	return d
}

// serve runs jobd until ctx ends or a part of it fails.
func serve(ctx context.Context, cfg *config, log *slog.Logger, lines *logs.Log) error {
	d := newJobd(cfg, log, lines)
	d.startSettings()
	defer signal.Stop(d.hup)
	d.holder = newHolder()
	defer d.holder.release()
	if os.Geteuid() != 0 {
		return errors.New("jobd has to run as root: it follows every process of the host")
	}
	if err := kernel.InitialNamespaces(kernel.Proc); err != nil {
		return err
	}
	if err := makeDir(cfg.RunDir, 0o755); err != nil {
		return err
	}
	open, err := d.listen()
	if err != nil {
		return err
	}
	defer open.close()
	if err := makeDir(d.cfg.StateDir, 0o750); err != nil {
		return err
	}
	if err := d.findCgroups(); err != nil {
		return err
	}
	if err := d.openLabels(); err != nil { // as long as jobd runs
		return err
	}
	d.confine() // before any process is looked at: it waits for every thread, and one that looks may never come back (package look)
	if err := d.open(); err != nil {
		return err
	}
	defer d.close()
	return d.runAll(ctx, open)
}

// doors are what others reach jobd by.
type doors struct {
	login  *control.LoginServer
	api    *control.Server
	lib    *control.JobServer
	scrape net.Listener // nil: nowhere …
	shut   error        // … and this is why; nil: it is not wanted
	events net.Listener // nil: nobody is to listen
}

// listen takes the sockets first: that finds a second jobd before anything is touched. Whoever has the port for Prometheus keeps nobody
// from getting a job.
func (d *jobd) listen() (o *doors, err error) {
	o = &doors{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if o.login, err = d.listenLogin(filepath.Join(d.cfg.RunDir, "login.sock")); err != nil {
		return o, err
	}
	o.login.OnRefused(d.api.refuse)
	if o.api, err = d.listenAPI(filepath.Join(d.cfg.RunDir, "jobd.sock")); err != nil {
		return o, err
	}
	if o.lib, err = d.listenLib(filepath.Join(d.cfg.RunDir, "job.sock")); err != nil {
		return o, err
	}
	if d.cfg.MetricsListen != "" {
		o.scrape, o.shut = d.openScrape()
	} else if d.holder.files[heldMetrics] != nil {
		d.unhold(heldMetrics)
	}
	if d.cfg.Watch.Relay {
		if o.events, err = d.listenEvents(); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *doors) close() {
	if o.login != nil {
		o.login.Close()
	}
	if o.api != nil {
		o.api.Close()
	}
	if o.lib != nil {
		o.lib.Close()
	}
	if o.scrape != nil {
		o.scrape.Close()
	}
	if o.events != nil {
		o.events.Close()
	}
}

func (o *doors) scrapeAddr() string {
	switch {
	case o.shut != nil:
		return "not yet"
	case o.scrape == nil:
		return "off"
	}
	return o.scrape.Addr().String()
}

// open opens the books, then the engine, and takes up the jobs that were open before.
func (d *jobd) open() (err error) {
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.boot, err = kernel.Proc.BootID(); err != nil {
		return err
	}
	if d.whole, err = lastWritten(d.storePath(), d.journalPath()); err != nil {
		return fmt.Errorf("cannot tell when the books were written last: %w", err)
	}
	d.store, err = store.Open(d.storePath(), store.Options{
		HID: d.cfg.HID, BootID: d.boot, Now: d.started, Log: d.log,
		KeepRecords: days(d.cfg.Keep.ProcessDays), KeepJobs: days(d.cfg.Keep.JobDays), Floor: d.cfg.Keep.floor(),
	})
	if err != nil {
		return err
	}
	d.lines.SetHID(d.store.HID())
	if err = d.readTotals(); err != nil {
		return err
	}
	if err = d.takeUp(); err != nil {
		return err
	}
	d.stayDrained()
	d.holder.release() // Go's poller watches these copies, and would be woken with every event
	return nil
}

// findCgroups makes the directory of jobd's cgroups, in one that systemd makes so that not even its owner may write to it: that takes
// rights which are given away later.
func (d *jobd) findCgroups() (err error) {
	if d.cgroups, err = kernel.FindCgroups(kernel.Proc, d.cfg.Cgroup); err != nil {
		return err
	}
	return d.cgroups.StepOut(kernel.Proc)
}

// openEngine opens the engine and makes the tables above it.
func (d *jobd) openEngine(options ...kernel.Option) error {
	s := d.settings()
	options = append(options, kernel.KeepExecs(s.Record.Exec), kernel.KeepGroups(s.Record.mask()), kernel.ExemptPrograms(s.Exempt.paths()))
	e, err := d.newEngine(options)
	if err != nil {
		return err
	}
	d.engine = e
	return d.makeTables()
}

// makeTables makes the tables, each on the one below.
func (d *jobd) makeTables() (err error) {
	d.rouse, d.settle = d.engine.Rouse, d.engine.Settle
	d.watch = &watch.Table{Existing: d.engine.Existing, Panicked: d.panicked}
	if err = d.watch.Register(d.feedWatcher()); err != nil { // before all others: it tells of who leaves as a member
		return err
	}
	if d.notify, err = pnotify.New(d.watch); err != nil {
		return err
	}
	d.table, err = job.New(d.notify, job.Config{HID: d.store.HID(), Host: d.cfg.Host, BootID: d.boot, Program: d.engine.Program})
	if err != nil {
		return err
	}
	if err := d.watch.Register(watch.Watcher{Name: watcherBooks, Owner: "jobd", Used: d.table.Used}); err != nil {
		return err
	}
	return d.watch.Register(watch.Watcher{Name: watcherLoss, Owner: "jobd", Lost: func(*watch.Event) error {
		d.table.Lost() // what happened meanwhile is on no record
		return nil
	}})
}

func (d *jobd) close() {
	if d.engine != nil {
		d.engine.Close()
	}
	whole := true
	if d.journal != nil {
		if err := d.journal.Close(); err != nil {
			whole = false
			d.log.Error("cannot close the journal", "error", err)
		}
	}
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			whole = false
			d.log.Error("cannot close the store", "error", err)
		}
	}
	if whole {
		d.leaveHandover() // the last of all: it counts only where the books are as it says
	}
}

// runAll runs the parts that go on: the loop, the sockets, the metrics. The first that fails ends all.
func (d *jobd) runAll(ctx context.Context, open *doors) error {
	d.holdAll(open) // before anything can end: whoever is told to stop at once leaves the same behind
	g, ctx := errgroup.WithContext(ctx)
	loopCtx, endLoop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the doors: who is inside is answered
	var serving sync.WaitGroup
	serving.Add(4)
	g.Go(func() error { return named("loop", d.loop(loopCtx)) })
	g.Go(func() error { return named("checkpoints", d.checkpoints(ctx)) })
	g.Go(func() error { return named("clock", d.watchClock(ctx)) })
	g.Go(func() error { defer serving.Done(); return named("login socket", open.login.Serve(ctx, d)) })
	g.Go(func() error { defer serving.Done(); return named("api socket", open.api.Serve(ctx, d)) })
	g.Go(func() error { defer serving.Done(); return named("libjob socket", open.lib.Serve(ctx, d)) })
	g.Go(func() error {
		defer serving.Done()
		return named("audit of events", d.auditPart.run(ctx, d.auditEventsIf(d.cfg.Watch.Audit)))
	})
	g.Go(func() error { return named("events socket", d.relayPart.run(ctx, d.relayOn(open.events))) })
	g.Go(func() error { d.reloads(ctx, open); return nil })
	g.Go(func() error { serving.Wait(); endLoop(); return nil })
	if d.cfg.MetricsListen != "" {
		g.Go(func() error { d.scrapes(ctx, open.scrape, open.shut); return nil })
	}
	d.log.Info("ready", "engine", d.engine.Name(), "why", d.engineWhy, "cgroup", d.cgroupEffect(), "labels", d.labelsText(),
		"run", d.cfg.RunDir, "hid", d.store.HID(), "metrics", open.scrapeAddr())
	d.notifyReady()
	return g.Wait()
}

func named(part string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%s: %w", part, err)
}

func (d *jobd) storePath() string   { return filepath.Join(d.cfg.StateDir, "jobd.db") }
func (d *jobd) journalPath() string { return filepath.Join(d.cfg.RunDir, "open.journal") }
