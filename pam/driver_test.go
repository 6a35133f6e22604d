package pam

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience ends a test that hangs; nothing else is measured against it.
const patience = 2 * time.Minute

// The results of libpam that the tests name; _pam_types.h.
const (
	pamSuccess    = 0
	pamPermDenied = 6
	pamSessionErr = 14
)

// driver is one process of testdata/driver.c.
type driver struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	logs []string // what went to the system log: "3 pam_job(svc:session): …"
}

type flavour struct{ module, driver string }

func release(t testing.TB) flavour {
	t.Helper()
	exe, err := once(t, "driver", func(out string) error {
		return build(t, out, "testdata/driver.c", driverFlags...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return flavour{module: moduleSO(t), driver: exe}
}

// sanitized is the module with the address and undefined-behaviour checkers,
// where the compiler has them.
func sanitized(t testing.TB) flavour {
	t.Helper()
	so, err := once(t, "pam_job_asan.so", func(out string) error {
		return build(t, out, "module/*.c", "-std=c11", "-O1", "-fPIC", "-shared", sanitize[0], sanitize[1], sanitize[2])
	})
	if err != nil {
		t.Logf("no sanitizers, the release build is used: %v", err)
		return release(t)
	}
	exe, err := once(t, "driver_asan", func(out string) error {
		return build(t, out, "testdata/driver.c", append(sanitize, driverFlags...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return flavour{module: so, driver: exe}
}

// newDriver starts a driver over a PAM directory; it believes to be root.
func newDriver(t testing.TB, f flavour, conf string) *driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	d := &driver{t: t, cmd: exec.CommandContext(ctx, f.driver, conf)}
	in, err1 := d.cmd.StdinPipe()
	out, err2 := d.cmd.StdoutPipe()
	var stderr strings.Builder
	d.cmd.Stderr = &stderr
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.in, d.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		defer cancel()
		in.Close()
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("the driver ended with %v\n%s", err, stderr.String())
		}
	})
	d.do("euid 0")
	return d
}

// session starts a driver whose service svc has our module as its only session
// line, with these options, and a handle for alice.
func newSession(t testing.TB, options string) *driver {
	t.Helper()
	f := release(t)
	d := newDriver(t, f, confDir(t, "session required "+f.module+" "+options))
	d.start("alice")
	return d
}

// send writes one command without waiting for its answer.
func (d *driver) send(line string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, line+"\n"); err != nil {
		d.t.Fatalf("cannot send %q: %v", line, err)
	}
}

// answer gives the lines of one command, without those for the log.
func (d *driver) answer() []string {
	d.t.Helper()
	var lines []string
	for {
		line, err := d.out.ReadString('\n')
		if err != nil {
			d.t.Fatalf("the driver is gone: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "done" {
			return lines
		}
		if text, ok := strings.CutPrefix(line, "log "); ok {
			d.logs = append(d.logs, text)
		} else {
			lines = append(lines, line)
		}
	}
}

func (d *driver) do(line string) string {
	d.t.Helper()
	d.send(line)
	return strings.Join(d.answer(), "\n")
}

// phase runs open, close, acct, … and gives its result and how long it took.
func (d *driver) phase(name string) (rc int, took time.Duration) {
	d.t.Helper()
	return d.parse(d.do(name))
}

func (d *driver) parse(answer string) (rc int, took time.Duration) {
	d.t.Helper()
	var us int64
	if _, err := fmt.Sscanf(answer, "rc %d us=%d", &rc, &us); err != nil {
		d.t.Fatalf("cannot read %q: %v", answer, err)
	}
	return rc, time.Duration(us) * time.Microsecond
}

// want runs a phase and checks its result.
func (d *driver) want(name string, rc int) {
	d.t.Helper()
	if got, _ := d.phase(name); got != rc {
		d.t.Fatalf("%s gives %d, want %d; log: %q", name, got, rc, d.logs)
	}
}

func (d *driver) start(user string) {
	d.t.Helper()
	if got := d.do("start svc " + percent(user)); got != "rc 0" {
		d.t.Fatalf("pam_start: %s", got)
	}
}

func (d *driver) end() {
	d.t.Helper()
	if got := d.do("end"); got != "rc 0" {
		d.t.Fatalf("pam_end: %s", got)
	}
}

func (d *driver) setItem(name, value string) {
	d.t.Helper()
	if got := d.do("item " + name + " " + percent(value)); got != "rc 0" {
		d.t.Fatalf("pam_set_item %s: %s", name, got)
	}
}

func (d *driver) putenv(pair string) {
	d.t.Helper()
	if got := d.do("putenv " + percent(pair)); got != "rc 0" {
		d.t.Fatalf("pam_putenv: %s", got)
	}
}

func (d *driver) jid() string {
	d.t.Helper()
	return strings.TrimPrefix(d.do("getenv JOB_JID"), "env ")
}

// percent writes the bytes that would break a command line as %XX.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '%' || c == 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
