package store

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/watch"
)

// Forgotten stands, with the uid of nobody, for a person who was taken out.
const (
	Forgotten    = "forgotten"
	forgottenUID = 65534
)

// Person is who is to be forgotten: by name, by uid, or both. Jobs and records of either count.
type Person struct {
	User string
	UID  *uint32

	// Sums is told under which names the person's use was added up, when all but the sums is done, and gives what Said calls these; after
	// that nothing more of them is to be said. nil: Said calls them the same.
	Sums func(names []string) (said []string, err error)
}

// Forget takes a person out of the ended jobs and the process records, and keeps the sums: who it was, from where, what was
// run. It goes in small steps, each of which is on disk before the next; after an interruption it can be started again.
// tell hears how far it is, in entries; it may be nil. Open jobs stay as they are. What was there stays in unused pages of
// the file until these are used again, or the file is compacted.
//
// The counts are of jobs and of records that were changed.
func (s *Store) Forget(ctx context.Context, who Person, tell func(done, all int64)) (jobs, records int64, err error) {
	if who.User == "" && who.UID == nil {
		return 0, 0, errors.New("cannot forget anybody: neither a name nor a uid is given")
	}
	if who.User == Forgotten || who.UID != nil && (*who.UID == 0 || *who.UID == forgottenUID) {
		return 0, 0, errors.New("cannot forget root, or those who are forgotten: they are no person")
	}
	if tell == nil {
		tell = func(int64, int64) {}
	}
	if err := s.Flush(ctx); err != nil {
		return 0, 0, fmt.Errorf("cannot forget: %w", err)
	}
	s.keeping.Lock()
	defer s.keeping.Unlock()
	f := forgetting{s: s, who: who, jids: make(map[job.JID]bool), uids: make(map[uint32]bool), names: map[string]bool{who.User: true}, tell: tell}
	if err := f.run(ctx); err != nil {
		return f.jobs, f.records, fmt.Errorf("cannot forget: %w", err)
	}
	return f.jobs, f.records, nil
}

// forgetting is a Forget under way.
type forgetting struct {
	s     *Store
	who   Person
	enc   encoder
	keys  [][]byte // in ended, of jobs that name the person
	jids  map[job.JID]bool
	uids  map[uint32]bool
	names map[string]bool // under which the person's use was added up

	jobs, records int64
	done, all     int64
	tell          func(done, all int64)
}

// run does the records before the jobs: as long as a job has its user, its records can be found again.
func (f *forgetting) run(ctx context.Context) error {
	if f.who.UID != nil {
		f.uids[*f.who.UID] = true
	}
	if err := f.findJobs(ctx); err != nil {
		return err
	}
	if err := f.forgetRecords(ctx); err != nil {
		return err
	}
	if err := f.forgetJobs(ctx); err != nil {
		return err
	}
	return f.forgetSums(ctx)
}

// owns reports whether a job is the person's.
func (f *forgetting) owns(in *job.Saved) bool {
	return f.who.User != "" && in.User == f.who.User || f.who.UID != nil && in.UID == *f.who.UID
}

// findJobs lists the jobs that are the person's, the uids that they had, and then those jobs of others that name them.
func (f *forgetting) findJobs(ctx context.Context) error {
	for j, err := range f.s.EndedJobs(JobQuery{Want: f.owns}) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		f.jids[j.JID], f.names[j.User] = true, true
		if f.who.User != "" && j.User == f.who.User && j.UID != 0 && j.UID != forgottenUID {
			f.uids[j.UID] = true
		}
	}
	for j, err := range f.s.EndedJobs(JobQuery{}) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if !f.jids[j.JID] && !f.namedIn(&j.Info) {
			continue
		}
		f.keys = append(f.keys, append(be64(endOf(j)), be64(uint64(j.JID))...))
	}
	return nil
}

// namedIn reports whether somebody else's job names the person.
func (f *forgetting) namedIn(in *job.Info) bool {
	if in.LoginUID != nil && f.uids[*in.LoginUID] {
		return true
	}
	for i := range in.Marks {
		if f.named(&in.Marks[i]) {
			return true
		}
	}
	return false
}

func (f *forgetting) named(m *job.Mark) bool {
	return f.who.User != "" && string(m.User) == f.who.User || m.UID != nil && f.uids[*m.UID]
}

// forget changes a job; own: it is the person's.
func (f *forgetting) forget(j *job.Saved, own bool) {
	for i := range j.Marks {
		if m := &j.Marks[i]; own || f.named(m) {
			m.User, m.UID, m.TTY = "", nil, ""
		}
	}
	if own || j.LoginUID != nil && f.uids[*j.LoginUID] {
		j.LoginUID = nil
	}
	if !own {
		return
	}
	if j.GID != nil {
		gid := uint32(forgottenUID)
		j.GID = &gid
	}
	j.User, j.UID = Forgotten, forgottenUID
	j.TTY, j.RHost, j.RPort, j.AuthKey = "", "", nil, ""
	j.LogindSession, j.AuditSession, j.Command, j.Tags = "", nil, "", nil
	j.Placement = job.Placement{}
}

func (f *forgetting) forgetJobs(ctx context.Context) error {
	f.all = f.done + int64(len(f.keys))
	for len(f.keys) > 0 {
		n := min(len(f.keys), stepKeys/4)
		own := int64(0)
		err := f.s.update(func(tx *bolt.Tx) error {
			own = 0
			for _, key := range f.keys[:n] {
				mine, err := f.forgetJob(tx, key)
				if err != nil {
					return err
				}
				own += mine
			}
			return nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		f.keys, f.jobs = f.keys[n:], f.jobs+own
		f.step(n)
	}
	return nil
}

// forgetJob writes one job anew. One that retention took away meanwhile is no matter.
func (f *forgetting) forgetJob(tx *bolt.Tx, key []byte) (own int64, err error) {
	v := endedValue(tx, key[8:], tx.Bucket([]byte("jobs")).Get(key[8:]))
	if v == nil {
		return 0, nil
	}
	j, err := decodeJob(key[8:], v)
	if err != nil {
		return 0, err
	}
	if f.jids[j.JID] {
		own = 1
	}
	f.forget(j, own == 1)
	v, err = encodeJob(j)
	if err != nil {
		return 0, err
	}
	return own, putEnded(tx, key, v)
}

func (f *forgetting) step(n int) {
	f.done += int64(n)
	f.tell(f.done, f.all)
}

// forgetRecords goes through all blocks: records of the person's jobs, and of the person's uids in others'.
func (f *forgetting) forgetRecords(ctx context.Context) error {
	if err := f.s.update(settleAll); err != nil { // a record that moved meanwhile would be passed over
		return err
	}
	refs, err := f.s.allBlocks()
	if err != nil {
		return err
	}
	f.all = int64(len(refs) + len(f.keys))
	var dec decoder
	for len(refs) > 0 {
		n := min(len(refs), 16)
		for _, ref := range refs[:n] {
			if err := f.forgetBlock(&dec, ref); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		refs = refs[n:]
		f.step(n)
	}
	return nil
}

// forgetBlock reads a block first, and only where it has to be changed again for writing: few have to.
func (f *forgetting) forgetBlock(dec *decoder, ref blockRef) error {
	recs, err := f.s.block(dec, ref)
	if err != nil || !f.any(recs) {
		return err
	}
	n := int64(0)
	err = f.s.update(func(tx *bolt.Tx) error {
		n = 0
		d, ok := readDay(tx, ref.day)
		if !ok {
			return nil // dropped meanwhile
		}
		recs, err := dec.decode(d.get(ref.key))
		if err != nil {
			return nil // the same
		}
		all := make([]*job.Record, len(recs))
		for i := range recs {
			all[i] = &recs[i]
			if f.wants(all[i]) {
				forgetRecord(all[i])
				n++
			}
		}
		return d.put(ref.key, f.enc.encode(all))
	})
	f.records += n
	return err
}

func (f *forgetting) any(recs []job.Record) bool {
	for i := range recs {
		if f.wants(&recs[i]) {
			return true
		}
	}
	return false
}

// wants reports whether a record is still to be changed.
func (f *forgetting) wants(r *job.Record) bool {
	mine := f.jids[r.JID] || r.Used && r.Usage.Groups.Has(watch.GroupBasic) && f.uids[r.Usage.UID]
	done := r.Exe == "" && r.Execs == nil && (!r.Used || r.Usage.UID == forgottenUID && r.Usage.GID == forgottenUID && r.Usage.Comm == Forgotten)
	return mine && !done
}

func forgetRecord(r *job.Record) {
	r.Exe, r.Execs = "", nil
	if r.Used {
		r.Usage.UID, r.Usage.GID, r.Usage.Comm = forgottenUID, forgottenUID, Forgotten
	}
}
