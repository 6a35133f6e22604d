package kernel

import (
	"encoding/json"
	"fmt"
)

// bpfHandover is what the engine knows that the kernel does not: as of an event of the ring, from which the next one goes on.
type bpfHandover struct {
	Position uint64
	Lost     lostEvents
	Gen      uint32
	Live     []handedProc
	Waiting  []handedProc
}

// HandOver writes down all that the engine knows. Everything has to have been drained, and nothing may be drained afterwards.
func (c *BPF) HandOver() ([]byte, error) {
	h := c.state()
	h.Position = c.events.Position()
	return json.Marshal(h)
}

func (c *BPF) state() *bpfHandover {
	h := &bpfHandover{Lost: c.lostBy, Gen: c.lin.gen}
	for p := range c.lin.all() {
		if p.label != 0 { // nobody hears of others any more when the next engine begins
			h.Live = append(h.Live, p.handOver())
		}
	}
	for _, p := range c.waiting {
		h.Waiting = append(h.Waiting, p.handOver())
	}
	return h
}

// takeOver goes on where another engine stopped, or fails and leaves this one as it was.
func (c *BPF) takeOver(state []byte) error {
	var h bpfHandover
	if err := json.Unmarshal(state, &h); err != nil {
		return fmt.Errorf("%w: %w", ErrHandover, err)
	}
	if !c.events.Found() || h.Position != c.events.Position() {
		return fmt.Errorf("%w: others have read since what the kernel told", ErrHandover)
	}
	return c.fill(&h)
}

// fill makes the table of what was handed over, and checks what the engine relies on.
func (c *BPF) fill(h *bpfHandover) error {
	// No process is there twice, among those that have exited neither.
	if _, err := (&handover{Gen: h.Gen, Live: h.Live, Ghosts: h.Waiting}).lineage(); err != nil {
		return err
	}
	lin, err := (&handover{Gen: h.Gen, Live: h.Live}).lineage()
	if err != nil {
		return err
	}
	waiting := make(map[known]*proc, len(h.Waiting))
	for _, one := range h.Waiting {
		p := one.takeOver()
		waiting[known{p.id.PID, p.start}] = p
	}
	if len(waiting) != len(h.Waiting) {
		return fmt.Errorf("%w: a process is there twice", ErrHandover)
	}
	c.lin, c.waiting, c.lostBy = lin, waiting, h.Lost
	for p := range lin.all() {
		if p.adrift {
			c.adrift = append(c.adrift, p.id)
		}
	}
	return nil
}

// Sockets gives none: the kernel keeps what it told.
func (c *BPF) Sockets() Sockets { return Sockets{Events: -1, Stats: -1} }

// Keep does nothing: the kernel keeps what it told.
func (c *BPF) Keep() {}
