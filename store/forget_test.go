package store

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jobd-project/jobd/job"
)

const secret = "zaphod" // in everything that is about the person

// books with two people: zaphod, uid 1042, and trillian, uid 1043. Job 1 and 2 are zaphod's, 3 trillian's, in which zaphod
// has a mark and a process; 4 is zaphod's and open.
func twoPeople(t testing.TB, o Options) *Store {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), o)
	uid, other, port := uint32(1042), uint32(1043), 22
	for seq := range uint32(4) {
		j := saved(job.NewJID(7, seq+1))
		j.User, j.UID, j.GID, j.LoginUID, j.AuditSession = secret, uid, &uid, &uid, &uid
		j.TTY, j.RHost, j.RPort, j.AuthKey, j.LogindSession = "tty-"+secret, "host-"+secret, &port, "key-"+secret, "session-"+secret
		j.Command, j.Tags, j.TotalProcesses = "command-"+secret, map[string]string{"who": secret}, 500+int(seq)
		j.Marks = []job.Mark{{Service: "su", User: "root", UID: new(uint32), TTY: "tty-" + secret, PID: 3, Time: day0}}
		j.Placement = job.Placement{Cgroup: "/user-" + secret, Audit: &uid}
		if seq == 2 {
			j.User, j.UID, j.LoginUID, j.TTY, j.RHost, j.AuthKey, j.LogindSession = "trillian", other, &other, "pts/1", "h", "k", "c1"
			j.Command, j.Tags, j.Placement = "bash", map[string]string{"a": "b"}, job.Placement{}
			j.Marks = append(j.Marks[:0], job.Mark{Service: "su", User: secret, UID: &uid, TTY: "tty-" + secret, Time: day0}, job.Mark{Service: "su", User: "root"})
		}
		for i, r := range load(500) {
			r.JID, r.Usage.UID, r.Usage.Comm, r.Exe = j.JID, uid, secret, "/home/"+secret+"/bin"
			r.Execs = []job.Exec{{At: 1, Exe: "/home/" + secret, Args: secret}}
			if seq == 2 && i > 0 {
				r.Usage.UID, r.Usage.Comm, r.Exe, r.Execs = other, "bash", "/bin/bash", nil
			}
			s.PutRecord(r)
		}
		if seq == 3 {
			s.PutJob(j)
		} else {
			s.EndJob(ended(j, day0.Add(time.Duration(seq)*time.Second)))
		}
	}
	flush(t, s)
	return s
}

// sums of what was used: forgetting must not change them.
func usedBy(t testing.TB, s *Store) (cpu, ends int64, jids map[job.JID]int) {
	jids = make(map[job.JID]int)
	for r, err := range s.AllRecords(time.Time{}, time.Time{}) {
		must(t, err)
		cpu, ends = cpu+r.Usage.CPU, ends+r.End%1e9
		jids[r.JID]++
	}
	return cpu, ends, jids
}

func TestForget(t *testing.T) {
	for _, c := range []struct {
		name string
		who  Person
	}{
		{"by name", Person{User: secret}}, {"by uid", Person{UID: new(uint32(1042))}}, {"by both", Person{User: secret, UID: new(uint32(1042))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := twoPeople(t, Options{})
			cpu, ends, jids := usedBy(t, s)
			before, err := s.Job(job.NewJID(7, 3))
			must(t, err)
			var told []int64
			jobs, records, err := s.Forget(t.Context(), c.who, func(done, all int64) { told = append(told, done, all) })
			if err != nil || jobs != 2 || records != 1501 { // those of the open job too: its uid is the person's
				t.Fatal(jobs, records, err)
			}
			if n := len(told); n < 2 || told[n-1] != told[n-2] {
				t.Error(told)
			}
			if a, b, c := usedBy(t, s); a != cpu || b != ends || !cmp.Equal(c, jids) {
				t.Error("the sums have changed")
			}
			forgotten(t, s, before)
			jobs, records, err = s.Forget(t.Context(), c.who, nil)
			if err != nil || jobs != 0 || records != 0 {
				t.Error("again:", jobs, records, err)
			}
			wellKept(t, s)
			isGone(t, s)
		})
	}
}

func forgotten(t *testing.T, s *Store, others job.Saved) {
	t.Helper()
	for _, j := range endedJobs(t, s) {
		if j.JID == others.JID {
			others.Marks[0].User, others.Marks[0].UID, others.Marks[0].TTY = "", nil, ""
			if d := cmp.Diff(others, j); d != "" {
				t.Error(d)
			}
			continue
		}
		nobody := uint32(65534)
		want := saved(j.JID)
		want = ended(want, *j.Ended)
		want.User, want.UID, want.GID, want.TotalProcesses = "forgotten", nobody, &nobody, j.TotalProcesses
		want.Marks = []job.Mark{{Service: "su", PID: 3, Time: day0}}
		if d := cmp.Diff(want, j); d != "" {
			t.Error(d)
		}
	}
	for r, err := range s.AllRecords(time.Time{}, time.Time{}) {
		must(t, err)
		mine := r.Usage.Comm == "forgotten" && r.Usage.UID == 65534 && r.Usage.GID == 65534 && r.Exe == "" && r.Execs == nil
		his := r.Usage.Comm == "bash" && r.Usage.UID == 1043 && r.JID == others.JID
		if !mine && !his {
			t.Fatalf("%+v", r)
		}
	}
	ms := moments(t, s)
	if m := ms[len(ms)-1]; m.Kind != job.MomentForget || strings.Contains(string(m.Text), secret) || strings.Contains(string(m.Text), "1042") {
		t.Errorf("%+v", m)
	}
}

// isGone: once the file is compacted, and the open job has gone too, not a byte of the person is left in it.
func isGone(t *testing.T, s *Store) {
	t.Helper()
	j, err := s.Job(job.NewJID(7, 4))
	must(t, err)
	s.EndJob(ended(j, day0))
	if jobs, _, err := s.Forget(t.Context(), Person{User: secret}, nil); err != nil || jobs != 1 {
		t.Error(jobs, err)
	}
	must(t, s.Close())
	_, _, err = Compact(t.Context(), s.path, nil)
	must(t, err)
	if bytes.Contains(read(t, s.path), []byte(secret)) {
		t.Error("the name is still in the file")
	}
}

func TestForgetNobody(t *testing.T) {
	s := twoPeople(t, Options{})
	before := read(t, s.path)
	for _, who := range []Person{{}, {UID: new(uint32)}, {UID: new(uint32(65534))}, {User: "forgotten"}, {User: "ford"}} {
		jobs, records, err := s.Forget(t.Context(), who, nil)
		if jobs != 0 || records != 0 || (err == nil) != (who.User == "ford") {
			t.Errorf("%+v: %d, %d, %v", who, jobs, records, err)
		}
		if who.User != "ford" && !bytes.Equal(before, read(t, s.path)) {
			t.Errorf("%+v: the file has changed", who)
		}
	}
}

// TestForgetInterrupted: stopped anywhere and begun again, it does it all.
func TestForgetInterrupted(t *testing.T) {
	s := twoPeople(t, Options{})
	others, err := s.Job(job.NewJID(7, 3))
	must(t, err)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err := s.Forget(ctx, Person{User: secret}, func(int64, int64) { cancel() })
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	_, _, err = s.Forget(t.Context(), Person{User: secret}, nil)
	must(t, err)
	forgotten(t, s, others)
}
