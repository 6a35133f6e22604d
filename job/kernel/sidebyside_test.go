package kernel

import "testing"

// TestInBatches: each number is asked of once, and has its own answer.
func TestInBatches(t *testing.T) {
	for _, n := range []int{0, 1, batch - 1, batch, batch + 1, 5*batch + 7} {
		got := inBatches(n, func(i int) int { return 3 * i }, func(int) int { t.Error("nobody was held up"); return 0 })
		if len(got) != n {
			t.Fatalf("%d answers of %d", len(got), n)
		}
		for i, v := range got {
			if v != 3*i {
				t.Errorf("of %d the answer is %d", i, v)
			}
		}
	}
}
