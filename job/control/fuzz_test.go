package control

import (
	"os"
	"strings"
	"testing"
	"time"
)

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
