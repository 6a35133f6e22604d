package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// moves is how many bare moves are measured beside lone sessions.
const moves = 30

// bareMoves gives how long it takes to make a cgroup and to move a process into it, with a pause before each, µs: what of
// a lone session is the kernel's.
func (b *bench) bareMoves() (took samples, err error) {
	p, err := b.start(rootGroup, "storm", "0", "0") // it waits for a line, and is given none
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.kill()) }()
	if err := p.expect("ready"); err != nil {
		return nil, err
	}
	for i := range moves {
		time.Sleep(pause * time.Millisecond)
		us, err := b.bareMove(p.pid(), fmt.Sprintf("move-%d", i))
		if err != nil {
			return nil, err
		}
		took = append(took, us)
	}
	return took, nil
}

// bareMove moves a process into a new cgroup, and in the end back and the cgroup away.
func (b *bench) bareMove(pid int, name string) (us float64, err error) {
	g := b.groups[plainGroup] + group("/"+name)
	number := []byte(strconv.Itoa(pid))
	start := time.Now()
	if err := os.Mkdir(string(g), 0o755); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, g.remove()) }()
	err = os.WriteFile(filepath.Join(string(g), "cgroup.procs"), number, 0)
	us = float64(time.Since(start)) / float64(time.Microsecond)
	return us, errors.Join(err, os.WriteFile(filepath.Join(b.mount, "cgroup.procs"), number, 0))
}
