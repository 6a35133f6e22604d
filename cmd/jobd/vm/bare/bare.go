package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

const (
	runDir   = "/run/jobd"
	stateDir = "/disk/jobd"
	patience = 60 * time.Second // the machine is emulated
)

// bare is a boot.
type bare struct {
	client *control.Client
	jobd   *exec.Cmd
	gone   chan error
	boot   job.Text

	mu             sync.Mutex
	passed, failed int
	commits        int // of jobd, that were seen
	later          []fact
}

func newBare() *bare { return &bare{client: control.NewClient(runDir + "/jobd.sock")} }

// run is the boot from the mounted disk on.
func (b *bare) run(what string) {
	section("the books")
	b.hasBooks()
	b.start()
	st, err := b.client.Status(b.soon())
	if err != nil {
		b.say(false, "jobd answers", err)
		return
	}
	b.boot = job.Text(st.BootID)
	b.say(st.Store.SetAside == "", "no file was set aside", st.Store.SetAside)
	p := readPast("/past")
	b.compare(p)
	if what == "storm" {
		b.sum()
		section("storms")
		fmt.Println("= boot", b.boot)
		b.storms()
	}
	section("a small pid_max")
	b.pids()
	section("a clock that jumps")
	b.clock()
	section("the end")
	b.stop(unix.SIGTERM)
	b.check("after an orderly end")
	b.sum()
}

// section says when something begins, by the time since the kernel was started.
func section(name string) {
	up, _ := os.ReadFile("/proc/uptime")
	since, _, _ := strings.Cut(string(up), " ")
	fmt.Printf("# %s s: %s\n", since, name)
}

// say tells of one check. Got is printed where it failed.
func (b *bare) say(ok bool, name string, got any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.passed++
		fmt.Println("ok -", name)
		return
	}
	b.failed++
	fmt.Printf("not ok - %s: got %.1000v\n", name, got)
}

func (b *bare) sum() { fmt.Printf("vm: %d passed, %d failed\n", b.passed, b.failed) }

func (b *bare) soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// until repeats a question until the answer is right or it is too late.
func until(right func() bool) bool {
	for end := time.Now().Add(patience); !right(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// hasBooks checks the books that were found, before jobd does anything to them.
func (b *bare) hasBooks() {
	if _, err := os.Stat(stateDir + "/jobd.db"); err == nil {
		b.check("as they were found")
	}
}

func (b *bare) check(when string) {
	out, err := exec.Command("/jobd", "db", "check", "--state-dir", stateDir).CombinedOutput()
	b.say(err == nil, "jobd db check of the books "+when, string(out))
}

func (b *bare) start() {
	// The engine by which records are there as soon as processes have gone, and a clock that is set while jobd is down leaves a mark.
	b.jobd = exec.Command("/jobd", "--run-dir", runDir, "--state-dir", stateDir, "--config", "/jobd.toml", "--metrics-listen", "", "--engine", "connector")
	log, err := os.OpenFile("/run/jobd.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		b.jobd.Stderr = log
		defer log.Close()
		err = b.jobd.Start()
	}
	if err != nil {
		b.say(false, "jobd starts", err)
		return
	}
	b.gone = make(chan error, 1)
	go func(cmd *exec.Cmd, gone chan<- error) { gone <- cmd.Wait() }(b.jobd, b.gone)
	ok := until(func() bool {
		_, err := b.client.Status(b.soon())
		return err == nil
	})
	text, _ := os.ReadFile("/run/jobd.log")
	b.say(ok, "jobd starts", string(text))
}

func (b *bare) stop(sig unix.Signal) {
	_ = b.jobd.Process.Signal(sig)
	<-b.gone
}
