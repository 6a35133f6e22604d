package pnotify

import (
	"iter"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job/watch"
)

// wild is a table whose subscribers do whatever they like in their callbacks.
type wild struct {
	*rapid.T
	w     *watch.Table
	n     *Table
	alive []watch.ID
	next  int32
	deep  int // callbacks in callbacks
}

var wildNames = []string{"a", "b", "c"}

// misbehave is what a callback of name does.
func (m *wild) misbehave(name string) {
	if m.deep > 3 {
		return
	}
	m.deep++
	defer func() { m.deep-- }()
	other := rapid.SampledFrom(wildNames).Draw(m.T, "other")
	switch rapid.IntRange(0, 11).Draw(m.T, "does") {
	case 0:
		panic("boom")
	case 1:
		_ = m.n.Unregister(name) // whatever they answer: the table has to be right afterwards
	case 2:
		_ = m.n.Unregister(other)
	case 3:
		m.register(other)
	case 4:
		_, _ = m.n.Subscribe(m.some(), other, nil)
	case 5:
		_ = m.n.Unsubscribe(m.some(), name)
	}
}

func (m *wild) some() watch.ID { return rapid.SampledFrom(m.alive).Draw(m.T, "process") }

// called is a callback for s, which is on its process's list or not.
func (m *wild) called(s *Subscriber, on bool) {
	m.listed(s, on)
	m.misbehave(s.Name())
}

func (m *wild) listed(s *Subscriber, on bool) {
	if m.n.still(s) != on || s.reg.out {
		m.Errorf("%s is called for process %d, on its list: %v, taken out: %v", s.Name(), s.Proc.PID, !on, s.reg.out)
	}
}

func (m *wild) register(name string) {
	ev := &Events{
		Name: name,
		Exec: func(s *Subscriber, _ *watch.Event) { m.called(s, true) },
		Exit: func(s *Subscriber, _ *watch.Event) { m.called(s, false) },
		Fork: func(child, parent *Subscriber, _ *watch.Event) Answer {
			m.listed(parent, true)
			m.called(child, true)
			return rapid.SampledFrom([]Answer{Keep, Keep, Keep, NoSub, Refuse}).Draw(m.T, "answer")
		},
	}
	if rapid.Bool().Draw(m.T, "all") {
		ev.Init = func(s *Subscriber) error { m.called(s, true); return nil }
	}
	_ = m.n.Register(ev)
}

// check looks whether each list has each subscriber once, of those that are registered, for processes that live, and the counts come out even.
func (m *wild) check() {
	lists := make(map[string]int)
	for id, list := range m.n.procs.All() {
		if len(list) == 0 || !slices.Contains(m.alive, id) {
			m.Fatalf("a list of %d for process %d", len(list), id.PID)
		}
		var names []string
		for _, s := range list {
			if !slices.Contains(m.n.regs, s.reg) || slices.Contains(names, s.Name()) || s.Proc != id {
				m.Fatalf("%s is on the list of process %d, after %v", s.Name(), id.PID, names)
			}
			names = append(names, s.Name())
			lists[s.Name()]++
		}
	}
	for _, r := range m.n.regs {
		c := r.counts
		if c.Processes != lists[r.Name] || c.Init+c.Subscribed+c.Attached != c.Detached+uint64(c.Processes) || r.out {
			m.Fatalf("%s is on %d lists and has %+v", r.Name, lists[r.Name], c)
		}
	}
}

func TestWhateverCallbacksDo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &wild{T: rt, alive: []watch.ID{id(1), id(2)}, next: 3}
		m.w = &watch.Table{
			Existing: func() iter.Seq[watch.ID] { return slices.Values(slices.Clone(m.alive)) },
			Alive:    func(i watch.ID) bool { return slices.Contains(m.alive, i) },
		}
		var err error
		m.n, err = New(m.w)
		must(rt, err)
		rt.Repeat(map[string]func(*rapid.T){
			"register":  func(*rapid.T) { m.register(rapid.SampledFrom(wildNames).Draw(rt, "name")) },
			"subscribe": func(*rapid.T) { _, _ = m.n.Subscribe(m.some(), rapid.SampledFrom(wildNames).Draw(rt, "name"), nil) },
			"fork": func(*rapid.T) {
				parent, child := m.some(), id(m.next)
				m.next++
				m.alive = append(m.alive, child) // the engine knows it by then
				_ = m.w.Dispatch(&watch.Event{Kind: watch.Clone, Proc: child, TID: child.PID, Parent: parent})
			},
			"exec": func(*rapid.T) {
				who := m.some()
				_ = m.w.Dispatch(&watch.Event{Kind: watch.Exec, Proc: who, TID: who.PID})
			},
			"exit": func(*rapid.T) {
				who := m.some()
				if len(m.alive) == 1 {
					return
				}
				m.alive = slices.DeleteFunc(m.alive, func(i watch.ID) bool { return i == who })
				_ = m.w.Dispatch(&watch.Event{Kind: watch.Free, Proc: who, TID: who.PID})
			},
			"": func(*rapid.T) { m.check() },
		})
	})
}
