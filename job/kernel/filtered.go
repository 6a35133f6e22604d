package kernel

import "golang.org/x/sys/unix"

// filtered is a further connector socket, on which only what a filter passes is heard, and what ends the goroutine that
// reads it.
type filtered struct {
	src *source
	end *stopper
}

func newFiltered(filter []unix.SockFilter) (filtered, error) {
	src, err := dialConnector(filter)
	if err != nil {
		return filtered{}, err
	}
	end, err := newStopper()
	if err != nil {
		src.close()
		return filtered{}, err
	}
	return filtered{src, end}, nil
}

// stop returns when the goroutine has ended.
func (f filtered) stop() {
	f.end.stop()
	f.src.close()
}
