package watch

import "testing"

func TestAddTakesMaximaAndSums(t *testing.T) {
	var u Usage
	u.Add(&Usage{Groups: GroupBasic | GroupCPU | GroupIO, CPU: 5, MaxRSS: 100, Elapsed: 9, ReadBytes: 1, BTime: 50, Comm: "worker", Flags: 2, Threads: 1})
	u.Add(&Usage{Groups: GroupBasic | GroupCPU, CPU: 7, MaxRSS: 60, Elapsed: 20, BTime: 40, Comm: "main", Flags: 8, Threads: 1})
	if u.CPU != 12 || u.MaxRSS != 100 || u.Elapsed != 20 || u.Threads != 2 || u.BTime != 40 {
		t.Errorf("got %+v", u)
	}
	if u.Comm != "main" || u.Flags != 10 {
		t.Errorf("got comm %q flags %d, want those of the last thread, and all flags", u.Comm, u.Flags)
	}
	if !u.Groups.Has(GroupBasic|GroupCPU) || u.Groups.Has(GroupIO) {
		t.Errorf("groups %b: a sum is known only where every part is", u.Groups)
	}
}
