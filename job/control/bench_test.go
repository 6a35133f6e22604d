package control

import (
	"context"
	"net"
	"testing"

	"github.com/jobd-project/jobd/job"
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

// BenchmarkRecords is 10,000 process records asked for and read, both ends.
func BenchmarkRecords(b *testing.B) {
	n := int64(1)
	p := job.Process{
		JID: 17, Seq: 17, PID: 4242, TGID: 4242, PPID: ref(int32(1)), Comm: "cc1", Exe: "/usr/lib/cc1", UID: ref(uint32(1000)), CPU: &n, CPUUser: &n, CPUSystem: &n,
		MinFault: &n, MajFault: &n, MaxRSS: &n, MaxVM: &n, ReadChars: &n, WriteChars: &n, ReadBytes: &n, WriteBytes: &n, ExitStatus: ref(0), Flags: []string{},
	}
	f := &fake{onDo: func(context.Context, Peer, Access, Request) (any, error) {
		return Processes(func(yield func(job.Process) bool) error {
			for i := 0; i < 10_000 && yield(p); i++ {
			}
			return nil
		}), nil
	}}
	c := NewClient(serveAPI(b, f, Config{}, b.TempDir(), nil))
	for b.Loop() {
		if list, err := c.Procs(b.Context(), Request{}); err != nil || len(list) != 10_000 {
			b.Fatal(len(list), err)
		}
	}
}
