package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenAPI = "testdata/api.txt"

// exchange is a request with its answer, as the golden file has it: a name, the request line, the body if there is one,
// what the backend is to see of it, and the answer.
type exchange struct {
	name, line, body, seen string
	status                 int
	answer                 string
}

func (e exchange) String() string {
	s := "-- " + e.name + " --\n> " + e.line + "\n"
	if e.body != "" {
		s += "> " + e.body + "\n"
	}
	return s + "= " + e.seen + "\n< " + fmt.Sprint(e.status) + "\n" + e.answer + "\n"
}

func readGolden(t *testing.T, path string) map[string]exchange {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]exchange)
	for _, part := range strings.Split("\n"+string(b), "\n-- ")[1:] {
		name, rest, _ := strings.Cut(part, " --\n")
		e := exchange{name: name}
		for rest != "" {
			var line string
			line, rest, _ = strings.Cut(rest, "\n")
			switch {
			case strings.HasPrefix(line, "> ") && e.line == "":
				e.line = line[2:]
			case strings.HasPrefix(line, "> "):
				e.body = line[2:]
			case strings.HasPrefix(line, "= "):
				e.seen = line[2:]
			case strings.HasPrefix(line, "< "):
				fmt.Sscan(line[2:], &e.status)
				e.answer, rest = strings.TrimRight(rest, "\n"), ""
			}
		}
		all[name] = e
	}
	return all
}

// goldenCase is a call of the client with the answer that the backend gives to it.
type goldenCase struct {
	name   string
	call   func(context.Context, *Client) (any, error)
	answer any // an error is one too
}

func ref[T any](v T) *T { return &v }

func goldenCases() []goldenCase {
	start := time.Date(2026, 3, 1, 9, 12, 0, 500, time.UTC)
	jid := job.NewJID(0x12ab, 17)
	in := wholeInfo(job.Info{
		JID: jid, Seq: 17, Host: "login03", User: "alice", UID: 1000, Service: "sshd", RHost: "131.169.4.7", RPort: ref(4711),
		State: job.Open, Started: start, POE: 4242, Command: "bash", Processes: 4, PeakProcesses: 6, TotalProcesses: 31,
		CPU: ref(int64(182_000_000_000)), CPUSource: job.SourceCgroup, Tags: map[string]string{"run": "a&b"},
		Marks: []job.Mark{{Service: "su", User: "root", UID: ref(uint32(0)), PID: 4300, Time: start}},
	})
	p := job.Process{JID: jid, Seq: 17, PID: 4242, TGID: 4242, PPID: ref(int32(1)), Comm: "bash", Started: &start, Flags: []string{"fork"}}
	stray := job.Process{PID: 5151, TGID: 5151, Comm: "top", Flags: []string{}, State: "S"}
	line := report.Line{
		Key: "alice", UID: ref(uint32(1000)), Jobs: 2, Processes: 31, Wall: 9e9, CPU: 6e9, CPUUser: 4e9, CPUSystem: 1e9, CPUUnattributed: 1e9, MaxRSS: 1 << 20,
		CoreMem: 5, ReadBytes: 512, WriteBytes: 4096, Units: ref(1.5), Estimated: true,
	}
	gap := job.Moment{Time: start.Add(time.Minute), Kind: job.MomentGap, Since: &start, Text: "jobd was down", Events: ref(uint64(3))}
	change := ChangeAnswer{JID: jid, Seq: 17, Processes: []int32{4242, 4300}, Already: []int32{}}
	limited := in
	limited.MaxProcesses = ref(0)
	type C = Client
	type X = context.Context
	return []goldenCase{
		{"list", func(x X, c *C) (any, error) { return c.List(x, Request{}) }, []job.Info{in}},
		{"list nothing", func(x X, c *C) (any, error) {
			return c.List(x, Request{All: true, User: "a b&c", Limit: 5, Since: start})
		}, []job.Info{}},
		{"show", func(x X, c *C) (any, error) { return c.Show(x, "login03:17") }, in},
		{"show with what is related", func(x X, c *C) (any, error) { return c.Related(x, "17") }, RelatedAnswer{Info: in, Related: Related{
			Members: []job.Process{p}, Jobs: []RelatedJob{{Info: in, Why: []string{"login_jid", "uid"}}}, Unjobbed: []job.Process{stray}, Hidden: 2,
		}}},
		{"show with nothing that is related", func(x X, c *C) (any, error) { return c.Related(x, "17") }, RelatedAnswer{Info: in, Related: Related{
			Members: []job.Process{}, Jobs: []RelatedJob{}, Unjobbed: []job.Process{},
		}}},
		{"show a job that never was", func(x X, c *C) (any, error) { return c.Show(x, "99") }, &Error{Code: NoSuchJob, Message: "there is no job 99", Hint: "jobctl list --all"}},
		{"ps", func(x X, c *C) (any, error) { return c.PS(x, Request{Job: "0x12ab00000011"}) }, []job.Process{p, p}},
		{"ps of all", func(x X, c *C) (any, error) { return c.PS(x, Request{}) }, []job.Process{}},
		{"ps of the unjobbed", func(x X, c *C) (any, error) { return c.PS(x, Request{Unjobbed: true}) }, []job.Process{stray}},
		{"id", func(x X, c *C) (any, error) { return c.ID(x, 4242) }, IDAnswer{PID: 4242, JID: &jid, Seq: ref(uint32(17)), LoginJID: &jid}},
		{"id of one in no job", func(x X, c *C) (any, error) { return c.ID(x, 1) }, IDAnswer{PID: 1}},
		{"status", func(x X, c *C) (any, error) { return c.Status(x) }, StatusAnswer{
			Version: "0.1", Host: "login03", Engine: "connector", Refusal: "kill", RefusalWhy: "the connector tells late", Witnesses: []string{"cgroup"}, Jobs: map[job.State]int{job.Open: 3},
			Started: start, Subscribers: []SubscriberInfo{
				{Name: "pnotify", Owner: "jobd", Kind: "watcher", Hears: []string{"clone", "free"}, Errors: ref(uint64(1))},
				{Name: "job", Kind: "subscriber", Processes: ref(9), Subscribed: ref(uint64(4)), Attached: ref(uint64(20)), Detached: ref(uint64(15)), Hears: []string{"clone"}},
			}, Events: map[string]uint64{"clone": 5},
			Confined: []string{"seccomp"}, Audit: AuditStatus{Why: "audit is off"},
		}},
		{"selfcheck", func(x X, c *C) (any, error) { return c.Selfcheck(x) }, SelfcheckAnswer{OK: true, Differences: []string{}}},
		{"kill", func(x X, c *C) (any, error) {
			return c.Kill(x, Request{Job: "17", Timeout: 10 * time.Second, Only: true})
		}, KillAnswer{
			Signalled: 42, Ended: 41, Refused: []KillLeft{}, Jobs: []job.JID{jid}, Left: []KillLeft{{PID: 9913, JID: jid, Comm: "cp", State: "D", Why: "nfs"}},
		}},
		{"kill with a signal", func(x X, c *C) (any, error) { return c.Kill(x, Request{Job: "self", Signal: 15}) }, KillAnswer{
			Signalled: 1, Left: []KillLeft{}, Refused: []KillLeft{}, Jobs: []job.JID{jid},
		}},
		{"kill another's", func(x X, c *C) (any, error) { return c.Kill(x, Request{Job: "17", Now: true}) }, &Error{Code: Denied, Message: "job 17 is not yours"}},
		{"wait", func(x X, c *C) (any, error) { return c.Wait(x, Request{Job: "17", Timeout: time.Minute}) }, in},
		{"wait too short", func(x X, c *C) (any, error) { return c.Wait(x, Request{Job: "17", Timeout: 1}) }, &Error{Code: Timeout, Message: "job 17 has not ended"}},
		{"create", func(x X, c *C) (any, error) {
			return c.Create(x, Request{Hold: true, Want: "18", User: "bob", UID: ref(uint32(0)), Tags: map[string]string{"a": ""}})
		}, in},
		{"create while drained", func(x X, c *C) (any, error) { return c.Create(x, Request{}) }, &Error{Code: Disabled, Message: "jobd is drained"}},
		{"release", func(x X, c *C) (any, error) { return struct{}{}, c.Release(x, "17") }, struct{}{}},
		{"attach", func(x X, c *C) (any, error) { return c.Attach(x, Request{Job: "17", PID: 4242, Tree: true}) }, change},
		{"attach a member", func(x X, c *C) (any, error) { return c.Attach(x, Request{Job: "17", PID: 1}) }, &Error{Code: Conflict, Message: "process 1 is in job 3"}},
		{"attach a dead process", func(x X, c *C) (any, error) { return c.Attach(x, Request{Job: "17", PID: 7}) }, &Error{Code: NoProcess, Message: "there is no process 7"}},
		{"detach", func(x X, c *C) (any, error) { return c.Detach(x, Request{PID: 4242}) }, change},
		{"detach a job", func(x X, c *C) (any, error) { return c.Detach(x, Request{Job: "17"}) }, ChangeAnswer{JID: jid, Seq: 17, Processes: []int32{}, Already: []int32{}}},
		{"move", func(x X, c *C) (any, error) { return c.Move(x, Request{Job: "17", PID: 4242}) }, change},
		{"adopt", func(x X, c *C) (any, error) { return c.Adopt(x, Request{AllSessions: true}) }, AdoptAnswer{Jobs: []ChangeAnswer{change}}},
		{"tag", func(x X, c *C) (any, error) { return c.Tag(x, "17", map[string]string{"run": "a&b", "old": ""}) }, in},
		{"limit", func(x X, c *C) (any, error) { return c.Limit(x, "17", ref(0)) }, limited},
		{"attach to a full job", func(x X, c *C) (any, error) { return c.Attach(x, Request{Job: "17", PID: 1}) }, &Error{Code: Conflict, Message: "job 17 has 3 processes of 3: it is full"}},
		{"limit no more", func(x X, c *C) (any, error) { return c.Limit(x, "17", nil) }, in},
		{"drain", func(x X, c *C) (any, error) { return struct{}{}, c.Drain(x) }, struct{}{}},
		{"resume", func(x X, c *C) (any, error) { return struct{}{}, c.Resume(x) }, struct{}{}},
		{"history", func(x X, c *C) (any, error) {
			return c.History(x, Request{UID: ref(uint32(1000)), Since: start, Until: start.Add(time.Hour)})
		}, []job.Info{in, in}},
		{"history with every filter", func(x X, c *C) (any, error) {
			return c.History(x, Request{
				User: "alice", UID: ref(uint32(0)), GID: ref(uint32(100)), Command: "^(cc1|ld)$", Service: "sshd", RHost: "131.169.0.0/16",
				Tag: []string{"project=a&b", "night"}, Since: start, Until: start.Add(1), MinCPU: 1, MinRSS: 2, MinIO: 3, Exit: "!0", Sort: "processes", Limit: 9,
			})
		}, []job.Info{}},
		{"records of a program", func(x X, c *C) (any, error) {
			return c.Procs(x, Request{Exe: "/cc1$", PID: 4242, Tag: []string{"night"}, Exit: "139", Sort: "cpu"})
		}, []job.Process{}},
		{"report", func(x X, c *C) (any, error) { return c.Report(x, Request{}) }, report.Report{
			By: "user", Lines: []report.Line{line}, Total: line, Gaps: []job.Moment{gap}, KeptSince: &start,
		}},
		{"report by a tag", func(x X, c *C) (any, error) {
			return c.Report(x, Request{By: "tag:project", Job: "self", Since: start, IncludeOpen: true, Limit: 1})
		}, report.Report{By: "tag:project", From: &start, Lines: []report.Line{line}, Other: &line, Total: line, Gaps: []job.Moment{}, IncludeOpen: true}},
		{"moments", func(x X, c *C) (any, error) { return c.Moments(x, Request{Since: start, Until: start.Add(time.Hour)}) }, []job.Moment{gap}},
		{"db", func(x X, c *C) (any, error) { return c.DBStats(x) }, DBStats{
			Path: "/var/lib/jobd/jobd.db", Bytes: 1 << 20, FreeBytes: 4096, Floor: ref(int64(256 << 20)), Schema: 3, Created: &start, Jobs: 3, Open: 1, Records: 40, PerRecord: ref(23.5),
			Oldest: &start, Days: 2, Buckets: map[string]int64{"jobs": 4096},
		}},
		{"forget", func(x X, c *C) (any, error) { return c.Forget(x, Request{User: "bob", UID: ref(uint32(1001))}) }, ForgetAnswer{Jobs: 2, Records: 31, Open: 1}},
		{"records", func(x X, c *C) (any, error) { return c.Procs(x, Request{Job: "17", Limit: 1}) }, []job.Process{p}},
		{"watch", func(x X, c *C) (any, error) {
			return watched(c.Watch(x, Request{Job: "17", Event: "clone,exec,free,job_end", Cursor: "0badcafe00000001-41"}))
		}, []string{
			`{"event":"lost","time":"2026-03-01T09:12:00Z","jid":null,"seq":null,"pid":null,"tgid":null,"lost":12,"why":"slow","cursor":"0badcafe00000001-53"}`,
			`{"event":"clone","time":"2026-03-01T09:12:00.000000001Z","jid":"0x000012ab00000011","seq":17,"pid":4301,"tgid":4301,"ppid":4300,"flags":null,"estimated":false,"cursor":"0badcafe00000001-54"}`,
		}},
		{"watch all", func(x X, c *C) (any, error) { return watched(c.Watch(x, Request{All: true})) }, []string{}},
		{"watch those of a user", func(x X, c *C) (any, error) { return watched(c.Watch(x, Request{User: "alice"})) }, []string{}},
		{"watch the host", func(x X, c *C) (any, error) { return watched(c.Watch(x, Request{Host: true})) }, &Error{Code: Denied, Message: "only root may watch processes that are in no job"}},
		{"watch too often", func(x X, c *C) (any, error) { return watched(c.Watch(x, Request{})) }, &Error{Code: Busy, Message: "you watch 16 times already, and may not more often", Hint: "end one of them"}},
		{"subscribe", func(x X, c *C) (any, error) {
			return watched(c.Subscribe(x, Request{PID: 4242, Name: "build", Data: "step 3", Event: "exec"}))
		}, []string{`{"event":"gone","time":"2026-03-01T09:12:00Z","jid":null,"seq":null,"pid":null,"tgid":null,"cursor":"0badcafe00000001-60"}`}},
		{"subscribe to one that has gone", func(x X, c *C) (any, error) {
			return watched(c.Subscribe(x, Request{PID: 7, Name: "a"}))
		}, &Error{Code: NoProcess, Message: "there is no process 7"}},
		{"subscribed", func(x X, c *C) (any, error) {
			return c.Subscribed(x, Request{Name: "build", PID: 4301, UID: ref(uint32(1000))})
		}, SubscribedAnswer{Name: "build", UID: 1000, PID: 4242, Started: start, Processes: 3, Data: "step 3"}},
		{"a fault", func(x X, c *C) (any, error) { return c.Status(x) }, &Error{Code: Internal, Message: "disk"}},
		{"busy", func(x X, c *C) (any, error) { return c.Status(x) }, &Error{Code: Busy, Message: "you have too many requests in hand", Hint: "try again"}},
		{"stopping", func(x X, c *C) (any, error) { return c.Status(x) }, &Error{Code: Unavailable, Message: "jobd is stopping"}},
	}
}

// watched gives the lines of a stream to its end.
func watched(w *Watching, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	defer w.Close()
	out := []string{}
	for {
		e, err := w.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, string(e.Line))
	}
}

func lined(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestGoldenServer sends the requests of the file, byte for byte, to the server.
func TestGoldenServer(t *testing.T) {
	cases := goldenCases()
	answers := make(chan any, 1)
	b := &fake{onDo: func(context.Context, Peer, Access, Request) (any, error) {
		a := <-answers
		if err, ok := a.(error); ok {
			return nil, err
		}
		if lines, ok := a.([]string); ok {
			return Lines(func(_ context.Context, write func([]byte) error) error { return write([]byte(lined(lines))) }), nil
		}
		return a, nil
	}}
	path := serveAPI(t, b, Config{}, socketDir(t), nil)
	if *update {
		writeGolden(t, path, b, answers)
	}
	golden := readGolden(t, goldenAPI)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := golden[c.name]
			method, url, _ := strings.Cut(e.line, " ")
			answers <- c.answer
			status, text, err := rawRequest(path, method, url, e.body)
			if err != nil {
				t.Fatal(err)
			}
			if status != e.status || strings.TrimRight(text, "\n") != e.answer {
				t.Errorf("answer %d %s\nwant %d %s", status, text, e.status, e.answer)
			}
			if seen := lastSeen(b); seen != e.seen {
				t.Errorf("the backend saw %s\nwant %s", seen, e.seen)
			}
		})
	}
	if len(golden) != len(cases) {
		t.Errorf("the file has %d exchanges, the test %d", len(golden), len(cases))
	}
}

// TestGoldenClient gives the client the answers of the file and looks what it asks.
func TestGoldenClient(t *testing.T) {
	golden := readGolden(t, goldenAPI)
	var e exchange
	path := stub(t, func(line, body string) (int, string) {
		if line != e.line || body != e.body {
			t.Errorf("the client asks %s %s\nwant %s %s", line, body, e.line, e.body)
		}
		return e.status, e.answer
	})
	for _, c := range goldenCases() {
		t.Run(c.name, func(t *testing.T) {
			e = golden[c.name]
			got, err := c.call(t.Context(), NewClient(path))
			if want, ok := c.answer.(*Error); ok {
				if !reflect.DeepEqual(err, error(want)) {
					t.Errorf("error %v, want %v", err, want)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.answer) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.answer)
			}
		})
	}
}

func lastSeen(b *fake) string {
	asked, _, _ := b.saw()
	r := asked[len(asked)-1]
	text, _ := json.Marshal(r)
	return strings.TrimSpace(string(r.Verb)+" "+r.Op) + " " + string(text)
}

// stub is a jobd that answers whatever the test says. Requests come one by one.
func stub(t *testing.T, answer func(line, body string) (int, string)) string {
	t.Helper()
	path := filepath.Join(socketDir(t), "jobd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				body, _ := io.ReadAll(r.Body)
				status, text := answer(r.Method+" "+r.RequestURI, string(bytes.TrimSpace(body)))
				if text != "" {
					text += "\n"
				}
				fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(text), text)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

// writeGolden records what client and server say to each other.
func writeGolden(t *testing.T, path string, b *fake, answers chan any) {
	t.Helper()
	file := "Requests of jobd.sock with their answers: > what is sent, = what the backend gets, < the status and the answer.\n"
	for _, c := range goldenCases() {
		e := exchange{name: c.name}
		relay := stub(t, func(line, body string) (int, string) {
			method, url, _ := strings.Cut(line, " ")
			e.line, e.body = line, body
			var err error
			if e.status, e.answer, err = rawRequest(path, method, url, body); err != nil {
				t.Error(err)
			}
			e.answer = strings.TrimRight(e.answer, "\n")
			return e.status, e.answer
		})
		answers <- c.answer
		_, _ = c.call(t.Context(), NewClient(relay))
		e.seen = lastSeen(b)
		file += e.String()
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenAPI, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
}
