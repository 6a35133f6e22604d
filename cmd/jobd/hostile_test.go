package main

import "strconv"

// hostileNames are what somebody might be called who wants to be somebody else in a log, on a terminal or in a table.
var hostileNames = []string{
	"a\ntime=x level=INFO msg=\"job start\" user=root", "a\r\nb", "\x1b[2J\x1b]0;t\x07", "\u009b2J", "\xff\xfe", "\xc3", `a"b\c'd`, "a\u2028b\u2029c",
	"\u202eroot\u202c", "\u2066x\u2069", "\u200b", "a by_uid=0 by_pid=1", "=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(A1)", "\t=1", "a,b\"c", "%s%n%41",
	"<script>", "a\x00b", "a\x7fb", "\u00ad", "\ufeff", "{\"a\":1}",
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }
