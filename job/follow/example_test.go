package follow_test

import (
	"context"
	"fmt"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/jobd-project/jobd/job/follow"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/watch"
)

// Every exec of the host, until the program is told to end. It takes root.
func Example() {
	engine, err := kernel.OpenConnector(kernel.Proc, &kernel.Cgroups{}, slog.Default(), kernel.KeepExecs(kernel.ExecOff))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	runner, err := follow.New(engine, slog.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	err = runner.Watch.Register(watch.Watcher{Name: "execs", Exec: func(e *watch.Event) error {
		fmt.Println("exec", e.Proc.PID)
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runner.Run(ctx); err != nil {
		fmt.Println(err)
	}
}
