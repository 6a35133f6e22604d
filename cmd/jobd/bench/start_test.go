package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/store"
)

// How jobd is started, and what logins do meanwhile: one each so many ms, with the options that a person leaves out.
const (
	starts       = 5 // of each kind
	startMost    = time.Minute
	loginEach    = 5
	loginTimeout = 500.0 // ms, pam_job(8)
	loginSlack   = 20.0  // ms, for what is not waiting
	partSpan     = 8 * day
)

// startup measures how long jobd takes from exec until it is ready, on books of millions of records with many jobs and members, and
// what a login waits meanwhile: a jobd that was stopped in order, and one that was killed, each engine.
func (b *bench) startup() error {
	if why := noRoom(); why != "" {
		b.add(row{what: "to start with many jobs and members", measured: "skipped: " + why})
		return nil
	}
	books := b.file("many.db")
	if err := b.fillBooks(books); err != nil {
		return err
	}
	defer os.Remove(books)
	for _, e := range engines {
		if err := b.startupOf(e, books); err != nil {
			return err
		}
	}
	return nil
}

// fillBooks writes the books, a million records at a time: they are made up in memory. All are within the 90 days for which they are kept.
func (b *bench) fillBooks(path string) (err error) {
	s, err := store.Open(path, store.Options{Now: time.Now()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var w written
	none := bufio.NewWriter(io.Discard)
	for part := *millions - 1; part >= 0; part-- {
		first, _, err := s.Reserve(monthJobs)
		if err != nil {
			return err
		}
		l := newLoad(time.Now().Add(-time.Duration(part)*partSpan), partSpan, job.NewJID(s.HID(), first), monthJobs, monthProcs)
		for at := 0; at < monthProcs; at += perCommit {
			if err := w.second(b.ctx, s, l, at, none); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) startupOf(e engine, books string) (err error) {
	home, err := b.newHome()
	if err != nil {
		return err
	}
	if err := copyBooks(books, home); err != nil {
		return err
	}
	d, err := b.startIn(home, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := b.writeStack(d.file("run/login.sock")); err != nil {
		return err
	}
	empty, err := d.restarts(syscall.SIGKILL, 0)
	if err != nil {
		return err
	}
	c := crowd{daemon: d}
	defer func() { err = errors.Join(err, c.disband()) }()
	if err := errors.Join(c.gather(), c.grow()); err != nil {
		return err
	}
	for _, kind := range []struct {
		what string
		by   syscall.Signal
	}{{"killed", syscall.SIGKILL}, {"stopped in order", syscall.SIGTERM}} {
		s, err := d.restarts(kind.by, members)
		if err != nil {
			return err
		}
		b.reportStarts(fmt.Sprintf("where jobd was %s, %s", kind.what, e), s, empty)
	}
	return nil
}

func copyBooks(from, home string) error {
	state := filepath.Join(home, "state")
	if err := os.Mkdir(state, 0o750); err != nil {
		return err
	}
	msg, err := exec.Command("cp", from, filepath.Join(state, "jobd.db")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot copy the books: %w: %s", err, msg)
	}
	return nil
}

// writeStack writes a service as people write it.
func (b *bench) writeStack(socket string) error {
	dir := b.file("pam.d")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "usual"), fmt.Appendf(nil,
		"session required pam_permit.so\nsession optional %s socket=%s\n", b.file("pam_job.so"), socket), 0o644))
}

// started is how starts went.
type started struct {
	took    samples // ms, from exec until jobd was ready
	cpu     samples // ms, that it was charged for that
	waits   samples // ms, of logins meanwhile and shortly after
	without int     // of them, that got no job
}

// restarts ends jobd by a signal and starts it again, some times, and looks each time whether it found everybody.
func (d *daemon) restarts(by syscall.Signal, everybody int) (s started, err error) {
	for range starts {
		if err := d.restart(by, &s); err != nil {
			return s, err
		}
		st, err := d.lost()
		if err != nil {
			return s, err
		}
		if st.Members < everybody {
			return s, fmt.Errorf("jobd found %d members of %d", st.Members, everybody)
		}
	}
	return s, nil
}

func (d *daemon) restart(by syscall.Signal, s *started) (err error) {
	_ = d.cmd.Process.Signal(by)
	if err := d.cmd.Wait(); err != nil && by != syscall.SIGKILL {
		return err
	}
	if err := forgetPages(d.file("state/jobd.db")); err != nil {
		return err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.file("notify"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notify.Close(), os.Remove(d.file("notify"))) }()
	logins, err := d.b.start(rootGroup, "session", d.b.file("pam.d"), "usual", fmt.Sprint(loginEach))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logins.kill()) }()
	used, err := charged(d.b.groups[daemonGroup], func() error { return s.start(d, notify) })
	if err != nil {
		return err
	}
	s.cpu = append(s.cpu, used.total/1e3)
	return s.read(logins)
}

// start starts jobd and waits until it is ready.
func (s *started) start(d *daemon, notify *net.UnixConn) error {
	begin := time.Now()
	if err := d.run("NOTIFY_SOCKET=" + d.file("notify")); err != nil {
		return err
	}
	if err := ready(notify); err != nil {
		return fmt.Errorf("jobd does not get ready: %w", errors.Join(err, d.stop()))
	}
	s.took = append(s.took, float64(time.Since(begin))/float64(time.Millisecond))
	return nil
}

// forgetPages has the kernel forget what it has read of a file: a host that has just come up has read nothing.
func forgetPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// ready waits for READY=1. Sockets that jobd wants held are not.
func ready(notify *net.UnixConn) error {
	if err := notify.SetReadDeadline(time.Now().Add(startMost)); err != nil {
		return err
	}
	for b := make([]byte, 4096); ; {
		n, err := notify.Read(b)
		if err != nil || slices.Contains(strings.Split(string(b[:n]), "\n"), "READY=1") {
			return err
		}
	}
}

// read ends the logins and notes how they went.
func (s *started) read(logins *proc) error {
	logins.in.Close()
	out, err := io.ReadAll(logins.out)
	if err = errors.Join(err, logins.finish()); err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		var took float64
		var has int
		if _, err := fmt.Sscan(line, &took, &has); err != nil {
			return fmt.Errorf("cannot read what the session said: %q: %w", line, err)
		}
		s.waits = append(s.waits, took/1e6)
		s.without += 1 - has
	}
	return nil
}

func (b *bench) reportStarts(how string, s, empty started) {
	b.add(row{
		what: fmt.Sprintf("from exec to ready with %s jobs, %s members and %s records, %s", number(jobs), number(members),
			number(*millions*monthProcs), how),
		measured: s.took.spread("%.0f", " ms") + fmt.Sprintf(", max %.0f", s.took.at(1)),
		beside:   "with no jobs " + empty.took.spread("%.0f", " ms"), ratio: fmt.Sprintf("%.1f", s.took.median()/empty.took.median()),
		target: "< 1 s", ok: met(s.took.at(1) < 1000),
	})
	b.add(row{what: "  CPU of it", measured: s.cpu.spread("%.0f", " ms"), beside: "with no jobs " + empty.cpu.spread("%.0f", " ms")})
	b.add(row{
		what: "  a login meanwhile: longest, median", measured: fmt.Sprintf("%.0f ms, %.2f ms", s.waits.at(1), s.waits.median()),
		beside: fmt.Sprintf("%d logins, %d without a job", len(s.waits), s.without),
		target: fmt.Sprintf("≤ %.0f ms, its timeout", loginTimeout), ok: met(s.waits.at(1) <= loginTimeout+loginSlack),
	})
}
