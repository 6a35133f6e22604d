package control

import "net/http"

// route is one line of the access table.
type route struct {
	verb   Verb
	method string
	path   string // {job} is a JobRef
	access Access
	fields string // what a request may say: in the query of a GET, in the JSON body of a POST
	long   bool   // takes its time by design: not counted among a user's requests in hand
}

// The access table: all of jobd.sock. The server enforces Root, the backend Owner, since it knows whose a job is, and what
// of a list a caller gets to see. For both see Peer.May. Server, client and docs/protocol.md go by it; a test compares.
var routes = []route{
	{verb: List, method: get, path: "/v1/jobs", access: Anyone, fields: "all user uid since until limit"},
	{verb: Show, method: get, path: "/v1/jobs/{job}", access: Anyone},
	{verb: PS, method: get, path: "/v1/jobs/{job}/processes", access: Anyone},
	{verb: PS, method: get, path: "/v1/processes", access: Anyone, fields: "unjobbed"},
	{verb: ID, method: get, path: "/v1/id", access: Anyone, fields: "pid"},
	{verb: Status, method: get, path: "/v1/status", access: Anyone},
	{verb: Selfcheck, method: get, path: "/v1/selfcheck", access: Root},
	{verb: History, method: get, path: "/v1/history", access: Anyone, fields: "user uid since until limit"},
	{verb: Procs, method: get, path: "/v1/records", access: Anyone, fields: "job user uid since until limit"},

	{verb: Kill, method: post, path: "/v1/jobs/{job}/kill", access: Owner, fields: "signal probe now only timeout", long: true},
	{verb: Wait, method: post, path: "/v1/jobs/{job}/wait", access: Owner, fields: "only timeout", long: true},
	{verb: Tag, method: post, path: "/v1/jobs/{job}/tags", access: Owner, fields: "tags"},

	{verb: Create, method: post, path: "/v1/jobs", access: Root, fields: "hold want user uid service tags"},
	{verb: Release, method: post, path: "/v1/jobs/{job}/release", access: Root},
	{verb: Attach, method: post, path: "/v1/jobs/{job}/attach", access: Root, fields: "pid tree"},
	{verb: Move, method: post, path: "/v1/jobs/{job}/move", access: Root, fields: "pid tree"},
	{verb: Detach, method: post, path: "/v1/detach", access: Root, fields: "pid job tree"},
	{verb: Adopt, method: post, path: "/v1/adopt", access: Root, fields: "pid scope all_sessions user uid tags"},
	{verb: Drain, method: post, path: "/v1/drain", access: Root},
	{verb: Resume, method: post, path: "/v1/resume", access: Root},
}

const (
	get  = http.MethodGet
	post = http.MethodPost
)
