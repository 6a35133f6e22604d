package kernel

import (
	"testing"

	"github.com/jobd-project/jobd/job/watch"
)

// TestIntegrationProbes: what an engine was opened with is there by the probes as well, and the engine hears on after them.
func TestIntegrationProbes(t *testing.T) {
	c := realEngine(t)
	for name, probe := range map[string]func() error{"connector": Connects, "taskstats": Records} {
		if err := probe(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	id, begin := shell(t, c, "exit 3")
	begin()
	gone := false
	until(t, c, func(e *watch.Event) error {
		gone = gone || e.Kind == watch.Free && e.Proc == id
		return nil
	}, func() bool { return gone })
}
