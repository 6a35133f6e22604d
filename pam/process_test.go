package pam

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What Run does with signals, terminals, limits and threads.

func TestSignalsArePassedOn(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGQUIT, unix.SIGINT, unix.SIGTERM} {
		signal.Notify(make(chan os.Signal, 1), sig) // the test may run under nohup, and what it ignores its children would ignore
		defer signal.Reset(sig)
		h := startHelper(t, listener(t), asIs)
		h.line() // ready
		h.signal(sig)
		if got, want := h.line(), "got "+sig.String(); got != want {
			t.Errorf("the command says %q, want %q", got, want)
		}
		if sig != unix.SIGTERM {
			h.signal(unix.SIGTERM)
		}
		if r, rest := h.finish(); r.Err != "" || r.Result.Code != 7 {
			t.Errorf("%v: %+v %s", sig, r, rest)
		}
	}
}

// listener runs the test binary as the command that tells of its signals.
func listener(t *testing.T) helperSpec {
	t.Helper()
	listen, err := json.Marshal(helperSpec{Listen: true})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return helperSpec{ConfDir: permitAll(t), Cmd: []string{exe}, Env: []string{helperEnv + "=" + string(listen)}}
}

// The whole group gets the signal: what sh has started, too.
func TestSignalReachesTheGroup(t *testing.T) {
	h := startHelper(t, helperSpec{ConfDir: permitAll(t),
		Cmd: []string{"sh", "-c", "echo ready; sleep 100; echo slept; exit 3"}}, asIs)
	h.line()
	h.signal(unix.SIGTERM)
	r, rest := h.finish()
	if r.Err != "" || r.Result != (Result{Code: 143, Signal: unix.SIGTERM}) || strings.Contains(rest, "slept") {
		t.Errorf("%+v %q", r, rest)
	}
}

func TestContextEndsTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		if _, err := bufio.NewReader(r).ReadString('\n'); err == nil {
			cancel()
		}
	}()
	result, err := Run(ctx, Options{Service: "svc", ConfDir: permitAll(t), Stdout: w,
		Cmd: []string{"sh", "-c", "echo ready; sleep 100"}})
	w.Close()
	if err != nil || result != (Result{Code: 143, Signal: unix.SIGTERM}) {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err := Run(ctx, Options{Service: "svc", ConfDir: permitAll(t), Cmd: []string{"true"}}); err == nil {
		t.Error("a context that has ended starts a command")
	}
}

func TestIntegrationNotRoot(t *testing.T) {
	needRoot(t) // to become nobody
	s := answering(t, okAnswer)
	conf := permit(t, "session required "+moduleSO(t)+" fail=closed "+s.option())
	h := startHelper(t, helperSpec{ConfDir: conf, Cmd: []string{"sh", "-c", "id -un"}}, asNobody)
	if r, out := h.finish(); r.Err != "" || out != "nobody\n" || len(s.seen()) != 0 {
		t.Errorf("%+v %q, requests %q", r, out, s.seen())
	}
	h = startHelper(t, helperSpec{User: "root", ConfDir: conf, Cmd: []string{"id"}}, asNobody)
	const want = "cannot open a session for root under svc: user: only root may act for another user: permission denied"
	if r, out := h.finish(); r.Err != want || out != "" {
		t.Errorf("%+v %q", r, out)
	}
}

// The kernel lets the main thread alone set its loginuid.
func TestIntegrationLoginUID(t *testing.T) {
	needRoot(t)
	if _, err := os.ReadFile("/proc/self/loginuid"); err != nil {
		lacking(t, "a kernel with audit: "+err.Error())
	}
	conf := permit(t, "session required pam_loginuid.so")
	spec := helperSpec{User: "nobody", ConfDir: conf, Cmd: []string{"cat", "/proc/self/loginuid"}}
	if r, out := startHelper(t, spec, asIs).finish(); r.Err != "" || out != "65534" {
		t.Errorf("%+v, loginuid %q", r, out)
	}
	spec.OffMain = true
	r, out := startHelper(t, spec, asIs).finish()
	if !strings.HasSuffix(r.Err, "(not on the main thread, which pam_loginuid needs)") || out != "" {
		t.Errorf("%+v, loginuid %q", r, out)
	}
}

// A thread without groups has none afterwards, one with groups has those.
func TestIntegrationGroupsComeBack(t *testing.T) {
	needRoot(t)
	for _, groups := range [][]uint32{nil, {4, 6}} {
		prepare := func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: groups}}
		}
		spec := helperSpec{User: "nobody", ConfDir: permitAll(t), Cmd: []string{"id", "-G"}}
		r, out := startHelper(t, spec, prepare).finish()
		if r.Err != "" || out != "65534\n" || len(r.Before) != len(groups) || !slices.Equal(r.Before, r.After) {
			t.Errorf("%v: %+v %q", groups, r, out)
		}
	}
}

func TestIntegrationLimits(t *testing.T) {
	needRoot(t)
	file := filepath.Join(publicDir(t), "limits.conf")
	if err := os.WriteFile(file, []byte("nobody soft nofile 123\nnobody hard nofile 456\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	conf := permit(t, "session required pam_limits.so conf="+file, "session optional pam_umask.so umask=0027")
	h := startHelper(t, helperSpec{User: "nobody", ConfDir: conf,
		Cmd: []string{"sh", "-c", "ulimit -Sn; ulimit -Hn; umask"}}, asIs)
	if r, out := h.finish(); r.Err != "" || out != "123\n456\n0027\n" {
		t.Errorf("%+v %q", r, out)
	}
}

// pty gives both ends of a new pseudo-terminal; pts(4).
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		lacking(t, "pseudo-terminals: "+err.Error())
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

func onTerminal(tty *os.File) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
}

// On the caller's own terminal ^C reaches the command once, and not twice.
func TestInterruptOnTheTerminal(t *testing.T) {
	master, slave := pty(t)
	h := startHelper(t, listener(t), onTerminal(slave))
	tty := &helper{t: t, out: bufio.NewReader(master)}
	if got, want := tty.line(), fmt.Sprintf("ready %d <nil>", h.cmd.Process.Pid); got != want {
		t.Fatalf("the command says %q, want %q", got, want)
	}
	if _, err := master.Write([]byte{3}); err != nil { // ^C, termios(3)
		t.Fatal(err)
	}
	if got := tty.line(); got != "^Cgot interrupt" {
		t.Fatalf("the command says %q", got)
	}
	h.signal(unix.SIGTERM)
	if got := tty.line(); got != "got terminated" { // a second SIGINT came before
		t.Errorf("the command says %q", got)
	}
	if r, _ := h.finish(); r.Err != "" || r.Result != (Result{Code: 7}) {
		t.Errorf("%+v", r)
	}
}

// Another user's command gets a session of its own, away from the terminal.
func TestIntegrationOtherUserHasNoTerminal(t *testing.T) {
	needRoot(t)
	master, slave := pty(t)
	h := startHelper(t, helperSpec{User: "nobody", ConfDir: permitAll(t),
		Cmd: []string{"sh", "-c", "cut -d' ' -f5,6,7 /proc/$$/stat; echo $$"}}, onTerminal(slave))
	tty := &helper{t: t, out: bufio.NewReader(master)}
	ids, pid := tty.line(), tty.line()
	if want := pid + " " + pid + " 0"; ids != want { // proc(5): pgrp, session, tty_nr
		t.Errorf("group, session, terminal: %q, want %q", ids, want)
	}
	if r, _ := h.finish(); r.Err != "" || r.Result != (Result{}) {
		t.Errorf("%+v", r)
	}
}
