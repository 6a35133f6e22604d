package doctor

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// pamFiles are the files that there are, by the name by which they are included: a service, or a whole path.
type pamFiles map[string]string

// stack is what libpam makes of a service's file and all that it includes.
type stack struct {
	entries map[string][]entry // by type
	faults  []fault
	loads   int // files, each as often as it is included
}

// entry is a module in a stack.
type entry struct {
	pamLine
	level int // how many substacks it is in
}

// fault is something on account of which libpam refuses.
type fault struct {
	file string
	no   int // 0: the whole file
	what string
}

// How deep libpam goes, and how many includes are looked at here: files may include each other many times over.
const (
	includesMost = 32
	loadsMost    = 1000
)

// stackOf follows a service's includes.
func (f pamFiles) stackOf(service string) *stack {
	s := &stack{entries: make(map[string][]entry)}
	f.load(s, service, "", nil, 0)
	return s
}

// load adds the lines of a file, or only those of a type. by are the files that include it.
func (f pamFiles) load(s *stack, file, kind string, by []string, level int) {
	text, there := f[file]
	s.loads++
	switch {
	case s.loads > loadsMost:
		return
	case !there:
		s.faults = append(s.faults, fault{file: file, what: "is included, and not there"})
		return
	case slices.Contains(by, file):
		s.faults = append(s.faults, fault{file: file, what: "includes itself"})
		return
	case len(by) > includesMost:
		s.faults = append(s.faults, fault{file: file, what: "is included by too many, one in another"})
		return
	}
	if before, _, is := strings.Cut(text, "\r"); is {
		s.faults = append(s.faults, fault{file, strings.Count(before, "\n") + 1, "ends with a carriage return, a part of the last word to libpam"})
	}
	for _, l := range parsePAM(file, text) {
		f.add(s, l, kind, append(by, file), level)
	}
}

func (f pamFiles) add(s *stack, l pamLine, kind string, by []string, level int) {
	switch {
	case l.bad != "":
		s.faults = append(s.faults, fault{l.file, l.no, l.bad})
	case l.kind == atInclude:
		f.load(s, l.module, kind, by, level)
	case kind != "" && l.kind != kind:
	case l.control.word == controlInclude:
		f.load(s, l.module, l.kind, by, level)
	case l.control.word == controlSubstack:
		s.entries[l.kind] = append(s.entries[l.kind], entry{l, level})
		f.load(s, l.module, l.kind, by, level+1)
	default:
		s.entries[l.kind] = append(s.entries[l.kind], entry{l, level})
	}
}

// alone reports whether our module is all that there is in a stack. Where it is missing nobody says anything then, and libpam refuses.
func alone(list []entry) bool {
	return !slices.ContainsFunc(list, func(e entry) bool { return e.control.word == "" && !e.is(jobModule) })
}

// included are the files that others include.
func (f pamFiles) included() map[string]bool {
	out := make(map[string]bool)
	for file, text := range f {
		for _, l := range parsePAM(file, text) {
			if l.kind == atInclude || l.control.word != "" {
				out[l.module] = true
			}
		}
	}
	return out
}

// names are those of all files, sorted.
func (f pamFiles) names() []string { return slices.Sorted(maps.Keys(f)) }

// is reports whether an entry is a module of that name.
func (e entry) is(name string) bool { return e.control.word == "" && path.Base(e.module) == name }

// skips finds the first entry that can have the stack go on behind the one at position at, or end before it, though nothing has failed.
func skips(list []entry, at int) (by entry, found bool) {
	for i, e := range list[:at] {
		if e.control.word != "" || !together(list, i, at) {
			continue
		}
		if e.control.answer("success") == "done" {
			return e, true
		}
		for _, action := range e.control.actions {
			if n := jump(action); n > 0 && landing(list, i, n) >= at {
				return e, true
			}
		}
	}
	return entry{}, false
}

// together reports whether what ends the substack of one ends it before the other comes.
func together(list []entry, from, to int) bool {
	for _, e := range list[from+1 : to+1] {
		if e.level < list[from].level {
			return false
		}
	}
	return true
}

// landing is the last one that a jump passes over. A substack counts as one (libpam/pam_dispatch.c).
func landing(list []entry, from, n int) int {
	at, level := from, list[from].level
	for ; n > 0 && at+1 < len(list) && list[at+1].level >= level; n-- {
		at++
		for at+1 < len(list) && list[at+1].level > level {
			at++
		}
	}
	return at
}
