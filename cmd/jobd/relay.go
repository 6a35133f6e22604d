package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/cmd/jobd/feed"
	"github.com/jobd-project/jobd/job/control"
)

// watchSettings are the watchers of jobd's own.
type watchSettings struct {
	Relay bool `toml:"relay"` // every event of the host to whoever listens on events.sock
	Audit bool `toml:"audit"` // programs that are run in jobs, and changes of uid there, into the log
}

// How many may listen on events.sock, and how long one may take for an event.
const (
	relayMost = 16
	relayTime = 30 * time.Second
)

// listenEvents makes events.sock, SOCK_SEQPACKET, for root alone: the run directory is jobd's, and another jobd would have been found there.
func (d *jobd) listenEvents() (net.Listener, error) {
	path := filepath.Join(d.cfg.RunDir, "events.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove the old events.sock: %w", err)
	}
	l, err := net.Listen("unixpacket", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for those who want events: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot listen for those who want events: %w", err)
	}
	return l, nil
}

// relayOn is that part of jobd, on a listener; nil where there is none.
func (d *jobd) relayOn(l net.Listener) func(context.Context) error {
	if l == nil {
		return nil
	}
	return func(ctx context.Context) error { return d.relay(ctx, l) }
}

// relay does what the process events connector does: it sends every event of every process to all who listen, a line each. What is meant for
// one who does not read waits for nobody else, and is lost to them.
func (d *jobd) relay(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	room := make(chan struct{}, relayMost)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case room <- struct{}{}:
			all.Go(func() {
				defer func() { <-room }()
				d.relayTo(ctx, c.(*net.UnixConn))
			})
		default:
			d.log.Warn("somebody is turned away from events.sock", "listen already", relayMost)
			c.Close()
		}
	}
}

// relayTo ends with the listener, whose hanging up is an end of file.
func (d *jobd) relayTo(ctx context.Context, c *net.UnixConn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	go func() { _, _ = c.Read(make([]byte, 1)); cancel() }()
	send := func(b []byte) error {
		if err := c.SetWriteDeadline(time.Now().Add(relayTime)); err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			if _, err := c.Write(line); err != nil {
				return err
			}
		}
		return nil
	}
	lines, err := d.ownReader(ctx, feed.Filter{Host: true})
	if err == nil {
		err = lines(ctx, send)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, unix.EPIPE) {
		d.log.Warn("somebody gets no more events", "error", err)
	}
}

// ownReader opens a reader for jobd itself.
func (d *jobd) ownReader(ctx context.Context, f feed.Filter) (control.Lines, error) {
	var r *feed.Reader
	err := d.do(ctx, func() (err error) {
		r, err = d.openReader(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.follow(r, context.Background(), func() bool { return false }, func() { d.closeReader(f) }), nil
}
