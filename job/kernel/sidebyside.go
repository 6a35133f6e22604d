package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/jobd-project/jobd/job/look"
)

// batch is how many are looked at in one look.
const batch = 64

// inBatches gives what now says of each number from 0 to n-1. A look by somebody who can be left behind takes twice as long as to look, so
// it is one for many; of a batch in which somebody is held up each is looked at alone. What is left behind goes on to call now: that
// reads nothing that changes.
func inBatches[T any](n int, now, alone func(i int) T) []T {
	out := make([]T, n)
	sideBySide((n+batch-1)/batch, func(b int) {
		part := out[b*batch : min(n, (b+1)*batch)]
		got, err := look.At(looks, int32(-1-b), func() ([]T, error) { // a key that is no process's
			got := make([]T, len(part))
			for i := range got {
				got[i] = now(b*batch + i)
			}
			return got, nil
		})
		for i := range part {
			if err != nil {
				part[i] = alone(b*batch + i)
			} else {
				part[i] = got[i]
			}
		}
	})
	return out
}

// sidesMost is how many CPUs look through a whole host at most: the kernel's own locks allow for no more.
const sidesMost = 8

// sideBySide calls f with each number from 0 to n-1, on as many CPUs as there are, and returns when all calls have.
func sideBySide(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), sidesMost, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	all.Wait()
}
