package kernel

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// datagrams reads testdata/*.hex: one datagram a line, as it was read from the socket, with a name before it.
func datagrams(t testing.TB, file string) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte)
	for line := range strings.Lines(string(b)) {
		name, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		if out[name], err = hex.DecodeString(text); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestDecodeCapturedEvents(t *testing.T) {
	got := datagrams(t, "connector.hex")
	for _, c := range []struct {
		name       string
		what       uint32
		a, b, c, d int32
	}{
		{"ack", procEventNone, 0, 0, 0, 0},
		{"fork", procEventFork, 19360, 19360, 19401, 19401},
		{"thread", procEventFork, 19360, 19360, 19402, 19401},
		{"exec", procEventExec, 19401, 19401, 0, 0},
		{"uid", procEventUID, 19401, 19401, 65534, 65534},
		{"gid", procEventGID, 19401, 19401, 65533, 65533},
		{"threadexit", procEventExit, 19402, 19401, 0, -1},
		{"exit", procEventExit, 19401, 19401, 7 << 8, 17},
	} {
		ev, err := decodeProcEvent(got[c.name])
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if ev.what != c.what || ev.a != c.a || ev.b != c.b || ev.c != c.c || ev.d != c.d {
			t.Errorf("%s: got %+v, want %+v", c.name, ev, c)
		}
		if c.what != procEventNone && ev.time <= 0 {
			t.Errorf("%s: stamped %d", c.name, ev.time)
		}
	}
}

func TestShortEventsAreRefused(t *testing.T) {
	for name, b := range datagrams(t, "connector.hex") {
		ev, err := decodeProcEvent(b)
		if err != nil {
			t.Fatal(name, err)
		}
		need := map[uint32]int{
			procEventNone: minEvent, procEventFork: minForkLen, procEventExit: minExitLen,
			procEventUID: minIDLen, procEventGID: minIDLen, procEventExec: minExecLen,
		}[ev.what]
		for n := range b {
			if _, err := decodeProcEvent(b[:n]); (err == nil) != (n >= need) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(b), err)
			}
		}
	}
}

func TestGaps(t *testing.T) {
	var g gaps
	for _, c := range []struct{ cpu, seq, want uint32 }{
		{0, 100, 0}, {1, 7, 0}, // the first of each CPU tells nothing
		{0, 101, 0}, {1, 8, 0}, {0, 105, 3}, {1, 9, 0}, {0, 106, 0},
		{1, 0xffffffff, 0xffffffff - 10}, // further than half round: taken for a counter that began anew
		{1, 0, 0}, {1, 1, 0},
	} {
		want := c.want
		if want > 1<<31 {
			want = 0
		}
		if got := g.see(&procEvent{cpu: c.cpu, seq: c.seq}); got != want {
			t.Errorf("cpu %d seq %d: %d missing, want %d", c.cpu, c.seq, got, want)
		}
	}
	if g.lost != 3 {
		t.Errorf("%d lost, want 3", g.lost)
	}
}

func TestListenMessage(t *testing.T) {
	b := listenMessage(5)
	le := binary.LittleEndian
	if len(b) != 24 || le.Uint32(b) != 1 || le.Uint32(b[4:]) != 1 || le.Uint16(b[16:]) != 4 || le.Uint32(b[20:]) != 1 {
		t.Errorf("got % x", b)
	}
}

func FuzzDecodeProcEvent(f *testing.F) {
	for _, b := range datagrams(f, "connector.hex") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := decodeProcEvent(b)
		if err != nil && ev != (procEvent{}) {
			t.Errorf("an error and %+v", ev)
		}
	})
}
