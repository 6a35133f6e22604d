package bench

// strangers measures what jobd costs processes that are in no job, and what they cost jobd.
func (b *bench) strangers() error {
	beside := func(e engine) func(kind) (charge, error) {
		return func(k kind) (charge, error) { return b.outside(k, e) }
	}
	for _, k := range []kind{forks, execs} {
		var alone, jobd, told storms
		if err := compare(k, leg{&alone, b.alone}, leg{&jobd, beside(connector)}, leg{&told, beside(bpf)}); err != nil {
			return err
		}
		b.reportStrangers(&alone, &jobd, &told)
	}
	return nil
}

func (b *bench) reportStrangers(alone, jobd, told *storms) {
	none := "no daemon " + inSeconds(alone.own)
	b.add(row{
		what: "CPU charged to a storm outside every job, " + alone.kind.String() + ", connector", measured: inSeconds(jobd.own),
		beside: none, ratio: each(jobd.own, alone.own, percent).spread("%+.1f", " %"),
	})
	b.add(row{
		what: "  bpf", measured: inSeconds(told.own), beside: none, ratio: each(told.own, alone.own, percent).spread("%+.1f", " %"),
	})
	b.add(row{
		what: "  jobd's own CPU per process meanwhile, bpf", measured: told.total.spread("%.3f", " µs"),
		beside: "connector " + jobd.total.spread("%.3f", " µs"), ratio: each(told.total, jobd.total, ratio).spread("%.3f", ""),
	})
}
