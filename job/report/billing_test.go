package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

func priced(t testing.TB, b Billing) *Pricer {
	t.Helper()
	p, err := b.Compile(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		t.Fatal("nothing is billed")
	}
	return p
}

// goldenWeights are all different, so that none can be taken for another.
var goldenWeights = Billing{
	PrimeHours: "07:30-17:30",
	Prime: Weights{
		Basic: 2, Time: 3, STime: 5, UTime: 7, Memory: 11, XMem: 13, VMem: 17, IO: 19, CIO: 23, LIO: 29,
		Delay: 31, CPUDelay: 37, BlockDelay: 41, SwapDelay: 43,
	},
	NonPrime: Weights{
		Basic: 0.5, Time: 1, STime: 1, UTime: 2, Memory: 1, XMem: 3, VMem: 4, IO: 1, CIO: 5, LIO: 6,
		Delay: 1, CPUDelay: 7, BlockDelay: 8, SwapDelay: 9,
	},
}

// goldenUsage is 2 s of system and 6 s of user CPU, 3 MiB-minutes of core and 5 of virtual memory, 4 MiB in 10 calls, and
// 1 s, 2 s and 3 s of waiting.
var goldenUsage = watch.Usage{
	Groups: allGroups, CPU: 8e9, System: 2e9, User: 6e9, CoreMem: 3 * 60e6, VirtMem: 5 * 60e6,
	ReadChars: 1 << 20, WriteChars: 3 << 20, ReadCalls: 4, WriteCalls: 6, CPUDelay: 1e9, BlkDelay: 2e9, SwapDelay: 3e9,
}

// The formula by hand. S is what stands in the brackets of each group, times the group's factor.
//
//	prime     time    3·(5·2 + 7·6)           = 3·52   =   156
//	          memory 11·(13·3 + 17·5)         = 11·124 =  1364
//	          io     19·(23·4 + 29·10)        = 19·382 =  7258
//	          delay  31·(37·1 + 41·2 + 43·3)  = 31·248 =  7688
//	          S = 16466, with basic 2: 32932
//	nonprime  time    1·2 + 2·6        = 14
//	          memory  3·3 + 4·5        = 29
//	          io      5·4 + 6·10       = 80
//	          delay   7·1 + 8·2 + 9·3  = 50
//	          S = 173, with basic 0.5: 86.5
const goldenPrime, goldenNonPrime = 32932.0, 86.5

func TestFormula(t *testing.T) {
	wed := func(h, m int) time.Time { return time.Date(2026, 3, 4, h, m, 0, 0, time.UTC) } // a Wednesday
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     float64
	}{
		{"all in prime time", wed(9, 0), wed(10, 0), goldenPrime},
		{"none of it", wed(18, 0), wed(19, 0), goldenNonPrime},
		{"three quarters", wed(7, 0), wed(9, 0), 0.75*goldenPrime + 0.25*goldenNonPrime},
		{"an instant is a second: in prime time", wed(7, 30), wed(7, 30), goldenPrime},
		{"an instant is a second: half of it", wed(17, 30).Add(-time.Second / 2), wed(17, 30).Add(-time.Second / 2), 0.5*goldenPrime + 0.5*goldenNonPrime},
		{"over a weekend", wed(17, 30).AddDate(0, 0, 2), wed(7, 30).AddDate(0, 0, 5), goldenNonPrime},
		{"five days of prime time in a week", wed(0, 0), wed(0, 0).AddDate(0, 0, 7), 50.0/168*goldenPrime + 118.0/168*goldenNonPrime},
	} {
		r := &job.Record{Start: c.from.UnixNano(), End: c.to.UnixNano(), Used: true, Usage: goldenUsage}
		if got := priced(t, goldenWeights).Units(r, nil); !near(got, c.want) {
			t.Errorf("%s: %v units, want %v", c.name, got, c.want)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }

// flat bills one thing at all times.
func flat(w Weights) Billing {
	w.Basic = 1
	return Billing{NonPrime: w}
}

func TestWhatIsNotKnownIsNotBilled(t *testing.T) {
	all := Billing{NonPrime: goldenWeights.NonPrime}
	for _, c := range []struct {
		without watch.Group
		want    float64
	}{
		{0, 86.5},
		{watch.GroupMemory, 86.5 - 0.5*29},
		{watch.GroupIO, 86.5 - 0.5*80},
		{watch.GroupDelay, 86.5 - 0.5*50},
		{watch.GroupBasic, 86.5 - 0.5*14 + 0.5*8}, // 8 s of CPU that nobody can divide: system time
		{watch.GroupCPU, 86.5},                    // then the ticks are what there is
	} {
		r := &job.Record{Start: 1, End: 2, Used: true, Usage: goldenUsage}
		r.Usage.Groups &^= c.without
		if got := priced(t, all).Units(r, nil); !near(got, c.want) {
			t.Errorf("without %b: %v units, want %v", c.without, got, c.want)
		}
	}
	if got := priced(t, all).Units(&job.Record{Start: 1, End: 2, Usage: goldenUsage}, nil); got != 0 {
		t.Errorf("a process of which nothing is known costs %v", got)
	}
}

// TestCPUIsBilledAsCharged: ticks are coarse. A process that the scheduler charged 3 s, of which 1 of 4 ticks was in the
// system: 0.75·1 + 2.25·10 = 23.25.
func TestCPUIsBilledAsCharged(t *testing.T) {
	p := priced(t, flat(Weights{Time: 1, STime: 1, UTime: 10}))
	r := &job.Record{Start: 1, End: 2, Used: true, Usage: watch.Usage{Groups: allGroups, CPU: 3e9, System: 4e6, User: 12e6}}
	if got := p.Units(r, nil); !near(got, 23.25) {
		t.Errorf("%v units, want 23.25", got)
	}
	r.Usage = watch.Usage{Groups: allGroups, CPU: 1e6}
	if got := p.Units(r, nil); !near(got, 0.001) {
		t.Errorf("no tick: %v units, want 0.001", got)
	}
}

// TestIncrementsAreBilledInTheirOwnTime: a process of three days, Tuesday noon to Friday noon, used 1 s on the first, 2 s on
// the second, 4 s on the third and 8 s on the last day. Prime time costs 1 a second, 07:30 to 17:30.
func TestIncrementsAreBilledInTheirOwnTime(t *testing.T) {
	p := priced(t, Billing{PrimeHours: "07:30-17:30", Prime: Weights{Basic: 1, Time: 1, STime: 1}})
	day := func(d, h int) time.Time { return time.Date(2026, 3, d, h, 0, 0, 0, time.UTC) }
	start, earlier := day(3, 12), watch.Usage{Groups: allGroups}
	from := start
	for _, c := range []struct {
		end  time.Time
		cpu  int64
		want float64
	}{
		{day(4, 0), 1e9, 1 * 5.5 / 12}, // 12:00 to 17:30 of 12 hours
		{day(5, 0), 2e9, 2 * 10. / 24},
		{day(6, 0), 4e9, 4 * 10. / 24},
		{day(6, 12), 8e9, 8 * 4.5 / 12}, // 7:30 to 12:00 of 12 hours
	} {
		r := &job.Record{Start: start.UnixNano(), End: c.end.UnixNano(), Used: true, Partial: c.end.Hour() == 0}
		r.Usage = watch.Usage{Groups: allGroups, CPU: c.cpu, Elapsed: int64(c.end.Sub(from))}
		if from = c.end; !r.Partial {
			sofar := earlier
			r.Earlier = &sofar
			r.Usage.CPU += earlier.CPU
		}
		if got := p.Units(r, nil); !near(got, c.want) {
			t.Errorf("up to %s: %v units, want %v", c.end, got, c.want)
		}
		earlier.CPU += c.cpu
		earlier.Elapsed += r.Usage.Elapsed
	}
}

// TestUnattributedIsSystemTime: 10 s at 3 a second of system time; half of the time since midnight was prime time.
func TestUnattributedIsSystemTime(t *testing.T) {
	p := priced(t, Billing{PrimeHours: "06:00-18:00", Prime: Weights{Basic: 1, Time: 1, STime: 3, UTime: 100}})
	at := noon.UnixNano() // Wednesday
	for _, c := range []struct {
		in   *job.Info
		want float64
	}{
		{nil, 15}, {&job.Info{Started: noon.AddDate(0, 0, -3)}, 15}, {&job.Info{Started: noon.Add(-3 * time.Hour)}, 30},
		{&job.Info{Started: noon.Add(-8 * time.Hour)}, 22.5}, {&job.Info{Started: noon}, 30},
	} {
		if got := p.unattributed(10e9, at, c.in); !near(got, c.want) {
			t.Errorf("%+v: %v units, want %v", c.in, got, c.want)
		}
	}
	if got := p.unattributed(10e9, noon.Add(12*time.Hour).UnixNano(), nil); !near(got, 15) { // a checkpoint
		t.Errorf("at midnight: %v units, want 15", got)
	}
}

func TestFactors(t *testing.T) {
	b := flat(Weights{Time: 1, STime: 1})
	b.Factors = []Factor{{"queue=night", 0.5}, {"queue=test", 0}, {"gpu", 4}}
	r := &job.Record{Start: 1, End: 2, Used: true, Usage: watch.Usage{Groups: allGroups, CPU: 1e9}}
	for _, c := range []struct {
		tags map[string]string
		want float64
	}{
		{nil, 1}, {map[string]string{"queue": "day"}, 1}, {map[string]string{"queue": "night"}, 0.5}, {map[string]string{"queue": "test"}, 0},
		{map[string]string{"queue": "night", "gpu": "2"}, 2},
	} {
		if got := priced(t, b).Units(r, &job.Info{Tags: c.tags}); got != c.want {
			t.Errorf("%v: %v units, want %v", c.tags, got, c.want)
		}
	}
}

func TestBillingIsOffByDefault(t *testing.T) {
	for _, b := range []Billing{{}, {PrimeHours: "07:30-17:30", Holidays: []string{"12-25"}}, {Factors: []Factor{{"a", 2}}}, flat(Weights{Time: 1})} {
		if p, err := b.Compile(nil); p != nil || err != nil {
			t.Errorf("%+v: %v, %v", b, p, err)
		}
	}
}

func TestBillingCheck(t *testing.T) {
	w := Weights{Basic: 1, Time: 1, UTime: 1}
	for _, c := range []struct {
		b    Billing
		says string
	}{
		{Billing{Prime: Weights{Basic: -1}}, "billing.prime.basic is -1"},
		{Billing{NonPrime: Weights{Basic: 1, Delay: 1, SwapDelay: math.NaN()}}, "billing.nonprime.swap_delay is NaN"},
		{Billing{NonPrime: Weights{Basic: math.Inf(1)}}, "billing.nonprime.basic is +Inf"},
		{Billing{NonPrime: Weights{Basic: 1, IO: 2e12}}, "billing.nonprime.io is 2e+12: a number from 0 to 1e+12"},
		{Billing{NonPrime: Weights{Basic: 1, UTime: 1}}, "billing.nonprime.utime would count for nothing, because its factor billing.nonprime.time is 0"},
		{Billing{NonPrime: Weights{Time: 1, STime: 1}}, "billing.nonprime.stime would count for nothing, because its factor billing.nonprime.basic is 0"},
		{Billing{Prime: w}, "set billing.prime_hours"},
		{Billing{PrimeHours: "8-17", NonPrime: w}, `billing.prime_hours is "8-17"`},
		{Billing{PrimeHours: "08:00"}, "billing.prime_hours"},
		{Billing{PrimeHours: "08:00-08:00"}, "billing.prime_hours"},
		{Billing{PrimeHours: "08:00-25:00"}, "billing.prime_hours"},
		{Billing{PrimeHours: "24:00-08:00"}, "billing.prime_hours"},
		{Billing{PrimeDays: "Mon-Sonntag"}, `billing.prime_days is "Mon-Sonntag"`},
		{Billing{PrimeDays: "Mon,"}, "billing.prime_days"},
		{Billing{Holidays: []string{"2026-12-25", "25.12."}}, `billing.holidays has "25.12."`},
		{Billing{Holidays: []string{"02-30"}}, "billing.holidays"},
		{Billing{Factors: []Factor{{"", 1}}}, "billing.factor 1 () has a bad tag: "},
		{Billing{Factors: []Factor{{"a", 1}, {"b=c", -1}}}, "billing.factor 2 (b=c) is -1"},
		{Billing{Factors: []Factor{{"a", 1}, {"a", 2}}}, "billing.factor 2 (a) is there twice"},
	} {
		if err := c.b.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.b, err)
		}
	}
	if err := goldenWeights.Check(); err != nil {
		t.Error(err)
	}
}
