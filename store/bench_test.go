package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

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

// BenchmarkEncode is the writer's work for a record, without the disk.
func BenchmarkEncode(b *testing.B) {
	eachLoad(b, func(b *testing.B, recs []*job.Record) {
		var enc encoder
		v := enc.encode(recs)
		b.ReportAllocs()
		for b.Loop() {
			v = enc.encode(recs)
		}
		b.ReportMetric(float64(len(v))/float64(len(recs)), "B/record")
	})
}

// BenchmarkDecode is what a reader of all fields pays for a record.
func BenchmarkDecode(b *testing.B) {
	eachLoad(b, func(b *testing.B, recs []*job.Record) {
		v := new(encoder).encode(recs)
		var dec decoder
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dec.decode(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// byCommand is what a report by command needs of a record.
const byCommand = FieldComm | FieldIDs | FieldCPU | FieldMemory | FieldIO | FieldEarlier

// BenchmarkDecodePart is what a reader of some fields pays for a record.
func BenchmarkDecodePart(b *testing.B) {
	eachLoad(b, func(b *testing.B, recs []*job.Record) {
		v := new(encoder).encode(recs)
		var dec decoder
		var r job.Record
		b.ReportAllocs()
		for b.Loop() {
			if err := dec.begin(v, byCommand); err != nil {
				b.Fatal(err)
			}
			for i := range dec.count {
				dec.record(i, &r, byCommand)
			}
		}
	})
}

func eachLoad(b *testing.B, f func(*testing.B, []*job.Record)) {
	for _, c := range []struct {
		name string
		l    *loader
	}{{"mixed", newLoader(busy, mixed)}, {"quiet", newLoader(quiet, mixed)}, {"storm", newLoader(busy, storm)}} {
		for _, n := range []int{16, 128, 1024, 4096} {
			recs := c.l.take(n)
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				f(b, recs)
				perRecord(b, n)
			})
		}
	}
}

func perRecord(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

// BenchmarkFile is a load with a commit for every so many records: time and bytes in the file for a record.
func BenchmarkFile(b *testing.B) {
	for _, c := range []struct {
		name            string
		records, commit int
		gap             time.Duration
	}{{"quiet", 1_000_000, 1, quiet}, {"between", 1_000_000, 100, 10 * time.Millisecond}, {"busy", 1_000_000, 20_000, busy}} {
		b.Run(fmt.Sprintf("%s/commit=%d", c.name, c.commit), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Delay: time.Hour, Batch: 1 << 30, KeepRecords: -1})
				if err != nil {
					b.Fatal(err)
				}
				s.db.NoSync = true // the bytes are what counts here, and a million commits
				l := newLoader(c.gap, mixed)
				var size int64
				for n := 0; n < c.records; n += c.commit {
					recs := l.take(c.commit)
					b.StartTimer()
					for _, r := range recs {
						s.PutRecord(r)
					}
					if err := s.Flush(context.Background()); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
				}
				size = s.Stats().FileSize
				blocks, open := blockBytes(b, s)
				s.Close()
				b.ReportMetric(float64(size)/float64(c.records), "B/record")
				b.ReportMetric(float64(blocks)/float64(c.records), "block-B/record")
				b.ReportMetric(float64(open), "open-B")
				b.StartTimer()
			}
			perRecord(b, c.records)
		})
	}
}

// blockBytes is how many bytes the blocks take, and those of them that are open.
func blockBytes(b *testing.B, s *Store) (all, open int) {
	err := s.view(func(tx *bolt.Tx) error {
		return eachBlock(tx, func(_ string, k, v []byte) error {
			if all += len(v); isOpenKey(k) {
				open += len(v)
			}
			return nil
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	return all, open
}

// BenchmarkScanMillion is what a report by command reads: a million records of a mixed load.
func BenchmarkScanMillion(b *testing.B) {
	const n = 1_000_000
	s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Delay: time.Hour, Batch: 1 << 30, KeepRecords: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.db.NoSync = true
	l := newLoader(busy, mixed)
	for range n / 20_000 {
		for _, r := range l.take(20_000) {
			s.PutRecord(r)
		}
		if err := s.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		fields Fields
	}{{"command", byCommand}, {"all", 0}, {"comm", FieldComm}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				cpu, seen := make(map[string]int64), 0
				err := s.Scan(Query{Fields: c.fields}, func(r *job.Record) bool {
					seen++
					cpu[r.Usage.Comm] += r.Usage.CPU
					return true
				})
				if err != nil || seen != n {
					b.Fatal(seen, err)
				}
			}
			perRecord(b, n)
		})
	}
	b.Run("sums", func(b *testing.B) {
		for b.Loop() {
			cpu, seen := make(map[string]int64), int64(0)
			q := Query{Fields: byCommand, Sums: func(comm string, s *job.Sum) {
				seen += s.Records
				cpu[comm] += s.CPU
			}}
			if err := s.Scan(q, func(*job.Record) bool { seen++; return true }); err != nil || seen != n {
				b.Fatal(seen, err)
			}
		}
		perRecord(b, n)
	})
}

// BenchmarkRecordsOfJob is what the records of one job cost, of a million in 30 days and of 100,000 jobs. With a job that
// lives all the time each block may have records of every job that began meanwhile, as far as its header says.
func BenchmarkRecordsOfJob(b *testing.B) {
	for _, c := range []struct {
		name string
		old  int // of a thousand records, those of that job
	}{{"short", 0}, {"beside", 10}} {
		b.Run(c.name, func(b *testing.B) {
			s := monthOfJobs(b, c.old)
			for name, seq := range map[string]uint32{"some": 50_000, "none": jobless} {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						seen := 0
						for _, err := range s.Records(job.NewJID(7, seq)) {
							if seen++; err != nil {
								b.Fatal(err)
							}
						}
						if seen > 0 != (seq != jobless) {
							b.Fatal(seen)
						}
					}
				})
			}
		})
	}
}

// jobless is a job of that month without records.
const jobless = 70_000

func monthOfJobs(b *testing.B, old int) *Store {
	const n = 1_000_000
	s, err := Open(filepath.Join(b.TempDir(), "jobd.db"), Options{Now: day0, Delay: time.Hour, Batch: 1 << 30, KeepRecords: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	s.db.NoSync = true
	l := newLoader(30*24*time.Hour/n, mixed)
	for i := range n {
		r := l.next()
		if r.JID = job.NewJID(7, uint32(i/10+l.rng.IntN(20))); l.rng.IntN(1000) < old {
			r.JID = job.NewJID(7, 1)
		}
		if r.JID == job.NewJID(7, jobless) {
			r.JID++
		}
		if s.PutRecord(r); i%1000 == 999 {
			if err := s.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s
}
