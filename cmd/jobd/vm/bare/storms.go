package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// fact is something that is to be told when it must be on disk: a commit began and ended after it was known, and another, since
// the last flush may be taken back (replay).
type fact struct {
	text string
	at   int // commits
}

// storms has jobd write until the power is cut: short jobs, storms of processes, and jobs that stay open.
func (b *bare) storms() {
	go b.confirm()
	go b.commitOften()
	for range 3 {
		go func() {
			for {
				b.storm(5 + rand.IntN(60))
			}
		}()
	}
	for {
		if s := b.newStorm("", "0", "0"); s != nil {
			b.tellLater("open", s.seq)
		}
		time.Sleep(time.Second)
	}
}

// commitOften asks for what is in the books, for which jobd commits all that waits, at once: left alone it would commit once
// a second, and few cuts would hit a commit.
func (b *bare) commitOften() {
	for ; ; time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) {
		_, _ = b.client.History(b.soon(), control.Request{Limit: 1})
	}
}

// storm is one job of n processes and its point of entry, from its beginning to its end.
func (b *bare) storm(n int) (in job.Info, ok bool) {
	s := b.newStorm("", strconv.Itoa(n))
	if s == nil {
		return in, false
	}
	s.begin()
	_ = s.cmd.Wait()
	in, err := b.client.Wait(b.soon(), control.Request{Job: s.ref()})
	if err != nil || in.TotalProcesses != n+1 {
		b.say(false, fmt.Sprintf("job %d has ended with %d processes", s.seq, n+1), fmt.Sprint(in.TotalProcesses, err))
		return in, false
	}
	b.tellLater("ended", in.Seq, in.TotalProcesses)
	return in, true
}

// stormer is a login, of storm, which waits to be told to begin.
type stormer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	seq uint32
}

func (s *stormer) ref() control.JobRef { return control.JobRef(strconv.Itoa(int(s.seq))) }

func (s *stormer) begin() { _, _ = s.in.Write([]byte("!")) }

// done waits until a storm that stays has done what it was to do.
func (s *stormer) done() { _, _ = s.out.ReadString('\n') }

// newStorm starts one, with a token in its environment.
func (b *bare) newStorm(token string, args ...string) *stormer {
	s := &stormer{cmd: exec.Command("/storm", append([]string{runDir + "/login.sock"}, args...)...)}
	s.cmd.Env = []string{"BARE=" + token}
	s.cmd.Stderr = os.Stderr
	if err := s.login(); err != nil {
		b.say(false, "a login has a job", err)
		return nil
	}
	fmt.Println("= given", s.seq)
	return s
}

func (s *stormer) login() (err error) {
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	_, err = fmt.Fscanln(s.out, &s.seq)
	return err
}

// tellLater has a line printed about a job when what is known of it now is on disk.
func (b *bare) tellLater(words ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.later = append(b.later, fact{fmt.Sprintln(append([]any{"="}, words...)...), b.commits + 3})
}

// confirm prints them. A commit that is seen to be over may have begun before; the next one has not.
func (b *bare) confirm() {
	var last time.Time
	for ; ; time.Sleep(50 * time.Millisecond) {
		st, err := b.client.Status(b.soon())
		if err != nil || st.Store.LastCommit == nil || st.Store.LastCommit.Equal(last) {
			continue
		}
		last = *st.Store.LastCommit
		b.mu.Lock()
		b.commits++
		if len(b.later) > 0 && b.later[0].at <= b.commits {
			fmt.Println("= storming") // the power may be cut from now on
		}
		for len(b.later) > 0 && b.later[0].at <= b.commits {
			fmt.Print(b.later[0].text)
			b.later = b.later[1:]
		}
		b.mu.Unlock()
	}
}
