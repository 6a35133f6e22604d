package control

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jobd-project/jobd/job"
)

// The codec of login.sock: lines key=value in one datagram, see docs/protocol.md. The other end is C.

const (
	wireVersion    = "1"
	longestMessage = 8192 // bytes of a request or an answer
	longestKey     = 32
	longestReason  = 512 // bytes of a message that is sent, unescaped
)

var errNoNewline = errors.New("the last line has no newline")

// parsePairs reads the lines. An empty value is the same as a key left out, but counts as having been there twice.
func parsePairs(b []byte) (map[string]string, error) {
	if len(b) > longestMessage {
		return nil, fmt.Errorf("%d bytes are too many, %d are allowed", len(b), longestMessage)
	}
	pairs := make(map[string]string)
	rest := string(b)
	for rest != "" {
		line, more, ok := strings.Cut(rest, "\n")
		if !ok {
			return nil, errNoNewline
		}
		rest = more
		key, escaped, ok := strings.Cut(line, "=")
		if !ok || !isKey(key) {
			return nil, fmt.Errorf("bad line %q: it is key=value", clip(line, 2*longestKey))
		}
		if _, twice := pairs[key]; twice {
			return nil, fmt.Errorf("key %s stands there twice", key)
		}
		value, err := unescape(escaped)
		if err != nil {
			return nil, fmt.Errorf("bad value of %s: %w", key, err)
		}
		pairs[key] = value
	}
	return pairs, nil
}

// isKey is [a-z][a-z0-9_]*, at most 32 bytes.
func isKey(s string) bool {
	if s == "" || len(s) > longestKey || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z') && !('0' <= c && c <= '9') && c != '_' {
			return false
		}
	}
	return true
}

// mustEscape are the bytes that may not stand in a value as they are.
func mustEscape(c byte) bool { return c < 0x20 || c == 0x7f || c == '%' }

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '%' {
			if mustEscape(c) {
				return "", fmt.Errorf("byte 0x%02x is not escaped", c)
			}
			b.WriteByte(c)
			continue
		}
		if len(s)-i < 3 {
			return "", errors.New("the escape at its end is cut off")
		}
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("bad escape %q", s[i:i+3])
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

// hexDigit takes upper case only, as the protocol has it.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendPair adds a line. An empty value is left out.
func appendPair(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	const digits = "0123456789ABCDEF"
	b = append(append(b, key...), '=')
	for i := range len(value) {
		if c := value[i]; mustEscape(c) {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return append(b, '\n')
}

func sized(b []byte) ([]byte, error) {
	if len(b) > longestMessage {
		return nil, fmt.Errorf("cannot send %d bytes, %d are allowed", len(b), longestMessage)
	}
	return b, nil
}

// clip cuts text to n bytes at most, not within a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// format writes a request.
func (r LoginRequest) format() ([]byte, error) {
	b := appendPair(nil, "verb", r.Verb)
	b = appendPair(b, "version", wireVersion)
	b = appendPair(b, "user", r.User)
	if r.Verb == loginOpen {
		b = appendPair(b, "uid", strconv.FormatUint(uint64(r.UID), 10))
	}
	if r.Verb == loginOpen && r.HasGID {
		b = appendPair(b, "gid", strconv.FormatUint(uint64(r.GID), 10))
	}
	b = appendPair(b, "service", r.Service)
	if r.Verb != loginOpen {
		return sized(b)
	}
	b = appendPair(b, "tty", r.TTY)
	b = appendPair(b, "rhost", r.RHost)
	b = appendPair(b, "ruser", r.RUser)
	b = appendPair(b, "connection", r.Connection)
	b = appendPair(b, "auth", r.Auth)
	if r.Nested {
		b = appendPair(b, "nested", "new")
	}
	return sized(b)
}

// The verbs of login.sock.
const (
	loginOpen  = "open"
	loginClose = "close"
)

// parseLoginRequest reads a request and checks that it is whole.
func parseLoginRequest(b []byte) (LoginRequest, error) {
	p, err := parsePairs(b)
	if err != nil {
		return LoginRequest{}, err
	}
	if v := p["version"]; v != "" && v != wireVersion {
		return LoginRequest{}, fmt.Errorf("version %q is not known here, %s is", clip(v, longestKey), wireVersion)
	}
	r := LoginRequest{Verb: p["verb"], User: p["user"], Service: p["service"]}
	switch r.Verb {
	case loginClose:
		return r, nil
	case loginOpen:
		return r, r.open(p)
	case "":
		return LoginRequest{}, errors.New("no verb is given")
	}
	return LoginRequest{}, fmt.Errorf("verb %q is not known, open and close are", clip(r.Verb, longestKey))
}

// open reads what only open has.
func (r *LoginRequest) open(p map[string]string) error {
	for _, key := range []string{"user", "uid", "service"} {
		if p[key] == "" {
			return fmt.Errorf("no %s is given", key)
		}
	}
	uid, err := strconv.ParseUint(p["uid"], 10, 32)
	if err != nil || uint32(uid) == noID {
		return fmt.Errorf("uid %q is no user id", clip(p["uid"], longestKey))
	}
	if p["gid"] != "" {
		gid, err := strconv.ParseUint(p["gid"], 10, 32)
		if err != nil || uint32(gid) == noID {
			return fmt.Errorf("gid %q is no group id", clip(p["gid"], longestKey))
		}
		r.GID, r.HasGID = uint32(gid), true
	}
	switch p["nested"] {
	case "", "keep":
	case "new":
		r.Nested = true
	default:
		return fmt.Errorf("nested %q is not known, keep and new are", clip(p["nested"], longestKey))
	}
	r.UID = uint32(uid)
	r.TTY, r.RHost, r.RUser = p["tty"], p["rhost"], p["ruser"]
	r.Connection, r.Auth = p["connection"], p["auth"]
	return nil
}

// noID is (uid_t)-1: what the kernel says for "none".
const noID = ^uint32(0)

// format writes an answer to a verb that went well.
func (a LoginAnswer) format(verb string) []byte {
	b := appendPair(nil, "status", "ok")
	if verb != loginOpen {
		return b
	}
	kind := "new"
	if a.Mark {
		kind = "mark"
	}
	b = appendPair(b, "jid", a.JID.String())
	b = appendPair(b, "seq", strconv.FormatUint(uint64(a.JID.Seq()), 10))
	return appendPair(b, "kind", kind)
}

// formatLoginError writes an answer that says no.
func formatLoginError(e *Error) []byte {
	b := appendPair(nil, "status", "error")
	b = appendPair(b, "code", string(e.Code))
	return appendPair(b, "message", clip(e.Message, longestReason))
}

// parseLoginAnswer reads an answer to a verb; one that says no comes back as *Error.
func parseLoginAnswer(b []byte, verb string) (LoginAnswer, error) {
	p, err := parsePairs(b)
	if err != nil {
		return LoginAnswer{}, fmt.Errorf("cannot read jobd's answer: %w", err)
	}
	switch p["status"] {
	case "error":
		return LoginAnswer{}, &Error{Code: Code(p["code"]), Message: p["message"]}
	case "ok":
	default:
		return LoginAnswer{}, fmt.Errorf("cannot read jobd's answer: status %q", clip(p["status"], longestKey))
	}
	if verb != loginOpen {
		return LoginAnswer{}, nil
	}
	a := LoginAnswer{Mark: p["kind"] == "mark"}
	if a.JID, err = job.ParseJID(p["jid"], 0, ""); err != nil {
		return LoginAnswer{}, fmt.Errorf("cannot read jobd's answer: jid %w", err)
	}
	return a, nil
}
