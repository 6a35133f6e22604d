package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/watch"
	"github.com/jobd-project/jobd/store"
)

// dbBooks makes books of alice, uid 1000, with one job that has ended and one that is open.
func dbBooks(t *testing.T) (stateDir string) {
	t.Helper()
	stateDir = t.TempDir()
	s, err := store.Open(filepath.Join(stateDir, "jobd.db"), store.Options{HID: 7, Now: noon, Floor: -1, KeepRecords: -1, KeepJobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	end := noon.Add(time.Hour)
	j := job.Saved{Info: job.Info{JID: job.NewJID(7, 1), Seq: 1, User: "alice", UID: 1000, State: job.Ended, Started: noon, Ended: &end, TotalProcesses: 9}}
	s.EndJob(j)
	j.JID, j.Seq, j.State, j.Ended = job.NewJID(7, 2), 2, job.Open, nil
	s.PutJob(j)
	for i := range 3 {
		s.PutRecord(&job.Record{
			JID: job.NewJID(7, 1), PID: int32(i + 1), Start: noon.UnixNano(), End: noon.Add(time.Duration(i+1) * time.Minute).UnixNano(),
			Used: true, Usage: watch.Usage{Groups: watch.GroupBasic, Comm: "secret", UID: 1000, GID: 1000, Threads: 1},
		})
	}
	s.PutMoment(job.Moment{Time: noon, Kind: job.MomentStart})
	s.PutPart(job.Part{JID: job.NewJID(7, 2), At: noon.UnixNano(), Unattributed: 5})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return stateDir
}

// jobdDB runs jobd db and checks its exit code.
func jobdDB(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if got := dbMain(args, nil, &out, &err); got != want {
		t.Fatalf("jobd db %v: %d, want %d\n%s%s", args, got, want, &out, &err)
	}
	return out.String(), err.String()
}

func TestDBUsage(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{}, {"frob"}, {"stats", "x"}, {"backup"}, {"backup", "a", "b"}, {"stats", "--frob"}, {"export", "--since", "soon"},
		{"forget", "--state-dir", dir}, {"forget", "--uid", "-1"}, {"forget", "--uid", "4294967295"},
	} {
		if _, msg := jobdDB(t, 2, args...); !strings.Contains(msg, "jobd db") {
			t.Errorf("%v: %q", args, msg)
		}
	}
	if out, _ := jobdDB(t, 0, "help"); !strings.Contains(out, "compact") {
		t.Error(out)
	}
	for _, v := range dbVerbs() {
		if _, usage := jobdDB(t, 0, v.name, "--help"); !strings.Contains(usage, "jobd db "+v.name) {
			t.Error(usage)
		}
	}
	for _, v := range []string{"stats", "check", "compact", "export"} { // there are no books
		jobdDB(t, 1, v, "--state-dir", dir, "--run-dir", dir)
	}
	if left := dirNames(t, dir); len(left) > 0 {
		t.Error(left)
	}
}

func TestDBOffline(t *testing.T) {
	state := dbBooks(t)
	at := []string{"--state-dir", state, "--run-dir", t.TempDir()}
	with := func(args ...string) []string { return append(args, at...) }
	out, _ := jobdDB(t, 0, with("stats", "--json")...)
	var st control.DBStats
	if err := json.Unmarshal([]byte(out), &st); err != nil || st.Jobs != 1 || st.Open != 1 || st.Records != 3 || st.PerRecord == nil || st.Oldest == nil {
		t.Errorf("%v %s", err, out)
	}
	if out, _ = jobdDB(t, 0, with("stats")...); !strings.Contains(out, "1 ended, 1 open") {
		t.Error(out)
	}
	if out, _ = jobdDB(t, 0, with("check")...); !strings.Contains(out, "all is well") {
		t.Error(out)
	}
	backup := filepath.Join(state, "backup.db")
	jobdDB(t, 0, with("backup", backup)...)
	if st, err := os.Stat(backup); err != nil || st.Mode().Perm() != 0o640 {
		t.Error(st, err)
	}
	if _, msg := jobdDB(t, 1, with("backup", backup)...); !strings.Contains(msg, "--force") {
		t.Error(msg)
	}
	jobdDB(t, 0, with("backup", backup, "--force")...)
	jobdDB(t, 0, with("compact", "--json")...)
	out, _ = jobdDB(t, 0, with("forget", "alice", "--json")...)
	if want := `{"jobs":1,"records":3,"open":1}` + "\n"; out != want {
		t.Error(out)
	}
	out, _ = jobdDB(t, 0, with("export")...)
	if strings.Contains(out, "secret") {
		t.Error(out)
	}
	jobdDB(t, 0, with("repair", backup, filepath.Join(state, "out.db"))...)
	left := dirNames(t, state)
	if want := []string{"backup.db", "jobd.db", "out.db"}; !slices.Equal(left, want) {
		t.Error(left)
	}
	exportOf(t, state, backup)
}

func dirNames(t *testing.T, dir string) (out []string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

// exportOf: each line says what it is, and a window leaves out what is not in it.
func exportOf(t *testing.T, state, backup string) {
	t.Helper()
	if err := os.Rename(backup, filepath.Join(state, "jobd.db")); err != nil {
		t.Fatal(err)
	}
	types := func(args ...string) map[string]int {
		file := filepath.Join(t.TempDir(), "out.jsonl")
		jobdDB(t, 0, append([]string{"export", "--state-dir", state, "--run-dir", state, file}, args...)...)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := make(map[string]int)
		for line := range strings.Lines(string(b)) {
			var v struct{ Type string }
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatal(err)
			}
			n[v.Type]++
		}
		return n
	}
	if n := types(); n["job"] != 2 || n["process"] != 3 || n["moment"] != 1 || n["part"] != 1 {
		t.Error(n)
	}
	if n := types("--since", noon.Add(2*time.Hour).Format(time.RFC3339)); n["job"] != 1 || n["process"] != 0 || n["moment"] != 0 {
		t.Error(n)
	}
}

// TestDBDamaged: check says so and ends with 1, repair takes out what is good, and never over what is there.
func TestDBDamaged(t *testing.T) {
	state := dbBooks(t)
	path := filepath.Join(state, "jobd.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(b, []byte("alice"))
	if b[at-1] == 'u' { // the key of her total
		at = bytes.LastIndex(b[:at], []byte("alice"))
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := jobdDB(t, 1, "check", "--state-dir", state, "--run-dir", state)
	if !strings.Contains(out, "cannot read job") {
		t.Error(out)
	}
	out, _ = jobdDB(t, 0, "repair", "--json", "--state-dir", state, "--run-dir", state)
	var ans repairAnswer
	if err := json.Unmarshal([]byte(out), &ans); err != nil || ans.Records != 3 || ans.BadValues != 1 || ans.To != path+".repaired" {
		t.Errorf("%v %s", err, out)
	}
	jobdDB(t, 1, "repair", "--state-dir", state, "--run-dir", state)
}

// dbServer serves the verbs as a running jobd does.
func dbServer(t *testing.T, state string) (runDir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("JOBD_INTEGRATION") == "1" {
			t.Fatal("the routes of db are root's")
		}
		t.Skip("the routes of db are root's")
	}
	runDir = t.TempDir()
	s, err := store.Open(filepath.Join(state, "jobd.db"), store.Options{HID: 7, Now: noon, Floor: -1, KeepRecords: -1, KeepJobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	srv, err := control.Listen(filepath.Join(runDir, "jobd.sock"), control.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, dbBackend{s}) }()
	t.Cleanup(func() { cancel(); srv.Close(); <-done })
	return runDir
}

// dbBackend answers from a store alone.
type dbBackend struct{ s *store.Store }

func (b dbBackend) Do(ctx context.Context, _ control.Peer, _ control.Access, req control.Request) (any, error) {
	switch req.Op {
	case control.OpStats:
		f, err := b.s.Figures()
		return dbStats(f), err
	case control.OpBackup:
		return control.Stream(func(w io.Writer) error { return b.s.Backup(ctx, w) }), nil
	case control.OpForget:
		jobs, records, err := b.s.Forget(ctx, store.Person{User: req.User, UID: req.UID}, nil)
		return control.ForgetAnswer{Jobs: jobs, Records: records}, err
	}
	return nil, control.Errorf(control.BadRequest, "op %q", req.Op)
}

func (dbBackend) Job(context.Context, control.Peer, control.JobRequest) (control.JobAnswer, error) {
	return control.JobAnswer{}, control.Errorf(control.BadRequest, "not here")
}

func (dbBackend) Login(context.Context, control.Peer, control.LoginRequest) (control.LoginAnswer, error) {
	return control.LoginAnswer{}, control.Errorf(control.Unavailable, "no logins here")
}

// TestDBOnline: while a jobd has the books, all but compact and repair goes through it, and nothing is left behind.
func TestDBOnline(t *testing.T) {
	state := dbBooks(t)
	run := dbServer(t, state)
	with := func(args ...string) []string { return append(args, "--state-dir", state, "--run-dir", run) }
	jobdDB(t, 0, with("check")...)
	if out, _ := jobdDB(t, 0, with("stats")...); !strings.Contains(out, "3, of 1 day") {
		t.Error(out)
	}
	out, _ := jobdDB(t, 0, with("export")...)
	if n := strings.Count(out, "\n"); n != 7 {
		t.Error(out)
	}
	for _, verb := range []string{"compact", "repair"} {
		if _, msg := jobdDB(t, 1, with(verb)...); !strings.Contains(msg, "stop it") {
			t.Error(msg)
		}
	}
	jobdDB(t, 0, with("backup", filepath.Join(run, "b.db"))...)
	if out, _ := jobdDB(t, 0, with("forget", "alice", "--json")...); out != `{"jobs":1,"records":3,"open":0}`+"\n" {
		t.Error(out)
	}
}

// TestRoomForACopy: looking at the books does not halt them for lack of room.
func TestRoomForACopy(t *testing.T) {
	if err := roomFor(t.TempDir(), control.DBStats{Bytes: 1}); err != nil {
		t.Error(err)
	}
	floor := int64(1 << 60)
	for _, large := range []control.DBStats{{Bytes: 1 << 60}, {Bytes: 1, Floor: &floor}} {
		if err := roomFor(t.TempDir(), large); err == nil || !strings.Contains(err.Error(), "make room") {
			t.Errorf("an exbibyte has room: %v", err)
		}
	}
	if err := roomFor("/nowhere", control.DBStats{}); err == nil {
		t.Error("there is room nowhere")
	}
}

func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		done, all int64
		took      time.Duration
		want      string
	}{
		{0, 10, time.Second, "check    [..............................]   0%  --:-- left"},
		{5, 10, 90 * time.Second, "check    [###############...............]  50%  01:30 left"},
		{10, 10, time.Minute, "check    [##############################] 100%  00:00 left"},
	} {
		if got := progressLine("check", c.done, c.all, c.took); got != c.want {
			t.Errorf("%q", got)
		}
	}
}

// TestDBManual holds jobd-db(8) against the verbs and their flags.
func TestDBManual(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/jobd-db.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range dbVerbs() {
		_, usage := jobdDB(t, 0, v.name, "--help")
		if !strings.Contains(string(page), "jobd db "+v.name) {
			t.Errorf("no %s in the manual", v.name)
		}
		for line := range strings.Lines(usage) {
			flag, ok := strings.CutPrefix(line, "  -")
			if ok && !strings.Contains(string(page), `\-\-`+strings.ReplaceAll(strings.Fields(flag)[0], "-", `\-`)) {
				t.Errorf("no --%s in the manual", flag)
			}
		}
	}
}
