package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// silent is how many clients are connected to jobd.sock, and say nothing, while people log in.
const silent = 100

// pause between lone sessions: a process that is moved into a cgroup waits for an RCU grace period, unless one was moved
// shortly before, and most logins come alone.
const pause = 300

// login measures what pam_job.so adds to a session: where jobd gives each login a cgroup, and where each has somebody's already,
// as with pam_systemd.
func (b *bench) login() error {
	for _, e := range engines {
		if err := b.loginIn(e, rootGroup, "a cgroup of jobd's, "+string(e)); err != nil {
			return err
		}
	}
	if err := b.reportMoves(); err != nil {
		return err
	}
	for _, e := range engines {
		if err := b.loginIn(e, plainGroup, "another's cgroup, "+string(e)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) loginIn(e engine, group, how string) (err error) {
	d, err := b.startDaemon(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := b.writeStacks(d.file("run/login.sock")); err != nil {
		return err
	}
	hang := hangOn(d.file("run/jobd.sock"))
	defer hang.up()
	for _, s := range []struct {
		what       string
		count, gap int
	}{
		{"sessions in a row", *sessions, 0}, {"lone sessions", *lone, pause},
	} {
		got, err := b.sessions(group, s.count, s.gap)
		if err == nil {
			err = hang.trouble()
		}
		if err != nil {
			return err
		}
		b.reportSessions(fmt.Sprintf("%d %s, %s", s.count, s.what, how), got)
	}
	_, err = d.lost()
	return err
}

// reportMoves stands below the sessions that get a cgroup, and explains most of the time of those that come alone.
func (b *bench) reportMoves() error {
	took, err := b.bareMoves()
	if err != nil {
		return err
	}
	b.add(row{
		what:   "  a bare move into a new cgroup, as lone: median and p99",
		beside: fmt.Sprintf("%.2f ms, %.2f ms", took.median()/1e3, took.at(0.99)/1e3),
	})
	return nil
}

// writeStacks writes two services that differ in pam_job.so only.
func (b *bench) writeStacks(socket string) error {
	permit := "session required pam_permit.so\n"
	job := fmt.Sprintf("session required %s socket=%s timeout=5000 fail=closed\n", b.file("pam_job.so"), socket)
	dir := b.file("pam.d")
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(dir+"/without", []byte(permit), 0o644),
		os.WriteFile(dir+"/with", []byte(permit+job), 0o644),
		os.WriteFile(dir+"/other", []byte("session required pam_deny.so\n"), 0o644),
	)
}

// taken is how long sessions took, µs: pam_open_session, and all from pam_start to pam_end.
type taken struct{ openWith, wholeWith, openWithout, wholeWithout samples }

func (b *bench) sessions(group string, count, pause int) (t taken, err error) {
	p, err := b.start(group, "session", b.file("pam.d"), "with", "without", strconv.Itoa(count), strconv.Itoa(pause))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, p.kill()) }()
	out, err := io.ReadAll(p.out)
	if err = errors.Join(err, p.finish()); err != nil {
		return t, err
	}
	for line := range strings.Lines(string(out)) {
		var v [4]float64
		if _, err := fmt.Sscan(line, &v[0], &v[1], &v[2], &v[3]); err != nil {
			return t, fmt.Errorf("cannot read what the session said: %q: %w", line, err)
		}
		for i, to := range []*samples{&t.openWith, &t.wholeWith, &t.openWithout, &t.wholeWithout} {
			*to = append(*to, v[i]/1e3)
		}
	}
	return t, nil
}

func (b *bench) reportSessions(what string, t taken) {
	open := each(t.openWith, t.openWithout, less)
	whole := each(t.wholeWith, t.wholeWithout, less)
	ms := func(us float64) string { return fmt.Sprintf("%.2f ms", us/1e3) }
	b.add(row{
		what: "pam_job.so adds to pam_open_session, " + what + ": median", measured: ms(open.median()),
		beside: "without " + ms(t.openWithout.median()), target: "< 1 ms", ok: met(open.median() < 1e3),
	})
	b.add(row{
		what: "  p99", measured: ms(open.at(0.99)), beside: "without " + ms(t.openWithout.at(0.99)), target: "< 3 ms",
		ok: met(open.at(0.99) < 3e3),
	})
	b.add(row{
		what:     "  pam_start to pam_end: median and p99",
		measured: ms(whole.median()) + ", " + ms(whole.at(0.99)),
		beside:   "without " + ms(t.wholeWithout.median()) + ", " + ms(t.wholeWithout.at(0.99)),
	})
}

// silence keeps clients connected that say nothing. jobd throws them out after a while: they come back.
type silence struct {
	stop chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	err  error
}

func hangOn(socket string) *silence {
	s := &silence{stop: make(chan struct{})}
	var first sync.WaitGroup
	for range silent {
		first.Add(1)
		s.wg.Go(func() { s.client(socket, first.Done) })
	}
	first.Wait()
	return s
}

func (s *silence) client(socket string, connected func()) {
	var once sync.Once
	defer once.Do(connected)
	for {
		c, err := net.Dial("unix", socket)
		if err != nil {
			s.fail(err)
			return
		}
		once.Do(connected)
		gone := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, c)
			close(gone)
		}()
		select {
		case <-gone:
			c.Close()
		case <-s.stop:
			c.Close()
			<-gone
			return
		}
	}
}

func (s *silence) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// trouble is why there were fewer silent clients than there should have been.
func (s *silence) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *silence) up() {
	close(s.stop)
	s.wg.Wait()
}
