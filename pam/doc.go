// Package pam opens a PAM session for a user, runs one command in it, and
// closes it again. It is the application's side of PAM; the module that asks
// jobd for a job is C and stands in module/.
//
// The process that calls [Run] is the one that opens the session, so it is the
// job's point of entry, and the command and all that it starts are in the job.
// The order is the one of su(1) and pam(3): account, the user's groups,
// credentials, session, command, session, credentials.
//
// It never edits or reads PAM's configuration itself, never authenticates
// unless it is told to, never talks to jobd, and never kills what the command
// leaves behind: that stays in the job.
//
// It needs cgo and libpam.
package pam
