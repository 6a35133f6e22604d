package control

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	longestPattern = 1024
	mostTags       = 64 // that a request asks for: a job has no more
)

// What lists can be sorted by, and what a report can be by; tag:KEY is there too.
var (
	sortKeys   = []string{"ended", "started", "cpu", "memory", "io", "elapsed", "processes"}
	reportKeys = []string{"user", "group", "job", "command", "service", "day", "hour"}
)

// checkFilter refuses what no job and no record could ever meet, before anything is looked through for it.
func checkFilter(req Request) error {
	switch {
	case req.GID != nil && *req.GID == noID:
		return Errorf(BadRequest, "%d is no group id", *req.GID)
	case min(req.MinCPU, req.MinRSS, req.MinIO) < 0:
		return Errorf(BadRequest, "a minimum below 0 means nothing")
	case !req.Since.IsZero() && !req.Until.IsZero() && req.Until.Before(req.Since):
		return Errorf(BadRequest, "the time asked about ends before it begins")
	case req.Sort != "" && !slices.Contains(sortKeys, req.Sort):
		return badChoice("sort", req.Sort, sortKeys)
	case !goodExit(req.Exit):
		return Errorf(BadRequest, "bad exit %q: it is a status from 0 to 255, or !0 for any but 0", clip(req.Exit, 64))
	}
	for _, check := range []func(Request) error{checkBy, checkPatterns, checkRHost, checkTag} {
		if err := check(req); err != nil {
			return err
		}
	}
	return nil
}

func badChoice(name, value string, choices []string) error {
	e := Errorf(BadRequest, "bad %s %q", name, clip(value, 64))
	e.Hint = "it is one of " + strings.Join(choices, ", ")
	return e
}

// goodExit takes 1 and !1; the empty one asks for nothing.
func goodExit(s string) bool {
	if s == "" {
		return true
	}
	_, err := strconv.ParseUint(strings.TrimPrefix(s, "!"), 10, 8)
	return err == nil
}

func checkBy(req Request) error {
	key, tag := strings.CutPrefix(req.By, "tag:")
	switch {
	case req.By == "", tag && key != "" && len(key) <= longestText, slices.Contains(reportKeys, req.By):
		return nil
	}
	return badChoice("by", req.By, append(slices.Clone(reportKeys), "tag:KEY"))
}

func checkPatterns(req Request) error {
	for name, text := range map[string]string{"command": req.Command, "exe": req.Exe} {
		if len(text) > longestPattern {
			return Errorf(BadRequest, "bad %s: a pattern has at most %d bytes", name, longestPattern)
		}
		if _, err := regexp.Compile(text); err != nil {
			return &Error{
				Code: BadRequest, Message: "bad " + name + " " + strconv.Quote(clip(text, 64)) + ": " + err.Error(),
				Hint: "it is a regular expression (RE2), found anywhere: ^make$ is just make",
			}
		}
	}
	return nil
}

// checkRHost refuses a network that is none; whatever has no / is taken for a name, if not for an address.
func checkRHost(req Request) error {
	if len(req.RHost) > longestText {
		return Errorf(BadRequest, "a name of more than %d bytes names nothing", longestText)
	}
	if !strings.Contains(req.RHost, "/") {
		return nil
	}
	if _, err := netip.ParsePrefix(req.RHost); err != nil {
		return Errorf(BadRequest, "bad rhost %q: a network is like 131.169.0.0/16 or 2001:db8::/32", clip(req.RHost, 64))
	}
	return nil
}

func checkTag(req Request) error {
	if len(req.Tag) > mostTags {
		return Errorf(BadRequest, "no job has more than %d tags", mostTags)
	}
	for _, tag := range req.Tag {
		if key, _, _ := strings.Cut(tag, "="); key == "" || len(tag) > longestText {
			return Errorf(BadRequest, "bad tag %q: it is KEY, or KEY=VALUE", clip(tag, 64))
		}
	}
	return nil
}
