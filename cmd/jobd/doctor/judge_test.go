package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
	"github.com/jobd-project/jobd/job/label"
)

var errAny = errors.New("it is not there")

// finds checks findings by the beginnings of "name state what was seen", and that all but good ones say what to do.
func finds(t *testing.T, about string, got []Finding, want ...string) {
	t.Helper()
	var lines []string
	for _, f := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s", f.Name, f.State, f.Seen))
		if f.Seen == "" || (f.Do == "") != (f.State == OK || f.State == Skip) {
			t.Errorf("%s: not whole: %+v", about, f)
		}
	}
	if !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Errorf("%s:\n%s\nwant\n%s", about, strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// TestJudgeConfig: what an ordinary user cannot read is not known to be bad. What else is wrong is.
func TestJudgeConfig(t *testing.T) {
	unread := fmt.Errorf("/f:2: cannot use /w: %w", &fs.PathError{Op: "open", Path: "/w", Err: unix.EACCES})
	for about, c := range map[string]struct {
		err  error
		root bool
		want string
	}{
		"good":           {nil, false, "jobd.config ok /f is good"},
		"unread":         {errors.Join(unread), false, "jobd.config skip needs root"},
		"unread and bad": {errors.Join(unread, errAny), false, "jobd.config fail /f:2: cannot use /w: open /w: permission denied; it is"},
		"unread by root": {unread, true, "jobd.config fail"},
	} {
		finds(t, about, []Finding{judgeConfig(Config{Path: "/f", Error: c.err}, c.root)}, c.want)
	}
}

// TestJudgeKernel: what is missing is a warning as long as one engine works.
func TestJudgeKernel(t *testing.T) {
	whole := kernelFacts{delays: true, mounted: true, labelDir: "/x", asked: "auto"}
	names := []string{"kernel.namespaces", "kernel.connector", "kernel.taskstats", "kernel.delays", "kernel.btf", "kernel.storage",
		"kernel.ring",
		"kernel.programs", "kernel.refusal", "kernel.ids", "kernel.lockdown", "kernel.bpffs", "engine"}
	bpf, kills := &control.StatusAnswer{Engine: "bpf", EngineWhy: "asked for", Refusal: "lsm"}, &control.StatusAnswer{Engine: "bpf",
		Refusal: "kill", RefusalWhy: "no hook", IDsLate: "not permitted"}
	late := &control.StatusAnswer{Engine: "connector", EngineWhy: "x", EngineFellBack: true}
	content := &control.StatusAnswer{Engine: "connector", EngineWhy: "label.dir was not set then"}
	for about, c := range map[string]struct {
		change func(*kernelFacts)
		want   map[string]string // what is not ok, or what the engine is
	}{
		"whole":       {func(*kernelFacts) {}, map[string]string{"engine": "ok would be bpf"}},
		"a container": {func(k *kernelFacts) { k.namespaces = errAny }, map[string]string{"kernel.namespaces": "fail", "engine": "skip"}},
		"no delays":   {func(k *kernelFacts) { k.delays = false }, map[string]string{"kernel.delays": "ok not counted"}},
		"no connector": {func(k *kernelFacts) { k.connector = errAny }, map[string]string{"kernel.connector": "warn",
			"engine": "ok would be bpf"}},
		"no BTF": {func(k *kernelFacts) { k.can.BTF = errAny }, map[string]string{"kernel.btf": "warn",
			"engine": "ok would be connector"}},
		"no engine": {func(k *kernelFacts) { k.can.Ring, k.taskstats = errAny, errAny }, map[string]string{"kernel.ring": "warn",
			"kernel.taskstats": "warn", "engine": "fail"}},
		"bpf or nothing": {func(k *kernelFacts) { k.can.Tracing, k.asked = errAny, "bpf" }, map[string]string{"kernel.programs": "warn",
			"engine": "fail bpf is asked for"}},
		"no labels": {func(k *kernelFacts) { k.labelsOff = true },
			map[string]string{"engine": "ok would be connector: labels are not wanted"}},
		"nowhere": {func(k *kernelFacts) { k.labelDir = "" }, map[string]string{"engine": "ok would be connector: label.dir"}},
		"asked":   {func(k *kernelFacts) { k.asked = "connector" }, map[string]string{"engine": "ok would be connector: asked for"}},
		"by the hook": {func(k *kernelFacts) { k.can.LSM = errAny },
			map[string]string{"kernel.refusal": "ok forks beyond a limit fail (fmod_ret)"}},
		"by no hook": {func(k *kernelFacts) { k.can.LSM, k.can.Hook = errAny, errAny }, map[string]string{"kernel.refusal": "warn"}},
		"late": {func(k *kernelFacts) { k.can.IDs = errAny },
			map[string]string{"kernel.ids": "ok changes of ids are told of late"}},
		"locked": {func(k *kernelFacts) { k.lockdown, k.can.Tracing = "confidentiality", errAny },
			map[string]string{"kernel.lockdown": "warn", "kernel.programs": "warn"}},
		"locked a little": {func(k *kernelFacts) { k.lockdown = "integrity" }, map[string]string{"kernel.lockdown": "ok integrity"}},
		"no bpffs":        {func(k *kernelFacts) { k.noBPFFS = fs.ErrNotExist }, map[string]string{"kernel.bpffs": "warn"}},
		"not mounted":     {func(k *kernelFacts) { k.mounted = false }, map[string]string{"kernel.bpffs": "ok not mounted"}},
		"runs": {func(k *kernelFacts) { k.status, k.can.LSM = bpf, errAny }, map[string]string{"engine": "ok bpf: asked for",
			"kernel.refusal": "ok forks beyond a limit fail (lsm)"}},
		"runs, and kills": {func(k *kernelFacts) { k.status, k.can = kills, proven(kills) },
			map[string]string{"kernel.refusal": "warn forks beyond a limit do not fail, their child is killed (no hook)",
				"kernel.ids": "ok changes of ids are told of late (not permitted)"}},
		"could do better": {func(k *kernelFacts) { k.status = late }, map[string]string{"engine": "warn connector"}},
		"wants no better": {func(k *kernelFacts) { k.status = content }, map[string]string{"engine": "ok connector"}},
		"silent": {func(k *kernelFacts) { k.connector, k.taskstats = errNoAnswer, errNoAnswer },
			map[string]string{"kernel.connector": "skip the kernel did not answer", "kernel.taskstats": "skip", "engine": "ok would be bpf"}},
		"silent, and no BTF": {func(k *kernelFacts) { k.can.BTF, k.connector = errAny, errNoAnswer },
			map[string]string{"kernel.btf": "warn", "kernel.connector": "skip", "engine": "skip would be connector"}},
		"silent, and no taskstats": {func(k *kernelFacts) { k.can.BTF, k.connector, k.taskstats = errAny, errNoAnswer, errAny },
			map[string]string{"kernel.btf": "warn", "kernel.connector": "skip", "kernel.taskstats": "warn", "engine": "fail"}},
	} {
		k := whole
		c.change(&k)
		var want []string
		for _, name := range names {
			state := "ok"
			if s, there := c.want[name]; there {
				state = s
			}
			want = append(want, name+" "+state)
		}
		finds(t, about, judgeKernel(k), want...)
	}
	if got := chosen("none [integrity] confidentiality\n"); got != "integrity" {
		t.Errorf("lockdown %q", got)
	}
	if refusalOf(kernelFacts{can: label.Can{LSM: errAny, Hook: errAny}}) != label.NoRefusal {
		t.Error("a refusal out of nothing")
	}
}

// TestSoon: a probe that hangs is waited for until all looking is about to be over, and is no answer.
func TestSoon(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	ctx, cancel := context.WithTimeout(t.Context(), 2*soonest)
	defer cancel()
	if err := soon(ctx, func() error { <-forever; return nil }); err != errNoAnswer || ctx.Err() != nil {
		t.Errorf("%v, and %v", err, ctx.Err())
	}
	if err := soon(t.Context(), func() error { return errAny }); err != errAny {
		t.Error(err)
	}
}

// TestJudgeDaemon: each way in which a running jobd may be ill.
func TestJudgeDaemon(t *testing.T) {
	now := time.Now()
	for about, c := range map[string]struct {
		change func(*daemonFacts)
		at     int // of the findings
		want   string
	}{
		"well":        {func(*daemonFacts) {}, 0, "jobd ok answers, pid 7"},
		"other":       {func(d *daemonFacts) { d.version = "2" }, 1, "jobd.version warn 1 runs, this is 2"},
		"reconfigure": {func(d *daemonFacts) { d.changed = now.Add(time.Hour) }, 2, "jobd.reload warn /c was changed"},
		"gone":        {func(d *daemonFacts) { d.noFile = fs.ErrNotExist }, 2, "jobd.reload warn /c is not there any more"},
		"hidden":      {func(d *daemonFacts) { d.noFile = errAny }, 2, "jobd.reload skip it is not there"},
		"first":       {func(d *daemonFacts) { d.status.Config.File = "" }, 2, "jobd.reload warn /d is there, and jobd has read none"},
		"without":     {func(d *daemonFacts) { d.status.Config.File, d.config = "", "" }, 2, "jobd.reload ok"},
		"in vain":     {func(d *daemonFacts) { d.status.Config.Error = "/c:2: no" }, 2, "jobd.reload fail it was read again in vain: /c:2: no"},
		"restart":     {func(d *daemonFacts) { d.status.Config.Restart = []string{"hid"} }, 2, "jobd.reload warn these hold after a restart: hid"},
		"as it is":    {func(d *daemonFacts) { d.changed = now }, 2, "jobd.reload ok"},
		"drained":     {func(d *daemonFacts) { d.status.Drained = true }, 3, "jobd.logins warn"},
		"degraded":    {func(d *daemonFacts) { d.status.DegradedSince = &now }, 4, "jobd.events fail"},
		"lost":        {func(d *daemonFacts) { d.status.EventsLost = 3 }, 4, "jobd.events warn 3 events"},
		"unbalanced":  {func(d *daemonFacts) { d.status.Balance.Live = 1 }, 5, "jobd.balance fail off by -1"},
		"halted":      {func(d *daemonFacts) { d.status.Store.HaltedSince = &now }, 6, "jobd.books fail"},
		"dropped":     {func(d *daemonFacts) { d.status.Store.Dropped = 1 }, 6, "jobd.books warn 1 records"},
		"errors":      {func(d *daemonFacts) { d.status.Store.Errors = 1 }, 6, "jobd.books warn 1 errors"},
		"set aside":   {func(d *daemonFacts) { d.status.Store.SetAside = "/x" }, 6, "jobd.books warn they were damaged"},
	} {
		d := daemonFacts{version: "1", config: "/d", status: &control.StatusAnswer{Version: "1", PID: 7, Started: now,
			Config: control.ConfigStatus{File: "/c", ReadAt: now}}}
		c.change(&d)
		finds(t, about, judgeDaemon(d)[c.at:c.at+1], c.want)
	}
	for _, why := range []error{unix.ENOENT, context.DeadlineExceeded, errAny} {
		finds(t, "down", judgeDaemon(daemonFacts{why: why}), "jobd fail "+why.Error())
	}
	configs := []Finding{judgeConfig(Config{}, true), judgeConfig(Config{Path: "/c"}, true), judgeConfig(Config{Path: "/c", Error: errAny}, true)}
	finds(t, "config", configs, "jobd.config ok", "jobd.config ok /c", "jobd.config fail")
}

// TestChangedAt: what is put in a file's place is a change, whatever time it brings with it.
func TestChangedAt(t *testing.T) {
	dir := t.TempDir()
	old, other, link := filepath.Join(dir, "old"), filepath.Join(dir, "other"), filepath.Join(dir, "link")
	changed := func(path string) time.Time {
		t.Helper()
		at, err := changedAt(path)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, path := range []string{other, old} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chtimes(other, time.Time{}, time.Unix(1, 0)), os.Symlink(other, link)); err != nil {
		t.Fatal(err)
	}
	before := changed(old)
	if err := os.Rename(other, old); err != nil {
		t.Fatal(err)
	}
	if after := changed(old); after.Before(before) {
		t.Errorf("changed at %v, and before that at %v", after, before)
	}
	if err := errors.Join(os.Remove(link), os.Symlink("/proc/version", link)); err != nil {
		t.Fatal(err)
	}
	if after := changed(link); after.Before(before) {
		t.Errorf("a link that leads elsewhere was changed at %v", after)
	}
	if _, err := changedAt(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is not there: %v", err)
	}
}

// TestConfigHangs: a configuration that nobody can read to its end holds nobody up, and what the flags say stands in for it.
func TestConfigHangs(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	dir := t.TempDir()
	a := Run(t.Context(), Options{
		RunDir: dir, StateDir: dir, PAMDir: dir, Engine: "connector", Config: Config{Path: dir + "/none", Floor: 1 << 62},
		Read:  func() Config { <-forever; return Config{} },
		Owned: func(string) error { return nil }, Auditd: func() (bool, error) { return false, nil },
	})
	want := map[string]State{"jobd.config": Skip, "files.config": Fail, "disk.free": Fail}
	for _, f := range a.Findings {
		if state, asked := want[f.Name]; asked && f.State != state {
			t.Errorf("%+v", f)
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("nothing is said of %v: %+v", want, a)
	}
}

// TestJudgeCgroups: own ones, and what they would have.
func TestJudgeCgroups(t *testing.T) {
	all := []string{"cpu", "memory", "pids"}
	own, reads := &control.StatusAnswer{Cgroup: "own"}, &control.StatusAnswer{Cgroup: "read", CgroupWhy: "mkdir: no"}
	finds(t, "unknown", judgeCgroups(cgroupFacts{err: errAny}), "cgroup skip")
	finds(t, "none", judgeCgroups(cgroupFacts{}), "cgroup warn")
	finds(t, "own", judgeCgroups(cgroupFacts{mount: "/sys/fs/cgroup", root: true, delegated: all, status: own}),
		"cgroup ok v2 on /sys/fs/cgroup, jobd makes", "cgroup.controllers ok cpu")
	finds(t, "read", judgeCgroups(cgroupFacts{mount: "/x", root: true, delegated: all[1:], status: reads}),
		"cgroup warn v2 on /x (beside v1), jobd: read: mkdir", "cgroup.controllers ok without cpu")
	finds(t, "down", judgeCgroups(cgroupFacts{mount: "/x", root: true, controllers: all}), "cgroup ok",
		"cgroup.controllers warn without cpu, memory, pids")
	finds(t, "ro", judgeCgroups(cgroupFacts{mount: "/x", root: true, writable: unix.EROFS}), "cgroup warn",
		"cgroup.controllers warn without cpu, memory, pids: v1")
	finds(t, "user", judgeCgroups(cgroupFacts{mount: "/x", writable: unix.EACCES, delegated: all}), "cgroup ok", "cgroup.controllers ok")
}

// TestJudgeHost: audit, SELinux, the clock, the disk.
func TestJudgeHost(t *testing.T) {
	three, now := uint32(3), time.Now()
	finds(t, "audit", judgeAudit(auditFacts{root: true, sessions: true, own: &three, registered: true}),
		"audit.sessions ok the kernel has them, this login's is 3", "audit.daemon ok running")
	finds(t, "no audit", judgeAudit(auditFacts{root: true, err: errAny}), "audit.sessions warn", "audit.daemon ok none (it is not there)")
	finds(t, "a user's", judgeAudit(auditFacts{sessions: true}), "audit.sessions ok the kernel has them, and",
		"audit.daemon skip needs root")
	finds(t, "selinux", []Finding{judgeSELinux(selinuxFacts{}), judgeSELinux(selinuxFacts{enforcing: true, module: true}),
		judgeSELinux(selinuxFacts{enforcing: true,
			unknown: errAny}), judgeSELinux(selinuxFacts{enforcing: true})}, "selinux ok", "selinux ok", "selinux skip", "selinux warn")
	finds(t, "clock", judgeClock(clockFacts{now: now, last: now.Add(-time.Hour), synced: true}), "clock.books ok later", "clock.synced ok")
	finds(t, "set back", judgeClock(clockFacts{now: now, last: now.Add(time.Hour)}), "clock.books warn", "clock.synced warn")
	finds(t, "never set", judgeClock(clockFacts{now: time.Unix(0, 0), noSync: errAny}), "clock.books fail", "clock.synced skip")
	finds(t, "no books", judgeClock(clockFacts{now: now, synced: true}), "clock.books ok", "clock.synced ok")
	const mib = 1 << 20
	finds(t, "disk", judgeDisk(diskFacts{dir: "/x", free: 900 * mib, floor: 256 * mib}), "disk.free ok 900 MiB", "disk.kind ok")
	finds(t, "little", judgeDisk(diskFacts{free: 500 * mib, floor: 256 * mib, kind: unix.TMPFS_MAGIC}), "disk.free warn", "disk.kind warn")
	finds(t, "less", judgeDisk(diskFacts{free: 100 * mib, floor: 256 * mib, kind: unix.NFS_SUPER_MAGIC}), "disk.free fail",
		"disk.kind warn")
	finds(t, "no floor", judgeDisk(diskFacts{free: 3 * mib}), "disk.free ok 3 MiB", "disk.kind ok")
	finds(t, "nothing", judgeDisk(diskFacts{}), "disk.free fail", "disk.kind ok")
	finds(t, "no dir", judgeDisk(diskFacts{err: fs.ErrNotExist}), "disk.free ok")
	finds(t, "hidden", judgeDisk(diskFacts{err: fs.ErrPermission}), "disk.free skip needs root")
	finds(t, "gone", judgeDisk(diskFacts{err: unix.EIO}), "disk.free fail")
	fast, slow := []time.Duration{time.Second, time.Millisecond, time.Millisecond}, []time.Duration{time.Second, time.Second, 0}
	finds(t, "writes", []Finding{judgeWrite(writeFacts{}), judgeWrite(writeFacts{root: true, takes: fast}),
		judgeWrite(writeFacts{root: true, takes: slow}),
		judgeWrite(writeFacts{root: true, err: unix.EROFS}), judgeWrite(writeFacts{root: true,
			err: fs.ErrNotExist}), judgeWrite(writeFacts{root: true, err: unix.EOPNOTSUPP})},
		"disk.write skip", "disk.write ok a write takes 1ms", "disk.write warn a write takes 1s",
		"disk.write fail", "disk.write ok there is no", "disk.write skip")
}

// TestJudgeFile: modes that are too wide or too narrow, and what jobd has not made yet.
func TestJudgeFile(t *testing.T) {
	for _, c := range []struct {
		facts fileFacts
		want  string
	}{
		{fileFacts{name: "f", path: "/x", mode: 0o755}, "f ok /x, mode 755"},
		{fileFacts{name: "f", path: "/x", err: errAny}, "f fail it is not there"},
		{fileFacts{name: "f", err: fs.ErrNotExist, made: true}, "f ok there is no"},
		{fileFacts{name: "f", err: fs.ErrNotExist}, "f fail there is no"},
		{fileFacts{name: "f", err: fs.ErrPermission}, "f skip needs root"},
		{fileFacts{name: "f", mode: 0o640, wants: 0o600}, "f fail"},
		{fileFacts{name: "f", mode: 0o600, least: 0o666, wants: 0o666}, "f fail"},
		{fileFacts{name: "f", mode: 0o666, least: 0o666, wants: 0o666}, "f ok"},
	} {
		finds(t, fmt.Sprint(c.facts), []Finding{judgeFile(c.facts)}, c.want)
	}
}

// TestJudgeCanary: what was not seen of it.
func TestJudgeCanary(t *testing.T) {
	jid, ms := job.JID(17), time.Millisecond
	takes := []time.Duration{5 * ms, ms, ms, ms, ms}
	home := flight{perch: perch{JID: &jid, Takes: takes}, watched: true, forked: ms, exited: ms, jobEnded: ms, records: birds,
		recorded: ms, reason: "exit"}
	for about, c := range map[string]struct {
		change        func(*flight)
		login, canary string
	}{
		"home":         {func(*flight) {}, "login ok a job takes 5ms; asked again 1ms (median of 4)", "canary ok job 17: fork seen"},
		"very slow":    {func(f *flight) { f.perch.Takes = []time.Duration{400 * ms} }, "login warn a job takes 400ms", "canary ok"},
		"slow":         {func(f *flight) { f.perch.Takes = []time.Duration{200 * ms, ms, ms, ms, ms} }, "login warn", "canary ok"},
		"not sent":     {func(f *flight) { *f = flight{err: errAny} }, "login skip", "canary skip"},
		"drained":      {func(f *flight) { f.perch = perch{Code: "disabled", Error: "no"} }, "login warn no", "canary skip it got no job"},
		"refused":      {func(f *flight) { f.perch = perch{Error: "no"} }, "login fail no", "canary skip it got no job"},
		"not watched":  {func(f *flight) { f.watched, f.failed = false, errAny }, "login ok", "canary skip it is not there"},
		"unseen":       {func(f *flight) { f.forked, f.exited = 0, 0 }, "login ok", "canary fail job 17: its fork and exit was not seen"},
		"still open":   {func(f *flight) { f.jobEnded = 0 }, "login ok", "canary warn job 17 has not ended"},
		"not recorded": {func(f *flight) { f.records = 1 }, "login ok", "canary warn job 17: 1 of 2 records"},
		"lost":         {func(f *flight) { f.reason = "lost" }, "login ok", "canary fail job 17 ended as lost"},
	} {
		f := home
		c.change(&f)
		finds(t, about, []Finding{judgeLogin(f), judgeCanary(f)}, c.login, c.canary)
	}
}

// TestLookSELinux finds the module where semodule keeps it.
func TestLookSELinux(t *testing.T) {
	root := t.TempDir()
	if s := lookSELinux(root); s.enforcing {
		t.Errorf("%+v", s)
	}
	for _, dir := range []string{"sys/fs/selinux", "var/lib/selinux/targeted/active/modules/400/jobd"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "sys/fs/selinux/enforce"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := lookSELinux(root); !s.enforcing || !s.module || s.unknown != nil {
		t.Errorf("%+v", s)
	}
}

// TestWithin: whoever hangs is left alone, and called by its name.
func TestWithin(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	got := within(context.Background(), time.Millisecond, []check{
		{"stuck", func(context.Context) []Finding { <-hang; return nil }},
		{"good", func(context.Context) []Finding { return []Finding{ok("good", "x")} }},
	})
	finds(t, "within", got, "stuck skip it took longer than 1ms", "good ok x")
}

// TestWriteText: no line is wider than a terminal, nothing moves the cursor, and what failed stands last.
func TestWriteText(t *testing.T) {
	a := Answer{Findings: []Finding{fail("a.long.name", strings.Repeat("do ", 60), "bad \x1b[2J %s", strings.Repeat("x", 200)), ok("b",
		"good"), warn("c", "d", "e")}}
	a.count()
	var b strings.Builder
	if err := a.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > width+1 || strings.ContainsRune(line, '\x1b') {
			t.Errorf("%q", line)
		}
	}
	if !strings.HasPrefix(b.String(), "ok    b") || !strings.Contains(b.String(),
		"something is to be done: 1 ok, 1 warn, 1 fail, 0 skip") || a.Passed {
		t.Errorf("%s", &b)
	}
}
