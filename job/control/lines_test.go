package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// streamer serves streams that lines makes.
func streamer(t *testing.T, change func(*limits), lines Lines) string {
	t.Helper()
	b := &fake{onDo: func(context.Context, Peer, Access, Request) (any, error) { return lines, nil }}
	return serveAPI(t, b, Config{}, socketDir(t), change)
}

// The head comes before there is a line; each line comes when it is written; the end of the client is the end of the context.
func TestLinesComeAtOnce(t *testing.T) {
	noLeaks(t)
	next, ended := make(chan string), make(chan error, 1)
	path := streamer(t, nil, func(ctx context.Context, write func([]byte) error) error {
		for {
			select {
			case line := <-next:
				if err := write([]byte(line)); err != nil {
					return err
				}
			case <-ctx.Done():
				ended <- ctx.Err()
				return ctx.Err()
			}
		}
	})
	w, err := NewClient(path).Watch(t.Context(), Request{All: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		next <- fmt.Sprintf("{\"event\":\"exec\",\"cursor\":\"c%d\",\"new\":1}\n", i)
		if e, err := w.Next(); err != nil || e.Event != EventExec || e.Cursor != fmt.Sprint("c", i) || !strings.Contains(string(e.Line), `"new":1`) {
			t.Errorf("%s, %v", e.Line, err)
		}
	}
	w.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the context ends with %v", err)
	}
}

// Whoever sends something while a stream goes on is hung up on: their own going would not be heard of.
func TestLinesAndGarbage(t *testing.T) {
	noLeaks(t)
	ended := make(chan error, 1)
	path := streamer(t, nil, func(ctx context.Context, _ func([]byte) error) error {
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})
	for _, garbage := range []string{"\x00", "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("{", 1<<16)} {
		c := dialAPI(t, path)
		fmt.Fprint(c, "GET /v1/watch?all=true HTTP/1.1\r\nHost: x\r\n\r\n")
		r := bufio.NewReader(c)
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, garbage)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("it is answered %q", rest)
		}
	}
}

// What is cut off is never taken for the end, and neither is a line that is no line.
func TestLinesCutOff(t *testing.T) {
	noLeaks(t)
	for text, end := range map[string]error{
		"":                                    errors.New("jobd is stopping"),
		"{\"event\":\"a\"}\n":                 errors.New("jobd is stopping"),
		"{\"event\":\"a\"}\n{":                errors.New("jobd is stopping"),
		"{\"event\":\"a\"}\n{\"event\":\"b\"": nil,
		"garbage\n":                           nil,
	} {
		path := streamer(t, nil, func(_ context.Context, write func([]byte) error) error { return errors.Join(write([]byte(text)), end) })
		w, err := NewClient(path).Watch(t.Context(), Request{All: true})
		for err == nil {
			_, err = w.Next()
		}
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("%q ends with %v", text, err)
		}
		if w != nil {
			w.Close()
		}
	}
}

// Who does not read is cut off after a while, and has blocked nobody.
func TestLinesNobodyReads(t *testing.T) {
	noLeaks(t)
	ended := make(chan error, 1)
	path := streamer(t, func(l *limits) { l.answer = 100 * time.Millisecond }, func(_ context.Context, write func([]byte) error) (err error) {
		for err == nil {
			err = write([]byte(strings.Repeat("x", 1<<16) + "\n"))
		}
		ended <- err
		return err
	})
	c := dialAPI(t, path)
	if _, err := io.WriteString(c, "GET /v1/watch?all=true HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("it goes on")
	}
}

// A user has so many streams, all together have so many, and root has as many of its own; garbage behind a request changes nothing.
func TestWatchLimits(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	path := streamer(t, func(l *limits) { l.watches, l.watching = 3, 5 }, func(ctx context.Context, _ func([]byte) error) error {
		<-ctx.Done()
		return ctx.Err()
	})
	count := func(more string, n int) (ok int) {
		for range n {
			c := dialAPI(t, path)
			fmt.Fprintf(c, "GET /v1/watch?all=true HTTP/1.1\r\nHost: x\r\n\r\n%s", more)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == http.StatusOK {
				ok++
				continue
			}
			body, _ := io.ReadAll(resp.Body)
			if e := answerError(t, string(body)); e.Code != Busy || !strings.Contains(e.Message, "watch") {
				t.Errorf("refused with %s", body)
			}
		}
		return ok
	}
	if n := count("", 4) + count("\x00garbage", 4); n != 5 {
		t.Errorf("root has %d streams, want 5", n)
	}
	for _, uid := range []uint32{ownerUID, otherUID} {
		in, out := (who{uid: uid}).start(t, "watch", path)
		if !out.Scan() || out.Text() != map[uint32]string{ownerUID: "3", otherUID: "2"}[uid] {
			t.Errorf("uid %d has %s streams", uid, out.Text())
		}
		defer in.Close()
	}
}
