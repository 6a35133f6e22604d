package doctor

import (
	"context"
	"os"

	"github.com/jobd-project/jobd/job/kernel"
)

// auditFacts are what there is of audit.
type auditFacts struct {
	root       bool
	sessions   bool    // processes have session ids and login uids
	own        *uint32 // this process's session
	registered bool    // an audit daemon has
	err        error   // that cannot be told
}

func (x *examination) audit(context.Context) []Finding {
	a := auditFacts{root: x.root, sessions: kernel.Proc.HasAudit(), own: kernel.Proc.Session(int32(os.Getpid()))}
	if x.root && x.Auditd != nil {
		a.registered, a.err = x.Auditd()
	}
	return judgeAudit(a)
}

func judgeAudit(a auditFacts) []Finding {
	var sessions, daemon Finding
	switch {
	case !a.sessions:
		sessions = warn("audit.sessions",
			"boot a kernel with CONFIG_AUDIT; without it cgroups, or labels in the kernel, tell whose a process is",
			"processes have no audit session")
	case a.own == nil:
		sessions = ok("audit.sessions", "the kernel has them, and this login has none")
	default:
		sessions = ok("audit.sessions", "the kernel has them, this login's is %d", *a.own)
	}
	switch {
	case !a.root:
		daemon = needsRoot("audit.daemon")
	case a.err != nil:
		daemon = ok("audit.daemon", "none (%v): what jobd does is in its log alone", a.err)
	case !a.registered:
		daemon = ok("audit.daemon", "none: what jobd does is in its log alone")
	default:
		daemon = ok("audit.daemon", "running: it gets jobd's records")
	}
	return []Finding{sessions, daemon}
}
