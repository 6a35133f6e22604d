package store

import (
	"time"

	bolt "go.etcd.io/bbolt"
)

// RecordsFrom is the moment from which on process records are kept: those of processes that ended before it have been
// dropped. Zero: nothing has been.
func (s *Store) RecordsFrom() (from time.Time, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if ns := keptFrom(tx, "records_from"); ns > 0 {
			from = time.Unix(0, int64(ns)).UTC()
		}
		return nil
	})
	return from, err
}
