package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// shown is a command that somebody who reads the docs may type.
type shown struct{ where, text string }

// inGuest gives what the guest of make test-vm runs for a program that a whole host is needed for. apt hands a file to dpkg.
var inGuest = map[string]string{
	"apt": "dpkg", "dpkg": "dpkg", "pam-auth-update": "pam-auth-update", "ssh": "ssh", "systemctl": "systemctl", "loginctl": "loginctl",
}

var (
	prompted = regexp.MustCompile(`^(?: {4}\$|\$|(?: {4})?#) ((?:jobctl|j?stat|jkill|jwait|apt|dpkg|pam-auth|ssh|systemctl|loginctl|curl|[A-Za-z]+=\$).+)$`)
	plain    = regexp.MustCompile(`^ {4}((?:jobctl|curl) .+)$`)
	synopsis = regexp.MustCompile(`\[[A-Z-]|\.\.\.|…|[A-Z]{3,}\b`) // what is to be filled in
	afterAll = regexp.MustCompile(`\s{2,}(#|[a-z]).*$`)            // what it is for
	takesUp  = regexp.MustCompile(`\$(jid|M)\b`)
	ofRoff   = strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\\`, `\`, `\e`, `\`)
)

// shownIn are the commands of a page.
func shownIn(t *testing.T, path string) (out []shown) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../..", path))
	must(t, err)
	example := !strings.Contains(path, "/man/")
	for i, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, ".E") {
			example = line == ".EX"
		}
		m := prompted.FindStringSubmatch(ofRoff.Replace(line))
		if m == nil {
			m = plain.FindStringSubmatch(line)
		}
		if example && m != nil && !(synopsis.MatchString(m[1]) && strings.HasPrefix(line, "    jobctl")) {
			out = follow(out, shown{fmt.Sprintf("%s:%d", path, i+1), m[1]})
		}
	}
	return out
}

// follow adds a command, to the one before if it takes up what that has set.
func follow(list []shown, c shown) []shown {
	c.text = afterAll.ReplaceAllString(strings.TrimSpace(c.text), "")
	if last := len(list) - 1; last >= 0 && takesUp.MatchString(c.text) {
		list[last].text += "; " + c.text
		return list
	}
	return append(list, c)
}

// shownByHelp are the examples of jobctl's verbs.
func (h *host) shownByHelp() (out []shown) {
	help, _, _ := h.jobctl(0, "--help")
	for _, verb := range regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`).FindAllStringSubmatch(help, -1) {
		text, _, _ := h.jobctl(0, verb[1], "--help")
		_, examples, _ := strings.Cut(text, "Examples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		for _, line := range strings.Split(examples, "\n") {
			if line != "" {
				out = follow(out, shown{verb[1] + " --help", line})
			}
		}
	}
	return out
}

var (
	named = regexp.MustCompile(`\b(17|18|41|28061081|28155411|28155412|4711|4242|16789)\b`)
	ended = regexp.MustCompile(`jobctl wait|/wait`)
	apart = regexp.MustCompile(`jobctl (attach|adopt)`)
)

// scopeShown is systemd's, of a login.
const scopeShown = "user.slice/user-1000.slice/session-3.scope"

// story gives a command in which what is named stands for something: 17 for a job that lingers with a process in it, 18 for one that is
// empty, 4711 for a process.
func (w *world) story(t *testing.T, name, text string) string {
	t.Helper()
	h := w.h
	jid, pids := w.leaves(name, "alice", built.lab+" daemon", 1)
	other, err := h.client.Create(h.soon(), control.Request{Hold: true})
	must(t, err)
	t.Cleanup(func() {
		for _, in := range h.openJobs(-1) { // and what the command has opened
			_, _, _ = h.jobctl(0, "kill", "--now", in.JID.String())
		}
	})
	pid := pids[0]
	if apart.MatchString(text) {
		pid = w.stayer(name + "out")
		t.Cleanup(func() { kill(t, pid) })
	}
	if strings.Contains(text, scopeShown) {
		text = strings.ReplaceAll(text, scopeShown, w.scopeOf(t, pid))
	}
	if ended.MatchString(text) {
		_, _, _ = h.jobctl(0, "kill", "--now", jid.String())
	}
	numbers := map[string]uint64{
		"17": uint64(jid.Seq()), "41": uint64(jid.Seq()), "28061081": uint64(jid.Seq()), "28155411": uint64(jid.Seq()),
		"28155412": uint64(jid.Seq()), "18": uint64(other.JID.Seq()),
		"4711": uint64(pid), "4242": uint64(pid), "16789": uint64(pid),
	}
	if strings.Contains(text, "jobctl release") { // held
		numbers["17"] = numbers["18"]
	}
	text = named.ReplaceAllStringFunc(text, func(s string) string { return fmt.Sprint(numbers[s]) })
	text = strings.NewReplacer("/run/jobd", h.runDir(), "/var/backups", w.dir, "/usr/local/bin/nightly", "/bin/true", "make -j8", "true", "; make", "",
		"curl ", "curl -sSf ", "jobctl doctor", "jobctl doctor --pam-dir "+h.goodServices()).Replace(text)
	if strings.Contains(text, "self") {
		text = fmt.Sprintf("jobctl attach $$ %d >/dev/null && %s", other.JID.Seq(), text)
	}
	if strings.Contains(text, "jobctl drain") {
		text += " && jobctl resume"
	}
	return text
}

// scopeOf puts a process into a cgroup of somebody else's, and gives its path.
func (w *world) scopeOf(t *testing.T, pid int32) string {
	t.Helper()
	scope := newScope(t)
	t.Cleanup(func() { kill(t, pid) }) // before it is removed
	must(t, os.WriteFile(filepath.Join(scope, "cgroup.procs"), []byte(fmt.Sprint(pid)), 0o644))
	return strings.TrimPrefix(scope, cgroupMount(t)+"/")
}

// goesOn are commands that show what happens until they are ended.
var goesOn = regexp.MustCompile(`jobctl watch|/v1/watch|--follow`)

// TestDocs: every command in the docs, and every example of a verb, does what it is there for.
func TestDocs(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack, "jobctl": plainStack})
	must(t, os.Mkdir(filepath.Join(w.dir, "bin"), 0o755))
	must(t, os.Link(built.jobd, filepath.Join(w.dir, "bin/jobd")))
	must(t, os.Link(built.jobctl, filepath.Join(w.dir, "bin/jobctl")))
	guest, err := os.ReadFile("../vm/guest-test.sh")
	must(t, err)
	pages, err := filepath.Glob("../../../docs/man/*.[1-8]")
	must(t, err)
	more, err := filepath.Glob("../../../docs/*.md")
	must(t, err)
	all := shownIn(t, "README.md")
	for _, page := range append(pages, more...) {
		all = append(all, shownIn(t, strings.TrimPrefix(page, "../../../"))...)
	}
	all = append(all, h.shownByHelp()...)
	if len(all) < 60 {
		t.Errorf("only %d commands were found: %v", len(all), all)
	}
	for i, c := range all {
		t.Run(c.where, func(t *testing.T) {
			h.use(t)
			program, _, _ := strings.Cut(c.text, " ")
			if instead, whole := inGuest[program]; whole {
				if !strings.Contains(string(guest), instead+" ") {
					t.Errorf("%q is run nowhere: guest-test.sh has no %s", c.text, instead)
				}
				return
			}
			w.try(t, w.story(t, fmt.Sprint("story", i), c.text), goesOn.MatchString(c.text))
		})
	}
}

// try runs a command as it was typed. One that goes on is ended after a second.
func (w *world) try(t *testing.T, text string, goesOn bool) {
	t.Helper()
	cmd := w.command("/bin/sh", "-c", text)
	if goesOn {
		cmd = w.command(needProgram(t, "timeout"), "-k", "10", "-s", "INT", "1", "/bin/sh", "-c", "exec "+text)
	}
	cmd.Env = append(cmd.Env, "JOBD_RUN_DIR="+w.h.runDir(), "PATH="+w.dir+"/bin:"+os.Getenv("PATH"))
	cmd.Dir = w.dir
	out, _ := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if strings.Contains(text, "engine unload") && code == 1 && strings.Contains(string(out), "stop it first") {
		code = 0 // TestLabelsUnloaded does
	}
	if goesOn && (code == 124 || code == 128+int(unix.SIGINT)) {
		code = 0
	}
	if code != 0 {
		t.Errorf("%s\nends with %d:\n%s", text, code, out)
	}
}
