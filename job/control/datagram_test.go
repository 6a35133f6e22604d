package control

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// earlyEnd says the end of a connection before what was written there last, as Linux may.
type earlyEnd struct {
	net.Conn
	answers []string
	again   bool
}

func (c *earlyEnd) Read(b []byte) (int, error) {
	if c.again = !c.again; c.again || len(c.answers) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.answers[0])
	c.answers = c.answers[1:]
	return n, nil
}

func TestEndComesEarly(t *testing.T) {
	c := &earlyEnd{answers: []string{"status=ok\ncount=2\npids=1\nmore=1\n", "status=ok\ncount=2\npids=2\n"}}
	ans, read, err := readJobAnswer(c)
	if read != nil || err != nil || ans.Count != 2 || len(ans.PIDs) != 2 {
		t.Errorf("%+v, %v, %v", ans, read, err)
	}
	if _, read, _ = readJobAnswer(c); !errors.Is(read, io.EOF) {
		t.Errorf("at the end there is %v", read)
	}
}

// The kernel does say the end first. It takes luck to see it, so nothing is asserted but that an answer that was written is found.
func TestEndComesWithTheAnswer(t *testing.T) {
	early := 0
	for range 3_000 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = unix.Write(pair[1], []byte("answer")); unix.Close(pair[1]) }()
		buf, n := make([]byte, 16), 0
		for err = unix.EAGAIN; err == unix.EAGAIN; {
			n, err = unix.Read(pair[0], buf)
		}
		if n == 0 && err == nil {
			early++
			n, err = unix.Read(pair[0], buf)
		}
		if n != len("answer") || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
		unix.Close(pair[0])
	}
	t.Logf("%d of 3,000 ended before their answer", early)
}
