package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// streaming serves a backend whose backups are what write writes.
func streaming(t *testing.T, cfg Config, change func(*limits), write Stream) *Client {
	t.Helper()
	b := &fake{onDo: func(_ context.Context, _ Peer, _ Access, r Request) (any, error) {
		if r.Verb != DB || r.Op != OpBackup {
			t.Errorf("asked %s %s", r.Verb, r.Op)
		}
		return write, nil
	}}
	return NewClient(serveAPI(t, b, cfg, socketDir(t), change))
}

func TestBackup(t *testing.T) {
	noLeaks(t)
	want := bytes.Repeat([]byte("\x00\xffbooks\n"), 1<<17)
	for size := range map[int]bool{0: true, 1: true, len(want): true} {
		c := streaming(t, Config{}, nil, func(w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(want[:size]))
			return err
		})
		var got bytes.Buffer
		if err := c.Backup(t.Context(), &got); err != nil || !bytes.Equal(got.Bytes(), want[:size]) {
			t.Errorf("%d bytes came as %d, %v", size, got.Len(), err)
		}
	}
}

// What is cut off is never taken for all, wherever it is cut; what went wrong before the first byte is answered.
func TestBackupCutOff(t *testing.T) {
	noLeaks(t)
	log := &logText{}
	for _, size := range []int{0, 1, 4096, 1 << 20} {
		observed := make(chan Code, 1)
		cfg := Config{Log: log.logger(), Observe: func(_ Verb, c Code) { observed <- c }}
		c := streaming(t, cfg, nil, func(w io.Writer) error {
			if _, err := w.Write(make([]byte, size)); size > 0 && err != nil {
				return err
			}
			return Errorf(Unavailable, "the disk is gone")
		})
		if size == 0 {
			c = streaming(t, cfg, nil, func(io.Writer) error { return Errorf(Unavailable, "the disk is gone") })
		}
		err := c.Backup(t.Context(), io.Discard)
		var e *Error
		if answered := errors.As(err, &e); err == nil || answered != (size == 0) || errors.Is(err, ErrUnreachable) == answered {
			t.Errorf("after %d bytes: %v", size, err)
		}
		if code := <-observed; code != Unavailable {
			t.Errorf("observed %q", code)
		}
	}
	if n := strings.Count(log.String(), "answer cut off"); n != 3 {
		t.Errorf("%d lines, want 3: %s", n, log)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestBackupCannotBeWritten(t *testing.T) {
	noLeaks(t)
	c := streaming(t, Config{}, nil, func(w io.Writer) error {
		_, err := w.Write([]byte("books"))
		return err
	})
	err := c.Backup(t.Context(), full{})
	if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "cannot write what jobd sent: no space left") {
		t.Errorf("%v", err)
	}
}

// A backup takes longer than any other answer may; a reader that has stopped ends it.
func TestBackupTakesItsTime(t *testing.T) {
	noLeaks(t)
	brief := func(l *limits) { l.answer = time.Second }
	c := streaming(t, Config{}, brief, func(w io.Writer) error {
		for range 10 {
			time.Sleep(150 * time.Millisecond)
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
		return nil
	})
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); err != nil || got.Len() != 10<<16 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}

	ended := make(chan error, 1)
	c = streaming(t, Config{}, brief, func(w io.Writer) error {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				ended <- err
				return err
			}
		}
	})
	stopped := dialAPI(t, c.Path)
	_, _ = io.WriteString(stopped, "GET /v1/db/backup HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it still writes to a client that does not read")
	}
}

func TestBackupIsBytes(t *testing.T) {
	c := streaming(t, Config{}, nil, func(io.Writer) error { return nil })
	tr := &http.Transport{DisableKeepAlives: true, DialContext: c.dial}
	req, _ := http.NewRequest(http.MethodGet, "http://jobd/v1/db/backup", nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "application/octet-stream" {
		t.Errorf("%s %s", resp.Status, kind)
	}
}

// A list of records takes as long as it takes, and a client that stops reading ends it.
func TestRecordsTakeTheirTime(t *testing.T) {
	noLeaks(t)
	const pieces = 15
	b := &fake{onDo: func(_ context.Context, _ Peer, _ Access, r Request) (any, error) {
		return Processes(func(yield func(job.Process) bool) error {
			for i := range pieces {
				time.Sleep(100 * time.Millisecond)
				for range 100 {
					if !yield(job.Process{JID: 17, PID: int32(i)}) {
						return nil
					}
				}
			}
			return nil
		}), nil
	}}
	c := NewClient(serveAPI(t, b, Config{}, socketDir(t), func(l *limits) { l.answer = time.Second }))
	list, err := c.Procs(t.Context(), Request{})
	if err != nil || len(list) != pieces*100 {
		t.Errorf("%d records, %v", len(list), err)
	}
	n, enough := 0, errors.New("enough")
	err = c.EachProc(t.Context(), Request{}, func(p job.Process) error {
		if n++; n == 150 {
			return enough
		}
		return nil
	})
	if n != 150 || err != enough {
		t.Errorf("%d records, %v", n, err)
	}
}
