package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
)

// Where somebody holds the sockets, a jobd that is stopped in order leaves a file behind that says how things stood at
// the last event that it read. The next one starts from there, and the sockets' queues tell it the rest: nothing is lost,
// and nothing is guessed. A jobd that is killed leaves no such file; the queue is then read on top of what is on file.

// handoverVersion goes up when another jobd could misread what this one writes.
const handoverVersion = 1

// handover is the file.
type handover struct {
	Version int             `json:"version"`
	Name    string          `json:"name"` // of the engine; empty: connector
	BootID  string          `json:"boot_id"`
	Engine  json.RawMessage `json:"engine"`
	Table   json.RawMessage `json:"table"`
}

func (d *jobd) handoverPath() string { return filepath.Join(d.cfg.RunDir, "handover.json") }

// handOver runs in the loop, as the last thing that it does.
func (d *jobd) handOver() {
	if !d.holder.there() && !d.keepsTelling() {
		return
	}
	h := handover{Version: handoverVersion, Name: d.engine.Name(), BootID: d.boot}
	var err error
	if h.Engine, err = d.engine.HandOver(); err == nil {
		h.Table, err = d.table.HandOver()
	}
	if err == nil {
		d.handover, err = json.Marshal(h)
	}
	if err != nil {
		d.log.Error("cannot hand over to the next jobd: it will look for the jobs' members", "error", err)
	}
}

// leaveHandover writes the file. Without fsync: it is of no use to another boot.
func (d *jobd) leaveHandover() {
	if d.handover == nil {
		return
	}
	tmp := d.handoverPath() + ".new"
	err := os.WriteFile(tmp, d.handover, 0o600)
	if err == nil {
		err = os.Rename(tmp, d.handoverPath())
	}
	if err != nil {
		d.log.Error("cannot hand over to the next jobd: it will look for the jobs' members", "error", err)
	}
}

// lastHandover reads the file, once: from here on it is out of date.
func (d *jobd) lastHandover() (*handover, error) {
	b, err := os.ReadFile(d.handoverPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = os.Remove(d.handoverPath())
	}
	if err == nil && !d.queued() {
		return nil, nil // of what was told since nothing is left: all have to be looked at again
	}
	var h handover
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", d.handoverPath(), err)
	case h.Version != handoverVersion:
		return nil, fmt.Errorf("%s has version %d, this jobd reads %d", d.handoverPath(), h.Version, handoverVersion)
	case h.BootID != d.boot:
		return nil, nil // it was there before the host went down
	}
	return &h, nil
}

// queued reports whether the engine reads on from what was told while there was none, or from sockets that were held.
func (d *jobd) queued() bool { return d.keepsTelling() || d.held() }

func (d *jobd) held() bool { return d.holder.fd(heldEvents) >= 0 && d.holder.fd(heldStats) >= 0 }

// takeUp opens the engine and takes up the jobs that were open before, in the best way that is possible.
func (d *jobd) takeUp() error {
	last, err := d.lastHandover()
	if err != nil {
		d.log.Warn("what the jobd before has left is of no use: looking for the jobs' members", "error", err)
	}
	open, err := d.lastOpen()
	if err != nil {
		return err
	}
	from := kernel.Sockets{Events: d.holder.fd(heldEvents), Stats: d.holder.fd(heldStats)}
	if d.keepsTelling() {
		done, err := d.takeUpKept(last, open)
		if done || err != nil {
			return err
		}
	}
	if d.held() && last.by(engineConnector) {
		if err = d.goOn(from, last, open); err == nil {
			return d.catchUp(open)
		}
		d.log.Warn("cannot go on where the jobd before stopped: looking for the jobs' members", "error", err)
		d.closeEngine()
	}
	if d.held() {
		if err = d.openEngine(kernel.Inherit(from, nil)); err == nil {
			return d.recover(open)
		}
		d.log.Warn("cannot read on from the sockets that were held: opening others", "error", err)
		d.unhold(heldEvents, heldStats)
	}
	if err := d.openEngine(); err != nil {
		return err
	}
	return d.recover(open)
}

// takeUpKept is takeUp with the engine that the kernel tells. It is not done where that cannot be opened, and another may be.
func (d *jobd) takeUpKept(last *handover, open []job.Saved) (done bool, err error) {
	if d.held() {
		d.unhold(heldEvents, heldStats)
	}
	if last.by(engineBPF) {
		if err = d.goOn(kernel.Sockets{}, last, open); err == nil {
			return true, d.catchUp(open)
		}
		d.log.Warn("cannot go on where the jobd before stopped: asking the kernel for the jobs' members", "error", err)
		d.closeEngine()
	}
	if err = d.openEngine(); err == nil {
		return true, d.recover(open)
	}
	if d.cfg.Engine == engineBPF {
		return false, err
	}
	d.refused = true
	d.engineWhy, d.fellBack = "the bpf engine cannot be opened: "+err.Error(), true
	d.closeEngine()
	return false, nil
}

// by reports whether an engine of that name has handed over.
func (h *handover) by(name string) bool {
	return h != nil && (h.Name == name || h.Name == "" && name == engineConnector)
}

// goOn makes the engine and the tables as they were where the jobd before stopped. Nothing is read before that has succeeded.
func (d *jobd) goOn(from kernel.Sockets, last *handover, open []job.Saved) error {
	if err := d.openEngine(kernel.Inherit(from, last.Engine)); err != nil {
		return err
	}
	if err := d.table.TakeOver(last.Table); err != nil {
		return err
	}
	if err := d.sameJobs(open); err != nil {
		return err
	}
	if err := d.reserveFirst(); err != nil {
		return err
	}
	for _, s := range open {
		d.engine.Testify(kernel.Label(s.JID), s.Placement, s.AuditSession)
		d.borrow(s)
		d.mayLinger(s.JID) // it waits for what the jobd before would have done, and for this
		d.awaitAudit(s.JID, s.Placement)
	}
	return nil
}

// catchUp reads what has queued up since.
func (d *jobd) catchUp(open []job.Saved) error {
	d.continued = true
	if err := errors.Join(d.limitAgain(), d.begin(d.started), d.drainAll()); err != nil {
		return err
	}
	d.log.Info("went on where the jobd before stopped", "jobs", len(open), "members", d.table.Balance().Live)
	return d.journal.Compact(d.store.Waiting())
}

// sameJobs checks that what was handed over is what is on file, and what the engine has labels of.
func (d *jobd) sameJobs(open []job.Saved) error {
	if differ := d.tableDiffers(); len(differ) > 0 {
		return fmt.Errorf("it does not fit together: %s", differ[0])
	}
	jobs := d.table.Briefs()
	on := make(map[job.JID]bool)
	for _, s := range open {
		on[s.JID] = true
	}
	for _, j := range jobs {
		if !on[j.JID] {
			return fmt.Errorf("job %d is not open in the books", j.JID.Seq())
		}
	}
	if len(jobs) != len(open) {
		return fmt.Errorf("%d jobs were handed over, and %d are open in the books", len(jobs), len(open))
	}
	return nil
}

func (d *jobd) closeEngine() {
	if d.engine != nil {
		d.engine.Close()
		d.engine = nil
	}
}

// holdAll has the sockets held from now on.
func (d *jobd) holdAll(open *doors) {
	if !d.holder.there() {
		return
	}
	err := errors.Join(d.holder.holdListener(heldLogin, open.login), d.holder.holdListener(heldAPI, open.api), d.holder.holdListener(heldLib, open.lib))
	if s := d.engine.Sockets(); s.Events >= 0 {
		err = errors.Join(err, d.holder.hold(heldEvents, s.Events), d.holder.hold(heldStats, s.Stats))
	}
	if err != nil {
		d.log.Error("the service manager cannot hold jobd's sockets: what happens while jobd is restarted will be looked for afterwards", "error", err)
		d.holder.holds = false
		return
	}
	d.engine.Keep()
	open.login.Keep()
	open.api.Keep()
	open.lib.Keep()
}

func (d *jobd) unhold(names ...string) {
	for _, name := range names {
		if err := d.holder.drop(name); err != nil {
			d.log.Warn("cannot have a socket held no longer", "name", name, "error", err)
		}
	}
}

// listenLogin takes over login.sock where it was held, else makes it.
func (d *jobd) listenLogin(path string) (*control.LoginServer, error) {
	if f := d.holder.files[heldLogin]; f != nil {
		s, err := control.ListenLoginOn(f, path, d.log)
		if err == nil {
			return s, nil
		}
		d.log.Warn("making a new socket", "error", err)
		d.unhold(heldLogin)
	}
	return control.ListenLogin(path, d.log)
}

// listenAPI does the same for jobd.sock.
func (d *jobd) listenAPI(path string) (*control.Server, error) {
	cfg := d.controlConfig()
	if f := d.holder.files[heldAPI]; f != nil {
		s, err := control.ListenOn(f, path, cfg)
		if err == nil {
			return s, nil
		}
		d.log.Warn("making a new socket", "error", err)
		d.unhold(heldAPI)
	}
	return control.Listen(path, cfg)
}

// listenLib does the same for job.sock.
func (d *jobd) listenLib(path string) (*control.JobServer, error) {
	cfg := d.controlConfig()
	if f := d.holder.files[heldLib]; f != nil {
		s, err := control.ListenJobOn(f, path, cfg)
		if err == nil {
			return s, nil
		}
		d.log.Warn("making a new socket", "error", err)
		d.unhold(heldLib)
	}
	return control.ListenJob(path, cfg)
}

func (d *jobd) controlConfig() control.Config {
	return control.Config{Log: d.log, AdminGID: d.cfg.adminGID(), Observe: d.api.request}
}

// listenMetrics does the same for Prometheus' address.
func (d *jobd) listenMetrics() (net.Listener, error) {
	if l := d.holder.tcp(heldMetrics, d.cfg.MetricsListen); l != nil {
		return l, nil
	}
	if d.holder.files[heldMetrics] != nil {
		d.unhold(heldMetrics) // it would keep the port
	}
	return net.Listen("tcp", d.cfg.MetricsListen)
}
