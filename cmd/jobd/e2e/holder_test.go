package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// holder is as much of a service manager as holds descriptors (sd_notify(3)): it stands where systemd does.
type holder struct {
	t    *testing.T
	conn *net.UnixConn
	path string

	mu    sync.Mutex
	names []string
	files []*os.File
	said  []string // each datagram
}

// told is what jobd has said, in its order.
func (hold *holder) told() []string {
	hold.mu.Lock()
	defer hold.mu.Unlock()
	return slices.Clone(hold.said)
}

func newHolder(t *testing.T, dir string) *holder {
	t.Helper()
	hold := &holder{t: t, path: filepath.Join(dir, "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: hold.path, Net: "unixgram"})
	must(t, err)
	hold.conn = conn
	t.Cleanup(func() {
		conn.Close()
		for _, f := range hold.files {
			f.Close()
		}
	})
	go hold.serve()
	return hold
}

func (hold *holder) serve() {
	for {
		text, rights := make([]byte, 4096), make([]byte, 4096)
		n, m, _, _, err := hold.conn.ReadMsgUnix(text, rights)
		if err != nil {
			return // closed
		}
		hold.take(string(text[:n]), rights[:m])
	}
}

func (hold *holder) take(text string, rights []byte) {
	hold.mu.Lock()
	defer hold.mu.Unlock()
	hold.said = append(hold.said, text)
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		fields[k] = v
	}
	name := fields["FDNAME"]
	if fields["FDSTOREREMOVE"] != "" {
		for i := len(hold.names) - 1; i >= 0; i-- {
			if hold.names[i] == name {
				hold.files[i].Close()
				hold.names, hold.files = append(hold.names[:i], hold.names[i+1:]...), append(hold.files[:i], hold.files[i+1:]...)
			}
		}
		return
	}
	msgs, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(msgs) == 0 {
		return
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		if fields["FDSTORE"] == "" || hold.has(fd) { // systemd compares by kcmp(2)
			unix.Close(fd)
			continue
		}
		hold.names, hold.files = append(hold.names, name), append(hold.files, os.NewFile(uintptr(fd), name))
	}
}

// has reports whether the same socket is held already.
func (hold *holder) has(fd int) bool {
	for _, f := range hold.files {
		if sameFile(int(f.Fd()), fd) {
			return true
		}
	}
	return false
}

func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

func (hold *holder) held() []string {
	hold.mu.Lock()
	defer hold.mu.Unlock()
	return append([]string(nil), hold.names...)
}

// command runs jobd with what is held.
func (hold *holder) command(jobd string, args []string) *exec.Cmd {
	hold.mu.Lock()
	defer hold.mu.Unlock()
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", jobd}, args...)...)
	cmd.ExtraFiles = append([]*os.File(nil), hold.files...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+hold.path)
	if len(hold.files) > 0 {
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(hold.files)), "LISTEN_FDNAMES="+strings.Join(hold.names, ":"))
	}
	return cmd
}
