package main

import (
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// beats gives a tick each time that the loop has to say that it goes round, twice in the time after which the service manager ends
// who says nothing (sd_watchdog_enabled(3)). A nil channel: nobody asks.
func (d *jobd) beats() (ticks <-chan time.Time, stop func()) {
	most, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		d.log.Error("cannot tell how often the service manager wants to hear of jobd: it will end jobd if it wants to at all", "error", err)
	}
	if err != nil || most == 0 || d.holder.manager == "" {
		return nil, func() {}
	}
	t := time.NewTicker(most / 2)
	return t.C, t.Stop
}

// beat tells the service manager that the loop goes round. Only the loop says so: a jobd whose loop hangs answers no login, however well
// the rest of it is, and is ended and started again. It does not wait for a manager that takes nothing.
func (d *jobd) beat() {
	d.trouble("the service manager does not hear of jobd", d.holder.send(daemon.SdNotifyWatchdog, nil, unix.MSG_DONTWAIT))
}
