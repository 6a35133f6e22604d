package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longestPath is what sun_path holds (unix(7)).
const longestPath = 107

// listenUnix makes a socket. One that is left over from a jobd that was killed is replaced; one that somebody answers on,
// and anything that is no socket, is left alone.
func listenUnix(network, path string, mode fs.FileMode) (*net.UnixListener, error) {
	if len(path) > longestPath {
		return nil, fmt.Errorf("cannot listen on %s: a socket's path has %d bytes at most", path, longestPath)
	}
	if err := clearStale(network, path); err != nil {
		return nil, err
	}
	// The file gets its mode from the socket's inode at bind: there is no moment when it is wider than it is to be.
	narrow := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = unix.Fchmod(int(fd), uint32(mode)) })
		return errors.Join(err, inner)
	}}
	l, err := narrow.Listen(context.Background(), network, path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, bare(err))
	}
	if err := os.Chmod(path, mode); err != nil { // the umask may have taken something away
		l.Close()
		return nil, fmt.Errorf("cannot listen on %s: %w", path, bare(err))
	}
	return l.(*net.UnixListener), nil
}

// clearStale connects before it removes: only a socket that refuses has nobody behind it.
func clearStale(network, path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot listen on %s: %w", path, bare(err))
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("cannot listen on %s: it is there and no socket, move it away", path)
	}
	err = answers(network, path)
	switch {
	case err == nil:
		return fmt.Errorf("another jobd answers on %s: stop it first, or use another --run-dir", path)
	case errors.Is(err, unix.ECONNREFUSED):
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE): // its queue is full, or its type is another
		return fmt.Errorf("another process listens on %s: stop it first, or use another --run-dir", path)
	default:
		return fmt.Errorf("cannot tell whether another jobd answers on %s: %w", path, bare(err))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the old socket: %w", err)
	}
	return nil
}

// A jobd that was killed goes on taking connections until the last of it is gone.
const (
	dyingTime = time.Second
	dyingLook = 100 * time.Millisecond
)

// answers connects until nobody answers, for as long as somebody may take to die. Nil: somebody still does.
func answers(network, path string) error {
	for end := time.Now().Add(dyingTime); ; time.Sleep(dyingLook) {
		c, err := net.DialTimeout(network, path, dyingTime)
		if err != nil {
			return err
		}
		c.Close()
		if time.Now().After(end) {
			return nil
		}
	}
}

// bare takes the path out of an error whose sentence names it already.
func bare(err error) error {
	var path *fs.PathError
	var op *net.OpError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &op):
		return op.Err
	}
	return err
}
