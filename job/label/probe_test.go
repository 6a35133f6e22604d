package label

import (
	"errors"
	"testing"
)

// TestProbe: what can be opened is there by the probe, which leaves nothing behind; how forks fail is as it turned out.
func TestProbe(t *testing.T) {
	dir := place(t)
	c := Probe()
	if err := errors.Join(c.BTF, c.Storage, c.Ring, c.Tracing); err != nil {
		t.Errorf("labels can be opened, the probe says: %v", err)
	}
	if Kept(dir) {
		t.Error("the probe keeps labels")
	}
	l, err := Follow(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	how, _ := l.Events().Refusal()
	if how == RefusalLSM && c.LSM != nil || how == RefusalFmodRet && c.Hook != nil {
		t.Errorf("forks are refused by %q, the probe says %v, %v", how, c.LSM, c.Hook)
	}
	if l.Events().Late() == nil && c.IDs != nil {
		t.Errorf("ids are told at once, the probe says %v", c.IDs)
	}
}
