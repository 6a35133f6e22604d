package main

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/cmd/jobd/confine"
	"github.com/jobd-project/jobd/job/label"
)

// needed are the capabilities that jobd uses while it serves.
func needed(auditing, labels bool) []int {
	caps := []int{
		unix.CAP_NET_ADMIN,       // LISTEN anew, when the kernel has gone deaf; to leave taskstats at the end
		unix.CAP_SYS_PTRACE,      // /proc/PID/exe, io, cmdline, wchan and ns/user of others
		unix.CAP_DAC_READ_SEARCH, // /proc/PID/io has mode 0400 and its process's owner
		unix.CAP_KILL,            // jobctl kill
		unix.CAP_SYS_NICE,        // to outrun a fork bomb that is killed (kernel.Hurry)
	}
	if auditing {
		caps = append(caps, unix.CAP_AUDIT_WRITE)
	}
	if labels && label.ReadingTakesRights() {
		caps = append(caps, unix.CAP_BPF) // bpf(2) on maps that are open already
	}
	return caps
}

// confine gives away the other rights, when all has been opened that takes them.
func (d *jobd) confine() {
	done, missing := confine.Rights(needed(d.auditing().status().On, d.labels != nil))
	d.confined = done
	if len(missing) > 0 {
		d.log.Warn("jobd keeps more rights than it needs", "confined", strings.Join(done, " "), "missing", strings.Join(missing, "; "))
	}
}
