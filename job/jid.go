package job

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// JID names a job: the host's id in the upper 32 bits, a sequence number in the lower. 0 is no job. A JID is never used
// twice.
type JID uint64

// ErrJID is text that is no JID.
var ErrJID = errors.New("a JID is a sequence number (17), host:17, or 0x and up to 16 hexadecimal digits")

// NewJID puts a JID together.
func NewJID(hid, seq uint32) JID { return JID(hid)<<32 | JID(seq) }

// HID is the id of the host that made the job.
func (j JID) HID() uint32 { return uint32(j >> 32) }

// Seq is the number that people read and type.
func (j JID) Seq() uint32 { return uint32(j) }

// String is the full form, as the ancestor printed it: 0x and 16 hexadecimal digits.
func (j JID) String() string { return fmt.Sprintf("0x%016x", uint64(j)) }

// MarshalText gives the full form.
func (j JID) MarshalText() ([]byte, error) { return []byte(j.String()), nil }

// UnmarshalText takes the full form only.
func (j *JID) UnmarshalText(b []byte) error {
	v, err := ParseJID(string(b), 0, "")
	if err != nil {
		return err
	}
	*j = v
	return nil
}

// ParseJID reads what a person types: 17 and host:17 are jobs of this host, whose id is hid, 0x… is a JID whole.
func ParseJID(s string, hid uint32, host string) (JID, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		v, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || v == 0 {
			return 0, fmt.Errorf("%q: %w", s, ErrJID)
		}
		return JID(v), nil
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if s[:i] != host {
			return 0, fmt.Errorf("%q is a job of host %q, this is %q", s, s[:i], host)
		}
		s = s[i+1:]
	}
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil || v == 0 {
		return 0, fmt.Errorf("%q: %w", s, ErrJID)
	}
	return NewJID(hid, uint32(v)), nil
}
