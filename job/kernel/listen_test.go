package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mute is a socket on which somebody listens and nobody answers; peer is the other end.
func mute(t *testing.T) (s *source, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return &source{fd: fds[0], buf: make([]byte, maxDatagram)}, fds[1]
}

// TestKernelWithoutConnector: a LISTEN that is ignored is no acknowledgement, and that is fatal.
func TestKernelWithoutConnector(t *testing.T) {
	s, _ := mute(t)
	if err := s.listen(); !errors.Is(err, ErrNoConnector) {
		t.Errorf("got %v, want %v", err, ErrNoConnector)
	}
}

func TestKernelThatAcknowledges(t *testing.T) {
	s, peer := mute(t)
	got := datagrams(t, "connector.hex")
	for _, name := range []string{"fork", "ack"} {
		if _, err := unix.Write(peer, got[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.listen(); err != nil {
		t.Error(err)
	}
}

// TestKernelThatRefusesExitRecords: the answer to the registration may come behind records, and may be no.
func TestKernelThatRefusesExitRecords(t *testing.T) {
	answer := func(errno int32) []byte {
		b := make([]byte, nlHeader+4+nlHeader)
		copy(b, []byte{byte(len(b)), 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0}) // NLMSG_ERROR to request 1
		copy(b[nlHeader:], []byte{byte(-errno), 0xff, 0xff, 0xff})
		if errno == 0 {
			copy(b[nlHeader:], []byte{0, 0, 0, 0})
		}
		return b
	}
	for _, c := range []struct {
		errno int32
		want  error
	}{{0, nil}, {int32(unix.EPERM), ErrNoTaskstats}} {
		s, peer := mute(t)
		for _, b := range [][]byte{datagrams(t, "taskstats.hex")["single"], answer(c.errno)} {
			if _, err := unix.Write(peer, b); err != nil {
				t.Fatal(err)
			}
		}
		err := s.register()
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("errno %d: got %v, want %v", c.errno, err, c.want)
		}
		if c.errno != 0 && !errors.Is(err, unix.Errno(c.errno)) {
			t.Errorf("the kernel's own word is lost: %v", err)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for _, c := range []struct {
		pid, user string
		want      error
	}{
		{"pid:[4026531836]", "user:[4026531837]", nil},
		{"pid:[4026532500]", "user:[4026531837]", ErrNotInitial},
		{"pid:[4026531836]", "user:[4026532501]", ErrNotInitial},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "self/ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, target := range map[string]string{"pid": c.pid, "user": c.user} {
			if err := os.Symlink(target, filepath.Join(dir, "self/ns", name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := InitialNamespaces(FS(dir)); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s %s: got %v, want %v", c.pid, c.user, err, c.want)
		}
	}
	if err := InitialNamespaces(FS(t.TempDir())); err == nil {
		t.Error("no namespaces are the initial ones")
	}
}
