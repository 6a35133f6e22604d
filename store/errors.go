package store

import (
	"errors"
	"fmt"
)

// Why a store cannot be opened or used. Each says what to do; the file is left as it is.
var (
	// ErrLocked: another process holds the lock of the file.
	ErrLocked = errors.New("another jobd has it open; stop that one, or use another state directory")
	// ErrSchema: the file's schema version is above this program's.
	ErrSchema = errors.New("it was written by a newer jobd; use that one, or another state directory")
	// ErrForeign: the file is something else's, bbolt or not.
	ErrForeign = errors.New("it is not a database of jobd's; move it away, or use another state directory")
	// ErrHID: the file belongs to another host id than the one that was asked for.
	ErrHID = errors.New("it belongs to another host id; configure that one, or use another state directory")
	// ErrUnreadable: the file, or its directory, cannot be read and written.
	ErrUnreadable = errors.New("jobd has to read and write it; check its kind, owner and mode, and its directory's")
	// ErrCorrupt: the file is ours and damaged. A store that finds this while it is open stops writing.
	ErrCorrupt = errors.New("it is damaged; jobd db repair takes out what is good")

	// ErrSequence: no sequence numbers are left for this host id.
	ErrSequence = errors.New("the sequence numbers of this host id are used up; start a new store with another hid")
	// ErrHalted: there is no room to write. What waits is tried again as soon as there is.
	ErrHalted = errors.New("history halts until there is room on the file system")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
)

// caught is deferred around whatever reads pages. bbolt panics on a page that it cannot make sense of, and a page that is
// not there is a fault of the mapping: both become ErrCorrupt. The fault needs debug.SetPanicOnFault.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%v: %w", r, ErrCorrupt)
	}
}
