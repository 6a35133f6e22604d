package pam

import (
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"testing"
)

// Whatever a server says, the module says yes or no, holds nothing, and leaves
// JOB_JID unset or a jid. The sanitizers watch.
func TestRandomAnswers(t *testing.T) {
	rng := rand.New(rand.NewPCG(20051, 2006))
	s := serve(t, func(s *server, c *net.UnixConn) {
		s.read(c)
		c.Write(randomAnswer(rng))
	})
	f := sanitized(t)
	d := newDriver(t, f, confDir(t, "session required "+f.module+" "+s.option()))
	d.start("alice")
	d.want("open", pamSuccess)
	d.end()
	before := d.do("state")
	jid := regexp.MustCompile(`^(0x[0-9a-fA-F]{16})?$`)
	jobs := 0
	for range 2000 {
		d.start("alice")
		d.want("open", pamSuccess)
		got := d.jid()
		if !jid.MatchString(got) {
			t.Fatalf("JOB_JID is %q", got)
		}
		if got != "" {
			jobs++
		}
		d.end()
	}
	if after := d.do("state"); after != before {
		t.Errorf("the process was\n%s\nand is\n%s", before, after)
	}
	t.Logf("%d of 2000 answers gave a job", jobs)
}

// randomAnswer is an honest answer with a few bytes changed, or pieces of some
// in any order, or noise.
func randomAnswer(rng *rand.Rand) []byte {
	pieces := []string{
		"status=ok\n", "status=error\n", "jid=" + okJID + "\n", "jid=0x\n", "seq=17\n", "kind=mark\n",
		"code=busy\n", "message=%41%0A%ZZ\n", "message=%", "x=" + strings.Repeat("%00", 500) + "\n",
		"=", "\n", "%", "\x00", "k=v\n", strings.Repeat("m", 40),
		"message=" + strings.Repeat("%C3%A4", 300) + "\n",
	}
	b := []byte(okAnswer)
	switch rng.IntN(3) {
	case 0:
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.IntN(256))
		}
	case 1:
		b = b[:0]
		for range rng.IntN(8) {
			b = append(b, pieces[rng.IntN(len(pieces))]...)
		}
	case 2:
		b = make([]byte, rng.IntN(9000))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}
