package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A service that root started just before jobd was told to stop has left its job in the next one, too.
func TestExemptJustBeforeHandover(t *testing.T) {
	h := plainHost(t)
	service := exempted(h)
	h.holder = newHolder(t, h.dir)
	h.configured(fmt.Sprintf("[exempt]\nprograms = [%q]\n", service))
	until(t, "all sockets are held", func() bool { return len(h.holder.held()) == h.holds() })
	w := h.newWorld(map[string]string{"svc": plainStack})
	for i := range 6 {
		out := w.labOut(fmt.Sprint("out", i))
		l := w.loginEnv([]string{"LAB_OUT=" + out}, "svc", "root", []string{"-x"}, "sh", "-c", w.waitFor(fmt.Sprint("go", i))+service+" daemon; exec "+built.lab+" stay")
		w.write(fmt.Sprint("go", i), "", 0o644)
		until(t, "the service", func() bool { b, err := os.ReadFile(out); return err == nil && len(b) > 0 })
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // another moment each time
		h.stop(unix.SIGTERM)
		pids := pidsIn(t, out, 2)
		h.start()
		h.checkExempt(l.jid, "just before", pids, true)
	}
}

// Told to stop at any moment of its start, jobd leaves behind what the next one needs.
func TestStopWhileStarting(t *testing.T) {
	h := heldHost(t)
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	for i := range 24 {
		h.stop(unix.SIGTERM)
		cmd := h.holder.command(built.jobd, h.flags())
		cmd.Stderr = h.log
		must(t, cmd.Start())
		time.Sleep(time.Duration(i) * 3 * time.Millisecond) // another moment each time
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
		s.grow(t)
		h.start()
		s.check(h)
		h.checkBooks()
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
	}
}

// A handover that does not fit what is on file is of no use, and no reason to miss anything from then on.
func TestHostileHandover(t *testing.T) {
	h := heldHost(t)
	h.mayLose = true // what was read and is on no file any more
	h.newWorld(map[string]string{"svc": plainStack})
	s := h.newSurvivor("out")
	s.grow(t)
	path := filepath.Join(h.runDir(), "handover.json")
	for i, change := range []func(map[string]any){
		func(m map[string]any) { m["table"] = map[string]any{} },
		func(m map[string]any) { m["table"] = nil },
		func(m map[string]any) { m["engine"] = nil },
		func(m map[string]any) { delete(m, "engine") },
		func(m map[string]any) { m["engine"].(map[string]any)["Live"] = nil },
		func(m map[string]any) { m["engine"].(map[string]any)["Stash"] = map[string]any{"-1": []any{nil}} },
		func(m map[string]any) { m["engine"].(map[string]any)["Next"] = []int{} },
		func(m map[string]any) { m["engine"].(map[string]any)["Gen"] = 1 },
		func(m map[string]any) { m["engine"].(map[string]any)["Marks"] = []any{map[string]any{"Label": 5}} },
		func(m map[string]any) {
			jobs := m["table"].(map[string]any)["Jobs"].([]any)
			m["table"].(map[string]any)["Jobs"] = append(jobs, jobs[0])
		},
		func(m map[string]any) {
			m["table"].(map[string]any)["Jobs"].([]any)[0].(map[string]any)["Members"] = nil
		},
		func(m map[string]any) {
			j := m["table"].(map[string]any)["Jobs"].([]any)[0].(map[string]any)
			j["Members"] = append(j["Members"].([]any), map[string]any{"ID": map[string]any{"PID": 1, "Gen": 1}})
		},
	} {
		h.stop(unix.SIGTERM)
		b, err := os.ReadFile(path)
		must(t, err)
		var m map[string]any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		must(t, dec.Decode(&m))
		change(m)
		b, err = json.Marshal(m)
		must(t, err)
		must(t, os.WriteFile(path, b, 0o600))
		h.start()
		before := h.recordsMissed()
		s.grow(t)
		s.check(h)
		h.selfcheck()
		l := h.world.login("svc", "alice", nil, "true")
		l.wait()
		h.ended(l.jid)
		if n := h.recordsMissed() - before; n != 0 {
			t.Errorf("change %d: %d records missed afterwards", i, n)
		}
	}
}

func (h *host) recordsMissed() uint64 {
	st, err := h.client.Status(h.soon())
	must(h.t, err)
	return st.RecordsMissed
}
