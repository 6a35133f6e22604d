package doctor

import (
	"cmp"
	"errors"
)

// judgeEngine says which engine is in use, or would be, and why. probed: the kernel has been asked.
func judgeEngine(k kernelFacts, probed bool) Finding {
	noBPF := cmp.Or(k.can.BTF, k.can.Storage, k.can.Ring, k.can.Tracing)
	switch {
	case k.status != nil && probed && noBPF == nil && k.status.EngineFellBack:
		return warn("engine", "the kernel could do bpf by now: restart jobd; its log says more", "connector: %s", k.status.EngineWhy)
	case k.status != nil:
		return ok("engine", "%s: %s", k.status.Engine, k.status.EngineWhy)
	case !probed:
		return needsRoot("engine")
	}
	return judgeChoice(k, noBPF)
}

// answered is an answer, in place of none.
func answered(err error) error {
	if errors.Is(err, errNoAnswer) {
		return nil
	}
	return err
}

// judgeChoice is about a jobd that does not run.
func judgeChoice(k kernelFacts, noBPF error) Finding {
	why := noBPF
	switch {
	case k.asked == "connector":
		why = errors.New("asked for")
	case k.labelsOff:
		why = errors.New("labels are not wanted (label.use)")
	case k.labelDir == "":
		why = errors.New("label.dir is not set")
	}
	noConnector := cmp.Or(answered(k.connector), answered(k.taskstats), k.connector, k.taskstats)
	switch {
	case k.namespaces != nil:
		return skip("engine", "none starts in here")
	case why == nil:
		return ok("engine", "would be bpf: the kernel can")
	case k.asked == "bpf":
		return fail("engine", "start jobd with --engine auto, or boot a kernel that can", "bpf is asked for: %v", why)
	case errors.Is(noConnector, errNoAnswer):
		return skip("engine", "would be connector, if the kernel can (%v): %v", noConnector, why)
	case noConnector != nil:
		return fail("engine", "boot a kernel with CONFIG_PROC_EVENTS and CONFIG_TASKSTATS, or one that can do bpf",
			"none would work: connector: %v; bpf: %v", noConnector, why)
	}
	return ok("engine", "would be connector: %v", why)
}
