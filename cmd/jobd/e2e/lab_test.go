package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// labOut makes the file in which the processes of testdata/lab.c write down who stays.
func (w *world) labOut(name string) string {
	w.h.t.Helper()
	path := w.write(name, "", 0o666)
	must(w.h.t, os.Chmod(path, 0o666)) // whatever the umask
	return path
}

// pidsIn waits until n processes have written down that they stay.
func pidsIn(t *testing.T, path string, n int) []int32 {
	t.Helper()
	return pidsWithin(t, path, n, patience)
}

func pidsWithin(t *testing.T, path string, n int, most time.Duration) []int32 {
	t.Helper()
	var pids []int32
	untilWithin(t, fmt.Sprintf("%d pids in %s", n, path), most, func() bool {
		b, err := os.ReadFile(path)
		must(t, err)
		pids = pids[:0]
		for f := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.ParseInt(f, 10, 32)
			must(t, err)
			pids = append(pids, int32(pid))
		}
		return len(pids) >= n && strings.HasSuffix(string(b), "\n")
	})
	return pids
}
