package kernel

import "fmt"

// Suspects compares the table with /proc and with every process's witnesses, and gives the pids where they differ. A
// process may come or go during the comparison: Differs says, after a Drain, which of them still do.
func (c *Connector) Suspects() ([]int32, error) {
	list, err := c.scan()
	if err != nil {
		return nil, err
	}
	var out []int32
	there := make(map[int32]bool, len(list))
	for _, s := range list {
		there[s.PID] = true
		if c.Differs(s.PID) != "" {
			out = append(out, s.PID)
		}
	}
	for pid := range c.lin.live {
		if !there[pid] {
			out = append(out, pid)
		}
	}
	return out, nil
}

// Differs says in what the table and the kernel disagree about one process; empty: in nothing.
func (c *Connector) Differs(pid int32) string {
	p := c.lin.live[pid]
	st, err := c.FS.Stat(pid)
	alive := err == nil && !st.Dead()
	switch {
	case p == nil && !alive:
		return ""
	case p == nil:
		return fmt.Sprintf("process %d (%s) is alive and not on the books", pid, st.Comm)
	case !alive:
		return fmt.Sprintf("process %d is on the books and not alive", pid)
	case !sameStart(p.start, st.Start):
		return fmt.Sprintf("process %d is on the books with another start", pid)
	}
	heard, ok := hear(c.FS, c.Cgroups, pid, startedAt(st.Start))
	if label := c.bench.judge(heard); ok && label != 0 && label != p.label && !p.out {
		return fmt.Sprintf("process %d (%s) has a witness for job %d and is in %d", pid, st.Comm, uint32(label), uint32(p.label))
	}
	return ""
}
