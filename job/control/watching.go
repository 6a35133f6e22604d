package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Watching is a stream of events. It belongs to one goroutine, but for Close.
type Watching struct {
	ctx   context.Context
	path  string
	lines *bufio.Reader
	body  io.Closer
	end   func()
}

// Watch begins to watch: what happens from its return on is in the stream. Of req count Job, User, All, Host, Event and Cursor. The context
// ends the stream.
func (c *Client) Watch(ctx context.Context, req Request) (*Watching, error) {
	req.Verb = Watch
	return c.watch(ctx, req)
}

// Subscribe follows the process PID and what descends from it from then on, until the last of them is gone. Of req count PID, Name, Data
// and Event.
func (c *Client) Subscribe(ctx context.Context, req Request) (*Watching, error) {
	req.Verb = Subscribe
	return c.watch(ctx, req)
}

// Subscribed gives a subscription by its name. Of req count Name, PID (a process that it has to be about) and UID (whose; root only).
func (c *Client) Subscribed(ctx context.Context, req Request) (SubscribedAnswer, error) {
	return ask[SubscribedAnswer](ctx, c, Subscribed, req)
}

func (c *Client) watch(ctx context.Context, req Request) (*Watching, error) {
	hr, err := newHTTP(ctx, req)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: c.dial}
	resp, err := t.RoundTrip(hr)
	if err != nil {
		return nil, unreachable(ctx, c.Path, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return &Watching{ctx: ctx, path: c.Path, lines: bufio.NewReader(resp.Body), body: resp.Body, end: t.CloseIdleConnections}, nil
}

// Next gives the next line, and waits for it. io.EOF: there will be none, because the job has ended, or all processes that were subscribed
// to have gone. An error that wraps ErrUnreachable: jobd has gone, or cut off who did not read.
func (w *Watching) Next() (e WatchEvent, err error) {
	line, err := w.lines.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return e, io.EOF
	case err != nil:
		return e, unreachable(w.ctx, w.path, fmt.Errorf("the stream is cut off: %w", err))
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return e, unreachable(w.ctx, w.path, fmt.Errorf("cannot read a line: %w", err))
	}
	e.Line = bytes.TrimSuffix(line, []byte("\n"))
	return e, nil
}

// Ready reports whether a line has come already: Next will not wait.
func (w *Watching) Ready() bool {
	have, _ := w.lines.Peek(w.lines.Buffered()) // no error: they are there
	return bytes.IndexByte(have, '\n') >= 0
}

// Close ends the stream.
func (w *Watching) Close() error {
	defer w.end()
	return w.body.Close()
}
