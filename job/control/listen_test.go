package control

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestListenTwice(t *testing.T) {
	dir := socketDir(t)
	login, api := serveLogin(t, &fake{}, nil, dir), serveAPI(t, &fake{}, Config{}, dir, nil)
	if _, err := ListenLogin(login, nil); err == nil || !strings.Contains(err.Error(), "another jobd answers on "+login) {
		t.Errorf("login.sock: %v", err)
	}
	if _, err := Listen(api, Config{}); err == nil || !strings.Contains(err.Error(), "another jobd answers on "+api) {
		t.Errorf("jobd.sock: %v", err)
	}
	if _, err := Listen(login, Config{}); err == nil || !strings.Contains(err.Error(), "another process listens on ") {
		t.Errorf("a socket of another type: %v", err)
	}
	if _, err := NewClient(api).Status(t.Context()); err != nil {
		t.Errorf("the first jobd no longer answers: %v", err)
	}
	if _, err := Login(t.Context(), login, LoginRequest{Verb: "close"}); err != nil {
		t.Errorf("the first jobd no longer answers a login: %v", err)
	}
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "jobd.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s, err := Listen(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestListenWaitsForTheDying: a jobd that was killed answers until the last of it is gone.
func TestListenWaitsForTheDying(t *testing.T) {
	path := filepath.Join(socketDir(t), "jobd.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	go func() {
		if c, err := l.Accept(); err == nil { // somebody looks whether it lives: now it dies
			c.Close()
		}
		l.Close()
	}()
	s, err := Listen(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestListenLeavesOthersAlone(t *testing.T) {
	dir := socketDir(t)
	file, link, sub := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "dir")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, sub} {
		if _, err := Listen(path, Config{}); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := ListenLogin(path, nil); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing", "s"):             "no such file",
		filepath.Join(dir, strings.Repeat("x", 120)):   "107 bytes",
		filepath.Join(file, "below-a-file", "jobd.so"): "not a directory",
	} {
		if _, err := Listen(path, Config{}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot listen on ") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestSocketModes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := socketDir(t)
	for path, want := range map[string]fs.FileMode{
		serveLogin(t, &fake{}, nil, dir): 0o600, serveAPI(t, &fake{}, Config{}, dir, nil): 0o666,
	} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
}
