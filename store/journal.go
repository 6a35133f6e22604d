package store

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"github.com/jobd-project/jobd/job"
)

// Journal is a file that holds the jobs which are not in the store yet, so that a killed jobd finds them again: a login
// is answered when its job is in here, a store's commit is up to a second away. It is written without fsync: it outlives
// the process, not the kernel, and belongs into the run directory.
//
// A line is 8 hexadecimal digits, the CRC-32C of what follows the space, a space, and + and a job in JSON; it ends with a
// newline and is written at once. Of several lines about a job the last counts.
//
// A Journal belongs to one goroutine.
type Journal struct {
	path    string
	file    *os.File
	size    int64
	torn    bool
	skipped int
}

// maxLine is how long a line may be, bytes.
const maxLine = 256 << 10

// OpenJournal opens the journal, or makes an empty one, and gives the jobs in it, in the order in which they were first
// written. Whether they are of this boot, or in the store by now, is for the caller to judge. A torn last line is taken off the
// file.
func OpenJournal(path string) (*Journal, []job.Saved, error) {
	j := &Journal{path: path}
	jobs, err := j.open()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the journal %s: %w", path, err)
	}
	return j, jobs, nil
}

func (j *Journal) open() ([]job.Saved, error) {
	st, err := os.Lstat(j.path) // a pipe would block at open, and a link lead elsewhere
	if err == nil && !st.Mode().IsRegular() {
		return nil, errors.New("it is no regular file; move it away")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	r, err := replay(f)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil && r.torn {
		err = f.Truncate(r.size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	j.file, j.size, j.torn, j.skipped = f, r.size, r.torn, r.skipped
	return r.jobs(), nil
}

// Damage says what was wrong with the file when it was opened: its last line was cut short, as happens to one that was
// being written when jobd was killed, and the number of other lines that made no sense.
func (j *Journal) Damage() (torn bool, skipped int) { return j.torn, j.skipped }

// Size is the length of the file in bytes, to see when it is to be compacted.
func (j *Journal) Size() int64 { return j.size }

// Append writes down the state of a job, open or ended. When it returns, a kill no longer loses it. After an error the
// journal is as it was before.
func (j *Journal) Append(s job.Saved) error {
	line, err := jobLine(nil, &s)
	if err == nil && len(line) > maxLine {
		err = fmt.Errorf("it takes %d bytes, %d are the most", len(line), maxLine)
	}
	if err != nil {
		return fmt.Errorf("cannot write job %d to the journal: %w", s.JID.Seq(), err)
	}
	return j.write(line)
}

func (j *Journal) write(line []byte) error {
	n, err := j.file.Write(line)
	if err == nil {
		j.size += int64(n)
		return nil
	}
	if n > 0 { // the next line must not be glued to half a one
		err = errors.Join(err, j.file.Truncate(j.size))
	}
	return fmt.Errorf("cannot write to the journal %s: %w", j.path, err)
}

// Compact replaces the file by one that holds only these jobs: Store.Waiting gives them. On an error the old one stays.
func (j *Journal) Compact(keep []job.Saved) error {
	if err := j.compact(keep); err != nil {
		return fmt.Errorf("cannot compact the journal %s: %w", j.path, err)
	}
	return nil
}

func (j *Journal) compact(keep []job.Saved) error {
	var all []byte
	for i := range keep {
		var err error
		if all, err = jobLine(all, &keep[i]); err != nil {
			return err
		}
	}
	tmp := j.path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(all); err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		f.Close()
		return errors.Join(err, os.Remove(tmp))
	}
	j.file.Close() // nothing is buffered, so nothing can be lost here
	j.file, j.size = f, int64(len(all))
	return nil
}

// Close lets go of the file.
func (j *Journal) Close() error { return j.file.Close() }

func jobLine(dst []byte, s *job.Saved) ([]byte, error) {
	v, err := json.Marshal(s)
	if err != nil {
		return dst, err
	}
	return appendLine(dst, append([]byte{'+'}, v...)), nil
}

func appendLine(dst, text []byte) []byte {
	sum := crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
	dst = append(hex.AppendEncode(dst, be32(sum)), ' ')
	return append(append(dst, text...), '\n')
}

// replayed is what a journal says.
type replayed struct {
	order   []job.JID
	latest  map[job.JID]job.Saved
	size    int64 // up to the end of the last whole line
	torn    bool
	skipped int
}

func (r *replayed) jobs() []job.Saved {
	var out []job.Saved
	for _, jid := range r.order {
		if s, ok := r.latest[jid]; ok {
			out = append(out, s)
			delete(r.latest, jid)
		}
	}
	return out
}

// replay reads a journal from its beginning. Only an error of in itself is one.
func replay(in io.Reader) (*replayed, error) {
	r := &replayed{latest: make(map[job.JID]job.Saved)}
	br := bufio.NewReaderSize(in, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		long := 0 // of a line that doesn't fit: what has been thrown away
		for errors.Is(err, bufio.ErrBufferFull) {
			long += len(line)
			line, err = br.ReadSlice('\n')
		}
		switch {
		case errors.Is(err, io.EOF):
			r.torn = long+len(line) > 0
			return r, nil
		case err != nil:
			return nil, err
		}
		r.size += int64(long + len(line))
		if long > 0 || !r.line(line[:len(line)-1]) {
			r.skipped++
		}
	}
}

// line takes in one line and reports whether it made sense.
func (r *replayed) line(b []byte) bool {
	var sum [4]byte
	if len(b) < 10 || b[8] != ' ' {
		return false
	}
	text := b[9:]
	if _, err := hex.Decode(sum[:], b[:8]); err != nil || !bytes.Equal(sum[:], be32(crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))) {
		return false
	}
	var s job.Saved
	if text[0] != '+' || json.Unmarshal(text[1:], &s) != nil || s.JID == 0 {
		return false
	}
	r.order = append(r.order, s.JID)
	r.latest[s.JID] = s
	return true
}
