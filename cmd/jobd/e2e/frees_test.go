package e2e

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// frees is a second listener for the ends of tasks, with nothing of jobd's in it. There are kernels that run no program while a thread of
// pid 1 is interrupted, which is where they free a handful of tasks now and then: of what this one was not told, jobd was not either.
type frees struct {
	reader *ringbuf.Reader
	done   chan struct{}

	mu    sync.Mutex
	ended map[taskOf]time.Time // those that have exited, and are not free
	late  map[uint32]bool      // processes with a task that was told of when jobd may have given up waiting
}

// taskOf is a task as the kernel's programs name it.
type taskOf struct{ tgid, tid uint32 }

func hearFrees(t *testing.T) *frees {
	t.Helper()
	ring, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 8 << 20})
	must(t, err)
	reader, err := ringbuf.NewReader(ring)
	must(t, err)
	f := &frees{reader: reader, done: make(chan struct{}), ended: make(map[taskOf]time.Time), late: make(map[uint32]bool)}
	links := []link.Link{tellTask(t, ring, "sched_process_free", 0), tellTask(t, ring, "sched_process_exit", 1)}
	go f.run()
	t.Cleanup(func() {
		for _, l := range links {
			l.Close()
		}
		reader.Close()
		<-f.done
		ring.Close()
	})
	return f
}

// tellTask has the kernel write which task a trace point is about: its tgid, its tid, what.
func tellTask(t *testing.T, ring *ebpf.Map, point string, what int64) link.Link {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	must(t, err)
	var task *btf.Struct
	must(t, kernel.TypeByName("task_struct", &task))
	at := make(map[string]int16)
	for _, m := range task.Members {
		at[m.Name] = int16(m.Offset.Bytes())
	}
	if at["tgid"] == 0 || at["pid"] == 0 {
		t.Fatal("the kernel does not say where a task has its numbers")
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: point, License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
			asm.LoadMem(asm.R2, asm.R1, at["tgid"], asm.Word),
			asm.StoreMem(asm.RFP, -12, asm.R2, asm.Word),
			asm.LoadMem(asm.R2, asm.R1, at["pid"], asm.Word),
			asm.StoreMem(asm.RFP, -8, asm.R2, asm.Word),
			asm.StoreImm(asm.RFP, -4, what, asm.Word),
			asm.LoadMapPtr(asm.R1, ring.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -12),
			asm.Mov.Imm(asm.R3, 12),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnRingbufOutput.Call(),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	must(t, err)
	l, err := link.AttachTracing(link.TracingOptions{Program: program})
	must(t, err)
	must(t, program.Close())
	return l
}

func (f *frees) run() {
	defer close(f.done)
	for {
		rec, err := f.reader.Read()
		if err != nil {
			return
		}
		one := taskOf{binary.NativeEndian.Uint32(rec.RawSample), binary.NativeEndian.Uint32(rec.RawSample[4:])}
		f.mu.Lock()
		if binary.NativeEndian.Uint32(rec.RawSample[8:]) == 1 {
			f.ended[one] = time.Now()
		} else {
			if at, exited := f.ended[one]; exited && time.Since(at) > freesMost {
				f.late[one.tgid] = true
			}
			delete(f.ended, one)
		}
		f.mu.Unlock()
	}
}

// freesMost is how long after its exit a task may be free and still be told of in time: jobd waits for 10 s, by its own clock.
const freesMost = 9 * time.Second

// withheld counts the processes of whose tasks the end may not have been told in time. Whoever is there still, unwaited for, has no end.
func (f *frees) withheld() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := maps.Clone(f.late)
	for one, at := range f.ended {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", one.tgid, one.tid)); err != nil && time.Since(at) > freesMost {
			of[one.tgid] = true
		}
	}
	return uint64(len(of))
}
