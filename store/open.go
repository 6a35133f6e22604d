package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options says how a store is opened. The zero value of each field means its default.
type Options struct {
	HID    uint32    // the host id; 0: what the file says, in a fresh file a random one
	BootID string    // of the running kernel; kept for the next start
	Now    time.Time // gives a fresh store its first sequence number and its date

	Timeout time.Duration // how long to wait for another process's lock; 200 ms
	MaxSize int           // of the file, bytes; 0: no limit

	Delay   time.Duration // how long the first thing handed over waits for its commit at most; 1 s
	Batch   int           // waiting records at which a commit starts at once; 8,192
	Records int           // waiting records at most: further ones are dropped and counted; 65,536
	Jobs    int           // waiting jobs at which a commit starts at once; 4,096. 16 times as many may wait

	KeepRecords time.Duration // how long process records and parts are kept, in whole days; 90 days; negative: for ever
	KeepJobs    time.Duration // the same for ended jobs and moments; 400 days
	Floor       int64         // bytes free on the file system below which history halts; 256 MiB; negative: none

	Log *slog.Logger // nil: nothing is logged

	free        func(dir string) (int64, error) // what is free there, bytes
	salvageMost int64                           // of a damaged file up to this size all is gone through while logins wait; 1 GiB
}

// What Options means by default.
const (
	defaultKeepRecords = 90 * 24 * time.Hour
	defaultKeepJobs    = 400 * 24 * time.Hour
	defaultFloor       = 256 << 20
)

func (o Options) withDefaults() Options {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.Batch, 8192)
	set(&o.Records, 65536)
	set(&o.Jobs, 4096)
	if o.Timeout <= 0 {
		o.Timeout = 200 * time.Millisecond // 0 would be for ever in bbolt
	}
	if o.Delay <= 0 {
		o.Delay = time.Second
	}
	if o.KeepRecords == 0 {
		o.KeepRecords = defaultKeepRecords
	}
	if o.KeepJobs == 0 {
		o.KeepJobs = defaultKeepJobs
	}
	if o.Floor == 0 {
		o.Floor = defaultFloor
	}
	if o.free == nil {
		o.free = FreeBytes
	}
	if o.salvageMost == 0 {
		o.salvageMost = 1 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is an open database. Its methods may be called from any goroutine.
type Store struct {
	opt      Options
	path     string
	db       *bolt.DB
	file     *os.File // bbolt's, to let go of a lock that bbolt no longer can
	hid      uint32
	lastBoot string
	schema   uint32 // that the file had when it was opened
	aside    *Aside

	queue  *queue
	quit   chan struct{} // closed by Close
	done   chan struct{} // closed by the writer
	closed atomic.Bool
	broken atomic.Bool // a page was found damaged while writing: nothing is written any more
	enc    encoder     // the writer's
	final  error       // of the last commit, valid after done

	keep    atomic.Pointer[Keep]
	keeping sync.Mutex // held by what goes through the books in steps: retention, forgetting
}

const (
	allocSize = 256 << 10 // how far the file grows at a time
	mapSize   = 1 << 30   // address space set aside beyond twice the file: growing past it waits for readers, a backup too
)

// Open opens the database, or makes a fresh one where there is no file or an empty one. The directory of path is made if
// its parent is there. A file that is damaged, or no database of ours, is set aside, and a fresh one begun: SetAside says
// so. On an error nothing on disk has changed; see the sentinels.
//
// An empty file counts as fresh: jobd never leaves one behind (a fresh database is made beside and renamed), so somebody
// has put it there for us, and it holds nothing that could be lost.
func Open(path string, o Options) (*Store, error) {
	s, err := open(path, o.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	go s.run()
	return s, nil
}

func open(path string, o Options) (*Store, error) {
	s, err := openAny(path, o)
	if damaged(err) {
		return setAside(path, o)
	}
	return s, err
}

func openAny(path string, o Options) (*Store, error) {
	fresh, err := isFresh(path)
	if err == nil && fresh {
		err = create(path, o)
	}
	if err != nil {
		return nil, err
	}
	return openFile(path, o)
}

// openFile opens what is there. The inspection only reads; a file that is known to be ours may then be opened for writing.
// It is looked at again because the lock was let go in between.
func openFile(path string, o Options) (*Store, error) {
	if err := inspect(path, o); err != nil {
		return nil, err
	}
	if err := lookAtSuspect(path, o); err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, access(err)
	}
	db, file, err := openBolt(path, bolt.Options{
		Timeout: o.Timeout, FreelistType: bolt.FreelistArrayType, InitialMmapSize: mapSize + 2*int(st.Size()), MaxSize: o.MaxSize,
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = allocSize
	s := newStore(path, o)
	s.db, s.file = db, file
	if err = s.present(); err == nil {
		err = s.begin()
	}
	if err != nil {
		return nil, errors.Join(err, s.closeFile())
	}
	return s, nil
}

func newStore(path string, o Options) *Store {
	s := &Store{opt: o, path: path, queue: newQueue(o), quit: make(chan struct{}), done: make(chan struct{})}
	s.keep.Store(&Keep{Records: o.KeepRecords, Jobs: o.KeepJobs, Floor: o.Floor})
	return s
}

// Keep is what of the options can change while the store is open: see there.
type Keep struct {
	Records, Jobs time.Duration
	Floor         int64
}

// SetKeep changes for how long the books are kept, and how much room is left free. 0 is the default, as in Options. What is too
// old then goes with the next round, within an hour.
func (s *Store) SetKeep(k Keep) {
	o := Options{KeepRecords: k.Records, KeepJobs: k.Jobs, Floor: k.Floor}.withDefaults()
	s.keep.Store(&Keep{Records: o.KeepRecords, Jobs: o.KeepJobs, Floor: o.Floor})
}

// present makes sure that the file which was locked is still the one of that name: compact may just have put another in
// its place.
func (s *Store) present() error {
	named, err := os.Stat(s.path)
	if err != nil {
		return access(err)
	}
	if held, err := s.file.Stat(); err != nil || !os.SameFile(named, held) {
		return fmt.Errorf("it was replaced while it was opened: %w", ErrLocked)
	}
	return nil
}

// OpenReadOnly opens the database for reading. jobd cannot be started on it meanwhile. What is handed over is dropped.
func OpenReadOnly(path string, o Options) (*Store, error) {
	s := newStore(path, o.withDefaults())
	s.queue.close()
	close(s.done)
	err := func() (err error) {
		if s.db, s.file, err = openBolt(path, bolt.Options{ReadOnly: true, Timeout: s.opt.Timeout}); err != nil {
			return err
		}
		if err = s.view(s.verify); err != nil {
			err = errors.Join(err, s.db.Close())
		}
		return err
	}()
	if err != nil {
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	return s, nil
}

// inspect looks through a file without being able to change it.
func inspect(path string, o Options) error {
	db, _, err := openBolt(path, bolt.Options{ReadOnly: true, Timeout: o.Timeout})
	if err != nil {
		return err
	}
	s := Store{opt: o, path: path, db: db}
	err = s.view(s.verify)
	return errors.Join(err, db.Close())
}

// openBolt opens an existing file. bbolt may panic half-way; its lock is let go then.
func openBolt(path string, bo bolt.Options) (db *bolt.DB, file *os.File, err error) {
	bo.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
		if file == nil {
			file = f
		}
		return f, err
	}
	defer func() {
		if err != nil {
			err = classify(err)
			unlock(file)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	db, err = bolt.Open(path, 0, &bo)
	return db, file, err
}

func classify(err error) error {
	switch {
	case errors.Is(err, ErrCorrupt):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch):
		return ErrForeign
	case errors.Is(access(err), ErrUnreadable):
		return access(err)
	case errors.As(err, new(syscall.Errno)): // no memory, no descriptors, no locks: that is not the file's fault
		return fmt.Errorf("%w: %w", err, ErrUnreadable)
	default: // a checksum, a file too small for its first pages
		return fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
}

// access says what to do about an error of the file system, whatever it was; others stay as they are.
func access(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%w: %w", pe.Err, ErrUnreadable)
	}
	return err
}

// unlock lets go of a file that bbolt may have left locked: the mapping keeps the lock alive when only the descriptor is
// closed.
func unlock(f *os.File) {
	if f != nil {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // fails where bbolt has closed it already
		_ = f.Close()
	}
}

// view runs fn in a read transaction. It is to be short: pages that it may see cannot be used again meanwhile.
func (s *Store) view(fn func(*bolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	return known(s.db.View(fn))
}

// update runs fn in a write transaction, which is on disk when it returns without an error.
func (s *Store) update(fn func(*bolt.Tx) error) (err error) {
	if s.broken.Load() {
		return fmt.Errorf("writing has stopped: %w", ErrCorrupt)
	}
	defer func() {
		if errors.Is(err, ErrCorrupt) && !s.broken.Swap(true) { // more writing would spread the damage
			s.suspect()
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	return known(s.db.Update(fn))
}

func known(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Close commits what is waiting and lets go of the file. The error is that of the last commit: what it held is lost.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.queue.close()
	close(s.quit)
	<-s.done
	if err := errors.Join(s.final, s.closeFile()); err != nil {
		return fmt.Errorf("cannot close the store %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) closeFile() error {
	if s.broken.Load() {
		unlock(s.file) // bbolt may hold its own locks for ever after a panic
		return nil
	}
	return s.db.Close()
}
