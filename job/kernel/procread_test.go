package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, 1023, 1024, 1025, 5000} {
		want := bytes.Repeat([]byte("x"), size)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readWhole(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("of %d bytes it reads %d: %v", size, len(got), err)
		}
	}
	if _, err := readWhole(path + "-"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := readWhole(t.TempDir()); !errors.Is(err, unix.EISDIR) {
		t.Error(err)
	}
}

func BenchmarkReadStat(b *testing.B) {
	for name, read := range map[string]func(string) ([]byte, error){"os": os.ReadFile, "whole": readWhole} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := read("/proc/self/stat"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
