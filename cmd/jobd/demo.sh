#!/bin/sh
# The main job, from nothing: a login becomes a job, a daemon stays in it, its figures are kept. Everything happens in a
# directory of its own; the host's configuration is not touched, and nothing is left running.
set -eu
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
	exec sudo "$0" "$@"
fi

dir=$(mktemp -d /tmp/jobd-demo.XXXXXX)
chmod 755 "$dir"
export JOBD_RUN_DIR="$dir/run"
jobctl=$PWD/bin/jobctl
jobd=

finish() {
	code=$?
	trap - EXIT INT TERM
	if [ -n "$jobd" ] && kill -0 "$jobd" 2>/dev/null; then
		for seq in $("$jobctl" list --json 2>/dev/null | sed -n 's/.*"seq": *\([0-9]*\).*/\1/p'); do
			"$jobctl" kill --now "$seq" >/dev/null 2>&1 || true
		done
		kill "$jobd" 2>/dev/null || true
		wait "$jobd" 2>/dev/null || true
	fi
	[ $code = 0 ] || cat "$dir/jobd.log" >&2
	rm -rf "$dir"
	exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n# %s\n' "$*"; }
show() { # show COMMAND...: the command as one would type it, and what it prints
	printf '$ %s\n' "$(echo "$*" | sed "s|$jobctl|jobctl|g; s|$dir|DIR|g")"
	"$@"
}
await() { # await SECONDS COMMAND...: until the command succeeds
	tries=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { echo "gave up waiting for: $*" >&2; return 1; }
		sleep 0.05
	done
}

fetch() { # fetch URL: with whatever can
	if command -v curl >/dev/null; then
		curl -s "$1"
	elif command -v wget >/dev/null; then
		wget -qO- "$1"
	else
		echo "(neither curl nor wget is here to show it)"
	fi
}

say "jobd, in the foreground as always, with directories of its own"
printf '$ jobd --run-dir DIR/run --state-dir DIR/state --metrics-listen 127.0.0.1:0 &\n'
bin/jobd --run-dir "$dir/run" --state-dir "$dir/state" --metrics-listen 127.0.0.1:0 2>"$dir/jobd.log" &
jobd=$!
await 10 "$jobctl" status
show "$jobctl" status

say "a PAM stack that no program of the host uses: pam_job.so is what makes a session a job"
mkdir "$dir/pam"
cat >"$dir/pam/demo" <<EOF
auth    required pam_permit.so
account required pam_permit.so
session required $PWD/bin/pam_job.so socket=$dir/run/login.sock
EOF
show cat "$dir/pam/demo"

# What the session runs: a few short processes, and a daemon that burns CPU and has left its session, its parent and
# its terminal behind.
cat >"$dir/session" <<'EOF'
#!/bin/sh
echo "    this login is job $JOB_JID"
for n in 1 2 3; do /bin/true; done
(setsid sh -c 'trap "" HUP; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; exec sleep 600' >/dev/null 2>&1 </dev/null &)
echo "    started a daemon, logging out"
EOF
chmod 755 "$dir/session"

say "a session for the user nobody: it starts a daemon (setsid, double fork) and logs out"
show "$jobctl" run --service demo --pam-dir "$dir/pam" --user nobody -- "$dir/session"

lingering() { "$jobctl" list --json | grep -q '"state": *"lingering"'; }
await 10 lingering
seq=$("$jobctl" list --json | sed -n 's/.*"seq": *\([0-9]*\).*/\1/p' | head -n 1)

say "nobody is logged in any more, and the job is still there: what is left of it lingers"
show "$jobctl"
show "$jobctl" tree "$seq"

asleep() { "$jobctl" ps "$seq" --json | grep -q '"comm": *"sleep"'; }
say "it has used CPU: exactly what the scheduler charged to its cgroup, whoever of it used it"
await 20 asleep
show "$jobctl" show "$seq"

say "Prometheus would read"
port=$(sed -n 's/.* metrics=\([0-9.:]*\).*/\1/p' "$dir/jobd.log")
printf '$ curl -s http://%s/metrics | grep -E ^jobd_\n' "$port"
fetch "http://$port/metrics" | grep -E '^jobd_(jobs|user_cpu|events_total|events_lost|balance)' || true

say "kill ends the job, whatever is in it"
show "$jobctl" kill "$seq"

say "its books are closed: the job, and a record for each of its processes, down to the shortest"
show "$jobctl" history
show "$jobctl" procs "$seq"

say "what was used, by command"
show "$jobctl" report --by command

say "the table agrees with the kernel: attached + inherited + adopted = departed + live"
show "$jobctl" selfcheck

say "done; nothing is left running, nothing was changed"
