package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

// jumps are where the clock is set, one after the other, from noon of a day on.
var jumps = []struct {
	name string
	by   time.Duration
}{
	{"a day forward", 24 * time.Hour}, {"two days back", -48 * time.Hour}, {"two hours forward", 2 * time.Hour},
	{"to just before midnight", 10*time.Hour - 20*time.Second}, {"over midnight", 10 * time.Minute}, {"back over midnight", -10 * time.Minute},
	{"ten years back", -87600 * time.Hour}, {"and forward again", 87600 * time.Hour},
}

// clock sets the clock while jobs are open, and between two runs of jobd: no time may be negative, none longer than it was,
// and what ended is in the books when the clock said that it was then.
func (b *bare) clock() {
	now := time.Now()
	setClock(time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, time.UTC).Sub(now))
	began := uptime()
	held := b.newStorm("held", "0", "0") // through all of it
	if held == nil {
		return
	}
	for _, j := range jumps {
		b.jump(j.name, func() { setClock(j.by) })
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		for _, by := range []time.Duration{26 * time.Hour, -26 * time.Hour} {
			b.jump(fmt.Sprintf("%v while jobd is down after %v", by, sig), func() {
				b.stop(sig)
				setClock(by)
				b.start()
			})
		}
	}
	in, err := b.client.Show(b.soon(), held.ref())
	age := time.Since(in.Started)
	b.say(err == nil && age > 0 && age < uptime()-began+time.Second, fmt.Sprintf("the job that was open through all of it is %v old", age.Round(time.Second)),
		fmt.Sprint(in.Started, err))
	b.kill(held)
	b.selfcheckOf(held)
	b.clockMarks()
}

func uptime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

func setClock(by time.Duration) {
	tv := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		fmt.Println("not ok - the clock can be set: got", err)
	}
}

// jump has a job that ends before the clock is set, one that ends after it, and one that is made after it.
func (b *bare) jump(name string, set func()) {
	began := uptime()
	open := b.newStorm("open", "20")
	if open == nil {
		return
	}
	before := b.around(func() (job.Info, bool) { return b.storm(10) })
	until(func() bool { // so that it is on disk
		records, err := b.client.Procs(b.soon(), control.Request{Job: control.JobRef(fmt.Sprint(before.in.Seq))})
		return err == nil && len(records) == before.in.TotalProcesses
	})
	set()
	after := b.around(func() (job.Info, bool) { return b.storm(10) })
	last := b.around(func() (job.Info, bool) {
		open.begin()
		_ = open.cmd.Wait()
		in, err := b.client.Wait(b.soon(), control.Request{Job: open.ref()})
		return in, err == nil && in.TotalProcesses == 21
	})
	most := uptime() - began
	var wrong []string
	for _, e := range []ending{before, after, last} {
		wrong = append(wrong, b.wrongTimes(e, most)...)
	}
	b.say(len(wrong) == 0, "the clock is set "+name+": jobs and processes ended when it was, after as long as it took", wrong)
}

// ending is a job that has ended, and what the clock said before and after.
type ending struct {
	in       job.Info
	ok       bool
	from, to time.Time
}

func (b *bare) around(do func() (job.Info, bool)) (e ending) {
	e.from = time.Now().Round(0)
	e.in, e.ok = do()
	e.to = time.Now().Round(0)
	return e
}

// coarse is how far stamps may be off: the events of a burst in which the clock is set are said to be of before.
const coarse = 100 * time.Millisecond

// wrongTimes says what is wrong with the times of a job and of its processes, which cannot have been there for longer than most.
func (b *bare) wrongTimes(e ending, most time.Duration) (wrong []string) {
	if !e.ok {
		return []string{fmt.Sprintf("job %d has %d processes", e.in.Seq, e.in.TotalProcesses)}
	}
	look := func(what string, start, end *time.Time) {
		if start == nil || end == nil || end.Before(e.from.Add(-coarse)) || end.After(e.to.Add(coarse)) || end.Before(*start) || end.Sub(*start) > most {
			wrong = append(wrong, fmt.Sprintf("%s from %v to %v, and it was %v to %v", what, start, end, e.from, e.to))
		}
	}
	look(fmt.Sprintf("job %d", e.in.Seq), &e.in.Started, e.in.Ended)
	records, err := b.client.Procs(b.soon(), control.Request{Job: control.JobRef(fmt.Sprint(e.in.Seq))})
	if err != nil || len(records) != e.in.TotalProcesses {
		wrong = append(wrong, fmt.Sprintf("job %d has %d records of %d processes, %v", e.in.Seq, len(records), e.in.TotalProcesses, err))
	}
	for i := range records {
		look(fmt.Sprintf("process %d", records[i].PID), records[i].Started, records[i].Ended)
	}
	return wrong
}

// selfcheckOf is after jobd was killed: what was lost then is no matter.
func (b *bare) selfcheckOf(s *stormer) {
	ans, err := b.client.Selfcheck(b.soon())
	in, err2 := b.client.Wait(b.soon(), control.Request{Job: s.ref()})
	ok := err == nil && err2 == nil && ans.OK && ans.Balance.Error() == 0 && in.TotalProcesses == 1
	b.say(ok, "selfcheck is clean, and that job has had one process", fmt.Sprint(ans, in.TotalProcesses, err, err2))
}

// clockMarks: the books say when the clock was set, but for forward while jobd was down, which is a gap like any other.
func (b *bare) clockMarks() {
	moments, err := b.client.Moments(b.soon(), control.Request{})
	n := 0
	var told []job.Text
	for _, m := range moments {
		if m.Kind == job.MomentClock {
			n++
			told = append(told, m.Text)
		}
		if m.Since != nil && m.Since.After(m.Time) {
			b.say(false, "a mark of time has its beginning before its end", m)
		}
	}
	want := 1 + len(jumps) + 2
	b.say(err == nil && n == want, fmt.Sprintf("%d marks of time say that the clock was set", n), fmt.Sprint("not ", want, err, told))
}
