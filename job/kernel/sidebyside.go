package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

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
