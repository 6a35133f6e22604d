package metrics

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jobd-project/jobd/job"
)

// host makes jobs of so many users, as a daemon would have them.
func host(jobs, users int) []job.Info {
	var out []job.Info
	for i := range jobs {
		in := job.Info{
			JID: job.NewJID(1, uint32(i+1)), User: fmt.Sprintf("user%03d", i%users), State: job.Open, Processes: 20,
			CPU: new(int64(i) * 1e6), ReadBytes: new(int64(i) * 4096), WriteBytes: new(int64(i) * 512),
		}
		if i%10 == 0 {
			in.State = job.Lingering
		}
		out = append(out, in)
	}
	return out
}

// summed is what a daemon does for one scrape: it goes over its jobs.
func summed(jobs []job.Info) Snapshot {
	s := full()
	s.Jobs, s.Users = make(map[job.State]int), nil
	at := make(map[string]int)
	for i := range jobs {
		in := &jobs[i]
		s.Jobs[in.State]++
		n, ok := at[in.User]
		if !ok {
			n = len(s.Users)
			at[in.User] = n
			s.Users = append(s.Users, User{Name: in.User, CPU: new(float64), ReadBytes: new(float64), WriteBytes: new(float64)})
		}
		u := &s.Users[n]
		u.Jobs++
		u.Processes += in.Processes
		*u.CPU += float64(*in.CPU) / 1e9
		*u.ReadBytes += float64(*in.ReadBytes)
		*u.WriteBytes += float64(*in.WriteBytes)
	}
	return s
}

// BenchmarkScrape is a scrape over a loopback connection, from the request to the last byte of the answer.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []struct{ jobs, users int }{{10, 3}, {1000, 300}, {10_000, 1000}} {
		b.Run(fmt.Sprintf("jobs=%d/users=%d", n.jobs, n.users), func(b *testing.B) {
			jobs := host(n.jobs, n.users)
			server := httptest.NewServer(Handler(New(func() (Snapshot, error) { return summed(jobs), nil }, Options{}), quiet()))
			defer server.Close()
			b.ReportAllocs()
			var size int64
			for b.Loop() {
				resp, err := http.Get(server.URL)
				if err != nil {
					b.Fatal(err)
				}
				size, err = io.Copy(io.Discard, resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status, err)
				}
				resp.Body.Close()
			}
			b.ReportMetric(float64(size), "bytes/scrape")
		})
	}
}
