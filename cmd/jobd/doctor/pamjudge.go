package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// services are those by which people, or what they leave behind, get in; the first ones are to make jobs before all others.
func services() (first, others []string) {
	return []string{"sshd", "login"}, []string{
		"remote", "rlogin", "xrdp-sesman", "gdm", "gdm3", "gdm-password", "gdm-fingerprint", "gdm-autologin",
		"lightdm", "lightdm-autologin", "sddm", "sddm-autologin", "xdm", "cockpit", "dropbear", "vsftpd", "proftpd",
		"su", "su-l", "sudo", "sudo-i", "runuser", "runuser-l", "cron", "crond",
		"atd", "at", "slurm", "systemd-user",
	}
}

// problem is something that stands in our module's way, of a line that several services have.
type problem struct {
	Finding
	services []string
}

// pamReport gathers what there is of all services.
type pamReport struct {
	facts      pamFacts
	with, sans []string // services that make jobs, and that do not
	problems   []*problem
	byText     map[string]*problem
}

func judgePAM(p pamFacts) []Finding {
	if p.err != nil {
		return []Finding{fail("pam.services", "say where they are: --pam-dir", "the services of PAM cannot be listed: %v", p.err)}
	}
	r := &pamReport{facts: p, byText: make(map[string]*problem)}
	first, others := services()
	included := p.files.included()
	for _, name := range p.files.names() {
		known := slices.Contains(first, name) || slices.Contains(others, name)
		if !path.IsAbs(name) && (known || !included[name]) {
			r.judge(name, p.files.stackOf(name), known)
		}
	}
	out := []Finding{r.services(first)}
	for _, path := range p.hidden {
		out = append(out, skip("pam.unread", "%s cannot be read", path))
	}
	for _, pr := range r.problems {
		pr.Seen = strings.Join(pr.services, ", ") + ": " + pr.Seen
		out = append(out, pr.Finding)
	}
	if len(r.problems) == 0 && len(r.with) > 0 {
		out = append(out, ok("pam.stacks", "nothing stands in the way of %s", jobModule))
	}
	return out
}

// services says who makes jobs.
func (r *pamReport) services(first []string) Finding {
	const add = "add, last: -session optional pam_job.so; see pam_job(8)"
	seen := "jobs: " + strings.Join(r.with, ", ")
	if len(r.sans) > 0 {
		seen += "; none: " + strings.Join(r.sans, ", ")
	}
	var without []string
	for _, name := range first {
		if slices.Contains(r.sans, name) && (name != "sshd" || r.facts.noPAM == "") {
			without = append(without, name)
		}
	}
	switch {
	case len(r.with) == 0:
		return warn("pam.services", add, "no service makes jobs (%s)", strings.Join(r.sans, ", "))
	case len(without) > 0:
		return warn("pam.services", "to "+strings.Join(without, ", ")+" "+add, "%s", seen)
	}
	return ok("pam.services", "%s", seen)
}

// add notes a problem once, whoever has it.
func (r *pamReport) add(service string, f Finding) {
	key := f.Name + "\n" + f.Seen
	if r.byText[key] == nil {
		r.byText[key] = &problem{Finding: f}
		r.problems = append(r.problems, r.byText[key])
	}
	if pr := r.byText[key]; !slices.Contains(pr.services, service) {
		pr.services = append(pr.services, service)
	}
}

// judge looks through one service. Of one by which nobody logs in, only what concerns our module counts.
func (r *pamReport) judge(service string, s *stack, known bool) {
	ours, session := r.lines(service, s), s.entries["session"]
	makes, deaf := len(ours) > 0 || r.account(service, s), service == "sshd" && r.facts.noPAM != ""
	if makes && !deaf {
		r.with = append(r.with, service)
	} else if known {
		r.sans = append(r.sans, service)
	}
	if deaf {
		r.add(service, warn("pam.sshd", "UsePAM yes there, then restart sshd", "it does not ask PAM: UsePAM no in %s", r.facts.noPAM))
	}
	if known || len(ours) > 0 {
		for _, f := range s.faults {
			r.add(service, fail("pam.syntax", "mend the file: libpam refuses logins by it", "%s %s", at(f.file, f.no), f.what))
		}
	}
	if len(ours) > 1 {
		a, b := session[ours[0]], session[ours[1]]
		r.add(service, warn("pam.twice", "take one of the two lines out", "%s stands in %s and %s", jobModule, at(a.file, a.no),
			at(b.file, b.no)))
	}
	for _, i := range ours {
		r.order(service, session, i)
		r.control(service, session, i)
		r.options(service, session[i])
	}
	if service == "systemd-user" && len(ours) > 0 {
		r.add(service, warn("pam.user-manager", "skip_service=systemd-user on that line, unless a job of the user's own manager is wanted",
			"%s makes a job of systemd --user, beside those of the logins", where(session[ours[0]])))
	}
}

// lines gives the positions of our module in the session's stack, where it does something.
func (r *pamReport) lines(service string, s *stack) (ours []int) {
	for i, e := range s.entries["session"] {
		if e.is(jobModule) && !skipsService(e, service) {
			ours = append(ours, i)
		}
	}
	for _, kind := range []string{"auth", "password"} {
		for _, e := range s.entries[kind] {
			if e.is(jobModule) {
				r.add(service, warn("pam.type", "make it a session line", "%s is an %s line, in which it does nothing", where(e), kind))
			}
		}
	}
	return ours
}

// account reports whether the account phase makes a job.
func (r *pamReport) account(service string, s *stack) bool {
	makes := false
	for i, e := range s.entries["account"] {
		switch {
		case !e.is(jobModule) || skipsService(e, service):
		case slices.Contains(e.args, "account=create"):
			makes = true
			r.control(service, s.entries["account"], i)
			r.options(service, e)
		default:
			r.add(service, warn("pam.type", "make it a session line, or add account=create",
				"%s is an account line, in which it does nothing", where(e)))
		}
	}
	return makes
}

func skipsService(e entry, service string) bool {
	for _, arg := range e.args {
		if list, is := strings.CutPrefix(arg, "skip_service="); is && slices.Contains(strings.Split(list, ","), service) {
			return true
		}
	}
	return false
}

// order is about what comes before and after.
func (r *pamReport) order(service string, list []entry, i int) {
	for _, later := range list[i+1:] {
		for _, name := range []string{"pam_systemd.so", "pam_elogind.so", "pam_loginuid.so"} {
			if later.is(name) {
				r.add(service, warn("pam.order", "move it behind "+where(later),
					"%s stands before %s, whose mark on the login it cannot see yet", where(list[i]), name))
			}
		}
	}
	if by, found := skips(list, i); found {
		r.add(service, warn("pam.skipped", "move it before that line, or that line behind it", "%s may be passed over by %s (%s)",
			where(list[i]), where(by), path.Base(by.module)))
	}
}

// control is about what becomes of a login where our module fails, or is not there.
func (r *pamReport) control(service string, list []entry, i int) {
	e, only := list[i], alone(list)
	closed := slices.Contains(e.args, "fail=closed")
	stops := func(answer string) bool { return slices.Contains([]string{"bad", "die"}, e.control.answer(answer)) }
	switch there := r.facts.there[e.module]; {
	case !there && (only || stops("module_unknown")):
		r.add(service, fail("pam.module", "put the module there, or take the line out: logins are refused", "%s: there is no %s",
			where(e), e.module))
		return
	case !there:
		r.add(service, fail("pam.module", "put the module there: logins get no job", "%s: there is no %s", where(e), e.module))
		return
	}
	switch hard := stops("session_err"); {
	case hard && !closed:
		r.add(service, warn("pam.lockout", "make it optional", "%s is not optional: where the module cannot be loaded nobody gets in",
			where(e)))
	case closed && !hard:
		r.add(service, warn("pam.lockout", "make it required, or leave fail=closed out", "%s: fail=closed does nothing in such a line",
			where(e)))
	case only && !hard:
		r.add(service, warn("pam.lockout", "add before it: "+e.kind+" required pam_permit.so",
			"%s is the only %s line: where the module cannot be loaded nobody gets in", where(e), e.kind))
	}
}

// options is about what the line says to our module.
func (r *pamReport) options(service string, e entry) {
	socket := "/run/jobd/login.sock"
	for _, arg := range e.args {
		name, value, _ := strings.Cut(arg, "=")
		if name == "socket" {
			socket = value
		}
		if !known(name) {
			r.add(service, warn("pam.options", "see pam_job(8)", "%s: there is no option %s", where(e), arg))
		}
	}
	if socket != r.facts.socket {
		r.add(service, warn("pam.options", "socket= on the line, or jobd's --run-dir", "%s asks %s, and jobd listens at %s", where(e),
			socket, r.facts.socket))
	}
}

func known(option string) bool {
	return slices.Contains([]string{"socket", "timeout", "fail", "nested", "account", "skip_user", "skip_service", "debug"}, option)
}

func where(e entry) string { return at(e.file, e.no) }

func at(file string, no int) string {
	if no == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, no)
}
