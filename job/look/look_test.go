package look

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

// hurried takes every look that takes too long for one that is held up.
func hurried(most time.Duration) *Looks {
	l := New(most)
	l.held = func(int64) bool { return true }
	return l
}

// TestHeld: who waits for anything else, or has no CPU, is not held up.
func TestHeld(t *testing.T) {
	l := New(time.Millisecond)
	n, err := At(l, 7, func() (int, error) {
		for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); { // busy, not held up
		}
		return 5, nil
	})
	if n != 5 || err != nil || l.looking() != 0 {
		t.Errorf("%d, %v, %d stuck", n, err, l.looking())
	}
}

func TestAt(t *testing.T) {
	l := hurried(time.Millisecond)
	if n, err := At(l, 7, func() (int, error) { return 5, nil }); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	bad := errors.New("bad")
	if _, err := At(l, 7, func() (int, error) { return 0, bad }); err != bad {
		t.Error(err)
	}
	free := make(chan struct{})
	never := func() (int, error) { <-free; return 1, nil }
	if _, err := At(l, 7, never); err != ErrBusy || l.looking() != 1 {
		t.Errorf("%v, %d stuck", err, l.looking())
	}
	if _, err := At(l, 7, func() (int, error) { t.Error("looked at it again"); return 0, nil }); err != ErrBusy {
		t.Error(err)
	}
	if n, err := At(New(time.Minute), 8, func() (int, error) { return 5, nil }); n != 5 || err != nil {
		t.Errorf("another one: %d, %v", n, err)
	}
	close(free)
	for l.looking() > 0 {
		runtime.Gosched()
	}
	if n, err := At(New(time.Minute), 7, never); n != 1 || err != nil {
		t.Errorf("when it can be looked at again: %d, %v", n, err)
	}
}

// TestMany: nobody is left over, whoever comes first.
func TestMany(t *testing.T) {
	l := hurried(time.Microsecond)
	var all sync.WaitGroup
	for pid := range int32(200) {
		all.Go(func() {
			for range 50 {
				_, _ = At(l, pid%20, func() (int, error) { runtime.Gosched(); return 0, nil })
			}
		})
	}
	all.Wait()
	for l.looking() > 0 {
		runtime.Gosched()
	}
}

// TestInVain: many that cannot be looked at do not keep anybody waiting for long.
func TestInVain(t *testing.T) {
	l := hurried(vainMost / 2)
	free := make(chan struct{})
	defer close(free)
	for pid := range int32(50) {
		_, _ = At(l, pid, func() (int, error) { <-free; return 0, nil })
	}
	if most := vainMost + 50*hasty; l.vain > most || l.looking() != 50 {
		t.Errorf("waited for %v, %d stuck", l.vain, l.looking())
	}
	if wait, _ := l.may(100); wait != hasty {
		t.Errorf("would wait for %v", wait)
	}
	l.since = l.since.Add(-vainTime)
	if wait, _ := l.may(100); wait != vainMost/2 {
		t.Errorf("later it would wait for %v", wait)
	}
}

func TestTooMany(t *testing.T) {
	l := hurried(0)
	free := make(chan struct{})
	defer close(free)
	for pid := range int32(stuckMost) {
		l.stuck[pid] = 1
	}
	if _, err := At(l, stuckMost, func() (int, error) { return 0, nil }); err != ErrBusy {
		t.Error(err)
	}
}

func BenchmarkAt(b *testing.B) {
	l := New(time.Second)
	for b.Loop() {
		_, _ = At(l, 7, func() (int, error) { return 0, nil })
	}
}

// looking counts the processes at which somebody is still looking.
func (l *Looks) looking() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.stuck)
}
