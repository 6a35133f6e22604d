// Command counters is the test module of the pnotify document, outside the kernel: it is told of every process of the host until it is
// interrupted, and then prints how often each of its callbacks was called. attached + init = detached. It has to run as root.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/jobd-project/jobd/job/follow"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

// module is what the document's test module keeps. The loop calls all of it: there is nothing to be locked.
type module struct{ init, attach, exec, detach int }

func (m *module) events() *pnotify.Events {
	return &pnotify.Events{
		Name: "test_module",
		Init: func(*pnotify.Subscriber) error { m.init++; return nil },
		Fork: func(_, _ *pnotify.Subscriber, _ *watch.Event) pnotify.Answer { m.attach++; return pnotify.Keep },
		Exec: func(*pnotify.Subscriber, *watch.Event) { m.exec++ },
		Exit: func(*pnotify.Subscriber, *watch.Event) { m.detach++ },
	}
}

func (m *module) print(w io.Writer) {
	fmt.Fprintf(w, "detach called %d times...\nattach called %d times...\n", m.detach, m.attach)
	fmt.Fprintf(w, "init called %d times...\nexec called %d times...\n", m.init, m.exec)
	if m.attach+m.init != m.detach {
		fmt.Fprintln(w, "pnotify PROBLEM: attach count + init count SHOULD equal detach count and doesn't")
		return
	}
	fmt.Fprintln(w, "Good - attach count + init count equals detach count.")
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "counters:", err)
		os.Exit(1)
	}
}

// run opens an engine, registers the module, and lets it be told until ctx ends.
func run(ctx context.Context, w io.Writer) error {
	engine, err := kernel.OpenConnector(kernel.Proc, &kernel.Cgroups{}, slog.Default(), kernel.KeepExecs(kernel.ExecOff))
	if err != nil {
		return err
	}
	defer engine.Close()
	runner, err := follow.New(engine, slog.Default())
	if err != nil {
		return err
	}
	var m module
	if err := runner.Notify.Register(m.events()); err != nil {
		return err
	}
	fmt.Fprintf(w, "subscribed to %d processes\n", m.init)
	if err := runner.Run(ctx); err != nil {
		return err
	}
	if err := runner.Notify.Unregister("test_module"); err != nil {
		return err
	}
	m.print(w)
	return nil
}
