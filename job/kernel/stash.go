package kernel

import (
	"time"

	"github.com/jobd-project/jobd/job/watch"
)

// stash keeps exit records, by task, until their EXIT is read.
type stash map[int32][]stashed

type stashed struct {
	usage watch.Usage
	at    int64 // when it was read, CLOCK_MONOTONIC ns
}

// strayAge is how long a record waits for its EXIT. That is sent microseconds after it: a record that waits for longer
// belongs to an exit from before the engine listened, or to a lost one.
const strayAge = int64(time.Second)

func (s stash) put(tid int32, u watch.Usage, now int64) {
	s[tid] = append(s[tid], stashed{u, now})
}

// take gives the oldest record of a task.
func (s stash) take(tid int32) (watch.Usage, bool) {
	list := s[tid]
	if len(list) == 0 {
		return watch.Usage{}, false
	}
	if len(list) == 1 {
		delete(s, tid)
	} else {
		s[tid] = list[1:]
	}
	return list[0].usage, true
}

// expire forgets records that will not be asked for any more, and counts them.
func (s stash) expire(now int64) (stray uint64) {
	for tid, list := range s {
		for len(list) > 0 && now-list[0].at > strayAge {
			list = list[1:]
			stray++
		}
		if len(list) == 0 {
			delete(s, tid)
		} else {
			s[tid] = list
		}
	}
	return stray
}
