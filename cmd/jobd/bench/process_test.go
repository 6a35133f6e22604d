package bench

import "fmt"

// storms are the figures of one kind of storm, a run each: CPU µs, per process where a reader's.
type storms struct {
	own                 samples // charged to the storm
	total, user, system samples // to the reader, per process
	foreign             samples
	missed, lost        uint64
}

func (s *storms) add(c charge) {
	s.own = append(s.own, c.storm)
	s.total = append(s.total, c.reader.total/storm)
	s.user = append(s.user, c.reader.user/storm)
	s.system = append(s.system, c.reader.system/storm)
	s.foreign = append(s.foreign, c.foreign)
	s.missed += c.missed
	s.lost += c.lost
}

// process measures what a short process costs jobd, and what jobd costs it.
func (b *bench) process() error {
	var alone, bare, jobd, one storms
	legs := []struct {
		to  *storms
		run func() (charge, error)
	}{
		{&alone, b.alone}, {&bare, b.beside}, {&jobd, func() (charge, error) { return b.inJob() }},
	}
	for round := range *rounds {
		for i := range legs { // each kind comes first, second and last equally often
			leg := legs[(round+i)%len(legs)]
			c, err := leg.run()
			if err != nil {
				return err
			}
			leg.to.add(c)
		}
	}
	for range (*rounds + 2) / 4 {
		c, err := b.inJob("GOMAXPROCS=1")
		if err != nil {
			return err
		}
		one.add(c)
	}
	b.reportReader(&bare, &jobd, &one)
	b.reportStorm(&alone, &bare, &jobd)
	if jobd.lost+one.lost > 0 {
		return fmt.Errorf("jobd lost %d events", jobd.lost+one.lost)
	}
	return nil
}

const perProcess = "%.2f"

func (b *bench) reportReader(bare, jobd, one *storms) {
	r := each(jobd.total, bare.total, ratio)
	b.add(row{
		"CPU per short member process", jobd.total.spread(perProcess, " µs"), "bare C reader " + bare.total.spread(perProcess, " µs"),
		r.spread("%.2f", ""), "≤ 2", met(r.median() <= 2),
	})
	b.add(row{
		what: "  of it in user space", measured: jobd.user.spread(perProcess, " µs"), beside: bare.user.spread(perProcess, " µs"),
	})
	b.add(row{
		what: "  of it in the kernel", measured: jobd.system.spread(perProcess, " µs"), beside: bare.system.spread(perProcess, " µs"),
		ratio: each(jobd.system, bare.system, ratio).spread("%.2f", ""),
	})
	b.add(row{what: "  with GOMAXPROCS=1", measured: one.total.spread(perProcess, " µs")})
	b.add(row{
		what: "  processes of others meanwhile", beside: bare.foreign.spread("%.1f", " %"),
	})
}

func (b *bench) reportStorm(alone, bare, jobd *storms) {
	seconds := func(s samples) string {
		return each(s, s, func(v, _ float64) float64 { return v / 1e6 }).spread("%.3f", " s")
	}
	more := each(jobd.own, alone.own, percent)
	b.add(row{
		fmt.Sprintf("CPU charged to a storm of %d × %d forks in a job", forkers, children), seconds(jobd.own),
		"no daemon " + seconds(alone.own), more.spread("%+.1f", " %"), "≤ +5 %", met(more.median() <= 5),
	})
	b.add(row{
		what: "  with the bare C reader", measured: seconds(bare.own), beside: "no daemon " + seconds(alone.own),
		ratio: each(bare.own, alone.own, percent).spread("%+.1f", " %"),
	})
	b.add(row{
		what: fmt.Sprintf("  events lost in %d storms", len(jobd.own)), measured: fmt.Sprint(jobd.lost), target: "0", ok: met(jobd.lost == 0),
	})
	b.add(row{what: "  exit records missed", measured: fmt.Sprint(jobd.missed), target: "0", ok: met(jobd.missed == 0)})
}
