package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// opened opens a store that commits only when it is asked to, and closes it with the test.
func opened(t testing.TB, path string, o Options) *Store {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = day0
	}
	if o.Delay == 0 {
		o.Delay = time.Hour
	}
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func flush(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "jobd.db")
	s := opened(t, path, Options{BootID: "boot-1"})
	if s.HID() == 0 {
		t.Error("no hid was drawn")
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v, want mode 0640", st.Mode(), err)
	}
	if st, err = os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v, want mode 0750", st.Mode(), err)
	}
	hid := s.HID()
	s.Close()
	s = opened(t, path, Options{BootID: "boot-2"})
	if s.HID() != hid || s.LastBoot() != "boot-1" {
		t.Errorf("hid %#x, last boot %q; want %#x, boot-1", s.HID(), s.LastBoot(), hid)
	}
	s.Close()
	if s = opened(t, path, Options{BootID: "boot-2", HID: hid}); s.LastBoot() != "boot-2" {
		t.Errorf("last boot %q", s.LastBoot())
	}
	left, _ := filepath.Glob(path + ".*")
	if len(left) > 0 {
		t.Error("left behind:", left)
	}
}

// TestPowerCutWhileMaking: what an earlier try left beside does no harm, and an empty file is as good as none.
func TestPowerCutWhileMaking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	for _, name := range []string{path, path + ".new"} {
		content := ""
		if name != path {
			content = "half a database"
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s := opened(t, path, Options{HID: 7}); s.HID() != 7 {
		t.Error(s.HID())
	}
}

func TestFirstSequence(t *testing.T) {
	for _, c := range []struct {
		now  string
		want uint32
	}{
		{"1970-01-01T00:00:00Z", 1}, {"2025-12-31T23:59:59Z", 1}, {"2026-01-01T00:00:00Z", 1}, {"2026-01-01T00:00:02Z", 2},
		{"2026-03-04T12:00:00Z", 62*86400 + 12*3600}, {"2262-01-01T00:00:00Z", 1},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := firstSequence(now); got != c.want {
			t.Errorf("%s: %d, want %d", c.now, got, c.want)
		}
	}
}

func TestReserve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	first, limit, err := s.Reserve(100)
	if err != nil || first != firstSequence(day0) || limit != first+100 {
		t.Fatal(first, limit, err)
	}
	killed := copied(t, path) // without a close, and none of the numbers used
	s.Close()
	for _, p := range []string{path, killed} {
		s := opened(t, p, Options{Now: day0.Add(-time.Hour)})
		if again, _, err := s.Reserve(1); err != nil || again != limit {
			t.Errorf("%d, %v, want %d", again, err, limit)
		}
		if _, _, err := s.Reserve(4_294_000_000); !errors.Is(err, ErrSequence) {
			t.Error(err)
		}
		if again, _, err := s.Reserve(1); err != nil || again != limit+1 {
			t.Errorf("after a refusal: %d, %v, want %d", again, err, limit+1)
		}
		s.Close()
		if _, _, err := s.Reserve(1); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// copied is what a kill at this moment leaves.
func copied(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(to, b, 0o640); err != nil {
		t.Fatal(err)
	}
	return to
}

// edit changes a database behind the store's back.
func edit(t *testing.T, path string, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o640, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// putMeta gives an edit of one value of meta.
func putMeta(key string, v []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		edit(t, path, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte(key), v) })
	}
}

func deleteBucket(name string) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(name)) }
}

func overwrite(at int64, b []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(b, at)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func replace(b []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := os.WriteFile(path, b, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func cut(n int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := os.Truncate(path, n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBadFile: what is somebody else's business is refused for its own reason, in one line, and not a byte of it changes.
// What is damaged, or no database of ours, is set aside as it is.
func TestBadFile(t *testing.T) {
	page := int64(os.Getpagesize())
	garbage := bytes.Repeat([]byte{0xa5}, int(page))
	for _, c := range []struct {
		name string
		make func(*testing.T, string)
		want error
	}{
		{"newer schema", putMeta("schema", be32(schema+1)), ErrSchema},
		{"schema 0", putMeta("schema", be32(0)), ErrCorrupt},
		{"half a number", putMeta("hid", []byte{1}), ErrCorrupt},
		{"other hid", putMeta("hid", be32(8)), ErrHID},
		{"other format", putMeta("format", []byte("books")), ErrForeign},
		{"bucket missing", func(t *testing.T, path string) {
			edit(t, path, deleteBucket("ended"))
		}, ErrCorrupt},
		{"bbolt of somebody else", func(t *testing.T, path string) {
			edit(t, path, deleteBucket("meta"))
		}, ErrForeign},
		{"text", replace([]byte("root:x:0:0:root:/root:/bin/bash\n")), ErrForeign},
		{"long text", replace(bytes.Repeat([]byte("jobd "), 20_000)), ErrForeign},
		{"one byte", replace([]byte{0}), ErrForeign},
		{"cut after a page", cut(page), ErrCorrupt},
		{"cut after two pages", cut(2 * page), ErrCorrupt},
		{"cut after three pages", cut(3 * page), ErrCorrupt},
		{"both first pages overwritten", overwrite(0, bytes.Repeat(garbage, 2)), ErrForeign},
		{"checksums wrong", func(t *testing.T, path string) {
			overwrite(16+30, []byte{0xff, 0xff})(t, path)
			overwrite(page+16+30, []byte{0xff, 0xff})(t, path)
		}, ErrCorrupt},
		{"all pages but the first overwritten", func(t *testing.T, path string) {
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(2*page, bytes.Repeat(garbage, int(st.Size()/page)-2))(t, path)
		}, ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobd.db")
			s := opened(t, path, Options{HID: 7, BootID: "boot-1"})
			s.PutJob(job.Saved{Info: job.Info{JID: job.NewJID(7, 1)}})
			s.PutRecord(load(1)[0])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			c.make(t, path)
			o := Options{HID: 7, BootID: "boot-2", Now: day0}
			if c.want == ErrCorrupt || c.want == ErrForeign {
				isSetAside(t, path, o, c.want)
				return
			}
			refused(t, path, o, c.want)
		})
	}
}

// refused checks the error and that nothing has changed.
func refused(t *testing.T, path string, o Options, want error) {
	t.Helper()
	before, _ := os.ReadFile(path)
	names := dirNames(t, filepath.Dir(path))
	s, err := Open(path, o)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("%v; want: %v", err, want)
	}
	if msg := err.Error(); !strings.HasPrefix(msg, "cannot open the store "+path+": ") || strings.Contains(msg, "\n") {
		t.Errorf("not one line that says so: %q", msg)
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) || names != dirNames(t, filepath.Dir(path)) {
		t.Error("something on disk has changed")
	}
}

func dirNames(t *testing.T, dir string) string {
	t.Helper()
	es, _ := os.ReadDir(dir)
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	opened(t, path, Options{})
	refused(t, path, Options{Now: day0, Timeout: 20 * time.Millisecond}, ErrLocked)
}

// TestTwoAtOnce: of many that start on an empty directory, one gets it.
func TestTwoAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "jobd.db")
	var wg sync.WaitGroup
	got := make(chan *Store, 8)
	for range cap(got) {
		wg.Go(func() {
			s, err := Open(path, Options{Now: day0, Timeout: 100 * time.Millisecond})
			switch {
			case err == nil:
				got <- s
			case !errors.Is(err, ErrLocked):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(got)
	n := 0
	for s := range got {
		n++
		s.Close()
	}
	if n > 1 {
		t.Errorf("%d have it open", n)
	}
}

func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	refused(t, dir, Options{}, ErrUnreadable)
	refused(t, filepath.Join(dir, "no", "such", "jobd.db"), Options{}, ErrUnreadable)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "file", "jobd.db"), Options{}, ErrUnreadable)
}

func TestNotAllowed(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	path := filepath.Join(t.TempDir(), "jobd.db")
	opened(t, path, Options{}).Close()
	for _, mode := range []os.FileMode{0, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		refused(t, path, Options{}, ErrUnreadable)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "jobd.db"), Options{}, ErrUnreadable)
}

// TestAnyPageDamaged: whatever page is overwritten, nothing panics and nothing hangs, neither in opening, reading and
// writing, nor in closing.
func TestAnyPageDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{HID: 7})
	for i, r := range load(400) {
		s.PutRecord(r)
		s.PutJob(saved(r.JID))
		if i%4 == 0 {
			s.EndJob(ended(saved(job.NewJID(7, uint32(i+1))), day0))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	page := int64(os.Getpagesize())
	for at := int64(0); at < min(st.Size(), 60*page); at += page {
		for _, junk := range []byte{0, 0xa5} {
			p := copied(t, path)
			overwrite(at, bytes.Repeat([]byte{junk}, int(page)))(t, p)
			useDamaged(t, p)
		}
	}
}

func useDamaged(t *testing.T, path string) {
	s, err := Open(path, Options{Now: day0, Delay: time.Hour})
	if err != nil {
		return
	}
	_, _ = s.OpenJobs()
	for range s.Ended(time.Time{}, time.Time{}) {
	}
	for range s.AllRecords(time.Time{}, time.Time{}) {
	}
	for range s.Records(load(1)[0].JID) {
	}
	for i, r := range load(50) {
		s.PutRecord(r)
		s.EndJob(ended(saved(job.NewJID(7, uint32(i))), day0))
	}
	_, _, _ = s.Reserve(1)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("Close hangs")
	}
}

func saved(jid job.JID) job.Saved {
	return job.Saved{Info: job.Info{JID: jid, Seq: jid.Seq(), User: "alice", State: job.Open, Started: day0}}
}

func ended(s job.Saved, at time.Time) job.Saved {
	s.State, s.Ended = job.Ended, &at
	return s
}
