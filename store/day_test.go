package store

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// changeFirst changes the first block of a day.
func (d dayBlocks) changeFirst(change func([]byte) []byte) error {
	k, _ := d.b.Cursor().First()
	k = bytes.Clone(k)
	return d.put(k, change(bytes.Clone(d.get(k))))
}

// sideBySide puts the blocks of a file where schema 2 had them.
func sideBySide(t *testing.T, path string) {
	t.Helper()
	edit(t, path, func(tx *bolt.Tx) error {
		must(t, tx.Bucket([]byte("meta")).Put([]byte("schema"), be32(2)))
		type block struct {
			day    string
			key, v []byte
		}
		var all []block
		must(t, eachBlock(tx, func(day string, key, v []byte) error {
			all = append(all, block{day, bytes.Clone(key), bytes.Clone(v)})
			return nil
		}))
		for _, b := range all {
			d, _ := readDay(tx, b.day)
			must(t, d.delete(b.key))
			must(t, d.b.Put(b.key, b.v))
		}
		return nil
	})
}

// TestSchema2: its blocks are read, changed and dropped where they are, and are good neighbours to new ones.
func TestSchema2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobd.db")
	s := opened(t, path, Options{})
	recs := load(2*blockSize + 500)
	write := func(from, to int) {
		t.Helper()
		for _, r := range recs[from:to] {
			s.PutRecord(r)
		}
		must(t, s.Flush(context.Background()))
	}
	write(0, 2*blockSize)
	write(2*blockSize, 2*blockSize+300)
	must(t, s.Close())
	sideBySide(t, path)
	s = opened(t, path, Options{})
	if got, err := s.Figures(); err != nil || got.Schema != 3 || got.Records != 2*blockSize+300 {
		t.Errorf("%+v, %v", got, err)
	}
	write(2*blockSize+300, len(recs))
	n := 0
	for _, err := range s.AllRecords(time.Time{}, time.Time{}) {
		must(t, err)
		n++
	}
	if n != len(recs) {
		t.Errorf("%d records, want %d", n, len(recs))
	}
	wellKept(t, s)
	must(t, s.Close())
	if _, r := repaired(t, path); r.Records != int64(len(recs)) {
		t.Errorf("repairing takes %d records, want %d", r.Records, len(recs))
	}
	s = opened(t, path, Options{})
	must(t, s.Retain(t.Context(), day0.AddDate(1, 0, 0)))
	f, err := s.Figures()
	if must(t, err); f.Records != 0 || f.Buckets["dropped"] > 64 {
		t.Errorf("after a year there is %+v", f)
	}
	wellKept(t, s)
}
