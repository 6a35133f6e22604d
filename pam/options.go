package pam

import (
	"os"
	"syscall"
)

// Options say whose session is opened, under which service, and what runs in
// it. Service and Cmd are needed.
type Options struct {
	Service string   // the PAM service: a file name in /etc/pam.d
	User    string   // whose session; empty: the caller's own
	Cmd     []string // the command and its arguments; found in the new PATH

	Dir string   // where it starts; empty: the user's home, or / without one
	Env []string // added last to the session's environment: nothing is inherited

	Stdin, Stdout, Stderr *os.File // nil: /dev/null

	TTY   string // PAM_TTY, without /dev/
	RHost string // PAM_RHOST
	RUser string // PAM_RUSER; empty: the caller's user name

	// Authenticate asks PAM to check who the user is before anything else. A
	// caller that is root and has decided that itself leaves it false.
	Authenticate bool
	// Prompt answers a module's question; echo says whether the answer may be
	// shown. Without it a module that asks gets an error.
	Prompt func(question string, echo bool) (string, error)

	// Opened is called when the session is open and the command has not begun,
	// with the session's environment. It may add to that with what it returns,
	// in the form of Env; an error closes the session again.
	Opened func(env map[string]string) ([]string, error)

	// ConfDir replaces /etc/pam.d, where libpam can (1.4 and later).
	ConfDir string
}

// Result is how the command ended.
type Result struct {
	Code    int            // its exit code, or 128 and the signal's number
	Signal  syscall.Signal // what killed it; 0: it exited
	Closing error          // what went wrong at the session's end, if anything
}
