package job

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/watch"
)

const ms = int64(time.Millisecond)

// stage is a table with one job, whose POE is process 1, at a time that the test sets.
type stage struct {
	*world
	tb interface{ Fatal(...any) }
}

func newStage(tb interface{ Fatal(...any) }) *stage {
	s := &stage{newWorld(tb), tb}
	jid, err := s.table.Allocate(0)
	if err == nil {
		_, err = s.table.Create(Request{Proc: s.id(1), JID: jid})
	}
	s.must(err)
	s.table.Effects()
	return s
}

func (s *stage) must(err error) {
	if err != nil {
		s.tb.Fatal(err)
	}
}

func (s *stage) pass(d int64) {
	s.now += d
	s.table.Sync(s.table.wall.Add(time.Duration(d)), s.now)
}

// exec has a process run another program, of which nothing has been read.
func (s *stage) exec(pid int32) *watch.Program {
	p := new(watch.Program)
	s.must(s.dispatch(watch.Event{Kind: watch.Exec, Proc: s.id(pid), TID: pid, Program: p}))
	return p
}

// gone has a process exit and gives its record.
func (s *stage) gone(pid int32) *Record {
	s.must(s.exit(pid, 0, nil, false))
	for _, e := range s.table.Effects() {
		if r, ok := e.(*Record); ok && r.PID == pid {
			return r
		}
	}
	s.tb.Fatal("no record of ", pid)
	return nil
}

// names gives what a record says was run, last the program that the process ran in the end.
func names(r *Record) (out []string) {
	for _, x := range r.Execs {
		out = append(out, x.Exe)
	}
	return append(out, r.Exe)
}

func TestProgramsOfAProcess(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*stage)
		want []string
	}{
		{"nothing is known of what it was born with", func(*stage) {}, []string{""}},
		{"one after the other", func(s *stage) {
			*s.exec(2) = watch.Program{Exe: "/sh", Read: s.now}
			s.pass(ms)
			*s.exec(2) = watch.Program{Exe: "/sleep", Read: s.now}
		}, []string{"/sh", "/sleep", "/sleep"}},
		{"read later than the event was dispatched", func(s *stage) {
			p := s.exec(2)
			s.pass(ms)
			*p = watch.Program{Exe: "/sh", Read: s.now}
		}, []string{"/sh", "/sh"}},
		{"never read", func(s *stage) { s.exec(2) }, []string{"", ""}},
		{"read when it ran another already", func(s *stage) {
			p := s.exec(2)
			s.pass(ms)
			q := s.exec(2)
			s.pass(ms)
			*p, *q = watch.Program{Exe: "/b", Read: s.now}, watch.Program{Exe: "/b", Read: s.now}
		}, []string{"", "/b", "/b"}},
		{"read while the next was being loaded, perhaps", func(s *stage) {
			*s.exec(2) = watch.Program{Exe: "/b", Read: s.now + ms}
			s.pass(2 * ms)
			*s.exec(2) = watch.Program{Exe: "/b", Read: s.now}
		}, []string{"", "/b", "/b"}},
		{"read just before the next, which is known to be another", func(s *stage) {
			*s.exec(2) = watch.Program{Exe: "/a", Read: s.now + ms}
			s.pass(2 * ms)
			*s.exec(2) = watch.Program{Exe: "/b", Read: s.now}
		}, []string{"/a", "/b", "/b"}},
		{"read just before the next, of which nothing is known", func(s *stage) {
			*s.exec(2) = watch.Program{Exe: "/a", Read: s.now + ms}
			s.pass(2 * ms)
			s.exec(2)
		}, []string{"", "", ""}},
		{"the same program twice, long enough", func(s *stage) {
			*s.exec(2) = watch.Program{Exe: "/a", Read: s.now + ms}
			s.pass(ms + execWindow)
			*s.exec(2) = watch.Program{Exe: "/a", Read: s.now}
		}, []string{"/a", "/a", "/a"}},
		{"read when it was gone and its pid another's", func(s *stage) {
			*s.exec(2) = watch.Program{Exe: "/other", Read: s.now + 3*ms}
		}, []string{"", ""}},
		{"programs are not followed", func(s *stage) {
			s.must(s.dispatch(watch.Event{Kind: watch.Exec, Proc: s.id(2), TID: 2}))
		}, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.must(s.fork(1, 2, false))
			c.do(s)
			s.pass(2 * ms)
			if got := names(s.gone(2)); !slices.Equal(got, c.want) {
				t.Errorf("ran %q, want %q", got, c.want)
			}
		})
	}
}

// A child runs what its parent ran when it was forked, whatever becomes of the parent.
func TestChildRunsItsParentsProgram(t *testing.T) {
	s := newStage(t)
	s.must(s.fork(1, 2, false))
	p := s.exec(2)
	s.pass(ms)
	s.must(s.fork(2, 3, false))
	s.must(s.fork(2, 4, false))
	*p = watch.Program{Exe: "/sh", Read: s.now}
	s.pass(execWindow)
	s.exec(2)
	s.must(s.fork(2, 5, false))
	s.pass(ms)
	*s.exec(4) = watch.Program{Exe: "/cat", Read: s.now}
	s.pass(ms)
	for pid, want := range map[int32][]string{3: {"/sh"}, 4: {"/cat", "/cat"}, 5: {""}, 2: {"/sh", "", ""}} {
		if got := names(s.gone(pid)); !slices.Equal(got, want) {
			t.Errorf("process %d ran %q, want %q", pid, got, want)
		}
	}
}

// Who joins otherwise than by birth is looked at then. What it runs is not among what it ran as a member.
func TestProgramOfWhoJoins(t *testing.T) {
	s := newStage(t)
	s.table.cfg.Program = func(id watch.ID) *watch.Program {
		if id.PID == 9 {
			return nil // gone, or nobody wants to know
		}
		return &watch.Program{Exe: fmt.Sprint("/", id.PID), Read: s.now}
	}
	jid := s.table.Find(s.id(1))
	s.must(s.table.Attach(s.id(7), jid, Entrant{}))
	s.must(s.table.Adopt(s.id(8), jid, Entrant{}))
	s.must(s.table.Adopt(s.id(9), jid, Entrant{}))
	s.must(s.fork(1, 10, true)) // not seen being forked
	s.must(s.fork(8, 11, false))
	s.pass(ms)
	*s.exec(7) = watch.Program{Exe: "/cat", Read: s.now}
	s.pass(ms)
	for pid, want := range map[int32][]string{7: {"/cat", "/cat"}, 8: {"/8"}, 9: {""}, 10: {"/10"}, 11: {"/8"}} {
		if got := names(s.gone(pid)); !slices.Equal(got, want) {
			t.Errorf("process %d ran %q, want %q", pid, got, want)
		}
	}
}

// Of many programs the first is kept, and the last ones, each with its time.
func TestManyPrograms(t *testing.T) {
	s := newStage(t)
	s.must(s.fork(1, 2, false))
	const many = 3 * execsMost
	for i := range many {
		s.pass(ms)
		*s.exec(2) = watch.Program{Exe: fmt.Sprint("/", i), Args: "a\x00b c\x00\x00", Read: s.now}
	}
	s.pass(ms)
	r := s.gone(2)
	want := []string{"/0"}
	for i := many - execsMost + 1; i < many; i++ {
		want = append(want, fmt.Sprint("/", i))
	}
	if got := names(r); !slices.Equal(got[:len(got)-1], want) || r.Exe != want[execsMost-1] {
		t.Errorf("got %q, want %q", got, want)
	}
	if first, last := r.Execs[0].At, r.Execs[execsMost-1].At; first != r.Start+ms || last != r.End-ms {
		t.Errorf("first %d after the start, last %d before the end", first-r.Start, r.End-last)
	}
	p := r.Process()
	if p.Exe != Text(r.Exe) || len(p.Execs) != execsMost || !cmp.Equal(p.Execs[0].Argv, []string{"a", "b c", ""}) || !p.Execs[0].Time.Equal(time.Unix(0, r.Execs[0].At)) {
		t.Errorf("as a process it is %+v", p)
	}
}

// Unknown is null: none were run only by who is known to have run none.
func TestExecsOfARecord(t *testing.T) {
	if got := (&Record{Forked: true}).execs(); got == nil || len(got) != 0 {
		t.Errorf("forked and no more: %v", got)
	}
	if got := (&Record{}).execs(); got != nil {
		t.Errorf("not known: %v", got)
	}
	got := (&Record{Execs: []Exec{{At: 5}, {At: 6, Exe: "/a", Args: "cut sho"}}}).execs()
	want := []ExecInfo{{Time: time.Unix(0, 5).UTC()}, {Time: time.Unix(0, 6).UTC(), Exe: "/a", Argv: []string{"cut sho"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// onlooker is the slow, obvious model: what each living process really runs, and when somebody will look.
type onlooker struct {
	runs map[int32]string
	ran  map[int32][]string // since it was forked
	due  []glance
}

type glance struct {
	at   int64
	pid  int32
	into *watch.Program
}

// look fills in what is due: what runs under the pid at that moment, whoever that is.
func (o *onlooker) look(now int64) {
	o.due = slices.DeleteFunc(o.due, func(g glance) bool {
		if g.at > now {
			return false
		}
		if exe := o.runs[g.pid]; exe != "" {
			*g.into = watch.Program{Exe: exe, Read: g.at}
		}
		return true
	})
}

// Whenever somebody looks, no process is said to have run what it did not.
func TestProgramsAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(rt)
		o := &onlooker{runs: map[int32]string{1: "/init"}, ran: map[int32][]string{}}
		alive := func() (out []int32) {
			for pid := range o.runs {
				out = append(out, pid)
			}
			slices.Sort(out)
			return out
		}
		step := func(rt *rapid.T) int32 {
			d := rapid.Int64Range(1, 20).Draw(rt, "ms") * ms
			o.look(s.now + d - 1) // between two events nothing changes
			s.pass(d)
			return rapid.SampledFrom(alive()).Draw(rt, "pid")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"fork": func(rt *rapid.T) {
				p := step(rt)
				c := rapid.Int32Range(2, 6).Draw(rt, "child") // pids are used again soon
				if o.runs[c] != "" {
					return
				}
				s.must(s.fork(p, c, false))
				o.runs[c], o.ran[c] = o.runs[p], nil
			},
			"exec": func(rt *rapid.T) {
				p := step(rt)
				exe := rapid.SampledFrom([]string{"/a", "/b", "/c"}).Draw(rt, "exe")
				o.runs[p] = exe
				o.ran[p] = append(o.ran[p], exe)
				late := rapid.Int64Range(0, 30).Draw(rt, "late") * ms
				o.due = append(o.due, glance{s.now + late, p, s.exec(p)})
			},
			"exit": func(rt *rapid.T) {
				p := step(rt)
				if p == 1 {
					return
				}
				r := s.gone(p)
				last, ran := o.runs[p], o.ran[p]
				delete(o.runs, p)
				if r.Exe != "" && r.Exe != last || len(r.Execs) != min(len(ran), execsMost) {
					rt.Fatalf("process %d ran %q in the end, the record says %q", p, last, r.Exe)
				}
				if len(ran) > execsMost {
					ran = append(ran[:1:1], ran[len(ran)-execsMost+1:]...)
				}
				for i, x := range r.Execs {
					if x.Exe != "" && x.Exe != ran[i] {
						rt.Fatalf("process %d ran %q, the record says %q", p, ran, names(r))
					}
				}
			},
		})
	})
}
