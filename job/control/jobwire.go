package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jobd-project/jobd/job"
)

// The verbs of job.sock: each is a function of libjob, without its prefix.
const (
	JobCreate      = "create"
	JobGetJID      = "getjid"
	JobWaitJID     = "waitjid"
	JobKillJID     = "killjid"
	JobGetJIDCnt   = "getjidcnt"
	JobGetJIDList  = "getjidlist"
	JobGetPIDCnt   = "getpidcnt"
	JobGetPIDList  = "getpidlist"
	JobGetUID      = "getuid"
	JobGetPrimePID = "getprimepid"
	JobSetHID      = "sethid"
	JobDetachJID   = "detachjid"
	JobDetachPID   = "detachpid"
	JobAttachPID   = "attachpid"
	JobRunCSA      = "runcsa"
)

// HIDDisabled is the host id by which the ancestor made no more jobs: for jobd it is a drain.
const HIDDisabled = ^uint32(0)

// JobRequest is a request of job.sock; the fields are the keys of docs/protocol.md.
type JobRequest struct {
	Verb   string
	JID    job.JID // 0: none is named
	PID    int32   // 0: the caller
	User   string  // create: the owner's name; "": it is not known
	UID    uint32  // create: the owner
	GID    *uint32 // create: the owner's group; nil: it is not known
	Signal int     // killjid; 0 only asks whether it could be sent
	HID    *uint32 // sethid; nil: the one that jobd has
	Run    bool    // runcsa
}

// JobAnswer is the answer; which fields count depends on the verb.
type JobAnswer struct {
	JID     job.JID   // create, getjid, waitjid, detachpid, attachpid; 0 to getjid: in none
	Already bool      // attachpid: it was in that job
	Status  *int64    // waitjid: wait(2) status of the process that left last; nil: not known
	Count   int       // getjidcnt, getpidcnt; processes taken out by detachjid
	JIDs    []job.JID // getjidlist
	PIDs    []int32   // getpidlist
	UID     uint32    // getuid
	PID     int32     // getprimepid
	HID     uint32    // sethid: the one that jobd has
}

// jobVerb is one line of job.sock's access table.
type jobVerb struct {
	name   string
	verb   Verb // of jobd.sock that it is like, and is counted as
	access Access
	needs  string // keys that have to be there
	long   bool   // takes its time by design
}

var jobVerbs = []jobVerb{
	{name: JobGetJID, verb: ID, access: Anyone},
	{name: JobGetJIDCnt, verb: List, access: Anyone},
	{name: JobGetJIDList, verb: List, access: Anyone},
	{name: JobGetPIDCnt, verb: PS, access: Anyone, needs: "jid"},
	{name: JobGetPIDList, verb: PS, access: Anyone, needs: "jid"},
	{name: JobGetUID, verb: Show, access: Anyone, needs: "jid"},
	{name: JobGetPrimePID, verb: Show, access: Anyone, needs: "jid"},

	{name: JobKillJID, verb: Kill, access: Owner, needs: "jid signal", long: true},
	{name: JobWaitJID, verb: Wait, access: Owner, needs: "jid", long: true},

	{name: JobCreate, verb: Create, access: Root, needs: "uid"},
	{name: JobAttachPID, verb: Attach, access: Root, needs: "jid"},
	{name: JobDetachPID, verb: Detach, access: Root},
	{name: JobDetachJID, verb: Detach, access: Root, needs: "jid"},
	{name: JobSetHID, verb: Resume, access: Root},
	{name: JobRunCSA, verb: Status, access: Root, needs: "run"},
}

func findJobVerb(name string) (jobVerb, bool) {
	i := slices.IndexFunc(jobVerbs, func(v jobVerb) bool { return v.name == name })
	if i < 0 {
		return jobVerb{}, false
	}
	return jobVerbs[i], true
}

// parseJobRequest reads a request and checks that it is whole.
func parseJobRequest(b []byte) (JobRequest, jobVerb, error) {
	p, err := parsePairs(b)
	if err != nil {
		return JobRequest{}, jobVerb{}, err
	}
	if v := p["version"]; v != "" && v != wireVersion {
		return JobRequest{}, jobVerb{}, fmt.Errorf("version %q is not known here, %s is", clip(v, longestKey), wireVersion)
	}
	v, ok := findJobVerb(p["verb"])
	switch {
	case p["verb"] == "":
		return JobRequest{}, jobVerb{}, errors.New("no verb is given")
	case !ok:
		return JobRequest{}, jobVerb{}, fmt.Errorf("verb %q is not known", clip(p["verb"], longestKey))
	}
	for _, key := range strings.Fields(v.needs) {
		if p[key] == "" {
			return JobRequest{}, jobVerb{}, fmt.Errorf("no %s is given", key)
		}
	}
	r, err := readJobRequest(p)
	return r, v, err
}

// readJobRequest reads every key that there is, also where the verb has no use for it: garbage is refused.
func readJobRequest(p map[string]string) (JobRequest, error) {
	r := JobRequest{Verb: p["verb"], User: p["user"]}
	var err error
	if len(r.User) > longestText {
		return JobRequest{}, fmt.Errorf("user %q names nothing", clip(r.User, longestKey))
	}
	if s := p["jid"]; s != "" {
		if r.JID, err = parseWireJID(s); err != nil {
			return JobRequest{}, err
		}
	}
	pid, err1 := number(p, "pid", 1, 1<<31-1)
	uid, err2 := number(p, "uid", 0, int64(noID)-1)
	gid, err3 := number(p, "gid", 0, int64(noID)-1)
	sig, err4 := number(p, "signal", 0, 64)
	hid, err5 := number(p, "hid", 0, int64(HIDDisabled))
	run, err6 := number(p, "run", 0, 1)
	if err := cmp.Or(err1, err2, err3, err4, err5, err6); err != nil {
		return JobRequest{}, err
	}
	r.PID, r.UID, r.Signal, r.Run = int32(pid), uint32(uid), int(sig), run == 1
	if p["gid"] != "" {
		r.GID = as32(gid)
	}
	if p["hid"] != "" {
		r.HID = as32(hid)
	}
	return r, nil
}

func as32(v int64) *uint32 {
	u := uint32(v)
	return &u
}

// number reads a decimal number; 0 where the key was left out.
func number(p map[string]string, key string, least, most int64) (int64, error) {
	s := p[key]
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < least || v > most {
		return 0, fmt.Errorf("%s %q is no number from %d to %d", key, clip(s, longestKey), least, most)
	}
	return v, nil
}

// parseWireJID takes the whole form only: 0x and up to 16 hexadecimal digits.
func parseWireJID(s string) (job.JID, error) {
	if !strings.HasPrefix(s, "0x") || len(s) > 18 {
		return 0, fmt.Errorf("jid %q is not 0x and up to 16 hexadecimal digits", clip(s, longestKey))
	}
	return job.ParseJID(s, 0, "")
}

// format writes a request.
func (r JobRequest) format() ([]byte, error) {
	b := appendPair(nil, "verb", r.Verb)
	b = appendPair(b, "version", wireVersion)
	if r.JID != 0 {
		b = appendPair(b, "jid", r.JID.String())
	}
	if r.PID != 0 {
		b = appendPair(b, "pid", strconv.Itoa(int(r.PID)))
	}
	switch r.Verb {
	case JobCreate:
		b = appendPair(b, "user", r.User)
		b = appendPair(b, "uid", text32(&r.UID))
		b = appendPair(b, "gid", text32(r.GID))
	case JobKillJID:
		b = appendPair(b, "signal", strconv.Itoa(r.Signal))
	case JobSetHID:
		b = appendPair(b, "hid", text32(r.HID))
	case JobRunCSA:
		b = appendPair(b, "run", bit(r.Run))
	}
	return sized(b)
}

func text32(v *uint32) string {
	if v == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*v), 10)
}

func bit(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}

// format writes the answer to a verb that went well: a list takes as many datagrams as it needs.
func (a JobAnswer) format(verb string) [][]byte {
	b := appendPair(nil, "status", "ok")
	switch verb {
	case JobGetJIDList:
		return formatList(b, "jids", len(a.JIDs), func(i int) string { return a.JIDs[i].String() })
	case JobGetPIDList:
		return formatList(b, "pids", len(a.PIDs), func(i int) string { return strconv.Itoa(int(a.PIDs[i])) })
	case JobGetJIDCnt, JobGetPIDCnt, JobDetachJID:
		b = appendPair(b, "count", strconv.Itoa(a.Count))
	case JobGetUID:
		b = appendPair(b, "uid", text32(&a.UID))
	case JobGetPrimePID:
		b = appendPair(b, "pid", strconv.Itoa(int(a.PID)))
	case JobSetHID:
		b = appendPair(b, "hid", text32(&a.HID))
	}
	if a.JID != 0 {
		b = appendPair(b, "jid", a.JID.String())
	}
	if a.Status != nil {
		b = appendPair(b, "wait_status", strconv.FormatInt(*a.Status, 10))
	}
	if a.Already {
		b = appendPair(b, "already", "1")
	}
	return [][]byte{b}
}

// formatList writes elements, divided by commas, into datagrams; all but the last say that there is more.
func formatList(head []byte, key string, n int, element func(int) string) (out [][]byte) {
	const room = longestMessage - 128 // what is not the list itself takes less
	head = appendPair(slices.Clone(head), "count", strconv.Itoa(n))
	for i := 0; i < n || out == nil; {
		var list []byte
		for ; i < n && len(list) < room-32; i++ {
			if len(list) > 0 {
				list = append(list, ',')
			}
			list = append(list, element(i)...)
		}
		b := appendPair(slices.Clone(head), key, string(list))
		if i < n {
			b = appendPair(b, "more", "1")
		}
		out = append(out, b)
	}
	return out
}

// addJobAnswer reads one datagram of an answer into a, and says whether there are more; an answer that says no comes back as *Error.
func addJobAnswer(a *JobAnswer, b []byte) (more bool, err error) {
	p, err := parsePairs(b)
	if err != nil {
		return false, fmt.Errorf("cannot read jobd's answer: %w", err)
	}
	switch p["status"] {
	case "error":
		return false, &Error{Code: Code(p["code"]), Message: p["message"]}
	case "ok":
	default:
		return false, fmt.Errorf("cannot read jobd's answer: status %q", clip(p["status"], longestKey))
	}
	if err := a.read(p); err != nil {
		return false, fmt.Errorf("cannot read jobd's answer: %w", err)
	}
	return p["more"] == "1", nil
}

func (a *JobAnswer) read(p map[string]string) (err error) {
	if s := p["jid"]; s != "" {
		if a.JID, err = parseWireJID(s); err != nil {
			return err
		}
	}
	count, err1 := number(p, "count", 0, 1<<31-1)
	uid, err2 := number(p, "uid", 0, int64(noID)-1)
	pid, err3 := number(p, "pid", 1, 1<<31-1)
	hid, err4 := number(p, "hid", 0, int64(noID))
	status, err5 := number(p, "wait_status", 0, 1<<32)
	a.Count, a.UID, a.PID, a.HID, a.Already = int(count), uint32(uid), int32(pid), uint32(hid), p["already"] == "1"
	if p["wait_status"] != "" {
		a.Status = &status
	}
	for s := range elements(p["jids"]) {
		jid, err := parseWireJID(s)
		if err != nil {
			return err
		}
		a.JIDs = append(a.JIDs, jid)
	}
	for s := range elements(p["pids"]) {
		v, err := strconv.ParseInt(s, 10, 32)
		if err != nil || v <= 0 {
			return fmt.Errorf("pid %q", clip(s, longestKey))
		}
		a.PIDs = append(a.PIDs, int32(v))
	}
	return cmp.Or(err1, err2, err3, err4, err5)
}

// elements are those of a list; of an empty one none.
func elements(s string) func(func(string) bool) {
	if s == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(s, ",")
}
