package control

import (
	"strconv"
	"strings"
)

const longestRef = 300 // a host name has 255 bytes at most

// check refuses what can't be the name of a job on any host, so that garbage is a bad request and not "no such job".
func (r JobRef) check() error {
	s := string(r)
	if r == Self {
		return nil
	}
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		if v, err := strconv.ParseUint(hex, 16, 64); err == nil && v != 0 && len(hex) <= 16 {
			return nil
		}
		return badRef(r)
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if !isHost(s[:i]) {
			return badRef(r)
		}
		s = s[i+1:]
	}
	if v, err := strconv.ParseUint(s, 10, 32); err != nil || v == 0 || len(r) > longestRef {
		return badRef(r)
	}
	return nil
}

func badRef(r JobRef) error {
	if len(r) > longestRef {
		r = r[:longestRef] + "…"
	}
	return &Error{
		Code: BadRequest, Message: strconv.Quote(string(r)) + " does not name a job",
		Hint: "a job is a sequence number (17), host:17, 0x and up to 16 hexadecimal digits, or self",
	}
}

func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && !('0' <= c && c <= '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
