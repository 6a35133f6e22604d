package report

import (
	"errors"
	"math"
	"strings"
	"time"
)

// calendar says when it is prime time. It goes by the civil time of a place, whose days may have 23 or 25 hours.
type calendar struct {
	loc      *time.Location
	from, to int // prime hours, minutes of the day; to may be of the next day, above 24 hours
	days     [7]bool
	dates    map[date]bool // holidays; those of each year have the year 0
	last     stretch
}

// date is a day.
type date struct {
	year  int
	month time.Month
	day   int
}

// stretch is a time in which it is prime time throughout, or not at all. Unix ns; hi is not in it.
type stretch struct {
	lo, hi int64
	prime  bool
}

func newCalendar(b *Billing, loc *time.Location) (*calendar, error) {
	if loc == nil {
		loc = time.UTC
	}
	c := &calendar{loc: loc, dates: make(map[date]bool)}
	var badHours, badDays error
	c.from, c.to, badHours = parseHours(b.PrimeHours)
	c.days, badDays = parseDays(b.PrimeDays)
	errs := []error{badHours, badDays}
	for _, s := range b.Holidays {
		d, err := parseHoliday(s)
		c.dates[d], errs = true, append(errs, err)
	}
	return c, errors.Join(errs...)
}

func parseHours(s string) (from, to int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(s, "-")
	from, okFrom := parseMinute(a)
	to, okTo := parseMinute(b)
	if !ok || !okFrom || !okTo || from == to || from == dayMinutes {
		return 0, 0, badKey("billing.prime_hours", "billing.prime_hours is %q: two times of the day, such as 07:30-17:30 or 00:00-24:00", s)
	}
	if to < from {
		to += dayMinutes
	}
	return from, to, nil
}

const dayMinutes = 24 * 60

// parseMinute reads a time of the day, up to 24:00.
func parseMinute(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if s == "24:00" {
		return dayMinutes, true
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil && len(s) == len("15:04")
}

func parseDays(s string) (days [7]bool, err error) {
	if s == "" {
		s = "Mon-Fri"
	}
	for _, part := range strings.Split(s, ",") {
		a, b, isRange := strings.Cut(part, "-")
		from, okFrom := parseDay(a)
		to, okTo := from, true
		if isRange {
			to, okTo = parseDay(b)
		}
		if !okFrom || !okTo {
			return days, badKey("billing.prime_days", "billing.prime_days is %q: days of the week, such as Mon-Fri or Mon-Thu,Sat", s)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

func parseDay(s string) (time.Weekday, bool) {
	s = strings.TrimSpace(s)
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(s, d.String()) || strings.EqualFold(s, d.String()[:3]) {
			return d, true
		}
	}
	return 0, false
}

func parseHoliday(s string) (date, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return date{t.Year(), t.Month(), t.Day()}, nil
	}
	t, err := time.Parse(time.DateOnly, "2000-"+s) // a leap year
	if err != nil {
		return date{}, badKey("billing.holidays", "billing.holidays has %q: a date, such as 2026-04-03, or of each year, such as 12-25", s)
	}
	return date{0, t.Month(), t.Day()}, nil
}

// share is the part of a time that is prime time, from 0 to 1. Unix ns.
func (c *calendar) share(from, to int64) float64 {
	if c.from == c.to {
		return 0
	}
	prime := int64(0)
	for t := from; t < to; t = c.last.hi {
		if t < c.last.lo || t >= c.last.hi {
			c.last = c.around(t)
		}
		if c.last.prime {
			prime += min(c.last.hi, to) - t
		}
	}
	return float64(prime) / float64(to-from)
}

// around gives a stretch that t is in: out of prime time from the beginning of its day at the earliest to the end of the
// next day at the latest. Prime time that began on the day before may reach into it.
func (c *calendar) around(t int64) stretch {
	at := time.Unix(0, t).In(c.loc)
	s := stretch{lo: c.minute(at, 0, 0), hi: c.minute(at, 2, 0)}
	for day := -1; day <= 1; day++ {
		if !c.isPrime(at, day) {
			continue
		}
		from, to := c.minute(at, day, c.from), c.minute(at, day, c.to)
		switch {
		case to <= from: // the clock was put forward over all of it
		case from <= t && t < to:
			return stretch{from, to, true}
		case to <= t:
			s.lo = max(s.lo, to)
		default:
			s.hi = min(s.hi, from)
		}
	}
	if s.hi <= t { // beyond the years that Unix ns can say
		s.hi = math.MaxInt64
	}
	return s
}

// minute is a minute of a day before or after the day of t, Unix ns.
func (c *calendar) minute(t time.Time, day, minute int) int64 {
	y, m, d := t.Date()
	return nanos(time.Date(y, m, d+day, minute/60, minute%60, 0, 0, c.loc))
}

// isPrime reports whether a day before or after the day of t has prime time.
func (c *calendar) isPrime(t time.Time, day int) bool {
	y, m, d := t.Date()
	noon := time.Date(y, m, d+day, 12, 0, 0, 0, time.UTC) // there is one each day; here the clock may skip any hour
	y, m, d = noon.Date()
	return c.days[noon.Weekday()] && !c.dates[date{y, m, d}] && !c.dates[date{0, m, d}]
}

// dayBefore is when the day began that ends at, or has in it, an instant. Unix ns.
func (c *calendar) dayBefore(at int64) int64 {
	return c.minute(time.Unix(0, at-1).In(c.loc), 0, 0)
}
