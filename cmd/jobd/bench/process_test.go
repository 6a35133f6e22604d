package bench

import "fmt"

// storms are the figures of storms of one kind, a run each: CPU µs, per process where a reader's.
type storms struct {
	kind                kind
	own                 samples // charged to the storm
	total, user, system samples // to the reader, per process
	foreign             samples
	missed, lost        uint64
}

func (s *storms) add(c charge) {
	n := float64(s.kind.size())
	s.own = append(s.own, c.storm)
	s.total = append(s.total, c.reader.total/n)
	s.user = append(s.user, c.reader.user/n)
	s.system = append(s.system, c.reader.system/n)
	s.foreign = append(s.foreign, c.foreign)
	s.missed += c.missed
	s.lost += c.lost
}

// leg is one of the things that are compared.
type leg struct {
	to  *storms
	run func(kind) (charge, error)
}

// compare runs storms of a kind, one of each leg in a round. Each leg comes at each place of a round equally often.
func compare(k kind, legs ...leg) error {
	for _, l := range legs {
		l.to.kind = k
	}
	for round := range *rounds {
		for i := range legs {
			l := legs[(round+i)%len(legs)]
			c, err := l.run(k)
			if err != nil {
				return err
			}
			l.to.add(c)
		}
	}
	return nil
}

// process measures what a short process costs jobd, and what jobd costs it.
func (b *bench) process() error {
	in := func(e engine, env ...string) func(kind) (charge, error) {
		return func(k kind) (charge, error) { return b.inJob(k, e, env...) }
	}
	var alone, bare, jobd, told storms
	if err := compare(forks, leg{&alone, b.alone}, leg{&bare, b.beside}, leg{&jobd, in(connector)}, leg{&told, in(bpf)}); err != nil {
		return err
	}
	one := storms{kind: forks}
	for range (*rounds + 2) / 4 {
		c, err := b.inJob(forks, connector, "GOMAXPROCS=1")
		if err != nil {
			return err
		}
		one.add(c)
	}
	b.reportReader(&bare, &jobd, &one)
	b.reportEngines(&jobd, &told)
	b.reportStorm(&alone, &jobd, &told)
	b.reportBare(&alone, &bare)
	if err := b.reportLost(&jobd, &one, &told); err != nil {
		return err
	}
	alone, jobd, told = storms{}, storms{}, storms{}
	if err := compare(execs, leg{&alone, b.alone}, leg{&jobd, in(connector)}, leg{&told, in(bpf)}); err != nil {
		return err
	}
	b.reportEngines(&jobd, &told)
	b.reportStorm(&alone, &jobd, &told)
	return b.reportLost(&jobd, &told)
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

// reportEngines says what a member costs jobd with the one engine and with the other.
func (b *bench) reportEngines(jobd, told *storms) {
	r := each(told.total, jobd.total, ratio)
	b.add(row{
		"CPU per short member process, bpf: " + told.kind.what, told.total.spread(perProcess, " µs"),
		"connector " + jobd.total.spread(perProcess, " µs"), r.spread("%.2f", ""), "≤ 0.5", met(r.median() <= 0.5),
	})
	for _, part := range []struct {
		what     string
		of, than samples
	}{{"  of it in user space", told.user, jobd.user}, {"  of it in the kernel", told.system, jobd.system}} {
		b.add(row{
			what: part.what, measured: part.of.spread(perProcess, " µs"), beside: "connector " + part.than.spread(perProcess, " µs"),
			ratio: each(part.of, part.than, ratio).spread("%.2f", ""),
		})
	}
}

// inSeconds writes CPU that was charged.
func inSeconds(s samples) string {
	return each(s, s, func(v, _ float64) float64 { return v / 1e6 }).spread("%.3f", " s")
}

// reportStorm says what members are charged with the one engine and with the other.
func (b *bench) reportStorm(alone, jobd, told *storms) {
	none := "no daemon " + inSeconds(alone.own)
	more := each(jobd.own, alone.own, percent)
	b.add(row{
		"CPU charged to a storm in a job, " + jobd.kind.String() + ", connector", inSeconds(jobd.own), none,
		more.spread("%+.1f", " %"), "≤ +5 %", met(more.median() <= 5),
	})
	more = each(told.own, alone.own, percent)
	b.add(row{
		"  bpf", inSeconds(told.own), none, more.spread("%+.1f", " %"), "≤ +2 %", met(more.median() <= 2),
	})
}

func (b *bench) reportBare(alone, bare *storms) {
	b.add(row{
		what: "  with the bare C reader", measured: inSeconds(bare.own), beside: "no daemon " + inSeconds(alone.own),
		ratio: each(bare.own, alone.own, percent).spread("%+.1f", " %"),
	})
}

// reportLost fails when something was lost: then the figures are of something else.
func (b *bench) reportLost(of ...*storms) error {
	var runs int
	var lost, missed uint64
	for _, s := range of {
		runs, lost, missed = runs+len(s.own), lost+s.lost, missed+s.missed
	}
	b.add(row{what: fmt.Sprintf("  events lost in %d storms", runs), measured: fmt.Sprint(lost), target: "0", ok: met(lost == 0)})
	b.add(row{what: "  exit records missed", measured: fmt.Sprint(missed), target: "0", ok: met(missed == 0)})
	if lost > 0 {
		return fmt.Errorf("jobd lost %d events", lost)
	}
	return nil
}
