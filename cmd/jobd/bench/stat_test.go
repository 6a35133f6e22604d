package bench

import (
	"fmt"
	"slices"
	"testing"
)

// samples are the figures of one thing, a run each.
type samples []float64

// at gives the quantile q by linear interpolation between the nearest two.
func (s samples) at(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	pos := q * float64(len(sorted)-1)
	i := int(pos)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (pos-float64(i))*(sorted[i+1]-sorted[i])
}

func (s samples) median() float64 { return s.at(0.5) }

// spread writes the median with its quartiles, all by the same format.
func (s samples) spread(format, unit string) string {
	f := func(q float64) string { return fmt.Sprintf(format, s.at(q)) }
	return f(0.5) + unit + " (" + f(0.25) + " to " + f(0.75) + ")"
}

// each makes a sample of every pair.
func each(a, b samples, f func(a, b float64) float64) samples {
	out := make(samples, min(len(a), len(b)))
	for i := range out {
		out[i] = f(a[i], b[i])
	}
	return out
}

func ratio(a, b float64) float64   { return a / b }
func less(a, b float64) float64    { return a - b }
func percent(a, b float64) float64 { return (a/b - 1) * 100 }

func TestQuantiles(t *testing.T) {
	s := samples{4, 1, 3, 2, 5}
	for q, want := range map[float64]float64{0: 1, 0.25: 2, 0.5: 3, 0.9: 4.6, 1: 5} {
		if got := s.at(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := (samples{}).median(); got != 0 {
		t.Errorf("the median of nothing is %v, want 0", got)
	}
	if got, want := s.spread("%.1f", " µs"), "3.0 µs (2.0 to 4.0)"; got != want {
		t.Errorf("spread is %q, want %q", got, want)
	}
}
