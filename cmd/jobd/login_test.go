package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
)

// The key and its fingerprint as ssh-keygen -l prints it.
const (
	testKey   = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
	testPrint = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
)

func TestFingerprint(t *testing.T) {
	for _, c := range []struct{ auth, want string }{
		{"publickey ssh-ed25519 " + testKey, testPrint},
		{"publickey ssh-ed25519 " + testKey + "\nkeyboard-interactive/pam\n", testPrint},
		{"password\n", ""}, {"", ""}, {"publickey ssh-ed25519", ""}, {"publickey ssh-ed25519 !!!", ""},
	} {
		if got := fingerprint(c.auth); got != c.want {
			t.Errorf("%q: %q, want %q", c.auth, got, c.want)
		}
	}
}

func TestLoginInfo(t *testing.T) {
	in := loginInfo(control.LoginRequest{User: "alice", UID: 1000, Service: "sshd", RHost: "host.example", Connection: "10.0.0.1 50022 10.0.0.2 22"})
	if in.RHost != "host.example" || in.RPort == nil || *in.RPort != 50022 {
		t.Errorf("got %+v", in)
	}
	for _, bad := range []string{"", "10.0.0.1", "10.0.0.1 x 10.0.0.2 22", "10.0.0.1 70000 10.0.0.2 22", "a b c d e"} {
		if in := loginInfo(control.LoginRequest{Connection: bad}); in.RPort != nil {
			t.Errorf("%q: port %d", bad, *in.RPort)
		}
	}
}

func TestErrorsHaveTheCodesThatClientsGoBy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want control.Code
	}{
		{fmt.Errorf("17: %w", job.ErrNoJob), control.NoSuchJob}, {job.ErrDrained, control.Disabled},
		{job.ErrOtherJob, control.Conflict}, {job.ErrNoSequence, control.Unavailable}, {kernel.ErrGone, control.NoProcess},
		{errors.New("disk on fire"), control.Internal}, {control.Errorf(control.Busy, "x"), control.Busy},
	} {
		var e *control.Error
		if !errors.As(asError(c.err), &e) || e.Code != c.want {
			t.Errorf("%v: %v, want %s", c.err, e, c.want)
		}
	}
	if asError(nil) != nil {
		t.Error("no error became one")
	}
}
