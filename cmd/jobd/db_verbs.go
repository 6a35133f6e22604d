package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/store"
)

func (c *dbCommand) stats() error {
	var st control.DBStats
	var err error
	if c.running() {
		st, err = c.client().DBStats(c.ctx)
	} else {
		st, err = c.ownStats()
	}
	if err != nil {
		return fmt.Errorf("cannot tell what is in the books: %w", err)
	}
	return c.say(st, func(w io.Writer) { printStats(w, &st) })
}

func (c *dbCommand) ownStats() (control.DBStats, error) {
	s, err := c.own()
	if err != nil {
		return control.DBStats{}, err
	}
	defer s.Close()
	f, err := s.Figures()
	if err != nil {
		return control.DBStats{}, err
	}
	return dbStats(f), nil
}

func printStats(w io.Writer, st *control.DBStats) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-16s "+format+"\n", append([]any{name}, args...)...)
	}
	line("file", "%s", st.Path)
	line("size", "%s, %s of it unused", amount(st.Bytes), amount(st.FreeBytes))
	line("schema", "%d", st.Schema)
	if st.Created != nil {
		line("created", "%s", st.Created.Format(time.RFC3339))
	}
	line("jobs", "%d ended, %d open", st.Jobs, st.Open)
	line("process records", "%d, of %s", st.Records, plural(st.Days, "day"))
	if st.PerRecord != nil {
		line("", "%.1f bytes each", *st.PerRecord)
	}
	if st.Oldest != nil {
		line("", "from %s on", st.Oldest.Format(time.RFC3339))
	}
	names := make([]string, 0, len(st.Buckets))
	for name := range st.Buckets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		line("  "+name, "%s", amount(st.Buckets[name]))
	}
}

func amount(n int64) string {
	if n < 1<<20 {
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// checkAnswer is what check found, in JSON.
type checkAnswer struct {
	OK       bool     `json:"ok"`
	Pages    int64    `json:"pages"`
	Blocks   int64    `json:"blocks"`
	Records  int64    `json:"records"`
	Jobs     int64    `json:"jobs"`
	Open     int64    `json:"open"`
	Moments  int64    `json:"moments"`
	Parts    int64    `json:"parts"`
	Problems []string `json:"problems"`
	More     int64    `json:"more_problems"`
}

func (c *dbCommand) check() error {
	s, err := c.books()
	if err != nil {
		return err
	}
	defer s.Close()
	bar := c.bar("check")
	got, err := s.Check(c.ctx, bar.tell)
	bar.end()
	if err != nil {
		return err
	}
	ans := checkAnswer{
		OK: len(got.Problems) == 0, Pages: got.Pages, Blocks: got.Blocks, Records: got.Records, Jobs: got.Jobs, Open: got.Open,
		Moments: got.Moments, Parts: got.Parts, Problems: append([]string{}, got.Problems...), More: got.More,
	}
	err = c.say(ans, func(w io.Writer) {
		for _, p := range ans.Problems {
			fmt.Fprintln(w, p)
		}
		if ans.More > 0 {
			fmt.Fprintf(w, "and %d more\n", ans.More)
		}
		if ans.OK {
			fmt.Fprintf(w, "all is well: %d pages, %d process records in %d blocks, %d jobs ended, %d open, %d moments, %d parts\n",
				ans.Pages, ans.Records, ans.Blocks, ans.Jobs, ans.Open, ans.Moments, ans.Parts)
		}
	})
	if err == nil && !ans.OK {
		err = errFound
	}
	return err
}

func (c *dbCommand) compact() error {
	if err := c.mustNotRun("compact the books"); err != nil {
		return err
	}
	bar := c.bar("compact")
	before, after, err := store.Compact(c.ctx, c.path(), bar.tell)
	bar.end()
	if err != nil {
		return err
	}
	return c.say(map[string]int64{"before_bytes": before, "after_bytes": after}, func(w io.Writer) {
		fmt.Fprintf(w, "%s, now %s\n", amount(before), amount(after))
	})
}

// backup copies the books as they are at one moment, and looks whether the copy can be opened before it gets its name.
func (c *dbCommand) backup() error {
	name := c.args[0]
	if name == "-" {
		return c.copyTo(c.out)
	}
	err := newFile(name, c.force, func(f *os.File) error {
		if err := c.copyTo(f); err != nil {
			return err
		}
		s, err := store.OpenReadOnly(f.Name(), store.Options{})
		if err != nil {
			return err
		}
		return s.Close()
	})
	if err != nil {
		return fmt.Errorf("cannot back up the books: %w", err)
	}
	return nil
}

func (c *dbCommand) copyTo(w io.Writer) error {
	bar := c.bar("backup")
	defer bar.end()
	w = bar.writer(w, c.sizeHint())
	if c.running() {
		return c.client().Backup(c.ctx, w)
	}
	s, err := c.own()
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Backup(c.ctx, w)
}

// repair names its files by what is there: the newest that was set aside, else jobd.db itself.
func (c *dbCommand) repair() error {
	from, to := "", c.path()+".repaired"
	switch len(c.args) {
	case 2:
		from, to = c.args[0], c.args[1]
	case 1:
		from = c.args[0]
	default:
		aside, _ := filepath.Glob(c.path() + ".damaged-*")
		slices.Sort(aside)
		if from = c.path(); len(aside) > 0 {
			from = aside[len(aside)-1]
		}
	}
	if filepath.Clean(from) == filepath.Clean(c.path()) {
		if err := c.mustNotRun("repair its books"); err != nil {
			return err
		}
	}
	bar := c.bar("repair")
	got, err := store.Repair(c.ctx, from, to, store.Options{Now: time.Now()}, bar.tell)
	bar.end()
	if err != nil {
		return err
	}
	ans := repairAnswer{
		From: from, To: to, Pages: got.Pages, Blocks: got.Blocks, Records: got.Records, Jobs: got.Jobs, Open: got.Open,
		Moments: got.Moments, Parts: got.Parts, BadBlocks: got.BadBlocks, BadRecords: got.BadRecords, BadValues: got.BadValues,
		Damage: append([]string{}, got.Damage...), More: got.More, FreeLost: got.FreeLost,
	}
	return c.say(ans, ans.print)
}

// repairAnswer is what repair took out, in JSON.
type repairAnswer struct {
	From       string   `json:"from"`
	To         string   `json:"to"`
	Pages      int64    `json:"pages"`
	Blocks     int64    `json:"blocks"`
	Records    int64    `json:"records"`
	Jobs       int64    `json:"jobs"`
	Open       int64    `json:"open"`
	Moments    int64    `json:"moments"`
	Parts      int64    `json:"parts"`
	BadBlocks  int64    `json:"lost_blocks"`
	BadRecords int64    `json:"lost_records"`
	BadValues  int64    `json:"lost_others"`
	Damage     []string `json:"damage"`
	More       int64    `json:"more_damage"`
	FreeLost   bool     `json:"free_lost"`
}

func (a *repairAnswer) print(w io.Writer) {
	for _, d := range a.Damage {
		fmt.Fprintln(w, d)
	}
	if a.More > 0 {
		fmt.Fprintf(w, "and %d more places\n", a.More)
	}
	if a.FreeLost {
		fmt.Fprintln(w, "it could not be told which pages are unused: what was dropped or forgotten may be there again")
	}
	if a.BadBlocks+a.BadValues > 0 {
		fmt.Fprintf(w, "lost: %d blocks that say they had %d process records; %d jobs, moments or parts\n", a.BadBlocks, a.BadRecords, a.BadValues)
	}
	fmt.Fprintf(w, "taken: %d process records in %d blocks, %d jobs ended, %d open, %d moments, %d parts\n", a.Records, a.Blocks, a.Jobs, a.Open, a.Moments, a.Parts)
	fmt.Fprintf(w, "%s is in %s; to go on with it, stop jobd and put it in place of jobd.db\n", a.From, a.To)
}

func (c *dbCommand) forget() error {
	req := control.Request{UID: c.uid}
	if len(c.args) > 0 {
		req.User = c.args[0]
	}
	if req.User == "" && req.UID == nil {
		return usageError{errors.New("whom? jobd db forget USER, or --uid UID, or both")}
	}
	if req.UID == nil {
		req.UID = uidOf(req.User)
	}
	var ans control.ForgetAnswer
	var err error
	if c.running() {
		ans, err = c.client().Forget(c.ctx, req)
	} else {
		ans, err = c.ownForget(req)
	}
	if err != nil {
		return err
	}
	return c.say(ans, func(w io.Writer) {
		fmt.Fprintf(w, "taken out of %d jobs and %d process records\n", ans.Jobs, ans.Records)
		if ans.Open > 0 {
			fmt.Fprintf(w, "%d jobs are open and were left as they are: do it again when they have ended\n", ans.Open)
		}
	})
}

// uidOf asks the host for a user's uid; nil where it doesn't know one, as the books may all the same.
func uidOf(name string) *uint32 {
	u, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	v, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil
	}
	uid := uint32(v)
	return &uid
}

func (c *dbCommand) ownForget(req control.Request) (ans control.ForgetAnswer, err error) {
	st, err := os.Stat(c.path())
	if err != nil { // it would be made
		return ans, fmt.Errorf("cannot forget: %w", err)
	}
	own, err := c.own() // what is damaged is not set aside here, but refused
	if err == nil {
		err = own.Close()
	}
	if err != nil {
		return ans, err
	}
	s, err := store.Open(c.path(), store.Options{Now: time.Now(), Floor: -1, KeepRecords: -1, KeepJobs: -1})
	if err != nil {
		return ans, err
	}
	defer func() { // the time says since when jobd has not been running
		err = errors.Join(err, s.Close(), os.Chtimes(c.path(), time.Time{}, st.ModTime()))
	}()
	bar := c.bar("forget")
	defer bar.end()
	who := store.Person{User: req.User, UID: req.UID, Sums: func(names []string) ([]string, error) { return saidOf(names), nil }}
	ans.Jobs, ans.Records, err = s.Forget(c.ctx, who, bar.tell)
	if err == nil {
		ans.Open, err = openOf(s, req)
	}
	return ans, err
}
