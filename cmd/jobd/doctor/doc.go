// Package doctor looks whether a host is fit for jobd, and jobd for the host: what the kernel can do, how a running jobd is, cgroups,
// audit, PAM, files, the clock, the disk; how long a login takes, and whether a process is followed through fork and exit. Each thing
// that it has looked at is a Finding, with what there is to do about it.
//
// Looking and judging are apart. A check is a method of examination; it asks the kernel, files or jobd, or has a function do so that begins
// with look, and fills in facts. What begins with judge makes findings of facts, and touches nothing. The PAM stacks are read by a parser of
// their own (pamconf.go), as libpam reads them.
//
// It works without a running jobd. What may hang has a deadline, and is said to be unknown after it. It never changes anything: it makes
// no directory, mounts nothing, and keeps no program in the kernel. Only the canary leaves something behind, an ended job in the books.
package doctor
