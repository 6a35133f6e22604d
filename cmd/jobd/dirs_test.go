package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory of jobd's, and all on the way to it, is root's alone.
func TestMakeDir(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("JOBD_INTEGRATION") == "1" {
			t.Fatal("this test needs root")
		}
		t.Skip("this test needs root, whose directories are looked at")
	}
	top := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mkdir := func(name string, mode os.FileMode, uid int) {
		t.Helper()
		must(os.Mkdir(filepath.Join(top, name), 0o755))
		must(os.Chown(filepath.Join(top, name), uid, uid))
		must(os.Chmod(filepath.Join(top, name), mode))
	}
	mkdir("good", 0o755, 0)
	mkdir("open", 0o777, 0)
	mkdir("group", 0o775, 0)
	mkdir("sticky", 0o777|os.ModeSticky, 0)
	mkdir("sticky/mine", 0o755, 0)
	mkdir("theirs", 0o755, 4711)
	mkdir("sticky/theirs", 0o755, 4711)
	must(os.WriteFile(filepath.Join(top, "file"), nil, 0o600))
	link := func(to, name string, uid int) {
		t.Helper()
		must(os.Symlink(to, filepath.Join(top, name)))
		must(os.Lchown(filepath.Join(top, name), uid, uid))
	}
	link("good", "link", 0)
	link("../good", "sticky/link", 0)
	link("../good", "sticky/trap", 4711)
	link("open", "loose", 0)
	link("nowhere", "dangling", 0)
	link("round", "round", 0)
	for _, tt := range []struct{ dir, want string }{
		{"good", ""}, {"good/new", ""}, {"good/new/deep", ""}, {"link", ""}, {"link/more", ""}, {"sticky/mine", ""},
		{"sticky/new", ""}, {"sticky/link/here", ""},
		{"open", "others may write to it"}, {"open/new", "others may write to it"}, {"group", "others may write to it"},
		{"group/new", "chmod go-w"}, {"sticky", "others may write to it"}, {"loose", "others may write to it"},
		{"loose/new", "others may write to it"}, {"theirs", "is not root's"}, {"theirs/new", "is not root's"},
		{"sticky/theirs/new", "is not root's"}, {"sticky/trap", "is not root's"}, {"sticky/trap/new", "is not root's"},
		{"file", "cannot make"}, {"file/new", "cannot make"}, {"dangling", "no such file"}, {"round", "symbolic links"},
	} {
		dir := filepath.Join(top, tt.dir)
		_, before := os.Lstat(dir)
		err := makeDir(dir, 0o750)
		_, after := os.Lstat(dir)
		switch {
		case tt.want == "" && (err != nil || after != nil):
			t.Errorf("%s: %v", tt.dir, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.dir, err, tt.want)
		case tt.want != "" && (before == nil) != (after == nil):
			t.Errorf("%s was made", tt.dir)
		}
	}
}
