package logs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
)

// field is one of an entry.
type field struct{ name, value string }

// decode is the journal's side of the protocol.
func decode(b []byte) (out []field, err error) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil, fmt.Errorf("a line does not end: %q", b)
		}
		line := string(b[:end])
		b = b[end+1:]
		if name, value, ok := strings.Cut(line, "="); ok {
			out = append(out, field{name, value})
			continue
		}
		if len(b) < 8 {
			return nil, fmt.Errorf("%q has no length", line)
		}
		n := binary.LittleEndian.Uint64(b)
		if b = b[8:]; uint64(len(b)) < n+1 || b[n] != '\n' {
			return nil, fmt.Errorf("%q has not %d bytes", line, n)
		}
		out = append(out, field{line, string(b[:n])})
		b = b[n+1:]
	}
	return out, nil
}

func streamOf(t *testing.T, f *os.File) string {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sys := st.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
}

// fakeJournal is the journal's socket, and the stream that it gave.
func fakeJournal(t *testing.T) (conn *net.UnixConn, stream *os.File, read *os.File, o Options) {
	t.Helper()
	o.Host, o.Socket = "login03", filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: o.Socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o.Stream = streamOf(t, w)
	t.Cleanup(func() { conn.Close(); r.Close(); w.Close() })
	return conn, w, r, o
}

// entry reads the next one: what a datagram holds, or the file that came with it.
func entry(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	b, rights := make([]byte, 1<<20), make([]byte, 64)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, m, _, _, err := conn.ReadMsgUnix(b, rights)
	if err != nil {
		t.Fatal(err)
	}
	b = b[:n]
	if m > 0 {
		b = sealed(t, rights[:m])
	}
	fields, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, f := range fields {
		out[f.name] = f.value
	}
	return out
}

// sealed reads a file that nobody can change any more.
func sealed(t *testing.T, rights []byte) []byte {
	t.Helper()
	msgs, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	seals, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GET_SEALS, 0)
	if want := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; err != nil || seals != want {
		t.Errorf("seals %#x, %v", seals, err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64)) // from its beginning, wherever the writer left it
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An entry has the line that people read, and each of its fields; what is not known is left out.
func TestJournal(t *testing.T) {
	conn, w, _, o := fakeJournal(t)
	l := Open(w, o)
	log := slog.New(l.Handler())
	log.Warn("job start", "jid", job.NewJID(1, 17), "seq", 17, "user", "al\nice", "tty", "", "rport", any(nil), "listen already", 16, "msg", "own")
	got := entry(t, conn)
	want := map[string]string{
		"PRIORITY": "4", "SYSLOG_IDENTIFIER": "jobd",
		"MESSAGE":  `job start jid=login03:17 seq=17 user="al\nice" "listen already"=16 msg_=own`,
		"JOBD_JID": "login03:17", "JOBD_SEQ": "17", "JOBD_USER": "al\nice", "JOBD_LISTEN_ALREADY": "16", "JOBD_MSG": "own",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if len(got) != len(want) || l.To() != "journal" {
		t.Errorf("%q to %s", got, l.To())
	}
	log.Error("bare")
	if got := entry(t, conn); got["PRIORITY"] != "3" || got["MESSAGE"] != "bare" || len(got) != 3 {
		t.Errorf("%q", got)
	}
	l.Close()
}

// What is too large for a datagram comes as a file.
func TestJournalLarge(t *testing.T) {
	conn, w, _, o := fakeJournal(t)
	l := Open(w, o)
	defer l.Close()
	long := strings.Repeat("ä", 1<<20)
	slog.New(l.Handler()).Info("large", "text", long)
	if got := entry(t, conn); got["JOBD_TEXT"] != long || got["PRIORITY"] != "6" {
		t.Errorf("the text has %d bytes", len(got["JOBD_TEXT"]))
	}
}

// Where the journal does not answer the line goes to standard error, and the next one is tried again.
func TestJournalGone(t *testing.T) {
	conn, w, r, o := fakeJournal(t)
	conn.Close()
	_ = os.Remove(o.Socket)
	l := Open(w, o)
	defer l.Close()
	log := slog.New(l.Handler())
	log.Info("gone", "jid", job.NewJID(1, 17))
	b := make([]byte, 4096)
	n, err := r.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), "msg=gone jid=login03:17\n") {
		t.Errorf("%q, %v", b[:n], err)
	}
	if conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: o.Socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	log.Info("back")
	if got := entry(t, conn); got["MESSAGE"] != "back" {
		t.Errorf("%q", got)
	}
}

// FuzzEntry: whatever names and values are, an entry reads as what was put into it, and no value makes a field.
func FuzzEntry(f *testing.F) {
	f.Add("job start", "user", "alice")
	f.Add("a\nPRIORITY=0", "msg", "x\n\x00y")
	f.Add("", "_pid", "=\n")
	f.Add("\xff", "a=b\nC", "\xff\n\xfe")
	j, err := newJournal(Options{}, job.JID.String, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message, key, value string) {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, message, 0)
		r.AddAttrs(slog.String(key, value))
		got, err := decode(j.encode(r))
		if err != nil {
			t.Fatal(err)
		}
		n := 4
		if value == "" {
			n = 3
		}
		if len(got) != n || got[0] != (field{"PRIORITY", "6"}) || got[1].name != "SYSLOG_IDENTIFIER" || got[2].name != "MESSAGE" ||
			!strings.HasPrefix(got[2].value, message) {
			t.Fatalf("%q", got)
		}
		if n == 4 && got[3].value != strings.ReplaceAll(value, "\x7f", `\x7f`) {
			t.Errorf("%q became %q", value, got[3].value)
		}
		for _, f := range got {
			if len(f.name) > nameMost || strings.Trim(f.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || f.name[0] == '_' {
				t.Errorf("the journal refuses %q", f.name)
			}
		}
	})
}
