// Package e2e holds the tests of the whole: a real jobd, real logins through sshd, su, cron and a PAM program of its own, a
// real Prometheus. It has no code of its own and is imported by nobody.
//
// The tests need root, and change nothing of the host's: the accounts, PAM stacks, pid files and logs that the programs see
// are in a mount namespace (testdata/world.sh), which is nothing to jobd, because it asks the kernel about processes. Who
// is not root sees them skipped; with JOBD_INTEGRATION=1 a test that cannot run fails instead.
package e2e
