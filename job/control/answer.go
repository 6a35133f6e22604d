package control

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
)

// writeError writes {"error":{…}}.
func writeError(w http.ResponseWriter, e *Error) {
	b, err := encode(struct {
		Error *Error `json:"error"`
	}{e})
	if err != nil { // three strings: can't be
		b = []byte(`{"error":{"code":"internal","message":"jobd failed"}}`)
	}
	head(w, e.Code.httpStatus())
	_, _ = w.Write(b) // a client that has gone wants no answer
}

// writeAnswer writes what the backend answered. Lists are written piece by piece: they may be long. Renew gives the client
// its time anew.
func writeAnswer(w http.ResponseWriter, v any, renew func()) {
	switch v := v.(type) {
	case []job.Info:
		writeList(w, v, func(in job.Info) any { return wholeInfo(in) })
	case []job.Process:
		writeList(w, v, wholeProcess)
	case Processes:
		writeProcesses(w, v, renew)
	default:
		b, err := encode(whole(v))
		if err != nil {
			writeError(w, Errorf(Internal, "cannot encode the answer: %s", err))
			return
		}
		head(w, http.StatusOK)
		_, _ = w.Write(b)
	}
}

func head(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
}

// writeList writes an array, an element a line.
func writeList[T any](w http.ResponseWriter, list []T, whole func(T) any) {
	head(w, http.StatusOK)
	a := array{w: w}
	for _, v := range list {
		if !a.add(whole(v)) {
			return
		}
	}
	a.end()
}

// writeProcesses writes an array while it is being made, for as long as the client takes it.
func writeProcesses(w http.ResponseWriter, list Processes, renew func()) {
	head(w, http.StatusOK)
	a := array{w: &patient{w: w, renew: renew, begun: true}}
	if err := list(func(p job.Process) bool { return a.add(wholeProcess(p)) }); err != nil {
		panic(http.ErrAbortHandler)
	}
	a.end()
}

// array is a JSON array that is being written.
type array struct {
	w    io.Writer
	any  bool
	gone bool // the client has
}

// add writes an element. False: nobody reads any more. What cannot be encoded cuts the answer off in the middle: the client
// must not take half an array for all.
func (a *array) add(v any) bool {
	b, err := encode(v)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	sep := "["
	if a.any {
		sep = ",\n"
	}
	a.any = true
	_, err = a.w.Write(append([]byte(sep), bytes.TrimSuffix(b, []byte("\n"))...))
	a.gone = a.gone || err != nil
	return !a.gone
}

func (a *array) end() {
	switch {
	case a.gone:
	case a.any:
		_, _ = io.WriteString(a.w, "]\n")
	default:
		_, _ = io.WriteString(a.w, "[]\n")
	}
}

// encode leaves <, > and & as they are: this is no page of HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// whole makes lists and maps that are nil empty: they are never null.
func whole(v any) any {
	switch v := v.(type) {
	case job.Info:
		return wholeInfo(v)
	case RelatedAnswer:
		return wholeRelated(v)
	case KillAnswer:
		v.Left, v.Refused, v.Jobs = list(v.Left), list(v.Refused), list(v.Jobs)
		return v
	case StatusAnswer:
		v.Witnesses, v.Subscribers, v.Confined = list(v.Witnesses), list(v.Subscribers), list(v.Confined)
		v.Jobs, v.Events = dict(v.Jobs), dict(v.Events)
		v.Subscribers = slices.Clone(v.Subscribers) // the caller's own stay what they are
		for i := range v.Subscribers {
			v.Subscribers[i].Hears = list(v.Subscribers[i].Hears)
		}
		return v
	case SelfcheckAnswer:
		v.Differences = list(v.Differences)
		return v
	case report.Report:
		v.Lines, v.Gaps = list(v.Lines), list(v.Gaps)
		return v
	case []job.Moment:
		return list(v)
	case DBStats:
		v.Buckets = dict(v.Buckets)
		return v
	case ChangeAnswer:
		return wholeChange(v)
	case AdoptAnswer:
		jobs := make([]ChangeAnswer, len(v.Jobs))
		for i, c := range v.Jobs {
			jobs[i] = wholeChange(c)
		}
		v.Jobs = jobs
		return v
	}
	return v
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func dict[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

func wholeChange(c ChangeAnswer) ChangeAnswer {
	c.Processes, c.Already = list(c.Processes), list(c.Already)
	return c
}

func wholeInfo(in job.Info) job.Info {
	in.Marks = list(in.Marks)
	in.Tags = dict(in.Tags)
	return in
}

// wholeRelated has its processes in no job without a JID.
func wholeRelated(v RelatedAnswer) any {
	type related struct {
		Related
		Members  []any `json:"members"`
		Unjobbed []any `json:"unjobbed"`
	}
	r := related{Related: v.Related, Members: []any{}, Unjobbed: []any{}}
	for _, p := range v.Related.Members {
		r.Members = append(r.Members, wholeProcess(p))
	}
	for _, p := range v.Related.Unjobbed {
		r.Unjobbed = append(r.Unjobbed, wholeProcess(p))
	}
	r.Jobs = make([]RelatedJob, 0, len(v.Related.Jobs))
	for _, j := range v.Related.Jobs {
		r.Jobs = append(r.Jobs, RelatedJob{wholeInfo(j.Info), list(j.Why)})
	}
	return struct {
		job.Info
		Related related `json:"related"`
	}{wholeInfo(v.Info), r}
}

// unjobbed is a process in no job: of that, null is said, not a JID of zeros.
type unjobbed struct {
	JID *job.JID `json:"jid"`
	Seq *uint32  `json:"seq"`
	job.Process
}

func wholeProcess(p job.Process) any {
	p.Flags = list(p.Flags)
	if p.JID == 0 {
		return unjobbed{Process: p}
	}
	return p
}
