package control

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
)

// Who may what, written out a second time: whoever changes routes.go has to say so here.
var accessTable = map[Verb]string{
	List: "all", Show: "all", PS: "all", ID: "all", Status: "all", Selfcheck: "root", History: "all", Procs: "all",
	Watch: "all", Subscribe: "all", Subscribed: "all", Report: "all", Moments: "all", DB: "root",
	Kill: "owner", Wait: "owner", Tag: "owner",
	Create: "root", Release: "root", Attach: "root", Move: "root", LimitTo: "root", Detach: "root", Adopt: "root", Drain: "root", Resume: "root",
}

const ownerUID, otherUID, adminGID = 65534, 65533, 4242

// sample is a request that is whole, for a verb.
func sample(rt route) string {
	line := rt.method + " " + strings.ReplaceAll(rt.path, "{job}", "17")
	switch rt.verb {
	case Attach, Move, Detach, Adopt:
		line += ` {"pid":4242}`
	case Subscribe:
		line += ` {"pid":4242,"name":"a"}`
	case Subscribed:
		line += "?name=a"
	case Tag:
		line += ` {"tags":{"a":"b"}}`
	case DB:
		if rt.op == OpForget {
			line += ` {"user":"alice"}`
		}
	}
	return line
}

func TestAccess(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	log := &logText{}
	b := &fake{onDo: func(_ context.Context, p Peer, a Access, r Request) (any, error) {
		if a == Owner && !p.May(Owner, ownerUID) {
			return nil, Errorf(Denied, "job 17 is not yours")
		}
		return struct{}{}, nil
	}}
	admin := uint32(adminGID)
	path := serveAPI(t, b, Config{Log: log.logger(), AdminGID: &admin}, socketDir(t), nil)
	for _, caller := range []struct {
		name string
		who  who
		may  string
	}{
		{"root", who{}, "all owner root"},
		{"admin", who{uid: otherUID, groups: []uint32{1, adminGID}}, "all owner root"},
		{"owner", who{uid: ownerUID}, "all owner"},
		{"other", who{uid: otherUID, groups: []uint32{1, 2}}, "all"},
	} {
		t.Run(caller.name, func(t *testing.T) {
			in, out := caller.who.start(t, "api", path)
			for _, rt := range routes {
				fmt.Fprintln(in, sample(rt))
				want := http.StatusForbidden
				if strings.Contains(caller.may, accessTable[rt.verb]) {
					want = http.StatusOK
				}
				if !out.Scan() || !strings.HasPrefix(out.Text(), fmt.Sprint(want)) {
					t.Errorf("%s: %s, want %d", sample(rt), out.Text(), want)
				}
			}
		})
	}
	for _, uid := range []int{ownerUID, otherUID} {
		if n := strings.Count(log.String(), fmt.Sprintf("request denied\" uid=%d", uid)); n != linesPerUser {
			t.Errorf("%d lines about uid %d, want %d, then none for a while\n%s", n, uid, linesPerUser, log)
		}
	}
}

func TestAccessTableIsWhole(t *testing.T) {
	seen := make(map[Verb]bool)
	names := []string{"all", "owner", "root"}
	for _, rt := range routes {
		seen[rt.verb] = true
		if names[rt.access] != accessTable[rt.verb] {
			t.Errorf("%s is for %s, want %s", rt.verb, names[rt.access], accessTable[rt.verb])
		}
		if rt.access != Anyone && rt.method != post && rt.verb != Selfcheck && rt.op != OpStats && rt.op != OpBackup { // which only cost much
			t.Errorf("%s changes something by %s", rt.verb, rt.method)
		}
	}
	for verb := range accessTable {
		if !seen[verb] {
			t.Errorf("%s has no route", verb)
		}
	}
}

// docs/protocol.md has the table too, row by row.
func TestProtocolPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) [^`]+)` \\| ([a-z]+) \\|([^|]*)\\|").FindAllStringSubmatch(string(b), -1) {
		rows[m[1]] = m[2] + " " + strings.Join(regexp.MustCompile("`([a-z_]+)`").FindAllString(m[3], -1), " ")
	}
	who := []string{"anyone", "owner", "root"}
	for _, rt := range routes {
		want := who[rt.access] + " "
		for i, name := range rt.names() {
			if i > 0 {
				want += " "
			}
			want += "`" + name + "`"
		}
		key := rt.method + " " + rt.path
		if rows[key] != want {
			t.Errorf("docs/protocol.md: %s: %q, want %q", key, rows[key], want)
		}
		delete(rows, key)
	}
	for key := range rows {
		t.Errorf("docs/protocol.md: %s is not served", key)
	}
	for _, code := range allCodes() {
		row := fmt.Sprintf("| `%s` | %d | %d |", code, code.httpStatus(), ExitCode(Errorf(code, "x")))
		if !strings.Contains(string(b), row) {
			t.Errorf("docs/protocol.md has no %s", row)
		}
	}
}

// It names every field of every answer, and every parameter.
func TestProtocolPageNames(t *testing.T) {
	b, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{
		Request{}, job.Info{}, job.Mark{}, job.Process{}, job.ExecInfo{}, job.Balance{}, IDAnswer{}, KillAnswer{}, KillLeft{}, StatusAnswer{},
		SubscriberInfo{}, StoreStatus{}, SelfcheckAnswer{}, ChangeAnswer{}, AdoptAnswer{}, report.Report{}, report.Line{}, job.Moment{},
		DBStats{}, ForgetAnswer{}, Related{}, WatchEvent{}, SubscribedAnswer{},
	} {
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "-" && !strings.Contains(string(b), "`"+name+"`") {
				t.Errorf("docs/protocol.md has no `%s` of %T", name, v)
			}
		}
	}
}

func allCodes() []Code {
	return []Code{BadRequest, Denied, NoSuchJob, NoProcess, Conflict, Timeout, Disabled, Busy, Unavailable, Internal}
}
