package control

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzCursor: what is read as a cursor is written as it was, and nothing else is read.
func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "-", "0123456789abcdef-1", "0123456789abcdef-18446744073709551615", "0123456789abcdef--1", "+123456789abcdef-1", "0x23456789abcdef-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err == nil && c.String() != s {
			t.Fatalf("%q is read as %s", s, c)
		}
		if err != nil && c != (Cursor{}) {
			t.Fatalf("%q: %v and %s", s, err, c)
		}
	})
}

// FuzzWatch: a query of watch is refused as a bad request, or asks for events that there are, each once.
func FuzzWatch(f *testing.F) {
	for _, s := range []string{"", "job=17&event=clone,exec", "all=true&cursor=0123456789abcdef-7", "user=a&host=true", "event=,", "event=exec,exec"} {
		f.Add(s)
	}
	i := slices.IndexFunc(routes, func(rt route) bool { return rt.verb == Watch })
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: get, URL: &url.URL{Path: "/v1/watch", RawQuery: query}, Body: http.NoBody}
		req, err := routes[i].decode(httptest.NewRecorder(), r)
		if err != nil {
			if asError(err).Code != BadRequest {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		events := req.Events()
		for j, name := range events {
			if !slices.Contains(watchable, name) || slices.Contains(events[:j], name) {
				t.Fatalf("%q asks for %q", query, events)
			}
		}
	})
}

// FuzzHTTP throws bytes at the server. It answers or hangs up, and goes on answering others.
func FuzzHTTP(f *testing.F) {
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	path := serveAPI(f, &fake{}, Config{}, dir, func(l *limits) { l.header, l.body = time.Second, time.Second })
	for _, rt := range routes {
		f.Add([]byte(rt.method + " " + strings.ReplaceAll(rt.path, "{job}", "17") + "?all=true&limit=3 HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n" + `{"signal":9}`))
	}
	f.Add([]byte("GET /v1/report?by=tag:a&tag=a&tag=b%3dc&command=%5ea%2b&rhost=::/3&exit=!0&min_cpu=1&since=2026-03-01T00:00:00Z HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST /v1/jobs/0x12/tags HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := dialAPI(t, path)
		_, _ = c.Write(in)
		_ = c.CloseWrite()
		buf := make([]byte, 512)
		n, _ := c.Read(buf)
		if n > 0 && !strings.HasPrefix(string(buf[:n]), "HTTP/1.") {
			t.Fatalf("answer %q", buf[:n])
		}
		c.Close()
		if _, err := NewClient(path).Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
