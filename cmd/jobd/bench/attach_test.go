package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job/label"
)

// million is what the memory of so many members is computed for.
const million = 1_000_000

// labelled is where the kernel keeps the labels of this run's own processes.
type labelled struct {
	*label.Labels
	dir string
}

func (b *bench) follow() (l labelled, err error) {
	home, err := b.newHome()
	if err != nil {
		return l, err
	}
	l.dir = filepath.Join(home, "bpf")
	l.Labels, err = label.Follow(l.dir, 1)
	return l, err
}

func (l labelled) unload() error {
	l.Close()
	return label.Unload(l.dir)
}

// attach measures what it takes to give a process a label, and what a label takes.
func (b *bench) attach() (err error) {
	if why := noRoom(); why != "" {
		b.add(row{what: "labels", measured: "skipped: " + why})
		return nil
	}
	before, err := pinned()
	if err != nil {
		return err
	}
	l, err := b.follow()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.unload()) }()
	after, err := pinned()
	if err != nil {
		return err
	}
	b.add(row{what: "kernel's memory for the bpf engine without members", measured: fmt.Sprintf("%.1f MiB", (after-before)/(1<<20))})
	return b.labelCrowd(l)
}

// labelCrowd labels many processes that are there already: so what the kernel's memory grows by is for labels, not for processes.
func (b *bench) labelCrowd(l labelled) (err error) {
	p, err := b.start(plainGroup, "crowd", strconv.Itoa(members), "1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.kill()) }()
	pids := make([]int32, members)
	for i := range pids {
		said, err := p.line()
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(said, &pids[i]); err != nil {
			return fmt.Errorf("cannot read what the crowd said: %w", err)
		}
	}
	if err := p.expect("ready"); err != nil {
		return err
	}
	caches, err := slabs()
	if err != nil {
		return err
	}
	var took samples
	for _, pid := range pids {
		start := time.Now()
		if _, err := l.Set(pid, label.Label{In: 1}, func() bool { return true }); err != nil {
			return err
		}
		took = append(took, float64(time.Since(start))/float64(time.Microsecond))
	}
	grown, err := slabs()
	if err != nil {
		return err
	}
	b.reportLabels(took, (grown-caches)/members)
	return nil
}

// reportLabels says what a label takes. For a million it is computed, not tried.
func (b *bench) reportLabels(took samples, each float64) {
	b.add(row{what: "to give a process a label", measured: took.spread("%.0f", " µs") + fmt.Sprintf(", p99 %.0f", took.at(.99))})
	b.add(row{
		what: "kernel's memory for a label, of " + number(members), measured: fmt.Sprintf("%.0f bytes", each),
		beside: fmt.Sprintf("%s labels, computed: %.0f MiB", number(million), each*million/(1<<20)),
	})
}

// pinned adds up what the BPF maps that this process has open take, bytes (/proc/PID/fdinfo: memlock). A storage has only what is not
// with the tasks there.
func pinned() (sum float64, err error) {
	list, err := os.ReadDir("/proc/self/fdinfo")
	for _, e := range list {
		if v, err := field("/proc/self/fdinfo/"+e.Name(), "memlock:"); err == nil {
			sum += v / 1024 // in bytes, while field expects KiB
		}
	}
	return sum, err
}

// slabs adds up the objects that are in use in the kernel's caches of no kind, bytes (slabinfo(5)): storages are in one of those.
func slabs() (sum float64, err error) {
	b, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var name string
		var used, all, size float64
		if n, _ := fmt.Sscan(line, &name, &used, &all, &size); n == 4 && strings.HasPrefix(name, "kmalloc-") {
			sum += used * size
		}
	}
	return sum, nil
}
