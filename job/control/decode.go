package control

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	longestBody = 64 << 10
	longestText = 4096 // a user, a service, a scope
)

// names lists what a request may say.
func (rt route) names() []string { return strings.Fields(rt.fields) }

// decode reads a request of this route, and refuses whatever it doesn't understand.
func (rt route) decode(w http.ResponseWriter, r *http.Request) (Request, error) {
	req := Request{Verb: rt.verb, Op: rt.op, Job: JobRef(r.PathValue("job"))}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return req, Errorf(BadRequest, "cannot read the query: %s", err)
	}
	if rt.method == get {
		err = req.readQuery(query, rt.names())
	} else if len(query) > 0 {
		err = Errorf(BadRequest, "%s takes its parameters in a JSON body, not in the query", rt.verb)
	} else {
		err = req.readBody(http.MaxBytesReader(w, r.Body, longestBody), rt.names())
	}
	if err != nil {
		return req, err
	}
	return req, rt.check(req)
}

func (req *Request) readQuery(query url.Values, names []string) error {
	for name, values := range query {
		if !slices.Contains(names, name) {
			return unknownField(req.Verb, name, names)
		}
		if len(values) != 1 && name != "tag" {
			return Errorf(BadRequest, "%s stands there twice", name)
		}
		for _, value := range values {
			if err := req.set(name, value); err != nil {
				return Errorf(BadRequest, "bad %s %q: %s", name, clip(value, 64), err)
			}
		}
	}
	return nil
}

// set takes a parameter of a query.
func (req *Request) set(name, value string) (err error) {
	if text := req.text(name); text != nil {
		*text = value
		return nil
	}
	switch name {
	case "job":
		req.Job = JobRef(value)
	case "tag":
		req.Tag = append(req.Tag, value)
	case "all":
		req.All, err = parseBool(value)
	case "unjobbed":
		req.Unjobbed, err = parseBool(value)
	case "host":
		req.Host, err = parseBool(value)
	case "related":
		req.Related, err = parseBool(value)
	case "include_open":
		req.IncludeOpen, err = parseBool(value)
	case "since":
		req.Since, err = parseTime(value)
	case "until":
		req.Until, err = parseTime(value)
	default:
		err = req.setNumber(name, value)
	}
	return err
}

// text is the field of a parameter that is taken as it stands.
func (req *Request) text(name string) *string {
	switch name {
	case "user":
		return &req.User
	case "command":
		return &req.Command
	case "exe":
		return &req.Exe
	case "service":
		return &req.Service
	case "rhost":
		return &req.RHost
	case "exit":
		return &req.Exit
	case "sort":
		return &req.Sort
	case "by":
		return &req.By
	case "event":
		return &req.Event
	case "cursor":
		return &req.Cursor
	case "name":
		return &req.Name
	}
	return nil
}

func (req *Request) setNumber(name, value string) error {
	bits, known := map[string]int{"pid": 31, "limit": 31, "uid": 32, "gid": 32, "min_cpu": 63, "min_rss": 63, "min_io": 63}[name]
	if !known {
		return errors.New("it can't stand in a query")
	}
	v, err := parseNumber(value, bits)
	if err != nil {
		return err
	}
	id := uint32(v)
	switch name {
	case "pid":
		if v == 0 {
			return errors.New("a process id is above 0")
		}
		req.PID = int32(v)
	case "limit":
		req.Limit = int(v)
	case "uid":
		req.UID = &id
	case "gid":
		req.GID = &id
	case "min_cpu":
		req.MinCPU = int64(v)
	case "min_rss":
		req.MinRSS = int64(v)
	case "min_io":
		req.MinIO = int64(v)
	}
	return nil
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, errors.New("it is true or false")
	}
	return s == "true", nil
}

func parseNumber(s string, bits int) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, errors.New("it is a number, and not so large")
	}
	return v, nil
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, errors.New("it is a time as in RFC 3339, 2006-01-02T15:04:05Z")
	}
	return t, nil
}

// readBody takes one JSON object. Its keys are checked first: each verb has its own, all of them are fields of Request.
func (req *Request) readBody(body io.Reader, names []string) error {
	b, err := io.ReadAll(body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return Errorf(BadRequest, "the body has more than %d bytes", longestBody)
	case err != nil:
		return Errorf(BadRequest, "cannot read the body: %s", bare(err))
	case len(b) == 0:
		return nil
	}
	var said map[string]json.RawMessage
	if err := json.Unmarshal(b, &said); err != nil || said == nil {
		return Errorf(BadRequest, "the body is not a JSON object")
	}
	for name := range said {
		if !slices.Contains(names, name) {
			return unknownField(req.Verb, name, names)
		}
	}
	path := req.Job
	if err := json.Unmarshal(b, req); err != nil {
		return badBody(err)
	}
	if req.Job == "" {
		req.Job = path
	}
	return nil
}

func badBody(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return Errorf(BadRequest, "bad %s: %s is no %s", wrong.Field, wrong.Value, wrong.Type)
	}
	return Errorf(BadRequest, "cannot read the body: %s", err)
}

func unknownField(verb Verb, name string, names []string) error {
	e := Errorf(BadRequest, "%s knows no %q", verb, clip(name, 64))
	if len(names) > 0 {
		e.Hint = "it knows " + strings.Join(names, ", ")
	}
	return e
}

// check refuses what can't mean anything, before the backend sees it.
func (rt route) check(req Request) error {
	for _, ref := range []JobRef{req.Job, req.Want} {
		if err := ref.check(); ref != "" && err != nil {
			return err
		}
	}
	switch {
	case strings.Contains(rt.path, "{job}") && req.Job == "":
		return Errorf(BadRequest, "no job is named")
	case req.PID < 0:
		return Errorf(BadRequest, "bad pid %d: a process id is above 0", req.PID)
	case req.Timeout < 0 || req.Limit < 0:
		return Errorf(BadRequest, "a timeout or limit below 0 means nothing")
	case max(len(req.User), len(req.Service), len(req.Scope)) > longestText:
		return Errorf(BadRequest, "a name of more than %d bytes names nothing", longestText)
	case req.UID != nil && *req.UID == noID:
		return Errorf(BadRequest, "%d is no user id", *req.UID)
	}
	if err := checkFilter(req); err != nil {
		return err
	}
	return checkVerb(req)
}

func checkVerb(req Request) error {
	switch req.Verb {
	case Kill:
		if req.Signal < 0 || req.Signal > 64 {
			return Errorf(BadRequest, "there is no signal %d", req.Signal)
		}
		if count(req.Signal != 0, req.Probe, req.Now) > 1 {
			return Errorf(BadRequest, "signal, probe and now exclude each other")
		}
	case Create:
		if req.Want == Self {
			return Errorf(BadRequest, "a new job can't be self")
		}
	case Attach, Move:
		if req.PID == 0 {
			return Errorf(BadRequest, "no pid is given")
		}
	case Detach:
		if count(req.PID != 0, req.Job != "") != 1 {
			return Errorf(BadRequest, "detach takes a pid or a job")
		}
	case Adopt:
		if count(req.PID != 0, req.Scope != "", req.AllSessions) != 1 {
			return Errorf(BadRequest, "adopt takes a pid, a scope, or all_sessions")
		}
	case Tag:
		if len(req.Tags) == 0 {
			return Errorf(BadRequest, "no tags are given")
		}
	case LimitTo:
		if req.MaxProcesses != nil && *req.MaxProcesses < 0 {
			return Errorf(BadRequest, "a limit below 0 means nothing: 0 refuses every fork, null is none")
		}
	case Procs:
		if req.Sort == "processes" {
			return Errorf(BadRequest, "records can't be sorted by processes: each is of one")
		}
	case Watch, Subscribe, Subscribed:
		return checkWatch(req)
	case DB:
		if req.Op == OpForget && req.User == "" && req.UID == nil {
			return Errorf(BadRequest, "forget takes a user, a uid or both")
		}
	}
	return nil
}

func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}
