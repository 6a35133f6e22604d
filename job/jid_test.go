package job

import (
	"errors"
	"testing"
)

func TestJIDRoundTrip(t *testing.T) {
	for _, j := range []JID{1, NewJID(0, 17), NewJID(0xffffffff, 0xffffffff), NewJID(7, 1)} {
		for _, s := range []string{j.String(), "0x" + j.String()[2:]} {
			if got, err := ParseJID(s, 0, ""); err != nil || got != j {
				t.Errorf("%s read as %s, %v", s, got, err)
			}
		}
		b, err := j.MarshalText()
		var back JID
		if err != nil || back.UnmarshalText(b) != nil || back != j {
			t.Errorf("%s became %s", j, back)
		}
	}
}

func TestParseJID(t *testing.T) {
	const hid = 0xabcd
	for _, c := range []struct {
		in   string
		want JID
	}{
		{"17", NewJID(hid, 17)}, {"login03:17", NewJID(hid, 17)}, {"0x11", JID(17)}, {"0x0000abcd00000011", NewJID(hid, 17)},
		{"", 0}, {"0", 0}, {"-1", 0}, {"4294967296", 0}, {"0x", 0}, {"0x0", 0}, {"0x10000000000000000", 0}, {"17x", 0},
		{"other:17", 0}, {":17", 0}, {"login03:", 0}, {" 17", 0}, {"1e3", 0},
	} {
		got, err := ParseJID(c.in, hid, "login03")
		if (err == nil) != (c.want != 0) || got != c.want {
			t.Errorf("%q read as %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func FuzzParseJID(f *testing.F) {
	f.Add("17")
	f.Add("h:17")
	f.Add("0x0000abcd00000011")
	f.Fuzz(func(t *testing.T, s string) {
		j, err := ParseJID(s, 5, "h")
		if err != nil {
			if j != 0 {
				t.Errorf("%q gave %s and an error", s, j)
			}
			return
		}
		if back, err := ParseJID(j.String(), 0, ""); err != nil || back != j {
			t.Errorf("%q read as %s, which reads as %s", s, j, back)
		}
	})
}

// TestJIDsAreNeverReused makes 40,000 jobs, as the ancestor's own test does.
func TestJIDsAreNeverReused(t *testing.T) {
	w := newWorld(t)
	seen := make(map[JID]bool)
	for n := range uint32(40) {
		w.table.Reserve(1000*n+1, 1000*n+1001)
		for {
			jid, err := w.table.Allocate(0)
			if errors.Is(err, ErrNoSequence) {
				break
			}
			if err != nil || seen[jid] {
				t.Fatalf("%s: %v, seen %v", jid, err, seen[jid])
			}
			seen[jid] = true
			if _, err := w.table.Create(Request{Proc: w.id(100), JID: jid}); err != nil {
				t.Fatal(err)
			}
			if err := w.exit(100, 0, nil, false); err != nil {
				t.Fatal(err)
			}
			w.table.Effects()
		}
	}
	if len(seen) < 39_000 {
		t.Errorf("only %d jobs were made", len(seen))
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		wait int64
		want int
	}{{0, 0}, {7 << 8, 7}, {255 << 8, 255}, {9, 137}, {15, 143}, {6 | 0x80, 134}} {
		if got := ExitStatus(c.wait); got != c.want {
			t.Errorf("wait status %#x is %d, want %d", c.wait, got, c.want)
		}
	}
}
