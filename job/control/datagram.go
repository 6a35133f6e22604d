package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// datagrams is a socket on which each connection has one request, in one datagram: login.sock and job.sock. Each has its own.
type datagrams struct {
	listener *net.UnixListener
	name     string
	log      *rateLog
	refusals chan struct{}
	busy     sync.WaitGroup // requests in hand
}

func newDatagrams(l *net.UnixListener, name string, log *rateLog, refusals int) datagrams {
	return datagrams{listener: l, name: name, log: log, refusals: make(chan struct{}, refusals)}
}

// Close takes the socket away; Serve returns.
func (s *datagrams) Close() error { return ignoreClosed(s.listener.Close()) }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// SyscallConn gives the socket, for somebody to hold.
func (s *datagrams) SyscallConn() (syscall.RawConn, error) { return s.listener.SyscallConn() }

// Keep leaves the socket's file where it is when the server is closed: somebody holds the socket for the next jobd.
func (s *datagrams) Keep() { s.listener.SetUnlinkOnClose(false) }

// each takes connections until the context ends or the socket is closed, and returns when no request is in hand.
func (s *datagrams) each(ctx context.Context, take func(*net.UnixConn)) error {
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	defer s.busy.Wait()
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			take(c)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			s.log.warn(Peer{PID: int32(os.Getpid())}, "cannot accept on "+s.name, "error", err)
			time.Sleep(acceptPause)
		}
	}
}

// refuse says no before the request has been read. The request is then waited for: a socket that is closed with a
// request unread gives the client ECONNRESET in place of the answer.
func (s *datagrams) refuse(c *net.UnixConn, e *Error) {
	select {
	case s.refusals <- struct{}{}:
		s.busy.Go(func() {
			defer func() { c.Close(); <-s.refusals }()
			answer(c, formatLoginError(e))
			_, _ = readDatagram(c)
		})
	default:
		c.Close()
	}
}

// answer writes one datagram. It fits the empty buffer of a new connection; the deadline is for what can't happen.
func answer(c *net.UnixConn, msg []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(loginRead))
	_, _ = c.Write(msg) // a client that has gone wants no answer
}

// readDatagram reads one message whole, or says what is wrong with it.
func readDatagram(c *net.UnixConn) ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(loginRead)); err != nil {
		return nil, err
	}
	buf := make([]byte, longestMessage)
	n, _, flags, _, err := c.ReadMsgUnix(buf, nil)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("no request came within %s", loginRead)
	case err != nil:
		return nil, err
	case flags&unix.MSG_TRUNC != 0:
		return nil, fmt.Errorf("more than %d bytes", longestMessage)
	}
	return buf[:n], nil
}

// readAnswer reads one datagram. Where an answer and the end of the connection come while Linux looks for either, it says the end first
// (net/unix/af_unix.c, unix_dgram_recvmsg), and the answer when it is asked again; so it does where the peer closed before it had read the
// request (ECONNRESET). Both may be.
func readAnswer(c net.Conn, buf []byte) (n int, err error) {
	for range 3 {
		if n, err = c.Read(buf); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
			break
		}
	}
	return n, err
}
