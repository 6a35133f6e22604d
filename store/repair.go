package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// Repaired is what a repair took out of a damaged file, and what it could not.
type Repaired struct {
	Pages                                       int64 // of the file
	Blocks, Records, Jobs, Open, Moments, Parts int64 // taken

	BadBlocks  int64    // blocks that could not be read
	BadRecords int64    // that these say they had, as far as they say it
	BadValues  int64    // jobs, moments and parts that could not be read
	Damage     []string // a sentence for each place that was damaged
	More       int64    // places beyond those
	FreeLost   bool     // it could not be told which pages are unused: what was dropped or forgotten may have come back
}

// Repair writes all that is good in a damaged database into a fresh one at to, which must not exist. It reads the pages
// itself: those that the tree leads to, and where the tree is broken the leaves that it no longer leads to. Blocks and jobs
// prove by their checksums that they are whole. The damaged file is not touched. tell hears how many pages are done.
func Repair(ctx context.Context, path, to string, o Options, tell func(done, all int64)) (Repaired, error) {
	r := repairing{ctx: ctx, opt: o.withDefaults(), tell: tell}
	if err := r.run(path, to); err != nil {
		return r.out, fmt.Errorf("cannot repair %s: %w", path, err)
	}
	return r.out, nil
}

// repairing is a Repair under way.
type repairing struct {
	ctx  context.Context
	opt  Options
	tell func(done, all int64)
	out  Repaired
	from salvaged
	kept map[string]uint64 // records_from, jobs_from

	to      *bolt.DB
	tx      *bolt.Tx
	held    int // bytes in the transaction
	dec     decoder
	err     error // of writing: the rest is passed over
	orphans bool
	gap     bool // was written

	open  map[string][][]byte // by day: open blocks, whose records get blocks of their own in the end
	stale [][]byte            // open blocks that no tree leads to: their records may have moved on since
}

func (r *repairing) run(path, to string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return access(err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s is there already; give another name", to)
	}
	f := newPageFile(in, st.Size())
	r.out.Pages = int64(f.pages())
	r.lookAhead(f)
	tmp := to + ".new"
	if err := r.write(f, tmp); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	if err := sameOwner(tmp, st); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	err = os.Chtimes(tmp, time.Time{}, st.ModTime())
	if err == nil {
		err = os.Rename(tmp, to)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	return syncDir(filepath.Dir(to))
}

// lookAhead finds the host id and the sequence numbers before anything is written.
func (r *repairing) lookAhead(f *pageFile) {
	r.from = salvaged{open: make(map[job.JID]*job.Saved), ended: make(map[job.JID]bool)}
	r.kept = make(map[string]uint64)
	whole := true
	each := func(path []string, key, value []byte) {
		if len(path) == 0 || path[len(path)-1] != "meta" {
			return
		}
		r.from.lookAtMeta(string(key), value)
		if len(value) == 8 && r.from.ours {
			r.kept[string(key)] = max(r.kept[string(key)], binary.BigEndian.Uint64(value))
		}
	}
	w := f.walker(each, func(error) { whole = false })
	w.tree()
	if !whole && r.from.hid == 0 {
		w.orphans(nil)
	}
	if r.from.next > 0 && r.from.next < ^uint32(0)-salvageGap {
		r.from.next += salvageGap
	}
}

func (r *repairing) write(f *pageFile, tmp string) error {
	o := r.opt
	if r.from.hid != 0 {
		o.HID = r.from.hid
	}
	if err := fill(tmp, o, r.from); err != nil {
		return err
	}
	var err error
	if r.to, err = bolt.Open(tmp, 0o640, &bolt.Options{Timeout: r.opt.Timeout, FreelistType: bolt.FreelistMapType, NoSync: true}); err != nil {
		return err
	}
	if r.tx, err = r.to.Begin(true); err == nil {
		r.walk(f)
		err = r.finish()
	}
	return errors.Join(err, r.to.Close())
}

func (r *repairing) walk(f *pageFile) {
	bad := func(err error) {
		if len(r.out.Damage) >= problemsMost {
			r.out.More++
			return
		}
		r.out.Damage = append(r.out.Damage, err.Error())
	}
	w := f.walker(r.take, bad)
	done := int64(0)
	w.tick = func(n int) {
		if done += int64(n); r.tell != nil {
			r.tell(done, r.out.Pages)
		}
		if r.err == nil {
			r.err = r.ctx.Err()
		}
	}
	w.tree()
	if len(r.out.Damage) == 0 {
		return
	}
	free, err := f.free()
	if !f.good || err != nil {
		r.out.FreeLost = true
	}
	r.orphans = true
	w.orphans(free)
}

func (r *repairing) finish() error {
	if r.err == nil {
		r.err = r.settle()
	}
	if r.err == nil {
		r.err = r.moment()
	}
	if r.err != nil {
		return errors.Join(r.err, r.tx.Rollback())
	}
	if err := r.tx.Commit(); err != nil {
		return err
	}
	err := r.to.View(func(tx *bolt.Tx) error {
		r.out.Jobs, r.out.Open = countKeys(tx, "jobs"), countKeys(tx, "open")
		r.out.Moments, r.out.Parts = countKeys(tx, "moments"), countKeys(tx, "parts")
		if r.gap {
			r.out.Moments--
		}
		r.out.Blocks, r.out.Records = 0, 0
		return eachBlock(tx, func(_ string, _, v []byte) error {
			h, err := readHeader(v)
			r.out.Blocks++
			r.out.Records += int64(h.count)
			return err
		})
	})
	if err != nil {
		return err
	}
	return r.to.Sync()
}

// moment leaves a gap in the repaired books where they were damaged: nobody knows what of them is missing, nor from when.
func (r *repairing) moment() error {
	for key, ns := range r.kept {
		if key == "records_from" || key == "jobs_from" {
			if err := r.tx.Bucket([]byte("meta")).Put([]byte(key), be64(ns)); err != nil {
				return err
			}
		}
	}
	if len(r.out.Damage) == 0 && r.out.BadBlocks+r.out.BadValues == 0 {
		return nil
	}
	r.gap = true
	text := fmt.Sprintf("the books were repaired: %d places were damaged, %d blocks could not be read", int64(len(r.out.Damage))+r.out.More, r.out.BadBlocks)
	now := r.opt.Now.UTC()
	if now.IsZero() {
		now = time.Now().UTC()
	}
	since := time.Unix(0, 0).UTC()
	return putMoment(r.tx, &job.Moment{Time: now, Kind: job.MomentGap, Since: &since, Text: job.Text(text)})
}

// take looks what a value is, and writes it down if it is whole and ours.
func (r *repairing) take(path []string, key, value []byte) {
	if r.err != nil || len(path) > 0 && (path[0] == "meta" || path[0] == "dropped") {
		return
	}
	if len(value) == 0 {
		return
	}
	switch kind := value[0]; {
	case kind == kindJob, kind == '{':
		r.takeJob(key, value)
	case kind == kindMoment:
		m, err := decodeMoment(key, value)
		if !r.bad(err) {
			r.keep("moments", key, unixKey(m.Time), r.kept["jobs_from"], value)
		}
	case kind == kindPart:
		p, err := decodePart(key, value)
		if !r.bad(err) {
			r.keep("parts", key, uint64(max(p.At, 0)), r.kept["records_from"], value)
		}
	case kind == kindTotal && len(path) > 0 && path[0] == bucketTotals: // a page that no tree leads to may have an older sum
		if _, err := decodeTotal(key, value); !r.bad(err) {
			r.takeTotal(key, value)
		}
	case len(key) == 16, isOpenKey(key):
		r.takeBlock(path, key, value)
	}
	if r.err == nil && r.held > compactStep {
		r.held, r.err = 0, r.tx.Commit()
		if r.err == nil {
			r.tx, r.err = r.to.Begin(true)
		}
	}
}

// bad counts what cannot be read. What no tree leads to may be anything, and isn't counted.
func (r *repairing) bad(err error) bool {
	if err != nil && !r.orphans {
		r.out.BadValues++
	}
	return err != nil
}

func (r *repairing) keep(bucket string, key []byte, at, from uint64, value []byte) {
	if at < from || len(key) != 16 {
		return
	}
	r.held += len(value)
	b := r.tx.Bucket([]byte(bucket))
	if seq := binary.BigEndian.Uint64(key[8:]); bucket == "moments" && seq > b.Sequence() {
		r.err = b.SetSequence(seq)
	}
	if r.err == nil {
		r.err = b.Put(bytes.Clone(key), bytes.Clone(value))
	}
}

func (r *repairing) takeTotal(key, value []byte) {
	b, err := r.tx.CreateBucketIfNotExists([]byte(bucketTotals))
	if err == nil {
		err = b.Put(bytes.Clone(key), bytes.Clone(value))
	}
	r.held, r.err = r.held+len(value), err
}

func (r *repairing) takeJob(key, value []byte) {
	j, err := decodeJob(key, value)
	if err == nil && (j.JID == 0 || len(key) >= 8 && !bytes.Equal(key[len(key)-8:], be64(uint64(j.JID)))) {
		err = errFrame
	}
	if r.bad(err) {
		return
	}
	op := jobOp{jid: j.JID, end: endOf(j), ended: j.State == job.Ended || len(key) == 16}
	if op.ended && op.end < r.kept["jobs_from"] {
		return
	}
	if !op.ended {
		if old := r.tx.Bucket([]byte("open")).Get(be64(uint64(j.JID))); old != nil {
			if o, err := decodeJob(key, old); err == nil && !newer(j, o) {
				return
			}
		}
	}
	if op.value, r.err = encodeJob(j); r.err == nil {
		r.held += len(op.value)
		r.err = op.put(r.tx, nil)
	}
}

// takeBlock takes a block with its records. Of several of one name, which old pages may hold, the first counts: what the
// tree leads to comes first, and a settled block is seldom changed.
func (r *repairing) takeBlock(path []string, key, value []byte) {
	recs, err := r.dec.decode(value)
	if err != nil || len(recs) == 0 {
		if !r.orphans && len(path) > 0 && path[0] == "proc" {
			r.out.BadBlocks++
			if h, err := readHeader(value); err == nil {
				r.out.BadRecords += int64(h.count)
			}
		}
		return
	}
	day := dayOf(recs[0].End)
	if from := r.kept["records_from"]; from > 0 && day < dayOf(int64(from)) {
		return
	}
	if isOpenKey(key) {
		r.takeOpen(day, bytes.Clone(value))
		return
	}
	d, err := openDay(r.tx, day)
	if err != nil {
		r.err = err
		return
	}
	if d.get(key) != nil {
		return
	}
	r.held += len(value)
	if seq := binary.BigEndian.Uint64(key[8:]); seq > d.b.Sequence() {
		if r.err = d.b.SetSequence(seq); r.err != nil {
			return
		}
	}
	r.err = d.put(bytes.Clone(key), bytes.Clone(value))
}

func (r *repairing) takeOpen(day string, value []byte) {
	if r.orphans {
		r.stale = append(r.stale, value)
		return
	}
	if r.open == nil {
		r.open = make(map[string][][]byte)
	}
	r.open[day] = append(r.open[day], value)
}

// settle gives the records of open blocks blocks of their own, once all the others are there.
func (r *repairing) settle() error {
	var enc encoder
	for _, day := range slices.Sorted(maps.Keys(r.open)) {
		var recs []*job.Record
		for _, v := range r.open[day] {
			old, err := r.dec.decode(v)
			if err != nil {
				return err
			}
			recs = joined(old, recs)
		}
		d, err := openDay(r.tx, day)
		if err == nil {
			err = d.settle(&enc, recs)
		}
		if err != nil {
			return err
		}
	}
	for day, recs := range r.missing() {
		inOrder(recs)
		d, err := openDay(r.tx, day)
		if err == nil {
			err = d.settle(&enc, recs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exit tells records apart: a process leaves a job once, and has one checkpoint at a time.
type exit struct {
	jid     job.JID
	pid     int32
	end     int64
	partial bool
}

func exitOf(r *job.Record) exit { return exit{r.JID, r.PID, r.End, r.Partial} }

// missing gives, by day, those records of stale open blocks that are in no other block.
func (r *repairing) missing() map[string][]*job.Record {
	found := make(map[exit]*job.Record)
	for _, v := range r.stale {
		recs, _ := r.dec.decode(v) // it was read before
		for i := range recs {
			found[exitOf(&recs[i])] = &recs[i]
		}
	}
	if len(found) == 0 {
		return nil
	}
	_ = eachBlock(r.tx, func(_ string, _, v []byte) error {
		recs, _ := r.dec.decode(v)
		for i := range recs {
			delete(found, exitOf(&recs[i]))
		}
		return nil
	})
	out := make(map[string][]*job.Record)
	for _, rec := range found {
		day := dayOf(rec.End)
		out[day] = append(out[day], rec)
	}
	return out
}
