package pam

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helperEnv turns the test binary into a program that calls Run, as jobctl
// does: for what needs a process of its own.
const helperEnv = "PAM_TEST_HELPER"

func init() {
	if os.Getenv(helperEnv) != "" {
		runtime.LockOSThread() // as Run's comment asks
	}
}

// helperSpec is Options as far as they can be written down.
type helperSpec struct {
	User, ConfDir string
	Cmd, Env      []string
	OffMain       bool // call Run from another thread than the main one
	Listen        bool // be a command that tells of its signals
}

// helperReport is what the helper writes on descriptor 3.
type helperReport struct {
	Result        Result
	Err           string
	Before, After []int // the calling thread's groups
}

func helperMain(text string) int {
	var spec helperSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return 2
	}
	if spec.Listen {
		return listen()
	}
	o := Options{Service: "svc", User: spec.User, ConfDir: spec.ConfDir, Cmd: spec.Cmd, Env: spec.Env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	var r helperReport
	var err error
	r.Before, _ = unix.Getgroups()
	if spec.OffMain {
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Result, err = Run(context.Background(), o)
		}()
		<-done
	} else {
		r.Result, err = Run(context.Background(), o)
	}
	r.After, _ = unix.Getgroups()
	if err != nil {
		r.Err = err.Error()
	}
	if json.NewEncoder(os.NewFile(3, "report")).Encode(r) != nil {
		return 2
	}
	return 0
}

// listen says ready, then each signal's name, and ends at SIGTERM.
func listen() int {
	c := make(chan os.Signal, 8)
	signal.Notify(c, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	sid, err := unix.Getsid(0)
	fmt.Println("ready", sid, err)
	for {
		sig := <-c
		fmt.Println("got", sig)
		if sig == unix.SIGTERM {
			return 7
		}
	}
}

// helper is a running helper process.
type helper struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *bufio.Reader
	report *os.File
	stop   context.CancelFunc
}

// startHelper runs the test binary by way of /proc/self/exe, which any user
// may, while the directory that it was built in is the builder's own.
func startHelper(t *testing.T, spec helperSpec, prepare func(*exec.Cmd)) *helper {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"="+string(text))
	cmd.Dir = "/"
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{w}
	h := &helper{t: t, cmd: cmd, report: r, stop: cancel}
	prepare(cmd)
	if cmd.Stdout == nil {
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		h.out = bufio.NewReader(out)
		context.AfterFunc(ctx, func() { out.Close() }) // the command may hold it open when the helper has been killed
		cmd.Stderr = cmd.Stdout
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return h
}

// line reads what the command prints.
func (h *helper) line() string {
	h.t.Helper()
	s, err := h.out.ReadString('\n')
	if err != nil {
		h.t.Fatalf("cannot read the command's output after %q: %v", s, err)
	}
	return strings.TrimRight(s, "\r\n")
}

func (h *helper) signal(sig os.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(sig); err != nil {
		h.t.Fatal(err)
	}
}

// finish waits for the helper and gives its report, and what was left to read.
func (h *helper) finish() (helperReport, string) {
	h.t.Helper()
	defer h.stop()
	var rest []byte
	if h.out != nil {
		rest, _ = io.ReadAll(h.out)
	}
	var r helperReport
	err := json.NewDecoder(h.report).Decode(&r)
	h.report.Close()
	if werr := h.cmd.Wait(); err != nil || werr != nil {
		h.t.Fatalf("the helper failed: %v, %v\n%s", err, werr, rest)
	}
	return r, string(rest)
}

// asNobody starts the helper as a user with no rights.
func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func asIs(*exec.Cmd) {}
