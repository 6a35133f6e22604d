package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// random is a run of operations. Each of them is a line of words: the verb, and who is to do it or to whom it is done.
// Processes are named p1, p2, …, their further threads p1.t7, jobs j1, j2, …
type random struct {
	t     *testing.T
	h     *host
	s     *stage
	exits *exits
	m     *reference
	quiet bool

	serial int
	done   []string
	tally  map[string]int // verbs
}

func newRandom(t *testing.T, witness string, args []string) *random {
	h := plainHost(t, args...)
	h.configured("debug = true\n")
	r := &random{t: t, h: h, s: h.newStage(), exits: hearExits(t), tally: make(map[string]int)}
	r.m = &reference{witness: witness, procs: make(map[string]*refProc), jobs: make(map[string]*refJob)}
	if h.kept() {
		r.m.kept, r.m.witness = true, "label"
	}
	first := &refProc{name: "first", pid: r.s.first.pid, threads: map[string]*puppet{"first": r.s.first}}
	r.m.procs["first"] = first
	if witness == "audit" && !hasSessions() {
		lacking(t, "audit sessions")
	}
	return r
}

type operation struct {
	weight int
	words  string // what to propose: A an actor, P a process, N a new process, T a new thread, J a job, K a new job, F flags, X a code
	do     func(r *random, w []string) (bool, error)
}

// operations are filled in by a function, since some of them are about others.
func operations() map[string]operation {
	return map[string]operation{
		"spawn":     {8, "N", (*random).spawn},
		"fork":      {40, "A N F", (*random).fork},
		"vfork":     {8, "A N F", (*random).vfork},
		"double":    {8, "A N F", (*random).double},
		"burst":     {8, "A X F", (*random).burst},
		"thread":    {16, "A T", (*random).thread},
		"exec":      {10, "A", (*random).exec},
		"leave":     {16, "A X", (*random).leave},
		"exit":      {10, "A X", (*random).exit},
		"kill":      {10, "P", (*random).kill},
		"setsid":    {4, "A", (*random).simple},
		"subreaper": {1, "A", (*random).simple},
		"hoard":     {2, "A", (*random).simple},
		"login":     {12, "A K", (*random).login},
		"close":     {5, "A", (*random).close},
		"attach":    {5, "P J -", (*random).attach},
		"attachall": {3, "P J tree", (*random).attach},
		"move":      {5, "P J -", (*random).move},
		"moveall":   {3, "P J tree", (*random).move},
		"detach":    {5, "P -", (*random).detach},
		"detachall": {2, "P tree", (*random).detach},
		"hold":      {2, "K", (*random).hold},
		"release":   {2, "J", (*random).release},
		"tag":       {2, "J", (*random).tag},
		"killjob":   {2, "J", (*random).killJob},
		"signaljob": {1, "J", (*random).signalJob},
		"term":      {2, "", (*random).down},
		"crash":     {2, "", (*random).down},
		"up":        {40, "", (*random).up},
		"deaf":      {1, "", (*random).deaf},
		"heal":      {40, "", (*random).heal},
	}
}

// crowd is how many processes there are at most, as long as chance has its way.
const crowd = 40

// propose gives an operation by chance. It may turn out not to be possible.
func (r *random) propose(rng *rand.Rand) string {
	ops := operations()
	names := slices.Sorted(maps.Keys(ops))
	sum := 0
	for _, name := range names {
		sum += ops[name].weight
	}
	n := rng.IntN(sum)
	for _, name := range names {
		if n -= ops[name].weight; n < 0 {
			return r.fill(rng, name, ops[name].words)
		}
	}
	return ""
}

func (r *random) fill(rng *rand.Rand, verb, words string) string {
	out := []string{verb}
	living := r.m.living()
	if len(living) >= crowd && strings.Contains(words, "N") {
		return "kill " + living[rng.IntN(len(living))].name
	}
	pick := func(list []string) string {
		if len(list) == 0 {
			return "nobody"
		}
		return list[rng.IntN(len(list))]
	}
	for w := range strings.FieldsSeq(words) {
		switch w {
		case "A":
			p := pick(procNames(living))
			if m := r.m.procs[p]; m != nil {
				p = pick(slices.Sorted(maps.Keys(m.threads)))
			}
			w = p
		case "P":
			w = pick(procNames(living))
		case "J":
			w = pick(jobNames(r.m.open()))
		case "N", "K", "T":
			r.serial++
			w = map[string]string{"N": "p", "K": "j", "T": "t"}[w] + itoa(r.serial)
		case "F":
			w = pick([]string{"-", "-", "-", "P", "P", "F", "S", "I", "V", "PF", "PV", "FSI"})
		case "X":
			w = pick([]string{"0", "0", "1", "3", "77"})
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

func procNames(list []*refProc) (out []string) {
	for _, p := range list {
		out = append(out, p.name)
	}
	return out
}

func jobNames(list []*refJob) (out []string) {
	for _, j := range list {
		out = append(out, j.name)
	}
	return out
}

// do does one operation, unless it is not possible now.
func (r *random) do(op string) error {
	words := strings.Fields(op)
	if len(words) == 0 {
		return nil
	}
	o, known := operations()[words[0]]
	if !known || len(words) != 1+len(strings.Fields(o.words)) {
		return fmt.Errorf("%q is no operation", op)
	}
	began := time.Now()
	done, err := o.do(r, words)
	if took := time.Since(began); took > 500*time.Millisecond {
		r.t.Logf("%s took %v", op, took)
	}
	if done || err != nil {
		r.done = append(r.done, op)
		r.tally[words[0]]++
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func (r *random) summary() string {
	var out []string
	for _, verb := range slices.Sorted(maps.Keys(r.tally)) {
		out = append(out, fmt.Sprintf("%s %d", verb, r.tally[verb]))
	}
	return strings.Join(out, ", ")
}

// actor finds a thread by its name.
func (r *random) actor(name string) (*refProc, *puppet) {
	for _, p := range r.m.procs {
		if c := p.threads[name]; c != nil && !p.dead {
			return p, c
		}
	}
	return nil, nil
}

func (r *random) living(name string) *refProc {
	if p := r.m.procs[name]; p != nil && !p.dead {
		return p
	}
	return nil
}

// spawn: a process that is in no job.
func (r *random) spawn(w []string) (bool, error) {
	if r.m.procs[w[1]] != nil {
		return false, nil
	}
	return true, r.newProcess(r.m.procs["first"], r.s.first, w[1], "fork", "-")
}

func (r *random) fork(w []string) (bool, error) { return r.child(w) }

func (r *random) vfork(w []string) (bool, error) { return r.child(w) }

func (r *random) child(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil || r.m.procs[w[2]] != nil || !r.possible(p, w[3]) {
		return false, nil
	}
	return true, r.newProcess(p, c, w[2], w[0], w[3])
}

// named is the process that a fork's event will name; nil: no puppet, or not in sight.
func (r *random) named(p *refProc, flags string) *refProc {
	if strings.Contains(flags, "P") {
		return r.m.byPID(parentOf(p.pid))
	}
	return p
}

// possible: what the kernel does not tell, and what nobody can find again, is not done.
func (r *random) possible(p *refProc, flags string) bool {
	named := r.named(p, flags)
	if r.m.witness != "cgroup" && r.m.witness != "label" && r.m.blind != "" && named != p {
		return false
	}
	return named == p || r.m.decidable(p, named)
}

func (r *random) newProcess(p *refProc, c *puppet, name, verb, flags string) error {
	named, key := r.named(p, flags), r.s.key()
	pid, err := c.number(verb, key, flags)
	if err != nil {
		return err
	}
	child, err := r.s.await(key)
	if err != nil {
		return err
	}
	if child.pid != pid {
		return fmt.Errorf("the child is %d, and says that it is %d", pid, child.pid)
	}
	r.m.birth(name, pid, p, named).threads[name] = child
	return nil
}

// double: the one between exits at once, so nobody may have had time to ask its witness.
func (r *random) double(w []string) (bool, error) {
	p, c := r.actor(w[1])
	if p == nil || r.m.procs[w[2]] != nil || r.m.blind != "" || strings.Contains(w[3], "V") || r.m.witness != "cgroup" && (p.meets || w[3] != "-") {
		return false, nil
	}
	key := r.s.key()
	pid, err := c.number("double", key, w[3])
	if err != nil {
		return true, err
	}
	between := r.m.birth(w[2]+".between", pid, p, p)
	quick := p.meets
	child, err := r.s.await(key)
	if err != nil {
		return true, err
	}
	named := between
	if strings.Contains(w[3], "P") {
		named = p
	}
	r.m.birth(w[2], child.pid, between, named).threads[w[2]] = child
	r.m.death(between, 0, quick)
	if err := gone("the end of "+between.name, func() bool { return !alive(pid) }); err != nil {
		return true, err
	}
	return true, r.told(pid)
}

func (r *random) burst(w []string) (bool, error) {
	const many = 5
	p, c := r.actor(w[1])
	if p == nil || strings.ContainsAny(w[3], "V") || !r.possible(p, w[3]) {
		return false, nil
	}
	named := r.named(p, w[3])
	quick := named == nil || named.meets || named.job != p.job
	if quick && r.m.witness != "cgroup" {
		return false, nil
	}
	code, err := strconv.Atoi(w[2])
	if err != nil {
		return false, err
	}
	pids, err := c.tell("burst", many, code, w[3])
	if err != nil {
		return true, err
	}
	for i, text := range pids {
		pid, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return true, err
		}
		b := r.m.birth(fmt.Sprintf("%s.burst%d.%d", w[1], len(r.done), i), int32(pid), p, named)
		r.m.death(b, code, quick)
		delete(r.m.procs, b.name)
		if err := gone("the end of "+b.name, func() bool { return !alive(b.pid) }); err != nil { // before somebody kills it
			return true, err
		}
	}
	return true, nil
}
