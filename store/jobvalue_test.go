package store

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/jobd-project/jobd/job"
)

// draw fills a value of any type by reflection, so that a field that somebody adds is drawn too.
func draw(t *rapid.T, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(drawTime(t, name)))
			return
		}
		for i := range v.NumField() {
			draw(t, v.Field(i), name+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, name+"?") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem(), name)
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 3).Draw(t, name); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				draw(t, v.Index(i), fmt.Sprint(name, i))
			}
		}
	case reflect.Map:
		if m := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, name); rapid.Bool().Draw(t, name+"?") {
			v.Set(reflect.ValueOf(m))
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, name))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, name))
	case reflect.Int, reflect.Int32, reflect.Int64:
		n := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, name)
		v.SetInt(n >> (64 - v.Type().Bits()))
	case reflect.Uint32, reflect.Uint64:
		n := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, name)
		v.SetUint(n >> (64 - v.Type().Bits()))
	default:
		t.Fatalf("%s: a %s", name, v.Kind())
	}
}

func drawTime(t *rapid.T, name string) time.Time {
	if rapid.Bool().Draw(t, name+"?") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(-1e9, 1e11).Draw(t, name), rapid.Int64Range(0, 1e9-1).Draw(t, name)).UTC()
}

func anyJob(t *rapid.T) (s job.Saved) {
	draw(t, reflect.ValueOf(&s).Elem(), "job")
	if s.JID == 0 {
		s.JID = 1
	}
	s.WaitStatus = nil // is for those who wait just now
	return s
}

// TestJobValue: every field of every job comes back as it was, nil and empty told apart.
func TestJobValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyJob(t)
		v, err := encodeJob(&want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeJob(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, *got); d != "" {
			t.Fatal(d)
		}
		if start, ok := startOf(v); !ok || start != unixKey(want.Started) {
			t.Fatal(start, ok)
		}
	})
}

// TestJobValueIsStable: what was written once can be read for ever.
func TestJobValueIsStable(t *testing.T) {
	u, n, ns, jid, at := uint32(1000), 22, int64(-5), job.NewJID(7, 1), day0.Add(time.Second)
	want := job.Saved{Info: job.Info{
		JID: job.NewJID(7, 2), Seq: 2, Host: "h", BootID: "b", User: "alice", UID: 1000, GID: &u, Service: "sshd", TTY: "ssh",
		RHost: "192.0.2.1", RPort: &n, AuthKey: "SHA256:x", State: job.Ended, Started: day0, Ended: &at, Held: true,
		ParentJID: &jid, LoginJID: &jid, LoginUID: &u, AuditSession: &u, LogindSession: "c1", POE: 99, Command: "bash",
		Marks:     []job.Mark{{Service: "su", User: "root", UID: new(uint32), PID: 5, TTY: "pts/1", Time: day0, Closed: true}},
		Processes: 1, PeakProcesses: 2, TotalProcesses: 3, CPU: &ns, CPUSource: "cgroup", CPUUser: &ns, CPUSystem: &ns,
		CPUUnattributed: &ns, MaxRSS: &ns, PeakMemory: &ns, ReadBytes: &ns, WriteBytes: &ns, ExitStatus: &n, POEExitStatus: &n,
		EndReason: "exit", Witness: "cgroup", Estimated: true, Tags: map[string]string{"a": "1", "b": ""},
	}, Placement: job.Placement{
		Cgroup: "/jobd/2", Own: true, Audit: &u, BaseCPU: &ns, POEStart: 7, Before: job.Spent{CPU: 1, User: 2, System: 3, ReadBytes: 4, WriteBytes: 5},
		Detached: []job.Known{{PID: 1, Start: 2}},
	}, AsOf: 8, Parted: 9}
	const golden = "" +
		"4a2a1f5e1a1899a19767c380005e0282808080700505616c69636506e80708e8070b04737368640d037373680f093139322e302e322e3111" +
		"0680fbc09a0d00130682fbc09a0d00150462617368162c18091a091c091e0920092206250b06030161050131030301622609281202020501" +
		"68070162082c0b085348413235363a780d05656e6465640e0110818080807012818080807014e80716e807190263311ac6011d201f030273" +
		"750504726f6f740600080a0b057074732f310d0680fbc09a0d000e011e02200423066367726f7570240926092a2c2d04657869742f066367" +
		"726f75703001321037072f6a6f62642f3238013ae8073c093e07410a02020404060608080a0a43050402020402"
	v, err := hex.DecodeString(golden)
	if err != nil {
		now, _ := encodeJob(&want)
		t.Fatalf("%v; now it is %x", err, now)
	}
	got, err := decodeJob(nil, v)
	must(t, err)
	if d := cmp.Diff(want, *got); d != "" {
		t.Error(d)
	}
}

// TestJobValueOfLater: fields that this version does not know, in the midst and at the end, are passed over.
func TestJobValueOfLater(t *testing.T) {
	later := func(f *fieldCodec) {
		f.putText(600, strings.Repeat("x", 300))
		f.putNum(601, 1<<63)
	}
	s := saved(5)
	head, rest := fieldCodec{put: true}, fieldCodec{put: true}
	headFields(&head, &s)
	later(&head)
	restFields(&rest, &s)
	later(&rest)
	v := binary.AppendUvarint(make([]byte, jobFront), uint64(len(head.out)))
	got, err := decodeJob(nil, frame(kindJob, slices.Concat(v, head.out, rest.out)))
	if err != nil || !cmp.Equal(*got, s) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzJobValue(f *testing.F) {
	s := ended(saved(5), day0)
	s.Marks, s.Tags = []job.Mark{{User: "root"}}, map[string]string{"a": "b"}
	v, err := encodeJob(&s)
	must(f, err)
	f.Add(v[frameSize:])
	f.Fuzz(func(t *testing.T, body []byte) {
		v := frame(kindJob, append(make([]byte, frameSize), body...)) // so that the fuzzer need not find checksums
		got, err := decodeJob(nil, v)
		if err != nil {
			return
		}
		again, err := encodeJob(got)
		if err != nil {
			return // a date that cannot be told
		}
		same, err := decodeJob(nil, again)
		must(t, err)
		if d := cmp.Diff(got, same); d != "" {
			t.Error(d)
		}
	})
}

// TestSchema1 writes a file as the first version did, and goes on with it: nothing is lost, and what is new works.
func TestSchema1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{HID: 7})
	for _, r := range load(10) {
		s.PutRecord(r)
	}
	must(t, s.Close())
	open, old := saved(job.NewJID(7, 1)), ended(saved(job.NewJID(7, 2)), day0)
	edit(t, path, func(tx *bolt.Tx) error {
		for _, name := range []string{"moments", "parts", "dropped"} {
			must(t, tx.DeleteBucket([]byte(name)))
		}
		put := func(bucket string, k, v []byte) { must(t, tx.Bucket([]byte(bucket)).Put(k, v)) }
		for bucket, s := range map[string]job.Saved{"open": open, "jobs": old} {
			v, err := json.Marshal(&s)
			must(t, err)
			put(bucket, be64(uint64(s.JID)), v)
		}
		put("ended", append(be64(unixKey(day0)), be64(uint64(old.JID))...), nil)
		put("meta", []byte("schema"), be32(1))
		return nil
	})
	ro, err := OpenReadOnly(path, Options{})
	must(t, err)
	wellKept(t, ro)
	if ms, err := ro.Moments(time.Time{}, time.Time{}); err != nil || len(ms) > 0 {
		t.Error(ms, err)
	}
	must(t, ro.Close())

	s = opened(t, path, Options{HID: 7})
	s.EndJob(ended(saved(old.JID), day0.Add(time.Hour))) // a second end
	three := ended(saved(job.NewJID(7, 3)), day0.Add(time.Second))
	s.EndJob(three)
	s.PutMoment(job.Moment{Time: day0, Kind: job.MomentStart})
	flush(t, s)
	if d := cmp.Diff([]job.Saved{three, old}, endedJobs(t, s)); d != "" {
		t.Error(d)
	}
	if got, err := s.Job(old.JID); err != nil || !cmp.Equal(got, old) {
		t.Error(got, err)
	}
	if got, err := s.OpenJobs(); err != nil || !cmp.Equal(got, []job.Saved{open}) {
		t.Error(got, err)
	}
	n := 0
	for range s.EndedJobs(JobQuery{User: old.User, Want: func(in *job.Saved) bool { return in.JID == old.JID }}) {
		n++
	}
	if n != 1 {
		t.Error(n)
	}
	wellKept(t, s)
}

// TestHead: what a head has is what the whole job has.
func TestHead(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "jobd.db"), Options{})
	cpu, ended := int64(5), time.Unix(1_800_000_000, 0).UTC()
	want := job.Saved{Info: job.Info{
		JID: job.NewJID(s.HID(), 7), Seq: 7, User: "alice", UID: 1000, Service: "sshd", State: job.Ended, Started: ended.Add(-time.Hour),
		Ended: &ended, CPU: &cpu, CPUUnattributed: &cpu, Tags: map[string]string{"a": "b"},
	}, Parted: 3}
	s.EndJob(want)
	must(t, s.Flush(t.Context()))
	whole, err := s.Job(want.JID)
	must(t, err)
	head, err := s.Head(want.JID)
	must(t, err)
	whole.State = ""
	if d := cmp.Diff(whole, head); d != "" {
		t.Errorf("-whole +head:\n%s", d)
	}
	if _, err := s.Head(want.JID + 1); !errors.Is(err, job.ErrNoJob) {
		t.Errorf("no job: %v", err)
	}
}
