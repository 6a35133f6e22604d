package job

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job/pnotify"
	"github.com/jobd-project/jobd/job/watch"
)

var update = flag.Bool("update", false, "write what the stories print now into them; commit it only when every line is understood")

// world is a table with the layers below it, for tests: commands in words go in, effects in words come out.
type world struct {
	watch *watch.Table
	table *Table
	procs map[int32]watch.ID
	gen   map[int32]uint32
	gone  map[int32]watch.ID // whose use is still to come
	now   int64              // ns
	by    time.Duration      // the wall clock has been set by this much
}

func newWorld(tb interface{ Fatal(...any) }) *world {
	w := &watch.Table{}
	n, err := pnotify.New(w)
	if err != nil {
		tb.Fatal(err)
	}
	table, err := New(n, Config{HID: 1, Host: "login03", BootID: "boot"})
	if err != nil {
		tb.Fatal(err)
	}
	table.Reserve(1, 1000)
	err = w.Register(watch.Watcher{Name: "books", Used: table.Used})
	if err != nil {
		tb.Fatal(err)
	}
	wd := &world{watch: w, table: table, procs: make(map[int32]watch.ID), gen: make(map[int32]uint32), gone: make(map[int32]watch.ID)}
	wd.tick()
	return wd
}

// tick lets a second pass.
func (w *world) tick() {
	w.now += int64(time.Second)
	w.table.Sync(time.Unix(1_800_000_000, 0).UTC().Add(time.Duration(w.now)+w.by), w.now)
}

// id gives the process that has the pid now, and makes it when nobody has seen it yet.
func (w *world) id(pid int32) watch.ID {
	if w.procs[pid] == (watch.ID{}) {
		w.gen[pid]++
		w.procs[pid] = watch.ID{PID: pid, Gen: w.gen[pid]}
	}
	return w.procs[pid]
}

func (w *world) dispatch(e watch.Event) error {
	e.Mono = w.now
	return w.watch.Dispatch(&e)
}

func (w *world) fork(parent, child int32, inferred bool) error {
	p := w.id(parent)
	delete(w.procs, child) // the pid may be used again
	return w.dispatch(watch.Event{Kind: watch.Clone, Proc: w.id(child), TID: child, Parent: p, Inferred: inferred})
}

// admit is a fork that the kernel let pass.
func (w *world) admit(parent, child int32) error {
	p := w.id(parent)
	delete(w.procs, child)
	return w.dispatch(watch.Event{Kind: watch.Clone, Proc: w.id(child), TID: child, Parent: p, Admitted: true})
}

func (w *world) exit(pid int32, status int64, u *watch.Usage, inferred bool) error {
	id := w.id(pid)
	delete(w.procs, pid)
	return w.dispatch(watch.Event{Kind: watch.Free, Proc: id, TID: pid, Value: status, Valid: !inferred, Usage: u, Inferred: inferred})
}

// exitLater is an exit after which it is still to be said what the process used.
func (w *world) exitLater(pid int32, status int64, inferred bool) error {
	id := w.id(pid)
	delete(w.procs, pid)
	w.gone[pid] = id
	return w.dispatch(watch.Event{Kind: watch.Free, Proc: id, TID: pid, Value: status, Valid: !inferred, Inferred: inferred, Later: true})
}

// used says it, of the last process that had the pid.
func (w *world) used(pid int32, u *watch.Usage, inferred bool) error {
	return w.dispatch(watch.Event{Kind: watch.Used, Proc: w.gone[pid], TID: pid, Usage: u, Inferred: inferred})
}

// line is one command of a story: words, and key=value options.
type line struct {
	verb string
	args []int32
	opt  map[string]string
}

func parseLine(t *testing.T, s string) line {
	l := line{opt: make(map[string]string)}
	for i, f := range strings.Fields(s) {
		k, v, isOpt := strings.Cut(f, "=")
		n, err := strconv.ParseInt(f, 10, 32)
		switch {
		case i == 0:
			l.verb = f
		case isOpt:
			l.opt[k] = v
		case err == nil:
			l.args = append(l.args, int32(n))
		case f == "->":
		default:
			l.opt[f] = ""
		}
	}
	if l.verb == "" {
		t.Fatalf("no verb in %q", s)
	}
	return l
}

func (l line) has(k string) bool { _, ok := l.opt[k]; return ok }

func (l line) number(k string) int64 {
	n, _ := strconv.ParseInt(l.opt[k], 10, 64)
	return n
}

func (l line) jid() JID { return NewJID(1, uint32(l.number("job"))) }

// most is a limit; nil for none.
func (l line) most() *int {
	if !l.has("most") {
		return nil
	}
	n := int(l.number("most"))
	return &n
}

func (l line) usage() *watch.Usage {
	if l.has("norecord") {
		return nil
	}
	return &watch.Usage{
		Groups: watch.GroupBasic | watch.GroupCPU, Comm: l.opt["comm"], CPU: l.number("cpu"),
		Elapsed: l.number("elapsed") * int64(time.Second), Threads: 1,
	}
}

func (w *world) do(t *testing.T, l line) string {
	w.tick()
	err := w.carry(t, l)
	out := w.effects()
	if err != nil {
		out += "error: " + err.Error() + "\n"
	}
	return out
}

func (w *world) carry(t *testing.T, l line) (err error) {
	switch l.verb {
	case "open":
		return w.open(l)
	case "fork":
		if l.has("admitted") {
			return w.admit(l.args[0], l.args[1])
		}
		return w.fork(l.args[0], l.args[1], l.has("inferred"))
	case "exec":
		return w.dispatch(watch.Event{Kind: watch.Exec, Proc: w.id(l.args[0]), TID: l.args[0]})
	case "exit":
		if l.has("later") {
			return w.exitLater(l.args[0], l.number("status"), l.has("inferred"))
		}
		return w.exit(l.args[0], l.number("status"), l.usage(), l.has("inferred"))
	case "used":
		return w.used(l.args[0], l.usage(), l.has("inferred"))
	case "mark":
		return w.table.AddMark(w.table.Find(w.id(l.args[0])), Mark{Service: Text(l.opt["service"]), User: Text(l.opt["user"]), PID: l.args[0]})
	case "close":
		if !w.table.CloseSession(w.id(l.args[0])) {
			return fmt.Errorf("nothing to close")
		}
		return nil
	case "attach":
		return w.table.Attach(w.id(l.args[0]), l.jid(), Entrant{Before: Spent{CPU: l.number("before")}})
	case "adopt":
		return w.table.Adopt(w.id(l.args[0]), l.jid(), Entrant{})
	case "move":
		return w.table.Move(w.id(l.args[0]), l.jid(), Entrant{Before: Spent{CPU: l.number("spent")}})
	case "return":
		return w.table.Return(w.id(l.args[0]), l.jid(), Entrant{})
	case "limit":
		return w.table.Limit(l.jid(), l.most())
	case "room":
		return w.table.Room(l.jid(), int(l.number("for")))
	case "detach":
		jid, err := w.table.Detach(w.id(l.args[0]), Known{PID: l.args[0], Start: 1}, Spent{CPU: l.number("spent")})
		w.table.Save(jid)
		return err
	case "release":
		return w.table.Release(l.jid())
	case "kill":
		return w.table.Killed(l.jid())
	case "drain":
		w.table.Drain(true)
	case "resume":
		w.table.Drain(false)
	case "show":
		return w.show()
	default:
		t.Fatalf("unknown verb %q", l.verb)
	}
	return nil
}

func (w *world) open(l line) error {
	r := Request{Nested: l.has("nested"), Held: l.has("held"), Info: Info{User: l.opt["user"], UID: 1000, Service: Text(l.opt["service"])}}
	if len(l.args) > 0 {
		r.Proc = w.id(l.args[0])
	}
	want := JID(0)
	if l.has("job") {
		want = l.jid()
	}
	jid, err := w.table.Allocate(want)
	if err != nil {
		return err
	}
	r.JID = jid
	_, err = w.table.Create(r)
	return err
}

// show is the table as an effect of its own, so that a story can look at it.
func (w *world) show() error {
	var b strings.Builder
	for _, in := range w.table.Jobs() {
		ids, err := w.table.Members(in.JID)
		if err != nil {
			return err
		}
		var pids []int32
		for _, id := range ids {
			pids = append(pids, id.PID)
		}
		fmt.Fprintf(&b, "job %d %s %s members %v cpu %d", in.Seq, in.User, in.State, pids, *in.CPU)
		if in.MaxProcesses != nil {
			fmt.Fprintf(&b, " of %d", *in.MaxProcesses)
		}
		if in.ParentJID != nil {
			fmt.Fprintf(&b, " parent %d login %d", in.ParentJID.Seq(), in.LoginJID.Seq())
		}
		if p, ok := w.table.Prime(in.JID); ok {
			fmt.Fprintf(&b, " prime %d", p.PID)
		}
		b.WriteString("\n")
	}
	if n := w.table.Due(); n > 0 {
		fmt.Fprintf(&b, "%d due\n", n)
	}
	bal := w.table.Balance()
	fmt.Fprintf(&b, "balance %d+%d+%d = %d+%d\n", bal.Attached, bal.Inherited, bal.Adopted, bal.Departed, bal.Live)
	w.table.emit(note(b.String()))
	return nil
}

// note is text among the effects.
type note string

func (note) effect() {}

func (w *world) effects() string {
	var b strings.Builder
	for _, e := range w.table.Effects() {
		switch e := e.(type) {
		case note:
			b.WriteString(string(e))
		case Opened:
			fmt.Fprintf(&b, "opened %d for %s, poe %d\n", e.Saved.Seq, e.Saved.User, e.Saved.POE)
		case Changed:
			fmt.Fprintf(&b, "changed %d: %s, %d marks, %d detached\n", e.Saved.Seq, e.Saved.State, len(e.Saved.Marks), len(e.Saved.Placement.Detached))
		case EndedJob:
			s := e.Saved
			fmt.Fprintf(&b, "ended %d%s: %s, %d processes, peak %d, cpu %d, command %q, estimated %v%s\n", s.Seq, w.ago(*s.Ended),
				s.EndReason, s.TotalProcesses, s.PeakProcesses, *s.CPU, s.Command, s.Estimated, statusText(s.ExitStatus, s.POEExitStatus))
		case Joined:
			fmt.Fprintf(&b, "joined %d: %d\n", e.JID.Seq(), e.ID.PID)
		case *Record:
			fmt.Fprintf(&b, "record of %d in %d: lived %v, cpu %d, status %d, forked %v, estimated %v\n", e.PID, e.JID.Seq(),
				time.Duration(max(e.End-e.Start, 0)), e.Usage.CPU, e.Status, e.Forked, e.Estimated)
		}
	}
	return b.String()
}

// ago says how long ago that was, if it was not just now.
func (w *world) ago(then time.Time) string {
	if d := w.table.wall.Sub(then); d != 0 {
		return fmt.Sprintf(" %v ago", d)
	}
	return ""
}

func statusText(last, poe *int) string {
	var parts []string
	if last != nil {
		parts = append(parts, fmt.Sprint("last ", *last))
	}
	if poe != nil {
		parts = append(parts, fmt.Sprint("poe ", *poe))
	}
	if parts == nil {
		return ""
	}
	return ", status " + strings.Join(parts, " ")
}

// TestStories runs testdata/*.txt: commands at the left margin, and below each, indented, what came of it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	slices.Sort(files)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(b))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("the story goes otherwise now:\n%s", got)
			}
		})
	}
}

// tell runs a story and writes it anew with what comes of it.
func tell(t *testing.T, text string) string {
	w := newWorld(t)
	var out strings.Builder
	for s := range strings.Lines(text) {
		s = strings.TrimSuffix(s, "\n")
		if strings.HasPrefix(s, "\t") {
			continue // what came of it the last time
		}
		out.WriteString(s + "\n")
		if s == "" || strings.HasPrefix(s, "#") {
			continue
		}
		for r := range strings.Lines(w.do(t, parseLine(t, s))) {
			out.WriteString("\t" + r)
		}
		if err := w.table.Balance().Error(); err != 0 {
			t.Errorf("after %q the balance is off by %d", s, err)
		}
	}
	return out.String()
}
