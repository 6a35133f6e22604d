package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
)

// dialAPI opens a bare connection that no test waits on for ever.
func dialAPI(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestBadRequests(t *testing.T) {
	noLeaks(t)
	b := &fake{}
	path := serveAPI(t, b, Config{}, socketDir(t), nil)
	large := `{"tags":{"a":"` + strings.Repeat("x", longestBody) + `"}}`
	for _, c := range []struct{ line, want string }{
		{"GET /", "there is no GET /"},
		{"GET /v1", "there is no"},
		{"GET /v1/jobs/", "there is no"},
		{"GET /v1//jobs", "there is no"},
		{"GET /v1/jobs/../status", "there is no"},
		{"GET /v2/jobs", "older than its client"},
		{"DELETE /v1/jobs/17", "there is no DELETE"},
		{"POST /v1/status", "there is no POST"},
		{"OPTIONS /v1/status", "there is no"},
		{"GET /v1/jobs/17/kill", "there is no"},
		{"GET /v1/jobs/garbage", "does not name a job"},
		{"GET /v1/jobs/0", "does not name a job"},
		{"GET /v1/jobs/-1", "does not name a job"},
		{"GET /v1/jobs/17%2Fkill", "does not name a job"},
		{"GET /v1/jobs/%00", "does not name a job"},
		{"GET /v1/jobs/%2e%2e", "there is no"},
		{"GET /v1/jobs/" + strings.Repeat("1", 5000), "does not name a job"},
		{"GET /v1/jobs?nonsense=1", "knows no"},
		{"GET /v1/jobs?All=true", "knows no"},
		{"GET /v1/jobs?unjobbed=true", "knows no"},
		{"GET /v1/jobs?all=1", "true or false"},
		{"GET /v1/jobs?all=true&all=true", "twice"},
		{"GET /v1/jobs?limit=-1", "number"},
		{"GET /v1/jobs?limit=99999999999", "number"},
		{"GET /v1/jobs?uid=alice", "number"},
		{"GET /v1/jobs?uid=4294967295", "no user id"},
		{"GET /v1/jobs?since=yesterday", "RFC 3339"},
		{"GET /v1/jobs?a=%zz", "cannot read the query"},
		{"GET /v1/jobs?all=true;limit=1", "cannot read the query"},
		{"GET /v1/jobs?user=" + strings.Repeat("u", 5000), "names nothing"},
		{"GET /v1/id?pid=0", "above 0"},
		{"GET /v1/id?pid=4294967297", "number"},
		{"GET /v1/records?job=..", "does not name a job"},
		{"GET /v1/records?pid=0", "above 0"},
		{"GET /v1/records?gid=4294967295", "no group id"},
		{"GET /v1/records?sort=size", "it is one of ended, started"},
		{"GET /v1/records?sort=processes", "each is of one"},
		{"GET /v1/records?min_cpu=-1", "number"},
		{"GET /v1/records?min_rss=100M", "number"},
		{"GET /v1/records?min_io=9223372036854775808", "number"},
		{"GET /v1/records?exit=256", "bad exit"},
		{"GET /v1/records?exit=!", "bad exit"},
		{"GET /v1/records?exit=!!1", "bad exit"},
		{"GET /v1/records?exit=-1", "bad exit"},
		{"GET /v1/records?command=(", "regular expression"},
		{"GET /v1/records?exe=%5B", "regular expression"},
		{"GET /v1/records?command=" + strings.Repeat("a", 1025), "at most 1024 bytes"},
		{"GET /v1/records?command=(a%7B1000%7D)%7B1000%7D", "regular expression"},
		{"GET /v1/records?rhost=10.0.0.0/33", "a network is like"},
		{"GET /v1/records?rhost=a/b", "a network is like"},
		{"GET /v1/records?rhost=" + strings.Repeat("r", 5000), "names nothing"},
		{"GET /v1/records?tag=", "it is KEY"},
		{"GET /v1/records?tag=a&tag==b", "it is KEY"},
		{"GET /v1/records?" + strings.Repeat("tag=a&", 65), "64 tags"},
		{"GET /v1/records?since=2026-03-01T00:00:00Z&until=2026-02-01T00:00:00Z", "ends before it begins"},
		{"GET /v1/records?by=user", "knows no"},
		{"GET /v1/history?exe=x", "knows no"},
		{"GET /v1/history?pid=1", "knows no"},
		{"GET /v1/history?op=backup", "knows no"},
		{"GET /v1/report?sort=cpu", "knows no"},
		{"GET /v1/report?by=weekday", "tag:KEY"},
		{"GET /v1/report?by=tag:", "tag:KEY"},
		{"GET /v1/report?include_open=yes", "true or false"},
		{"GET /v1/moments?limit=1", "knows no"},
		{"GET /v1/db/stats", "there is no"},
		{"GET /v1/db/forget?user=a", "there is no"},
		{"POST /v1/db/backup", "there is no"},
		{"POST /v1/db/forget", "a user, a uid or both"},
		{`POST /v1/db/forget {"op":"backup"}`, "knows no"},
		{"POST /v1/jobs/17/kill not json", "not a JSON object"},
		{"POST /v1/jobs/17/kill []", "not a JSON object"},
		{"POST /v1/jobs/17/kill null", "not a JSON object"},
		{"POST /v1/jobs/17/kill {", "not a JSON object"},
		{"POST /v1/jobs/17/kill {}{}", "not a JSON object"},
		{"POST /v1/jobs/17/kill " + strings.Repeat("[", 20_000), "not a JSON object"},
		{`POST /v1/jobs/17/kill {"hold":true}`, "knows no"},
		{`POST /v1/jobs/17/kill {"Signal":9}`, "knows no"},
		{`POST /v1/jobs/17/kill {"job":"18"}`, "knows no"},
		{`POST /v1/jobs/17/kill {"verb":"list"}`, "knows no"},
		{`POST /v1/jobs/17/kill {"signal":"TERM"}`, "bad signal: string"},
		{`POST /v1/jobs/17/kill {"signal":65}`, "no signal 65"},
		{`POST /v1/jobs/17/kill {"signal":-1}`, "no signal -1"},
		{`POST /v1/jobs/17/kill {"signal":9,"now":true}`, "exclude"},
		{`POST /v1/jobs/17/kill {"timeout":-1}`, "below 0"},
		{`POST /v1/jobs/17/kill {"timeout":1e30}`, "bad timeout"},
		{`POST /v1/jobs/17/wait {"timeout":"1m"}`, "bad timeout"},
		{"POST /v1/jobs/17/wait?timeout=1", "not in the query"},
		{"POST /v1/jobs/x/wait", "does not name a job"},
		{"POST /v1/jobs/17/tags", "no tags"},
		{`POST /v1/jobs/17/tags {"tags":{"a":1}}`, "bad tags"},
		{"POST /v1/jobs/17/tags " + large, "more than 65536 bytes"},
		{`POST /v1/jobs/17/limit {"max_processes":-1}`, "below 0"},
		{`POST /v1/jobs/17/limit {"max_processes":"none"}`, "bad max_processes"},
		{`POST /v1/jobs/17/limit {"limit":3}`, "knows no"},
		{`POST /v1/jobs/17/attach {}`, "no pid"},
		{`POST /v1/jobs/17/attach {"pid":-4}`, "above 0"},
		{`POST /v1/jobs/17/attach {"pid":4294967296}`, "bad pid"},
		{`POST /v1/jobs/17/move`, "no pid"},
		{`POST /v1/detach {}`, "a pid or a job"},
		{`POST /v1/detach {"pid":1,"job":"17"}`, "a pid or a job"},
		{`POST /v1/detach {"job":"all"}`, "does not name a job"},
		{`POST /v1/adopt {}`, "adopt takes"},
		{`POST /v1/adopt {"pid":1,"all_sessions":true}`, "adopt takes"},
		{`POST /v1/jobs {"want":"self"}`, "can't be self"},
		{`POST /v1/jobs {"want":"x"}`, "does not name a job"},
		{`POST /v1/jobs {"uid":-1}`, "bad uid"},
		{`POST /v1/drain {"x":1}`, "knows no"},
		{"GET /v1/watch?event=fork", "it is one of clone"},
		{"GET /v1/watch?event=clone,,exec", "it is one of clone"},
		{"GET /v1/watch?event=Clone", "it is one of clone"},
		{"GET /v1/watch?event=gone", "it is one of clone"},
		{"GET /v1/watch?event=exec&event=uid", "twice"},
		{"GET /v1/watch?event=" + strings.Repeat("exec,", 1000) + "x", "it is one of clone"},
		{"GET /v1/watch?cursor=17", "bad cursor"},
		{"GET /v1/watch?cursor=0123456789abcdef-", "bad cursor"},
		{"GET /v1/watch?cursor=0123456789abcdef-01", "bad cursor"},
		{"GET /v1/watch?cursor=0123456789ABCDEF-1", "bad cursor"},
		{"GET /v1/watch?cursor=0123456789abcdef-18446744073709551616", "bad cursor"},
		{"GET /v1/watch?cursor=" + strings.Repeat("1", 5000), "bad cursor"},
		{"GET /v1/watch?all=true&job=17", "one of job"},
		{"GET /v1/watch?all=true&host=true", "one of job"},
		{"GET /v1/watch?user=a&host=true", "one of job"},
		{"GET /v1/watch?all=yes", "true or false"},
		{"GET /v1/watch?job=x", "does not name a job"},
		{"GET /v1/watch?since=2026-03-01T00:00:00Z", "knows no"},
		{"GET /v1/watch?pid=1", "knows no"},
		{"POST /v1/subscribe", "bad name"},
		{`POST /v1/subscribe {"name":"a"}`, "no pid"},
		{`POST /v1/subscribe {"name":"a","pid":0}`, "no pid"},
		{`POST /v1/subscribe {"name":"a","pid":-1}`, "above 0"},
		{`POST /v1/subscribe {"name":"a","pid":4294967297}`, "bad pid"},
		{`POST /v1/subscribe {"name":"a/b","pid":1}`, "bad name"},
		{`POST /v1/subscribe {"name":"` + strings.Repeat("n", 65) + `","pid":1}`, "bad name"},
		{`POST /v1/subscribe {"name":"a","pid":1,"data":"` + strings.Repeat("d", 4097) + `"}`, "at most 4096 bytes"},
		{`POST /v1/subscribe {"name":"a","pid":1,"data":{}}`, "bad data"},
		{`POST /v1/subscribe {"name":"a","pid":1,"event":["exec"]}`, "bad event"},
		{`POST /v1/subscribe {"name":"a","pid":1,"slot":3}`, "knows no"},
		{"GET /v1/subscribe?name=a&pid=1", "there is no GET"},
		{"GET /v1/subscribed", "bad name"},
		{"GET /v1/subscribed?name=..%2Fa", "bad name"},
	} {
		method, rest, _ := strings.Cut(c.line, " ")
		url, body, _ := strings.Cut(rest, " ")
		status, text, err := rawRequest(path, method, url, body)
		if err != nil {
			t.Errorf("%.80s: %v", c.line, err)
			continue
		}
		if e := answerError(t, text); status != 400 || e.Code != BadRequest || !strings.Contains(e.Message+e.Hint, c.want) {
			t.Errorf("%.80s: %d %s, want %q", c.line, status, text, c.want)
		}
	}
	if asked, _, _ := b.saw(); len(asked) != 0 {
		t.Errorf("the backend was asked %v", asked)
	}
}

// What is not HTTP is answered by net/http, or not at all, and costs nobody else anything.
func TestNotHTTP(t *testing.T) {
	noLeaks(t)
	path := serveAPI(t, &fake{}, Config{}, socketDir(t), nil)
	for _, in := range []string{
		"garbage\r\n\r\n", "\x16\x03\x01\x02\x00", "GET /v1/status HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\n\r\n", "GET /v1/status HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100_000),
		"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://evil/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "",
	} {
		c := dialAPI(t, path)
		_, _ = io.WriteString(c, in) // jobd may hang up in the middle of it
		_ = c.CloseWrite()
		answer, _ := io.ReadAll(c)
		first, _, _ := strings.Cut(string(answer), "\r\n")
		ok := strings.HasPrefix(in, "GET http://evil")
		if strings.HasPrefix(first, "HTTP/1.1 200") != ok {
			t.Errorf("%.40q was answered %q", in, first)
		}
	}
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestErrorsOfTheBackend(t *testing.T) {
	log := &logText{}
	fails := make(chan error, 1)
	observed := make(chan string, 1)
	b := &fake{onDo: func(context.Context, Peer, Access, Request) (any, error) {
		err := <-fails
		if err == nil {
			panic("a bug")
		}
		return nil, err
	}}
	cfg := Config{Log: log.logger(), Observe: func(v Verb, c Code) { observed <- string(v) + " " + string(c) }}
	path := serveAPI(t, b, cfg, socketDir(t), nil)
	for _, code := range allCodes() {
		fails <- fmt.Errorf("wrapped: %w", &Error{Code: code, Message: "m", Hint: "h"})
		_, err := NewClient(path).Show(t.Context(), "17")
		var e *Error
		if !errors.As(err, &e) || *e != (Error{Code: code, Message: "m", Hint: "h"}) {
			t.Errorf("%s came as %v", code, err)
		}
		if got := <-observed; got != "show "+string(code) {
			t.Errorf("observed %q", got)
		}
	}
	for _, c := range []struct {
		err  error
		code Code
	}{{errors.New("disk"), Internal}, {context.DeadlineExceeded, Timeout}, {context.Canceled, Unavailable}, {nil, Internal}} {
		fails <- c.err
		_, err := NewClient(path).Show(t.Context(), "17")
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%v came as %v", c.err, err)
		}
		<-observed
	}
	if !strings.Contains(log.String(), "a bug") || !strings.Contains(log.String(), "verb=show") {
		t.Errorf("the panic is not in the log: %s", log)
	}
}

// An answer that can't be encoded is a fault that is said; what a backend leaves nil is not null where it is a list.
func TestAnswers(t *testing.T) {
	answers := make(chan any, 1)
	b := &fake{onDo: func(context.Context, Peer, Access, Request) (any, error) { return <-answers, nil }}
	path := serveAPI(t, b, Config{}, socketDir(t), nil)
	for _, c := range []struct {
		answer any
		want   string
	}{
		{[]job.Info(nil), "[]\n"}, {[]job.Process(nil), "[]\n"}, {struct{}{}, "{}\n"}, {job.Info{}, `"marks":[]`}, {job.Info{}, `"tags":{}`},
		{[]job.Info{{}, {}}, `"marks":[]`}, {[]job.Process{{JID: 1}}, `"flags":[]`}, {[]job.Process{{}}, `"jid":null,"seq":null`},
		{KillAnswer{}, `"left":[],"refused":[],"jobs":[]`}, {SelfcheckAnswer{}, `"differences":[]`}, {ChangeAnswer{}, `"processes":[]`},
		{[]job.Moment(nil), "[]\n"}, {report.Report{}, `"lines":[],"other":null`}, {report.Report{}, `"gaps":[]`}, {DBStats{}, `"buckets":{}`},
		{AdoptAnswer{}, `{"jobs":[]}`}, {AdoptAnswer{Jobs: []ChangeAnswer{{}}}, `"processes":[]`},
		{StatusAnswer{}, `"subscribers":[]`}, {StatusAnswer{}, `"witnesses":[]`}, {StatusAnswer{}, `"jobs":{}`}, {StatusAnswer{}, `"events":{}`},
		{make(chan int), `{"error":{"code":"internal"`},
	} {
		answers <- c.answer
		_, text, err := rawRequest(path, http.MethodGet, "/v1/status", "")
		if err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%T: %q, %v, want %q", c.answer, text, err, c.want)
		}
	}
}

func TestOwnID(t *testing.T) {
	b := &fake{}
	path := serveAPI(t, b, Config{}, socketDir(t), nil)
	if _, err := NewClient(path).ID(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if asked, _, _ := b.saw(); asked[0].PID != int32(os.Getpid()) {
		t.Errorf("asked about %d", asked[0].PID)
	}
}
