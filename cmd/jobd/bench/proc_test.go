package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// proc is a program that the run started. It dies with the run, and its process group with it.
type proc struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs strings.Builder
}

// start runs a program of the run's directory in a cgroup of the run.
func (b *bench) start(where, name string, args ...string) (*proc, error) {
	p := &proc{cmd: exec.CommandContext(b.ctx, b.file(name), args...)}
	p.cmd.Stderr = &p.errs
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReader(out)
	return p, b.launch(p.cmd, where)
}

// launch starts cmd right in its cgroup: what it does first is charged there too.
func (b *bench) launch(cmd *exec.Cmd, where string) error {
	dir, err := os.Open(string(b.groups[where]))
	if err != nil {
		return err
	}
	defer dir.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(dir.Fd()),
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd.Start()
}

func (p *proc) pid() int { return p.cmd.Process.Pid }

// line reads one line of what the program says.
func (p *proc) line() (string, error) {
	s, err := p.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s said no more: %w", p.cmd.Path, errors.Join(err, p.kill()))
	}
	return strings.TrimSpace(s), nil
}

// expect reads a line that has to be want.
func (p *proc) expect(want string) error {
	got, err := p.line()
	if err == nil && got != want {
		err = fmt.Errorf("%s said %q, not %q", p.cmd.Path, got, want)
	}
	return err
}

// finish ends the program's input and waits until it is gone.
func (p *proc) finish() error {
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.errs.String())
	}
	return nil
}

// kill ends the program and its process group, and gives what it had to complain of. It may be called again.
func (p *proc) kill() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // not waited for yet, so the number is still its own
	p.in.Close()
	_ = p.cmd.Wait()
	if p.errs.Len() > 0 {
		return errors.New(strings.TrimSpace(p.errs.String()))
	}
	return nil
}
