package e2e

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

const nobodysPID = 1<<22 + 1 // above what pid_max can be (proc_sys_kernel(5))

const nobodysJID = job.JID(0xfffffff0_fffffff0)

// libBytes is room for more than any of these lists has.
const libBytes = 1 << 16

// The cases of the ancestor's own test program, in its order; the last is TestLibjobStorm.
func TestLibjobAncestorsCases(t *testing.T) {
	h := newHost(t)
	c := h.libjob(0)
	c.wantJID(noJID, unix.ENODATA, "getjid 0")
	main, e := c.jid("create 0 %d", aliceUID)
	if main == noJID || main == 0 || e != 0 {
		t.Fatalf("create gives %s, %v", main, e)
	}
	t.Run("a job that was made is listed, and is the caller's", func(t *testing.T) {
		c.t = t
		if n, sum := c.list("getjidlist %d", libBytes); n != 1 || sum != uint64(main) {
			t.Errorf("%d jobs, sum %#x, want 1, %s", n, sum, main)
		}
		c.wantNumber(1, 0, "getjidcnt")
		c.wantJID(main, 0, "getjid 0")
		c.wantJID(main, 0, "getjid %d", c.pid)
		c.wantNumber(aliceUID, 0, "getuid %s", main)
		c.wantNumber(int(c.pid), 0, "getprimepid %s", main)
		c.wantNumber(1, 0, "getpidcnt %s", main)
		if in := h.show(main); in.POE != c.pid || in.Service != "libjob" || in.User != fmt.Sprintf("#%d", aliceUID) {
			t.Errorf("the job is %+v", in)
		}
	})
	t.Run("detach", func(t *testing.T) { c.t = t; h.use(t); testLibDetach(h, c, main) })
	t.Run("attach", func(t *testing.T) { c.t = t; h.use(t); testLibAttach(h, c) })
	t.Run("a child's job leaves its parent alone", func(t *testing.T) {
		c.t = t
		pid, jid := c.spawn("spawn 0 create")
		if jid == main {
			t.Error("it is the parent's")
		}
		c.wantJID(jid, 0, "getjid %d", pid)
		c.wantJID(main, 0, "getjid 0")
		if in := h.show(jid); in.ParentJID == nil || *in.ParentJID != main {
			t.Errorf("its parent is %v", in.ParentJID)
		}
		c.wantNumber(1, 0, "getpidcnt %s", main)
		kill(t, pid)
		h.ended(jid)
	})
	t.Run("a child that is taken out leaves its parent alone", func(t *testing.T) {
		c.t = t
		pid, _ := c.spawn("spawn 0")
		c.wantJID(main, 0, "getjid %d", pid)
		c.wantNumber(2, 0, "getpidcnt %s", main)
		c.wantNumber(int(c.pid), 0, "getprimepid %s", main)
		c.wantJID(main, 0, "detachpid %d", pid)
		c.wantJID(noJID, unix.ENODATA, "getjid %d", pid)
		c.wantJID(main, 0, "getjid 0")
		kill(t, pid)
	})
	t.Run("a JID that is taken is refused", func(t *testing.T) {
		c.t = t
		c.wantJID(noJID, unix.EBUSY, "create %s 0", main)
		c.wantJID(main, 0, "getjid 0")
		pid, jid := c.spawn("spawn 0 create")
		c.wantJID(noJID, unix.EBUSY, "create %s 0", jid)
		c.wantJID(main, 0, "getjid 0")
		c.wantJID(noJID, unix.EINVAL, "create %s 0", nobodysJID) // of another host
		kill(t, pid)
		h.ended(jid)
	})
	t.Run("signals", func(t *testing.T) { c.t = t; h.use(t); testLibKill(h, c) })
	t.Run("the jdetach command", func(t *testing.T) {
		c.t = t
		h.use(t)
		one, first := c.spawn("spawn 0 create")
		two, second := c.spawn("spawn 0 create")
		h.j(0, "", "jdetach", "-p", itoa(int(one)))
		h.j(0, "", "jdetach", "-j", second.String())
		c.wantJID(noJID, unix.ENODATA, "getjid %d", one)
		c.wantJID(noJID, unix.ENODATA, "getjid %d", two)
		h.ended(first)
		h.ended(second)
		kill(t, one)
		kill(t, two)
	})
	c.t = t
	c.wantJID(main, 0, "getjid 0")
}

func testLibDetach(h *host, c *libClient, main job.JID) {
	one, first := c.spawn("spawn 0 create")
	two, second := c.spawn("spawn 0 create")
	c.wantJID(first, 0, "detachpid %d", one)
	c.wantJID(noJID, unix.ENODATA, "getjid %d", one)
	c.wantJID(noJID, unix.ENODATA, "detachpid %d", one)
	c.wantNumber(1, 0, "detachjid %s", second)
	c.wantJID(noJID, unix.ENODATA, "getjid %d", two)
	c.wantJID(noJID, unix.ESRCH, "detachpid %d", nobodysPID)
	c.wantJID(noJID, unix.ESRCH, "detachpid -4")
	for _, jid := range []job.JID{second, nobodysJID, 0, noJID} {
		c.wantNumber(-1, unix.ENODATA, "detachjid %s", jid)
	}
	for _, jid := range []job.JID{first, second} {
		if in := h.ended(jid); in.EndReason != job.EndDetached {
			h.t.Errorf("%s ended by %s", jid, in.EndReason)
		}
	}
	c.wantJID(main, 0, "getjid 0")
	kill(h.t, one)
	kill(h.t, two)
}

func testLibAttach(h *host, c *libClient) {
	one, first := c.spawn("spawn 0 create")
	two, second := c.spawn("spawn 0 create")
	c.wantJID(noJID, unix.EINVAL, "attachpid %d %s", one, second)
	c.wantJID(first, 0, "getjid %d", one)
	c.wantJID(first, 0, "attachpid %d %s", one, first) // the ancestor refused that, and its clients had to ask first
	c.wantJID(first, 0, "detachpid %d", one)
	c.wantJID(second, 0, "attachpid %d %s", one, second)
	c.wantJID(second, 0, "getjid %d", one)
	c.wantJID(second, 0, "attachpid %d %s", one, second)
	if n, sum := c.list("getpidlist %s %d", second, libBytes); n != 2 || sum != uint64(one)+uint64(two) {
		h.t.Errorf("%d processes, sum %d, want %d and %d", n, sum, one, two)
	}
	if n, sum := c.list("getpidlist %s 7", second); n != 1 || sum != uint64(min(one, two)) { // room for one, and a little
		h.t.Errorf("%d processes, sum %d", n, sum)
	}
	c.wantNumber(int(two), 0, "getprimepid %s", second) // the oldest, by when they came
	c.wantJID(noJID, unix.ENODATA, "attachpid %d %s", one, nobodysJID)
	c.wantJID(noJID, unix.ENODATA, "attachpid %d %s", one, first) // it has ended
	c.wantJID(noJID, unix.ESRCH, "attachpid %d %s", nobodysPID, second)
	c.wantNumber(2, 0, "detachjid %s", second)
	c.wantJID(noJID, unix.ENODATA, "getjid %d", two)
	for _, jid := range []job.JID{first, second} {
		h.ended(jid)
	}
	for _, pid := range []int32{one, two} {
		kill(h.t, pid)
	}
}

func testLibKill(h *host, c *libClient) {
	pid, jid := c.spawn("spawn %d create", aliceUID)
	c.wantNumber(0, 0, "killjid %s 0", jid)
	if !alive(pid) {
		h.t.Error("signal 0 killed it")
	}
	c.wantNumber(-1, unix.EINVAL, "killjid %s -1", jid)
	c.wantNumber(-1, unix.EINVAL, "killjid %s 65", jid)
	c.wantNumber(-1, unix.ENODATA, "killjid %s 15", nobodysJID)
	c.wantNumber(0, 0, "killjid %s 15", jid)
	c.tell("waitjid %s", jid)
	if w := c.answer(); parseJID(h.t, w[0]) != jid || w[2] != "15" {
		h.t.Errorf("waitjid gives %v, want signal 15", w)
	}
	h.ended(jid)
}

// Pids come round, JIDs do not, while a job goes on whose point of entry has died: 40,000 is more than there are pids on most
// hosts. Without cgroups, which have the names that those of a jobd would get that is started within the next hours.
func TestLibjobStorm(t *testing.T) {
	h := newHost(t, "--cgroup", "off")
	c := h.libjob(0)
	n := 2000
	if os.Getenv("JOBD_FULL") == "1" {
		n = 40_000
	}
	poe := h.libjob(0)
	old, _ := poe.jid("create 0 0")
	pid, _ := poe.spawn("spawn 0 stays")
	poe.end()
	c.tell("storm %d %d", n, aliceUID)
	var got []string
	untilWithin(t, "the storm", 30*patience, func() bool {
		select {
		case line, ok := <-c.out.c:
			got = strings.Fields(line)
			return ok
		default:
			return false
		}
	})
	if len(got) != 3 || got[0] != strconv.Itoa(n) || got[1] != "0" {
		t.Errorf("of %d jobs there were (jobs, twice, errno) %v", n, got)
	}
	if h.jobOf(pid) != old || h.jobOf(poe.pid) != 0 {
		t.Errorf("%d is in %s, its point of entry in %s, want %s", pid, h.jobOf(pid), h.jobOf(poe.pid), old)
	}
	kill(t, pid)
	h.ended(old)
	var seen []job.JID
	jobs, err := h.client.History(h.soon(), control.Request{Service: "libjob"})
	must(t, err)
	for _, in := range jobs {
		seen = append(seen, in.JID)
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(jobs) {
		t.Error("a JID is in the books twice")
	}
}

// How batch systems used it: a daemon makes a job, forks into it and leaves it; another of its processes waits for the end.
func TestLibjobAsBatchSystemsDid(t *testing.T) {
	h := newHost(t)
	daemon, other := h.libjob(0), h.libjob(0)
	jid, _ := daemon.jid("create 0 %d", aliceUID)
	one, _ := daemon.spawn("spawn %d", aliceUID)
	two, _ := daemon.spawn("spawn %d", aliceUID)
	daemon.wantJID(jid, 0, "detachpid 0")
	daemon.wantJID(noJID, unix.ENODATA, "getjid 0")
	if n, sum := other.list("getpidlist %s %d", jid, libBytes); n != 2 || sum != uint64(one)+uint64(two) {
		t.Errorf("%d processes, sum %d, want %d and %d", n, sum, one, two)
	}
	other.wantNumber(int(one), 0, "getprimepid %s", jid)
	later, _ := daemon.spawn("spawn %d", aliceUID)
	daemon.wantJID(noJID, unix.ENODATA, "getjid %d", later)
	daemon.wantJID(jid, 0, "attachpid %d %s", later, jid)
	daemon.tell("waitjid %s", jid)
	until(t, "somebody waits", func() bool { return waitsInPoll(daemon.pid) })
	other.wantNumber(0, 0, "killjid %s 9", jid)
	if w := daemon.answer(); parseJID(t, w[0]) != jid || w[2] != "9" {
		t.Errorf("waitjid gives %v", w)
	}
	other.wantNumber(-1, unix.ENODATA, "killjid %s 9", jid)
	if in := h.ended(jid); in.TotalProcesses != 4 {
		t.Errorf("it had %d processes", in.TotalProcesses)
	}
}

// What a process exits with comes as wait(2) has it; jobs that have ended are waited for too; a signal interrupts.
func TestLibjobWait(t *testing.T) {
	h := newHost(t)
	c, waiter := h.libjob(0), h.libjob(0)
	for code, late := range map[int]int{3: 0x300, 137: 9} {
		pid, jid := c.spawn("exits %d", code)
		waiter.tell("waitjid %s", jid)
		until(t, "somebody waits", func() bool { return waitsInPoll(waiter.pid) })
		must(t, signal(pid, unix.SIGUSR2))
		if w := waiter.answer(); parseJID(t, w[0]) != jid || w[2] != itoa(code<<8) {
			t.Errorf("waitjid gives %v, want %s, %d", w, jid, code<<8)
		}
		h.ended(jid)
		until(t, "the books have it", func() bool {
			st, err := h.client.Status(h.soon())
			return err == nil && st.Store.Queued == 0
		})
		if _, err := h.client.List(h.soon(), control.Request{All: true}); err != nil {
			t.Fatal(err)
		}
		waiter.tell("waitjid %s", jid)
		if w := waiter.answer(); parseJID(t, w[0]) != jid || w[2] != itoa(code<<8) && w[2] != itoa(late) {
			t.Errorf("once it has ended waitjid gives %v", w)
		}
		waiter.wantNumber(-1, unix.ENODATA, "getpidcnt %s", jid) // for all else it is none any more
		waiter.wantNumber(-1, unix.ENODATA, "killjid %s 0", jid)
	}
	pid, jid := c.spawn("exits 0")
	waiter.tell("waitjid %s", jid)
	until(t, "somebody waits", func() bool { return waitsInPoll(waiter.pid) })
	must(t, signal(waiter.pid, unix.SIGUSR1))
	if w := waiter.answer(); w[1] != itoa(int(unix.EINTR)) {
		t.Errorf("interrupted, waitjid gives %v", w)
	}
	waiter.tell("waitjid %s", jid)
	until(t, "somebody waits", func() bool { return waitsInPoll(waiter.pid) })
	h.stop(unix.SIGKILL)
	h.start()
	kill(t, pid)
	if w := waiter.answer(); parseJID(t, w[0]) != jid || w[2] != "9" {
		t.Errorf("over a restart of jobd waitjid gives %v", w)
	}
	waiter.tell("waitjid %s", nobodysJID)
	if w := waiter.answer(); w[1] != itoa(int(unix.ENODATA)) {
		t.Errorf("of no job waitjid gives %v", w)
	}
}

// waitsInPoll reports whether a process waits for an answer: its call is poll(2).
func waitsInPoll(pid int32) bool {
	nr, _, _ := strings.Cut(procText(pid, "syscall"), " ")
	return nr == itoa(unix.SYS_POLL) || nr == itoa(unix.SYS_PPOLL)
}

// An ordinary user may do with their own jobs what libjob has, and with others' nothing; what takes rights is root's.
func TestLibjobAuthority(t *testing.T) {
	h := newHost(t)
	root, alice, bob := h.libjob(0), h.libjob(aliceUID), h.libjob(bobUID)
	pid, jid := root.spawn("spawn %d create", aliceUID)
	if n, sum := alice.list("getjidlist %d", libBytes); n != 1 || sum != uint64(jid) {
		t.Errorf("alice sees %d jobs", n)
	}
	bob.wantNumber(0, 0, "getjidcnt")
	alice.wantJID(jid, 0, "getjid %d", pid)
	alice.wantNumber(1, 0, "getpidcnt %s", jid)
	alice.wantNumber(0, 0, "killjid %s 0", jid)
	for _, call := range []string{"getpidcnt", "getuid", "getprimepid"} {
		bob.wantNumber(-1, unix.EPERM, "%s %s", call, jid)
	}
	bob.wantNumber(-1, unix.EPERM, "killjid %s 9", jid)
	bob.tell("waitjid %s", jid)
	if w := bob.answer(); w[1] != itoa(int(unix.EPERM)) {
		t.Errorf("bob waits for alice's job: %v", w)
	}
	for _, c := range []*libClient{alice, bob} {
		c.wantJID(noJID, unix.EPERM, "create 0 %d", aliceUID)
		c.wantJID(noJID, unix.EPERM, "detachpid %d", pid)
		c.wantJID(noJID, unix.EPERM, "attachpid %d %s", c.pid, jid)
		c.wantNumber(-1, unix.EPERM, "detachjid %s", jid)
		c.wantNumber(-1, unix.EPERM, "sethid ffffffff")
		c.wantNumber(-1, unix.EPERM, "runcsa 1")
	}
	root.wantNumber(0, 0, "runcsa 1")
	root.wantNumber(-1, unix.EINVAL, "runcsa 0")
	if h.jobOf(pid) != jid || h.jobOf(alice.pid) != 0 {
		t.Error("something was done nevertheless")
	}
	until(t, "it is logged", func() bool { return strings.Contains(h.log.String(), `msg="request denied" uid=`+itoa(bobUID)) })
	alice.wantNumber(0, 0, "killjid %s 9", jid)
	h.ended(jid)
}

// The host id that was the last there is drains jobd, as it did: nobody gets a job, who has one keeps it.
func TestLibjobDrain(t *testing.T) {
	h := newHost(t)
	c := h.libjob(0)
	pid, jid := c.spawn("spawn 0 create")
	c.wantNumber(0, 0, "sethid ffffffff")
	c.wantJID(0, 0, "create 0 0")
	c.wantJID(jid, 0, "getjid %d", pid)
	st, err := h.client.Status(h.soon())
	must(t, err)
	if !st.Drained {
		t.Error("it is not drained")
	}
	c.wantNumber(-1, unix.EINVAL, "sethid %x", st.HID+1)
	c.wantJID(0, 0, "create 0 0")
	c.wantNumber(0, 0, "sethid %x", st.HID)
	if got, e := c.jid("create 0 0"); got == 0 || got == noJID {
		t.Errorf("afterwards create gives %s, %v", got, e)
	}
}

// Without a jobd there is nobody: whatever is left of one.
func TestLibjobWithoutJobd(t *testing.T) {
	h := newHost(t)
	c := h.libjob(0)
	h.stop(unix.SIGKILL) // leaves its sockets behind
	c.wantJID(noJID, unix.ENOENT, "getjid 0")
	c.wantNumber(-1, unix.ENOENT, "getjidcnt")
	must(t, os.Remove(filepath.Join(h.runDir(), "job.sock")))
	c.wantJID(noJID, unix.ENOENT, "create 0 0")
	c.tell("waitjid 1")
	if w := c.answer(); w[1] != itoa(int(unix.ENOENT)) {
		t.Errorf("waitjid gives %v", w)
	}
	h.start()
	c.wantNumber(0, 0, "getjidcnt")
}

// TestLibjobSymbols: what a client was linked to is there, under the name of the library that it looks for, and nothing else is.
func TestLibjobSymbols(t *testing.T) {
	needRoot(t)
	f, err := elf.Open(built.libjob)
	must(t, err)
	defer f.Close()
	names, err := f.DynamicSymbols()
	must(t, err)
	var got []string
	for _, s := range names {
		if s.Section != elf.SHN_UNDEF {
			got = append(got, s.Name)
		}
	}
	slices.Sort(got)
	want := strings.Fields("job_attachpid job_create job_detachjid job_detachpid job_getjid job_getjidcnt job_getjidlist job_getpidcnt " +
		"job_getpidlist job_getprimepid job_getuid job_killjid job_runcsa job_sethid job_waitjid")
	if !slices.Equal(got, want) {
		t.Errorf("it exports %v", got)
	}
	if soname, err := f.DynString(elf.DT_SONAME); err != nil || !slices.Equal(soname, []string{"libjob.so.2"}) {
		t.Errorf("its name is %v, %v", soname, err)
	}
	if needed, err := f.ImportedLibraries(); err != nil || !slices.Equal(needed, []string{"libc.so.6"}) {
		t.Errorf("it needs %v, %v", needed, err)
	}
}
