package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// TestScript plays the stories of testdata against a server of jobd.sock whose backend answers from the story's own files.
//
//	rc N jobctl …    runs jobctl and expects the exit code N
//	asked FILE       compares the requests that jobd got since the last time
//	cmpcr A B        compares A, whose lines end in CR LF, with B
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setup,
		Condition:           condition,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_STORIES") != "", // read what has changed before it is kept
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"rc":    rc,
			"asked": asked,
			"cmpcr": cmpcr,
		},
	})
}

func setup(env *testscript.Env) error {
	env.Setenv("JOBD_RUN_DIR", env.WorkDir)
	env.Setenv("TZ", "UTC")
	env.Setenv("GORACE", "atexit_sleep_ms=0") // else each jobctl takes a second longer with -race
	b := &backend{dir: filepath.Join(env.WorkDir, "jobd")}
	s, err := control.Listen(filepath.Join(env.WorkDir, "jobd.sock"), control.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, b) }()
	env.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			panic(err)
		}
	})
	return nil
}

func condition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, errors.New("unknown condition " + name)
}

func rc(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: rc N command …")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

func asked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: asked FILE")
	}
	got := ts.ReadFile("jobd/asked")
	ts.Check(os.Remove(ts.MkAbs("jobd/asked")))
	if want := ts.ReadFile(args[0]); got != want {
		ts.Fatalf("jobd was asked\n%snot\n%s", got, want)
	}
}

func cmpcr(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmpcr A B")
	}
	if got, want := ts.ReadFile(args[0]), strings.ReplaceAll(ts.ReadFile(args[1]), "\n", "\r\n"); got != want {
		ts.Fatalf("it is\n%q, not\n%q", got, want)
	}
}

// backend answers each request with the file jobd/VERB-JOB.json of the story, else jobd/VERB.json, or says no with what
// VERB.error has; with VERB.lines it is a stream. $JOBCTL is the pid of who asks. Without moments.json there are none. It writes down what it was asked.
type backend struct {
	dir string
	mu  sync.Mutex
}

func (b *backend) Login(context.Context, control.Peer, control.LoginRequest) (control.LoginAnswer, error) {
	return control.LoginAnswer{}, errors.New("not in these stories")
}

func (b *backend) Job(context.Context, control.Peer, control.JobRequest) (control.JobAnswer, error) {
	return control.JobAnswer{}, errors.New("not in these stories")
}

func (b *backend) Do(_ context.Context, peer control.Peer, _ control.Access, req control.Request) (any, error) {
	if req.PID == peer.PID {
		req.PID = 0 // is another each time
	}
	if req.Name == fmt.Sprintf("jobctl-%d", peer.PID) {
		req.Name = "jobctl"
	}
	if err := b.note(req); err != nil {
		return nil, err
	}
	verb := string(req.Verb)
	if err := b.moveOn(verb); err != nil {
		return nil, err
	}
	for _, name := range []string{verb + "-" + string(req.Job), verb} {
		if text, err := os.ReadFile(filepath.Join(b.dir, name+".error")); err == nil {
			no := &control.Error{}
			return nil, errors.Join(json.Unmarshal(text, no), no)
		}
		if lines, err := os.ReadFile(filepath.Join(b.dir, name+".lines")); err == nil {
			return control.Lines(func(_ context.Context, write func([]byte) error) error { return write(lines) }), nil
		}
		text, err := os.ReadFile(filepath.Join(b.dir, name+".json"))
		if err == nil {
			pid := strconv.Itoa(int(peer.PID))
			return json.RawMessage(strings.ReplaceAll(string(text), "$JOBCTL", pid)), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if req.Verb == control.Moments {
		return []job.Moment{}, nil
	}
	return nil, errors.New("the story has no " + verb + ".json")
}

// moveOn: once a job has been made, id.json is id-after.json, where there is one.
func (b *backend) moveOn(verb string) error {
	if verb != string(control.Create) {
		return nil
	}
	err := os.Rename(filepath.Join(b.dir, "id-after.json"), filepath.Join(b.dir, "id.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *backend) note(req control.Request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(b.dir, "asked"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(string(req.Verb) + " " + string(text) + "\n")
	return errors.Join(err, f.Close())
}
