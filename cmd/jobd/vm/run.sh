#!/bin/bash
# Boots a whole Debian 12 host in qemu (systemd, logind, sshd, Debian's own
# kernel; no KVM needed), installs what `make build` made into it, and runs
# guest-test.sh there. Exit code 0 only when every check in the guest passed.
# README.md beside this file has the variables and how to look inside.
set -eu -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../../.." && pwd)
cache=${JOBD_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jobd-vm}
bin=${JOBD_VM_BIN:-$top/bin}
limit=${JOBD_VM_TIMEOUT:-480}
host_only=${JOBD_VM_HOST_ONLY:-}
shell=${JOBD_VM_SHELL:-}

suite=bookworm
# What a small server has, plus jq to read JSON in the checks.
packages=systemd-sysv,openssh-server,libpam-systemd,dbus,kmod,udev,jq
# Changing the list makes another tree, so that no cache has to be cleaned by hand.
tree=$cache/tree-$suite-$(printf '%s' "$packages" | cksum | cut -d' ' -f1)

# shellcheck source=host.sh
. "$here/host.sh"

work=
qemu_pid=
tail_pid=

# Everything we started is ended here, by its pid: qemu is a child of ours that
# nobody has waited for yet, so its pid can't have become somebody else's.
cleanup() {
	local rc=$?
	trap - EXIT INT TERM HUP
	# TERM: it is timeout's pid, and timeout passes the signal on to qemu.
	if [ -n "$qemu_pid" ]; then kill "$qemu_pid" 2>/dev/null || :; wait "$qemu_pid" 2>/dev/null || :; fi
	if [ -n "$tail_pid" ]; then kill "$tail_pid" 2>/dev/null || :; wait "$tail_pid" 2>/dev/null || :; fi
	if [ -n "$work" ] && [ -d "$work" ]; then
		if [ -n "${JOBD_VM_KEEP:-}" ]; then say "kept: $work"; else rm -rf -- "$work"; fi
	fi
	exit "$rc"
}

check_built() {
	local f
	[ -z "$host_only" ] || return 0
	for f in jobd jobctl pam_job.so libjob.so.2 jcompat; do
		[ -e "$bin/$f" ] || die "bin/$f is missing: run make build first"
	done
}

# The mirror is the one this host takes its own packages from; apt is asked,
# because sources come in two formats and in any number of files. Cloud images
# name a file with a list of mirrors.
mirror() {
	local uri
	# shellcheck disable=SC2016 # apt expands these
	uri=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$suite" '$1 == suite && $2 == "main" && $3 == "Debian" && $4 !~ /^cdrom:/ { print $4; exit }')
	case $uri in
	mirror+file:*) awk '/^[a-z]/ { print $1; exit }' "${uri#mirror+file:}" ;;
	*) echo "$uri" ;;
	esac
}

# Built beside its place and renamed into it: an interrupted build leaves
# nothing that the next run could take for a whole tree.
make_tree() {
	local from tmp
	[ ! -d "$tree" ] || return 0
	from=${JOBD_VM_MIRROR:-$(mirror)}
	[ -n "$from" ] || die "no apt source for Debian $suite on this host: set JOBD_VM_MIRROR to a mirror's address"
	say "making the Debian tree (once): debootstrap $suite"
	tmp=$(mktemp -d "$cache/tmp.XXXXXX")
	chmod 755 "$tmp"
	# In a mount namespace of its own: however it ends, no /proc stays mounted in there.
	unshare --mount debootstrap --variant=minbase --include="$packages" "$suite" "$tmp/root" "$from" >"$tmp/log" 2>&1 ||
		{ tail -n 20 "$tmp/log" >&2; die "debootstrap failed"; }
	# What is only there to be read, or to install more: half of the image.
	rm -rf "$tmp"/root/var/cache/apt/* "$tmp"/root/var/lib/apt/lists/* \
		"$tmp"/root/usr/share/{doc,man,info,locale}/*
	mv -T "$tmp/root" "$tree"
	rm -rf -- "$tmp"
}

# The tree never changes, so it is packed once. The run's own files go into a
# second archive: the kernel unpacks archives one after the other, a later
# file over an earlier one.
make_base() {
	[ ! -e "$tree.cpio" ] || return 0
	say "packing the tree (once)"
	pack "$tree" "$cache/tmp.cpio.$$"
	mv "$cache/tmp.cpio.$$" "$tree.cpio"
}

# into FILE MODE <text: a file of the guest.
into() {
	mkdir -p "$guest$(dirname "$1")"
	cat >"$guest$1"
	chmod "$2" "$guest$1"
}

# The host as an administrator would have set it up, but for jobd.
guest_host() {
	local f
	ln -s usr/lib/systemd/systemd "$guest/init"
	echo jobvm | into /etc/hostname 644
	printf '127.0.0.1 localhost\n127.0.1.1 jobvm\n' | into /etc/hosts 644
	for f in passwd group shadow; do mkdir -p "$guest/etc"; cp -p "$tree/etc/$f" "$guest/etc/$f"; done
	echo 'alice:x:1000:1000:Alice:/home/alice:/bin/bash' >>"$guest/etc/passwd"
	echo 'alice:x:1000:' >>"$guest/etc/group"
	echo 'alice:*:19000:0:99999:7:::' >>"$guest/etc/shadow"
	# A getty on the console hangs up the line (vhangup) that the results go to.
	mkdir -p "$guest/etc/systemd/system"
	ln -s /dev/null "$guest/etc/systemd/system/serial-getty@ttyS0.service"
	ln -s /dev/null "$guest/etc/systemd/system/getty@tty1.service"
	# 20 logins at once: by default sshd drops some of them at random from the tenth on.
	echo 'MaxStartups 100' | into /etc/ssh/sshd_config.d/vm.conf 644
}

guest_keys() {
	local home
	for home in root home/alice; do
		mkdir -p "$guest/$home/.ssh"
		chmod 700 "$guest/$home" "$guest/$home/.ssh"
	done
	ssh-keygen -q -t ed25519 -N '' -C vm -f "$guest/root/.ssh/id_ed25519"
	cp "$guest/root/.ssh/id_ed25519.pub" "$guest/root/.ssh/authorized_keys"
	cp "$guest/root/.ssh/id_ed25519.pub" "$guest/home/alice/.ssh/authorized_keys"
	# The cheap algorithms: the machine is emulated, and it is not ssh that is tested.
	printf '%s\n' 'Host *' ' StrictHostKeyChecking no' ' UserKnownHostsFile /dev/null' ' LogLevel ERROR' \
		' BatchMode yes' ' ConnectTimeout 60' ' KexAlgorithms curve25519-sha256' | into /root/.ssh/config 600
	chown -R 1000:1000 "$guest/home/alice"
}

# Two versions of the package, of what make build made: the guest installs the first and upgrades to the second.
guest_packages() {
	local dir=$guest/usr/local/lib/jobd-vm version
	mkdir -p "$dir"
	for version in 1 2; do
		DIST=$dir ARCHES=amd64 FORMATS=deb PROGRAMS=$bin PACKAGE_VERSION=$version "$here/../packaging/build.sh" >"$work/packages.log" 2>&1 ||
			{ tail -n 20 "$work/packages.log" >&2; die "the package cannot be made"; }
	done
}

guest_test() {
	local dir=$guest/usr/local/lib/jobd-vm unit
	mkdir -p "$dir" "$guest/etc/systemd/system/multi-user.target.wants"
	install -m 755 "$here/guest-test.sh" "$dir/"
	cp -r "$kernel/modules" "$dir/modules"
	gcc -O1 -static -Wall -Wextra -Werror -o "$dir/escape" "$here/escape.c"
	[ -z "$host_only" ] || touch "$dir/host-only"
	[ -z "${JOBD_VM_KEEP:-}" ] || touch "$dir/keep"
	# The checks are ended before the machine is, so that they can still say how far they came.
	sed "s/^TimeoutStartSec=.*/TimeoutStartSec=$((limit > 90 ? limit - 60 : 30))/" "$here/vm-test.service" |
		into /etc/systemd/system/vm-test.service 644
	install -m 644 "$here/vm-shell.service" "$guest/etc/systemd/system/vm-shell.service"
	if [ -n "$shell" ]; then unit=vm-shell.service; else unit=vm-test.service; fi
	ln -s "../$unit" "$guest/etc/systemd/system/multi-user.target.wants/$unit"
}

make_image() {
	guest=$work/guest
	mkdir "$guest"
	guest_host
	guest_keys
	[ -n "$host_only" ] || guest_packages
	guest_test
	truncate -s 4G "$work/disk"
	mke2fs -q -t ext4 -E nodiscard "$work/disk"
	pack "$guest" "$work/own.cpio"
	cat "$tree.cpio" "$work/own.cpio" >"$work/initrd"
}

# A CPU without AVX and a kernel without mitigations: both only cost time when
# every instruction is emulated.
machine() {
	qemu=(qemu-system-x86_64 -accel "tcg,thread=multi" -cpu "Nehalem,+rdrand" -m 3000 -smp 2
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$kernel/vmlinuz" -initrd "$work/initrd"
		-drive "if=virtio,format=raw,file=$work/disk"
		-append "console=ttyS0 quiet systemd.show_status=0 mitigations=off lsm=landlock,lockdown,yama,apparmor,bpf ${JOBD_VM_APPEND:-}")
}

boot() {
	local log=$work/console.log rc=0
	: >"$log"
	# ttyS0 is the console and has the results, ttyS1 gets the journal when a check failed or it is to be kept.
	timeout --kill-after=5 "$limit" "${qemu[@]}" -monitor none -serial "file:$log" -serial "file:$work/journal.log" \
		>"$work/qemu.log" 2>&1 </dev/null &
	qemu_pid=$!
	# The guest's lines as they come; the rest of the console stays in the log.
	tail -n +1 -s 0.2 -f --pid="$qemu_pid" "$log" 2>/dev/null |
		LC_ALL=C sed -u -n -E 's/\r$//; /^(ok|not ok|#|vm:) /p' &
	tail_pid=$!
	wait "$qemu_pid" || rc=$?
	qemu_pid=
	wait "$tail_pid" || :
	tail_pid=
	return "$rc"
}

show_failure() {
	say "--- console, last lines"
	tail -n 60 "$work/console.log" | tr -d '\r' >&2
	if [ -s "$work/qemu.log" ]; then say "--- qemu"; tail -n 20 "$work/qemu.log" >&2; fi
	if [ -s "$work/journal.log" ]; then say "--- journal, last lines"; tail -n 60 "$work/journal.log" | tr -d '\r' >&2; fi
}

main() {
	local rc=0 began=$SECONDS
	[ "$(uname -m)" = x86_64 ] || die "the guest is amd64, this host is $(uname -m)"
	[ "$(id -u)" = 0 ] || die "needs root (debootstrap, file owners): run it as root"
	check_built
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	install_needs qemu-system-x86_64=qemu-system-x86 debootstrap=debootstrap cpio=cpio mke2fs=e2fsprogs ssh-keygen=openssh-client 'gcc=gcc libc6-dev'
	with_cache make_tree make_base make_kernel
	work=$(mktemp -d "${TMPDIR:-/tmp}/jobd-vm.XXXXXX")
	make_image
	say "ready to boot after $((SECONDS - began)) s"
	machine
	if [ -n "$shell" ]; then
		say "a root shell in the guest; exit, or Ctrl-A X, ends it"
		"${qemu[@]}" -serial mon:stdio
		return
	fi
	began=$SECONDS
	boot || rc=$?
	say "boot to power-off: $((SECONDS - began)) s"
	case $rc in 124 | 137) say "no power-off within $limit s: qemu was ended" ;; esac
	# The guest's word, as a line of its own, and nothing less.
	if [ "$rc" = 0 ] && tr -d '\r' <"$work/console.log" | grep -a -q -E '^vm: [1-9][0-9]* passed, 0 failed$'; then
		return 0
	fi
	show_failure
	return 1
}

main "$@"
