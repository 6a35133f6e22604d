package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/label"
)

// kernelFacts are what the kernel can do, each nil or why not.
type kernelFacts struct {
	namespaces error
	connector  error
	taskstats  error
	delays     bool
	can        label.Can
	lockdown   string // none, integrity or confidentiality; empty: the kernel has none
	mounted    bool   // bpffs, where it belongs
	noBPFFS    error

	// What jobd was told, and what it says if it runs.
	asked     string
	labelDir  string
	labelsOff bool
	status    *control.StatusAnswer
}

func (x *examination) kernel(ctx context.Context) []Finding {
	if !x.root {
		return []Finding{needsRoot("kernel"), judgeEngine(kernelFacts{status: x.status}, false)}
	}
	return judgeKernel(x.lookKernel(ctx))
}

func (x *examination) lookKernel(ctx context.Context) kernelFacts {
	k := kernelFacts{
		namespaces: kernel.InitialNamespaces(kernel.Proc), delays: kernel.Proc.Delays(),
		asked: x.Engine, labelDir: x.LabelDir, labelsOff: x.LabelsOff, status: x.status,
	}
	var all sync.WaitGroup
	if st := x.status; st != nil && st.Engine == "bpf" {
		k.can = proven(st)
	} else {
		all.Go(func() { k.can = label.Probe() })
	}
	all.Go(func() { k.connector = soon(ctx, kernel.Connects) })
	all.Go(func() { k.taskstats = soon(ctx, kernel.Records) })
	all.Wait()
	k.mounted, k.noBPFFS = label.Mounted()
	if b, err := os.ReadFile("/sys/kernel/security/lockdown"); err == nil {
		k.lockdown = chosen(string(b))
	}
	return k
}

// proven is what the kernel can do where a jobd does it: to try that again would take a slow machine seconds.
func proven(st *control.StatusAnswer) (can label.Can) {
	if st.IDsLate != "" {
		can.IDs = errors.New(string(st.IDsLate))
	}
	return can
}

// errNoAnswer is a kernel that said nothing in time: it is busy, or it cannot, and an engine waits longer for it.
var errNoAnswer = errors.New("the kernel did not answer in time")

// soonest is how long before its deadline a probe is given up, so that what the others said is told.
const soonest = 200 * time.Millisecond

// soon is what a probe says, if it does so in time.
func soon(ctx context.Context, probe func() error) error {
	end := context.Background()
	if at, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		end, cancel = context.WithDeadline(ctx, at.Add(-soonest))
		defer cancel()
	}
	said := make(chan error, 1)
	go func() { said <- probe() }()
	select {
	case err := <-said:
		return err
	case <-end.Done():
		return errNoAnswer
	}
}

// chosen is the word in brackets: "none [integrity] confidentiality".
func chosen(s string) string {
	_, after, _ := strings.Cut(s, "[")
	word, _, _ := strings.Cut(after, "]")
	return word
}

const otherKernel = "the connector engine does without; for bpf, boot a kernel that has it"

func judgeKernel(k kernelFacts) []Finding {
	out := []Finding{judgeNamespaces(k.namespaces)}
	add := func(name, good, do string, err error) {
		switch {
		case errors.Is(err, errNoAnswer):
			out = append(out, skip(name, "%v", err))
		case err != nil:
			out = append(out, warn(name, do, "%v", err))
		default:
			out = append(out, ok(name, "%s", good))
		}
	}
	add("kernel.connector", "the kernel answers on the proc connector",
		"the bpf engine needs it once, where jobs are open that it has not labelled: "+
			"boot a kernel with CONFIG_PROC_EVENTS", k.connector)
	add("kernel.taskstats", "exit records are given", "the bpf engine needs them once, where jobs are open that it has not labelled: "+
		"boot a kernel with CONFIG_TASKSTATS", k.taskstats)
	out = append(out, judgeDelays(k.delays))
	add("kernel.btf", "the kernel tells of its types", otherKernel+" (CONFIG_DEBUG_INFO_BTF)", k.can.BTF)
	add("kernel.storage", "task storage", otherKernel+" (5.11 or later)", k.can.Storage)
	add("kernel.ring", "ring buffers", otherKernel+" (5.8 or later)", k.can.Ring)
	add("kernel.programs", "jobd's tracing programs pass the verifier", otherKernel, k.can.Tracing)
	return append(append(out, judgeHooks(k)...), judgeEngine(k, true))
}

func judgeNamespaces(err error) Finding {
	if err != nil {
		return fail("kernel.namespaces", "run jobd on the host, outside any container", "%v", err)
	}
	return ok("kernel.namespaces", "the initial pid and user namespace")
}

func judgeDelays(on bool) Finding {
	if on {
		return ok("kernel.delays", "delays are counted")
	}
	return ok("kernel.delays", "not counted, so null in records (kernel.task_delayacct=1 counts them)")
}

// judgeHooks is about what is used where it is there.
func judgeHooks(k kernelFacts) []Finding {
	var out []Finding
	how, ids := refusalOf(k), k.can.IDs
	if how == "" {
		out = append(out, warn("kernel.refusal", "if limits matter: add bpf to lsm= on the kernel's command line",
			"forks beyond a limit do not fail, their child is killed (%s)", k.noRefusal()))
	} else {
		out = append(out, ok("kernel.refusal", "forks beyond a limit fail (%s)", how))
	}
	if ids != nil {
		out = append(out, ok("kernel.ids", "changes of ids are told of late (%v)", ids))
	} else {
		out = append(out, ok("kernel.ids", "changes of ids are told at once"))
	}
	return append(out, judgeLockdown(k), judgeBPFFS(k))
}

// refusalOf is what the running engine says that it does, else what the kernel can.
func refusalOf(k kernelFacts) label.Refusal {
	switch {
	case k.status != nil && k.status.Engine == "bpf" && k.status.Refusal == "kill":
		return label.NoRefusal
	case k.status != nil && k.status.Engine == "bpf":
		return label.Refusal(k.status.Refusal)
	case k.can.LSM == nil:
		return label.RefusalLSM
	case k.can.Hook == nil:
		return label.RefusalFmodRet
	}
	return label.NoRefusal
}

func (k kernelFacts) noRefusal() string {
	if k.status != nil && k.status.Engine == "bpf" {
		return string(k.status.RefusalWhy)
	}
	return fmt.Sprintf("lsm: %v; fmod_ret: %v", k.can.LSM, k.can.Hook)
}

func judgeLockdown(k kernelFacts) Finding {
	switch {
	case k.lockdown == "":
		return ok("kernel.lockdown", "the kernel has none")
	case k.lockdown == "confidentiality" && k.can.Tracing != nil:
		return warn("kernel.lockdown", "the connector engine does without; for bpf, boot with lockdown=integrity",
			"%s: programs may not look into the kernel", k.lockdown)
	}
	return ok("kernel.lockdown", "%s", k.lockdown)
}

func judgeBPFFS(k kernelFacts) Finding {
	switch {
	case errors.Is(k.noBPFFS, fs.ErrNotExist):
		return warn("kernel.bpffs", otherKernel+" (CONFIG_BPF_SYSCALL)", "there is no /sys/fs/bpf")
	case k.noBPFFS != nil:
		return warn("kernel.bpffs", "look why: mount(8)", "%v", k.noBPFFS)
	case !k.mounted:
		return ok("kernel.bpffs", "not mounted on /sys/fs/bpf: jobd mounts it")
	}
	return ok("kernel.bpffs", "mounted on /sys/fs/bpf")
}
