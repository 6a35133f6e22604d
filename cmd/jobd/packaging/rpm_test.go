package packaging

import "testing"

// rpmLife goes through the life of the package: installed, upgraded, refused, erased. The scriptlets run with Debian's rpm; what they ask
// systemd for is written down.
func rpmLife(t *testing.T, old, next string) {
	needs(t, "rpm")
	r := newRoot(t)
	const rpm = "rpm --nodeps --nosignature "

	r.run("rm -f /usr/bin/jstat; " + rpm + "-i " + old)
	has(t, "installed", r.calls(), "systemctl daemon-reload", "systemctl enable --now jobd.service")
	r.run("test -x /usr/sbin/jobd; test -e /usr/lib64/security/pam_job.so; test $(readlink /usr/bin/jstat) = jcompat")

	r.run("echo '# mine' >>/etc/jobd/jobd.toml; " + rpm + "-U " + next)
	calls := r.calls()
	has(t, "upgraded", calls, "systemctl try-restart jobd.service")
	hasNot(t, "upgraded", calls, "disable", "stop")
	has(t, "upgraded", r.run("tail -n 1 /etc/jobd/jobd.toml; rpm -q jobd; readlink /usr/bin/jstat"), "# mine", "jobd-2-1", "jcompat")

	out := r.run("sed -i '1i nonsense = 1' /etc/jobd/jobd.toml; " + rpm + "-U --force " + next)
	has(t, "with a configuration that is wrong", out, "jobd goes on as it was", "/etc/jobd/jobd.toml:1: unknown key nonsense")
	hasNot(t, "with a configuration that is wrong", r.calls(), "restart", "disable", "stop")
	r.run("sed -i 1d /etc/jobd/jobd.toml")

	r.run("echo '-session required pam_job.so' >>/etc/pam.d/su")
	out, err := r.try("rpm -e jobd")
	if err == nil {
		t.Errorf("jobd was erased although su needs its module:\n%s", out)
	}
	has(t, "refused", out, "jobd is not removed", "/etc/pam.d/su: -session required pam_job.so")
	hasNot(t, "refused", r.calls(), "disable", "stop")
	r.run("test -x /usr/sbin/jobd")

	r.run("sed -i 's/^-session required pam_job.so/-session optional pam_job.so/' /etc/pam.d/su")
	has(t, "erased", r.run("rpm -e jobd"), "Logins go on", "/etc/pam.d/su: -session optional pam_job.so")
	has(t, "erased", r.calls(), "systemctl disable --now jobd.service", "systemctl daemon-reload")
	r.run("test ! -e /usr/sbin/jobd; test ! -L /usr/bin/jstat; test -e /etc/jobd/jobd.toml.rpmsave")
	has(t, "erased", r.run("su -s /bin/sh nobody -c 'echo in'"), "in")
}
