#!/bin/sh
# install.sh [--uninstall]: puts what make build made where it belongs, below DESTDIR, or takes it away again. make install calls it, and
# make packages, twice: what is in a package is what stands here. All directories can be set by variables of their names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)

# The directory in which this host's PAM looks for its modules.
pam_dir() {
	for dir in /usr/lib/*-linux-gnu/security /lib/*-linux-gnu/security /usr/lib64/security /lib64/security /usr/lib/security /lib/security; do
		[ ! -e "$dir/pam_unix.so" ] || { echo "$dir"; return; }
	done
	echo "cannot find the directory of PAM's modules: set PAMDIR" >&2
	exit 1
}

: "${DESTDIR:=}" "${PREFIX:=/usr/local}" "${BIN:=$top/bin}"
: "${SBINDIR:=$PREFIX/sbin}" "${BINDIR:=$PREFIX/bin}" "${LIBDIR:=$PREFIX/lib}" "${INCLUDEDIR:=$PREFIX/include}"
: "${HELPERDIR:=$PREFIX/lib/jobd}" "${UNITDIR:=$PREFIX/lib/systemd/system}"
: "${DATADIR:=$PREFIX/share}" "${DOCDIR:=$DATADIR/doc/jobd}" "${MANDIR:=$DATADIR/man}"
: "${BASHDIR:=$DATADIR/bash-completion/completions}" "${ZSHDIR:=$DATADIR/zsh/site-functions}" "${FISHDIR:=$DATADIR/fish/vendor_completions.d}"
: "${SYSCONFDIR:=/etc}" "${INITDIR=$SYSCONFDIR/init.d}" "${LOGROTATEDIR=$SYSCONFDIR/logrotate.d}"
: "${PAMCONFIGDIR=/usr/share/pam-configs}" # the only place where pam-auth-update looks. Empty: not installed, like the two before
: "${RUNS:=$BIN}"                          # a jobctl that runs on this machine, for its completions
: "${SELINUXDIR=}"                         # for the policy module, which takes checkmodule
[ -n "${PAMDIR:-}" ] || PAMDIR=$(pam_dir)

# put MODE FILE DIR [NAME]
put() { install -D -m "$1" "$2" "$DESTDIR$3/${4:-$(basename "$2")}"; }

# there MODE FILE DIR [NAME]: the same, for what may not be there.
there() { [ ! -e "$2" ] || put "$@"; }

# made MODE DIR NAME: what comes from stdin.
made() { tmp=$(mktemp) && cat >"$tmp" && put "$1" "$tmp" "$2" "$3" && rm -f "$tmp"; }

# placed FILE: with the paths of this installation.
placed() { sed -e "s|/usr/sbin/jobd|$SBINDIR/jobd|g; s|/usr/bin/jobctl|$BINDIR/jobctl|g; s|/etc/jobd|$SYSCONFDIR/jobd|g" "$1"; }

programs() {
	put 755 "$BIN/jobd" "$SBINDIR"
	put 755 "$BIN/jobctl" "$BINDIR"
	put 644 "$BIN/pam_job.so" "$PAMDIR"
	put 755 "$here/pam-lines" "$HELPERDIR"
	# SGI's job library, and its commands. jstat is not among them here: a JDK has one, and packages make the link where there is none.
	put 644 "$BIN/libjob.so.2" "$LIBDIR"
	ln -sf libjob.so.2 "$DESTDIR$LIBDIR/libjob.so"
	put 644 "$top/libjob/job.h" "$INCLUDEDIR"
	put 755 "$BIN/jcompat" "$BINDIR"
	for name in jkill jwait jattach jdetach jsethid ${JSTAT-jstat}; do ln -sf jcompat "$DESTDIR$BINDIR/$name"; done
}

services() {
	placed "$here/jobd.service" | made 644 "$UNITDIR" jobd.service
	[ -z "$INITDIR" ] || placed "$here/jobd.init" | made 755 "$INITDIR" jobd
	[ -z "$LOGROTATEDIR" ] || put 644 "$here/jobd.logrotate" "$LOGROTATEDIR" jobd
	[ -z "$PAMCONFIGDIR" ] || put 644 "$here/jobd.pam-config" "$PAMCONFIGDIR" jobd
	# An administrator's own is kept.
	[ -e "$DESTDIR$SYSCONFDIR/jobd/jobd.toml" ] || put 644 "$here/jobd.toml" "$SYSCONFDIR/jobd"
}

documents() {
	for page in "$top"/docs/man/*.[1-9] "$top/pam/module/pam_job.8"; do
		name=$(basename "$page")
		[ "$name" != jstat.1 ] || name=jstat.1job # man jstat has it all the same, beside a JDK's
		gzip -9n <"$page" | made 644 "$MANDIR/man${page##*.}" "$name.gz"
	done
	for doc in "$top/README.md" "$top/CHANGELOG.md" "$top"/docs/*.md; do put 644 "$doc" "$DOCDIR"; done
	put 644 "$here/copyright" "$DOCDIR"
	there 644 "$BIN/third-party.txt" "$DOCDIR"
	for file in "$top"/metrics/dashboards/*; do # alert rules, Grafana's dashboard; not their tests
		case $file in *_test.* | *.go) ;; *.*) there 644 "$file" "$DATADIR/jobd" ;; esac
	done
	for file in "$here"/selinux/jobd.*; do put 644 "$file" "$DATADIR/jobd/selinux"; done
}

completions() {
	"$RUNS/jobctl" completion bash | made 644 "$BASHDIR" jobctl
	"$RUNS/jobctl" completion zsh | made 644 "$ZSHDIR" _jobctl
	"$RUNS/jobctl" completion fish | made 644 "$FISHDIR" jobctl.fish
}

selinux() {
	[ -n "$SELINUXDIR" ] || return 0
	tmp=$(mktemp -d)
	checkmodule -M -m -o "$tmp/jobd.mod" "$here/selinux/jobd.te"
	semodule_package -o "$tmp/jobd.pp" -m "$tmp/jobd.mod" -f "$here/selinux/jobd.fc"
	put 644 "$tmp/jobd.pp" "$SELINUXDIR"
	rm -rf "$tmp"
}

install_all() {
	for file in jobd jobctl pam_job.so libjob.so.2 jcompat; do
		[ -e "$BIN/$file" ] || { echo "$BIN/$file is missing: make build first" >&2; exit 1; }
	done
	umask 022
	programs
	services
	documents
	completions
	selinux
}

# Takes away what install_all would put there, but for the configuration. PAM is asked first.
uninstall() {
	from=$DESTDIR
	if ! lines=$("$here/pam-lines" "$from$SYSCONFDIR/pam.d"); then
		echo "nothing is removed: without pam_job.so nobody would get in by these lines. Take them out, or make them optional." >&2
		printf '%s\n' "$lines" | sed -n 's/^locks /  /p' >&2
		exit 1
	fi
	[ -z "$lines" ] || printf 'Take these lines out too; logins go on meanwhile:\n%s\n' "$lines" >&2
	DESTDIR=$(mktemp -d)
	install_all
	(cd "$DESTDIR" && find . ! -type d ! -path "./$SYSCONFDIR/jobd/*" ! -path ".$SYSCONFDIR/jobd/*") | while IFS= read -r file; do
		rm -f "$from/$file"
	done
	for dir in "$HELPERDIR" "$DATADIR/jobd/selinux" "$DATADIR/jobd" "$DOCDIR"; do
		[ ! -d "$from$dir" ] || rmdir --ignore-fail-on-non-empty "$from$dir"
	done
	rm -rf "$DESTDIR"
}

case ${1:-} in
'') install_all ;;
--uninstall) uninstall ;;
*)
	echo "usage: $0 [--uninstall]" >&2
	exit 2
	;;
esac
