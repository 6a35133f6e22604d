package kernel

import (
	"runtime"
	"testing"
	"time"
)

func TestBed(t *testing.T) {
	b, err := newBed()
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	start := time.Now()
	if b.rest(30 * time.Millisecond); time.Since(start) < 30*time.Millisecond {
		t.Error("it got up before its time, and nobody roused it")
	}
	for _, when := range []string{"before", "during"} {
		rested := make(chan struct{})
		if when == "before" {
			b.rouse()
			b.rouse()
		}
		go func() {
			defer close(rested)
			b.rest(time.Hour)
		}()
		if when == "during" {
			runtime.Gosched()
			b.rouse()
		}
		select {
		case <-rested:
		case <-time.After(10 * time.Second):
			t.Fatalf("roused %s the rest, it rests on", when)
		}
	}
	for range 3 {
		b.settle()
	}
	start = time.Now()
	if b.rest(30 * time.Millisecond); time.Since(start) < 30*time.Millisecond {
		t.Error("what was settled cost it a rest")
	}
}

// TestBedAndTheWorld: who rests is out of the scheduler's sight, and must not keep a garbage collection waiting.
func TestBedAndTheWorld(t *testing.T) {
	b, err := newBed()
	if err != nil {
		t.Fatal(err)
	}
	rested, began := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(rested)
		close(began)
		b.rest(time.Hour)
	}()
	<-began
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for range 10 {
			runtime.GC()
		}
	}()
	select {
	case <-collected:
	case <-time.After(20 * time.Second):
		t.Error("the world could not be stopped while somebody rested")
	}
	b.rouse()
	<-rested
	b.close()
	b.rouse() // of nobody: it is closed
}
