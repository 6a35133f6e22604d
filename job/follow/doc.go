// Package follow runs an engine for those who want to be told what happens to processes: it owns the tables of
// packages watch and pnotify, has the engine's events go through them, and lets other goroutines in.
//
// # Open, register, run
//
//	engine, err := kernel.OpenConnector(kernel.Proc, &kernel.Cgroups{}, slog.Default(), kernel.KeepExecs(kernel.ExecOff))
//	…
//	defer engine.Close()
//	runner, err := follow.New(engine, slog.Default())
//	…
//	err = runner.Watch.Register(watch.Watcher{Name: "execs", Exec: heard}) // of all processes
//	err = runner.Notify.Register(&pnotify.Events{Name: "mine", Fork: fork, Exit: exit}) // of some, or with Init of all
//	…
//	err = runner.Run(ctx)
//
// That takes root in the initial pid and user namespace, CAP_NET_ADMIN above all. docs/examples/counters is a whole
// program. To follow a single process, ask for it by pid where no event can come between (here in another goroutine
// than Run's):
//
//	err := runner.Do(ctx, func() error {
//		id, err := runner.Process(pid)
//		if err == nil {
//			_, err = runner.Notify.Subscribe(id, "mine", &widget{})
//		}
//		return err
//	})
//
// # Which engine
//
// A kernel.Connector tells of every process of the host. A kernel.BPF tells of those that it was asked to: Hear before
// subscribing to a process, whose descendants it tells of too, or HearAll before an Init over all. Nothing is sent for
// other processes. (Attach is for jobs: the kernel adds up what those use.) Both see a fork when it is done:
// who refuses a child has it killed, and it may have run until then.
//
// # What is locked
//
// Nothing has a lock. The tables, what callbacks keep, and the engine belong to the loop in Run, which calls all
// callbacks, one after another. Before Run is called and after it has returned they belong to whoever calls it. In
// between any goroutine gets at them with Do, which runs a function in the loop, between two events, when everything
// that the kernel had told before has been dispatched. A callback is in the loop already: it uses the tables
// directly, and a Do in it would wait for itself, until its context ends. What a callback gives to other goroutines
// it copies: an event is valid during the call only, and a Subscriber's Data belongs to the loop.
//
// A callback or a Do that never returns holds up the loop, Run and everybody else's Do; the kernel goes on to queue
// events until there is no room, and those that are lost are told as watch.Lost when it returns. One that panics is
// taken out, and logged with where it was; the others go on. A Do that panics has that as its error.
//
// # What it never does
//
// It decides nothing, keeps nothing on disk and writes nothing but to its log. It never moves a process, and signals
// only one that a callback refused. It does not notice when the kernel tells nothing any more, which another listener
// could bring about before Linux 6.6: the engine's Heard and ListenAgain are for that.
package follow
