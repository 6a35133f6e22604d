#!/bin/sh
# root.sh DIR: runs the script on stdin as root of a copy of this host: what it writes goes to DIR/up. It has no /sys, its /dev and /run are
# empty but for what is made here, and systemctl and the like only write down what they were asked to do, in /calls. Runs in a mount
# namespace of its own (unshare --mount).
set -eu
dir=$1
mkdir -p "$dir/up" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/up,workdir=$dir/work" "$dir/root"
root=$dir/root
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
for name in null zero urandom; do
	: >"$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir -p "$root/run/systemd/system"
for name in /usr/bin/systemctl /usr/bin/deb-systemd-invoke; do
	rm -f "$root$name"
	# shellcheck disable=SC2016 # for the stub
	printf '#!/bin/sh\necho "${0##*/} $*" >>/calls\n' >"$root$name"
	chmod 755 "$root$name"
done
exec chroot "$root" /bin/sh
