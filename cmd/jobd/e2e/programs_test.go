package e2e

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// ranBy gives the programs of each record of a job, without the directories, and marks what the process ran last.
func (h *host) ranBy(t *testing.T, jid job.JID) (out []string) {
	t.Helper()
	records, err := h.client.Procs(h.soon(), control.Request{Job: ref(jid)})
	must(t, err)
	for _, r := range records {
		var ran []string
		for i, x := range r.Execs {
			ran = append(ran, filepath.Base(string(x.Exe)))
			if x.Time.Before(*r.Started) || x.Time.After(*r.Ended) || i > 0 && x.Time.Before(r.Execs[i-1].Time) {
				t.Errorf("process %d, from %v to %v, ran %+v", r.PID, r.Started, r.Ended, r.Execs)
			}
		}
		if len(ran) > 0 && r.Execs[len(ran)-1].Exe != r.Exe {
			t.Errorf("process %d ran %q last, exe is %q", r.PID, ran, r.Exe)
		}
		if r.Execs != nil {
			out = append(out, strings.TrimSpace(strings.Join(ran, " ")+" ="+filepath.Base(string(r.Exe))))
		}
	}
	return out
}

// What a process ran is in its record, however it was run and whatever it calls itself.
func TestProgramsOfRecords(t *testing.T) {
	h := newHost(t)
	w := h.newWorld(map[string]string{"svc": plainStack})
	shell, err := filepath.EvalSymlinks("/bin/sh")
	must(t, err)
	sh := filepath.Base(shell)
	script := w.write("script", "#!/bin/sh\nsleep 0.1\nexit 0\n", 0o755)
	mine := filepath.Join(w.dir, "home/alice/mine")
	for _, c := range []struct {
		name, script string
		want         []string // regular expressions, beside the session's own
	}{
		{"exec", "sh -c 'sleep 0.2; exec sleep 0.1'", []string{"sleep =sleep", sh + " sleep =sleep"}},
		{"a script", script, []string{"sleep =sleep", sh + " =" + sh}},
		{"no exec", "(sleep 0.1; exit 0)", []string{"sleep =sleep", "=" + sh}},
		// The same program again, so soon that nobody can say which of the two was looked at: then the first is not known.
		{"exec by a thread", "LAB_OUT=" + w.labOut("thread") + " " + built.lab + " exec-thread & sleep 0.3; kill $!; wait", []string{`(lab|\.) lab =lab`, "sleep =sleep"}},
		{"a program that is gone", "cp /bin/sleep " + mine + "; " + mine + " 0.3 & sleep 0.1; rm " + mine + "; wait", []string{"mine =mine", "sleep =sleep"}},
		{"a name of its own", "sh -c 'printf sshd >/proc/$$/comm; sleep 0.1; exit 0'", []string{sh + " =" + sh, "sleep =sleep"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.use(t)
			l := w.login("svc", "alice", nil, "sh", "-c", "sleep 0.1; "+c.script+"; exit 0")
			l.wait()
			h.ended(l.jid)
			got := h.ranBy(t, l.jid)
			for _, want := range append(c.want, sh+" ="+sh, "sleep =sleep") {
				i := slices.IndexFunc(got, regexp.MustCompile("^"+want+"$").MatchString)
				if i < 0 {
					t.Errorf("%q is not in %q", want, h.ranBy(t, l.jid))
					continue
				}
				got = slices.Delete(got, i, i+1)
			}
		})
	}
}

// Arguments are kept where that is asked for, and with off nothing is.
func TestProgramsByMode(t *testing.T) {
	for _, c := range []struct {
		mode string
		want []job.ExecInfo
	}{
		{"argv", []job.ExecInfo{{Exe: "sleep", Argv: []string{"sleep", "0.2"}}}},
		{"exe", []job.ExecInfo{{Exe: "sleep"}}},
		{"off", nil},
	} {
		t.Run(c.mode, func(t *testing.T) {
			h := plainHost(t)
			w := h.newWorld(map[string]string{"svc": plainStack})
			h.args = append(h.args, "--config", w.write("jobd.toml", "[record]\nexec = \""+c.mode+"\"\ngroups = [\"cpu\"]\n", 0o600))
			h.start()
			l := w.login("svc", "alice", nil, "sh", "-c", "sleep 0.2; exit 0")
			l.wait()
			h.ended(l.jid)
			records, err := h.client.Procs(h.soon(), control.Request{Job: ref(l.jid)})
			must(t, err)
			i := slices.IndexFunc(records, func(r job.Process) bool { return r.Comm == "sleep" })
			if i < 0 {
				t.Fatalf("no record of sleep in %+v", records)
			}
			r := records[i]
			if len(r.Execs) != len(c.want) || (r.Exe == "") != (c.want == nil) {
				t.Fatalf("exe %q, execs %+v", r.Exe, r.Execs)
			}
			for i, x := range r.Execs {
				if want := c.want[i]; filepath.Base(string(x.Exe)) != string(want.Exe) || !slices.Equal(x.Argv, want.Argv) {
					t.Errorf("ran %+v, want %+v", x, want)
				}
			}
			if r.CPU == nil || r.UID == nil || r.MaxRSS != nil || r.ReadChars != nil || r.VolSwitch != nil {
				t.Errorf("with cpu alone the record is %+v", r)
			}
		})
	}
}
