package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// engine is how a jobd hears of processes.
type engine string

const (
	connector engine = "connector"
	bpf       engine = "bpf"
)

var engines = []engine{connector, bpf}

// daemon is a running jobd with directories and a port of its own.
type daemon struct {
	b       *bench
	engine  engine
	cmd     *exec.Cmd
	home    string
	metrics string // address
	client  *control.Client
}

// newHome makes a directory for a jobd: its books, its sockets, its log.
func (b *bench) newHome() (string, error) {
	b.homes++
	home := b.file(fmt.Sprintf("jobd-%d", b.homes))
	return home, os.MkdirAll(home, 0o755)
}

// startDaemon starts jobd with nothing in its books and waits until it answers.
func (b *bench) startDaemon(e engine, env ...string) (*daemon, error) {
	home, err := b.newHome()
	if err != nil {
		return nil, err
	}
	return b.startIn(home, e, env...)
}

// startIn starts jobd on the books of home and waits until it answers.
func (b *bench) startIn(home string, e engine, env ...string) (*daemon, error) {
	d := &daemon{b: b, engine: e, home: home}
	var err error
	if d.metrics, err = freePort(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.file("jobd.toml"), []byte("[log]\nburst = 0\n"), 0o600); err != nil { // leftCgroups looks for every job
		return nil, err
	}
	if err := d.run(env...); err != nil {
		return nil, err
	}
	d.client = control.NewClient(d.file("run/jobd.sock"))
	return d, d.await()
}

// run executes jobd. What it logs goes behind what those before it have.
func (d *daemon) run(env ...string) error {
	log, err := os.OpenFile(d.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.CommandContext(d.b.ctx, d.b.file("jobd"), "--run-dir", d.file("run"), "--state-dir", d.file("state"), "--config", d.file("jobd.toml"),
		"--metrics-listen", d.metrics, "--engine", string(d.engine))
	d.cmd.Env, d.cmd.Stderr = append(os.Environ(), env...), log
	return d.b.launch(d.cmd, daemonGroup)
}

// await waits for the first answer. A jobd that gives none is ended.
func (d *daemon) await() error {
	var err error
	for range 100 {
		if _, err = d.client.Status(d.b.ctx); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("jobd does not answer: %w", errors.Join(err, d.stop()))
}

func (d *daemon) file(name string) string { return filepath.Join(d.home, name) }

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stop ends jobd, and takes away the cgroups that it made and had no time to remove, and what of it is in the kernel.
func (d *daemon) stop() error {
	if d.cmd.ProcessState != nil {
		return nil
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	err := d.cmd.Wait()
	log, errLog := os.ReadFile(d.file("log"))
	err = errors.Join(err, errLog)
	if err != nil {
		err = fmt.Errorf("jobd: %w: %s", err, lastWords(string(log)))
	}
	for _, place := range leftCgroups(string(log)) {
		err = errors.Join(err, group(filepath.Join(d.b.mount, place)).remove())
	}
	return errors.Join(err, d.unload(), os.RemoveAll(d.home))
}

// unload takes out of the kernel what outlives a jobd. A run that was told to end does that too, so it is bound to no context.
func (d *daemon) unload() error {
	if d.engine != bpf {
		return nil
	}
	if out, err := exec.Command(d.b.file("jobd"), "engine", "unload", "--run-dir", d.file("run")).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot unload the engine: %w: %s", err, out)
	}
	return nil
}

var (
	jobStart = regexp.MustCompile(`(?m)msg="job start" jid=(\S+) .* cgroup=(/jobd/\S+)`)
	jobEnd   = regexp.MustCompile(`(?m)msg="job end" jid=(\S+)`)
)

// leftCgroups finds in the log where jobd put the jobs that have not ended. Of one that has, the name may by now be that of
// another jobd's job.
func leftCgroups(log string) map[string]string {
	places := make(map[string]string)
	for _, m := range jobStart.FindAllStringSubmatch(log, -1) {
		places[m[1]] = m[2]
	}
	for _, m := range jobEnd.FindAllStringSubmatch(log, -1) {
		delete(places, m[1])
	}
	return places
}

// lost fails when jobd missed anything of what happened: then the figures are of something else.
func (d *daemon) lost() (control.StatusAnswer, error) {
	s, err := d.client.Status(d.b.ctx)
	if err == nil && s.EventsLost > 0 {
		err = fmt.Errorf("jobd lost %d events", s.EventsLost)
	}
	return s, err
}

// lastWords cuts from jobd's log what it died of: a panic's report, else the last line.
func lastWords(log string) string {
	at := strings.LastIndex(log, "\npanic: ")
	if at < 0 {
		at = strings.LastIndex(log, "\nfatal error: ")
	}
	if at < 0 {
		at = strings.LastIndex(strings.TrimSpace(log), "\n")
	}
	return log[max(at, 0):]
}
