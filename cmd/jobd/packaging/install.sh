#!/bin/sh
# install.sh [--uninstall]: puts what make build made where it belongs, below DESTDIR, or takes it away again. make install calls it, and
# make packages, twice: what is in a package is what stands here. All directories can be set by variables of their names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)

# machine FILE: what an ELF file is for, its class and processor (elf(5)).
machine() { od -An -tx1 -j4 -N1 "$1" && od -An -tx1 -j18 -N2 "$1"; }

# The directory in which this host's PAM looks for its modules: the one for whose programs ours was built, of several.
pam_dir() {
	for dir in /usr/lib/*-linux-gnu*/security /lib/*-linux-gnu*/security /usr/lib64/security /lib64/security /usr/lib/security /lib/security; do
		[ -e "$dir/pam_unix.so" ] || continue
		[ "$(machine "$dir/pam_unix.so")" != "$(machine "$BIN/pam_job.so")" ] || { echo "$dir"; return; }
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

# put MODE FILE DIR [NAME]. Whoever opens it meanwhile, such as a login the module, has the old file or the new one.
put() {
	to=$DESTDIR$3/${4:-$(basename "$2")}
	if ! install -D -m "$1" "$2" "$to.new" || ! mv -fT "$to.new" "$to"; then
		rm -f "$to.new"
		exit 1
	fi
}

# there MODE FILE DIR [NAME]: the same, for what may not be there.
there() { [ ! -e "$2" ] || put "$@"; }

# made MODE DIR NAME COMMAND...: what the command prints.
made() {
	mode=$1 dir=$2 name=$3 tmp=$(mktemp)
	shift 3
	"$@" >"$tmp" || { rm -f "$tmp"; exit 1; }
	put "$mode" "$tmp" "$dir" "$name"
	rm -f "$tmp"
}

# link NAME: one of SGI's commands, unless there is another of that name.
link() {
	to=$DESTDIR$BINDIR/$1
	if { [ -e "$to" ] || [ -L "$to" ]; } && [ "$(readlink "$to")" != jcompat ]; then
		echo "$to is another's: left as it is" >&2
		return
	fi
	ln -sf jcompat "$to"
}

# placed FILE: with the paths of this installation. jobd finds its configuration in /etc by itself, if it is there.
placed() {
	config=$SYSCONFDIR/jobd/jobd.toml
	[ "$SYSCONFDIR" != /etc ] || config=
	sed -e "s|/usr/sbin/jobd|$SBINDIR/jobd|g; s|/usr/bin/jobctl|$BINDIR/jobctl|g" \
		-e "s|^ExecStart=.*|&${config:+ --config $config}|; s|JOBD_CONFIG:=|&$config|" "$1"
}

programs() {
	put 755 "$BIN/jobd" "$SBINDIR"
	put 755 "$BIN/jobctl" "$BINDIR"
	put 644 "$BIN/pam_job.so" "$PAMDIR"
	put 755 "$here/pam-lines" "$HELPERDIR"
	# SGI's job library, and its commands. A JDK has a jstat, too: packages make that link when they are installed, and set JSTAT to nothing.
	put 644 "$BIN/libjob.so.2" "$LIBDIR"
	ln -sf libjob.so.2 "$DESTDIR$LIBDIR/libjob.so"
	put 644 "$top/libjob/job.h" "$INCLUDEDIR"
	put 755 "$BIN/jcompat" "$BINDIR"
	for name in jkill jwait jattach jdetach jsethid ${JSTAT-jstat}; do link "$name"; done
}

services() {
	made 644 "$UNITDIR" jobd.service placed "$here/jobd.service"
	[ -z "$INITDIR" ] || made 755 "$INITDIR" jobd placed "$here/jobd.init"
	[ -z "$LOGROTATEDIR" ] || put 644 "$here/jobd.logrotate" "$LOGROTATEDIR" jobd
	[ -z "$PAMCONFIGDIR" ] || put 644 "$here/jobd.pam-config" "$PAMCONFIGDIR" jobd
	# An administrator's own is kept.
	[ -e "$DESTDIR$SYSCONFDIR/jobd/jobd.toml" ] || put 644 "$here/jobd.toml" "$SYSCONFDIR/jobd"
}

documents() {
	for page in "$top"/docs/man/*.[1-9] "$top/pam/module/pam_job.8"; do
		name=$(basename "$page")
		[ "$name" != jstat.1 ] || name=jstat.1job # man jstat has it all the same, beside a JDK's
		made 644 "$MANDIR/man${page##*.}" "$name.gz" gzip -9nc "$page"
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
	made 644 "$BASHDIR" jobctl "$RUNS/jobctl" completion bash
	made 644 "$ZSHDIR" _jobctl "$RUNS/jobctl" completion zsh
	made 644 "$FISHDIR" jobctl.fish "$RUNS/jobctl" completion fish
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
	[ -n "${PAMDIR:-}" ] || PAMDIR=$(pam_dir)
	umask 022
	programs
	services
	documents
	completions
	selinux
}

# lines_gone says which lines name the module, and ends it all where one of them would keep people out. A tree that has no PAM asks nobody.
lines_gone() {
	[ -n "${PAMD:-}" ] || [ -z "$DESTDIR" ] || [ -d "$DESTDIR/etc/pam.d" ] || return 0
	told=0
	lines=$("$here/pam-lines" "${PAMD:-$DESTDIR/etc/pam.d}") || told=$?
	case $told in
	0) [ -z "$lines" ] || printf 'Take these lines out too; logins go on meanwhile:\n%s\n' "$lines" >&2 ;;
	1)
		echo "nothing is removed: without pam_job.so nobody would get in by these lines. Take them out, or make them optional beside others." >&2
		printf '%s\n' "$lines" | sed -n 's/^locks /  /p' >&2
		exit 1
		;;
	*)
		echo "nothing is removed: it cannot be told who would get in without pam_job.so; PAMD is where PAM's services are" >&2
		exit 1
		;;
	esac
}

# Takes away what install_all would put there, but for the configuration, and links that are another's. PAM is asked first.
uninstall() {
	lines_gone
	from=$DESTDIR
	DESTDIR=$(mktemp -d)
	install_all
	(cd "$DESTDIR" && find . ! -type d ! -path "./$SYSCONFDIR/jobd/*" ! -path ".$SYSCONFDIR/jobd/*") | while IFS= read -r file; do
		[ ! -L "$DESTDIR/$file" ] || [ "$(readlink "$from/$file")" = "$(readlink "$DESTDIR/$file")" ] || continue
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
