package e2e

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostileNames are what somebody may be called who wants to be somebody else in a log, on a terminal or in a table.
var hostileNames = []string{
	"a\ntime=x level=INFO msg=\"job start\" user=root", "\x1b[2J\x1b]0;owned\x07", "\u009b2J\x7f", "\xff\xfe\xc3", `q"u'o\te`,
	"l\u2028s\u2029", "\u202eroot\u202c\u2066", "x by_uid=0 by_pid=1", "=HYPERLINK(\"http://x\";1)", "+1", "-1+1", "@SUM(A1)", "\t=1", "c,s;v",
	"%0A%s%n", "<b>&amp;", `{"user":"root"}`, "} 1\njobd_jobs 99", "\ufeff\u200b\u00ad",
}

// TestHostileNames: whatever a login says of itself and whatever a program is called, the log has a line for each thing that
// happened, a terminal gets nothing but text, and whoever reads JSON, CSV or metrics reads what was meant.
func TestHostileNames(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{})
	out := w.labOut("out")
	for _, name := range hostileNames {
		h.hostileLogin(t, out, name)
	}
	pids := pidsIn(t, out, len(hostileNames))
	jobs := h.openJobs(len(hostileNames))
	seqs := make([]string, len(jobs))
	for i, in := range jobs {
		seqs[i] = strconv.Itoa(int(in.Seq))
		_ = h.mustTalk(t, "show", seqs[i])
		_ = h.mustTalk(t, "ps", seqs[i])
		checkJSON(t, h.mustTalk(t, "show", "--json", seqs[i]))
		checkJSON(t, h.mustTalk(t, "ps", "--json", seqs[i]))
	}
	_ = h.mustTalk(t, "list")
	checkNames(t, h.mustTalk(t, "list", "--json"))
	checkCSV(t, h.mustTalk(t, "list", "--csv"))
	checkMetrics(t, h.metrics)
	for _, pid := range pids {
		kill(t, pid)
	}
	until(t, "the end of the jobs", func() bool { return len(h.openJobs(-1)) == 0 })
	checkNames(t, h.mustTalk(t, "history", "--json"))
	for _, args := range [][]string{{"history"}, {"procs"}, {"report"}, {"report", "--by", "command"}, {"report", "--by", "service"}, {"status"}} {
		_ = h.mustTalk(t, args...)
		checkJSON(t, h.mustTalk(t, append(args, "--json")...))
		if args[0] != "status" {
			checkCSV(t, h.mustTalk(t, append(args, "--csv")...))
		}
	}
	checkMetrics(t, h.metrics)
	checkLog(t, h.settled(), len(hostileNames))
}

// hostileLogin opens a session of which everything is called the same, and stays in it as a program of that name.
func (h *host) hostileLogin(t *testing.T, out, name string) {
	t.Helper()
	dir, err := os.MkdirTemp(h.dir, "bin")
	must(t, err)
	program := filepath.Join(dir, strings.ReplaceAll(name, "/", "|"))
	must(t, os.Link(built.lab, program))
	ask := "verb=open\nversion=1\nuid=" + itoa(aliceUID) + "\n"
	for _, key := range []string{"user", "service", "tty", "rhost", "ruser", "connection", "auth"} {
		ask += key + "=" + loginValue(name) + "\n"
	}
	cmd := h.world.command(filepath.Join(built.dir, "knock"), "-t", "login", h.loginSocket(),
		"/bin/sh", "-c", `"$0" -3 && exec "$1" stay`, filepath.Join(built.dir, "knock"), program)
	cmd.Stdin, cmd.Env = strings.NewReader(ask), append(cmd.Env, "LAB_OUT="+out)
	lines := started(t, cmd)
	if line, _ := lines.next(); line != "status=ok" {
		t.Fatalf("%q is answered %q", name, line)
	}
	h.world.logins = append(h.world.logins, cmd)
}

// loginValue writes a value for login.sock (docs/protocol.md).
func loginValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// mustTalk runs jobctl as root; what it prints is text and nothing else.
func (h *host) mustTalk(t *testing.T, args ...string) string {
	t.Helper()
	text, errs, code := h.jobctl(0, args...)
	if code != 0 {
		t.Fatalf("%v: %d, %s", args, code, errs)
	}
	checkText(t, fmt.Sprint(args), strings.ReplaceAll(text, "\r\n", "\n"))
	return text
}

func checkText(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if !utf8.ValidString(line) || strings.IndexFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) >= 0 {
			t.Errorf("%s prints %q", what, line)
		}
	}
}

func checkJSON(t *testing.T, text string) {
	t.Helper()
	if !json.Valid([]byte(text)) {
		t.Errorf("this is no JSON: %q", text)
	}
}

// checkNames: each name is in the list, as it was given as far as it is UTF-8, and no other.
func checkNames(t *testing.T, text string) {
	t.Helper()
	var jobs []struct{ User, Service, TTY, RHost string }
	if err := json.Unmarshal([]byte(text), &jobs); err != nil || len(jobs) != len(hostileNames) {
		t.Fatalf("%d jobs, %v: %q", len(jobs), err, text)
	}
	want := make(map[string]bool)
	for _, name := range hostileNames {
		var name2 string
		b, _ := json.Marshal(name)
		must(t, json.Unmarshal(b, &name2)) // as JSON has what is no UTF-8
		want[name2] = true
	}
	for _, in := range jobs {
		if !want[in.User] || in.Service != in.User || in.TTY != in.User || in.RHost != in.User {
			t.Errorf("somebody is called %+q", in)
		}
		delete(want, in.User)
	}
}

func checkCSV(t *testing.T, text string) {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Errorf("%v in %q", err, text)
	}
	for _, line := range lines {
		for _, field := range line {
			if _, err := strconv.ParseFloat(field, 64); err != nil && field != "" && strings.ContainsRune("=+-@\t\r\n", rune(field[0])) {
				t.Errorf("a spreadsheet would run %q", field)
			}
		}
	}
}

var metricLine = regexp.MustCompile(`^[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [0-9.eE+-]+(NaN)?$`)

// scraped is what Prometheus would get.
func scraped(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

func checkMetrics(t *testing.T, address string) {
	t.Helper()
	text := scraped(t, address)
	checkText(t, "metrics", text)
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		if line := sc.Text(); !strings.HasPrefix(line, "# ") && !metricLine.MatchString(line) {
			t.Errorf("metrics say %q", line)
		}
	}
}

// checkLog: a line for each thing that jobd says, and the names only where they belong.
func checkLog(t *testing.T, log string, jobs int) {
	t.Helper()
	checkText(t, "the log", log)
	starts := 0
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=20") {
			t.Errorf("somebody logs %q", line)
		}
		if strings.Contains(line, ` msg="job start" jid=`) {
			starts++
		}
		if strings.Contains(line, " user=root") && !strings.Contains(line, `\n`) {
			t.Errorf("somebody is root: %q", line)
		}
	}
	if starts != jobs {
		t.Errorf("%d lines of starts for %d jobs", starts, jobs)
	}
}
