package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// exemptSettings are who leaves a job by itself.
type exemptSettings struct {
	Programs []string `toml:"programs"` // that leave it when root runs them
}

// defaultExempt is what lets others in, or runs things for others, where distributions have it.
func defaultExempt() []string {
	return []string{
		"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/sbin/dropbear",
		"/usr/sbin/cron", "/usr/sbin/crond", "/usr/sbin/atd",
		"/usr/sbin/inetd", "/usr/sbin/xinetd",
		"/usr/sbin/xrdp", "/usr/sbin/xrdp-sesman",
		"/usr/sbin/gdm", "/usr/sbin/gdm3", "/usr/sbin/lightdm", "/usr/bin/sddm",
		"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/bin/containerd",
		"/usr/sbin/slurmd",
		"/usr/sbin/jobd", "/usr/local/sbin/jobd",
	}
}

// paths are those, and jobd itself wherever it is.
func (e exemptSettings) paths() []string {
	if len(e.Programs) == 0 {
		return nil
	}
	self, err := os.Executable()
	if err != nil || slices.Contains(e.Programs, self) {
		return e.Programs
	}
	return append(slices.Clone(e.Programs), self)
}

func (e exemptSettings) check() error { return checkPrograms("exempt.programs", e.Programs, true) }

// checkPrograms refuses paths that cannot be meant; of what runs as root also a file that others can write, or by which
// any user becomes another.
func checkPrograms(key string, paths []string, asRoot bool) error {
	known := defaultExempt() // where they are strange they are not exempt, and that is no reason not to start
	var errs []error
	for _, p := range paths {
		if slices.Contains(known, p) {
			continue
		}
		if !filepath.IsAbs(p) || filepath.Clean(p) != p {
			errs = append(errs, badKey(key, "bad program %q in %s: it is a whole path, such as /usr/sbin/sshd", p, key))
			continue
		}
		st, err := os.Stat(p)
		switch {
		case !asRoot || errors.Is(err, os.ErrNotExist):
		case err != nil:
			errs = append(errs, badKey(key, "cannot use %s: %v", key, err))
		case !st.Mode().IsRegular() || !kernel.Trustworthy(st):
			errs = append(errs, badKey(key, "bad program %q in %s: it has to be a file that only root can write, without a setuid or setgid bit", p, key))
		}
	}
	return errors.Join(errs...)
}

// opensWith reports whether a process that was found to run a program, and not seen starting it, does so because its job was
// opened by that: the point of entry of a login by ssh or cron runs the daemon, and so does what it forks for itself.
func (d *jobd) opensWith(e kernel.Exempted) bool {
	runs := func(pid int32) bool { return strings.TrimSuffix(kernel.Proc.Exe(pid), " (deleted)") == e.Program } // or an update took it
	for id := e.ID; runs(id.PID); {
		if d.table.IsPOE(id) {
			return true
		}
		st, err := kernel.Proc.Status(id.PID)
		if err != nil {
			return false
		}
		var known bool
		if id, known = d.engine.Identify(st.PPID); !known {
			return false
		}
	}
	return false
}

// notRoots tells what does not leave with an exempt program: in a user's job only root's own does, because whoever was a child of
// that process before it ran the program makes siblings in its name (CLONE_PARENT).
func (d *jobd) notRoots(id watch.ID) func(pid int32) bool {
	in, err := d.table.Job(d.table.Find(id))
	users := err != nil || in.UID != 0
	return func(pid int32) bool { return users && !kernel.Proc.RootsOwn(pid) }
}

// leaveExempt takes those out of their jobs that run an exempt program, with what they have forked since: for good, as
// detach does.
func (d *jobd) leaveExempt() {
	found, more := d.engine.Exempted()
	d.exempting = more
	for _, e := range found {
		if e.At == 0 && d.opensWith(e) {
			continue
		}
		var left []watch.ID
		jid := job.JID(0)
		for _, id := range append([]watch.ID{e.ID}, d.engine.ForkedSince(e.ID, e.At, d.notRoots(e.ID))...) {
			in := d.table.Find(id)
			if in == 0 || jid != 0 && in != jid {
				continue // in a job of its own by now
			}
			switch err := d.detachOne(id, in, e.At); {
			case err == nil:
				jid, left = in, append(left, id)
			case !errors.Is(err, kernel.ErrGone):
				d.log.Error("cannot let an exempt program leave its job", "jid", in, "pid", id.PID, "error", err)
			}
		}
		if jid != 0 {
			d.table.Save(jid)
			d.log.Info("left its job: root runs an exempt program", "jid", jid, "seq", jid.Seq(), "pid", e.ID.PID, "program", e.Program, "processes", len(left))
		}
	}
}
