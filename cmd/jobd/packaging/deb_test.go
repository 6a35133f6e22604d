package packaging

import (
	"strings"
	"testing"
)

// debLife goes through the life of the package on a host: installed, enabled, upgraded, refused, removed, purged.
func debLife(t *testing.T, old, next string) {
	needs(t, "dpkg", "pam-auth-update")
	r := newRoot(t)

	r.run("rm -f /usr/bin/jstat; dpkg -i " + old)
	has(t, "installed", r.calls(), "preset jobd.service", "deb-systemd-invoke start jobd.service", "systemctl --system daemon-reload")
	r.run("test $(readlink /usr/bin/jstat) = jcompat")
	hasNot(t, "installed", r.run("cat /etc/pam.d/*"), "pam_job")

	r.run("pam-auth-update --enable jobd")
	lines := pamLines(r, "common-session")
	has(t, "enabled", lines, "optional\tpam_job.so")
	if strings.Contains(lines, "pam_systemd") && strings.Index(lines, "pam_systemd") > strings.Index(lines, "pam_job") {
		t.Errorf("pam_job.so stands before pam_systemd.so, and would not see the session:\n%s", lines)
	}
	has(t, "enabled", pamLines(r, "common-session-noninteractive"), "optional\tpam_job.so")

	r.run("echo '# mine' >>/etc/jobd/jobd.toml; dpkg -i " + next)
	calls := r.calls()
	has(t, "upgraded", calls, "deb-systemd-invoke restart jobd.service")
	hasNot(t, "upgraded", calls, " stop ", " start ")
	has(t, "upgraded", r.run("tail -n 1 /etc/jobd/jobd.toml; dpkg-query -W jobd"), "# mine", "jobd\t2-1")
	has(t, "upgraded", pamLines(r, "common-session"), "pam_job.so")

	// A configuration that cannot be used, which the running jobd has not read: it goes on.
	out := r.run("sed -i '1i nonsense = 1' /etc/jobd/jobd.toml; dpkg -i " + next)
	has(t, "with a configuration that is wrong", out, "jobd goes on as it was", "/etc/jobd/jobd.toml:1: unknown key nonsense")
	hasNot(t, "with a configuration that is wrong", r.calls(), " restart ", " stop ", " start ")
	r.run("mv /etc/jobd/jobd.toml /mine; dpkg -i " + next + "; mv /mine /etc/jobd/jobd.toml") // nobody needs one
	has(t, "without a configuration", r.calls(), "deb-systemd-invoke restart jobd.service")

	r.run("echo 'session required pam_job.so fail=closed' >>/etc/pam.d/su")
	out, err := r.try("dpkg -r jobd")
	if err == nil {
		t.Errorf("jobd was removed although su needs its module:\n%s", out)
	}
	has(t, "refused", out, "jobd is not removed", "/etc/pam.d/su: session required pam_job.so fail=closed")
	hasNot(t, "refused", r.calls(), " stop ")
	has(t, "refused", pamLines(r, "common-session"), "pam_job.so")

	r.run("sed -i 's/^session required pam_job.so.*/session optional pam_job.so/' /etc/pam.d/su; mkdir -p /var/lib/jobd; touch /var/lib/jobd/jobd.db")
	out = r.run("dpkg -r jobd")
	has(t, "removed", out, "Logins go on", "/etc/pam.d/su: session optional pam_job.so")
	has(t, "removed", r.calls(), "deb-systemd-invoke stop jobd.service")
	hasNot(t, "removed", pamLines(r, "common-session")+pamLines(r, "common-session-noninteractive"), "pam_job.so")
	r.run("test ! -e /usr/sbin/jobd; test ! -L /usr/bin/jstat; test -e /var/lib/jobd/jobd.db; test -e /etc/jobd/jobd.toml")
	// The init script stays, and is no service that failed at the next boot.
	r.run("/etc/init.d/jobd start")
	has(t, "removed", r.run("su -s /bin/sh nobody -c 'echo in'"), "in") // by a line that names a module which is gone

	// With books on a file system of their own, of which the directory stays.
	r.run("mount -t tmpfs tmpfs /var/lib/jobd; touch /var/lib/jobd/jobd.db; dpkg --purge jobd; test -z \"$(ls -A /var/lib/jobd)\"; umount /var/lib/jobd")
	r.run("dpkg -i " + next + "; dpkg --purge jobd; test ! -e /var/lib/jobd; test ! -e /etc/jobd; test ! -e /etc/init.d/jobd")
	if left := r.run("find /etc /usr /var/lib/systemd -name '*jobd*' ! -path '/usr/src/*' -newer /usr/bin/systemctl"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func pamLines(r *root, file string) string { return r.run("grep -v '^#' /etc/pam.d/" + file) }

// A JDK's jstat stays what it is.
func debLeavesJstatAlone(t *testing.T, deb string) {
	needs(t, "dpkg")
	r := newRoot(t)
	r.run("rm -f /usr/bin/jstat; ln -s /etc/alternatives/jstat /usr/bin/jstat")
	r.run("dpkg -i " + deb)
	has(t, "jstat", r.run("dpkg -r jobd >/dev/null; readlink /usr/bin/jstat"), "/etc/alternatives/jstat")
}

// Without systemd the init script is what is started and stopped.
func debWithoutSystemd(t *testing.T, deb string) {
	needs(t, "dpkg", "invoke-rc.d")
	r := newRoot(t)
	without := "rm -rf /run/systemd; printf '#!/bin/sh\\necho invoke-rc.d $* >>/calls\\n' >/usr/sbin/invoke-rc.d; "
	r.run(without + "dpkg -i " + deb)
	has(t, "installed", r.calls(), "invoke-rc.d --skip-systemd-native jobd start")
	has(t, "installed", r.run("ls /etc/rc2.d"), "jobd")
	r.run(without + "dpkg -r jobd")
	has(t, "removed", r.calls(), "invoke-rc.d --skip-systemd-native jobd stop")
}
