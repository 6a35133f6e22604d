package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// past is what the boots before said, each job with the boot that it was of.
type past struct {
	boots []job.Text
	given map[uint32]job.Text
	open  map[uint32]job.Text // on disk as open
	ended map[uint32]int      // on disk as ended: with how many processes
	twice []uint32            // sequence numbers that were given twice
}

func readPast(path string) *past {
	p := &past{given: make(map[uint32]job.Text), open: make(map[uint32]job.Text), ended: make(map[uint32]int)}
	f, err := os.Open(path)
	if err != nil {
		return p // the first boot
	}
	defer f.Close()
	boot := job.Text("")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var seq uint32
		var total int
		text := strings.TrimPrefix(lines.Text(), "= ")
		_, _ = fmt.Sscanf(text[strings.Index(text, " ")+1:], "%d %d", &seq, &total)
		switch word, rest, _ := strings.Cut(text, " "); word {
		case "boot":
			boot = job.Text(rest)
			p.boots = append(p.boots, boot)
		case "given":
			if _, again := p.given[seq]; again {
				p.twice = append(p.twice, seq)
			}
			p.given[seq] = boot
		case "open":
			p.open[seq] = boot
		case "ended":
			p.ended[seq] = total
		}
	}
	return p
}

// compare looks for all that the past knows in the books.
func (b *bare) compare(p *past) {
	open, err := b.client.List(b.soon(), control.Request{})
	b.say(err == nil && len(open) == 0, "no job of another boot is open", fmt.Sprint(open, err))
	jobs, err := b.client.History(b.soon(), control.Request{})
	if err != nil {
		b.say(false, "the books can be read", err)
		return
	}
	records := b.records()
	b.say(len(p.twice) == 0, "no sequence number was given twice", p.twice)
	b.say(true, fmt.Sprintf("of %d jobs of %d boots %d were known to be on disk ended, %d open", len(p.given), len(p.boots), len(p.ended), len(p.open)), nil)
	byReason := make(map[job.Text]int)
	seen := make(map[uint32]job.Info)
	var wrong []string
	for _, in := range jobs {
		byReason[in.EndReason]++
		if _, again := seen[in.Seq]; again {
			wrong = append(wrong, fmt.Sprintf("job %d is there twice", in.Seq))
		}
		seen[in.Seq] = in
		wrong = append(wrong, p.wrong(in, records[in.Seq])...)
	}
	b.say(len(wrong) == 0, fmt.Sprintf("%d jobs in the books are as they were: ended by %v", len(jobs), byReason), strings.Join(wrong, "; "))
	var missing []uint32
	for seq := range p.open {
		if _, ok := seen[seq]; !ok {
			missing = append(missing, seq)
		}
	}
	for seq := range p.ended {
		if _, ok := seen[seq]; !ok {
			missing = append(missing, seq)
		}
	}
	b.say(len(missing) == 0, "no job is missing", missing)
	b.marks(p)
}

// wrong says what is wrong with a job, of which there are so many records.
func (p *past) wrong(in job.Info, records int) (out []string) {
	bad := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("job %d ", in.Seq)+fmt.Sprintf(format, args...))
	}
	if in.Ended == nil || in.Ended.Before(in.Started) {
		bad("was there from %v to %v", in.Started, in.Ended)
	}
	boot, known := p.given[in.Seq]
	if known && in.BootID != boot {
		bad("is of boot %s, not %s", in.BootID, boot)
	}
	if total, ended := p.ended[in.Seq]; ended && (in.EndReason != job.EndExit || in.TotalProcesses != total || records != total) {
		bad("ended by %s with %d processes and %d records, not %d", in.EndReason, in.TotalProcesses, records, total)
	}
	switch in.EndReason {
	case job.EndExit:
		if records != in.TotalProcesses {
			bad("has %d records of %d processes", records, in.TotalProcesses)
		}
	case job.EndBoot:
		if records > in.TotalProcesses {
			bad("has %d records of %d processes", records, in.TotalProcesses)
		}
	default:
		bad("ended by %s", in.EndReason)
	}
	return out
}

// records counts the process records of each job, and looks at each.
func (b *bare) records() map[uint32]int {
	out := make(map[uint32]int)
	bad := 0
	err := b.client.EachProc(b.soon(), control.Request{}, func(r job.Process) error {
		out[r.Seq]++
		if r.Started == nil || r.Ended == nil || r.Ended.Before(*r.Started) || r.Elapsed == nil || *r.Elapsed < 0 {
			bad++
		}
		return nil
	})
	b.say(err == nil && bad == 0, "every process record has a start, an end, and no negative time between them", fmt.Sprint(bad, err))
	return out
}

// marks: the books say when the power was cut.
func (b *bare) marks(p *past) {
	moments, err := b.client.Moments(b.soon(), control.Request{})
	kinds := make(map[job.MomentKind]int)
	for _, m := range moments {
		kinds[m.Kind]++
		if m.Since != nil && m.Since.After(m.Time) {
			b.say(false, "a mark of time has its beginning before its end", m)
		}
	}
	n := len(p.boots)
	ok := err == nil && kinds[job.MomentBoot] == n && kinds[job.MomentGap] >= n && kinds[job.MomentStop] == 0
	b.say(ok, fmt.Sprintf("the books have %d boots after the first, a gap before each", n), fmt.Sprint(kinds, err))
}
