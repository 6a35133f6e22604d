package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
)

// lines reads a program's output line by line, and never waits for ever.
type lines struct {
	t *testing.T
	c chan string
}

func newLines(t *testing.T, r io.Reader) *lines {
	l := &lines{t: t, c: make(chan string, 1024)}
	go func() {
		defer close(l.c)
		for sc := bufio.NewScanner(r); sc.Scan(); {
			l.c <- sc.Text()
		}
	}()
	return l
}

// next gives the next line; ok is false at the end.
func (l *lines) next() (line string, ok bool) {
	l.t.Helper()
	select {
	case line, ok = <-l.c:
		return strings.TrimSpace(line), ok
	case <-time.After(patience):
		l.t.Fatal("waited in vain for a line of output")
		return "", false
	}
}

// started starts a program that has a standard output of its own.
func started(t *testing.T, cmd *exec.Cmd) *lines {
	t.Helper()
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.WaitDelay = time.Second // what it leaves behind may keep its standard error open
	must(t, cmd.Start())
	return newLines(t, out)
}

// reap waits for a program that is about to end, and makes it end when it does not.
func reap(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if cmd.ProcessState != nil {
		return
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(unix.SIGKILL) })
	_ = cmd.Wait()
	if !late.Stop() {
		t.Errorf("%s did not end by itself", cmd.Args[0])
	}
}

// journal is what a program logs.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// logged is how jobd's log calls a job.
func logged(jid job.JID) string {
	host, err := os.Hostname()
	if err != nil {
		return err.Error()
	}
	return host + ":" + strconv.Itoa(int(jid.Seq()))
}

// settled is the log with all that jobd has logged so far: it writes in the order in which things happen, and says when it has read its
// configuration again.
func (h *host) settled() string {
	h.t.Helper()
	const said = "the configuration was "
	before := strings.Count(h.log.String(), said)
	must(h.t, h.cmd.Process.Signal(unix.SIGHUP))
	until(h.t, "the log", func() bool { return strings.Count(h.log.String(), said) > before })
	return h.log.String()
}

// await waits for a line that matches.
func (j *journal) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var m []string
	until(t, fmt.Sprintf("%q in\n%s", pattern, j), func() bool {
		m = re.FindStringSubmatch(j.String())
		return m != nil
	})
	return m
}
