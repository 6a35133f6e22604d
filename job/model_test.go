package job

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/watch"
)

// dumb is the slow, obvious model of the table: for every process there ever was, which job it is in; everything else is
// counted anew from that each time.
type dumb struct {
	home  map[int32]JID // of the living; 0: in no job
	jobs  map[JID]bool  // open
	held  map[JID]bool
	most  map[JID]int // of those with a limit
	cpu   map[JID]int64
	total map[JID]int
	ended []JID

	due     []waiting        // what processes used that have gone from a job, or from none
	emptied map[JID]endingOf // of jobs that nobody is in and nobody holds
	records map[JID]int      // of each job, that are in the books
	over    map[JID]endingOf // of those that ended
}

// waiting is a process that is gone, and what it used.
type waiting struct {
	id  watch.ID
	job JID
	cpu int64
}

// endingOf is when a job was left by everybody, and why it ended.
type endingOf struct {
	at  time.Time
	why Text
}

// dueIn counts what a job waits for.
func (m *dumb) dueIn(j JID) (n int) {
	for _, d := range m.due {
		if d.job == j {
			n++
		}
	}
	return n
}

func (m *dumb) members(j JID) []int32 {
	var out []int32
	for p, in := range m.home {
		if in == j {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// settle ends what is empty and waits for nothing, as often as something changes: now, for this reason.
func (m *dumb) settle(now time.Time, why Text) {
	for j := range m.jobs {
		if len(m.members(j)) > 0 || m.held[j] {
			delete(m.emptied, j)
			continue
		}
		if m.emptied[j] == (endingOf{}) {
			m.emptied[j] = endingOf{now, why}
		}
		if m.dueIn(j) == 0 {
			delete(m.jobs, j)
			m.ended, m.over[j] = append(m.ended, j), m.emptied[j]
		}
	}
}

// full reports whether nobody may be put into a job any more, or be born there.
func (m *dumb) full(j JID) bool {
	most, limited := m.most[j]
	return limited && len(m.members(j)) >= most
}

func (m *dumb) alive() []int32 {
	var out []int32
	for p := range m.home {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func (m *dumb) open() []JID {
	var out []JID
	for j := range m.jobs {
		out = append(out, j)
	}
	slices.Sort(out)
	return out
}

func TestTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		m := &dumb{
			home: map[int32]JID{1: 0}, jobs: map[JID]bool{}, held: map[JID]bool{}, most: map[JID]int{}, cpu: map[JID]int64{}, total: map[JID]int{},
			emptied: map[JID]endingOf{}, records: map[JID]int{}, over: map[JID]endingOf{},
		}
		var why Text // a job that is left now ends
		records := map[JID]int{}
		next := int32(2)
		var ended []JID
		given := map[JID]bool{}
		proc := func(rt *rapid.T) int32 { return rapid.SampledFrom(m.alive()).Draw(rt, "pid") }
		someJob := func(rt *rapid.T) JID {
			if open := m.open(); len(open) > 0 {
				return rapid.SampledFrom(open).Draw(rt, "job")
			}
			return NewJID(1, 999)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"fork": func(rt *rapid.T) {
				p, c := proc(rt), next
				if rapid.Bool().Draw(rt, "reuse") && next > 3 {
					if c = rapid.Int32Range(2, next-1).Draw(rt, "old"); alive(m, c) {
						return
					}
				} else {
					next++
				}
				if rapid.IntRange(0, 4).Draw(rt, "admitted") == 0 {
					check(rt, w.admit(p, c))
				} else {
					err := w.fork(p, c, rapid.Bool().Draw(rt, "inferred"))
					if m.full(m.home[p]) {
						expect(rt, err, watch.ErrRefuse) // and it is a member until somebody kills it
					} else {
						check(rt, err)
					}
				}
				m.home[c] = m.home[p]
				if j := m.home[p]; j != 0 {
					m.total[j]++
				}
			},
			"exit": func(rt *rapid.T) {
				p := proc(rt)
				if p == 1 {
					return
				}
				j, cpu := m.home[p], rapid.Int64Range(0, 9).Draw(rt, "cpu")
				delete(m.home, p)
				why = EndExit
				if rapid.Bool().Draw(rt, "later") {
					m.due = append(m.due, waiting{w.id(p), j, cpu})
					check(rt, w.exitLater(p, 0, false))
					return
				}
				check(rt, w.exit(p, 0, used(cpu), false))
				m.cpu[j] += cpu
				m.records[j]++
			},
			"used": func(rt *rapid.T) {
				if len(m.due) == 0 {
					return
				}
				i := rapid.IntRange(0, len(m.due)-1).Draw(rt, "whose")
				d := m.due[i]
				m.due = slices.Delete(m.due, i, i+1)
				m.records[d.job]++
				e := watch.Event{Kind: watch.Used, Proc: d.id, TID: d.id.PID}
				if rapid.IntRange(0, 9).Draw(rt, "it came") > 0 {
					e.Usage = used(d.cpu)
					m.cpu[d.job] += d.cpu
				}
				check(rt, w.dispatch(e))
			},
			"create": func(rt *rapid.T) {
				p, nested := proc(rt), rapid.Bool().Draw(rt, "nested")
				why = EndDetached
				jid, err := w.table.Allocate(0)
				check(rt, err)
				if given[jid] {
					rt.Fatalf("%s was given twice", jid)
				}
				given[jid] = true
				_, err = w.table.Create(Request{Proc: w.id(p), JID: jid, Nested: nested, Info: Info{User: "u"}})
				if (m.home[p] != 0 && !nested) != errors.Is(err, ErrMember) {
					rt.Fatalf("create for %d in %d, nested %v: %v", p, m.home[p], nested, err)
				}
				if err == nil {
					m.home[p], m.jobs[jid] = jid, true
					m.total[jid]++
				}
			},
			"hold": func(rt *rapid.T) {
				jid, err := w.table.Allocate(0)
				check(rt, err)
				_, err = w.table.Create(Request{JID: jid, Held: true})
				check(rt, err)
				m.jobs[jid], m.held[jid] = true, true
			},
			"release": func(rt *rapid.T) {
				j := someJob(rt)
				why = EndReleased
				if err := w.table.Release(j); (err == nil) != m.held[j] {
					rt.Fatalf("release %s, held %v: %v", j, m.held[j], err)
				}
				delete(m.held, j)
			},
			"attach": func(rt *rapid.T) {
				p, j := proc(rt), someJob(rt)
				err := w.table.Attach(w.id(p), j, Entrant{})
				switch {
				case !m.jobs[j]:
					expect(rt, err, ErrNoJob)
				case m.home[p] == j:
					expect(rt, err, nil)
				case m.home[p] != 0:
					expect(rt, err, ErrOtherJob)
				case m.emptied[j] != endingOf{}: // only its books are still to be closed
					expect(rt, err, ErrNoJob)
				case m.full(j):
					expect(rt, err, ErrFull)
				default:
					expect(rt, err, nil)
					m.home[p] = j
					m.total[j]++
				}
			},
			"limit": func(rt *rapid.T) {
				j := someJob(rt)
				var most *int
				if rapid.Bool().Draw(rt, "some") {
					n := rapid.IntRange(0, 4).Draw(rt, "most")
					most = &n
				}
				err := w.table.Limit(j, most)
				switch {
				case !m.jobs[j]:
					expect(rt, err, ErrNoJob)
				case most == nil:
					expect(rt, err, nil)
					delete(m.most, j)
				default:
					expect(rt, err, nil)
					m.most[j] = *most
				}
			},
			"move": func(rt *rapid.T) {
				p, j := proc(rt), someJob(rt)
				why = EndDetached
				move, back := w.table.Move, rapid.Bool().Draw(rt, "back")
				if back {
					move = w.table.Return
				}
				err := move(w.id(p), j, Entrant{})
				switch {
				case !m.jobs[j]:
					expect(rt, err, ErrNoJob)
				case m.home[p] == 0:
					expect(rt, err, ErrNotMember)
				case !back && m.emptied[j] != endingOf{}:
					expect(rt, err, ErrNoJob)
				case !back && m.home[p] != j && m.full(j):
					expect(rt, err, ErrFull)
				default:
					expect(rt, err, nil)
					if m.home[p] != j {
						m.home[p] = j
						m.total[j]++
					}
				}
			},
			"detach": func(rt *rapid.T) {
				p := proc(rt)
				why = EndDetached
				_, err := w.table.Detach(w.id(p), Known{PID: p}, Spent{})
				if m.home[p] == 0 {
					expect(rt, err, ErrNotMember)
				} else {
					expect(rt, err, nil)
				}
				m.home[p] = 0
			},
			"hand over": func(rt *rapid.T) { // effects come first, as they do when jobd stops
				if effects := w.table.Effects(); len(effects) > 0 {
					rt.Fatalf("%d effects were left over", len(effects))
				}
				check(rt, w.handOver(rt))
			},
			"": func(rt *rapid.T) {
				m.settle(w.table.wall, why)
				for _, e := range w.table.Effects() {
					switch e := e.(type) {
					case *Record:
						records[e.JID]++
					case EndedJob:
						s := e.Saved
						ended = append(ended, s.JID)
						if *s.CPU != m.cpu[s.JID] || s.TotalProcesses != m.total[s.JID] {
							rt.Fatalf("%s ended with cpu %d of %d, %d processes of %d", s.JID, *s.CPU, m.cpu[s.JID], s.TotalProcesses, m.total[s.JID])
						}
						if got := (endingOf{*s.Ended, s.EndReason}); got != m.over[s.JID] || records[s.JID] != m.records[s.JID] {
							rt.Fatalf("%s ended %v, want %v, with %d records of %d", s.JID, got, m.over[s.JID], records[s.JID], m.records[s.JID])
						}
					}
				}
				compare(rt, w, m, ended)
				w.tick()
			},
		})
	})
}

func alive(m *dumb, pid int32) bool { _, ok := m.home[pid]; return ok }

func compare(rt *rapid.T, w *world, m *dumb, ended []JID) {
	got, want := slices.Clone(ended), slices.Clone(m.ended)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("ended %v, want each once of %v", got, want)
	}
	due := len(m.due) - m.dueIn(0)
	if n := w.table.Due(); n != due {
		rt.Fatalf("%d records are due, want %d", n, due)
	}
	var open []JID
	for _, in := range w.table.Jobs() {
		open = append(open, in.JID)
		ids, err := w.table.Members(in.JID)
		check(rt, err)
		var pids []int32
		for _, id := range ids {
			pids = append(pids, id.PID)
		}
		if !slices.Equal(pids, m.members(in.JID)) {
			rt.Fatalf("%s has %v, want %v", in.JID, pids, m.members(in.JID))
		}
		if waits := m.emptied[in.JID] != (endingOf{}); in.Processes != len(pids) || waits && in.State != Lingering {
			rt.Fatalf("%s is %s with %d processes of %d", in.JID, in.State, in.Processes, len(pids))
		}
	}
	slices.Sort(open)
	if !slices.Equal(open, m.open()) {
		rt.Fatalf("open %v, want %v", open, m.open())
	}
	for p, j := range m.home {
		if w.table.Find(w.id(p)) != j {
			rt.Fatalf("process %d is in %s, want %s", p, w.table.Find(w.id(p)), j)
		}
	}
	if e := w.table.Balance().Error(); e != 0 {
		rt.Fatalf("the balance is off by %d: %+v", e, w.table.Balance())
	}
}

func check(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}

func expect(rt *rapid.T, got, want error) {
	rt.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		rt.Fatal(fmt.Sprintf("got %v, want %v", got, want))
	}
}
