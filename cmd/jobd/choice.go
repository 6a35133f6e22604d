package main

import (
	"errors"
	"fmt"

	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/label"
)

// The engines by name, and the one that is chosen here.
const (
	engineAuto      = "auto"
	engineConnector = "connector"
	engineBPF       = "bpf"
)

// openBPF has the kernel tell of who is in a job, where that is possible and wanted. An error: it is not possible, and nothing else is
// wanted.
func (d *jobd) openBPF() (err error) {
	if d.cfg.Engine == engineConnector {
		d.engineWhy = "asked for"
		return nil
	}
	d.labels, err = openLabels(d.cfg, label.Follow)
	switch {
	case err == nil && d.cfg.Engine == engineBPF:
		d.engineWhy = "asked for"
	case err == nil:
		d.engineWhy = "the kernel keeps who is in which job, and tells of them"
	case d.cfg.Engine == engineBPF:
		return fmt.Errorf("cannot use --engine bpf: %w", err)
	default:
		d.engineWhy = "the bpf engine does not work here: " + err.Error()
		d.fellBack = !errors.Is(err, errLabelsOff) && !errors.Is(err, errNoLabelDir)
	}
	return nil
}

// keepsTelling reports whether the kernel tells of who is in a job, also while there is no jobd, and keeps that for the next one.
func (d *jobd) keepsTelling() bool { return d.labels != nil && d.labels.Events() != nil && !d.refused }

// newEngine opens the engine. A nil pointer of one of the two would not be none.
func (d *jobd) newEngine(options []kernel.Option) (engine, error) {
	d.idsLate = ""
	if d.keepsTelling() {
		e, err := kernel.OpenBPF(kernel.Proc, d.cgroups, d.log, d.labels, options...)
		if err != nil {
			return nil, err
		}
		if late := e.Late(); late != nil {
			d.idsLate = late.Error()
			d.engineWhy += "; changes of ids are told of late: " + d.idsLate
		}
		return e, nil
	}
	e, err := kernel.OpenConnector(kernel.Proc, d.cgroups, d.log, append(options, d.labelOptions()...)...)
	if err != nil {
		return nil, err
	}
	return e, nil
}
