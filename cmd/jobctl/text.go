package main

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/jobd-project/jobd/job"
)

// plain makes a name harmless to a terminal. Command names, terminals and host names are chosen by whoever is at the
// other end: what could move the cursor, change the direction of writing or start a new line is shown as \x1b or \u202e.
func plain[S ~string](s S) string {
	text := strings.ToValidUTF8(string(s), "\ufffd")
	if text == "" {
		return none
	}
	if strings.IndexFunc(text, hostile) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hostile(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hostile(r rune) bool { return !strconv.IsPrint(r) }

// wide lists the characters that take two columns, by block: East Asian Width W and F.
// https://www.unicode.org/reports/tr11/
func wide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115f, // Hangul Jamo
		r >= 0x231a && r <= 0x2bff && symbol(r),
		r >= 0x2e80 && r <= 0xa4cf && r != 0x303f, // CJK … Yi
		r >= 0xa960 && r <= 0xa97f,
		r >= 0xac00 && r <= 0xd7a3, // Hangul syllables
		r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe10 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6,
		r >= 0x16fe0 && r <= 0x1b2ff, // Tangut … Nushu
		r >= 0x1f000 && r <= 0x1faff, // emoji
		r >= 0x20000 && r <= 0x3fffd:
		return true
	}
	return false
}

// symbol is one that may be an emoji: some are wide and some are not, and to count one too many is harmless. The lines of
// a tree are not wide.
func symbol(r rune) bool { return unicode.Is(unicode.So, r) && (r < 0x2500 || r > 0x25ff) }

func cell(r rune) int {
	switch {
	case r < 0x300: // the first that does not take one
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case wide(r):
		return 2
	}
	return 1
}

// cells is how many columns a text takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += cell(r)
	}
	return n
}

// shorten cuts a text that is wider than width, and says so with … at its end.
func shorten(s string, width int) string {
	if cells(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return head(s, width-1) + "…"
}

// head is as much of s as fits into width columns.
func head(s string, width int) string {
	for i, r := range s {
		if width -= cell(r); width < 0 {
			return s[:i]
		}
	}
	return s
}

// tail is the end of s, as much as fits into width columns.
func tail(s string, width int) string {
	runes := []rune(s)
	i := len(runes)
	for i > 0 && width-cell(runes[i-1]) >= 0 {
		i--
		width -= cell(runes[i])
	}
	return string(runes[i:])
}

// fold breaks a text into lines of at most width columns, at a space where there is one.
func fold(s string, width int) []string {
	width = max(width, 2) // a wide character has to fit
	var lines []string
	for cells(s) > width {
		line := head(s, width)
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.TrimSpace(line[:i]) != "" {
			line = line[:i]
		}
		lines = append(lines, line)
		s = strings.TrimPrefix(s[len(line):], " ")
	}
	return append(lines, s)
}

func seqText(seq uint32) string { return strconv.FormatUint(uint64(seq), 10) }

// seqOf shows a JID as people type it when it is of the same host as this one, and whole when it isn't.
func seqOf(jid *job.JID, host job.JID) string {
	switch {
	case jid == nil:
		return none
	case jid.HID() == host.HID():
		return seqText(jid.Seq())
	}
	return jid.String()
}
