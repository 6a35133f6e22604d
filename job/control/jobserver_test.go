package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// jobAccess is job.sock's access table, written out a second time.
var jobAccess = map[string]string{
	"getjid": "all", "getjidcnt": "all", "getjidlist": "all", "getpidcnt": "all", "getpidlist": "all", "getuid": "all", "getprimepid": "all",
	"killjid": "owner", "waitjid": "owner",
	"create": "root", "attachpid": "root", "detachpid": "root", "detachjid": "root", "sethid": "root", "runcsa": "root",
}

// jobSample is a request that is whole for any verb.
func jobSample(verb string) string {
	return "verb=" + verb + ";version=1;jid=0x11;uid=1;signal=0;run=1;"
}

func TestJobAccess(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	log := &logText{}
	b := &fake{onJob: func(_ context.Context, p Peer, r JobRequest) (JobAnswer, error) {
		if v, _ := findJobVerb(r.Verb); v.access == Owner && !p.May(Owner, ownerUID) {
			return JobAnswer{}, Errorf(Denied, "job 17 is not yours")
		}
		return JobAnswer{}, nil
	}}
	admin := uint32(adminGID)
	path := serveJob(t, b, Config{Log: log.logger(), AdminGID: &admin}, socketDir(t), nil)
	if len(jobVerbs) != len(jobAccess) {
		t.Errorf("there are %d verbs", len(jobVerbs))
	}
	for _, caller := range []struct {
		name string
		who  who
		may  string
	}{
		{"root", who{}, "all owner root"},
		{"admin", who{uid: otherUID, groups: []uint32{1, adminGID}}, "all owner root"},
		{"owner", who{uid: ownerUID}, "all owner"},
		{"other", who{uid: otherUID, groups: []uint32{1, 2}}, "all"},
		{"root of a container", who{userNS: true}, ""},
	} {
		t.Run(caller.name, func(t *testing.T) {
			in, out := caller.who.start(t, "job", path)
			for _, v := range jobVerbs {
				fmt.Fprintln(in, jobSample(v.name))
				want := "status=error\\ncode=denied"
				if strings.Contains(caller.may, jobAccess[v.name]) && caller.may != "" {
					want = "status=ok"
				}
				if !out.Scan() || !strings.Contains(out.Text(), want) {
					t.Errorf("%s: %s, want %s", v.name, out.Text(), want)
				}
			}
		})
	}
	if n := strings.Count(log.String(), fmt.Sprintf("request denied\" uid=%d", ownerUID)); n != linesPerUser {
		t.Errorf("%d denials are logged, want %d of them", n, linesPerUser)
	}
}

// TestJobPage holds docs/protocol.md to the table: each verb with who may, and no other.
func TestJobPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(text), "\n## job.sock\n")
	page, _, _ = strings.Cut(page, "\n## ")
	if !ok {
		t.Fatal("there is no job.sock")
	}
	who := map[string]string{"all": "anyone", "owner": "owner", "root": "root"}
	got := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (anyone|owner|root) \\|").FindAllStringSubmatch(page, -1) {
		got[m[1]] = m[2]
	}
	for verb, access := range jobAccess {
		if got[verb] != who[access] {
			t.Errorf("%s is %q on the page, want %s", verb, got[verb], who[access])
		}
	}
	if len(got) != len(jobAccess) {
		t.Errorf("the page has %v", got)
	}
}

func TestJobBadInput(t *testing.T) {
	noLeaks(t)
	b := &fake{}
	path := serveJob(t, b, Config{}, socketDir(t), nil)
	for name, in := range map[string]string{
		"no verb": "version=1\n", "verb": "verb=open\n", "half": "verb=getj", "binary": "\x00\x01\xff", "version": "verb=getjid\nversion=2\n",
		"no jid": "verb=getuid\n", "jid 0": "verb=getuid\njid=0x0\n", "jid, decimal": "verb=getuid\njid=17\n", "jid, long": "verb=getuid\njid=0x00000000000000001\n",
		"no signal": "verb=killjid\njid=0x1\n", "signal": "verb=killjid\njid=0x1\nsignal=65\n", "signal below 0": "verb=killjid\njid=0x1\nsignal=-9\n",
		"pid 0": "verb=getjid\npid=0\n", "pid": "verb=getjid\npid=4294967297\n", "pid, text": "verb=getjid\npid=self\n", "pid, signed": "verb=getjid\npid=-1\n",
		"no uid": "verb=create\n", "uid": "verb=create\nuid=4294967295\n", "user": "verb=create\nuid=1\nuser=" + strings.Repeat("u", 5000) + "\n", "gid": "verb=create\nuid=1\ngid=x\n",
		"hid": "verb=sethid\nhid=4294967296\n", "run": "verb=runcsa\nrun=2\n", "no run": "verb=runcsa\n", "twice": "verb=getjid\nverb=getjid\n",
		"huge": "verb=getjid\nuser=" + strings.Repeat("a", 100_000) + "\n", "HTTP": "GET / HTTP/1.1\r\n\r\n",
	} {
		if got := rawJob(path, in); !strings.HasPrefix(got, "status=error\ncode=bad_request\nmessage=") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if jobs := b.sawJobs(); len(jobs) != 0 {
		t.Errorf("the backend saw %+v", jobs)
	}
	if got := rawJob(path, "verb=getjid\nnew_key=1\nuser=\n"); !strings.HasPrefix(got, "status=ok\njid=0x") {
		t.Errorf("a key that is not known: %q", got)
	}
}

// Both ends, every verb.
func TestJobBothEnds(t *testing.T) {
	noLeaks(t)
	jid, status, gid, hid := job.NewJID(0x12ab, 17), int64(0x8900), uint32(100), uint32(7)
	many := JobAnswer{Count: 100_000}
	for i := range many.Count {
		many.PIDs = append(many.PIDs, int32(i+1))
		many.JIDs = append(many.JIDs, job.NewJID(1, uint32(i+1)))
	}
	pids, jids := many, many
	pids.JIDs, jids.PIDs = nil, nil
	answers := make(chan JobAnswer, 1)
	b := &fake{onJob: func(context.Context, Peer, JobRequest) (JobAnswer, error) { return <-answers, nil }}
	path := serveJob(t, b, Config{}, socketDir(t), nil)
	for i, c := range []struct {
		req JobRequest
		ans JobAnswer
	}{
		{JobRequest{Verb: JobCreate, JID: jid, User: "a %\nb", UID: 0, GID: &gid}, JobAnswer{JID: jid}},
		{JobRequest{Verb: JobCreate, UID: 1000}, JobAnswer{JID: jid}},
		{JobRequest{Verb: JobGetJID, PID: 4242}, JobAnswer{}},
		{JobRequest{Verb: JobGetJID}, JobAnswer{JID: jid}},
		{JobRequest{Verb: JobWaitJID, JID: jid}, JobAnswer{JID: jid, Status: &status}},
		{JobRequest{Verb: JobWaitJID, JID: jid}, JobAnswer{JID: jid}},
		{JobRequest{Verb: JobKillJID, JID: jid, Signal: 9}, JobAnswer{}},
		{JobRequest{Verb: JobGetJIDCnt}, JobAnswer{Count: 3}},
		{JobRequest{Verb: JobGetJIDList}, JobAnswer{}},
		{JobRequest{Verb: JobGetJIDList}, jids},
		{JobRequest{Verb: JobGetPIDCnt, JID: jid}, JobAnswer{}},
		{JobRequest{Verb: JobGetPIDList, JID: jid}, pids},
		{JobRequest{Verb: JobGetUID, JID: jid}, JobAnswer{UID: 0}},
		{JobRequest{Verb: JobGetPrimePID, JID: jid}, JobAnswer{PID: 4242}},
		{JobRequest{Verb: JobSetHID}, JobAnswer{HID: 7}},
		{JobRequest{Verb: JobSetHID, HID: &hid}, JobAnswer{HID: 7}},
		{JobRequest{Verb: JobDetachJID, JID: jid}, JobAnswer{JID: jid, Count: 2}},
		{JobRequest{Verb: JobDetachPID}, JobAnswer{JID: jid}},
		{JobRequest{Verb: JobAttachPID, PID: 4242, JID: jid}, JobAnswer{JID: jid, Already: true}},
		{JobRequest{Verb: JobRunCSA, Run: true}, JobAnswer{}},
		{JobRequest{Verb: JobRunCSA}, JobAnswer{}},
	} {
		answers <- c.ans
		got, err := AskJob(t.Context(), path, c.req)
		if err != nil || !reflect.DeepEqual(got, c.ans) {
			t.Errorf("%+v: %+.200v, %v", c.req, got, err)
		}
		if jobs := b.sawJobs(); !reflect.DeepEqual(jobs[i], c.req) {
			t.Errorf("%+v came as %+v", c.req, jobs[i])
		}
	}
}

func TestJobErrors(t *testing.T) {
	log := &logText{}
	fails := make(chan error, 1)
	b := &fake{onJob: func(context.Context, Peer, JobRequest) (JobAnswer, error) {
		fail := <-fails
		if fail == nil {
			panic("a bug")
		}
		return JobAnswer{}, fail
	}}
	path := serveJob(t, b, Config{Log: log.logger()}, socketDir(t), nil)
	for _, c := range []struct {
		err  error
		code Code
	}{
		{Errorf(NoSuchJob, "17: no such job"), NoSuchJob}, {Errorf(Conflict, "taken"), Conflict}, {Errorf(NoProcess, "gone\nreally"), NoProcess},
		{Errorf(Disabled, "drained"), Disabled}, {errors.New("disk"), Internal}, {nil, Internal},
	} {
		fails <- c.err
		_, err := AskJob(t.Context(), path, JobRequest{Verb: JobGetJID})
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%v came as %v", c.err, err)
		}
	}
	if !strings.Contains(log.String(), "a bug") {
		t.Errorf("the panic is not in the log: %s", log)
	}
}

// Who waits and hangs up waits no longer; who waits when jobd stops is told so.
func TestJobWaiting(t *testing.T) {
	noLeaks(t)
	began, gaveUp := make(chan bool, 1), make(chan bool, 1)
	b := &fake{onJob: func(ctx context.Context, _ Peer, _ JobRequest) (JobAnswer, error) {
		began <- true
		<-ctx.Done()
		gaveUp <- true
		return JobAnswer{}, Errorf(Timeout, "job 17 has not ended")
	}}
	path := socketDir(t) + "/job.sock"
	s, err := ListenJob(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.peers.root = uint32(os.Getuid())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, b) }()
	c := dialLogin(t, path)
	if _, err := c.Write([]byte("verb=waitjid\njid=0x11\n")); err != nil {
		t.Fatal(err)
	}
	<-began
	c.Close()
	within(t, gaveUp)
	go func() { <-began; cancel() }()
	var e *Error
	if _, err := AskJob(t.Context(), path, JobRequest{Verb: JobWaitJID, JID: 17}); !errors.As(err, &e) || e.Code != Unavailable {
		t.Errorf("a wait at the end: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func within(t *testing.T, c <-chan bool) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("waited in vain")
	}
}

// One user takes neither the connections nor the requests of another, nor root's; the silent are told.
func TestJobLimits(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	hold := make(chan bool)
	b := &fake{onJob: func(_ context.Context, p Peer, r JobRequest) (JobAnswer, error) {
		if r.PID == 1 {
			<-hold
		}
		return JobAnswer{}, nil
	}}
	path := serveJob(t, b, Config{}, socketDir(t), func(l *jobLimits) { l.perUser, l.total, l.reserve, l.requests = 20, 50, 10, 4 })
	in, out := who{uid: otherUID}.start(t, "hold", path)
	if !out.Scan() {
		t.Fatal("no connections")
	}
	if _, err := AskJob(t.Context(), path, JobRequest{Verb: JobGetJIDCnt}); err != nil {
		t.Errorf("root, beside a user with many connections: %v", err)
	}
	ask, answers := who{uid: ownerUID}.start(t, "job", path)
	fmt.Fprintln(ask, "verb=getjidcnt;")
	if !answers.Scan() || !strings.Contains(answers.Text(), "status=ok") {
		t.Errorf("another user: %s", answers.Text())
	}
	in.Close()
	var all sync.WaitGroup
	for range 4 { // these are one user's, each by a process of its own
		ask, answers := who{uid: ownerUID}.start(t, "job", path)
		fmt.Fprintln(ask, "verb=getjid;pid=1;")
		all.Go(func() {
			if !answers.Scan() || !strings.Contains(answers.Text(), "status=ok") {
				t.Errorf("one of those in hand: %s", answers.Text())
			}
		})
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if len(b.sawJobs()) == 6 || time.Now().After(deadline) {
			break
		}
	}
	fmt.Fprintln(ask, "verb=getjidcnt;")
	if !answers.Scan() || !strings.Contains(answers.Text(), "code=busy") {
		t.Errorf("one too many: %s", answers.Text())
	}
	close(hold)
	all.Wait()
	fmt.Fprintln(ask, "verb=getjidcnt;")
	if !answers.Scan() || !strings.Contains(answers.Text(), "status=ok") {
		t.Errorf("afterwards: %s", answers.Text())
	}
	if got := rawJobSilent(t, path); !strings.Contains(got, "no request came within") {
		t.Errorf("a silent one is told %q", got)
	}
}

func rawJobSilent(t *testing.T, path string) string {
	c := dialLogin(t, path)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, longestMessage)
	n, _ := c.Read(buf)
	return string(buf[:n])
}

// FuzzJobRequest: what is read is whole, and is read again from what it is written as.
func FuzzJobRequest(f *testing.F) {
	for _, v := range jobVerbs {
		f.Add([]byte(strings.ReplaceAll(jobSample(v.name), ";", "\n")))
	}
	f.Add([]byte("verb=create\nuid=1\nuser=%0A%25\ngid=3\nhid=4294967295\npid=1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, v, err := parseJobRequest(in)
		if err != nil {
			return
		}
		b, err := r.format()
		if err != nil {
			return // a name that is longer when it is escaped
		}
		again, w, err := parseJobRequest(b)
		if err != nil || w.name != v.name || again.JID != r.JID || again.PID != r.PID {
			t.Fatalf("%q was read as %+v, and %q as %+v, %v", in, r, b, again, err)
		}
	})
}

// FuzzJobAnswer: whatever comes is an answer or an error.
func FuzzJobAnswer(f *testing.F) {
	status := int64(9)
	for _, v := range jobVerbs {
		f.Add(JobAnswer{JID: 17, Already: true, Status: &status, Count: 2, JIDs: []job.JID{1, 2}, PIDs: []int32{3, 4}, UID: 5, PID: 6, HID: 7}.format(v.name)[0])
	}
	f.Add([]byte("status=ok\nmore=1\npids=1,,2\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var a JobAnswer
		if more, err := addJobAnswer(&a, in); more && err != nil {
			t.Fatal("an error, and more to come")
		}
	})
}

// FuzzJobSocket throws bytes at the server. It answers or hangs up, and goes on answering others.
func FuzzJobSocket(f *testing.F) {
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	path := serveJob(f, &fake{}, Config{}, dir, nil)
	for _, v := range jobVerbs {
		f.Add([]byte(strings.ReplaceAll(jobSample(v.name), ";", "\n")))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		if got := rawJob(path, string(in)); !strings.HasPrefix(got, "status=") && !strings.Contains(got, "too long") {
			t.Fatalf("answer %q", got)
		}
		if _, err := AskJob(t.Context(), path, JobRequest{Verb: JobGetJIDCnt}); err != nil {
			t.Fatal(err)
		}
	})
}
