package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// sshdConfig is where distributions have it.
const sshdConfig = "/etc/ssh/sshd_config"

// sshdFilesMost is how many files of sshd's are looked at: they may include each other many times over.
const sshdFilesMost = 200

// noPAM finds where sshd is told not to ask PAM, as it reads its files (sshd_config(5)): the first value counts, and within Match there
// is none. Empty: nowhere. What distributions have built in is to ask. hidden are files that cannot be read, and may say something else.
func noPAM(path string) (at string, hidden []string) {
	s := sshdReading{dir: filepath.Dir(path)}
	if s.read(path); s.value != "no" {
		return "", s.hidden
	}
	return s.at, s.hidden
}

// sshdReading looks for UsePAM.
type sshdReading struct {
	dir       string // of what is included by a path that is not whole
	files     int
	hidden    []string
	value, at string // the first one; empty: none yet
}

func (s *sshdReading) read(path string) {
	if s.files++; s.files > sshdFilesMost {
		return
	}
	text, err := readSmall(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.hidden = append(s.hidden, path)
	}
	no := 0
	for line := range strings.Lines(text) {
		no++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(strings.NewReplacer("=", " ", `"`, " ").Replace(line))
		if len(words) == 0 {
			continue
		}
		switch keyword := strings.ToLower(words[0]); {
		case keyword == "match": // to the end of this file
			return
		case keyword == "include":
			s.include(words[1:])
		case keyword == "usepam" && len(words) > 1:
			s.value, s.at = strings.ToLower(words[1]), fmt.Sprintf("%s:%d", path, no)
		}
		if s.value != "" {
			return
		}
	}
}

func (s *sshdReading) include(patterns []string) {
	for _, p := range patterns {
		if !filepath.IsAbs(p) {
			p = filepath.Join(s.dir, p)
		}
		found, _ := filepath.Glob(p) // a pattern that makes no sense finds nothing
		for _, path := range found {
			if s.read(path); s.value != "" {
				return
			}
		}
	}
}
