package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// shown is a command that somebody who reads the docs may type.
type shown struct{ where, text string }

// inGuest gives, for what a whole host is needed for, what stands in the script of make test-vm's guest. apt hands a file to dpkg.
var inGuest = map[string]string{
	"apt install": "dpkg installs the package' -i", "pam-auth-update --enable": "pam-auth-update --enable jobd",
	"pam-auth-update --disable": "pam-auth-update --disable jobd", "ssh alice@localhost": `ssh -n "alice@$host"`,
	"systemctl stop": "systemctl stop jobd", "systemctl start": "systemctl start jobd", "systemctl reload": "systemctl reload jobd",
	"journalctl -u": `journalctl -u jobd "JOBD_JID=`, "jobd db": "jobd db compact",
}

// ofHost are the programs that a whole host is needed for.
const ofHost = `apt|dpkg|dnf|pam-auth-update|authselect|ssh|systemctl|loginctl|journalctl`

var (
	program  = `(?:jobctl|jobd|j?stat|jkill|jwait|curl|make|` + ofHost + `) .+|[A-Za-z]+=\$.+|jobctl`
	inPage   = regexp.MustCompile(`^ {4}([$#] )?(` + program + `)$`)
	inManual = regexp.MustCompile(`^([$#] )?(` + program + `)$`)
	synopsis = regexp.MustCompile(`\[[A-Z-]|\.\.\.|…|[\s=][A-Z]{3,}\b`) // what is to be filled in
	afterAll = regexp.MustCompile(`\s{2,}(#|[a-z]).*$`)                 // what it is for
	takesUp  = regexp.MustCompile(`\$(jid|M)\b`)
	ofRoff   = strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\\`, `\`, `\e`, `\`)
)

// shownIn are the commands of a page: in a manual what stands between .EX and .EE, or .nf and .fi; elsewhere what is indented. A line
// without a prompt in which something is to be filled in is a synopsis.
func shownIn(t *testing.T, path string) (out []shown) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../..", path))
	must(t, err)
	command, example := inPage, true
	if strings.Contains(path, "/man/") {
		command, example = inManual, false
	}
	for i, line := range strings.Split(string(b), "\n") {
		switch line {
		case ".EX", ".nf":
			example = true
		case ".EE", ".fi":
			example = false
		}
		m := command.FindStringSubmatch(ofRoff.Replace(line))
		if example && m != nil && (m[1] != "" || !synopsis.MatchString(afterAll.ReplaceAllString(m[2], ""))) {
			out = follow(out, shown{fmt.Sprintf("%s:%d", path, i+1), m[2]})
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
	ofDB  = regexp.MustCompile(`\bjobd db [a-z]+`)
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
		"curl ", "curl -sSf ", "jobctl doctor", "jobctl doctor --pam-dir "+h.goodServices(),
		"jobd doctor", "jobd doctor --run-dir "+h.runDir()+" --pam-dir "+h.goodServices(),
		"jobd --check", "jobd --check --run-dir "+h.runDir()).Replace(text)
	text = ofDB.ReplaceAllString(text, "$0 --run-dir "+h.runDir()+" --state-dir "+h.stateDir())
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

// nowhere says why a command is not run, nor looked for in the guest; empty: it is.
func nowhere(t *testing.T, text string) string {
	t.Helper()
	words := strings.Fields(text)
	switch words[0] {
	case "authselect":
		return "Debian has none; the page says that this has not been run"
	case "make":
		rules, err := os.ReadFile("../../../Makefile")
		must(t, err)
		if !strings.Contains(string(rules), "\n"+words[1]+":") {
			t.Errorf("%q: the Makefile has no %s", text, words[1])
		}
		return "it runs this test, or takes as long"
	}
	return ""
}

// lookInGuest reports whether a command needs a whole host; that the guest has each part of it is looked at by its first two words.
func lookInGuest(t *testing.T, text, guest string) bool {
	t.Helper()
	program, _, _ := strings.Cut(text, " ")
	if !slices.Contains(strings.Split(ofHost, "|"), program) {
		return false
	}
	for part := range strings.SplitSeq(text, "; ") {
		key := strings.Join(strings.Fields(part)[:2], " ")
		if instead := inGuest[key]; instead == "" || !strings.Contains(guest, instead) {
			t.Errorf("%q is run nowhere: guest-test.sh has no %q for %s", text, instead, key)
		}
	}
	return true
}

// TestDocs: every command in a block of the docs, and every example of a verb, ends well here, where it is run against a jobd with jobs; or,
// where it takes a whole host, the guest of make test-vm has the same program with the same verb. What it prints is for people to compare.
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
			if why := nowhere(t, c.text); why != "" {
				t.Skip(why)
			}
			if lookInGuest(t, c.text, string(guest)) {
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
