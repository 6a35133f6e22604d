package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// reconfigure has a running jobd read another configuration, and gives what the log says of it.
func (h *host) reconfigure(text string) string {
	h.t.Helper()
	h.configure(text)
	before := len(h.log.String())
	return h.settled()[before:]
}

func (h *host) configStatus() control.ConfigStatus {
	h.t.Helper()
	st, err := h.client.Status(h.soon())
	must(h.t, err)
	return st.Config
}

// TestReload: what can change changes at once, and nothing else does.
func TestReload(t *testing.T) {
	h := newHost(t)
	h.mayLose = true // bad files are errors in the log
	h.newWorld(map[string]string{"svc": plainStack})
	a := h.newSurvivor("a")
	if c := h.configStatus(); string(c.File) != filepath.Join(h.dir, "jobd.toml") || c.Error != "" || len(c.Restart) != 0 {
		t.Errorf("config %+v", c)
	}

	if said := h.reconfigure("debug = true\n"); !strings.Contains(said, " changed=debug\n") {
		t.Errorf("it says %s", said)
	}
	b := h.newSurvivor("b")
	h.log.await(t, `level=DEBUG msg=joined jid=`+logged(b.jid))
	h.reconfigure("")

	seen := func() bool {
		_, _, code := h.jobctl(bobUID, "show", itoa(int(a.jid.Seq())))
		return code == 0
	}
	if seen() {
		t.Error("bob sees alice's job")
	}
	h.reconfigure("visibility = \"all\"\n")
	if !seen() {
		t.Error("with visibility = all bob does not see alice's job")
	}
	h.reconfigure(fmt.Sprintf("admin_gid = %d\n", bobUID))
	if seen() {
		if _, _, code := h.jobctl(bobUID, "tag", itoa(int(a.jid.Seq())), "k=v"); code != 0 {
			t.Error("bob's group administers, and bob may not tag")
		}
	} else {
		t.Error("bob's group administers, and bob sees nothing")
	}
	h.reconfigure("")
	if seen() {
		t.Error("bob's group administers no more, and bob sees alice's job")
	}
	a.grow(t)
	a.check(h)
}

// TestReloadNarrows: who may see less from now on is told no more by what is open.
func TestReloadNarrows(t *testing.T) {
	h := newHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newTold(aliceUID, true)
	for i, wide := range []string{"visibility = \"all\"\n", fmt.Sprintf("admin_gid = %d\n", bobUID)} {
		h.reconfigure(wide)
		cmd := h.world.command(needProgram(t, "setpriv"), "--reuid="+itoa(bobUID), "--regid="+itoa(bobUID), "--clear-groups", "--",
			built.jobctl, "--run-dir", h.runDir(), "watch", "--all")
		out := started(t, cmd)
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		until(t, "bob watches alice", func() bool { s.tell("/bin/true"); return len(out.c) > 0 })
		roots := h.watch(t, control.Request{All: true})
		h.reconfigure("")
		after := "after" + itoa(i)
		s.tell(h.napper(after))
		roots.await("what alice does", func(e *control.WatchEvent) bool { return ranIt(e, after) })
		for line, ok := out.next(); ok; line, ok = out.next() {
			if strings.Contains(line, after) {
				t.Errorf("%s is over, and bob sees %q", wide, line)
			}
		}
	}
}

// TestReloadLinger: a job that lingers already is killed when that is switched on.
func TestReloadLinger(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	jid, pids := w.leaves("left", "alice", built.lab+" daemon", 1)
	kept, keptPIDs := w.leaves("kept", "bob", built.lab+" daemon", 1)
	h.reconfigure("kill_grace = \"100ms\"\n[linger]\nkill_after = \"100ms\"\nexempt_users = [\"bob\"]\n")
	if in := h.ended(jid); in.EndReason != job.EndKilled || alive(pids[0]) {
		t.Errorf("end_reason %q", in.EndReason)
	}
	h.reconfigure("[linger]\nkill_after = \"1h\"\n") // bob's has a time now
	if in := h.show(kept); in.State != job.Lingering || !alive(keptPIDs[0]) {
		t.Errorf("bob's job is %+v", in)
	}
	h.reconfigure("kill_grace = \"100ms\"\n[linger]\nkill_after = \"100ms\"\n")
	h.ended(kept)
}

// TestReloadRecords: what is kept of a process, and for how long.
func TestReloadRecords(t *testing.T) {
	h := newHost(t)
	h.mayLose = true // history halts
	w := h.newWorld(map[string]string{"svc": plainStack})
	ran := func() job.Process {
		t.Helper()
		l := w.login("svc", "alice", nil, "sh", "-c", "/bin/sleep 0.2; exit 7")
		l.wait()
		h.ended(l.jid)
		var found job.Process
		until(t, "the record", func() bool {
			list, err := h.client.Procs(h.soon(), control.Request{Job: ref(l.jid)})
			must(t, err)
			i := slices.IndexFunc(list, func(p job.Process) bool { return p.Comm == "sleep" })
			if i >= 0 {
				found = list[i]
			}
			return i >= 0
		})
		return found
	}
	if p := ran(); p.Exe == "" || p.ReadChars == nil {
		t.Errorf("the record is %+v", p)
	}
	if said := h.reconfigure("[record]\nexec = \"off\"\ngroups = [\"cpu\"]\n"); !strings.Contains(said, `changed="record.exec record.groups"`) {
		t.Errorf("it says %s", said)
	}
	if p := ran(); p.Exe != "" || p.ReadChars != nil || p.CPU == nil {
		t.Errorf("without: the record is %+v", p)
	}
	h.reconfigure("")
	if p := ran(); p.Exe == "" || p.ReadChars == nil {
		t.Errorf("again: the record is %+v", p)
	}
	if n := len(slices.DeleteFunc(h.moments(), func(m job.Moment) bool { return m.Kind != job.MomentConfig })); n != 2 {
		t.Errorf("%d marks of changes", n)
	}
	halted := func() bool {
		st, err := h.client.Status(h.soon())
		must(t, err)
		return st.Store.HaltedSince != nil
	}
	h.reconfigure("[keep]\nfree_mib = 1000000000\nprocess_days = 2\n")
	text := scraped(t, h.metrics)
	for _, line := range []string{"jobd_store_floor_bytes 1.048576e+15\n", "jobd_store_keep_seconds{of=\"records\"} 172800\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics lack %q", line)
		}
	}
	l := w.login("svc", "alice", nil, "true")
	l.wait()
	until(t, "history halts", halted)
	h.reconfigure("")
	until(t, "history goes on", func() bool { return !halted() })
	h.ended(l.jid)
}

// TestReloadWatch: lines about programs, and events.sock, come and go; and jobd's exempt programs.
func TestReloadWatch(t *testing.T) {
	h := newHost(t)
	s := h.newTold(0, true)
	sock := filepath.Join(h.runDir(), "events.sock")
	h.reconfigure("[watch]\naudit = true\nrelay = true\n")
	s.tell(h.napper("eight"))
	until(t, "the line", func() bool { return strings.Contains(h.log.String(), "/eight ") })
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: sock, Net: "unixpacket"})
	must(t, err)
	defer c.Close()
	if n, err := c.Read(make([]byte, 4096)); err != nil || n == 0 {
		t.Errorf("no events: %d, %v", n, err)
	}
	h.reconfigure("")
	if _, err := os.Stat(sock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("events.sock: %v", err)
	}
	h.reconfigure("[watch]\nrelay = true\n")
	again, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: sock, Net: "unixpacket"})
	must(t, err)
	again.Close()
	s.tell(h.napper("nine"))
	before := len(h.log.String())
	s.tell("true")
	if strings.Contains(h.settled()[before:], "/nine") {
		t.Error("watch.audit is off, and there are lines")
	}
}

// TestReloadExempt: a program that is exempt from now on leaves its job when root runs it.
func TestReloadExempt(t *testing.T) {
	h := newHost(t)
	service := exempted(h)
	w := h.newWorld(map[string]string{"svc": plainStack})
	first := w.labOut("first")
	stays := w.loginEnv([]string{"LAB_OUT=" + first}, "svc", "root", []string{"-x"}, service, "stay")
	if pid := pidsIn(t, first, 1)[0]; h.jobOf(pid) != stays.jid {
		t.Errorf("it is in %s", h.jobOf(pid))
	}
	h.reconfigure(fmt.Sprintf("[exempt]\nprograms = [%q]\n", service))
	out := w.labOut("out")
	w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "root", []string{"-x"}, "sh", "-c", service+" daemon; exec "+built.lab+" stay")
	h.log.await(t, `left its job: root runs an exempt program" .* program=`+service)
}

// TestBadReload: a file that is wrong, or that cannot be read, changes nothing and says why; what needs a restart is said.
func TestBadReload(t *testing.T) {
	h := newHost(t)
	h.mayLose = true // errors in the log are what this is about
	h.newWorld(map[string]string{"svc": plainStack})
	path := filepath.Join(h.dir, "jobd.toml")
	before := h.configStatus()
	same := func(words ...string) {
		t.Helper()
		c := h.configStatus()
		for _, word := range words {
			if !strings.Contains(string(c.Error), word) {
				t.Errorf("the status says %q, which lacks %q", c.Error, word)
			}
		}
		if c.File != before.File || !c.ReadAt.Equal(before.ReadAt) {
			t.Errorf("config %+v", c)
		}
		text, _, _ := h.jobctl(0, "status")
		if !strings.Contains(text, "NOT READ AGAIN: ") {
			t.Errorf("jobctl status says\n%s", text)
		}
	}
	if said := h.reconfigure("debug = true\nhidd = 5\nvisibility = \"some\"\n"); !strings.Contains(said, "nothing has changed") || strings.Contains(said, "level=DEBUG") {
		t.Errorf("it says %s", said)
	}
	same(path+":2: unknown key hidd", path+":3: visibility is own or all")
	h.configure("")
	must(t, os.Chmod(path, 0o666))
	h.settled()
	same("others may write to it")
	must(t, os.Remove(path))
	h.settled()
	same("no such file")
	must(t, os.Mkdir(path, 0o755))
	h.settled()
	same("is no file")
	must(t, os.Remove(path))
	said := h.reconfigure("hid = 77\nhost = \"other\"\nkill_grace = \"3s\"\n")
	if !strings.Contains(said, " changed=kill_grace\n") || !strings.Contains(said, `holds after a restart of jobd" keys="hid host"`) {
		t.Errorf("it says %s", said)
	}
	if c := h.configStatus(); c.Error != "" || !slices.Equal(c.Restart, []string{"hid", "host"}) {
		t.Errorf("config %+v", c)
	}
	if st, err := h.client.Status(h.soon()); err != nil || st.Host == "other" || st.HID == 77 {
		t.Errorf("status %+v, %v", st, err)
	}
	h.reconfigure("")
	if c := h.configStatus(); len(c.Restart) != 0 {
		t.Errorf("config %+v", c)
	}
}

// TestReloadTellsSystemd: RELOADING=1 with the time, then READY=1, as Type=notify-reload has it.
func TestReloadTellsSystemd(t *testing.T) {
	h := plainHost(t)
	h.holder = newHolder(t, h.dir)
	h.start()
	until(t, "all sockets are held", func() bool { return len(h.holder.held()) == h.holds() })
	h.settled()
	until(t, "READY=1 again", func() bool {
		said := h.holder.told()
		i := slices.IndexFunc(said, func(s string) bool { return strings.HasPrefix(s, "RELOADING=1\nMONOTONIC_USEC=") })
		return i >= 0 && slices.Contains(said[i+1:], "READY=1")
	})
}

// TestCheck: jobd --check says what is wrong, all of it, and makes nothing.
func TestCheck(t *testing.T) {
	h := plainHost(t)
	path := filepath.Join(h.dir, "jobd.toml")
	check := func() (string, int) {
		t.Helper()
		cmd := exec.Command(built.jobd, "--check", "--run-dir", h.runDir(), "--state-dir", h.stateDir(), "--config", path)
		out, _ := cmd.CombinedOutput() // how it ended is looked at
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := check(); out != path+": ok\n" || code != 0 {
		t.Errorf("%d, %q", code, out)
	}
	must(t, os.WriteFile(path, []byte("\nhid = \"five\"\n[keep]\nprocess_days = 0\n"), 0o600))
	want := path + ":2: hid has to be a whole number from 0 to 4294967295\n" + path + ":4: keep.process_days is 1 to 36500, or -1 for ever\n"
	if out, code := check(); out != want || code != 2 {
		t.Errorf("%d, %q", code, out)
	}
	nothingMade(t, h)
}
