package metrics

import "github.com/prometheus/client_golang/prometheus"

// The series. docs/metrics.md has a row for each.
const (
	nameInfo    = "jobd_info"
	nameWitness = "jobd_witness"

	nameJobs         = "jobd_jobs"
	nameMembers      = "jobd_members"
	nameJoined       = "jobd_members_joined_total"
	nameDeparted     = "jobd_members_departed_total"
	nameBalanceError = "jobd_balance_error"
	nameDrained      = "jobd_drained"

	nameUserCPU       = "jobd_user_cpu_seconds_total"
	nameUserRead      = "jobd_user_read_bytes_total"
	nameUserWrite     = "jobd_user_write_bytes_total"
	nameUserJobs      = "jobd_user_jobs"
	nameUserProcesses = "jobd_user_processes"
	nameUsersFolded   = "jobd_users_folded"

	nameEvents        = "jobd_events_total"
	nameEventsLost    = "jobd_events_lost_total"
	nameUnwitnessed   = "jobd_unwitnessed_total"
	nameResyncs       = "jobd_resyncs_total"
	nameRefused       = "jobd_refused_total"
	nameRecordsMissed = "jobd_records_missed_total"
	nameRecordsUntold = "jobd_records_untold_total"
	nameRecordsDue    = "jobd_records_due"
	nameExecsUnread   = "jobd_execs_unread_total"
	nameUnlabelled    = "jobd_unlabelled_total"
	nameDegraded      = "jobd_degraded"
	nameDegradedSince = "jobd_degraded_since_timestamp_seconds"

	nameTaskstats          = "jobd_taskstats_records_total"
	nameTaskstatsMissed    = "jobd_taskstats_missed_total"
	nameTaskstatsUnmatched = "jobd_taskstats_unmatched_total"

	nameStoreCommits    = "jobd_store_commits_total"
	nameStoreQueued     = "jobd_store_queued_records"
	nameStoreDropped    = "jobd_store_dropped_records_total"
	nameStoreQueuedJobs = "jobd_store_queued_jobs"
	nameStoreDropJobs   = "jobd_store_dropped_jobs_total"
	nameStoreCommit     = "jobd_store_commit_duration_seconds"
	nameStoreErrors     = "jobd_store_errors_total"
	nameStoreHalted     = "jobd_store_halted"
	nameStoreSize       = "jobd_store_size_bytes"
	nameStoreFree       = "jobd_store_free_bytes"
	nameStoreFloor      = "jobd_store_floor_bytes"
	nameStoreKeep       = "jobd_store_keep_seconds"
	nameStoreLastCommit = "jobd_store_last_commit_timestamp_seconds"
	nameJournalSize     = "jobd_journal_size_bytes"

	nameLogins        = "jobd_logins_total"
	nameLoginsRefused = "jobd_logins_refused_total"
	nameLoginDuration = "jobd_login_duration_seconds"
	nameRequests      = "jobd_api_requests_total"
	nameSocketQueue   = "jobd_socket_receive_queue_bytes"
	nameSocketDrops   = "jobd_socket_drops_total"
	nameStreams       = "jobd_watch_streams"
	nameSubscriptions = "jobd_subscriptions"
	nameAudit         = "jobd_audit_records_total"
	nameAuditDropped  = "jobd_audit_dropped_total"

	nameFailures = "jobd_metrics_failures_total"

	labelUser = "user"
)

// series is a metric before it has a value.
type series struct {
	name, help string
	kind       prometheus.ValueType // Untyped: a histogram
	labels     []string
	most       int // how many series of that name there can be
}

// How many values a label can have, and how many series are a histogram.
const (
	users   = DefaultUsers + 1 // and other
	few     = maxValues + 1    // and other; jobd's own words are fewer
	buckets = 14               // 11 bounds and +Inf, the sum and the count
)

// all lists every series there is.
func all() []series {
	const (
		counter   = prometheus.CounterValue
		gauge     = prometheus.GaugeValue
		histogram = prometheus.UntypedValue
	)
	l := func(names ...string) []string { return names }
	return []series{
		{nameInfo, "1; the version of jobd, the engine and the cgroup mode in effect.", gauge, l("version", "engine", "cgroup"), 1},
		{nameWitness, "1 for each witness in use.", gauge, l("witness"), few},

		{nameJobs, "Jobs that have not ended.", gauge, l("state"), 2},
		{nameMembers, "Live processes in jobs, counted from the table.", gauge, nil, 1},
		{nameJoined, "Processes that became members, by how.", counter, l("how"), 3},
		{nameDeparted, "Members that exited, or were detached or moved.", counter, nil, 1},
		{nameBalanceError, "Members that joined less those that departed or live; anything but 0 is a bug.", gauge, nil, 1},
		{nameDrained, "1 while logins get no new jobs, because somebody said jobctl drain.", gauge, nil, 1},

		{nameUserCPU, "CPU time used in jobs of the user, departed and live.", counter, l(labelUser), users},
		{nameUserRead, "Bytes read from storage in jobs of the user.", counter, l(labelUser), users},
		{nameUserWrite, "Bytes written to storage in jobs of the user.", counter, l(labelUser), users},
		{nameUserJobs, "Jobs of the user that have not ended.", gauge, l(labelUser), users},
		{nameUserProcesses, "Live processes in jobs of the user.", gauge, l(labelUser), users},
		{nameUsersFolded, "Users who are added up under user=\"other\".", gauge, nil, 1},

		{nameEvents, "Events dispatched, by kind.", counter, l("event"), 10},
		{nameEventsLost, "Events that the kernel dropped before they were read.", counter, nil, 1},
		{nameUnwitnessed, "Processes gone before it could be read whose they were.", counter, nil, 1},
		{nameResyncs, "Scans of /proc that made up for lost events.", counter, nil, 1},
		{nameRefused, "New processes that were not let live.", counter, nil, 1},
		{nameRecordsMissed, "Members gone of whose exit there is no record.", counter, nil, 1},
		{nameRecordsUntold, "Members whose last use was not told in time, and is estimated.", counter, nil, 1},
		{nameRecordsDue, "Members gone whose last use is still to be told.", gauge, nil, 1},
		{nameExecsUnread, "Programs that members ran and that had gone before anybody could look.", counter, nil, 1},
		{nameUnlabelled, "Processes that may have been without their label in the kernel for a while.", counter, nil, 1},
		{nameDegraded, "1 while jobd does less than it should.", gauge, nil, 1},
		{nameDegradedSince, "Since when jobd does less than it should.", gauge, nil, 1},

		{nameTaskstats, "Exit records read from taskstats.", counter, nil, 1},
		{nameTaskstatsMissed, "Exits of members' threads without an exit record.", counter, nil, 1},
		{nameTaskstatsUnmatched, "Exit records whose process nobody knew.", counter, nil, 1},

		{nameStoreCommits, "Commits to the books on disk.", counter, nil, 1},
		{nameStoreQueued, "Records that wait for a commit.", gauge, nil, 1},
		{nameStoreDropped, "Records given up because the queue was full.", counter, nil, 1},
		{nameStoreQueuedJobs, "States of jobs that wait for a commit.", gauge, nil, 1},
		{nameStoreDropJobs, "States of jobs given up because the queue was full.", counter, nil, 1},
		{nameStoreCommit, "Time of a commit that succeeded.", histogram, nil, buckets},
		{nameStoreErrors, "Commits that failed.", counter, nil, 1},
		{nameStoreHalted, "Whether history is halted for lack of room on the disk: 1 or 0.", gauge, nil, 1},
		{nameStoreSize, "Size of the books on disk.", gauge, nil, 1},
		{nameStoreFree, "Free on the file system of the books.", gauge, nil, 1},
		{nameStoreFloor, "With less than that free history halts.", gauge, nil, 1},
		{nameStoreKeep, "How long jobs and process records are kept; absent: for ever.", gauge, l("of"), 2},
		{nameStoreLastCommit, "When the books were last committed.", gauge, nil, 1},
		{nameJournalSize, "Size of the journal of open jobs.", gauge, nil, 1},

		{nameLogins, "Logins answered, by what they became.", counter, l("kind"), 2},
		{nameLoginsRefused, "Logins refused, by jobd's code.", counter, l("code"), few},
		{nameLoginDuration, "Time from a login's request to its answer.", histogram, nil, buckets},
		{nameRequests, "Requests to the API.", counter, l("verb", "result"), few * few},
		{nameSocketQueue, "Bytes that wait in a socket's receive queue.", gauge, l("socket"), few},
		{nameSocketDrops, "Messages that the kernel dropped at a socket.", counter, l("socket"), few},
		{nameStreams, "Streams of events that clients have open.", gauge, nil, 1},
		{nameSubscriptions, "Subscriptions to events of single processes.", gauge, nil, 1},
		{nameAudit, "Records sent to the audit daemon.", counter, nil, 1},
		{nameAuditDropped, "Records for the audit daemon that were given up.", counter, nil, 1},

		{nameFailures, "Snapshots, or parts of them, that could not be had or made no sense.", counter, nil, 1},
	}
}
