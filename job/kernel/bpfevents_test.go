package kernel

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/label"
	"github.com/jobd-project/jobd/job/watch"
)

// stage is an engine without a kernel: process 5 is in job 7, and what the kernel would tell is made by hand. Jobs 7 and 8 are open.
type stage struct {
	c      *BPF
	now    int64
	starts map[int32]int64 // of who has the pid now
	told   []string
	emits  func(*watch.Event) error // nil: nothing more
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{c: &BPF{engine: *partialEngine(FS(t.TempDir())), waiting: make(map[known]*proc)}, now: 1000, starts: make(map[int32]int64)}
	s.c.groups, s.c.emptied = ^watch.Group(0), true
	s.c.bench.call(7, job.Placement{})
	s.c.bench.call(8, job.Placement{})
	s.member(5, 7)
	return s
}

// member puts a process on the books that was in a job before anything was told.
func (s *stage) member(pid int32, in Label) *proc {
	s.now++
	s.starts[pid] = s.now
	return s.c.takeIn(map[known]listed{{pid, s.now}: {label: label.Label{In: uint64(in)}, tids: []int32{pid}, alive: true}})[0]
}

// emit writes down what is emitted, as play says it.
func (s *stage) emit(e *watch.Event) error {
	var what string
	switch e.Kind {
	case watch.Clone:
		what = "c%d<%d"
		if e.Thread {
			what = "t%d.%d"
			s.told = append(s.told, fmt.Sprintf(what, e.Proc.PID, e.TID))
			break
		}
		s.told = append(s.told, fmt.Sprintf(what, e.Proc.PID, e.Parent.PID)+mark(e.Inferred, "?"))
	case watch.Exec:
		s.told = append(s.told, fmt.Sprintf("x%d.%d", e.Proc.PID, e.TID))
	case watch.Exit:
		s.told = append(s.told, fmt.Sprintf("e%d.%d", e.Proc.PID, e.TID))
	case watch.Free:
		s.told = append(s.told, fmt.Sprintf("F%d=%d", e.Proc.PID, e.Value)+mark(e.Inferred, "?")+mark(!e.Later, "!"))
	case watch.Used:
		s.told = append(s.told, fmt.Sprintf("u%d=%d", e.Proc.PID, e.Usage.CPU)+mark(e.Inferred, "?"))
	default:
		s.told = append(s.told, fmt.Sprintf("%v%d=%d/%d", e.Kind, e.Proc.PID, e.Real, e.Value)+mark(e.Inferred, "?"))
	}
	if s.emits != nil {
		return s.emits(e)
	}
	return nil
}

func mark(is bool, as string) string {
	if is {
		return as
	}
	return ""
}

// play has the kernel tell a script, and gives what was emitted. c10<5 is the birth of process 10, made by 5, with /8 in job 8; C10 the
// same told again; t10.11 a thread of it; x10.11 an exec by what was thread 11; e10.11 the exit of a task, E10.11 that of the last one, with
// status 11; f10.11 that it is gone, having used 1 ns. With ' it is of who had the pid before.
func (s *stage) play(script string) string {
	s.told = nil
	for _, word := range strings.Fields(script) {
		ev := s.event(word)
		s.c.clock = clocks{mono: ev.Time, boot: ev.Time}
		s.c.take(&ev, s.emit)
	}
	return strings.Join(s.told, " ")
}

func (s *stage) event(word string) label.Event {
	s.now++
	word, former := strings.CutSuffix(word, "'")
	rest, in, other := strings.Cut(word[1:], "/")
	pid, by, _ := strings.Cut(strings.Replace(rest, "<", ".", 1), ".")
	ev := label.Event{Time: s.now, Job: 7, PID: number(pid)}
	ev.TID = ev.PID
	if other {
		ev.Job = uint64(number(in))
	}
	task := number(by)
	switch word[0] {
	case 'c':
		s.starts[ev.PID], ev.Other, ev.Real = s.now, task, uint64(task)
	case 'C':
	case 't':
		ev.TID = task
	case 'x':
		ev.Kind, ev.Other = label.Exec, task
	case 'e', 'E':
		ev.Kind, ev.TID, ev.Value, ev.Left.Used.CPU = label.Exit, task, uint64(task), 1
		if word[0] == 'E' {
			ev.Real = 1
		}
	case 'f':
		ev.Kind, ev.TID, ev.Real, ev.Used.CPU = label.Free, task, 1, 1
	}
	ev.Start = s.starts[ev.PID]
	if former {
		ev.Start--
	}
	return ev
}

func number(s string) int32 {
	n, err := strconv.Atoi(s)
	if err != nil && s != "" {
		panic(err)
	}
	return int32(n)
}

// TestBPFTells: what is emitted of what the kernel tells.
func TestBPFTells(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"plain", "c10<5 x10.10 E10.10 f10.10", "c10<5 x10.10 e10.10 F10=10 u10=1"},
		{"told twice", "c10<5 C10 E10.10 f10.10", "c10<5 e10.10 F10=10 u10=1"},
		{"a grandchild of one that has exited", "c10<5 c11<10 E10.10 c12<11 f10.10", "c10<5 c11<10 e10.10 F10=10 c12<11 u10=1"},
		{"threads", "c10<5 t10.11 t10.12 e10.11 f10.11 e10.12 E10.10 f10.12 f10.10",
			"c10<5 t10.11 t10.12 e10.11 e10.12 e10.10 F10=10 u10=3"},
		{"the first thread exits first", "c10<5 t10.11 e10.10 E10.11 f10.11 f10.10", "c10<5 t10.11 e10.10 e10.11 F10=11 u10=2"},
		{"and is gone first", "c10<5 t10.11 e10.10 E10.11 f10.10 f10.11", "c10<5 t10.11 e10.10 e10.11 F10=11 u10=2"},
		{"a thread is gone last", "c10<5 t10.11 e10.11 E10.10 f10.10 f10.11", "c10<5 t10.11 e10.11 e10.10 F10=10 u10=2"},
		{"two that exit at once are each the last", "c10<5 t10.11 E10.11 E10.10 f10.11 f10.10", "c10<5 t10.11 e10.11 F10=11 u10=2"},
		{"a thread's exec", "c10<5 t10.11 e10.10 x10.11 f10.11 E10.10 f10.10", "c10<5 t10.11 e10.10 x10.10 e10.10 F10=10 u10=2"},
		{"of which the others are gone late", "c10<5 t10.11 t10.12 e10.12 e10.10 x10.11 E10.10 f10.10 f10.12 f10.11",
			"c10<5 t10.11 t10.12 e10.12 e10.10 x10.10 e10.10 F10=10 u10=3"},
		{"a thread told twice", "c10<5 t10.11 t10.11 e10.11 f10.11 E10.10 f10.10", "c10<5 t10.11 t10.11 e10.11 e10.10 F10=10 u10=2"},
		{"a thread that was told of by nobody", "c10<5 e10.11 f10.11 E10.10 f10.10", "c10<5 e10.11 e10.10 F10=10 u10=2"},
		{"a stranger", "x20.20 t20.21 e20.21 E20.20 f20.20", ""},
		{"who had the pid before", "c10<5 x10.10' t10.11' E10.10' f10.10'", "c10<5"},
		{"the pid used again", "c10<5 E10.10 c10<5 f10.10' E10.10 f10.10", "c10<5 e10.10 F10=10 c10<5 e10.10 F10=10 u10=1"},
		{"the pid used again, of whose owner no end was told", "c10<5 c10<5 E10.10 f10.10", "c10<5 F10=0?! c10<5 e10.10 F10=10 u10=1"},
		{"a maker that is not known", "c10<20", "c10<5"},
		{"of another job", "c10<20/8", "c10<0"},
		{"by one of nobody's job", "c10<5/8", "c10<0"},
		{"below one that inherits from nobody", "c10<20/8 c11<10/8", "c10<0 c11<0"},
	} {
		if got := newStage(t).play(c.script); got != c.want {
			t.Errorf("%s: %s\ngives %s\nwant  %s", c.name, c.script, got, c.want)
		}
	}
}
