#!/bin/bash
# Power cuts for real: boots a kernel that has nothing but jobd and a disk, kills
# the machine in the middle of commits, gives the disk back what a disk with a
# cache would have kept, and boots again, on the same disk, many times. What a
# boot saw on disk goes to the next ones, which look for it (bare/past.go).
# Exit code 0 only when every check of every boot passed. README.md has the rest.
set -eu -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../../.." && pwd)
cache=${JOBD_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jobd-vm}
bin=${JOBD_VM_BIN:-$top/bin}
cuts=${JOBD_POWER_CUTS:-2}
seed=${JOBD_POWER_SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
limit=${JOBD_VM_TIMEOUT:-300}

# shellcheck source=host.sh
. "$here/host.sh"

work=
qemu_pid=

# Only what we started, by its pid: a child that nobody has waited for.
cleanup() {
	local rc=$?
	trap - EXIT INT TERM HUP
	power_off
	if [ -n "$work" ] && [ -d "$work" ]; then
		if [ -n "${JOBD_VM_KEEP:-}" ]; then say "kept: $work"; else rm -rf -- "$work"; fi
	fi
	exit "$rc"
}

power_off() {
	[ -n "$qemu_pid" ] || return 0
	kill -KILL "$qemu_pid" 2>/dev/null || :
	wait "$qemu_pid" 2>/dev/null || :
	qemu_pid=
}

make_programs() {
	local root=$work/root
	mkdir -p "$root/modules"
	cp "$kernel"/modules/*.ko "$root/modules/"
	cp "$bin/jobd" "$root/jobd"
	printf 'hid = 7\nhost = "bare"\n[keep]\nfree_mib = 8\n' >"$root/jobd.toml"
	gcc -std=c11 -D_GNU_SOURCE -O1 -static -Wall -Wextra -Werror -o "$root/storm" "$here/storm.c"
	(cd "$top" && CGO_ENABLED=0 go build -trimpath -o "$root/init" ./cmd/jobd/vm/bare && go build -o "$work/replay" ./cmd/jobd/vm/replay)
	pack "$root" "$work/programs.cpio"
	: >"$work/past"
	truncate -s 128M "$work/disk"
	mke2fs -q -t ext4 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$work/disk"
}

# boot WHAT: the machine, on a copy of the disk, with a log of all that it writes and flushes.
boot() {
	local disk=driver=blklogwrites,node-name=disk
	cp --sparse=always "$work/disk" "$work/live"
	rm -f "$work/writes"
	: >"$work/writes"
	mkdir -p "$work/told"
	cp "$work/past" "$work/told/past"
	pack "$work/told" "$work/past.cpio"
	cat "$work/programs.cpio" "$work/past.cpio" >"$work/initrd"
	: >"$work/console.log"
	disk+=,file.driver=raw,file.file.driver=file,file.file.filename=$work/live,file.cache.no-flush=on
	disk+=,log.driver=raw,log.file.driver=file,log.file.filename=$work/writes,log.cache.no-flush=on
	qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem,+rdrand -m 384 -smp 2 \
		-nodefaults -no-user-config -display none -monitor none -no-reboot \
		-kernel "$kernel/vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 mitigations=off bare=$1" \
		-blockdev "$disk" -device virtio-blk-pci,drive=disk,discard=off,write-zeroes=off \
		-serial "file:$work/console.log" >"$work/qemu.log" 2>&1 </dev/null &
	qemu_pid=$!
}

# console: what the guest has said, whole lines only.
console() { LC_ALL=C tr -d '\r' <"$work/console.log" | awk 'length(last) || NR > 1 { print last } { last = $0 }'; }

# await PATTERN: until the console has such a line; fails when the machine ends before, or takes too long.
await() {
	local deadline=$((SECONDS + limit))
	until LC_ALL=C grep -a -q "$1" "$work/console.log"; do
		if ! kill -0 "$qemu_pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
			LC_ALL=C grep -a -q "$1" "$work/console.log" && return
			return 1
		fi
		sleep 0.1
	done
}

results() { LC_ALL=C tr -d '\r' <"$work/console.log" | LC_ALL=C sed -n -E '/^(ok|not ok|#|vm:) /p'; }

# passed: the guest's word, as a line of its own, and nothing that failed before or after it.
passed() {
	tr -d '\r' <"$work/console.log" | LC_ALL=C grep -a -q -E '^vm: [1-9][0-9]* passed, 0 failed$' &&
		! LC_ALL=C grep -a -q '^not ok' "$work/console.log"
}

failed() {
	results
	say "failed: $1 (seed $seed)"
	say "--- console, last lines"
	tail -n 40 "$work/console.log" | tr -d '\r' >&2
	tail -n 20 "$work/qemu.log" >&2
	exit 1
}

# cut N: one boot, and its end at some moment within the storms.
cut() {
	local ms=$((300 + RANDOM % 5000)) began=$SECONDS
	boot storm
	await '^= storming' || failed "boot $1 did not come to its storms"
	sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))" # any moment will do
	power_off
	passed || failed "boot $1"
	console | grep -a '^= ' | grep -v storming >>"$work/past" || :
	"$work/replay" "$work/disk" "$work/writes" $((seed * 1000 + $1)) >"$work/replayed" || failed "the replay after boot $1"
	# A copy: the journal is for the guest's own kernel to replay.
	cp --sparse=always "$work/disk" "$work/looked"
	e2fsck -f -p "$work/looked" >"$work/fsck" 2>&1 || [ $? -le 1 ] || { cat "$work/fsck" >&2; failed "the file system after boot $1"; }
	echo "ok - boot $1 and power cut, $ms ms into the storms: $(grep -a -c '^ok' "$work/console.log") checks, $((SECONDS - began)) s; $(cat "$work/replayed")"
	results | sed -n 's/^ok - of /# of /p'
}

last() {
	local began=$SECONDS
	boot last
	await '^vm: .* passed, ' || failed "the last boot did not come to its end"
	results
	passed || failed "the last boot"
	say "last boot: $((SECONDS - began)) s"
}

main() {
	local i
	[ "$(uname -m)" = x86_64 ] || die "the guest is amd64, this host is $(uname -m)"
	[ -x "$bin/jobd" ] || die "bin/jobd is missing: run make build first"
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	install_needs qemu-system-x86_64=qemu-system-x86 cpio=cpio mke2fs=e2fsprogs 'gcc=gcc libc6-dev'
	with_cache make_kernel
	work=$(mktemp -d "${TMPDIR:-/tmp}/jobd-power.XXXXXX")
	make_programs
	say "$cuts power cuts, seed $seed"
	RANDOM=$seed
	for ((i = 1; i <= cuts; i++)); do cut "$i"; done
	last
}

main "$@"
