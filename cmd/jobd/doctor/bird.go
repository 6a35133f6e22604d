package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// The canary is a process of its own: it asks login.sock as pam_job.so does, and so becomes a member of a job that is made for it; told
// to go on it forks once, and exits. What it says are lines of JSON: a perch, then the pid of its child.

// perch is what the canary says of its login.
type perch struct {
	JID   *job.JID        `json:"jid"`   // nil: it got none
	Takes []time.Duration `json:"takes"` // the login, then the same again, which jobd only has to look up
	Code  control.Code    `json:"code"`  // of an error of jobd's
	Error string          `json:"error"`
}

// service is what the canary's job is said to come from.
const service = "jobd-doctor"

// logins is how often it asks, unless that takes long: what is slow is to be told while somebody still listens.
const (
	logins   = 6
	takeTime = 300 * time.Millisecond
)

// loginMost is how long it waits for each answer: as long as pam_job.so does without another word.
const loginMost = 500 * time.Millisecond

// RunCanary is the canary. It ends with the first thing that goes wrong, or when nobody listens to it any more.
func RunCanary(socket string, in io.Reader, out io.Writer) error {
	p := ask(socket)
	if err := json.NewEncoder(out).Encode(p); err != nil || p.Error != "" {
		return err
	}
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	child := exec.Command("/bin/sh", "-c", ":") // not jobd itself, which leaves a job when root runs it
	if err := child.Run(); child.Process == nil {
		return err
	}
	return json.NewEncoder(out).Encode(child.Process.Pid)
}

func ask(socket string) (p perch) {
	begin := time.Now()
	for len(p.Takes) < logins && time.Since(begin) < takeTime {
		ctx, cancel := context.WithTimeout(context.Background(), loginMost)
		start := time.Now()
		ans, err := control.Login(ctx, socket, control.LoginRequest{Verb: "open", User: "root", Service: service, Nested: true})
		p.Takes = append(p.Takes, time.Since(start))
		cancel()
		var said *control.Error
		if errors.As(err, &said) {
			p.Code = said.Code
		}
		if err != nil {
			p.Error = err.Error()
			return p
		}
		p.JID = &ans.JID
	}
	return p
}

// bird is the canary as whoever sent it sees it.
type bird struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	says *json.Decoder
	once sync.Once
}

// release sends it out. The context kills it.
func release(ctx context.Context, command []string) (*bird, error) {
	b := &bird{cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	var err error
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.cmd.Stderr, b.says = os.Stderr, json.NewDecoder(out)
	return b, b.cmd.Start()
}

// say tells it to go on.
func (b *bird) say() error {
	_, err := io.WriteString(b.in, "\n")
	return err
}

// hear waits for what it says.
func (b *bird) hear(v any) error {
	if err := b.says.Decode(v); err != nil {
		return fmt.Errorf("the canary says nothing: %w", err)
	}
	return nil
}

// end waits for its end, whatever became of it. It may be called again.
func (b *bird) end() {
	b.once.Do(func() {
		b.in.Close()
		_ = b.cmd.Wait() // that it was killed, or failed, has been seen by then
	})
}
