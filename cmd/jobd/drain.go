package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// drainPath is the file that says, by the boot's id, that no new jobs are made. It is in the run directory: a drain is for what
// is done to a host that runs, and outlives jobd, but a host that comes up again makes jobs.
func (d *jobd) drainPath() string { return filepath.Join(d.cfg.RunDir, "drained") }

// drainLogins stops the making of jobs, or lets it go on. What cannot be kept is not done. It runs in the loop.
func (d *jobd) drainLogins(on bool) error {
	var err error
	if on {
		err = os.WriteFile(d.drainPath(), []byte(d.boot+"\n"), 0o600)
	} else if err = os.Remove(d.drainPath()); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("cannot note whether new jobs are made: %w", err)
	}
	d.table.Drain(on)
	return nil
}

// stayDrained goes on where the jobd before stopped, if that was in this boot.
func (d *jobd) stayDrained() {
	b, err := os.ReadFile(d.drainPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		d.log.Error("cannot tell whether jobd was drained: new jobs are made", "error", err)
		return
	case string(bytes.TrimSpace(b)) != d.boot:
		_ = os.Remove(d.drainPath()) // of another boot
		return
	}
	d.table.Drain(true)
	d.log.Warn("drained: no new jobs are made, logins get none", "until", "jobctl resume, or the next boot")
}
