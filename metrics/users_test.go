package metrics

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func user(name string, cpu float64) User {
	return User{Name: name, Jobs: 1, Processes: 2, CPU: &cpu}
}

// stepper exposes one list of users after the other through the same collector.
func stepper(t *testing.T, limit int) func(...User) map[string]string {
	var s Snapshot
	c := newCollector(func() (Snapshot, error) { return s, nil }, limit, Options{})
	return func(users ...User) map[string]string {
		t.Helper()
		s.Users = users
		return samples(expose(t, c))
	}
}

func cpuOf(user string) string { return fmt.Sprintf("jobd_user_cpu_seconds_total{user=%q}", user) }

func TestCap(t *testing.T) {
	step := stepper(t, 2)
	check := func(got map[string]string, want map[string]string) {
		t.Helper()
		for series, v := range want {
			if got[series] != v {
				t.Errorf("%s = %q, want %q", series, got[series], v)
			}
		}
	}
	// The two with the most CPU have a place, the rest is added up.
	check(step(user("a", 1), user("b", 20), user("c", 30), user("d", 4)), map[string]string{
		cpuOf("c"): "30", cpuOf("b"): "20", cpuOf("other"): "5", cpuOf("a"): "", "jobd_users_folded": "2",
		`jobd_user_jobs{user="other"}`: "2", `jobd_user_processes{user="other"}`: "4",
	})
	// a overtakes everybody and stays where it is: a change of places would take its past out of other.
	check(step(user("a", 100), user("b", 20), user("c", 30), user("d", 4)), map[string]string{
		cpuOf("c"): "30", cpuOf("b"): "20", cpuOf("other"): "104", cpuOf("a"): "",
	})
	// A newcomer goes into other, too.
	check(step(user("a", 100), user("b", 21), user("c", 30), user("d", 4), user("e", 1)), map[string]string{
		cpuOf("b"): "21", cpuOf("other"): "105", "jobd_users_folded": "3",
	})
}

func TestCapDefault(t *testing.T) {
	var users []User
	for i := range DefaultUsers + 500 {
		users = append(users, user("u"+strconv.Itoa(i), float64(i)))
	}
	c := constant(Snapshot{Users: users})
	if n := testutil.CollectAndCount(c, nameUserCPU); n != DefaultUsers+1 {
		t.Errorf("%d series, want %d", n, DefaultUsers+1)
	}
}

// A live process's figure can be ahead of its exit record.
func TestSaidIsNotTakenBack(t *testing.T) {
	step := stepper(t, 10)
	for i, s := range []struct {
		cpu  *float64
		want string
	}{
		{new(10.003), "10.003"},
		{new(10.0), "10.003"}, // the exit record knows 3 ms less
		{nil, ""},             // unknown is unknown
		{new(10.001), "10.003"},
		{new(10.004), "10.004"},
		{new(-1.0), "10.004"},
	} {
		if got := step(User{Name: "alice", CPU: s.cpu})[cpuOf("alice")]; got != s.want {
			t.Errorf("step %d: %q, want %q", i, got, s.want)
		}
	}
	// Gone and back: a new count, which Prometheus takes for what it is.
	step(user("bob", 1))
	if got := step(user("alice", 2))[cpuOf("alice")]; got != "2" {
		t.Errorf("after an absence: %q, want 2", got)
	}
}

// What was not remembered is not said: a Collector that goes on from what was kept never says less than the one before.
func TestSaidIsKept(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var s Snapshot
	kept, works := make(map[string]Used), true
	o := Options{Said: kept, Keep: func(more map[string]Used) <-chan error {
		if rnd.IntN(4) == 0 {
			return nil // not now
		}
		done := make(chan error, 1)
		if works {
			maps.Copy(kept, more)
			done <- nil
		} else {
			done <- errors.New("no room")
		}
		return done
	}}
	c := newCollector(func() (Snapshot, error) { return s, nil }, 3, o)
	last := make(map[string]float64)
	for i := range 300 {
		if i%10 == 0 { // killed and started again; some of what was used is not known any more
			c = newCollector(func() (Snapshot, error) { return s, nil }, 3, o)
			for i := range s.Users {
				*s.Users[i].CPU *= 0.99
			}
		}
		if rnd.IntN(20) == 0 {
			s.Users = append(s.Users, user(fmt.Sprint("u", i), 0))
		}
		for _, u := range s.Users {
			*u.CPU += float64(rnd.IntN(5))
		}
		works = rnd.IntN(3) > 0
		rising(t, samples(expose(t, c)), last)
	}
	if len(kept) != 4 || kept[other].CPU == 0 {
		t.Errorf("kept %v: three users and the others are to have places, for good", kept)
	}
}

// keepIn keeps at once what it is handed.
func keepIn(kept map[string]Used) func(map[string]Used) <-chan error {
	return func(more map[string]Used) <-chan error {
		maps.Copy(kept, more)
		done := make(chan error, 1)
		done <- nil
		return done
	}
}

// Where the disk takes longer than a scrape waits, what was handed over is said by a later one, and the rest is handed over then.
func TestSlowCommitIsKeptLater(t *testing.T) {
	var s Snapshot
	var handed []map[string]Used
	done := make(chan error, 1)
	c := New(func() (Snapshot, error) { return s, nil }, Options{Said: map[string]Used{"alice": {CPU: 1}},
		Keep: func(more map[string]Used) <-chan error { handed = append(handed, more); return done }})
	scrape := func(cpu float64, want string, asked int) {
		t.Helper()
		s.Users = []User{user("alice", cpu)}
		if got := samples(expose(t, c))[cpuOf("alice")]; got != want || len(handed) != asked {
			t.Errorf("%s is said, want %s; handed over %v", got, want, handed)
		}
	}
	scrape(5, "1", 1)
	scrape(6, "1", 1) // it is not there yet, and another would be waited for as long
	done <- nil
	scrape(7, "5", 2)
	done <- errors.New("no room")
	scrape(8, "5", 3) // what failed is not said, and handed over again
	done <- nil
	scrape(8, "8", 3)
	if len(handed) == 3 && handed[2]["alice"].CPU != 8 {
		t.Errorf("handed over %v", handed)
	}
}

// Who is forgotten is told of anew: what was said before, or is being committed, is nobody's.
func TestForget(t *testing.T) {
	s := Snapshot{Users: []User{user("al\x01ice", 100), user("bob", 7)}}
	done := make(chan error, 1)
	var handed map[string]Used
	c := New(func() (Snapshot, error) { return s, nil }, Options{Keep: func(more map[string]Used) <-chan error { handed = more; return done }})
	done <- nil
	series := cpuOf(Label("al\x01ice"))
	if got := samples(expose(t, c))[series]; got != "100" {
		t.Errorf("before: %s", got)
	}
	s.Users = []User{user("al\x01ice", 110), user("bob", 7)}
	_ = samples(expose(t, c)) // is not on the disk before …
	c.Forget("al\x01ice")
	done <- nil // … that
	s.Users = []User{user("al\x01ice", 3), user("bob", 7)}
	if got := samples(expose(t, c)); got[series] != "" || got[cpuOf("bob")] != "7" {
		t.Errorf("forgotten, and not kept again: %q, and bob %q", got[series], got[cpuOf("bob")])
	}
	done <- nil
	if got := samples(expose(t, c))[series]; got != "3" || handed[Label("al\x01ice")].CPU != 3 {
		t.Errorf("kept again: %s, handed over %v", got, handed)
	}
}

// Without names there is one sum, which goes on from what was said without names.
func TestNoUsers(t *testing.T) {
	s := full()
	kept := map[string]Used{"alice": {CPU: 1e6}, everybody: {CPU: 4000}}
	o := Options{NoUsers: true, Said: kept, Keep: keepIn(kept)}
	text := expose(t, New(func() (Snapshot, error) { return s, nil }, o))
	if strings.Contains(text, "user=") || strings.Contains(text, "alice") || strings.Contains(text, "jobd_users_folded") {
		t.Errorf("users are told of:\n%s", text)
	}
	got := samples(text)
	for series, want := range map[string]string{
		"jobd_user_cpu_seconds_total": "4000", "jobd_user_read_bytes_total": "4097", "jobd_user_write_bytes_total": "2",
		"jobd_user_jobs": "4", "jobd_user_processes": "18",
	} {
		if got[series] != want {
			t.Errorf("%s is %q, want %s", series, got[series], want)
		}
	}
	if want := (Used{4000, 4097, 2}); kept[everybody] != want || len(kept) != 2 {
		t.Errorf("kept %v", kept)
	}
}

// Whatever becomes of the users, no counter falls, and all series of a name together are all that was used.
func TestCountersNeverFall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	step := stepper(t, 5)
	last := make(map[string]float64)
	var users []User
	for range 300 {
		if len(users) == 0 || rnd.IntN(4) == 0 {
			users = append(users, User{Name: fmt.Sprint("u", len(users)), CPU: new(float64), ReadBytes: new(float64), WriteBytes: new(float64)})
		}
		// One at a time, so that somebody who overtakes the others is all that changes.
		busy := &users[rnd.IntN(len(users))]
		want := make(map[string]float64)
		*busy.CPU += float64(rnd.Int64N(1e12)) / 1e9
		*busy.ReadBytes += float64(rnd.Int64N(1000))
		*busy.WriteBytes += float64(rnd.Int64N(10) * rnd.Int64N(10))
		for _, u := range users {
			want[nameUserCPU] += *u.CPU
			want[nameUserRead] += *u.ReadBytes
			want[nameUserWrite] += *u.WriteBytes
		}
		rnd.Shuffle(len(users), func(i, j int) { users[i], users[j] = users[j], users[i] })
		got := rising(t, step(users...), last)
		for name, w := range want {
			if d := got[name] - w; d > 1e-6 || d < -1e-6 {
				t.Fatalf("all of %s together %v, used %v", name, got[name], w)
			}
		}
	}
}

// rising holds the counters of users to not falling, and adds them up by name.
func rising(t *testing.T, samples map[string]string, last map[string]float64) map[string]float64 {
	t.Helper()
	sums := make(map[string]float64)
	for series, text := range samples {
		name, _, labelled := strings.Cut(series, "{")
		if !labelled || !strings.HasSuffix(name, "_total") {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if v < last[series] {
			t.Fatalf("%s fell from %v to %v", series, last[series], v)
		}
		last[series] = v
		sums[name] += v
	}
	return sums
}

// hostile are names that would void a scrape, or a terminal, if they were shown as they are.
func hostile() []string {
	return []string{
		"", "other", "\x00", "nul\x00nul", "\xff", "\xfe", "a\xc3", "\xed\xa0\x80", "new\nline 1\n# TYPE x counter", `quo"te`, `back\slash`, `\`, `end\"`,
		"\x1b[2J", "\u009b2J", "\u202eevil", "\u2028", "\ufeff", "tab\t", "{}", `"} 1`, "ü", "日本", "…", strings.Repeat("x", 70_000), strings.Repeat("\xff", 70_000),
		strings.Repeat("x", 250) + "日本日本", strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("日", 100), "#", " ", "a b", "\r",
	}
}

func hostileUsers() []User {
	var users []User
	for i, name := range hostile() {
		users = append(users, user(name, float64(i)))
	}
	return users
}

func TestHostileNames(t *testing.T) {
	s := full()
	s.Users = hostileUsers()
	s.Requests = nil
	for i, name := range hostile() {
		s.Witnesses = append(s.Witnesses, name)
		s.Requests = append(s.Requests, Request{name, name, uint64(i)})
		s.Sockets = append(s.Sockets, Socket{name, new(int64(1)), new(uint64(1))})
		s.Logins.Refused[name]++
		s.Logins.Answered[name]++
	}
	s.Version, s.Cgroup, s.Engine.Name = "\xff\n", "\x00", "\xff"
	text := expose(t, constant(s))
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r") {
		t.Error("the exposition holds bytes that are not fit to print")
	}
	got := samples(text)
	for series, want := range map[string]string{
		`jobd_user_jobs{user="other"}`:                       "2", // the one called so, and the one without a name
		`jobd_user_jobs{user="�"}`:                           "6", // those that look the same are one
		`jobd_user_jobs{user="quo\"te"}`:                     "1",
		`jobd_user_jobs{user="new�line 1�# TYPE x counter"}`: "1",
		"jobd_users_folded":                                  "2",
	} {
		if got[series] != want {
			t.Errorf("%s = %q, want %q", series, got[series], want)
		}
	}
}

// Words that should be few are bounded, too, and their counts still add up.
func TestOtherLabelsAreBounded(t *testing.T) {
	var s Snapshot
	for i := range 1000 {
		s.Requests = append(s.Requests, Request{fmt.Sprint("verb", i), "ok", 1})
	}
	got := samples(expose(t, constant(s)))
	if n := got[`jobd_api_requests_total{result="ok",verb="other"}`]; n != strconv.Itoa(1000-maxValues) {
		t.Errorf("other holds %s", n)
	}
	if len(got) != maxValues+2 { // other, and the failures
		t.Errorf("%d series", len(got))
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) || len(got) > maxLabel || strings.IndexFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
			t.Errorf("clean(%q) = %q", s, got)
		}
		if again := clean(got); again != got {
			t.Errorf("clean is not done at once: %q, then %q", got, again)
		}
	})
}
