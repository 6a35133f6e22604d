package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jobd-project/jobd/job/control"
)

// TestScript plays the stories of testdata against a server of jobd.sock whose backend answers from the story's own files.
//
//	rc N jobctl …    runs jobctl and expects the exit code N
//	asked FILE       compares the requests that jobd got since the last time
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

// backend answers each request with the file jobd/VERB-JOB.json of the story, else jobd/VERB.json, or says no with what
// VERB.error has. It writes down what it was asked.
type backend struct {
	dir string
	mu  sync.Mutex
}

func (b *backend) Login(context.Context, control.Peer, control.LoginRequest) (control.LoginAnswer, error) {
	return control.LoginAnswer{}, errors.New("not in these stories")
}

func (b *backend) Do(_ context.Context, peer control.Peer, _ control.Access, req control.Request) (any, error) {
	if req.PID == peer.PID {
		req.PID = 0 // is another each time
	}
	if err := b.note(req); err != nil {
		return nil, err
	}
	verb := string(req.Verb)
	for _, name := range []string{verb + "-" + string(req.Job), verb} {
		if text, err := os.ReadFile(filepath.Join(b.dir, name+".error")); err == nil {
			no := &control.Error{}
			return nil, errors.Join(json.Unmarshal(text, no), no)
		}
		text, err := os.ReadFile(filepath.Join(b.dir, name+".json"))
		if err == nil {
			return json.RawMessage(text), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, errors.New("the story has no " + verb + ".json")
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
