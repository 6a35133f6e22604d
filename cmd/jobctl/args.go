package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// needs checks the number of arguments: NAME is one, [NAME] one that may be left out, NAME... one and more.
func needs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return badUsage(cmd, strings.TrimSuffix(name, "...")+" is missing")
			}
		}
		last := len(names) - 1
		if len(args) > len(names) && (last < 0 || !strings.HasSuffix(names[last], "...")) {
			return badUsage(cmd, fmt.Sprintf("%q is one argument too many", args[len(names)]))
		}
		return nil
	}
}

// jobRef takes a JID as a person types it. Which host and which job it is, jobd knows; whether it is a JID at all is
// seen here.
func jobRef(text string) (control.JobRef, error) {
	if text == string(control.Self) {
		return control.Self, nil
	}
	if _, err := job.ParseJID(text, 0, hostOf(text)); err != nil {
		return "", &usageError{"cannot read the JID " + err.Error(), "jobctl list shows the jobs"}
	}
	return control.JobRef(text), nil
}

// hostOf is what stands before the colon of host:17.
func hostOf(text string) string {
	return text[:max(strings.LastIndexByte(text, ':'), 0)]
}

// ownUnless is the JID that is named first, else the caller's own job.
func ownUnless(args []string) (control.JobRef, error) {
	if len(args) == 0 {
		return control.Self, nil
	}
	return jobRef(args[0])
}

func jobRefs(args []string) ([]control.JobRef, error) {
	var refs []control.JobRef
	for _, text := range args {
		ref, err := jobRef(text)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

func parsePID(text string) (int32, error) {
	pid, err := strconv.ParseInt(text, 10, 32)
	if err != nil || pid <= 0 {
		return 0, &usageError{fmt.Sprintf("cannot read the PID %q: a PID is a number above 0", text), "jobctl ps shows them"}
	}
	return int32(pid), nil
}

// numeric tells a PID from anything else.
func numeric(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// account is a user as the name service knows them.
type account struct {
	name     string
	uid, gid uint32
}

// findUser gives the account of a user who is named, or numbered.
func findUser(text string) (account, error) {
	u, err := user.Lookup(text)
	if err != nil && numeric(text) {
		u, err = user.LookupId(text)
	}
	if err != nil {
		return account{}, fmt.Errorf("there is no user %s", text)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %s has the uid %q: %w", text, u.Uid, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %s has the gid %q: %w", text, u.Gid, err)
	}
	return account{u.Username, uint32(uid), uint32(gid)}, nil
}

// timeout is the value of a flag: how long to wait.
type timeout struct{ time.Duration }

func (t *timeout) Set(text string) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	if d <= 0 {
		return fmt.Errorf("it has to be above 0")
	}
	t.Duration = d
	return nil
}

func (t *timeout) String() string {
	if t.Duration == 0 {
		return ""
	}
	return t.Duration.String()
}

// Type is what the help calls the value.
func (t *timeout) Type() string { return "D" }

// parseDuration takes what package time does (1h30m), a bare number of seconds, and days (7d).
func parseDuration(text string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil && numeric(strings.Replace(text, ".", "", 1)) {
		return inRange(text, s, time.Second)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok && numeric(days) {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is too long", text)
		}
		return inRange(text, n, day)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration, such as 90s, 1h30m or 7d", text)
	}
	return d, nil
}

func inRange(text string, n float64, unit time.Duration) (time.Duration, error) {
	if n*float64(unit) > 100*365*float64(day) {
		return 0, fmt.Errorf("%q is too long", text)
	}
	return time.Duration(n * float64(unit)), nil
}

// instant is the value of a flag: a moment, or how long ago it was.
type instant struct {
	time.Time
	now func() time.Time
}

func (i *instant) Set(text string) error {
	t, err := parseTime(text, i.now())
	i.Time = t
	return err
}

func (i *instant) String() string { return "" }

// Type is what the help calls the value.
func (i *instant) Type() string { return "D|TIME" }

// parseTime takes 2h or 7d (that long ago), 09:12 (today), 2026-05-04, 2026-05-04 09:12[:30], and RFC 3339.
func parseTime(text string, now time.Time) (time.Time, error) {
	if d, err := parseDuration(text); err == nil && !numeric(text) && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		y, m, d := now.Date()
		return time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time, such as 2h, 7d, 09:12, 2026-05-04 or 2026-05-04T09:12:00Z", text)
}

// limit is the value of a flag: how many at most.
type limit struct{ n *int }

func newLimit(n *int) limit { return limit{n} }

func (l limit) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return fmt.Errorf("it has to be a number above 0")
	}
	*l.n = n
	return nil
}

func (l limit) String() string { return "" }

// Type is what the help calls the value.
func (l limit) Type() string { return "N" }
