package report

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func place(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skip("no time zones here:", err)
	}
	return loc
}

func someCalendar(t testing.TB, b Billing, loc *time.Location) *calendar {
	t.Helper()
	c, err := newCalendar(&b, loc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPrimeTime says how many minutes of a time are prime time.
func TestPrimeTime(t *testing.T) {
	berlin := place(t, "Europe/Berlin")
	office := Billing{PrimeHours: "07:30-17:30", Holidays: []string{"2026-04-03", "12-25"}}
	night := Billing{PrimeHours: "22:00-06:00", PrimeDays: "Fri"}
	early := Billing{PrimeHours: "00:00-04:00", PrimeDays: "Sun"}
	always := Billing{PrimeHours: "00:00-24:00", PrimeDays: "Mon-Sun"}
	for _, c := range []struct {
		name     string
		b        Billing
		from, to string
		want     float64 // minutes
	}{
		{"within", office, "2026-03-04 08:00", "2026-03-04 09:00", 60},
		{"up to its beginning", office, "2026-03-04 07:00", "2026-03-04 07:30", 0},
		{"from its end", office, "2026-03-04 17:30", "2026-03-04 18:00", 0},
		{"over its end", office, "2026-03-04 17:00", "2026-03-04 18:00", 30},
		{"over midnight", office, "2026-03-04 17:00", "2026-03-05 08:00", 60},
		{"a Saturday", office, "2026-03-07 00:00", "2026-03-08 00:00", 0},
		{"a week", office, "2026-03-04 00:00", "2026-03-11 00:00", 5 * 600},
		{"over a weekend", office, "2026-03-06 17:00", "2026-03-09 08:00", 60},
		{"Good Friday", office, "2026-04-03 00:00", "2026-04-04 00:00", 0},
		{"the same day of another year", office, "2028-04-03 00:00", "2028-04-04 00:00", 600},
		{"Christmas, each year", office, "2028-12-25 00:00", "2028-12-26 00:00", 0},
		{"from the holiday on", office, "2026-04-02 17:00", "2026-04-06 08:00", 60},
		{"200 days", office, "2026-01-01 00:00", "2026-07-20 00:00", 600 * (142 - 1)}, // 142 working days, Good Friday is not
		{"a night that begins on Friday", night, "2026-03-06 00:00", "2026-03-08 00:00", 480},
		{"and reaches into Saturday", night, "2026-03-07 00:00", "2026-03-07 12:00", 360},
		{"not the one before", night, "2026-03-06 00:00", "2026-03-06 12:00", 0},
		{"a day of 23 hours", always, "2026-03-29 00:00", "2026-03-30 00:00", 23 * 60},
		{"a day of 25 hours", always, "2026-10-25 00:00", "2026-10-26 00:00", 25 * 60},
		{"the hour that is skipped", early, "2026-03-29 00:00", "2026-03-30 00:00", 180},
		{"the hour that comes twice", early, "2026-10-25 00:00", "2026-10-26 00:00", 300},
		{"no prime time", Billing{}, "2026-03-04 00:00", "2026-03-05 00:00", 0},
	} {
		parse := func(s string) int64 {
			at, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
			if err != nil {
				t.Fatal(err)
			}
			return at.UnixNano()
		}
		from, to := parse(c.from), parse(c.to)
		got := someCalendar(t, c.b, berlin).share(from, to) * float64(to-from) / float64(time.Minute)
		if math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %v minutes, want %v", c.name, got, c.want)
		}
	}
}

// TestPrimeTimeAgainstMinutes counts the minutes one by one, by the clock on the wall, in places with odd clocks.
func TestPrimeTimeAgainstMinutes(t *testing.T) {
	places := []*time.Location{time.UTC, place(t, "Europe/Berlin"), place(t, "Australia/Lord_Howe"), place(t, "America/Santiago"), place(t, "Asia/Kathmandu")}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		loc := rapid.SampledFrom(places).Draw(rt, "place")
		b := Billing{
			PrimeHours: rapid.SampledFrom([]string{"07:30-17:30", "04:00-24:00", "20:00-05:00", "06:00-05:30"}).Draw(rt, "hours"),
			PrimeDays:  rapid.SampledFrom([]string{"", "Sun", "Sat-Mon", "Mon,Wed,Fri", "Mon-Sun"}).Draw(rt, "days"),
			Holidays:   []string{"10-25", "2026-03-08"},
		}
		c := someCalendar(t, b, loc)
		for range 3 { // it remembers where it was
			from := begin.Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(rt, "from")) * time.Minute)
			n := rapid.IntRange(1, 4*24*60).Draw(rt, "minutes")
			count := 0
			for i := range n {
				if c.dumb(from.Add(time.Duration(i) * time.Minute)) {
					count++
				}
			}
			got := c.share(from.UnixNano(), from.Add(time.Duration(n)*time.Minute).UnixNano()) * float64(n)
			if math.Abs(got-float64(count)) > 1e-6 {
				rt.Fatalf("%s in %s: %d minutes from %s: %v of them, want %d", b.PrimeHours, loc, n, from.In(loc), got, count)
			}
		}
	})
}

// dumb reports whether the clock on the wall is in the prime hours of a day that has them.
func (c *calendar) dumb(t time.Time) bool {
	t = t.In(c.loc)
	minute := t.Hour()*60 + t.Minute()
	return minute >= c.from && minute < c.to && c.isPrime(t, 0) || minute < c.to-dayMinutes && c.isPrime(t, -1)
}

func TestPrimeTimeOfForever(t *testing.T) {
	c := someCalendar(t, Billing{PrimeHours: "07:30-17:30"}, time.UTC)
	if got := c.share(0, math.MaxInt64); math.Abs(got-50.0/168) > 0.001 {
		t.Error(got)
	}
	c.share(math.MinInt64, math.MinInt64+1)
}

func FuzzHours(f *testing.F) {
	f.Add("07:30-17:30", "Mon-Fri", "2026-04-03")
	f.Add("22:00-06:00", "Sat,Sun", "12-25")
	f.Fuzz(func(t *testing.T, hours, days, holiday string) {
		c, err := newCalendar(&Billing{PrimeHours: hours, PrimeDays: days, Holidays: []string{holiday}}, time.UTC)
		if err != nil {
			return
		}
		for d := range 8 {
			from := noon.AddDate(0, 0, d).UnixNano()
			if s := c.share(from, from+int64(30*time.Hour)); !(s >= 0 && s <= 1) {
				t.Errorf("%q %q: %v", hours, days, s)
			}
		}
	})
}
