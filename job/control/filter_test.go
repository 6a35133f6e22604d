package control

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What the client says the server hears, whatever the filters are.
func TestFiltersArrive(t *testing.T) {
	b := &fake{}
	path := serveAPI(t, b, Config{}, socketDir(t), nil)
	c := NewClient(path)
	rapid.Check(t, func(t *rapid.T) {
		req := anyFilter(t)
		if checkFilter(req) != nil {
			if _, err := c.Procs(t.Context(), req); err == nil {
				t.Fatalf("%+v was taken", req)
			}
			return
		}
		_, _ = c.Procs(t.Context(), req) // the fake's answer is no list
		asked, _, _ := b.saw()
		got := asked[len(asked)-1]
		req.Verb = Procs
		if !reflect.DeepEqual(got, req) {
			t.Fatalf("the client asked\n%+v, the server heard\n%+v", req, got)
		}
	})
}

func anyFilter(t *rapid.T) Request {
	text := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 20, 100), rapid.StringMatching(`[!^$.*a-z0-9/=&?#% +;-]{1,12}`))
	id := rapid.Ptr(rapid.Uint32(), true)
	req := Request{
		User: text.Draw(t, "user"), UID: id.Draw(t, "uid"), GID: id.Draw(t, "gid"), Command: text.Draw(t, "command"), Exe: text.Draw(t, "exe"),
		Service: text.Draw(t, "service"), RHost: text.Draw(t, "rhost"), PID: rapid.Int32Min(0).Draw(t, "pid"),
		MinCPU: rapid.Int64Min(-1).Draw(t, "cpu"), MinRSS: rapid.Int64Min(0).Draw(t, "rss"), MinIO: rapid.Int64Min(0).Draw(t, "io"),
		Exit:  rapid.SampledFrom([]string{"", "0", "1", "!0", "256", "x"}).Draw(t, "exit"),
		Sort:  rapid.SampledFrom([]string{"", "ended", "cpu", "io", "size"}).Draw(t, "sort"),
		Limit: rapid.IntRange(0, 1<<31-1).Draw(t, "limit"),
		Tag:   rapid.SliceOfN(text, 0, 3).Draw(t, "tag"),
	}
	if len(req.Tag) == 0 {
		req.Tag = nil
	}
	if rapid.Bool().Draw(t, "bounded") {
		req.Since = time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "since"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		req.Until = req.Since.Add(time.Duration(rapid.Int64Range(-1, 1<<40).Draw(t, "long")))
	}
	if req.UID != nil && *req.UID == noID {
		req.UID = nil
	}
	return req
}
