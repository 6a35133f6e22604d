package confine

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	otherCalls = 1 << 31 // there are no other numbers
)

// deniedHere is what only this architecture has.
var deniedHere = []uint32{unix.SYS_KEXEC_FILE_LOAD}
