package follow

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// cannot skips a test that cannot run here, or fails it where it must.
func cannot(t *testing.T, why any) {
	t.Helper()
	if os.Getenv("JOBD_INTEGRATION") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func openConnector(t *testing.T) *kernel.Connector {
	t.Helper()
	if os.Geteuid() != 0 {
		cannot(t, "needs root: it listens to the kernel's process events")
	}
	e, err := kernel.OpenConnector(kernel.Proc, &kernel.Cgroups{}, slog.Default(), kernel.KeepExecs(kernel.ExecOff))
	must(t, err)
	t.Cleanup(e.Close)
	return e
}

// openBPF gives an engine that tells of those that it is asked to.
func openBPF(t *testing.T) *kernel.BPF {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bpf")
	kept, err := label.Follow(dir, 1)
	if err != nil {
		cannot(t, err)
	}
	t.Cleanup(func() {
		kept.Close()
		must(t, label.Unload(dir))
	})
	e, err := kernel.OpenBPF(kernel.Proc, &kernel.Cgroups{}, slog.Default(), kept, kernel.KeepExecs(kernel.ExecOff))
	must(t, err)
	t.Cleanup(e.Close)
	_, err = e.Recover(nil)
	must(t, err)
	return e
}

// waiting starts a shell that does nothing before it is told to, in a process group of its own that the test ends.
func waiting(t *testing.T, script string) (pid int32, begin func() error) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH: it left nothing behind
		<-done
	})
	return int32(cmd.Process.Pid), func() error { _, err := in.Write([]byte("go\n")); return err }
}

// eventually asks in the loop until it is so.
func eventually(t *testing.T, ctx context.Context, r *Runner, is func() bool) {
	t.Helper()
	for done := false; !done; {
		must(t, r.Do(ctx, func() error { done = is(); return nil }))
		if !done {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// TestIntegrationOneProcess: a subscriber to one process is told of it and of what it forks, with data of their own, and of nobody else.
func TestIntegrationOneProcess(t *testing.T) {
	t.Run("connector", func(t *testing.T) {
		oneProcess(t, openConnector(t), func(watch.ID) error { return nil })
	})
	t.Run("bpf", func(t *testing.T) {
		e := openBPF(t)
		oneProcess(t, e, func(who watch.ID) error { return e.Hear(who, 1) })
	})
}

func oneProcess(t *testing.T, e Engine, attach func(watch.ID) error) {
	r, ctx, end := running(t, e, slog.Default())
	pid, begin := waiting(t, "/bin/true; (sleep 0 & wait); exec /bin/true")
	depths, execs, gone := []int{}, 0, 0
	must(t, r.Do(ctx, func() error {
		who, err := r.Process(pid)
		if err != nil {
			return err
		}
		err = r.Notify.Register(&pnotify.Events{
			Name: "depth",
			Fork: func(child, parent *pnotify.Subscriber, _ *watch.Event) pnotify.Answer {
				child.Data = parent.Data.(int) + 1
				return pnotify.Keep
			},
			Exec: func(*pnotify.Subscriber, *watch.Event) { execs++ },
			Exit: func(s *pnotify.Subscriber, e *watch.Event) { gone++; depths = append(depths, s.Data.(int)) },
		})
		if err == nil {
			err = attach(who)
		}
		if err == nil {
			_, err = r.Notify.Subscribe(who, "depth", 0)
		}
		return err
	}))
	must(t, begin())
	eventually(t, ctx, r, func() bool { return gone == 4 })
	must(t, end())
	slices.Sort(depths)
	c := r.Notify.Counts("depth")
	if want := []int{0, 1, 1, 2}; !slices.Equal(depths, want) || execs != 3 || c != (pnotify.Counts{Subscribed: 1, Attached: 3, Detached: 4}) {
		t.Errorf("depths %v, want %v; %d execs, %+v", depths, want, execs, c)
	}
}

// TestIntegrationRefused: the child is killed, with either engine.
func TestIntegrationRefused(t *testing.T) {
	t.Run("connector", func(t *testing.T) {
		refused(t, openConnector(t), func(watch.ID) error { return nil })
	})
	t.Run("bpf", func(t *testing.T) {
		e := openBPF(t)
		refused(t, e, func(who watch.ID) error { return e.Hear(who, 1) })
	})
}

func refused(t *testing.T, e Engine, attach func(watch.ID) error) {
	r, ctx, _ := running(t, e, slog.Default())
	pid, begin := waiting(t, "sleep 1000 & wait $!; exit $?")
	var told watch.Event
	status := int64(-1)
	must(t, r.Do(ctx, func() error {
		who, err := r.Process(pid)
		if err != nil {
			return err
		}
		how := watch.Watcher{Name: "how", Refuse: func(e *watch.Event) error { told = *e; return nil }}
		err = errors.Join(attach(who), r.Watch.Register(how), r.Notify.Register(&pnotify.Events{
			Name: "no",
			Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { return pnotify.Refuse },
			Exit: func(s *pnotify.Subscriber, e *watch.Event) {
				if s.Proc == who {
					status = e.Value >> 8
				}
			},
		}))
		if err == nil {
			_, err = r.Notify.Subscribe(who, "no", nil)
		}
		return err
	}))
	must(t, begin())
	eventually(t, ctx, r, func() bool { return status >= 0 })
	if status != 128+int64(syscall.SIGKILL) || told.Value != watch.RefusedKilled || told.Parent.PID != pid {
		t.Errorf("the shell's child ended with %d, told %+v", status, told)
	}
}

// TestIntegrationAProcessThatIsGone is not found, nor subscribed to by an identity from before.
func TestIntegrationAProcessThatIsGone(t *testing.T) {
	r, ctx, _ := running(t, openConnector(t), slog.Default())
	pid, begin := waiting(t, ":")
	var who watch.ID
	must(t, r.Do(ctx, func() (err error) { who, err = r.Process(pid); return err }))
	must(t, begin())
	eventually(t, ctx, r, func() bool { _, err := r.Process(pid); return errors.Is(err, pnotify.ErrNoProcess) })
	err := r.Do(ctx, func() error {
		if err := r.Notify.Register(&pnotify.Events{Name: "s", Fork: keep}); err != nil {
			return err
		}
		_, err := r.Notify.Subscribe(who, "s", nil)
		return err
	})
	if !errors.Is(err, pnotify.ErrNoProcess) {
		t.Errorf("got %v, want %v", err, pnotify.ErrNoProcess)
	}
}

// TestIntegrationEverybodyInAStorm: who is subscribed to all is subscribed to just those that the engine knows to live, while processes come and go, others ask and one
// panics.
func TestIntegrationEverybodyInAStorm(t *testing.T) {
	t.Run("connector", func(t *testing.T) { everybody(t, openConnector(t), func(bool) error { return nil }, true) })
	t.Run("bpf", func(t *testing.T) {
		e := openBPF(t)
		everybody(t, e, e.HearAll, false) // what exists it looks up in /proc, where there are also those of whom was not read yet
	})
}

func everybody(t *testing.T, e Engine, hear func(bool) error, table bool) {
	r, ctx, end := running(t, e, quiet())
	var c struct{ init, attach, detach int }
	must(t, r.Do(ctx, func() error {
		return errors.Join(
			hear(true),
			r.Notify.Register(&pnotify.Events{
				Name: "all",
				Init: func(*pnotify.Subscriber) error { c.init++; return nil },
				Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { c.attach++; return pnotify.Keep },
				Exit: func(*pnotify.Subscriber, *watch.Event) { c.detach++ },
			}),
			r.Watch.Register(watch.Watcher{Name: "bad", Exec: func(*watch.Event) error { panic("boom") }}))
	}))
	pid, begin := waiting(t, "i=0; while [ $i -lt 1000 ]; do (: & ) ; i=$((i+1)); done; /bin/true; exec sleep 1000")
	must(t, begin())
	for slept := false; !slept; time.Sleep(5 * time.Millisecond) {
		must(t, r.Do(ctx, func() error {
			if !table {
				return nil
			}
			n := 0
			for id := range e.Existing() {
				if n++; r.Notify.Get(id, "all") == nil {
					t.Errorf("process %d is not subscribed to", id.PID)
				}
			}
			if has := r.Notify.Processes("all"); has != n {
				t.Errorf("subscribed to %d processes of %d", has, n)
			}
			return nil
		}))
		comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(int(pid)), "comm"))
		must(t, err)
		slept = string(comm) == "sleep\n"
	}
	must(t, end())
	must(t, r.Notify.Unregister("all"))
	if c.attach < 2000 || c.init+c.attach != c.detach || r.Watch.Panics() != 1 {
		t.Errorf("%+v, %d panics", c, r.Watch.Panics())
	}
}
