package control

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
)

// ListenLoginOn is ListenLogin on a socket that somebody has held since an earlier jobd made it at path: who has connected
// meanwhile is answered. The file stays the caller's.
func ListenLoginOn(f *os.File, path string, log *slog.Logger) (*LoginServer, error) {
	l, ps, err := takeUp(f, "unixpacket", path)
	if err != nil {
		return nil, err
	}
	return newLoginServer(l, ps, log), nil
}

// ListenOn is Listen on a socket that was held.
func ListenOn(f *os.File, path string, cfg Config) (*Server, error) {
	l, ps, err := takeUp(f, "unix", path)
	if err != nil {
		return nil, err
	}
	return newServer(l, ps, cfg, defaultLimits()), nil
}

// ListenJobOn is ListenJob on a socket that was held.
func ListenJobOn(f *os.File, path string, cfg Config) (*JobServer, error) {
	l, ps, err := takeUp(f, "unixpacket", path)
	if err != nil {
		return nil, err
	}
	return newJobServer(l, ps, cfg, defaultJobLimits()), nil
}

// takeUp gives a socket that was held, and what is known of who connects to it.
func takeUp(f *os.File, network, path string) (l *net.UnixListener, ps *peers, err error) {
	if ps, err = newPeers("/proc"); err == nil {
		l, err = adoptUnix(f, network, path)
	}
	return l, ps, err
}

// SyscallConn gives the socket, for somebody to hold.
func (s *Server) SyscallConn() (syscall.RawConn, error) { return s.door.SyscallConn() }

// Keep leaves the socket's file where it is when the server is closed: somebody holds the socket for the next jobd.
func (s *Server) Keep() { s.door.SetUnlinkOnClose(false) }

// adoptUnix makes a listener of a socket, if it is the one that path leads to as far as can be told.
func adoptUnix(f *os.File, network, path string) (*net.UnixListener, error) {
	any, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the socket of %s: %w", path, bare(err))
	}
	l, ok := any.(*net.UnixListener)
	if !ok || l.Addr().Network() != network || l.Addr().String() != path {
		any.Close()
		return nil, fmt.Errorf("cannot take over the socket of %s: it is %s %s", path, any.Addr().Network(), any.Addr())
	}
	st, err := os.Lstat(path)
	if err == nil && st.Mode().Type() != fs.ModeSocket {
		err = fmt.Errorf("%s is no socket", path)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot take over the socket of %s: it is not there any more: %w", path, bare(err))
	}
	return l, nil
}
