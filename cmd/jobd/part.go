package main

import "context"

// part is something that jobd does while it is switched on.
type part struct{ next chan errand }

// errand is what a part is to do next; nil: nothing. over is closed when what it did before has ended.
type errand struct {
	do   func(context.Context) error
	over chan struct{}
}

func newPart() part { return part{next: make(chan errand)} }

// become has something else done, or nothing, and returns when what was done before has ended.
func (p *part) become(ctx context.Context, do func(context.Context) error) {
	t := errand{do, make(chan struct{})}
	select {
	case p.next <- t:
		<-t.over
	case <-ctx.Done():
	}
}

// run does what it is to do until ctx ends or that fails.
func (p *part) run(ctx context.Context, do func(context.Context) error) error {
	for {
		var failed chan error // nil while nothing is done
		own, end := context.WithCancel(ctx)
		if do != nil {
			failed = make(chan error, 1)
			go func() { failed <- do(own) }()
		}
		select {
		case t := <-p.next:
			end()
			if failed != nil {
				<-failed // it was told to end
			}
			close(t.over)
			do = t.do
		case err := <-failed:
			end()
			if err != nil {
				return err
			}
			do = nil // it has done all that it had to
		case <-ctx.Done():
			end()
			if failed == nil {
				return nil
			}
			return <-failed
		}
	}
}
