package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jobd-project/jobd/job"
)

// Aside is a file that could not be opened and was set aside.
type Aside struct {
	Path string // where it is now
	Why  error  // it could not be opened
}

// SetAside says what Open set aside; nil: nothing.
func (s *Store) SetAside() *Aside { return s.aside }

// damaged reports whether a file cannot be opened because of what is in it. One that is somebody else's business, or in
// use, or cannot be read at all, is left alone.
func damaged(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrForeign) }

// setAside gives the file another name and begins a fresh one, with what can be saved in a hurry: the host id, a sequence
// number that was not given yet, the open jobs of this boot. Logins do not wait for a repair.
func setAside(path string, o Options) (*Store, error) {
	dir, err := lockDir(filepath.Dir(path), o.Timeout)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	s, why := openFile(path, o) // another jobd may have been here before the lock was ours
	if !damaged(why) {
		return s, why
	}
	from := salvage(path, o)
	to, err := asideName(path, o.Now)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%s was set aside as %s: %s; jobd db repair takes out what is good", filepath.Base(path), filepath.Base(to), why)
	from.moment = &job.Moment{Time: o.Now.UTC(), Kind: job.MomentSetAside, BootID: job.Text(o.BootID), Text: job.Text(text)}
	if err := changePlaces(path, to, o, from); err != nil {
		return nil, fmt.Errorf("cannot set it aside: %w: %w", err, why)
	}
	if err := errors.Join(removeIfThere(suspectName(path)), dir.Sync()); err != nil {
		return nil, fmt.Errorf("cannot set it aside: %w", err)
	}
	if s, err = openFile(path, o); err != nil {
		return nil, err
	}
	s.aside = &Aside{Path: to, Why: why}
	o.Log.Error("the books were damaged and have been set aside, new ones are begun", "path", path, "aside", to, "error", why,
		"open_jobs", len(from.open), "repair", "jobd db repair "+to)
	return s, nil
}

// suspectName is a file that says that damage was found while the store was written to: where, opening it may not show.
func suspectName(path string) string { return path + ".suspect" }

// suspect has the next Open look through the whole file.
func (s *Store) suspect() {
	f, err := os.OpenFile(suspectName(s.path), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		s.opt.Log.Error("cannot note that the store is damaged", "path", s.path, "error", err)
	}
}

// lookAtSuspect looks through a file under suspicion, and clears it where nothing is found.
func lookAtSuspect(path string, o Options) error {
	if _, err := os.Lstat(suspectName(path)); err != nil {
		return nil
	}
	s, err := OpenReadOnly(path, o)
	if err != nil {
		return err
	}
	found, err := s.checkStructure()
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %w", found[0], ErrCorrupt)
	}
	return removeIfThere(suspectName(path))
}

// changePlaces gives the old file its new name and puts a fresh one in its place. A power cut leaves one or the other
// under the name, not none: of a file that is not there nobody knows the host id.
func changePlaces(path, to string, o Options, from salvaged) error {
	tmp := path + ".new"
	err := fill(tmp, o, from)
	if err == nil {
		if err = os.Link(path, to); err != nil && !errors.Is(err, fs.ErrExist) { // a file system without links
			err = os.Rename(path, to)
		}
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// asideName gives a name that nothing has yet.
func asideName(path string, now time.Time) (string, error) {
	name := path + ".damaged-" + now.UTC().Format("20060102T150405")
	for n := 1; n < 1000; n++ {
		to := name
		if n > 1 {
			to += "-" + strconv.Itoa(n)
		}
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to, nil
		}
	}
	return "", fmt.Errorf("cannot set it aside: there are too many like %s; move them away", name)
}

// salvaged is what a fresh database takes over from a damaged one.
type salvaged struct {
	ours   bool // the mark of our files was seen
	hid    uint32
	next   uint32
	open   map[job.JID]*job.Saved
	ended  map[job.JID]bool
	moment *job.Moment
}

// salvageGap is how far a sequence number found in a damaged file may be from those given since it was written.
const salvageGap = 100_000

// salvage reads what it can: of a large file the little that it needs, as far as the tree leads there; of others all that
// the tree leads to and, where that is broken, what it does not.
func salvage(path string, o Options) salvaged {
	out := salvaged{open: make(map[job.JID]*job.Saved), ended: make(map[job.JID]bool)}
	f, err := os.Open(path)
	if err != nil {
		return out
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return out
	}
	whole := true
	each := func(path []string, key, value []byte) { out.look(o.BootID, path, key, value) }
	w := newPageFile(f, st.Size()).walker(each, func(error) { whole = false })
	large := st.Size() > o.salvageMost
	if large {
		w.only = []string{"meta", "open"}
	}
	w.tree()
	if !large && (!whole || out.hid == 0) {
		w.orphans(nil)
	}
	for jid := range out.ended {
		delete(out.open, jid)
	}
	if out.next > 0 && out.next < ^uint32(0)-salvageGap {
		out.next += salvageGap
	}
	return out
}

func (o *salvaged) look(boot string, path []string, key, value []byte) {
	if len(path) > 0 && path[len(path)-1] == "meta" {
		o.lookAtMeta(string(key), value)
		return
	}
	if len(value) == 0 || value[0] != kindJob && value[0] != '{' {
		return
	}
	s, err := decodeJob(key, value)
	switch {
	case err != nil || s.JID == 0 || len(key) == 8 && !bytes.Equal(key, be64(uint64(s.JID))):
	case s.State == job.Ended:
		o.ended[s.JID] = true
	case boot != "" && string(s.BootID) == boot && newer(s, o.open[s.JID]):
		o.open[s.JID] = s
	}
}

// lookAtMeta relies on format coming before the others, by the order of keys.
func (o *salvaged) lookAtMeta(key string, value []byte) {
	if key == "format" {
		o.ours = string(value) == format
	}
	if !o.ours || len(value) != 4 {
		return
	}
	switch v := binary.BigEndian.Uint32(value); key {
	case "hid":
		o.hid = v
	case "next_seq":
		o.next = max(o.next, v)
	}
}

// newer tells which of two states of a job is the later one, old pages may hold several.
func newer(s, than *job.Saved) bool {
	return than == nil || s.AsOf > than.AsOf || s.AsOf == than.AsOf && s.TotalProcesses >= than.TotalProcesses
}

// put writes it into the fresh database.
func (o *salvaged) put(tx *bolt.Tx) error {
	for jid, s := range o.open {
		v, err := encodeJob(s)
		if err != nil {
			continue
		}
		if err := tx.Bucket([]byte("open")).Put(be64(uint64(jid)), v); err != nil {
			return err
		}
	}
	if o.moment == nil {
		return nil
	}
	return putMoment(tx, o.moment)
}
