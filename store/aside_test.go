package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// isSetAside checks that the file has another name, is as it was, and that a whole new one is in its place.
func isSetAside(t *testing.T, path string, o Options, want error) {
	t.Helper()
	before, err := os.ReadFile(path)
	must(t, err)
	s, err := Open(path, o)
	must(t, err)
	defer s.Close()
	a := s.SetAside()
	if a == nil || !errors.Is(a.Why, want) {
		t.Fatalf("%+v; want: %v", a, want)
	}
	after, err := os.ReadFile(a.Path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the damaged file has changed")
	}
	if name := path + ".damaged-" + o.Now.UTC().Format("20060102T150405"); a.Path != name {
		t.Errorf("%s, want %s", a.Path, name)
	}
	if s.HID() != o.HID {
		t.Errorf("hid %#x", s.HID())
	}
	ms, err := s.Moments(time.Time{}, time.Time{})
	must(t, err)
	if len(ms) != 1 || ms[0].Kind != job.MomentSetAside || !strings.Contains(string(ms[0].Text), filepath.Base(a.Path)) {
		t.Errorf("%+v", ms)
	}
	if first, _, err := s.Reserve(1); err != nil || first < firstSequence(o.Now) {
		t.Error(first, err)
	}
	s.PutJob(saved(1))
	flush(t, s)
	wellKept(t, s)
}

// wellKept fails the test when a check finds anything.
func wellKept(t testing.TB, s *Store) Checked {
	t.Helper()
	c, err := s.Check(t.Context(), nil)
	if err != nil || len(c.Problems) > 0 {
		t.Fatalf("%v, %q", err, c.Problems)
	}
	return c
}

// TestSetAsideKeepsIdentity: the host id and the sequence go on, the open jobs of this boot are still known, and nothing
// that was set aside before is overwritten.
func TestSetAsideKeepsIdentity(t *testing.T) {
	t.Run("small", func(t *testing.T) { setAsideKeepsIdentity(t, 0) })
	t.Run("large", func(t *testing.T) { setAsideKeepsIdentity(t, 1) })
}

func setAsideKeepsIdentity(t *testing.T, salvageMost int64) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{BootID: "boot-1"})
	hid := s.HID()
	_, limit, err := s.Reserve(200_000_000) // more than seconds have gone by
	must(t, err)
	one, two, old := saved(job.NewJID(hid, 1)), saved(job.NewJID(hid, 2)), saved(job.NewJID(hid, 3))
	one.BootID, two.BootID, old.BootID = "boot-1", "boot-1", "boot-0"
	for _, j := range []job.Saved{one, two, old} {
		s.PutJob(j)
	}
	flush(t, s)
	one.AsOf, one.TotalProcesses = 5, 9
	s.PutJob(one)
	s.EndJob(ended(two, day0))
	flush(t, s)
	must(t, s.Close())
	for i := range 3 {
		edit(t, path, deleteBucket("ended"))
		s := opened(t, path, Options{BootID: "boot-1", salvageMost: salvageMost})
		if s.SetAside() == nil || s.HID() != hid {
			t.Fatalf("hid %#x, want %#x; %+v", s.HID(), hid, s.SetAside())
		}
		first, next, err := s.Reserve(1)
		if err != nil || first < limit {
			t.Errorf("%d, %v; up to %d were given", first, err, limit)
		}
		limit = next
		open, err := s.OpenJobs()
		if err != nil || len(open) != 1 || open[0].JID != one.JID || open[0].TotalProcesses != 9 {
			t.Errorf("%+v, %v", open, err)
		}
		must(t, s.Close())
		if got, _ := filepath.Glob(path + ".damaged-*"); len(got) != i+1 {
			t.Error(got)
		}
	}
	if s := opened(t, path, Options{BootID: "boot-1"}); s.SetAside() != nil {
		t.Error("a whole one was set aside")
	}
}

// TestNotSetAside: another's lock, and a file that cannot be read at all, are no damage.
func TestNotSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	must(t, os.Mkdir(path, 0o700))
	refused(t, path, Options{Now: day0}, ErrUnreadable)
	must(t, os.Remove(path))
	must(t, os.Symlink("/dev/null", path))
	refused(t, path, Options{Now: day0}, ErrUnreadable)
}

// TestSuspect: damage that only writing finds is looked for by the next start, all through; where there is none, all goes on.
func TestSuspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := fullBooks(t, path, 300)
	if err := s.update(func(*bolt.Tx) error { panic("a fault of jobd's own") }); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if _, _, err := s.Reserve(1); !errors.Is(err, ErrCorrupt) {
		t.Error("it writes on:", err)
	}
	s.Close()
	s = opened(t, path, Options{HID: 7})
	if s.SetAside() != nil || len(endedJobs(t, s)) != 270 {
		t.Error(s.SetAside())
	}
	must(t, s.Close())

	f := newPageFile(bytes.NewReader(read(t, path)), int64(len(read(t, path))))
	deep := uint64(0) // a page that opening does not look at
	w := f.walker(func([]string, []byte, []byte) {}, func(err error) { t.Error(err) })
	w.tree()
	for id := uint64(2); id < f.pages(); id++ {
		if p, err := f.read(id); err == nil && w.seen[id] && p.flags == flagLeaf {
			deep = id
		}
	}
	overwrite(int64(deep)*f.unit, make([]byte, f.unit))(t, path)
	s = opened(t, path, Options{HID: 7})
	if s.SetAside() != nil {
		t.Skip("opening has found it")
	}
	s.suspect()
	must(t, s.Close())
	s = opened(t, path, Options{HID: 7})
	if s.SetAside() == nil {
		t.Error("it was not found")
	}
	must(t, s.Close())
	if left, _ := filepath.Glob(path + ".suspect"); len(left) > 0 {
		t.Error(left)
	}
}
