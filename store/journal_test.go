package store

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
)

func openJournal(t testing.TB, path string) (*Journal, []job.Saved) {
	t.Helper()
	j, jobs, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, jobs
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, jobs := openJournal(t, path)
	if len(jobs) != 0 {
		t.Error(jobs)
	}
	one, two, three := saved(1), saved(2), saved(3)
	for _, s := range []job.Saved{one, two, three} {
		must(t, j.Append(s))
	}
	two.TotalProcesses = 5
	must(t, j.Append(two))
	must(t, j.Append(ended(three, day0)))
	want := []job.Saved{one, two, ended(three, day0)}

	check := func(want []job.Saved) {
		t.Helper()
		again, got := openJournal(t, path)
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if torn, skipped := again.Damage(); torn || skipped != 0 {
			t.Error(torn, skipped)
		}
		st, err := os.Stat(path)
		must(t, err)
		if st.Mode().Perm() != 0o600 || st.Size() != again.Size() {
			t.Errorf("mode %v, %d bytes, says %d", st.Mode(), st.Size(), again.Size())
		}
	}
	check(want)
	before := j.Size()
	must(t, j.Compact(want))
	if j.Size() >= before {
		t.Errorf("%d bytes, were %d", j.Size(), before)
	}
	check(want)
	must(t, j.Append(saved(4)))
	check(append(want, saved(4)))
	must(t, j.Compact(nil))
	check(nil)
}

// TestJournalTorn: cut anywhere, it gives what was whole, says what was not, and goes on from there.
func TestJournalTorn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j, _ := openJournal(t, path)
	ends := []int64{0}
	for i := range 3 {
		must(t, j.Append(saved(job.JID(i+1))))
		ends = append(ends, j.Size())
	}
	whole, err := os.ReadFile(path)
	must(t, err)
	for n := range len(whole) + 1 {
		p := filepath.Join(dir, "cut")
		must(t, os.WriteFile(p, whole[:n], 0o600))
		j, jobs := openJournal(t, p)
		lines := 0
		for lines < 3 && ends[lines+1] <= int64(n) {
			lines++
		}
		torn, skipped := j.Damage()
		if len(jobs) != lines || torn != (ends[lines] != int64(n)) || skipped != 0 {
			t.Fatalf("cut to %d: %d jobs, torn %v, %d skipped", n, len(jobs), torn, skipped)
		}
		must(t, j.Append(saved(9)))
		if again, jobs := openJournal(t, p); len(jobs) != lines+1 || again.torn || again.skipped != 0 {
			t.Fatalf("cut to %d, after one more: %d jobs, torn %v, %d skipped", n, len(jobs), again.torn, again.skipped)
		}
		must(t, j.Close())
	}
}

func TestJournalGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	good, err := jobLine(nil, new(saved(1)))
	must(t, err)
	long := strings.Repeat("x", 3*maxLine) + "\n"
	nothing := string(appendLine(nil, []byte("+{}"))) + string(appendLine(nil, []byte("?"))) + string(appendLine(nil, []byte("-17x")))
	must(t, os.WriteFile(path, []byte("\n"+long+"hello\n00000000 \n00000000 +{}\n"+nothing+string(good)+"\x00\x00\n"), 0o644))
	j, jobs := openJournal(t, path)
	torn, skipped := j.Damage()
	if len(jobs) != 1 || torn || skipped != 9 {
		t.Errorf("%d jobs, torn %v, %d skipped", len(jobs), torn, skipped)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Error(st.Mode())
	}
}

func TestJournalRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("/dev/null", filepath.Join(dir, "link")))
	for _, p := range []string{dir, filepath.Join(dir, "no", "journal"), filepath.Join(dir, "link")} {
		if _, _, err := OpenJournal(p); err == nil || !strings.HasPrefix(err.Error(), "cannot open the journal "+p) {
			t.Error(err)
		}
	}
	j, _ := openJournal(t, filepath.Join(dir, "journal"))
	must(t, j.Append(saved(1)))
	big := saved(2)
	big.Command = job.Text(strings.Repeat("x", maxLine))
	if err := j.Append(big); err == nil {
		t.Error("a line was written that cannot be read")
	}
	must(t, os.MkdirAll(filepath.Join(dir, "journal.new", "x"), 0o700)) // in the way of a new file
	if err := j.Compact(nil); err == nil {
		t.Error("compacted over a directory")
	}
	must(t, j.Append(saved(3)))
	if _, jobs := openJournal(t, filepath.Join(dir, "journal")); len(jobs) != 2 {
		t.Errorf("%d jobs", len(jobs))
	}
}

func FuzzJournal(f *testing.F) {
	a, _ := jobLine(nil, new(saved(1)))
	f.Add(a)
	f.Add(appendLine(a, []byte("-0x0000000000000001")))
	f.Add(a[:len(a)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := replay(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if r.size > int64(len(b)) || r.torn != (r.size < int64(len(b))) {
			t.Fatalf("%d of %d bytes, torn %v", r.size, len(b), r.torn)
		}
		skipped := r.skipped
		r.line(b) // as if its checksum stood there
		r.line(bytes.TrimSuffix(appendLine(nil, append([]byte{'+'}, b...)), []byte("\n")))
		for _, s := range r.jobs() {
			if s.JID == 0 {
				t.Fatal("a job without a JID")
			}
		}
		if skipped > bytes.Count(b, []byte("\n")) {
			t.Fatal("more lines skipped than there are")
		}
	})
}

func BenchmarkJournalAppend(b *testing.B) {
	j, _ := openJournal(b, filepath.Join(b.TempDir(), "journal"))
	s := saved(job.NewJID(rand.Uint32(), 1))
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Append(s); err != nil {
			b.Fatal(err)
		}
	}
}
