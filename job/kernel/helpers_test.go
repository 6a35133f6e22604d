package kernel

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shrink makes a socket's receive buffer as small as the kernel allows.
func shrink(t *testing.T, raw syscall.RawConn) {
	t.Helper()
	var failed error
	err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}
