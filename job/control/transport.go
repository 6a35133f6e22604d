package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ask sends a request and reads its answer.
func ask[T any](ctx context.Context, c *Client, verb Verb, req Request) (T, error) {
	var out T
	req.Verb = verb
	err := c.send(ctx, req, func(body io.Reader) error {
		if err := json.NewDecoder(body).Decode(&out); err != nil {
			return unreachable(ctx, c.Path, fmt.Errorf("cannot read the answer: %w", err))
		}
		return nil
	})
	return out, err
}

// each sends a request whose answer is an array, and hands on its elements one by one: there may be too many to hold. What f
// returns ends it.
func each[T any](ctx context.Context, c *Client, verb Verb, req Request, f func(T) error) error {
	req.Verb = verb
	return c.send(ctx, req, func(body io.Reader) error {
		dec := json.NewDecoder(body)
		bad := func(err error) error { return unreachable(ctx, c.Path, fmt.Errorf("cannot read the answer: %w", err)) }
		if t, err := dec.Token(); err != nil || t != json.Delim('[') {
			return bad(cmp.Or(err, errors.New("it is no array")))
		}
		for dec.More() {
			var v T
			if err := dec.Decode(&v); err != nil {
				return bad(err)
			}
			if err := f(v); err != nil {
				return err
			}
		}
		if _, err := dec.Token(); err != nil { // the array's end: without it the answer is cut off
			return bad(err)
		}
		return nil
	})
}

// all gives an array whole.
func all[T any](ctx context.Context, c *Client, verb Verb, req Request) ([]T, error) {
	list := []T{}
	err := each(ctx, c, verb, req, func(v T) error {
		list = append(list, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// send sends a request, and gives what was answered to read when it was no error.
func (c *Client) send(ctx context.Context, req Request, read func(io.Reader) error) error {
	hr, err := newHTTP(ctx, req)
	if err != nil {
		return err
	}
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: c.dial}
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(hr)
	if err != nil {
		return unreachable(ctx, c.Path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readError(resp)
	}
	return read(resp.Body)
}

// target keeps apart what could not be written and what could not be read.
type target struct {
	w   io.Writer
	err error
}

func (t *target) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	t.err = err
	return n, err
}

// copyTo hands an answer of bytes on. Its end has been seen when there is no error: the connection says so.
func (c *Client) copyTo(ctx context.Context, w io.Writer, req Request) error {
	return c.send(ctx, req, func(body io.Reader) error {
		t := &target{w: w}
		_, err := io.Copy(t, body)
		switch {
		case t.err != nil:
			return fmt.Errorf("cannot write what jobd sent: %w", t.err)
		case err != nil:
			return unreachable(ctx, c.Path, fmt.Errorf("cannot read the answer, it is cut off: %w", err))
		}
		return nil
	})
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return dialUnix(ctx, "unix", c.Path)
}

// dialUnix connects. A queue that is full is tried again: connect(2) does not wait on a socket that doesn't block.
func dialUnix(ctx context.Context, network, path string) (net.Conn, error) {
	for tries := 0; ; tries++ {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, path)
		if !errors.Is(err, unix.EAGAIN) || tries == 200 {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// newHTTP makes the HTTP request of a request, by the access table.
func newHTTP(ctx context.Context, req Request) (*http.Request, error) {
	rt := routeOf(req)
	if err := rt.check(req); err != nil {
		return nil, err
	}
	said, err := rt.say(req)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "http", Host: "jobd", Path: strings.ReplaceAll(rt.path, "{job}", string(req.Job))}
	if rt.method == get {
		u.RawQuery = asQuery(said).Encode()
		return http.NewRequestWithContext(ctx, rt.method, u.String(), nil)
	}
	body, err := encode(said)
	if err != nil {
		return nil, Errorf(BadRequest, "cannot encode the request: %s", err)
	}
	if len(body) > longestBody {
		return nil, Errorf(BadRequest, "the body has more than %d bytes", longestBody)
	}
	hr, err := http.NewRequestWithContext(ctx, rt.method, u.String(), bytes.NewReader(body))
	if err == nil {
		hr.Header.Set("Content-Type", "application/json")
	}
	return hr, err
}

// routeOf finds the route of a verb: of those that db has, by what it is to do; of the two that ps has, by whether a job is
// named.
func routeOf(req Request) route {
	var last route
	for _, rt := range routes {
		if rt.verb != req.Verb || rt.op != req.Op {
			continue
		}
		last = rt
		if strings.Contains(rt.path, "{job}") == (req.Job != "") {
			break
		}
	}
	return last
}

// say gives the fields that a request has, and refuses those that its verb doesn't take: they would be lost in silence.
func (rt route) say(req Request) (map[string]json.RawMessage, error) {
	b, err := encode(req)
	if err != nil {
		return nil, Errorf(BadRequest, "cannot encode the request: %s", err)
	}
	var said map[string]json.RawMessage
	if err := json.Unmarshal(b, &said); err != nil {
		return nil, Errorf(BadRequest, "cannot encode the request: %s", err)
	}
	if strings.Contains(rt.path, "{job}") {
		delete(said, "job")
	}
	for name := range said {
		if !slices.Contains(rt.names(), name) {
			return nil, unknownField(rt.verb, name, rt.names())
		}
	}
	return said, nil
}

func asQuery(said map[string]json.RawMessage) url.Values {
	query := url.Values{}
	for name, raw := range said {
		var s string
		var list []string
		switch {
		case json.Unmarshal(raw, &s) == nil:
			query.Set(name, s)
		case json.Unmarshal(raw, &list) == nil:
			query[name] = list
		default:
			query.Set(name, string(raw))
		}
	}
	return query
}

// readError reads an answer that says no. One that is not jobd's form is net/http's own.
func readError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, longestBody))
	var a struct {
		Error *Error `json:"error"`
	}
	if err == nil && json.Unmarshal(b, &a) == nil && a.Error != nil && a.Error.Code != "" {
		return a.Error
	}
	code := Internal
	if resp.StatusCode/100 == 4 {
		code = BadRequest
	}
	return Errorf(code, "jobd answered %s: %s", resp.Status, clip(strings.TrimSpace(string(b)), 200))
}

// unreachable says what stood between jobd and its client, and what to do about it. A cancelled context is the caller's
// own doing and stays what it is.
func unreachable(ctx context.Context, path string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w at %s: it did not answer in time: %w", ErrUnreachable, path, context.DeadlineExceeded)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w at %s: %w: is it running?", ErrUnreachable, path, bare(err))
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, path, bare(err))
}

// Login sends a request to login.sock at path, about the process that it runs in.
func Login(ctx context.Context, path string, req LoginRequest) (LoginAnswer, error) {
	msg, err := req.format()
	if err != nil {
		return LoginAnswer{}, Errorf(BadRequest, "%s", err)
	}
	c, err := dialUnix(ctx, "unixpacket", path)
	if err != nil {
		return LoginAnswer{}, unreachable(ctx, path, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(msg); err != nil {
		return LoginAnswer{}, unreachable(ctx, path, err)
	}
	buf := make([]byte, longestMessage)
	n, err := readAnswer(c, buf)
	if err != nil {
		return LoginAnswer{}, unreachable(ctx, path, err)
	}
	return parseLoginAnswer(buf[:n], req.Verb)
}
