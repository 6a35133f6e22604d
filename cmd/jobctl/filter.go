package main

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job/control"
)

// filter is the flags that say which jobs, or which records, something is about.
type filter struct {
	req        control.Request
	since      instant
	until      instant
	at         instant
	minCPU     timeout
	uid        idFlag
	group      groupFlag
	minRSS     sizeFlag
	minIO      sizeFlag
	exit       exitFlag
	registered *cobra.Command
}

// newFilter gives cmd the flags that jobs and records have in common.
func newFilter(a *app, cmd *cobra.Command) *filter {
	f := &filter{since: instant{now: a.now}, until: instant{now: a.now}, at: instant{now: a.now}, registered: cmd}
	flags := cmd.Flags()
	flags.StringVar(&f.req.User, "user", "", "of jobs of user `U`")
	flags.Var(&f.uid, "uid", "of user id `N`: of the job, or of the process")
	flags.Var(&f.group, "group", "of group `G`, by name or number, as --uid")
	flags.StringVar(&f.req.Command, "command", "", "whose command matches `RE`, anywhere")
	flags.StringVar(&f.req.Service, "service", "", "of jobs that service `S` opened")
	flags.StringVar(&f.req.RHost, "rhost", "", "of jobs from `HOST`: address, network or name")
	flags.StringArrayVar(&f.req.Tag, "tag", nil, "of jobs with tag `K[=V]`; again: with all")
	flags.Var(&f.since, "since", "what ended then or after it, or goes on")
	flags.Var(&f.until, "until", "what started before that time")
	flags.Var(&f.minCPU, "min-cpu", "with so much CPU time, or more")
	flags.Var(&f.minRSS, "min-mem", "with so much memory in one process, or more")
	flags.Var(&f.minIO, "min-io", "with so much read and written, or more")
	flags.Var(&f.exit, "exit", "with exit status `N`; !0 or fail: any but 0")
	return f
}

// sortable adds the flags of a list.
func (f *filter) sortable(keys ...string) *filter {
	flags := f.registered.Flags()
	flags.Var(&f.at, "at", "what was there at that time")
	flags.StringVar(&f.req.Sort, "sort", "", "by `KEY`: "+strings.Join(keys, " "))
	flags.Var(newLimit(&f.req.Limit), "limit", "the first `N` only")
	f.complete("sort", keys)
	return f
}

// ofRecords adds the flags that only records have.
func (f *filter) ofRecords() *filter {
	f.registered.Flags().StringVar(&f.req.Exe, "exe", "", "of programs whose path matches `RE`, anywhere")
	f.registered.Flags().Var((*pidFlag)(&f.req.PID), "pid", "of process `N`")
	return f
}

func (f *filter) complete(flag string, choices []string) {
	_ = f.registered.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(slices.Clone(choices), cobra.ShellCompDirectiveNoFileComp))
}

// request is what the flags ask for.
func (f *filter) request() (control.Request, error) {
	req := f.req
	req.UID, req.GID = f.uid.id, f.group.id
	req.Since, req.Until = f.since.Time, f.until.Time
	if !f.at.IsZero() {
		if !req.Since.IsZero() || !req.Until.IsZero() {
			return req, badUsage(f.registered, "--at is one moment, so that no --since and no --until go with it")
		}
		req.Since, req.Until = f.at.Time, f.at.Add(1)
	}
	if !req.Since.IsZero() && !req.Until.IsZero() && req.Until.Before(req.Since) {
		return req, badUsage(f.registered, "the time ends before it begins")
	}
	req.MinCPU, req.MinRSS, req.MinIO = int64(f.minCPU.Duration), int64(f.minRSS), int64(f.minIO)
	req.Exit = string(f.exit)
	return req, nil
}

// idFlag is the value of a flag: a user id.
type idFlag struct{ id *uint32 }

func (f *idFlag) Set(text string) error {
	id, err := parseID(text)
	f.id = &id
	return err
}

func (f *idFlag) String() string { return "" }

// Type is what the help calls the value.
func (f *idFlag) Type() string { return "N" }

// parseID takes any id but the one that stands for none.
func parseID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || uint32(id) == ^uint32(0) {
		return 0, fmt.Errorf("it has to be a number from 0 to 4294967294")
	}
	return uint32(id), nil
}

// groupFlag is the value of a flag: a group, by its name or its number. A group that is gone still has its number.
type groupFlag struct{ id *uint32 }

func (f *groupFlag) Set(text string) error {
	if g, err := user.LookupGroup(text); err == nil {
		text = g.Gid
	} else if !numeric(text) {
		return fmt.Errorf("there is no group %s", text)
	}
	id, err := parseID(text)
	f.id = &id
	return err
}

func (f *groupFlag) String() string { return "" }

// Type is what the help calls the value.
func (f *groupFlag) Type() string { return "G" }

// pidFlag is the value of a flag: a process id.
type pidFlag int32

func (f *pidFlag) Set(text string) error {
	pid, err := strconv.ParseInt(text, 10, 32)
	if err != nil || pid <= 0 {
		return fmt.Errorf("it has to be a number above 0")
	}
	*f = pidFlag(pid)
	return nil
}

func (f *pidFlag) String() string { return "" }

// Type is what the help calls the value.
func (f *pidFlag) Type() string { return "N" }

// sizeFlag is the value of a flag: bytes.
type sizeFlag int64

func (f *sizeFlag) Set(text string) error {
	n, err := parseSize(text)
	*f = sizeFlag(n)
	return err
}

func (f *sizeFlag) String() string { return "" }

// Type is what the help calls the value.
func (f *sizeFlag) Type() string { return "SIZE" }

// parseSize takes bytes (4096), and what size prints: 1.5K, 100M, 2G, in powers of 1024.
func parseSize(text string) (int64, error) {
	bad := fmt.Errorf("%q is no size, such as 4096, 100M or 1.5G", text)
	digits, unit := text, 1.0
	if text != "" {
		if i := strings.IndexByte("KMGTPE", strings.ToUpper(text[len(text)-1:])[0]); i >= 0 {
			digits = text[:len(text)-1]
			for range i + 1 {
				unit *= 1024
			}
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !numeric(strings.Replace(digits, ".", "", 1)) || n*unit >= 1<<63 {
		return 0, bad
	}
	return int64(n * unit), nil
}

// exitFlag is the value of a flag: an exit status, or any but one.
type exitFlag string

func (f *exitFlag) Set(text string) error {
	if text == "fail" { // a shell may take ! for itself
		text = "!0"
	}
	if _, err := strconv.ParseUint(strings.TrimPrefix(text, "!"), 10, 8); err != nil {
		return fmt.Errorf("it has to be a status from 0 to 255, !0 for any but 0, or fail, which means the same")
	}
	*f = exitFlag(text)
	return nil
}

func (f *exitFlag) String() string { return "" }

// Type is what the help calls the value.
func (f *exitFlag) Type() string { return "N" }

// overlaps reports whether a time from since to until, where an open end is zero, has something in common with another.
func overlaps(since, until, from, to time.Time) bool {
	return (until.IsZero() || from.Before(until)) && (since.IsZero() || !to.Before(since))
}
