package main

import (
	"fmt"
	"log/slog"
	"strings"
)

// auditOp gives the name of a line of the trail in its audit record, "" for other lines. Those written out are package
// control's: somebody was turned away before anything was asked of jobd.
func auditOp(message string) string {
	switch message {
	case jobStarted:
		return "job-start"
	case jobFinished:
		return "job-end"
	case sessionMark:
		return "job-mark"
	case membersMove:
		return "job-membership"
	case tookBack:
		return "job-reclaim"
	case memberExec:
		return "job-exec"
	case memberUID:
		return "job-uid"
	case watchLost:
		return "job-lost"
	case change, changeRefused:
		return "job-change"
	case loginFailed, "login denied", "login refused", "bad login request":
		return "job-login"
	case "request denied":
		return "job-request"
	}
	return ""
}

// auditText is a line of the trail as audit has it: key=value, with blanks between, and the result at the end.
func auditText(op string, r slog.Record) string {
	var b strings.Builder
	b.WriteString("op=" + op)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + auditKey(a.Key) + "=" + auditValue(a.Value))
		return true
	})
	result := " res=success"
	if r.Level >= slog.LevelWarn && r.Message != tookBack {
		result = " res=failed"
	}
	return b.String() + result
}

// auditKey is the name that ausearch knows a field by, where it knows one: it decodes no others.
func auditKey(key string) string {
	switch key {
	case "user":
		return "acct"
	case "tty":
		return "terminal"
	case "rhost":
		return "hostname"
	case "login_uid":
		return "auid"
	case "audit_session":
		return "ses"
	}
	return key
}

// auditLongest is how much of a text a record has: all of them together have 8,560 bytes (AUDIT_MESSAGE_TEXT_MAX).
const auditLongest = 128

// auditValue writes numbers as they are, and whatever somebody else may have chosen as the kernel does
// (audit_log_untrustedstring): in quotes, or in hexadecimal where it holds a quote, a blank or what is no ASCII. The single
// quote is one too: the kernel puts them around all of the text.
func auditValue(v slog.Value) string {
	text := ""
	switch v = v.Resolve(); v.Kind() {
	case slog.KindInt64, slog.KindUint64, slog.KindBool:
		return v.String()
	case slog.KindAny:
		if v.Any() == nil {
			return "?"
		}
		text = fmt.Sprint(v.Any())
	default:
		text = v.String()
	}
	if text == "" {
		return "?"
	}
	text = text[:min(len(text), auditLongest)]
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || c == '"' || c == '\'' {
			return fmt.Sprintf("%X", text)
		}
	}
	return `"` + text + `"`
}
