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
}

// all lists every series there is.
func all() []series {
	const (
		counter   = prometheus.CounterValue
		gauge     = prometheus.GaugeValue
		histogram = prometheus.UntypedValue
	)
	l := func(names ...string) []string { return names }
	return []series{
		{nameInfo, "1; the version of jobd, the engine and the cgroup mode in effect.", gauge, l("version", "engine", "cgroup")},
		{nameWitness, "1 for each witness in use.", gauge, l("witness")},

		{nameJobs, "Jobs that have not ended.", gauge, l("state")},
		{nameMembers, "Live processes in jobs, counted from the table.", gauge, nil},
		{nameJoined, "Processes that became members, by how.", counter, l("how")},
		{nameDeparted, "Members that exited, or were detached or moved.", counter, nil},
		{nameBalanceError, "Members that joined less those that departed or live; anything but 0 is a bug.", gauge, nil},
		{nameDrained, "1 while logins get no new jobs, because somebody said jobctl drain.", gauge, nil},

		{nameUserCPU, "CPU time used in jobs of the user, departed and live.", counter, l(labelUser)},
		{nameUserRead, "Bytes read from storage in jobs of the user.", counter, l(labelUser)},
		{nameUserWrite, "Bytes written to storage in jobs of the user.", counter, l(labelUser)},
		{nameUserJobs, "Jobs of the user that have not ended.", gauge, l(labelUser)},
		{nameUserProcesses, "Live processes in jobs of the user.", gauge, l(labelUser)},
		{nameUsersFolded, "Users who are added up under user=\"other\".", gauge, nil},

		{nameEvents, "Events dispatched, by kind.", counter, l("event")},
		{nameEventsLost, "Events that the kernel dropped before they were read.", counter, nil},
		{nameUnwitnessed, "Processes gone before it could be read whose they were.", counter, nil},
		{nameResyncs, "Scans of /proc that made up for lost events.", counter, nil},
		{nameRefused, "New processes that were not let live.", counter, nil},
		{nameRecordsMissed, "Members gone of whose exit there is no record.", counter, nil},
		{nameRecordsUntold, "Members whose last use was not told in time, and is estimated.", counter, nil},
		{nameRecordsDue, "Members gone whose last use is still to be told.", gauge, nil},
		{nameExecsUnread, "Programs that members ran and that had gone before anybody could look.", counter, nil},
		{nameUnlabelled, "Processes that may have been without their label in the kernel for a while.", counter, nil},
		{nameDegraded, "1 while the engine does less than it should.", gauge, nil},
		{nameDegradedSince, "Since when the engine does less than it should.", gauge, nil},

		{nameTaskstats, "Exit records read from taskstats.", counter, nil},
		{nameTaskstatsMissed, "Members gone without an exit record.", counter, nil},
		{nameTaskstatsUnmatched, "Exit records whose process nobody knew.", counter, nil},

		{nameStoreCommits, "Commits to the books on disk.", counter, nil},
		{nameStoreQueued, "Records that wait for a commit.", gauge, nil},
		{nameStoreDropped, "Records given up because the queue was full.", counter, nil},
		{nameStoreQueuedJobs, "States of jobs that wait for a commit.", gauge, nil},
		{nameStoreDropJobs, "States of jobs given up because the queue was full.", counter, nil},
		{nameStoreCommit, "Time of a commit that succeeded.", histogram, nil},
		{nameStoreErrors, "Commits that failed.", counter, nil},
		{nameStoreHalted, "Whether history is halted for lack of room on the disk: 1 or 0.", gauge, nil},
		{nameStoreSize, "Size of the books on disk.", gauge, nil},
		{nameStoreFree, "Free on the file system of the books.", gauge, nil},
		{nameStoreFloor, "With less than that free history halts.", gauge, nil},
		{nameStoreKeep, "How long jobs and process records are kept; absent: for ever.", gauge, l("of")},
		{nameStoreLastCommit, "When the books were last committed.", gauge, nil},
		{nameJournalSize, "Size of the journal of open jobs.", gauge, nil},

		{nameLogins, "Logins answered, by what they became.", counter, l("kind")},
		{nameLoginsRefused, "Logins refused, by the code of the answer.", counter, l("code")},
		{nameLoginDuration, "Time from a login's request to its answer.", histogram, nil},
		{nameRequests, "Requests to the API.", counter, l("verb", "result")},
		{nameSocketQueue, "Bytes that wait in a socket's receive queue.", gauge, l("socket")},
		{nameSocketDrops, "Messages that the kernel dropped at a socket.", counter, l("socket")},
		{nameStreams, "Streams of events that clients have open.", gauge, nil},
		{nameSubscriptions, "Subscriptions to events of single processes.", gauge, nil},
		{nameAudit, "Records sent to the audit daemon.", counter, nil},
		{nameAuditDropped, "Records for the audit daemon that were given up.", counter, nil},

		{nameFailures, "Snapshots, or parts of them, that could not be had or made no sense.", counter, nil},
	}
}
