package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jobd-project/jobd/job/control"
)

// How often the pids come round: storms of forks of several jobs at once, a few of which stay, and little room for pids.
const (
	pidMax    = 500
	wrapJobs  = 3
	wrapForks = 700
	wrapKeep  = 8
)

// pids lets pids be used again and again while members stay: each job has to have its own, and no more, and a kill
// must hit nobody else.
func (b *bare) pids() {
	if err := os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(pidMax)), 0); err != nil {
		b.say(false, "pid_max can be set", err)
		return
	}
	before := forks()
	var list []*stormer
	for i := range wrapJobs {
		if s := b.newStorm("wrap"+strconv.Itoa(i), strconv.Itoa(wrapForks), strconv.Itoa(wrapKeep)); s != nil {
			list = append(list, s)
		}
	}
	for _, s := range list {
		s.begin()
	}
	for _, s := range list {
		s.done()
	}
	if len(list) != wrapJobs {
		return
	}
	b.say(true, fmt.Sprintf("with a pid_max of %d there were %d forks", pidMax, forks()-before), nil)
	b.selfcheck("after the pids came round")
	for i, s := range list {
		b.wrapped(s, "wrap"+strconv.Itoa(i))
	}
	b.killed(list)
	for i := 1; i < wrapJobs; i++ {
		b.kill(list[i])
	}
	b.selfcheck("after the kills")
}

// wrapped looks whether a job has its own members and records.
func (b *bare) wrapped(s *stormer, token string) {
	got, want := b.members(s), withToken(token)
	b.say(slices.Equal(got, want) && len(want) == wrapKeep+1, fmt.Sprintf("job %d has its own %d members", s.seq, len(want)), fmt.Sprint(got, want))
	in, err := b.client.Show(b.soon(), s.ref())
	b.say(err == nil && in.TotalProcesses == wrapForks+1, fmt.Sprintf("and has had %d", in.TotalProcesses), err)
	records, err := b.client.Procs(b.soon(), control.Request{Job: s.ref()})
	b.say(err == nil && len(records) == wrapForks-wrapKeep, fmt.Sprintf("of which %d are on record", len(records)), err)
}

// killed ends the first job, and looks for everybody else.
func (b *bare) killed(list []*stormer) {
	first := withToken("wrap0")
	all := pidsNow()
	b.kill(list[0])
	left := pidsNow()
	var hit, spared []int32
	for _, pid := range all {
		alive, own := slices.Contains(left, pid), slices.Contains(first, pid)
		if !alive && !own {
			hit = append(hit, pid)
		}
		if alive && own {
			spared = append(spared, pid)
		}
	}
	b.say(len(hit) == 0 && len(spared) == 0, fmt.Sprintf("the kill of a job hit its %d members and nobody of %d others", len(first), len(all)-len(first)),
		fmt.Sprint(hit, spared))
}

func (b *bare) kill(s *stormer) {
	ans, err := b.client.Kill(b.soon(), control.Request{Job: s.ref(), Now: true})
	_ = s.cmd.Wait()
	b.say(err == nil && len(ans.Left) == 0, fmt.Sprintf("job %d is killed", s.seq), fmt.Sprint(ans, err))
}

func (b *bare) selfcheck(when string) {
	ans, err := b.client.Selfcheck(b.soon())
	st, err2 := b.client.Status(b.soon())
	ok := err == nil && err2 == nil && ans.OK && ans.Balance.Error() == 0 && st.EventsLost == 0 && st.RecordsMissed == 0
	b.say(ok, "selfcheck is clean and nothing was lost "+when, fmt.Sprint(ans, err, st.EventsLost, st.RecordsMissed, err2))
}

func (b *bare) members(s *stormer) (pids []int32) {
	list, err := b.client.PS(b.soon(), control.Request{Job: s.ref()})
	if err != nil {
		b.say(false, "the members can be listed", err)
	}
	for _, p := range list {
		pids = append(pids, p.PID)
	}
	slices.Sort(pids)
	return pids
}

// pidsNow lists the processes of the machine but for the kernel's own threads, which come and go.
func pidsNow() (pids []int32) {
	list, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, path := range list {
		if _, err := os.Readlink(path); err != nil {
			continue
		}
		pid, err := strconv.ParseInt(strings.Split(path, "/")[2], 10, 32)
		if err == nil {
			pids = append(pids, int32(pid))
		}
	}
	slices.Sort(pids)
	return pids
}

// withToken lists the processes that have inherited a token.
func withToken(token string) (pids []int32) {
	for _, pid := range pidsNow() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), "BARE="+token) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// forks is how many processes and threads the kernel has made.
func forks() int {
	b, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "processes "); ok {
			all, _ := strconv.Atoi(strings.TrimSpace(n))
			return all
		}
	}
	return 0
}
