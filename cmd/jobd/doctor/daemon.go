package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/control"
)

// daemonFacts are how the running jobd is.
type daemonFacts struct {
	version string // of this program
	status  *control.StatusAnswer
	why     error     // no answer
	changed time.Time // when the file that it read became what it is; zero: it read none
	noFile  error     // why that cannot be told
	config  string    // that there is
}

func (x *examination) daemon(context.Context) []Finding {
	d := daemonFacts{version: x.Version, status: x.status, why: x.why, config: x.Path}
	if x.status != nil && x.status.Config.File != "" {
		d.changed, d.noFile = changedAt(string(x.status.Config.File))
	}
	return judgeDaemon(d)
}

// changedAt is when what is at a path became what it is, or a link there. A file may be put there with the time of an older one; its ctime
// is the kernel's.
func changedAt(path string) (time.Time, error) {
	var link, file unix.Stat_t
	if err := cmp.Or(unix.Lstat(path, &link), unix.Stat(path, &file)); err != nil {
		return time.Time{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	at := time.Unix(file.Ctim.Unix())
	if l := time.Unix(link.Ctim.Unix()); l.After(at) {
		at = l
	}
	return at, nil
}

func judgeConfig(c Config, root bool) Finding {
	switch {
	case c.Error != nil && !root && unread(c.Error):
		return needsRoot("jobd.config")
	case c.Error != nil:
		return fail("jobd.config", "mend it; jobd --check says when it is good", "%s", strings.ReplaceAll(c.Error.Error(), "\n", "; "))
	case c.Path == "":
		return ok("jobd.config", "there is none: the defaults hold")
	}
	return ok("jobd.config", "%s is good", c.Path)
}

// unread reports whether nothing is wrong but that some of it may not be read.
func unread(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !unread(e) })
	}
	return errors.Is(err, fs.ErrPermission)
}

func judgeDaemon(d daemonFacts) []Finding {
	if d.status == nil {
		return []Finding{fail("jobd", toReach(d.why), "%v", d.why)}
	}
	st := d.status
	return []Finding{
		ok("jobd", "answers, pid %d, since %s", st.PID, st.Started.Format(time.RFC3339)),
		judgeVersion(d), judgeRead(d), judgeDrained(st.Drained), judgeLoss(st), judgeBalance(st), judgeStore(st.Store),
	}
}

// toReach is what to do about a jobd that does not answer.
func toReach(why error) string {
	switch {
	case errors.Is(why, unix.ENOENT), errors.Is(why, unix.ECONNREFUSED):
		return "start it: systemctl start jobd; or name its --run-dir"
	case errors.Is(why, context.DeadlineExceeded):
		return "it hangs, or the host is too busy: look into its log, then restart it"
	}
	return "look into its log"
}

func judgeVersion(d daemonFacts) Finding {
	switch {
	case d.status.Version != d.version:
		return warn("jobd.version", "restart jobd", "%s runs, this is %s", d.status.Version, d.version)
	}
	return ok("jobd.version", "%s", d.version)
}

// judgeRead looks whether what the file says is what holds.
func judgeRead(d daemonFacts) Finding {
	c := &d.status.Config
	switch {
	case c.Error != "":
		return fail("jobd.reload", "mend it, then systemctl reload jobd", "it was read again in vain: %s", c.Error)
	case c.File == "" && d.config != "":
		return warn("jobd.reload", "systemctl reload jobd", "%s is there, and jobd has read none", d.config)
	case errors.Is(d.noFile, fs.ErrNotExist):
		return warn("jobd.reload", "put it back, then systemctl reload jobd", "%s is not there any more", c.File)
	case d.noFile != nil:
		return skip("jobd.reload", "%v", d.noFile)
	case d.changed.After(c.ReadAt):
		return warn("jobd.reload", "systemctl reload jobd", "%s was changed after jobd read it", c.File)
	case len(c.Restart) > 0:
		return warn("jobd.reload", "restart jobd", "these hold after a restart: %s", strings.Join(c.Restart, " "))
	}
	return ok("jobd.reload", "what holds was read at %s", c.ReadAt.Format(time.RFC3339))
}

func judgeDrained(drained bool) Finding {
	if drained {
		return warn("jobd.logins", "jobctl resume", "logins get no job: drained")
	}
	return ok("jobd.logins", "become jobs")
}

func judgeLoss(st *control.StatusAnswer) Finding {
	switch {
	case st.DegradedSince != nil:
		return fail("jobd.events", "look into jobd's log; jobctl selfcheck says what differs", "something is missing since %s: %s",
			st.DegradedSince.Format(time.RFC3339), st.DegradedWhy)
	case st.EventsLost > 0:
		return warn("jobd.events", "look for a host that forks without end, or a jobd that was stopped; what was lost has been made good",
			"%d events were lost since the start", st.EventsLost)
	}
	return ok("jobd.events", "none was lost")
}

func judgeBalance(st *control.StatusAnswer) Finding {
	if n := st.Balance.Error(); n != 0 {
		return fail("jobd.balance", "this is a bug: keep jobd's log, then restart it", "off by %d", n)
	}
	return ok("jobd.balance", "even, %d members", st.Members)
}

func judgeStore(s control.StoreStatus) Finding {
	switch {
	case s.HaltedSince != nil:
		return fail("jobd.books", "make room on the disk: history goes on by itself", "history is halted since %s",
			s.HaltedSince.Format(time.RFC3339))
	case s.Dropped > 0:
		return warn("jobd.books", "look whether the disk is too slow, or was full", "%d records were dropped since the start", s.Dropped)
	case s.Errors > 0:
		return warn("jobd.books", "look at the disk, and into jobd's log", "%d errors since the start, the last: %s", s.Errors, s.LastError)
	case s.SetAside != "":
		return warn("jobd.books", "jobctl db repair takes out what is good", "they were damaged, and set aside as %s", s.SetAside)
	}
	return ok("jobd.books", "%d bytes, %d records queued", s.Bytes, s.Queued)
}
