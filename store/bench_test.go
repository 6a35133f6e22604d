package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// BenchmarkPutRecord is what the event loop pays for each process that has gone; a commit is made, off the clock, for
// every 20,000.
func BenchmarkPutRecord(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Delay: time.Hour, Batch: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	recs := load(20_000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.PutRecord(recs[n])
		if n++; n == len(recs) {
			n = 0
			b.StopTimer()
			if err := s.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
	if d := s.Stats().Dropped; d > 0 {
		b.Fatal(d, "dropped")
	}
}

// BenchmarkPutRecordBesideCommits is the same while the writer is at work all the time, with the slowest call.
func BenchmarkPutRecordBesideCommits(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Batch: 100})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	recs := load(20_000)
	var worst, sum time.Duration
	n := 0
	for b.Loop() {
		for range 200 { // 20,000 a second
			start := time.Now()
			s.PutRecord(recs[n%len(recs)])
			d := time.Since(start)
			worst, sum = max(worst, d), sum+d
			n++
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.ReportMetric(float64(sum.Nanoseconds())/float64(n), "ns/record")
	b.ReportMetric(float64(worst.Nanoseconds()), "ns-worst")
	b.ReportMetric(float64(s.Stats().Dropped), "dropped")
}

func load(n int) []*job.Record {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]*job.Record, n)
	for i := range out {
		out[i] = mixed(rng, i)
	}
	return out
}

// BenchmarkBlock is the writer's work for a record, without the disk.
func BenchmarkBlock(b *testing.B) {
	for _, n := range []int{16, 256, 4096} {
		recs := load(n)
		var enc encoder
		v, _ := enc.encode(recs)
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			for b.Loop() {
				v, _ = enc.encode(recs)
			}
			perRecord(b, n)
			b.ReportMetric(float64(len(v))/float64(n), "B/record")
			b.ReportMetric(float64(len(enc.body))/float64(n), "raw-B/record")
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			var dec decoder
			for b.Loop() {
				if _, err := dec.decode(v); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, n)
		})
	}
}

func perRecord(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

// BenchmarkFile is a load with a commit for every so many records: time and bytes in the file for a record.
func BenchmarkFile(b *testing.B) {
	for _, c := range []struct{ records, commit int }{{50_000, 1}, {200_000, 100}, {400_000, 20_000}} {
		b.Run(fmt.Sprintf("commit=%d", c.commit), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Delay: time.Hour, Batch: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				s.db.NoSync = true // the bytes are what counts here, and 50,000 commits
				recs := load(c.records)
				b.StartTimer()
				for i, r := range recs {
					if s.PutRecord(r); (i+1)%c.commit == 0 {
						if err := s.Flush(context.Background()); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(s.Stats().FileSize)/float64(c.records), "B/record")
				s.Close()
				b.StartTimer()
			}
			perRecord(b, c.records)
		})
	}
}
