#!/bin/bash
# The main job, on the host that run.sh has booted: started by vm-test.service
# as root, stdout is the serial console. Every login here is a real one, with
# ssh and a key, through the host's own PAM stack.
#
# Nothing here waits for luck: `until_ok` repeats a question until the answer is
# right or a deadline has passed, and everything that could hang has a timeout.
# shellcheck disable=SC2016 # what is in single quotes is for the login's shell
set -u

lib=/usr/local/lib/jobd-vm
run=$(mktemp -d /run/vm-test.XXXXXX)
host=127.0.0.1
export HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive

passed=0
failed=0
declare -A login_in login_out login_pid

# --- saying what happened

ok() { passed=$((passed + 1)); echo "ok - $1"; }
not_ok() { failed=$((failed + 1)); echo "not ok - $1: got ${2//$'\n'/ | }"; }
note() { echo "# $*"; }

# equals NAME GOT WANT
equals() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2', want '$3'"; fi; }
# matches NAME GOT REGEXP
matches() { if [[ $2 =~ $3 ]]; then ok "$1"; else not_ok "$1" "'$2', want /$3/"; fi; }
# contains NAME WORDS WORD
contains() { case " ${2//$'\n'/ } " in *" $3 "*) ok "$1" ;; *) not_ok "$1" "'$2', want '$3' in it" ;; esac; }

# until_ok SECONDS COMMAND…: the command's success, or no later than that.
until_ok() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.2
	done
}

# code COMMAND…: prints its exit code and nothing else; what it said is in code.out.
code() { timeout 60 "$@" >"$run/code.out" 2>&1; echo $?; }

finish() {
	trap - EXIT
	# What the daemons logged goes to the second serial line, for whoever has to find out why.
	if [ "$failed" -gt 0 ] || [ "$passed" = 0 ] || [ -e "$lib/keep" ]; then
		journalctl -b --no-pager -o short-monotonic >/dev/ttyS1 2>&1
	fi
	echo "vm: $passed passed, $failed failed"
	# The machine goes off as soon as we end: wait until the line has been sent.
	stty -F /dev/ttyS0 onlcr
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
	exit
}

# --- logins

# open_login NAME USER: a login with a shell, whose stdin and stdout we hold.
open_login() {
	local in out
	mkfifo "$run/$1.in" "$run/$1.out"
	ssh "$2@$host" 'exec bash' <"$run/$1.in" >"$run/$1.out" 2>>"$run/$1.err" &
	login_pid[$1]=$!
	exec {in}>"$run/$1.in" {out}<"$run/$1.out"
	login_in[$1]=$in
	login_out[$1]=$out
}

# in_login NAME COMMAND: the command's output; its exit code is in_login's.
in_login() {
	local line end="end-$RANDOM$RANDOM"
	printf '%s\n' "{ $2" "} </dev/null 2>&1; printf '\n$end %s\n' \$?" >&"${login_in[$1]}"
	while IFS= read -r -t 60 line <&"${login_out[$1]}"; do
		case $line in
		"$end "*) return "${line#* }" ;;
		'') ;;
		*) printf '%s\n' "$line" ;;
		esac
	done
	echo "(no answer from login $1: $(tail -n 3 "$run/$1.err"))"
	return 99
}

# close_login NAME: logout, and the ssh client's end.
close_login() {
	local in=${login_in[$1]} out=${login_out[$1]} pid=${login_pid[$1]}
	echo exit >&"$in"
	exec {in}>&- {out}<&-
	until_ok 30 gone "$pid" || kill "$pid"
	wait "$pid"
}

gone() { ! kill -0 "$1" 2>/dev/null; }
not() { ! "$@"; }

# --- what jobd says

# ask FILTER VERB…: jobctl's JSON through jq; empty when jobctl failed.
ask() {
	local filter=$1
	shift
	timeout 60 jobctl "$@" --json 2>>"$run/jobctl.err" | jq -r "$filter" 2>>"$run/jobctl.err"
}

# job SEQ FILTER: one question. learn SEQ [VERB]: all there is, into `fact`, by
# one call of jobctl (a program's start is dear in an emulated machine).
job() { ask "$2" show "$1"; }
declare -A fact
learn() {
	local key value verb="show $1"
	[ "${2:-show}" = show ] || verb=$2
	fact=()
	# shellcheck disable=SC2086 # two words
	while IFS=$'\t' read -r key value; do fact[$key]=$value; done < <(
		ask "[.] | flatten[] | select(.seq == $1) | to_entries[] | [.key, (.value | tostring)] | @tsv" $verb)
}
job_is() { [ "$(job "$1" "$2")" = "$3" ]; }
members() { ask '[.[].pid] | sort | join(" ")' ps "$1"; }
members_are() { [ "$(members "$1")" = "$2" ]; }

scrape() {
	local web
	exec {web}<>"/dev/tcp/$host/9853" || return 1
	printf 'GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&"$web"
	timeout 30 cat <&"$web"
	exec {web}>&-
}

# metric REGEXP: the sum of the samples whose name and labels match, in billionths.
metric() { scrape | awk -v want="$1" '$0 ~ "^" want { sum += $NF } END { printf "%.0f\n", sum * 1e9 }'; }

# --- what the host says

scope_of() { sed -n 's/^0:://p' "/proc/$1/cgroup" 2>/dev/null; }
cpu_of() { awk '$1 == "usage_usec" { printf "%.0f\n", $2 * 1000 }' "/sys/fs/cgroup$1/cpu.stat"; }

# --- the checks

# packages NAME ARGUMENT…: dpkg does as it is told.
packages() {
	local name=$1 began=$SECONDS
	shift
	if timeout 150 dpkg "$@" >"$run/code.out" 2>&1; then ok "$name"; else not_ok "$name" "$(tail -n 5 "$run/code.out")"; fi
	note "that took $((SECONDS - began)) s"
}

# Before jobd comes: a disk for the books, and a clock that is kept, as whoever keeps it tells the kernel (adjtimex(2)): there is no network.
host_is_made_ready() {
	local module
	for module in "$lib"/modules/*.ko; do insmod "$module"; done
	until_ok 30 test -b /dev/vda
	mkdir -p /var/lib/jobd
	mount /dev/vda /var/lib/jobd
	rmdir /var/lib/jobd/lost+found
	# ADJ_STATUS, ADJ_MAXERROR and ADJ_ESTERROR: none of the state that says unsynchronised, and no error.
	perl -e 'syscall(159, my $t = pack("L x4 q4 l x172", 0x1c, 0, 0, 0, 0, 0)) >= 0 or die $!'
	matches 'the books will be on a disk' "$(findmnt -n -o FSTYPE /var/lib/jobd)" '^ext4$'
}

# As an administrator does it. No login makes a job until the profile is enabled.
package_is_installed() {
	# For an emulated machine; that a start may take 10 s on others is looked at further down.
	mkdir -p /etc/systemd/system/jobd.service.d
	printf '[Service]\nTimeoutStartSec=60s\n' >/etc/systemd/system/jobd.service.d/slow.conf
	packages 'dpkg installs the package' -i "$lib"/jobd_1-*.deb
	equals 'and no PAM stack has the module' "$(/usr/lib/jobd/pam-lines)" ''
	equals 'pam-auth-update enables it' "$(code pam-auth-update --enable jobd)" 0
	equals 'behind pam_systemd' "$(grep -o 'pam_[sj][a-z]*.so' /etc/pam.d/common-session | paste -sd' ')" 'pam_systemd.so pam_job.so'
}

# The host as it is, before jobd is asked anything: what follows rests on it.
host_is_a_host() {
	contains 'cgroup v2 has its controllers' "$(cat /sys/fs/cgroup/cgroup.controllers)" memory
	open_login main alice
	matches 'ssh logs alice in' "$(in_login main 'id -un')" '^alice$'
	shell=$(in_login main 'echo $$')
	session=$(in_login main 'echo $XDG_SESSION_ID')
	audit=$(in_login main 'cat /proc/self/sessionid')
	scope=$(in_login main 'sed -n s/^0:://p /proc/self/cgroup')
	matches 'pam_loginuid gave the login an audit session' "$audit" '^[0-9]{1,9}$'
	logind_has_it
}

# Asked before and after jobd did its work: it must not have changed.
logind_has_it() {
	local props leader
	matches "the login is in its session's scope${1:-}" "$scope" "^/user\.slice/user-1000\.slice/session-$session\.scope\$"
	equals "the shell's cgroup is that scope${1:-}" "$(scope_of "$shell")" "$scope"
	contains "logind lists the session${1:-}" "$(loginctl list-sessions --no-legend | awk '$3 == "alice" { print $1 }')" "$session"
	props=$(loginctl show-session "$session" -p Name -p Scope -p Leader -p Service)
	contains "logind knows the session's scope${1:-}" "$props" "Scope=${scope##*/}"
	contains "logind knows the session's service${1:-}" "$props" Service=sshd
	leader=$(sed -n 's/^Leader=//p' <<<"$props")
	equals "the session's leader is in the scope${1:-}" "$(scope_of "$leader")" "$scope"
	matches "loginctl session-status shows the shell${1:-}" "$(loginctl session-status --no-pager "$session")" "$shell"
}

jobd_is_ready() {
	until_ok 60 systemctl -q is-active jobd || { not_ok 'jobd says READY' "$(systemctl is-active jobd)"; return 1; }
	ok 'jobd says READY'
	matches 'jobctl status names the engine' "$(ask .engine status)" '^(connector|bpf)'
	equals 'jobd can make cgroups, beside systemd' "$(ask .cgroup status)" own
	equals 'the kernel keeps labels' "$(ask .labels status)" /sys/fs/bpf/jobd
	note "status: $(ask tojson status)"
}

login_is_a_job() {
	seq=$(in_login main 'jobctl id --json' | jq -r .seq)
	matches 'jobctl id in the login says its job' "$seq" '^[0-9]+$'
	equals 'jobctl list has one job of alice' "$(ask '[.[] | select(.user == "alice") | .seq] | join(" ")' list)" "$seq"
	learn "$seq"
	equals "the job's service" "${fact[service]-}" sshd
	equals "the job's uid" "${fact[uid]-}" 1000
	equals "the job's state" "${fact[state]-}" open
	equals "the job's rhost" "${fact[rhost]-}" "$host"
	equals "the job's logind_session" "${fact[logind_session]-}" "$session"
	equals "the job's audit_session" "${fact[audit_session]-}" "$audit"
	contains "the job's auth_key is the key's fingerprint" "${fact[auth_key]-}" "$(ssh-keygen -lf /root/.ssh/id_ed25519.pub | awk '{ print $2 }')"
	matches "the job's witness is not null" "${fact[witness]-null}" '^[^n]'
	matches "a label is a witness of the job" "${fact[witness]-null}" '(^|,)label(,|$)'
	equals 'JOB_JID in the login is the jid' "$(in_login main 'echo $JOB_JID')" "${fact[jid]-}"
	equals 'the list is for alice, too' "$(in_login main 'jobctl list --json' | jq -r '[.[].seq] | join(" ")')" "$seq"
	contains 'the shell is a member' "$(members "$seq")" "$shell"
	equals "the members are the scope's processes" "$(members "$seq")" \
		"$(sort -n "/sys/fs/cgroup$scope/cgroup.procs" | paste -sd' ')"
	equals 'journalctl finds what the log says of it' \
		"$(journalctl -u jobd "JOBD_JID=$(hostname):$seq" -b --no-pager -q -o json | jq -r .JOBD_USER | sort -u)" alice
	logind_has_it ', with jobd'
	equals 'jobd has made no cgroup for it' "$(cat /sys/fs/cgroup/jobd/*/cgroup.procs 2>/dev/null)" ''
}

# near NAME GOT LOW HIGH, in ns: GOT within 5 % + 50 ms of what lies between.
near() {
	local slack=$(($4 / 20 + 50000000))
	if [ "$2" -ge $(($3 - slack)) ] && [ "$2" -le $(($4 + slack)) ]; then
		ok "$1"
	else
		not_ok "$1" "$2 ns, want $3 to $4 within 5 % + 50 ms"
	fi 2>/dev/null
}

# The job's figure is asked for between two readings of the scope's: it must lie
# between them. Differences over some work are compared, since the job's books
# open at whatever the scope had used by then.
cpu_agrees() {
	local low0 low1 high0 high1 job0 job1 web0 web1
	low0=$(cpu_of "$scope")
	job0=$(job "$seq" .cpu_ns)
	web0=$(metric 'jobd_user_cpu_seconds_total.*"alice"')
	high0=$(cpu_of "$scope")
	# One long process and many short ones: those that die within a tick are what tick accounting misses.
	in_login main "$lib/escape burn 1500; for i in {1..50}; do /bin/true; done"
	low1=$(cpu_of "$scope")
	job1=$(job "$seq" .cpu_ns)
	web1=$(metric 'jobd_user_cpu_seconds_total.*"alice"')
	high1=$(cpu_of "$scope")
	note "before: scope $low0 to $high0 ns, job $job0, scraped $web0; after: scope $low1 to $high1, job $job1, scraped $web1"
	note "cpu of the scope $((low1 - low0)) ns, of the job $((job1 - job0)), scraped $((web1 - web0)); source $(job "$seq" .cpu_source)"
	near "before the work the job has no more than its scope" "$job0" 0 "$high0"
	near "the job's cpu_ns is the scope's" "$((job1 - job0))" "$((low1 - high0))" "$((high1 - low0))"
	near "the scraped CPU is the scope's" "$((web1 - web0))" "$((low1 - high0))" "$((high1 - low0))"
	matches 'the scrape counts the job' "$(metric 'jobd_jobs')" '^[1-9]'
}

left_behind() {
	local file=/home/alice/$1
	until_ok 30 test -s "$file" || return 1
	cat "$file"
}

# A user's own tricks: none of them leads out.
escapes_stay_in() {
	local pid
	in_login main "$lib/escape clone-parent ~/clone-parent.pid"
	pid=$(left_behind clone-parent.pid)
	equals 'a CLONE_PARENT child of a daemon has init for a parent' "$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")" 1
	equals 'a CLONE_PARENT child is a member' "$(ask .seq id "$pid")" "$seq"
	equals 'its owner sees that, too' "$(in_login main "jobctl id $pid --json" | jq -r .seq)" "$seq"
	in_login main "kill $pid"
	until_ok 30 gone "$pid"
	daemon=
	in_login main "$lib/escape daemon ~/daemon.pid 1000"
	daemon=$(left_behind daemon.pid)
	equals 'a daemonised process is a member' "$(ask .seq id "$daemon")" "$seq"
}

logout_leaves_the_daemon() {
	local jid=${fact[jid]-}
	close_login main
	until_ok 60 job_is "$seq" .state lingering
	until_ok 30 members_are "$seq" "$daemon"
	equals 'just the daemonised process is left in it' "$(members "$seq")" "$daemon"
	learn "$seq"
	equals 'after the logout the job lingers' "${fact[state]-}" lingering
	equals 'processes says so, too' "${fact[processes]-}" 1
	equals 'the jid is the same' "${fact[jid]-}" "$jid"
	equals 'its cgroup is the scope still' "$(scope_of "$daemon")" "$scope"
	matches "the daemon's second is in cpu_ns" "${fact[cpu_ns]-}" '^[1-9][0-9]{9,}$'
}

all_named() { [ "$(arches)" = "$1" ]; }
arches() { ask "[.[] | select(.seq == $seq and .comm == \"arch\"${1:-})] | length" procs; }

# Systemd holds the sockets: what happens while dpkg puts a new version in the place of this one is counted to the process.
package_is_upgraded() {
	local ran jid=${fact[jid]-}
	in_login main 'mkfifo ~/pause; (n=0; until [ -e /run/upgraded ]; do arch; n=$((n + 1)); read -t 0.1 <>~/pause; done; echo $n >~/arches) >/dev/null 2>&1 &'
	packages 'dpkg upgrades jobd while processes come and go in a job' -i "$lib"/jobd_2-*.deb
	touch /run/upgraded
	ran=$(left_behind arches)
	equals 'the new version is there' "$(dpkg-query -W -f '${Version}' jobd)" 2-1
	until_ok 30 all_named "$ran"
	equals "the $ran processes that ran meanwhile are all on the books" "$(arches)" "$ran"
	# This kernel does not tell the end of one in some hundred (docs/operations.md).
	matches 'as the kernel told it, but for a few' "$((ran / 50 + 3 - $(arches ' and .estimated')))" '^[0-9]+$'
	equals 'jobd went on where it had stopped, once' "$(journalctl -b --no-pager -q -u jobd | grep -c 'went on where the jobd before stopped')" 1
	learn "$seq"
	equals 'the job has its jid' "${fact[jid]-}" "$jid"
	equals 'no event was lost by it' "$(ask .events_lost status)" 0
	equals 'the login goes on' "$(in_login main 'echo $JOB_JID')" "$jid"
}

# Systemd starts jobd again; the journal of open jobs has to be enough.
jobd_killed() {
	local before
	before=$(systemctl show -p MainPID --value jobd)
	kill -KILL "$before"
	until_ok 60 answers_anew "$before"
	equals 'after a SIGKILL of jobd the job is there' "$(job "$seq" .state)" lingering
	equals 'with its process' "$(members "$seq")" "$daemon"
}

answers_anew() { [ "$(systemctl show -p MainPID --value jobd)" != "$1" ] && jobctl status; }

the_job_ends() {
	local waiter got
	equals 'jobctl wait --timeout of a living job: 1' "$(code jobctl wait --timeout 1s "$seq")" 1
	timeout 60 jobctl wait "$seq" >"$run/wait.out" 2>&1 &
	waiter=$!
	got=$(code jobctl kill "$seq")
	equals 'jobctl kill: 0' "$got" 0
	note "jobctl kill said: $(cat "$run/code.out")"
	wait "$waiter"
	equals 'jobctl wait returns when the job has ended: 0' $? 0
	equals 'the daemonised process is gone' "$(gone "$daemon" && echo gone)" gone
	equals 'the job is not in the list any more' "$(ask "[.[] | select(.seq == $seq)] | length" list)" 0
	learn "$seq" history
	equals 'history has it, ended' "${fact[state]-}" ended
	matches 'with cpu_ns' "${fact[cpu_ns]-}" '^[1-9][0-9]{9,}$'
	matches 'with ended' "${fact[ended]-}" '^[0-9]{4}-.*T'
	matches 'with end_reason' "${fact[end_reason]-null}" '^[a-mo-z]'
	equals 'with no process left' "${fact[processes]-}" 0
	matches 'with exit_status' "${fact[exit_status]-null}" '^[^n]'
	note "history: $(declare -p fact | tr -d '\n' | cut -c1-1200)"
	matches 'procs has the daemonised process' "$(ask ".[] | select(.seq == $seq and .pid == $daemon) | .cpu_ns" procs)" '^[0-9]+$'
	until_ok 30 not test -e "/sys/fs/cgroup$scope"
	equals "the session's scope has gone with it" "$(ls -d "/sys/fs/cgroup$scope" 2>/dev/null)" ''
}

su_is_a_mark() {
	local outer inner
	open_login admin root
	outer=$(in_login admin 'jobctl id --json' | jq -r .seq)
	inner=$(in_login admin "su alice -c 'jobctl id --json'" | jq -r .seq)
	matches "root's login is a job" "$outer" '^[0-9]+$'
	equals 'su inside it stays in it' "$inner" "$outer"
	equals 'and is a mark' "$(job "$outer" '.marks | map(.service + " " + .user) | join(",")')" 'su alice'
	equals "the job's user is still root" "$(job "$outer" .user)" root
	matches "alice may not end root's job from in there" "$(in_login admin "su alice -c 'jobctl kill $outer >/dev/null 2>&1; echo \$?'")" '^[13]$'
	equals 'and it is open' "$(job "$outer" .state)" open
	systemd_run_is_seen "$outer"
	close_login admin
	until_ok 30 ended "$outer"
	equals 'with the last process the job ends by itself' "$(ask ".[] | select(.seq == $outer) | .state" history)" ended
}

ended() { [ "$(ask ".[] | select(.seq == $1) | .state" history)" = ended ]; }

# What systemd starts for somebody descends from no login: it is not hidden. What it only moves stays in the job.
systemd_run_is_seen() { # in the login that is open
	local login=$1 pid
	in_login admin 'systemd-run -q --uid=alice --unit=away sleep 900'
	pid=$(systemctl show -p MainPID --value away)
	equals 'what systemd-run starts is in no job' "$(ask .jid id "$pid")" null
	contains 'ps --unjobbed lists it' "$(ask '.[].pid' ps --unjobbed)" "$pid"
	systemctl stop away
	in_login admin 'systemd-run -q --scope --unit=stays sleep 900 >/dev/null 2>&1 &'
	until_ok 30 in_scope stays
	pid=$(cat /sys/fs/cgroup/system.slice/stays.scope/cgroup.procs)
	equals 'in a scope of its own it stays in the job' "$(ask .seq id "$pid")" "$login"
	systemctl stop stays.scope
}

in_scope() { [ -s "/sys/fs/cgroup/system.slice/$1.scope/cgroup.procs" ]; }

# The kernel has forks fail in a full job, to the process, whether jobd runs or not; elsewhere nothing changes.
limit_refuses() {
	local limited full='5 Resource temporarily unavailable' now
	equals 'the kernel refuses forks beyond a limit' "$(ask .refusal status)" lsm
	open_login full alice
	limited=$(in_login full 'jobctl id --json' | jq -r .seq)
	now=$(members "$limited" | wc -w)
	equals 'root limits a job' "$(code jobctl limit "$limited" $((now + 6)))" 0
	equals 'a fork in a full job fails' "$(in_login full "$lib/escape forks 20")" "$full"
	equals 'and as many may fork again' "$(in_login full "$lib/escape forks 20")" "$full"
	equals 'others fork on' "$("$lib/escape" forks 20)" '20 ok'
	matches 'the job is as large as it may be, no larger' "$(job "$limited" .peak_processes)" "^$((now + 6))\$"
	matches 'refusals are counted' "$(ask .events.refuse status)" '^[1-9]'
	equals 'its owner may not lift it' "$(in_login full "jobctl limit $limited none >/dev/null 2>&1; echo \$?")" 1
	systemctl stop jobd
	equals 'it holds while jobd is stopped' "$(in_login full "$lib/escape forks 20")" "$full"
	systemctl start jobd
	equals 'and when it is back' "$(in_login full "$lib/escape forks 20")" "$full"
	equals 'nobody is put into a full job' "$(jobctl limit "$limited" "$now" >/dev/null; code jobctl attach $$ "$limited")" 1
	equals 'without a limit it forks on' "$(jobctl limit "$limited" none >/dev/null; in_login full "$lib/escape forks 20")" '20 ok'
	close_login full
	until_ok 60 ended "$limited"
}

# Twenty at once, held by a pipe that nobody writes to.
twenty_logins() {
	local i hold seqs pids=()
	mkfifo -m 666 "$run/hold"
	chmod 755 "$run"
	exec {hold}<>"$run/hold"
	for i in {1..20}; do
		ssh -n "alice@$host" "jobctl id --json; read x <$run/hold" >"$run/login.$i" 2>&1 {hold}>&- &
		pids+=($!)
	done
	until_ok 120 all_answered
	seqs=$(cat "$run"/login.* | jq -r .seq 2>/dev/null | sort -n | uniq)
	equals '20 logins at once are 20 jobs' "$(grep -c '^[0-9]' <<<"$seqs")" 20
	[ "$(grep -c '^[0-9]' <<<"$seqs")" = 20 ] || note "they said: $(sort "$run"/login.* | uniq -c | head -n 5 | tr '\n' ' ')"
	equals 'and the list has them' "$(ask '[.[] | select(.user == "alice" and .state == "open")] | length' list)" 20
	exec {hold}>&-
	for i in "${pids[@]}"; do wait "$i"; done
	until_ok 60 no_jobs_of_alice
	equals 'and after the logouts none' "$(ask '[.[] | select(.user == "alice")] | length' list)" 0
}

all_answered() { local i; for i in {1..20}; do [ -s "$run/login.$i" ] || return 1; done; }
no_jobs_of_alice() { [ "$(ask '[.[] | select(.user == "alice")] | length' list)" = 0 ]; }

the_books_balance() {
	equals 'the balance holds' "$(ask '.balance | .attached + .inherited + .adopted == .departed + .live' status)" true
	equals 'no event was lost' "$(ask .events_lost status)" 0
	equals 'jobd_balance_error is 0' "$(metric 'jobd_balance_error')" 0
	note "status: $(ask tojson status)"
}

exit_codes() {
	equals 'no such job: 3' "$(code jobctl show 1)" 3
	equals 'no such verb: 2' "$(code jobctl no-such-verb)" 2
	equals 'what only root may, from alice: 1' "$(timeout 60 ssh -n "alice@$host" 'jobctl attach $$ 1 >/dev/null 2>&1; echo $?')" 1
}

jobd_is_down() {
	local took=$SECONDS
	systemctl stop jobd
	equals 'jobd stopped, jobctl list: 4' "$(code jobctl list)" 4
	equals 'jobd stopped, the labels are kept' "$(jobctl engine status --json | jq -r .labels)" /sys/fs/bpf/jobd
	equals 'until they are unloaded' "$(code jobctl engine unload)$(ls -A /sys/fs/bpf/jobd 2>/dev/null)" 0
	equals 'a login while jobd is down passes (fail=open)' "$(timeout 60 ssh -n "alice@$host" 'echo in')" in
	note "that login took $((SECONDS - took)) s or less"
	until_ok 10 pam_job_logged
	equals 'and is logged' "$(pam_job_logged && echo logged)" logged
	systemctl start jobd
	equals 'jobd is back' "$(code jobctl list)" 0
}

# A start that hangs keeps nobody out: sshd waits for it no longer than TimeoutStartSec, which is shorter here only to save time.
sshd_starts_beside_a_jobd_that_hangs() {
	local unit=/etc/systemd/system/jobd.service.d/tests-hang.conf
	equals 'a start of jobd may take 10 s' "$(grep '^TimeoutStartSec=' /usr/lib/systemd/system/jobd.service)" TimeoutStartSec=10s
	systemctl stop jobd ssh
	mkdir -p "${unit%/*}"
	printf '[Service]\nExecStart=\nExecStart=/bin/sleep infinity\nTimeoutStartSec=3s\nRestart=no\n' >"$unit"
	systemctl daemon-reload
	systemctl start --no-block jobd ssh
	until_ok 30 eval 'systemctl list-jobs | grep -q "ssh.service .*waiting"'
	equals 'sshd is started behind jobd' "$(systemctl list-jobs | awk '/(jobd|ssh).service/ { print $2, $4 }' | sort | paste -sd' ')" 'jobd.service running ssh.service waiting'
	until_ok 60 systemctl -q is-active ssh
	equals 'and beside one that hangs' "$(systemctl is-active ssh)" active
	equals 'it was ended' "$(systemctl show -p Result --value jobd)" timeout
	equals 'a login passes' "$(timeout 60 ssh -n "alice@$host" 'echo in')" in
	rm "$unit"
	systemctl daemon-reload
	systemctl start jobd
	equals 'jobd is well again' "$(code jobctl list)" 0
}

# A jobd whose loop does not go round is started again; that it does is told twice a minute.
jobd_is_watched() {
	matches 'systemd watches jobd' "$(systemctl show -p WatchdogUSec jobd)" '=1min$'
	matches 'and has heard of it' "$(systemctl show -p WatchdogTimestampMonotonic --value jobd)" '^[1-9]'
}

# reload_is STATE: doctor's finding about whether the file is what holds.
reload_is() { [ "$(jobctl doctor --no-canary --json | jq -r '.findings[] | select(.name == "jobd.reload") | .state')" = "$1" ]; }

# What is put in the file's place holds when jobd has been told, and not before; doctor knows, whatever time the file brings with it.
configuration_is_read_again() {
	local file=/etc/jobd/jobd.toml
	cp -p "$file" "$run/jobd.toml"
	printf '[log]\nburst = 21\n' >"$run/other.toml"
	touch -d 2020-01-01 "$run/other.toml"
	cp -p "$run/other.toml" "$file"
	equals 'doctor says that a file was not read' "$(reload_is warn; echo $?)" 0
	equals 'systemctl reload passes' "$(code systemctl reload jobd)" 0
	equals 'and jobd has read it' "$(until_ok 30 reload_is ok; echo $?)" 0
	cp -p "$run/jobd.toml" "$file"
	systemctl reload jobd
	until_ok 30 reload_is ok
}

books_are_compacted() {
	systemctl stop jobd
	equals 'jobd db compact, with jobd stopped' "$(code jobd db compact)" 0
	systemctl start jobd
	equals 'and jobd goes on' "$(code jobctl list)" 0
}

profile_is_disabled() {
	equals 'pam-auth-update disables it' "$(code pam-auth-update --disable jobd)" 0
	equals 'and no PAM stack has the module any more' "$(/usr/lib/jobd/pam-lines)" ''
	equals 'a login is no job' "$(timeout 60 ssh -n "alice@$host" 'echo "${JOB_JID-none}"')" none
	equals 'and enables it again' "$(code pam-auth-update --enable jobd)" 0
}

doctor_is_green() {
	timeout 60 jobctl doctor --json >"$run/doctor.out" && jq -e 'all(.findings[]; .state == "ok")' "$run/doctor.out"
}

doctor_is_content() {
	equals 'doctor finds nothing wrong' "$(code jobctl doctor --json)" 0
	# This machine is emulated, and doctor gives up looking after three seconds: then it is asked again.
	equals 'doctor is all green' "$(until_ok 20 doctor_is_green || jq -c '[.findings[] | select(.state != "ok")]' "$run/doctor.out")" ''
	note "doctor: $(jq -c '[.counts, .took_ns]' "$run/code.out")"
}

package_is_removed() {
	local got
	open_login last alice
	packages 'dpkg removes jobd' -r jobd
	equals 'and its PAM lines' "$(grep -l pam_job /etc/pam.d/*)" ''
	matches 'jobd has ended' "$(systemctl is-active jobd)" '^(inactive|unknown)$'
	equals 'nothing of it is in the kernel' "$(ls -A /sys/fs/bpf/jobd 2>/dev/null)" ''
	equals 'who was in is in' "$(in_login last 'echo in')" in
	close_login last
	got=$(timeout 60 ssh -n "alice@$host" 'loginctl show-session $XDG_SESSION_ID -p Service -p State')
	contains 'logins work, and logind knows them' "$got" Service=sshd
	matches 'the books stay' "$(ls /var/lib/jobd)" '(^|[[:space:]])jobd.db($|[[:space:]])'
}

pam_job_logged() { journalctl -b --no-pager -q _COMM=sshd | grep -q pam_job; }

# The time is that since the kernel started.
section() { note "$(cut -d. -f1 /proc/uptime) s: ${1//_/ }"; "$1"; }

main() {
	local name
	[ -e "$lib/host-only" ] || section host_is_made_ready
	[ -e "$lib/host-only" ] || section package_is_installed
	section host_is_a_host
	if [ -e "$lib/host-only" ]; then
		close_login main
		return
	fi
	section jobd_is_ready || return
	for name in login_is_a_job cpu_agrees escapes_stay_in package_is_upgraded logout_leaves_the_daemon jobd_killed \
		the_job_ends su_is_a_mark limit_refuses twenty_logins exit_codes jobd_is_watched configuration_is_read_again \
		doctor_is_content the_books_balance jobd_is_down \
		sshd_starts_beside_a_jobd_that_hangs books_are_compacted profile_is_disabled package_is_removed; do
		section "$name"
	done
}

trap 'not_ok "the checks ran to their end" "$BASH_COMMAND"; finish' TERM
trap finish EXIT
main
