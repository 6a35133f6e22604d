package report

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
)

// Filter says which jobs and process records are wanted. What is left empty says nothing; all that is said must hold. What
// is not known of a job or a process never satisfies a condition on it.
type Filter struct {
	User    string   // whose job it is
	UID     *uint32  // of a job: its user's; of a process: its own real uid
	GID     *uint32  // of a job: its user's own; of a process: its own real gid
	Command string   // RE2, found anywhere in it
	Exe     string   // RE2, found anywhere in the path of a program that the process ran
	Service string   // that the job came from
	RHost   string   // address, network in CIDR form, or name of the host that the job came from
	PID     int32    // of a process
	Tag     []string // key, or key=value, of the job

	// What overlaps with the time from Since up to, not including, Until. The zero time is no bound.
	Since, Until time.Time

	MinCPU int64  // ns
	MinRSS int64  // bytes
	MinIO  int64  // bytes read from and written to storage
	Exit   string // exit status as a shell says it: 1, or !0 for any but 0
}

// Compile makes a Matcher. Its errors name the condition that makes no sense, and what would.
func (f Filter) Compile() (*Matcher, error) {
	m := &Matcher{
		user: f.User, uid: f.UID, gid: f.GID, service: f.Service, pid: f.PID,
		since: math.MinInt64, until: math.MaxInt64, minCPU: f.MinCPU, minRSS: f.MinRSS, minIO: f.MinIO,
	}
	var errs [5]error
	m.command, errs[0] = compilePattern("command", f.Command)
	m.exe, errs[1] = compilePattern("exe", f.Exe)
	m.rhost, errs[2] = parseHost(f.RHost)
	m.tags, errs[3] = parseTags(f.Tag)
	m.exit, errs[4] = parseExit(f.Exit)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if f.PID < 0 || f.MinCPU < 0 || f.MinRSS < 0 || f.MinIO < 0 {
		return nil, errors.New("a pid and the least CPU, memory and I/O are not negative")
	}
	if !f.Since.IsZero() {
		m.since = nanos(f.Since)
	}
	if !f.Until.IsZero() {
		m.until = nanos(f.Until)
	}
	if m.until <= m.since {
		return nil, fmt.Errorf("the time ends (%s) before it begins (%s)", f.Until.Format(time.RFC3339), f.Since.Format(time.RFC3339))
	}
	return m, nil
}

// nanos is t in Unix ns. What is beyond the years that these can say is as far as they go.
func nanos(t time.Time) int64 {
	switch y := t.UTC().Year(); {
	case y < 1678:
		return math.MinInt64
	case y > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// remembered is how many answers of a regular expression are kept: a million processes have a few hundred names. They are
// chosen by the processes, so there is an end to it.
const remembered = 4096

// pattern is a regular expression that remembers what it said.
type pattern struct {
	re   *regexp.Regexp
	said map[string]bool
}

func compilePattern(what, expr string) (*pattern, error) {
	if expr == "" {
		return nil, nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("cannot use %q for the %s: %w; it is a regular expression, and \\ takes a sign for itself", expr, what, err)
	}
	if steps(expr) > mostSteps {
		return nil, fmt.Errorf("cannot use so large a regular expression for the %s: leave out repetitions such as {1000}", what)
	}
	return &pattern{re: re, said: make(map[string]bool)}, nil
}

// mostSteps bounds what one look at a name costs: a million of them are looked at.
const mostSteps = 1000

// steps is how large the program is that an expression becomes.
func steps(expr string) int {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0
	}
	return len(prog.Inst)
}

// match reports whether s is known and fits.
func (p *pattern) match(s string) bool {
	if s == "" {
		return false
	}
	yes, ok := p.said[s]
	if !ok {
		yes = p.re.MatchString(s)
		if len(p.said) < remembered {
			p.said[strings.Clone(s)] = yes
		}
	}
	return yes
}

// host is where a job came from: a network, of one address or many, or else a name.
type host struct {
	name string
	net  netip.Prefix
	zone string
}

func parseHost(s string) (*host, error) {
	if s == "" {
		return nil, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return &host{net: netip.PrefixFrom(addr.WithZone(""), addr.BitLen()), zone: addr.Zone()}, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return &host{net: unmap(p)}, nil
	}
	if strings.ContainsAny(s, "/: \t\n") || strings.Trim(s, "0123456789.") == "" {
		return nil, fmt.Errorf("cannot use %q for the remote host: an address (192.0.2.1), a network (192.0.2.0/24), or a name", s)
	}
	return &host{name: strings.TrimSuffix(s, ".")}, nil
}

// unmap turns a network of IPv4 addresses that is written in IPv6's form into what it is.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func (h *host) match(s string) bool {
	if h.name != "" {
		return strings.EqualFold(strings.TrimSuffix(s, "."), h.name)
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || h.zone != "" && addr.Zone() != h.zone {
		return false
	}
	return h.net.Contains(addr.Unmap().WithZone(""))
}

// tagged is a condition on a tag.
type tagged struct {
	key, value string
	any        bool // whatever its value
}

func parseTags(list []string) (tags []tagged, err error) {
	for _, s := range list {
		key, value, ok := strings.Cut(s, "=")
		if key == "" || ok && value == "" {
			return nil, fmt.Errorf("cannot use %q for a tag: key, or key=value", s)
		}
		tags = append(tags, tagged{key: key, value: value, any: !ok})
	}
	return tags, nil
}

func (t tagged) match(tags map[string]string) bool {
	value, ok := tags[t.key]
	return ok && (t.any || value == t.value)
}

// status is a condition on an exit status.
type status struct {
	code int
	not  bool
}

func parseExit(s string) (*status, error) {
	if s == "" {
		return nil, nil
	}
	text, not := strings.CutPrefix(s, "!")
	code, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return nil, fmt.Errorf("cannot use %q for an exit status: 0 to 255, or ! and one for any other than that", s)
	}
	return &status{code: int(code), not: not}, nil
}

func (s *status) match(code int) bool { return (code == s.code) != s.not }
