package kernel

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jobd-project/jobd/job/look"
	"github.com/jobd-project/jobd/job/watch"
)

// exempt are the programs that leave a job when root runs them: what root restarts in a login, such as the daemon that lets
// others in, is not that login's. A user cannot get out this way: see really.
type exempt struct {
	paths map[string]bool
	look  *looker
	found []Exempted
}

// Exempted is a process that runs a program which is no member of any job.
type Exempted struct {
	ID      watch.ID
	Program string
	At      int64 // CLOCK_MONOTONIC ns: what it forked since then is none either; 0: nor is anything below it
	seen    int64
}

// execSettles is how long an exec may be heard of after its program can be seen: what was seen meanwhile may be of an exec
// that is still to be heard of, and what was forked before that one is not the program's.
const execSettles = int64(10 * time.Millisecond)

// ExemptPrograms says which programs leave their job when root runs them, by their paths.
func ExemptPrograms(paths []string) Option { return func(c *engine) { c.SetExempt(paths) } }

// SetExempt changes which programs those are, for what is executed from now on.
func (c *engine) SetExempt(paths []string) {
	old := c.exempt
	if c.exempt = nil; len(paths) == 0 {
		return
	}
	e := &exempt{paths: make(map[string]bool), look: newLooker(c.FS, ExecExe)}
	for _, p := range paths {
		e.paths[p] = true
		// /proc shows where a file really is. One of another name does more than what it is called by here: busybox.
		if real, err := filepath.EvalSymlinks(p); err == nil && filepath.Base(real) == filepath.Base(p) {
			e.paths[real] = true
		}
	}
	if old != nil {
		e.found = old.found
	}
	c.exempt = e
}

// Exempted hands over the members that were found to run an exempt program since it was called last, and says whether there
// are more that have to settle.
func (c *engine) Exempted() (out []Exempted, more bool) {
	if c.exempt == nil || len(c.exempt.found) == 0 {
		return nil, false
	}
	now := readClocks().mono
	var rest []Exempted
	for _, x := range c.exempt.found {
		if x.At == 0 || now-x.seen > execSettles {
			out = append(out, x)
		} else {
			rest = append(rest, x)
		}
	}
	c.exempt.found = rest
	return out, len(rest) > 0
}

// lookExempt looks whether a member runs an exempt program since at. One that has gone before anybody could look is a
// suspect: its children are looked at, because a daemon runs on in a child.
func (c *engine) lookExempt(p *proc, at int64) {
	if c.exempt == nil || p.label == 0 {
		return
	}
	exe, _ := c.exempt.look.at(p.id.PID)
	c.judgeExempt(p, exe, at)
}

// judgeExempt judges by what a member runs; nothing: it has gone.
func (c *engine) judgeExempt(p *proc, exe []byte, at int64) {
	path := c.exempt.program(exe)
	// One that is may be gone before it is taken out. One that a scan found is taken out at once, or opened its login by that
	// program: what it forks runs it too, until it runs another.
	p.suspect = len(exe) == 0 || path != "" && at != 0
	if len(exe) > 0 && path == "" {
		c.exempt.forget(p.id)
	}
	if path != "" && c.exempt.really(c.FS, p, path) {
		c.exempt.note(Exempted{ID: p.id, Program: path, At: at, seen: readClocks().mono})
	}
}

// note keeps the latest that was found of a process: what it runs now may be of a later exec than the one that was heard of.
func (e *exempt) note(x Exempted) {
	e.found = slices.DeleteFunc(e.found, func(old Exempted) bool { return old.ID == x.ID })
	e.found = append(e.found, x)
}

// forget drops what was found of a process that runs another program by now.
func (e *exempt) forget(id watch.ID) {
	if e != nil && len(e.found) > 0 {
		e.found = slices.DeleteFunc(e.found, func(x Exempted) bool { return x.ID == id })
	}
}

// ruledOut reports whether it has been read already that a program is none of them.
func (c *engine) ruledOut(what *watch.Program) bool {
	return c.exempt == nil || what != nil && what.Read != 0 && !c.exempt.paths[what.Exe]
}

// findExempt looks at every member: their execs were not heard of. It gives what each runs, as /proc/PID/exe has it.
func (c *engine) findExempt() map[watch.ID][]byte {
	if c.exempt == nil {
		return nil
	}
	var members []*proc
	for p := range c.lin.all() {
		if p.label != 0 {
			members = append(members, p)
		}
	}
	pids := make([]int32, len(members))
	for i, p := range members {
		pids[i] = p.id.PID
	}
	alone := c.exempt.look
	now := func(i int) []byte {
		path, _ := os.Readlink(alone.fs.path(pids[i], "exe")) // none: as at has it
		return []byte(path)
	}
	runs := make(map[watch.ID][]byte, len(members))
	for i, exe := range inBatches(len(pids), now, func(i int) []byte { exe, _ := alone.at(pids[i]); return exe }) {
		p := members[i]
		c.judgeExempt(p, exe, 0)
		if len(exe) > 0 {
			runs[p.id] = exe
		}
	}
	return runs
}

// program gives the path when it is one of those; its file may have been replaced since.
func (e *exempt) program(exe []byte) string {
	if e.paths[string(exe)] {
		return string(exe)
	}
	if path := string(bytes.TrimSuffix(exe, []byte(deletedMark))); e.paths[path] {
		return path
	}
	return ""
}

const deletedMark = " (deleted)"

// really reports whether the process is root's, as the kernel has it: all its uids are 0, in our own user namespace, and it
// runs that very file, which only root can write and which makes nobody root (a setuid program any user may run).
func (e *exempt) really(fs FS, p *proc, path string) bool {
	if !fs.RootsOwn(p.id.PID) {
		return false
	}
	runs, err := look.At(looks, p.id.PID, func() (os.FileInfo, error) {
		return os.Stat(string(fs) + "/" + strconv.Itoa(int(p.id.PID)) + "/exe")
	})
	if err != nil || !Trustworthy(runs) {
		return false
	}
	exe, err := fs.link(p.id.PID, "exe")
	if err != nil {
		return false
	}
	if !strings.HasSuffix(exe, deletedMark) {
		if file, err := os.Stat(path); err != nil || !os.SameFile(file, runs) {
			return false
		}
	}
	st, err := fs.Stat(p.id.PID)
	return err == nil && p.began(st.Start) // all that was the process that is meant
}

// Trustworthy reports whether a program is root's alone to write, and gives nobody who runs it another uid or gid.
func Trustworthy(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Uid == 0 && st.Mode().Perm()&0o022 == 0 && st.Mode()&(os.ModeSetuid|os.ModeSetgid) == 0
}

// allRoot reports whether each of a process's uids is 0: real, effective, saved, file system.
func (fs FS) allRoot(pid int32) bool {
	return fs.uidIs(0, pid) == [4]bool{true, true, true, true}
}

// ForkedSince gives the living processes below one that were forked since a moment, CLOCK_MONOTONIC ns; 0: all below it. What
// was forked before, or is refused, is left out with all that descends from it.
func (c *engine) ForkedSince(id watch.ID, at int64, refused func(pid int32) bool) (out []watch.ID) {
	since := c.clock.bootTime(at)
	below := make(map[watch.ID][]watch.ID)
	for p := range c.lin.all() {
		if at == 0 || p.start >= since {
			below[p.parent] = append(below[p.parent], p.id)
		}
	}
	for next := []watch.ID{id}; len(next) > 0; next = next[1:] {
		for _, child := range below[next[0]] {
			if !refused(child.PID) {
				out, next = append(out, child), append(next, child)
			}
		}
	}
	return out
}

// RootsOwn reports whether all of a process's uids are 0, in our own user namespace.
func (fs FS) RootsOwn(pid int32) bool {
	ours, err := os.Readlink(string(fs) + "/self/ns/user")
	if err != nil {
		return false
	}
	its, err := fs.link(pid, "ns/user")
	return err == nil && its == ours && fs.allRoot(pid)
}
