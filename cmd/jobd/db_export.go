package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/store"
)

// export writes all that is in the books, a JSON object a line.
func (c *dbCommand) export() error {
	s, err := c.books()
	if err != nil {
		return err
	}
	defer s.Close()
	name := ""
	if len(c.args) > 0 {
		name = c.args[0]
	}
	bar := c.bar("export")
	defer bar.end()
	f, err := s.Figures()
	if err != nil {
		return err
	}
	err = c.toOut(name, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<16)
		e := exporter{c: c, s: s, enc: json.NewEncoder(b), bar: bar, all: f.Jobs + f.Open + f.Records}
		e.enc.SetEscapeHTML(false)
		if err := e.run(); err != nil {
			return err
		}
		return b.Flush()
	})
	if err != nil {
		return fmt.Errorf("cannot export the books: %w", err)
	}
	return nil
}

// exporter is an export under way.
type exporter struct {
	c         *dbCommand
	s         *store.Store
	enc       *json.Encoder
	bar       *progress
	done, all int64
}

// The lines. Each says in type what it is.
type (
	exportedJob struct {
		Type string `json:"type"`
		job.Info
	}
	exportedProcess struct {
		Type    string `json:"type"`
		Partial bool   `json:"partial"`
		job.Process
	}
	exportedMoment struct {
		Type string `json:"type"`
		job.Moment
	}
	exportedPart struct {
		Type         string    `json:"type"`
		JID          job.JID   `json:"jid"`
		At           time.Time `json:"time"`
		Unattributed int64     `json:"cpu_unattributed_ns"`
	}
)

func (e *exporter) run() error {
	moments, err := e.s.Moments(e.c.since, e.c.until)
	if err != nil {
		return err
	}
	for _, m := range moments {
		if err := e.enc.Encode(exportedMoment{"moment", m}); err != nil {
			return err
		}
	}
	if err := e.jobs(); err != nil {
		return err
	}
	for p, err := range e.s.Parts(e.c.since, e.c.until) {
		if err == nil {
			err = e.enc.Encode(exportedPart{"part", p.JID, time.Unix(0, p.At).UTC(), p.Unattributed})
		}
		if err != nil {
			return err
		}
	}
	return e.processes()
}

func (e *exporter) jobs() error {
	open, err := e.s.OpenJobs()
	if err != nil {
		return err
	}
	for i := range open {
		if !e.c.until.IsZero() && !open[i].Started.Before(e.c.until) {
			continue
		}
		if err := e.job(&open[i].Info); err != nil {
			return err
		}
	}
	for j, err := range e.s.EndedJobs(store.JobQuery{From: e.c.since, To: e.c.until}) {
		if err == nil {
			err = e.job(&j.Info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) job(in *job.Info) error {
	if in.Marks == nil {
		in.Marks = []job.Mark{}
	}
	if in.Tags == nil {
		in.Tags = map[string]string{}
	}
	if err := e.step(); err != nil {
		return err
	}
	return e.enc.Encode(exportedJob{"job", *in})
}

func (e *exporter) step() error {
	e.done++
	e.bar.tell(e.done, e.all)
	return e.c.ctx.Err()
}

func (e *exporter) processes() error {
	for r, err := range e.s.AllRecords(e.c.since, e.c.until) {
		if err == nil {
			err = e.step()
		}
		if err == nil {
			err = e.enc.Encode(exportedProcess{"process", r.Partial, r.Process()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
