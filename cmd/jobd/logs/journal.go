package logs

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): an entry is a datagram of fields, NAME=VALUE and a line feed each; a
// value with a line feed in it has its length before it. What is too large for a datagram is sent as a sealed memfd.
const journalSocket = "/run/systemd/journal/socket"

// journal writes records as entries.
type journal struct {
	fd   int
	to   unix.Sockaddr
	name namer
	text slog.Handler // for what the journal does not take

	attrs bytes.Buffer // the text of the fields of one record …
	line  slog.Handler // … which this writes
	entry []byte
}

// isJournal reports whether a file is the stream that the journal gave this process: dev:inode, as systemd says in JOURNAL_STREAM.
func isJournal(f *os.File, stream string) bool {
	st, err := f.Stat()
	if err != nil || stream == "" {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
}

func newJournal(o Options, name namer, text slog.Handler) (*journal, error) {
	path := o.Socket
	if path == "" {
		path = journalSocket
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	j := &journal{fd: fd, to: &unix.SockaddrUnix{Name: path}, name: name, text: text}
	j.line = slog.NewTextHandler(&j.attrs, &slog.HandlerOptions{Level: slog.LevelDebug - 100, ReplaceAttr: j.said})
	return j, nil
}

// said leaves out of the text what has fields of its own, and what is not known.
func (j *journal) said(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	if a = plain(a, j.name); unknown(a.Value) {
		return slog.Attr{}
	}
	return a
}

func unknown(v slog.Value) bool {
	return v.Kind() == slog.KindString && v.String() == "" || v.Kind() == slog.KindAny && v.Any() == nil
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

// Handle is only ever called by the one goroutine that writes.
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	b := j.encode(r)
	err := j.send(b, nil)
	if err == unix.EMSGSIZE || err == unix.ENOBUFS {
		err = j.sendFile(b)
	}
	if err != nil { // the journal is being restarted: what it holds of standard error goes on
		return j.text.Handle(ctx, r)
	}
	return nil
}

func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j } // a Log has added them already
func (j *journal) WithGroup(string) slog.Handler      { return j }

// encode makes an entry: what people read, and each field by itself.
func (j *journal) encode(r slog.Record) []byte {
	j.attrs.Reset()
	message := r.Message
	if err := j.line.Handle(context.Background(), withoutName(r)); err == nil {
		if text := strings.TrimSuffix(j.attrs.String(), "\n"); text != "" {
			message += " " + text
		}
	}
	b := appendField(j.entry[:0], "PRIORITY", priority(r.Level))
	b = appendField(b, "SYSLOG_IDENTIFIER", "jobd")
	b = appendField(b, "MESSAGE", message)
	r.Attrs(func(a slog.Attr) bool {
		if a = plain(a, j.name); !unknown(a.Value) {
			b = appendField(b, fieldName(a.Key), a.Value.String())
		}
		return true
	})
	j.entry = b
	return b
}

// withoutName is a record whose attributes alone count. slog would have one named time or msg left out too: its key is another then.
func withoutName(r slog.Record) slog.Record {
	out := slog.NewRecord(r.Time, r.Level, "", 0)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case slog.TimeKey, slog.LevelKey, slog.MessageKey:
			a.Key += "_"
		}
		out.AddAttrs(a)
		return true
	})
	return out
}

// priority is syslog's (syslog(3)).
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "3"
	case level >= slog.LevelWarn:
		return "4"
	case level >= slog.LevelInfo:
		return "6"
	}
	return "7"
}

// nameMost is how long a field's name may be (systemd.journal-fields(7)).
const nameMost = 64

// fieldName is what the journal takes as a name: capitals, digits and underscores.
func fieldName(key string) string {
	name := []byte("JOBD_" + strings.ToUpper(key))
	for i, c := range name {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			name[i] = '_'
		}
	}
	return string(name[:min(len(name), nameMost)])
}

// appendField appends one field. A value may be anything.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	if !strings.Contains(value, "\n") {
		b = append(append(b, '='), value...)
		return append(b, '\n')
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(value)))
	return append(append(b, value...), '\n')
}

// send waits while the journal is behind.
func (j *journal) send(b, rights []byte) error {
	for {
		if err := unix.Sendmsg(j.fd, b, rights, j.to, unix.MSG_NOSIGNAL); err != unix.EINTR {
			return err
		}
	}
}

// sendFile sends an entry that is too large for a datagram. The journal reads only what nobody can change any more.
func (j *journal) sendFile(b []byte) error {
	fd, err := unix.MemfdCreate("jobd-log", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "jobd-log")
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	const sealed = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sealed); err != nil {
		return err
	}
	return j.send(nil, unix.UnixRights(fd))
}
