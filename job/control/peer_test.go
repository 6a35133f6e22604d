package control

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/look"
)

// accepted gives jobd's end of a connection that dial opens.
func accepted(t *testing.T, dial func(path string)) *net.UnixConn {
	t.Helper()
	path := filepath.Join(socketDir(t), "s")
	l, err := listenUnix("unix", path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial(path)
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dialSelf(t *testing.T) func(string) {
	return func(path string) {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
}

func TestPeerIsSelf(t *testing.T) {
	for _, old := range []bool{false, true} {
		ps, err := newPeers("/proc")
		if err != nil {
			t.Fatal(err)
		}
		ps.old = old
		p, h, err := ps.of(accepted(t, dialSelf(t)))
		if err != nil {
			t.Fatal(err)
		}
		if p.PID != int32(os.Getpid()) || p.UID != uint32(os.Getuid()) || p.GID != uint32(os.Getgid()) {
			t.Errorf("old %v: %+v", old, p)
		}
		if p.Root != (os.Getuid() == 0) || !p.Alive() || p.Admin {
			t.Errorf("old %v: root %v, alive %v, admin %v", old, p.Root, p.Alive(), p.Admin)
		}
		h.close()
		if h.close(); p.Alive() {
			t.Errorf("old %v: alive when closed", old)
		}
	}
}

// A process that connected and died is not alive, even while it is a zombie, and is nobody's root.
func TestPeerIsDead(t *testing.T) {
	needRoot(t)
	for _, old := range []bool{false, true} {
		ps, err := newPeers("/proc")
		if err != nil {
			t.Fatal(err)
		}
		ps.old = old
		var cmd *exec.Cmd
		c := accepted(t, func(path string) {
			cmd = exec.Command("/proc/self/exe", path)
			cmd.Env = append(os.Environ(), childEnv+"=hold")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out.Read(make([]byte, 1))
			in.Close()
		})
		p, h, err := ps.of(c) // perhaps alive, perhaps a zombie
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		cmd.Wait()
		if p.Alive() {
			t.Errorf("old %v: alive after its exit", old)
		}
		late, h2, err := ps.of(c)
		if err != nil {
			t.Fatal(err)
		}
		defer h2.close()
		if late.Root || late.Alive() || late.PID != p.PID {
			t.Errorf("old %v: of a dead process: %+v, alive %v", old, late, late.Alive())
		}
	}
}

func TestPeerGroups(t *testing.T) {
	needRoot(t)
	many := make([]uint32, 300)
	for i := range many {
		many[i] = uint32(10_000 + i)
	}
	for _, groups := range [][]uint32{{}, {4242}, many} {
		b := &fake{}
		path := serveAPI(t, b, Config{AdminGID: &[]uint32{10_299}[0]}, socketDir(t), nil)
		in, out := who{uid: 65534, groups: groups}.start(t, "api", path)
		in.Write([]byte("GET /v1/status\n"))
		if !out.Scan() || !strings.HasPrefix(out.Text(), "200") {
			t.Fatalf("answer %q", out.Text())
		}
		_, _, seen := b.saw()
		p := seen[0]
		if !slices.Equal(p.Groups, groups) || p.UID != 65534 || p.Root || p.Admin != (len(groups) == 300) {
			t.Errorf("%d groups: %+v", len(groups), p)
		}
	}
}

// The root of a container is not the host's, on neither socket, with neither way to identify it.
func TestFakeRootIsDenied(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	log := &logText{}
	b := &fake{}
	dir := socketDir(t)
	admin := uint32(0)
	api, login := serveAPI(t, b, Config{Log: log.logger(), AdminGID: &admin}, dir, nil), serveLogin(t, b, log.logger(), dir)
	fakeRoot := who{userNS: true}

	in, out := fakeRoot.start(t, "login", login)
	in.Write([]byte("close\n"))
	if !out.Scan() || !strings.Contains(out.Text(), "only root of jobd's own user namespace") {
		t.Errorf("login.sock answered %q", out.Text())
	}
	in, out = fakeRoot.start(t, "api", api)
	for _, rt := range routes {
		in.Write([]byte(rt.method + " " + strings.ReplaceAll(rt.path, "{job}", "17") + "\n"))
		if !out.Scan() || !strings.HasPrefix(out.Text(), "403") {
			t.Errorf("%s %s answered %q", rt.method, rt.path, out.Text())
		}
	}
	if asked, logins, _ := b.saw(); len(asked)+len(logins) != 0 {
		t.Errorf("the backend was asked %v %v", asked, logins)
	}
	for _, want := range []string{"login denied", "request denied", "uid=0", "verb=list"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}
}

func TestStartTime(t *testing.T) {
	line := "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10"
	if v, ok := parseStartTime([]byte(line)); !ok || v != 777 {
		t.Errorf("%d %v", v, ok)
	}
	for _, bad := range []string{"", "42", "42 (a)", "42 (a) S 1 2", "42 (a) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 x"} {
		if v, ok := parseStartTime([]byte(bad)); ok {
			t.Errorf("%q gave %d", bad, v)
		}
	}
	ps := &peers{proc: "/proc", looks: look.New(time.Second)}
	if v, ok := ps.startTime(int32(os.Getpid())); !ok || v == 0 {
		t.Errorf("own start time %d %v", v, ok)
	}
}

func TestAliveAtTheEndOfAContext(t *testing.T) {
	b := &fake{onDo: func(_ context.Context, peer Peer, _ Access, _ Request) (any, error) {
		if !peer.Alive() {
			t.Error("not alive while it waits for its answer")
		}
		return struct{}{}, nil
	}}
	path := serveAPI(t, b, Config{}, socketDir(t), nil)
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, seen := b.saw()
	p := seen[0]
	for deadline := time.Now().Add(time.Second); p.Alive() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if p.Alive() {
		t.Error("alive after its connection was closed: somebody may keep a Peer, nobody may trust it")
	}
}

func TestMay(t *testing.T) {
	root, fakeRoot := Peer{Root: true}, Peer{UID: 0, Admin: true}
	admin, owner, other := Peer{UID: 3, Admin: true}, Peer{UID: 1000}, Peer{UID: 4}
	for _, c := range []struct {
		who                  string
		p                    Peer
		anyone, mine, rootly bool
	}{
		{"root", root, true, true, true}, {"fake root", fakeRoot, false, false, false},
		{"admin", admin, true, true, true}, {"owner", owner, true, true, false}, {"other", other, true, false, false},
	} {
		if c.p.May(Anyone, 1000) != c.anyone || c.p.May(Owner, 1000) != c.mine || c.p.May(Root, 1000) != c.rootly {
			t.Errorf("%s: anyone %v, owner %v, root %v", c.who, c.p.May(Anyone, 1000), c.p.May(Owner, 1000), c.p.May(Root, 1000))
		}
	}
	if fakeRoot.May(Owner, 0) {
		t.Error("uid 0 of another namespace owns root's jobs")
	}
}

func TestPIDFDIsCloseOnExec(t *testing.T) {
	for _, old := range []bool{false, true} {
		ps, _ := newPeers("/proc")
		ps.old = old
		_, h, err := ps.of(accepted(t, dialSelf(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		if flags, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("old %v: flags %x, %v", old, flags, err)
		}
	}
}

// TestPayer: limits count who logged in, as which uid ever they come, and all that have gone as one.
func TestPayer(t *testing.T) {
	proc := t.TempDir()
	for pid, text := range map[string]string{"7": "1000", "8": "4294967295", "9": "", "10": "x"} {
		if err := os.Mkdir(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "loginuid"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ps := &peers{proc: proc}
	for pid, want := range map[int32]uint32{7: 1000, 8: 100008, 9: 100009, 10: 100010, 11: 100011} {
		p := Peer{PID: pid, UID: 100000 + uint32(pid), Alive: func() bool { return true }}
		if got := ps.payer(p); got != want {
			t.Errorf("process %d pays as %d, want %d", pid, got, want)
		}
		p.Alive = func() bool { return false }
		if got := ps.payer(p); got != noID {
			t.Errorf("process %d has gone and pays as %d", pid, got)
		}
	}
}
