package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// with is a session of which pam_job.so is not all there is.
const with = "session required pam_unix.so\n"

// TestPAMLines: which lines would keep people out once the module is gone. In want %D is the directory above etc/pam.d.
func TestPAMLines(t *testing.T) {
	const f = "%D/etc/pam.d/sshd: "
	for _, c := range []struct {
		name, text string
		more       map[string]string // files below %D
		want       string
	}{
		{name: "none", text: with + "# session required pam_job.so\n"},
		{name: "optional", text: with + "session    optional\tpam_job.so fail=closed\n",
			want: "passes " + f + "session    optional\tpam_job.so fail=closed\n"},
		{name: "silent", text: with + "-session optional pam_job.so # hi", want: "passes " + f + "-session optional pam_job.so\n"},
		{name: "required", text: with + "session required pam_job.so\n", want: "locks " + f + "session required pam_job.so\n"},
		{name: "silent but required", text: with + "-session required pam_job.so\n", want: "locks " + f + "-session required pam_job.so\n"},
		{name: "brackets", text: "Account [success=ok  default=ignore] /lib/security/pam_job.so account=create\n",
			want: "locks " + f + "Account [success=ok  default=ignore] /lib/security/pam_job.so account=create\n"},
		{name: "goes on", text: "session \\\nrequisite \\\npam_job.so\n", want: "locks " + f + "session  requisite  pam_job.so\n"},
		{name: "another's", text: "session required pam_exec.so /usr/bin/pam_job.so.sh\nsession required my_pam_job.so\n"},
		{name: "both", text: with + "session optional pam_job.so\nsession required pam_job.so\n",
			want: "passes " + f + "session optional pam_job.so\nlocks " + f + "session required pam_job.so\n"},

		// As libpam reads lines.
		{name: "a comment does not go on", text: "# old stack: \\\nsession required pam_job.so\n",
			want: "locks " + f + "session required pam_job.so\n"},
		{name: "nor behind a line", text: "session required pam_unix.so # old: \\\nsession required pam_job.so\n",
			want: "locks " + f + "session required pam_job.so\n"},
		{name: "goes on behind blanks", text: "session required \\ \t\npam_job.so\n",
			want: "locks " + f + "session required  pam_job.so\n"},
		{name: "goes on behind a comment", text: "session required \\\n# the jobs\n\n  pam_job.so\n",
			want: "locks " + f + "session required  pam_job.so\n"},
		{name: "a path in brackets", text: with + "session required [/lib/security/pam_job.so]\n",
			want: "locks " + f + "session required [/lib/security/pam_job.so]\n"},
		{name: "a word in brackets", text: with + "session [optional] pam_job.so\n",
			want: "passes " + f + "session [optional] pam_job.so\n"},
		{name: "a bracket in brackets", text: "session [\\]default=ok]pam_job.so\n",
			want: "locks " + f + "session [\\]default=ok]pam_job.so\n"},
		{name: "in the middle at the end", text: "session required pam_job.so \\", want: "locks " + f + "session required pam_job.so\n"},

		// Where libpam looks.
		{name: "a directory below", text: "@include site/common\n" + with,
			more: map[string]string{"etc/pam.d/site/common": "session required pam_job.so\n"},
			want: "locks %D/etc/pam.d/site/common: session required pam_job.so\n"},
		{name: "a whole path", text: "session include /usr/share/site\n" + with,
			more: map[string]string{"usr/share/site": "session requisite pam_job.so\n"},
			want: "locks %D/usr/share/site: session requisite pam_job.so\n"},
		{name: "the vendor's", text: with,
			more: map[string]string{"usr/lib/pam.d/su": "session required pam_job.so\n", "usr/etc/pam.d/sudo": "session required pam_job.so\n"},
			want: "locks %D/usr/lib/pam.d/su: session required pam_job.so\nlocks %D/usr/etc/pam.d/sudo: session required pam_job.so\n"},
		{name: "not the vendor's", text: with, more: map[string]string{"usr/lib/pam.d/sshd": "session required pam_job.so\n"}},

		// A stack in which nobody has a say refuses.
		{name: "alone", text: "session optional pam_job.so\n",
			want: "locks " + f + "session optional pam_job.so (all that sshd has for session)\n"},
		{name: "alone beside other kinds", text: "auth required pam_unix.so\n-session optional pam_job.so\nsession optional pam_job.so nested=new\n",
			want: "locks " + f + "-session optional pam_job.so (all that sshd has for session)\n" +
				"locks " + f + "session optional pam_job.so nested=new (all that sshd has for session)\n"},
		{name: "an include has others", text: "session optional pam_job.so\nsession include common\n",
			more: map[string]string{"etc/pam.d/common": with},
			want: "passes " + f + "session optional pam_job.so\n"},
		{name: "an include has none", text: "@include common\nsession optional pam_job.so\n",
			more: map[string]string{"etc/pam.d/common": "auth required pam_unix.so\n"},
			want: "locks " + f + "session optional pam_job.so (all that sshd has for session)\n"},
		{name: "alone by an include", text: "auth include common\nsession substack jobs\n",
			more: map[string]string{"etc/pam.d/common": "auth required pam_unix.so\n" + with, "etc/pam.d/jobs": "session optional pam_job.so\n"},
			want: "locks %D/etc/pam.d/jobs: session optional pam_job.so (all that sshd has for session)\n"},
		{name: "what is included is no service", text: "@include jobs\n" + with,
			more: map[string]string{"etc/pam.d/jobs": "session optional pam_job.so\n"},
			want: "passes %D/etc/pam.d/jobs: session optional pam_job.so\n"},
		{name: "includes itself", text: "@include sshd\nsession include no-such\nsession optional pam_job.so\n",
			want: "locks " + f + "session optional pam_job.so (all that sshd has for session)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "etc/pam.d/sshd"), c.text)
			write(t, filepath.Join(dir, "etc/pam.d/sshd.dpkg-old"), "session required pam_job.so\n")
			for name, text := range c.more {
				write(t, filepath.Join(dir, name), text)
			}
			out, err := attempt(nil, "./pam-lines", filepath.Join(dir, "etc/pam.d"))
			want := strings.ReplaceAll(c.want, "%D", dir)
			if out != want || (err != nil) != strings.Contains(want, "locks ") {
				t.Errorf("%v: %q, want %q", err, out, want)
			}
		})
	}
}

// What cannot be looked at is no good answer.
func TestPAMLinesNowhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc/pam.d")
	out, err := attempt(nil, "./pam-lines", dir)
	if err == nil || err.Error() != "exit status 2" || !strings.Contains(out, "there is no directory "+dir) {
		t.Errorf("without a directory: %v: %s", err, out)
	}
	must(t, os.MkdirAll(dir, 0o755))
	if out, err := attempt(nil, "./pam-lines", dir); err != nil || out != "" {
		t.Errorf("nobody there: %v: %s", err, out)
	}
}
