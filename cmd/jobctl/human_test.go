package main

import (
	"math"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1: "1", 1023: "1023", 1024: "1.0K", 1536: "1.5K", 10188: "9.9K", 10189: "10K", 12 << 20: "12M", 1048575: "1.0M",
		1023 << 10: "1023K", 1<<30 - 1: "1.0G", 5 << 40: "5.0T", math.MaxInt64: "8.0E", -5: "-5",
	} {
		if got := size(&n); got != want {
			t.Errorf("size(%d) = %s, not %s", n, got, want)
		}
	}
	if got := size(nil); got != "-" {
		t.Errorf("size(nil) = %s", got)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Second: "0s", 1: "0.1ms", 450 * time.Microsecond: "0.4ms", time.Millisecond: "1ms", 12*time.Millisecond + 999999: "12ms",
		time.Second: "1.0s", 3250 * time.Millisecond: "3.2s", 9999 * time.Millisecond: "9.9s", 10 * time.Second: "10s",
		59*time.Second + 999*time.Millisecond: "59s", 3*time.Minute + 2*time.Second: "3m02s", time.Hour - 1: "59m59s",
		5*time.Hour + 7*time.Minute: "5h07m", day - 1: "23h59m", 12*day + 3*time.Hour: "12d03h", math.MaxInt64: "106751d23h",
	} {
		n := int64(d)
		if got := span(&n); got != want {
			t.Errorf("span(%d) = %s, not %s", n, got, want)
		}
	}
	if got := span(nil); got != "-" {
		t.Errorf("span(nil) = %s", got)
	}
}

func TestAbout(t *testing.T) {
	n := int64(time.Second)
	for _, c := range []struct {
		n         *int64
		estimated bool
		want      string
	}{{&n, false, "1.0s"}, {&n, true, "~1.0s"}, {nil, true, "-"}} {
		if got := about(c.n, c.estimated); got != c.want {
			t.Errorf("about(%v, %v) = %s, not %s", c.n, c.estimated, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	now := noon().In(time.FixedZone("CEST", 2*60*60))
	for _, c := range []struct {
		t                   string
		clock, moment, full string
	}{
		{"2026-05-04T07:12:03Z", "09:12", "09:12:03", "2026-05-04 09:12:03 +0200"},
		{"2026-05-03T22:00:00Z", "00:00", "00:00:00", "2026-05-04 00:00:00 +0200"},
		{"2026-05-03T21:59:59Z", "May  3", "May  3 23:59", "2026-05-03 23:59:59 +0200"},
		{"2025-05-04T07:12:03Z", "2025-05-04", "2025-05-04", "2025-05-04 09:12:03 +0200"},
		{"2025-12-31T22:30:00Z", "Jan  1", "Jan  1 00:30", "2026-01-01 00:30:00 +0200"},
		{"0001-01-01T00:00:00Z", "-", "-", "-"},
	} {
		at, err := time.Parse(time.RFC3339, c.t)
		if err != nil {
			t.Fatal(err)
		}
		got := [3]string{clock(at, now), moment(at, now), fullTime(at, now)}
		if want := [3]string{c.clock, c.moment, c.full}; got != want {
			t.Errorf("%s: %q, not %q", c.t, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30": 30 * time.Second, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "0": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %s, %v, not %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1x", "1e9", "NaN", "Inf", "0x10", "1_000", "999999999d", "99999999999999999999", "1.2.3", "-"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %s, which is no duration", text, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2h": "2026-05-04T10:00:00Z", "7d": "2026-04-27T12:00:00Z", "09:12": "2026-05-04T09:12:00Z", "2026-05-01": "2026-05-01T00:00:00Z",
		"2026-05-01 09:12": "2026-05-01T09:12:00Z", "2026-05-01T09:12:30": "2026-05-01T09:12:30Z", "2026-05-01T09:12:30+02:00": "2026-05-01T07:12:30Z",
	} {
		got, err := parseTime(text, noon())
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("parseTime(%q) = %s, %v, not %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2026", "17", "-2h", "25:00", "2026-13-01", "yesterday"} {
		if got, err := parseTime(text, noon()); err == nil {
			t.Errorf("parseTime(%q) = %s, which is no time", text, got)
		}
	}
}
