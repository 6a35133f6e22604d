package main

import (
	"errors"
	"os/user"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

func TestJobRef(t *testing.T) {
	for _, text := range []string{"1", "17", "4294967295", "login03:17", "a:b:17", "0x00c0ffee00000011", "0x1", "self"} {
		if ref, err := jobRef(text); err != nil || string(ref) != text {
			t.Errorf("jobRef(%q) = %q, %v", text, ref, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "+1", "1.0", "4294967296", "host:", "host:0", "0x", "0x0", "0xg", "0x10000000000000000", "Self", "17 ", "none"} {
		ref, err := jobRef(text)
		var usage *usageError
		if !errors.As(err, &usage) {
			t.Errorf("jobRef(%q) = %q, %v, which is no bad usage", text, ref, err)
		}
	}
}

func TestNames(t *testing.T) {
	own := job.NewJID(0xc0ffee, 17)
	for text, want := range map[control.JobRef]bool{
		"17": true, "0xc0ffee00000011": true, "0x00c0ffee00000011": true, "anyhost:17": true,
		"18": false, "0x11": false, "0xc0ffef00000011": false, "bad": false,
	} {
		if got := names(text, &own); got != want {
			t.Errorf("names(%s, %s) = %v", text, own, got)
		}
	}
	if names("17", nil) {
		t.Error("17 names no job at all")
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]int{
		"TERM": 15, "SIGTERM": 15, "sigterm": 15, "Kill": 9, "9": 9, "0": 0, "64": 64, "RTMIN": 34, "rtmin+3": 37, "RTMAX": 64, "RTMAX-2": 62, "SIGRTMIN+30": 64,
	} {
		if got, ok := signalNumber(text); !ok || got != want {
			t.Errorf("signalNumber(%q) = %d, %v, not %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "SIG", "FOO", "65", "-9", "99999999999999999999", "RTMIN+31", "RTMIN3", "RTMAX+1", "RTMIN-1", "RTMINx", "RT"} {
		if got, ok := signalNumber(text); ok {
			t.Errorf("signalNumber(%q) = %d, which is no signal", text, got)
		}
	}
	for n := 1; n <= rtMax; n++ {
		if got, ok := signalNumber(signalName(n)); !ok || got != n {
			t.Errorf("signal %d is called %s, which is %d", n, signalName(n), got)
		}
	}
}

func TestOnlyRootRunsAsSomebodyElse(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	who, err := running{user: me.Username}.who(0)
	if err != nil || who.User != me.Username {
		t.Errorf("root may run as %s: %v, %v", me.Username, who, err)
	}
	const other = 1 << 30
	_, err = running{user: me.Username}.who(other)
	var h *hinted
	if !errors.As(err, &h) || !strings.Contains(err.Error(), "only root may run it as "+me.Username) || h.hint == "" {
		t.Errorf("user %d runs as %s: %v", other, me.Username, err)
	}
	if _, err = (running{user: "no-such-user-here"}).who(0); err == nil {
		t.Error("a user that there is not runs something")
	}
}
