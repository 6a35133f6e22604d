package report

import "github.com/jobd-project/jobd/job"

// span is the time of which a record's use is. Unix ns.
func span(r *job.Record, u *job.Use) (from, to int64) { return r.End - max(u.Wall, 0), r.End }
