package kernel

import "os"

// stopper ends a goroutine that sleeps in poll(2): closing one end of a pipe makes the other readable.
type stopper struct {
	r, w *os.File
	fd   int
	told chan struct{} // closed when it is to end, for a goroutine that waits in Go
	done chan struct{}
}

func newStopper() (*stopper, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &stopper{r: r, w: w, fd: int(r.Fd()), told: make(chan struct{}), done: make(chan struct{})}, nil
}

// stop returns when the goroutine has closed done: it looks at no descriptor any more.
func (s *stopper) stop() {
	close(s.told)
	s.w.Close()
	<-s.done
	s.r.Close()
}
