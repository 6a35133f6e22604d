package control

import (
	"net"
	"testing"
)

// BenchmarkLogin is a whole login on login.sock, with 100 clients of jobd.sock that say nothing.
func BenchmarkLogin(b *testing.B) {
	dir := b.TempDir()
	path, api := serveLogin(b, &fake{}, nil, dir), serveAPI(b, &fake{}, Config{}, dir, nil)
	for range 100 {
		c, err := net.Dial("unix", api)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
	}
	for b.Loop() {
		if _, err := Login(b.Context(), path, alice); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStatus is a request of jobctl's on jobd.sock.
func BenchmarkStatus(b *testing.B) {
	c := NewClient(serveAPI(b, &fake{}, Config{}, b.TempDir(), nil))
	for b.Loop() {
		if _, err := c.Status(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
