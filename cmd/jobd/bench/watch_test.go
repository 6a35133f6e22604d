package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jobd-project/jobd/job/control"
)

// Two hundred jobs in each of which as much happens as in any other: 10,000 lines a second altogether, three for each child (clone, exit, free).
const (
	watchedJobs   = 200
	watchedForks  = 17 // a second, in each
	watchedTime   = 4  // s
	watchedEvents = 3 * watchedJobs * watchedForks
)

// watching measures what those who watch cost jobd: nobody, one of one job, one of all jobs, and one of each.
func (b *bench) watching() error {
	for _, e := range engines {
		if err := b.watchingOn(e); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) watchingOn(e engine) (err error) {
	d, err := b.startDaemon(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	p, err := b.start(rootGroup, "pacer", strconv.Itoa(watchedJobs), strconv.Itoa(watchedForks), strconv.Itoa(watchedTime))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.kill()) }()
	jobs, err := d.enterEach(p)
	if err != nil {
		return err
	}
	nobody, one, all, each200 := samples{}, samples{}, samples{}, samples{}
	var lines, lost int64
	for range *rounds {
		for _, m := range []struct {
			to   *samples
			asks []string
		}{{&nobody, nil}, {&one, []string{"job=" + jobs[0]}}, {&all, []string{"all=true"}}, {&each200, prefixed("job=", jobs)}} {
			us, n, missing, err := d.watched(p, m.asks)
			if err != nil {
				return err
			}
			*m.to = append(*m.to, us/watchedTime/1e4) // % of a CPU
			lost += missing
			if len(m.asks) > 1 {
				lines = n
			}
		}
	}
	if want := int64(watchedEvents * watchedTime); lost > 0 || lines != want {
		return fmt.Errorf("%d watchers got %d lines of %d, and %d were lost", watchedJobs, lines, want, lost)
	}
	slower := each(each200, one, ratio)
	b.add(row{
		fmt.Sprintf("jobd's CPU at %s events a second, %d watch a job each, %s", number(watchedEvents), watchedJobs, e), each200.spread("%.2f", " %"),
		"one watches one job " + one.spread("%.2f", " %"), slower.spread("%.2f", ""), "≤ 1.5", met(slower.median() <= 1.5),
	})
	b.add(row{what: "  one watches all jobs", measured: all.spread("%.2f", " %"), beside: "nobody watches " + nobody.spread("%.2f", " %"),
		ratio: each(all, nobody, ratio).spread("%.2f", "")})
	b.add(row{what: "  two hundred beside one of all jobs", ratio: each(each200, all, ratio).spread("%.2f", "")})
	return nil
}

func prefixed(with string, list []string) (out []string) {
	for _, s := range list {
		out = append(out, with+s)
	}
	return out
}

// enterEach puts each process that a program names into a job of its own.
func (d *daemon) enterEach(p *proc) (jobs []string, err error) {
	for range watchedJobs {
		said, err := p.line()
		if err != nil {
			return nil, err
		}
		pid, err := strconv.ParseInt(said, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("cannot read what the pacer said: %w", err)
		}
		ref, err := d.hold()
		if err != nil {
			return nil, err
		}
		if _, err := d.client.Attach(d.b.ctx, control.Request{PID: int32(pid), Job: ref}); err != nil {
			return nil, err
		}
		if err := d.client.Release(d.b.ctx, ref); err != nil {
			return nil, err
		}
		jobs = append(jobs, string(ref))
	}
	return jobs, p.expect("ready")
}

// watched has the pacer beat while streams are read, and gives jobd's CPU in µs, how many lines came, and how many events were said to be lost.
func (d *daemon) watched(p *proc, asks []string) (us float64, lines, lost int64, err error) {
	ctx, cancel := context.WithCancel(d.b.ctx)
	defer cancel()
	var all sync.WaitGroup
	var n, gaps atomic.Int64
	for _, ask := range asks {
		body, err := d.stream(ctx, ask)
		if err != nil {
			return 0, 0, 0, err
		}
		all.Go(func() {
			defer body.Close()
			for sc := bufio.NewScanner(body); sc.Scan(); {
				n.Add(1)
				if strings.HasPrefix(sc.Text(), `{"event":"lost"`) {
					gaps.Add(1)
				}
			}
		})
	}
	spent, err := charged(d.b.groups[daemonGroup], func() error {
		if _, err := io.WriteString(p.in, "\n"); err != nil {
			return err
		}
		err := p.expect("done")
		time.Sleep(settleWatched)
		return err
	})
	for end := time.Now().Add(10 * time.Second); len(asks) > 1 && n.Load() < watchedEvents*watchedTime && time.Now().Before(end); {
		time.Sleep(settleWatched) // the machine is busy with something else
	}
	cancel()
	all.Wait()
	return spent.total, n.Load(), gaps.Load(), err
}

// settleWatched is how long after the last event a line may come.
const settleWatched = 500 * time.Millisecond

// stream opens a stream; its head has come.
func (d *daemon) stream(ctx context.Context, query string) (io.ReadCloser, error) {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dial net.Dialer
		return dial.DialContext(ctx, "unix", d.file("run/jobd.sock"))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://jobd/v1/watch?"+query, nil)
	if err != nil {
		return nil, err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("cannot watch: %s", resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}
