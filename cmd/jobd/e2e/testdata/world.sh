#!/bin/sh
# world.sh DIR: turns the mount namespace that it runs in into a host of its own, as far as accounts, PAM, pid files, logs
# and the system log go, and holds it until stdin ends. DIR/etc has what is put over /etc.
set -eu
w=$1

for f in passwd shadow group; do
	mount --bind "$w/etc/$f" "/etc/$f"
done
mount --bind "$w/etc/pam.d" /etc/pam.d
if [ -d /var/spool/cron/crontabs ]; then
	mount --bind "$w/crontabs" /var/spool/cron/crontabs
fi
for f in /etc/crontab /etc/environment; do
	[ ! -e $f ] || mount --bind "$w/etc/empty" $f
done
for d in /etc/cron.d; do
	[ ! -d $d ] || mount --bind "$w/etc/none" $d
done

mount -t tmpfs -o mode=755 world /run
mkdir -p /run/sshd /run/lock
mount -t tmpfs -o mode=755 world /var/log

# /dev with a log socket of its own: syslog(3) goes to DIR/log.
dev=$w/dev
mount -t tmpfs -o mode=755 world "$dev"
for n in null zero full random urandom tty ptmx fuse; do
	[ -e "/dev/$n" ] || continue
	: >"$dev/$n"
	mount --bind "/dev/$n" "$dev/$n"
done
mkdir "$dev/pts" "$dev/shm"
mount --rbind /dev/pts "$dev/pts"
ln -s /proc/self/fd "$dev/fd"
ln -s "$w/log" "$dev/log"
mount --rbind "$dev" /dev

echo ready
exec cat >/dev/null
