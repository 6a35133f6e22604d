package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// reread is what became of the configuration when it was read last.
type reread struct {
	file    string // empty: there was none
	at      time.Time
	err     error    // why what was read does not hold; nil: it does
	restart []string // keys that hold after a restart
}

// settings is what of the configuration holds now. It does not change: another is put in its place.
func (d *jobd) settings() *settings { return d.live.Load() }

func (d *jobd) startSettings() {
	d.auditPart, d.relayPart = newPart(), newPart()
	s := d.cfg.settings
	d.live.Store(&s)
	d.reread.Store(&reread{file: d.cfg.ReadFrom, at: d.cfg.ReadAt})
	d.hup = make(chan os.Signal, 1)
	signal.Notify(d.hup, syscall.SIGHUP)
}

func (d *jobd) statusOfConfig() control.ConfigStatus {
	r := d.reread.Load()
	s := control.ConfigStatus{File: job.Text(r.file), ReadAt: r.at, Restart: slices.Clone(r.restart)}
	if s.Restart == nil {
		s.Restart = []string{}
	}
	if r.err != nil {
		s.Error = job.Text(r.err.Error())
	}
	return s
}

// reloads reads the configuration again at each SIGHUP, in its own goroutine: files are waited for.
func (d *jobd) reloads(ctx context.Context, open *doors) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.hup:
			d.notifyReloading()
			d.reload(ctx, open)
			d.notifyReady()
		}
	}
}

// notifyReloading tells systemd that jobd has taken its signal, and when: sd_notify(3). A unit of Type=notify-reload waits for that, one
// of Type=notify says so in its state.
func (d *jobd) notifyReloading() {
	d.notifySystemd(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()/1000))
}

func (d *jobd) notifyReady() { d.notifySystemd(daemon.SdNotifyReady) }

func (d *jobd) notifySystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		d.log.Warn("cannot tell systemd how jobd is", "state", state, "error", err)
	}
}

// reload reads the file and has the loop change what can change. One that is wrong changes nothing.
func (d *jobd) reload(ctx context.Context, open *doors) {
	next, old := *d.cfg, d.settings()
	err := next.read(hostConfig, d.checkOtherMetrics)
	now, changed, restart := blend(old, &next.settings)
	var events net.Listener
	if err == nil && now.Watch.Relay && !old.Watch.Relay {
		events, err = d.listenEvents()
	}
	if err == nil {
		err = d.do(ctx, func() error { return d.hold(now, changed, open) })
	}
	if err != nil {
		if events != nil {
			events.Close()
		}
		d.notReread(err)
		return
	}
	if now.Watch.Audit != old.Watch.Audit {
		d.auditPart.become(ctx, d.auditEventsIf(now.Watch.Audit))
	}
	if now.Watch.Relay != old.Watch.Relay {
		d.relayPart.become(ctx, d.relayOn(events))
	}
	d.reread.Store(&reread{file: next.ReadFrom, at: next.ReadAt, restart: restart})
	d.log.Info("the configuration was read again", "file", next.ReadFrom, "changed", strings.Join(changed, " "))
	if len(restart) > 0 {
		d.log.Warn("some of the configuration holds after a restart of jobd", "keys", strings.Join(restart, " "))
	}
}

// checkOtherMetrics looks at the files of [metrics] where that was changed. They decide about nothing else.
func (d *jobd) checkOtherMetrics(s *settings) error {
	if s.Metrics == d.cfg.Metrics {
		return nil
	}
	_, err := s.Metrics.checkFiles()
	return err
}

// notReread notes why what was read does not hold.
func (d *jobd) notReread(err error) {
	r := *d.reread.Load()
	r.err = errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	d.reread.Store(&r)
	d.log.Error("the configuration was not read again: nothing has changed", "error", r.err)
}

// hold has other settings hold. It runs in the loop, and does first what may fail.
func (d *jobd) hold(now *settings, changed []string, open *doors) error {
	old := d.settings()
	among := func(table string) bool {
		return slices.ContainsFunc(changed, func(key string) bool { return strings.HasPrefix(key, table+".") })
	}
	if now.Record.Exec != old.Record.Exec {
		if err := d.engine.SetExecs(now.Record.Exec); err != nil {
			return fmt.Errorf("cannot change record.exec: %w", errors.Join(err, d.engine.SetExecs(old.Record.Exec)))
		}
	}
	d.live.Store(now)
	d.lines.SetLevel(now.level())
	d.lines.SetBurst(now.Log.Burst)
	d.store.SetKeep(now.Keep.store())
	open.api.SetAdminGID(now.adminGID())
	open.lib.SetAdminGID(now.adminGID())
	if old.Visibility == "all" && now.Visibility != "all" || now.AdminGID != old.AdminGID {
		d.watching.narrow()
	}
	if among("exempt") {
		d.engine.SetExempt(now.Exempt.paths())
	}
	if among("linger") {
		d.lingerAnew()
	}
	if among("record") {
		d.engine.SetGroups(now.Record.mask())
		d.mark(job.Moment{Time: time.Now(), Kind: job.MomentConfig, Text: job.Text(d.cfg.summary(now))})
	}
	return nil
}

// blend is what of other settings can hold at once; which keys that changes, and which hold after a restart only.
func blend(old, next *settings) (now *settings, changed, restart []string) {
	s := *next
	s.HID, s.Host, s.Label, s.Metrics = old.HID, old.Host, old.Label, old.Metrics
	before, after := keysOf(old), keysOf(&s)
	for key, value := range keysOf(next) {
		switch {
		case !reflect.DeepEqual(value, after[key]):
			restart = append(restart, key)
		case !reflect.DeepEqual(value, before[key]):
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	slices.Sort(restart)
	return &s, changed, restart
}

// keysOf gives the keys of the configuration file, and what each is.
func keysOf(s *settings) map[string]any {
	out := make(map[string]any)
	var table func(of reflect.Value, name string)
	table = func(of reflect.Value, name string) {
		for i := range of.NumField() {
			key, field := name+of.Type().Field(i).Tag.Get("toml"), of.Field(i)
			switch {
			case field.Kind() == reflect.Struct:
				table(field, key+".")
			case field.Kind() == reflect.Slice && field.Len() == 0: // nil is no other list than an empty one
				out[key] = []string{}
			default:
				out[key] = field.Interface()
			}
		}
	}
	table(reflect.ValueOf(s).Elem(), "")
	return out
}
