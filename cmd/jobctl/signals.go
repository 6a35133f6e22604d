package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals that are left to programs, after those that glibc takes for itself: signal(7).
const (
	rtMin = 34
	rtMax = 64
)

// signalFlag is the value of -s: a name with or without SIG, in any case, RTMIN+n, or a number.
type signalFlag struct {
	number int
	set    bool
}

func (s *signalFlag) Set(text string) error {
	n, ok := signalNumber(text)
	if !ok {
		return fmt.Errorf("there is no signal %q: jobctl kill -l", text)
	}
	s.number, s.set = n, true
	return nil
}

func (s *signalFlag) String() string { return "" }

// Type is what the help calls the value.
func (s *signalFlag) Type() string { return "SIG" }

func signalNumber(text string) (int, bool) {
	if numeric(text) {
		n, err := strconv.Atoi(text)
		return n, err == nil && n <= rtMax
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if n := int(unix.SignalNum("SIG" + name)); n != 0 {
		return n, true
	}
	return realTime(name)
}

// realTime takes RTMIN, RTMIN+3, RTMAX and RTMAX-2.
func realTime(name string) (int, bool) {
	base := rtMin
	rest, ok := strings.CutPrefix(name, "RTMIN")
	if !ok {
		base = rtMax
		if rest, ok = strings.CutPrefix(name, "RTMAX"); !ok {
			return 0, false
		}
	}
	if rest == "" {
		return base, true
	}
	off, err := strconv.Atoi(rest)
	signed := rest[0] == '+' || rest[0] == '-'
	return base + off, err == nil && signed && base+off >= rtMin && base+off <= rtMax
}

// signalName is how kill says which signal it sent.
func signalName(n int) string {
	if name := unix.SignalName(unix.Signal(n)); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	if n >= rtMin && n <= rtMax {
		return "RTMIN+" + strconv.Itoa(n-rtMin)
	}
	return strconv.Itoa(n)
}

// signalList is what kill -l prints: six signals a line.
func signalList() string {
	const perLine = 6
	var b strings.Builder
	for n := 1; n < 32; n++ {
		text := fmt.Sprintf("%2d %-9s", n, signalName(n))
		if n%perLine == 0 || n == 31 {
			text = strings.TrimRight(text, " ") + "\n"
		}
		b.WriteString(text)
	}
	fmt.Fprintf(&b, "%d RTMIN … %d RTMAX\n", rtMin, rtMax)
	return b.String()
}
