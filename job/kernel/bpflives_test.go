package kernel

import (
	"math"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/watch"
)

// TestIntegrationBPFFamily: threads, a first thread that exits first, a thread's exec, and a child in another's name, which is its maker's.
func TestIntegrationBPFFamily(t *testing.T) {
	c := newBPFHost(t).engine()
	h := newHelper(t, "testdata/family.c")
	id := h.joins(c)
	h.tell()
	all := make(lives)
	until(t, c, all.emit, func() bool { return all.ended() == 5 })
	threads := map[int64]int64{3: 1, 4: 2, 5: 3, 6: 1, 7: 1} // by status
	var made, sibling watch.ID
	for who, l := range all {
		born := 1
		if who == id {
			born = 0
		}
		if want, known := threads[l.status]; !known || l.threads != want && !l.guessed || l.births != born || l.frees != 1 || l.uses != 1 || l.charge == 0 && !l.guessed || l.inferred {
			t.Errorf("of %v: %+v", who, *l)
		}
		switch l.status {
		case 6:
			made = who
		case 7:
			sibling = l.parent
		}
		delete(threads, l.status)
	}
	if len(threads) > 0 || sibling != made {
		t.Errorf("nobody exited with %v; a child inherits from %v, and %v made it", threads, sibling, made)
	}
	if n := c.Counts(); n.Lost+n.RecordsMissed+n.RecordsStray+n.Malformed != 0 || n.Processes != 0 {
		t.Errorf("counts are %+v", n)
	}
}

// TestIntegrationBPFStorm: each of many short processes is born, exits, and used something; together that is what the kernel added up, and
// what it shows of them before they are gone.
func TestIntegrationBPFStorm(t *testing.T) {
	const children = 2000
	c := newBPFHost(t).engine()
	h := newHelper(t, "testdata/storm.c", "2000", "300000")
	id := h.joins(c)
	before, _ := Proc.Runtime(h.pid())
	h.tell()
	all := make(lives)
	until(t, c, all.emit, func() bool { return all.ended() == children })
	delete(all, id)
	var sum int64
	for who, l := range all {
		if l.births != 1 || l.frees != 1 || l.uses != 1 || l.charge == 0 && !l.guessed || l.parent != id || l.inferred {
			t.Errorf("of %v: %+v", who, *l)
		}
		sum += l.charge
	}
	untold := all.estimated(t) // of what those used since the last tick nobody knows
	if untold > children/50 {
		t.Errorf("%d are estimated", untold)
	}
	if total, ok := c.Charge(7); !ok || len(all) != children || total != sum {
		t.Errorf("%d processes used %d ns, in total %d (%v)", len(all), sum, total, ok)
	}
	shown := h.next()
	charges, err := c.Charges()
	own, _ := Proc.Runtime(h.pid())
	if got, want := charges[7], shown+own-before; err != nil || math.Abs(float64(got-want)) > (1e-3+float64(untold)/children)*float64(want) {
		t.Errorf("the job was charged %d ns, its processes %d: %v", got, want, err)
	}
}

// TestIntegrationBPFPrograms: what members run is told, and read.
func TestIntegrationBPFPrograms(t *testing.T) {
	c := newBPFHost(t).engine()
	id, begin := shell(t, c, "sleep 0.1; exec sleep 60")
	c.attach7(t, id)
	begin()
	var ran []*watch.Program
	until(t, c, func(e *watch.Event) error {
		if e.Kind == watch.Exec {
			ran = append(ran, e.Program)
		}
		return nil
	}, func() bool {
		return len(ran) == 2 && !slices.ContainsFunc(ran, func(p *watch.Program) bool { return p.Read == 0 })
	})
	if ran[0].Exe != ran[1].Exe || ran[0].Exe == "" || c.Program(id).Exe != ran[1].Exe {
		t.Errorf("they ran %+v and %+v, and now %+v", ran[0], ran[1], c.Program(id))
	}
}

// TestIntegrationBPFThreads: a process that makes threads and forks from all of them all the time is put into a job. All that it makes from
// then on is in there, in whoever's name, and nothing is wrong with its books.
func TestIntegrationBPFThreads(t *testing.T) {
	c := newBPFHost(t).engine()
	h := newHelper(t, "../label/testdata/forks.c")
	h.next()
	id := h.joins(c)
	all := make(lives)
	until(t, c, all.emit, func() bool { return all.ended() > 100 })
	h.tell()
	members := []int32{h.pid()}
	for range 8 {
		members = append(members, int32(h.next()))
	}
	h.tell()
	sibling := int32(h.next())
	members = append(members, sibling)
	isMember := func(pid int32) bool { id, ok := c.Identify(pid); return ok && c.Label(id) == 7 }
	until(t, c, all.emit, func() bool {
		return !slices.ContainsFunc(members, func(pid int32) bool { return !isMember(pid) }) && agrees(t, c)()
	})
	for _, pid := range members {
		if says := c.Differs(pid); says != "" {
			t.Error(says)
		}
		_ = unix.Kill(int(pid), unix.SIGKILL) // they are this test's own, and wait to be told
	}
	until(t, c, all.emit, func() bool { return !c.Alive(id) && len(c.waiting) == 0 && c.Counts().Processes == 0 })
	for who, l := range all {
		if l.frees != 1 || l.uses != 1 || l.inferred {
			t.Errorf("of %v: %+v", who, *l)
		}
	}
	if n := c.Counts(); n.RecordsMissed+n.Lost != 0 {
		t.Errorf("counts are %+v", n)
	}
}

// TestIntegrationBPFRefuses: a child that somebody refuses is killed.
func TestIntegrationBPFRefuses(t *testing.T) {
	c := newBPFHost(t).engine()
	id, begin := shell(t, c, "sleep 60 & wait $!; exit $?")
	c.attach7(t, id)
	begin()
	sawItsChildKilled(t, c, id)
}

// TestIntegrationBPFZombie: the books of who is not waited for are closed all the same, and nothing in them is a guess.
func TestIntegrationBPFZombie(t *testing.T) {
	c := newBPFHost(t).engine()
	cmd := exec.Command("sh", "-c", "read go; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // and nobody waits for it before
	id, ok := c.Identify(int32(cmd.Process.Pid))
	if !ok {
		t.Fatal("it is not there")
	}
	c.attach7(t, id)
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	var used *watch.Usage
	guessed := false
	until(t, c, func(e *watch.Event) error {
		if e.Kind == watch.Used && e.Proc == id && e.Usage != nil {
			u := *e.Usage
			used, guessed = &u, e.Inferred
		}
		return nil
	}, func() bool { return used != nil })
	st, err := Proc.Stat(id.PID)
	if ns, ok := Proc.Runtime(id.PID); err != nil || st.State != 'Z' || !ok || used.CPU != ns || used.CPU == 0 || guessed {
		t.Errorf("the zombie (%c, %v) has used %d ns, on the books are %d, guessed %v", st.State, err, ns, used.CPU, guessed)
	}
}
