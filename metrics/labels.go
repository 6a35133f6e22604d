package metrics

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	other    = "other" // what has no place of its own; who is really called so is added up with it
	maxLabel = 256     // bytes of a label's value: LOGIN_NAME_MAX
)

// places bounds the values of a label. A value that has been given a place keeps it for as long as jobd runs.
type places struct {
	limit int
	given map[string]bool
}

func newPlaces(limit int) *places { return &places{limit: limit, given: make(map[string]bool)} }

// label gives what stands for s, which has been through clean: itself, while there are places, else other.
func (p *places) label(s string) string {
	switch {
	case p.given[s]:
		return s
	case s == "" || s == other || len(p.given) >= p.limit:
		return other
	}
	p.given[s] = true
	return s
}

// clean makes s fit for a label. One value that is no UTF-8 would fail the whole scrape, and what is not to be printed
// has no place on a page that people read in a terminal.
func clean(s string) string {
	if len(s) <= maxLabel && plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s[:min(len(s), maxLabel+utf8.UTFMax)]) // no more than is kept, and the rune that the cut may go through
	return shorten(s)
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// shorten cuts valid UTF-8 down to maxLabel bytes, between runes, and shows that it did.
func shorten(s string) string {
	if len(s) <= maxLabel {
		return s
	}
	const mark = "…"
	end := maxLabel - len(mark)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
