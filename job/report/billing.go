package report

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Billing is what use costs, in units that are the site's to choose: CSA's formula of the system billing unit (SBU). Of
// each process, with p for the part of its time that was prime time,
//
//	units = p · prime.basic · S(prime) + (1 − p) · nonprime.basic · S(nonprime)
//
//	S = time   · (stime · seconds of system CPU + utime · seconds of user CPU)
//	  + memory · (xmem · MiB-minutes of core memory + vmem · MiB-minutes of virtual memory)
//	  + io     · (cio · MiB through read and write + lio · such calls)
//	  + delay  · (cpu_delay · s + block_delay · s + swap_delay · s)
//
// times the factors of the tags that its job has. Everything is 0 until it is set, and then nothing is billed. What is not
// known of a process is not billed.
//
// CPU is what the scheduler charged, where that is known; the clock ticks in which user and system time are counted only
// say how it divides, and where none was counted it is system time. So is what is on no process's record: what is billed is
// the CPU of the report, no more.
type Billing struct {
	PrimeHours string   `toml:"prime_hours"` // 07:30-17:30; into the next day where it ends before it begins; empty: there is no prime time
	PrimeDays  string   `toml:"prime_days"`  // Mon-Fri, or Mon-Thu,Sat; empty: Mon-Fri
	Holidays   []string `toml:"holidays"`    // 2026-04-03, or each year 12-25: without prime time

	Prime    Weights  `toml:"prime"`
	NonPrime Weights  `toml:"nonprime"`
	Factors  []Factor `toml:"factor"`
}

// Weights are what one unit of each costs. A group counts for nothing while its factor is 0, and all of them while Basic is.
type Weights struct {
	Basic float64 `toml:"basic"` // factor of all of them

	Time  float64 `toml:"time"`  // factor of the next two
	STime float64 `toml:"stime"` // second of system CPU
	UTime float64 `toml:"utime"` // second of user CPU

	Memory float64 `toml:"memory"` // factor of the next two
	XMem   float64 `toml:"xmem"`   // MiB-minute of core memory, over the CPU time
	VMem   float64 `toml:"vmem"`   // MiB-minute of virtual memory, over the CPU time

	IO  float64 `toml:"io"`  // factor of the next two
	CIO float64 `toml:"cio"` // MiB through read(2), write(2) and their like; CSA takes a weight of a byte
	LIO float64 `toml:"lio"` // such call

	Delay      float64 `toml:"delay"`       // factor of the next three
	CPUDelay   float64 `toml:"cpu_delay"`   // second of waiting for a CPU
	BlockDelay float64 `toml:"block_delay"` // second of waiting for block I/O
	SwapDelay  float64 `toml:"swap_delay"`  // second of waiting for memory to be swapped in
}

// Factor is what the units of a job with a tag are multiplied with: 0 makes them free.
type Factor struct {
	Tag    string  `toml:"tag"` // key=value, or key
	Factor float64 `toml:"factor"`
}

// Check says which keys are wrong: a BadKey for each.
func (b *Billing) Check() error {
	_, err := b.Compile(time.UTC)
	return err
}

// Compile makes a Pricer, with loc for hours and days (nil: UTC). It is nil when no weight is set: nothing is billed then.
func (b *Billing) Compile(loc *time.Location) (*Pricer, error) {
	p := &Pricer{prime: b.Prime.flat(), nonprime: b.NonPrime.flat()}
	errs := []error{b.Prime.check("billing.prime"), b.NonPrime.check("billing.nonprime")}
	if b.PrimeHours == "" && p.prime != (rates{}) {
		errs = append(errs, badKey("billing.prime", "billing.prime would count for nothing: set billing.prime_hours, such as to 07:30-17:30"))
	}
	var err error
	p.calendar, err = newCalendar(b, loc)
	errs = append(errs, err)
	p.factors, err = compileFactors(b.Factors)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	if p.prime == (rates{}) && p.nonprime == (rates{}) {
		return nil, nil
	}
	return p, nil
}

// group is a factor and what it is the factor of.
type group struct {
	name    string
	factor  float64
	names   []string
	weights []float64
}

func (w *Weights) groups() []group {
	return []group{
		{"time", w.Time, []string{"stime", "utime"}, []float64{w.STime, w.UTime}},
		{"memory", w.Memory, []string{"xmem", "vmem"}, []float64{w.XMem, w.VMem}},
		{"io", w.IO, []string{"cio", "lio"}, []float64{w.CIO, w.LIO}},
		{"delay", w.Delay, []string{"cpu_delay", "block_delay", "swap_delay"}, []float64{w.CPUDelay, w.BlockDelay, w.SwapDelay}},
	}
}

// check also finds weights that would count for nothing because a factor of theirs was left at 0.
func (w *Weights) check(table string) error {
	errs := []error{checkWeight(table+".basic", w.Basic)}
	for _, g := range w.groups() {
		errs = append(errs, checkWeight(table+"."+g.name, g.factor))
		for i, v := range g.weights {
			key := table + "." + g.names[i]
			err := checkWeight(key, v)
			switch {
			case err != nil:
			case v > 0 && g.factor == 0:
				err = idle(key, table+"."+g.name)
			case v > 0 && w.Basic == 0:
				err = idle(key, table+".basic")
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func idle(key, factor string) error {
	return badKey(key, "%s would count for nothing, because its factor %s is 0: set that, such as to 1, or leave both out", key, factor)
}

// largestWeight keeps sums finite.
const largestWeight = 1e12

func checkWeight(key string, v float64) error {
	if !(v >= 0 && v <= largestWeight) { // NaN is neither
		return badKey(key, "%s is %v: a number from 0 to %g", key, v, largestWeight)
	}
	return nil
}

// rates are weights with their factors multiplied in, for what the kernel counts in.
type rates struct {
	system, user       float64 // ns
	core, virtual      float64 // MiB·µs
	chars, calls       float64
	cpu, block, swapin float64 // ns
}

func (w *Weights) flat() rates {
	const second, minute, mib = 1e9, 60e6, 1 << 20
	time, memory, io, delay := w.Basic*w.Time, w.Basic*w.Memory, w.Basic*w.IO, w.Basic*w.Delay
	return rates{
		system: time * w.STime / second, user: time * w.UTime / second,
		core: memory * w.XMem / minute, virtual: memory * w.VMem / minute,
		chars: io * w.CIO / mib, calls: io * w.LIO,
		cpu: delay * w.CPUDelay / second, block: delay * w.BlockDelay / second, swapin: delay * w.SwapDelay / second,
	}
}

// of is what use costs. Groups that are not known are 0 in u.
func (r *rates) of(u *watch.Usage) float64 {
	user, system := split(u)
	return r.system*system + r.user*user +
		r.core*float64(u.CoreMem) + r.virtual*float64(u.VirtMem) +
		r.chars*float64(u.ReadChars+u.WriteChars) + r.calls*float64(u.ReadCalls+u.WriteCalls) +
		r.cpu*float64(u.CPUDelay) + r.block*float64(u.BlkDelay) + r.swapin*float64(u.SwapDelay)
}

// split divides the CPU time into user and system time, ns.
func split(u *watch.Usage) (user, system float64) {
	user, system = float64(u.User), float64(u.System)
	switch ticks := user + system; {
	case !u.Groups.Has(watch.GroupCPU):
		return user, system
	case ticks == 0:
		return 0, float64(u.CPU)
	default:
		scale := float64(u.CPU) / ticks
		return user * scale, system * scale
	}
}

// Pricer is a Billing made ready. It remembers which time it is in, so it is for one goroutine.
type Pricer struct {
	prime, nonprime rates
	calendar        *calendar
	factors         []factor
}

// Units is what a record costs. in is its job; nil: not known, and no factor counts. Of a process with partial records each
// record costs what was used in its own time.
func (p *Pricer) Units(r *job.Record, in *job.Info) float64 {
	if !r.Used {
		return 0
	}
	use := r.Net()
	from, to := span(r, &use)
	return p.price(&use.Usage, from, to, in)
}

// unattributed is what CPU costs that is on no record, when it was written down: as system time, spread over the day up to
// then, or over the time since the job began where that is less.
func (p *Pricer) unattributed(ns, at int64, in *job.Info) float64 {
	from := p.calendar.dayBefore(at)
	if in != nil {
		from = max(from, nanos(in.Started))
	}
	return p.price(&watch.Usage{Groups: watch.GroupCPU, CPU: ns}, from, at, in)
}

// leastSpan is what a process's time is taken for at least, as in CSA.
const leastSpan = int64(time.Second)

func (p *Pricer) price(u *watch.Usage, from, to int64, in *job.Info) float64 {
	share := p.calendar.share(from, max(to, from+leastSpan))
	units := 0.0
	if share > 0 {
		units += share * p.prime.of(u)
	}
	if share < 1 {
		units += (1 - share) * p.nonprime.of(u)
	}
	if in != nil {
		for i := range p.factors {
			if p.factors[i].tag.match(in.Tags) {
				units *= p.factors[i].factor
			}
		}
	}
	return math.Max(units, 0)
}

// delays reports whether waiting costs anything.
func (p *Pricer) delays() bool {
	return p.prime.cpu+p.prime.block+p.prime.swapin+p.nonprime.cpu+p.nonprime.block+p.nonprime.swapin > 0
}

// factor is a Factor made ready.
type factor struct {
	tag    tagged
	factor float64
}

func compileFactors(list []Factor) (out []factor, err error) {
	var errs []error
	for i, f := range list {
		tag, err := compileFactor(f, list[:i])
		if err != nil {
			key := fmt.Sprintf("billing.factor %d (%s)", i+1, f.Tag)
			errs = append(errs, &BadKey{Key: "billing.factor", At: i + 1, Text: key + " " + err.Error()})
			continue
		}
		out = append(out, factor{tag: tag, factor: f.Factor})
	}
	return out, errors.Join(errs...)
}

// compileFactor also finds those that are there already.
func compileFactor(f Factor, before []Factor) (tagged, error) {
	tags, err := parseTags([]string{f.Tag})
	if err != nil {
		return tagged{}, fmt.Errorf("has a bad tag: %w", err)
	}
	if err := checkWeight("billing.factor.factor", f.Factor); err != nil {
		return tagged{}, fmt.Errorf("is %v: a number from 0 to %g", f.Factor, largestWeight)
	}
	for _, o := range before {
		if strings.TrimSpace(o.Tag) == strings.TrimSpace(f.Tag) {
			return tagged{}, errors.New("is there twice")
		}
	}
	return tags[0], nil
}
