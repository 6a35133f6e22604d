package doctor

import (
	"slices"
	"strconv"
	"strings"
)

// PAM's configuration as Linux-PAM reads it (pam.conf(5), libpam/pam_handlers.c). What stands here touches no file.

// pamLine is one line that says something.
type pamLine struct {
	file    string // by which it is included, or the service
	no      int    // where it begins
	kind    string // auth, account, password, session; include for @include
	control pamControl
	module  string // path of the module, or of the file that is included
	args    []string
	bad     string // what is wrong with it; libpam then refuses whom it is asked about
}

// What a control can be beside words for actions.
const (
	controlInclude  = "include"
	controlSubstack = "substack"
	atInclude       = "@include"
)

// pamControl is what becomes of a module's answer: actions by the names of answers, and default for all others.
type pamControl struct {
	word    string // include or substack; else empty
	actions map[string]string
}

// answer is the action for one answer of the module's.
func (c pamControl) answer(name string) string {
	if a, ok := c.actions[name]; ok {
		return a
	}
	if a, ok := c.actions["default"]; ok {
		return a
	}
	return "bad"
}

// jump is how many modules an action passes over; 0: it is no jump.
func jump(action string) int {
	n, err := strconv.Atoi(action)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

var kinds = []string{"auth", "account", "password", "session"}

// words of a control that stand for actions.
func controlWords() map[string]map[string]string {
	return map[string]map[string]string{
		"required":   {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"},
		"requisite":  {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"},
		"sufficient": {"success": "done", "new_authtok_reqd": "done", "default": "ignore"},
		"optional":   {"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"},
	}
}

// blanks are what libpam takes for such. A carriage return is part of a word to it.
const blanks = " \t\n"

// parsePAM reads one file. It never fails: a line that makes no sense says so itself.
func parsePAM(file, text string) (lines []pamLine) {
	whole, from := "", 0
	all := strings.Split(text, "\n")
	for i, raw := range all {
		raw, _, _ = strings.Cut(raw, "#")
		raw = strings.Trim(raw, blanks)
		if whole == "" {
			from = i + 1
		}
		if rest, more := strings.CutSuffix(raw, `\`); more {
			whole += rest + " "
			continue
		}
		if whole != "" && raw == "" && i < len(all)-1 {
			continue // a comment, or nothing, does not end a line that goes on
		}
		if whole += raw; strings.Trim(whole, blanks) != "" {
			lines = append(lines, parseLine(file, from, whole))
		}
		whole = ""
	}
	return lines
}

func parseLine(file string, no int, text string) pamLine {
	l := pamLine{file: file, no: no}
	words := tokens(text)
	next := func() (word string) {
		if len(words) > 0 {
			word, words = words[0], words[1:]
		}
		return word
	}
	l.kind = strings.ToLower(next())
	if l.kind == atInclude {
		if l.module = next(); l.module == "" {
			l.bad = "@include of nothing"
		}
		return l
	}
	l.kind = strings.TrimPrefix(l.kind, "-") // of a module that is missing the log says nothing then; it fails all the same
	if !slices.Contains(kinds, l.kind) {
		l.bad = "there is no type " + strconv.Quote(l.kind)
		return l
	}
	l.control, l.bad = parseControl(next())
	l.module, l.args = next(), words
	if l.module == "" && l.bad == "" {
		l.bad = "it names no module"
	}
	return l
}

// tokens divides a line at spaces; what stands in brackets is one, in which \] is a bracket.
func tokens(s string) (out []string) {
	for s = trimLeft(s); s != ""; s = trimLeft(s) {
		if s[0] != '[' {
			end := strings.IndexAny(s, blanks)
			if end < 0 {
				end = len(s)
			}
			out, s = append(out, s[:end]), s[end:]
			continue
		}
		end := 1
		for end < len(s) && s[end] != ']' {
			if s[end] == '\\' && end+1 < len(s) && s[end+1] == ']' {
				end++
			}
			end++
		}
		out = append(out, strings.ReplaceAll(s[:end], `\]`, "]"))
		s = s[min(end+1, len(s)):]
	}
	return out
}

func trimLeft(s string) string { return strings.TrimLeft(s, blanks) }

// parseControl reads a word, or what stood in brackets, which begins with one.
func parseControl(s string) (c pamControl, bad string) {
	inside, bracketed := strings.CutPrefix(s, "[")
	switch word := strings.ToLower(s); {
	case word == controlInclude, word == controlSubstack:
		c.word = word
		return c, ""
	case !bracketed:
		if c.actions = controlWords()[word]; c.actions == nil {
			return pamControl{}, "there is no control " + strconv.Quote(s)
		}
		return c, ""
	}
	c.actions = make(map[string]string)
	for pair := range strings.FieldsSeq(strings.ReplaceAll(inside, "=", " = ")) {
		if bad = c.take(pair); bad != "" {
			return pamControl{}, bad
		}
	}
	if c.actions[""] != "" || c.actions["="] != "" {
		return pamControl{}, "the control ends too early"
	}
	return c, ""
}

// take is given name, = and action in turn. What is not whole is kept under "" and =.
func (c pamControl) take(word string) (bad string) {
	name, equals := c.actions[""], c.actions["="]
	switch {
	case name == "" && word != "=":
		c.actions[""] = strings.ToLower(word)
	case name != "" && equals == "" && word == "=":
		c.actions["="] = word
	case name != "" && equals != "" && isAction(strings.ToLower(word)):
		c.actions[name] = strings.ToLower(word)
		delete(c.actions, "")
		delete(c.actions, "=")
	default:
		return "its control makes no sense at " + strconv.Quote(word)
	}
	return ""
}

func isAction(s string) bool {
	return slices.Contains([]string{"ignore", "ok", "done", "die", "bad", "reset"}, s) || jump(s) > 0
}
