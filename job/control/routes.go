package control

import "net/http"

// route is one line of the access table.
type route struct {
	verb   Verb
	op     string // which of what the verb can do
	method string
	path   string // {job} is a JobRef
	access Access
	fields string // what a request may say: in the query of a GET, in the JSON body of a POST
	long   bool   // takes its time by design: not counted among a user's requests in hand
}

// What lists of jobs and of process records can be about.
const (
	aboutJobs    = "user uid gid command service rhost tag since until min_cpu min_rss min_io exit"
	aboutRecords = "job user uid gid command exe service rhost pid tag since until min_cpu min_rss min_io exit"
)

// What db can do.
const (
	OpStats  = "stats"
	OpBackup = "backup"
	OpForget = "forget"
)

// The access table: all of jobd.sock. The server enforces Root, the backend Owner, since it knows whose a job is, and what
// of a list a caller gets to see. For both see Peer.May. Server, client and docs/protocol.md go by it; a test compares.
var routes = []route{
	{verb: List, method: get, path: "/v1/jobs", access: Anyone, fields: "all " + aboutJobs + " sort limit"},
	{verb: Show, method: get, path: "/v1/jobs/{job}", access: Anyone, fields: "related"},
	{verb: PS, method: get, path: "/v1/jobs/{job}/processes", access: Anyone},
	{verb: PS, method: get, path: "/v1/processes", access: Anyone, fields: "unjobbed"},
	{verb: ID, method: get, path: "/v1/id", access: Anyone, fields: "pid"},
	{verb: Status, method: get, path: "/v1/status", access: Anyone},
	{verb: Selfcheck, method: get, path: "/v1/selfcheck", access: Root},
	{verb: History, method: get, path: "/v1/history", access: Anyone, fields: aboutJobs + " sort limit"},
	{verb: Procs, method: get, path: "/v1/records", access: Anyone, fields: aboutRecords + " sort limit"},
	{verb: Report, method: get, path: "/v1/report", access: Anyone, fields: "by " + aboutRecords + " limit include_open"},
	{verb: Moments, method: get, path: "/v1/moments", access: Anyone, fields: "since until"},
	{verb: Watch, method: get, path: "/v1/watch", access: Anyone, fields: "job user all host event cursor", long: true},
	{verb: Subscribed, method: get, path: "/v1/subscribed", access: Anyone, fields: "name uid pid"},
	{verb: DB, op: OpStats, method: get, path: "/v1/db", access: Root},
	{verb: DB, op: OpBackup, method: get, path: "/v1/db/backup", access: Root, long: true},

	{verb: Subscribe, method: post, path: "/v1/subscribe", access: Anyone, fields: "pid name data event", long: true},
	{verb: Kill, method: post, path: "/v1/jobs/{job}/kill", access: Owner, fields: "signal probe now only timeout", long: true},
	{verb: Wait, method: post, path: "/v1/jobs/{job}/wait", access: Owner, fields: "only timeout", long: true},
	{verb: Tag, method: post, path: "/v1/jobs/{job}/tags", access: Owner, fields: "tags"},

	{verb: Create, method: post, path: "/v1/jobs", access: Root, fields: "hold want user uid gid service tags"},
	{verb: Release, method: post, path: "/v1/jobs/{job}/release", access: Root},
	{verb: LimitTo, method: post, path: "/v1/jobs/{job}/limit", access: Root, fields: "max_processes"},
	{verb: Attach, method: post, path: "/v1/jobs/{job}/attach", access: Root, fields: "pid tree"},
	{verb: Move, method: post, path: "/v1/jobs/{job}/move", access: Root, fields: "pid tree"},
	{verb: Detach, method: post, path: "/v1/detach", access: Root, fields: "pid job tree"},
	{verb: Adopt, method: post, path: "/v1/adopt", access: Root, fields: "pid scope all_sessions user uid gid tags"},
	{verb: Drain, method: post, path: "/v1/drain", access: Root},
	{verb: Resume, method: post, path: "/v1/resume", access: Root},
	{verb: DB, op: OpForget, method: post, path: "/v1/db/forget", access: Root, fields: "user uid", long: true},
}

const (
	get  = http.MethodGet
	post = http.MethodPost
)
