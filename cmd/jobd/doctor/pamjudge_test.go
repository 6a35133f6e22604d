package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const good = "session required pam_loginuid.so\nsession optional pam_systemd.so\nsession optional pam_job.so\n"

// TestJudgePAM: what stands in the way, in the words that a reader sees.
func TestJudgePAM(t *testing.T) {
	for name, c := range map[string]struct {
		files pamFiles
		want  []string // beginnings: name, state, what was seen
	}{
		"good": {pamFiles{"sshd": good, "login": good, "cron": ""},
			[]string{"pam.services ok jobs: login, sshd; none: cron", "pam.stacks ok"}},
		"none":            {pamFiles{"sshd": "", "su": ""}, []string{"pam.services warn no service makes jobs (sshd, su)"}},
		"one is left out": {pamFiles{"sshd": good, "login": ""}, []string{"pam.services warn jobs: sshd; none: login", "pam.stacks ok"}},
		"by an include of Debian's": {pamFiles{"sshd": "@include common-session", "su": "@include common-session", "common-session": good},
			[]string{"pam.services ok jobs: sshd, su", "pam.stacks ok"}},
		"by an include of Red Hat's, of its own type only": {pamFiles{
			"sshd":          "account include password-auth\nsession include password-auth",
			"password-auth": "auth optional pam_job.so\n" + good}, []string{"pam.services ok jobs: sshd", "pam.stacks ok"}},
		"before those that mark the login": {pamFiles{
			"sshd": "session optional pam_job.so\nsession required pam_loginuid.so\n-session optional pam_systemd.so"},
			[]string{"pam.services ok", "pam.order warn sshd: sshd:1 stands before pam_loginuid.so",
				"pam.order warn sshd: sshd:1 stands before pam_systemd.so"}},
		"one problem of many": {pamFiles{"sshd": "@include c", "login": "@include c",
			"c": "session optional pam_job.so\nsession optional pam_systemd.so"},
			[]string{"pam.services ok", "pam.order warn login, sshd: c:1 stands before"}},
		"behind sufficient": {pamFiles{"sshd": "session sufficient pam_x.so\nsession optional pam_job.so"},
			[]string{"pam.services ok", "pam.skipped warn sshd: sshd:2 may be passed over by sshd:1 (pam_x.so)"}},
		"behind sufficient in a substack": {pamFiles{"sshd": "session substack s\nsession optional pam_job.so",
			"s": "session sufficient pam_x.so"},
			[]string{"pam.services ok", "pam.stacks ok"}},
		"in that substack": {pamFiles{"sshd": "session substack s", "s": "session sufficient pam_x.so\nsession optional pam_job.so"},
			[]string{"pam.services ok", "pam.skipped warn"}},
		"in a jump": {pamFiles{"crond": "session [success=1 default=ignore] pam_succeed_if.so service in crond\nsession optional pam_job.so"},
			[]string{"pam.services ok", "pam.skipped warn crond: crond:2 may be passed over by crond:1"}},
		"behind a jump": {pamFiles{"sshd": "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession optional pam_job.so"},
			[]string{"pam.services ok", "pam.stacks ok"}},
		"a jump over a substack": {pamFiles{"sshd": "session [default=1] pam_permit.so\nsession substack s\nsession optional pam_job.so",
			"s": good[:33] + good[:33]},
			[]string{"pam.services ok", "pam.stacks ok"}},
		"required": {pamFiles{"sshd": "session required pam_job.so"}, []string{"pam.services ok",
			"pam.lockout warn sshd: sshd:1 is not optional"}},
		"the only one": {pamFiles{"sshd": "session substack s", "s": "session optional pam_job.so"}, []string{"pam.services ok",
			"pam.lockout warn sshd: s:1 is the only session line"}},
		"the only one, of two": {pamFiles{"sshd": "session optional pam_job.so\nsession optional pam_job.so debug"},
			[]string{"pam.services ok", "pam.twice warn", "pam.lockout warn sshd: sshd:1 is", "pam.lockout warn sshd: sshd:2 is"}},
		"missing, and so required as the only one": {pamFiles{"sshd": "session optional /opt/pam_job.so"}, []string{"pam.services ok",
			"pam.module fail sshd: sshd:1: there is no /opt/pam_job.so"}},
		"lines of DOS": {pamFiles{"sshd": strings.ReplaceAll(good, "\n", "\r\n")}, []string{"pam.services warn no service makes jobs (sshd)",
			"pam.syntax fail sshd: sshd:1 ends with a carriage return"}},
		"required, and meant so": {pamFiles{"sshd": "session required pam_job.so fail=closed skip_user=root"}, []string{"pam.services ok",
			"pam.stacks ok"}},
		"closed, and optional": {pamFiles{"sshd": "session optional pam_job.so fail=closed"}, []string{"pam.services ok",
			"pam.lockout warn"}},
		"missing": {pamFiles{"sshd": "session required pam_x.so\nsession optional /opt/pam_job.so"}, []string{"pam.services ok",
			"pam.module fail sshd: sshd:2: there is no /opt/pam_job.so"}},
		"missing, and required": {pamFiles{"sshd": "session required /opt/pam_job.so"}, []string{"pam.services ok",
			"pam.module fail sshd: sshd:1: there is no /opt/pam_job.so"}},
		"missing, and required, with a dash": {pamFiles{"sshd": "-session required /opt/pam_job.so"}, []string{"pam.services ok",
			"pam.module fail sshd: sshd:1: there is no /opt/pam_job.so"}},
		"missing, in the account phase": {pamFiles{"sshd": "account required /opt/pam_job.so account=create socket=/x"},
			[]string{"pam.services ok", "pam.module fail", "pam.options warn sshd: sshd:1 asks /x"}},
		"twice": {pamFiles{"sshd": good + "session optional pam_job.so debug"}, []string{"pam.services ok",
			"pam.twice warn sshd: pam_job.so stands in sshd:3 and sshd:4"}},
		"skipped": {pamFiles{"sshd": good, "su": "session optional pam_job.so skip_service=cron,su"},
			[]string{"pam.services ok jobs: sshd; none: su", "pam.stacks ok"}},
		"the user's manager": {pamFiles{"sshd": good, "systemd-user": good}, []string{"pam.services ok",
			"pam.user-manager warn systemd-user: "}},
		"of another type": {pamFiles{"sshd": "auth optional pam_job.so\naccount optional pam_job.so"},
			[]string{"pam.services warn no service", "pam.type warn sshd: sshd:1 is an auth line",
				"pam.type warn sshd: sshd:2 is an account line"}},
		"in the account phase": {pamFiles{"rsh": "account required pam_job.so account=create fail=closed"},
			[]string{"pam.services ok jobs: rsh", "pam.stacks ok"}},
		"and not optional there": {pamFiles{"rsh": "account required pam_job.so account=create"},
			[]string{"pam.services ok jobs: rsh", "pam.lockout warn rsh: rsh:1 is not optional"}},
		"options": {pamFiles{"sshd": "session required pam_x.so\nsession optional pam_job.so sokcet=/x"}, []string{"pam.services ok",
			"pam.options warn sshd: sshd:2: there is no option sokcet=/x"}},
		"another socket": {pamFiles{"sshd": "session required pam_x.so\nsession optional pam_job.so socket=/x"}, []string{"pam.services ok",
			"pam.options warn sshd: sshd:2 asks /x, and jobd"}},
		"broken": {pamFiles{"sshd": good + "sesion optional pam_x.so\n@include none"},
			[]string{"pam.services ok", `pam.syntax fail sshd: sshd:4 there is no type "sesion"`,
				"pam.syntax fail sshd: none is included, and not there"}},
		"a circle": {pamFiles{"sshd": good + "@include a", "a": "@include sshd"},
			[]string{"pam.services ok", "pam.syntax fail sshd: sshd includes itself"}},
	} {
		facts := pamFacts{files: c.files, there: map[string]bool{jobModule: true}, socket: "/run/jobd/login.sock"}
		var got []string
		for _, f := range judgePAM(facts) {
			got = append(got, fmt.Sprintf("%s %s %s", f.Name, f.State, f.Seen))
		}
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestJudgeMissingModule: whether logins go on without the module depends on the line, and on whether it has others beside it. A dash only
// keeps the log quiet.
func TestJudgeMissingModule(t *testing.T) {
	const beside, refused, noJob = "session required pam_x.so\n", "logins are refused", "logins get no job"
	for text, want := range map[string]string{
		beside + "session optional pam_job.so":                                                noJob,
		beside + "-session optional pam_job.so":                                               noJob,
		"session optional pam_job.so":                                                         refused,
		beside + "session required pam_job.so":                                                refused,
		beside + "-session required pam_job.so":                                               refused,
		beside + "session [default=die] pam_job.so":                                           refused,
		"account required pam_job.so account=create":                                          refused,
		"account required pam_x.so\n" + beside + "account optional pam_job.so account=create": noJob,
	} {
		all := judgePAM(pamFacts{files: pamFiles{"sshd": text}, socket: "/run/jobd/login.sock"})
		i := slices.IndexFunc(all, func(f Finding) bool { return f.Name == "pam.module" })
		if i < 0 || !strings.HasSuffix(all[i].Do, ": "+want) {
			t.Errorf("%q: %+v, want that %s", text, all, want)
		}
	}
}

// TestLookPAM: the first directory's services go before those of others, and files outside are read where they are included.
func TestLookPAM(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(own[:64])
	other[4] ^= 3 // 32 bits, not 64
	write("lib/pam_unix.so", string(own[:64]))
	write("lib32/pam_unix.so", string(other))
	write("lib32/pam_job.so", "")
	write("libnone/pam_job.so", "")
	module, outside := write("lib/pam_job.so", ""), write("far/more", "session optional pam_job.so")
	write("a/sshd", "session include "+outside+"\nsession optional "+module+"\nsession optional "+dir+"/none/pam_job.so")
	write("b/sshd", "")
	write("b/login", "")
	p := lookPAM([]string{dir + "/a", dir + "/b", dir + "/c"}, []string{dir + "/none", dir + "/li*"})
	if p.err != nil || len(p.files) != 3 || !strings.Contains(p.files["sshd"], outside) {
		t.Errorf("%+v", p)
	}
	if !p.there[jobModule] || !p.there[module] || p.there[dir+"/none/pam_job.so"] {
		t.Errorf("%+v", p)
	}
	if got := modulesAt([]string{dir + "/li*"}); !slices.Equal(got, []string{module}) {
		t.Errorf("modules %v, want %s: a directory without PAM's own ones of this machine is none", got, module)
	}
	if p = lookPAM([]string{dir + "/a"}, []string{dir + "/lib32"}); p.there[jobModule] {
		t.Error("another machine's module is said to be there")
	}
	if p = lookPAM([]string{dir + "/none"}, nil); p.err == nil {
		t.Error("no services, and no error")
	}
}
