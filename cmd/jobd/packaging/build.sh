#!/bin/bash
# make packages: a .deb and a .rpm for each of ARCHES, in DIST. Two builds of one commit give the same bytes: times are the commit's, owners
# root, paths nobody's. README.md beside this file says what is in them. For tests: FORMATS (deb rpm), PACKAGE_VERSION, and PROGRAMS, where the
# programs of this machine's architecture have been built already.
set -eu -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../../.." && pwd)
mkdir -p "${DIST:=$top/dist}"
DIST=$(cd "$DIST" && pwd)
work=$(mktemp -d "$DIST/build.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
cd "$top"
export LC_ALL=C TZ=UTC0
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
native=$(go env GOHOSTARCH)

# version: that of the tag, with what came after it; without any tag one that is older than every other.
version() {
	local tag
	if [ -n "${PACKAGE_VERSION:-}" ]; then
		echo "$PACKAGE_VERSION"
		return
	fi
	if tag=$(git describe --tags --match 'v[0-9]*' --abbrev=12 2>/dev/null); then
		tag=$(sed -E 's/^v//; s/-([0-9]+)-g/+\1.g/; s/-/~/g' <<<"$tag")
	else
		tag=0~git$(date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S).$(git rev-parse --short=12 HEAD)
	fi
	git diff --quiet HEAD || tag+=+dirty
	echo "$tag"
}

triplet() { case $1 in amd64) echo x86_64-linux-gnu ;; arm64) echo aarch64-linux-gnu ;; *) echo "no packages for $1" >&2; exit 1 ;; esac; }

# pam_of TRIPLET DIR: as much of another architecture's libpam as a linker looks at, its names and their versions, which are the same on all;
# so nothing of that architecture has to be fetched or installed. The headers are everybody's.
pam_of() {
	mkdir -p "$2/include"
	cp -r /usr/include/security "$2/include/"
	readelf --dyn-syms --wide "$(ldconfig -p | awk '$1 == "libpam.so.0" { print $NF; exit }')" |
		awk '$7 != "UND" && $8 ~ /@@/ { sub(/@@/, " ", $8); print $8 }' | sort >"$2/names"
	awk '$1 != $2 { print "void " $1 "(void) {}" }' "$2/names" >"$2/pam.c"
	awk '$1 != $2 { of[$2] = of[$2] " " $1 ";" } END { for (v in of) print v " { global:" of[v] " };" }' "$2/names" | sort >"$2/pam.map"
	"$1-gcc" -shared -fPIC -nostdlib -Wl,-soname,libpam.so.0 -Wl,--version-script="$2/pam.map" -o "$2/libpam.so" "$2/pam.c"
}

# build ARCH: its programs, in $work/ARCH/bin.
build() {
	local dir=$work/$1
	mkdir -p "$dir/bin"
	licences "$1" >"$dir/bin/third-party.txt"
	if [ "$1" = "$native" ] && [ -n "${PROGRAMS:-}" ]; then
		cp -a "$PROGRAMS"/{jobd,jobctl,jcompat,pam_job.so,libjob.so.2} "$dir/bin/"
		return
	fi
	if [ "$1" != "$native" ]; then
		pam_of "$(triplet "$1")" "$dir/pam"
		CC="$(triplet "$1")-gcc -I$dir/pam/include -L$dir/pam"
		export CC
	fi
	GOARCH=$1 make --no-print-directory -s build BIN="$dir/bin"
}

# licences ARCH: of the modules whose code is in the programs, which is what they ask for.
licences() {
	local path dir file
	GOARCH=$1 go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/jobd ./cmd/jobctl ./cmd/jcompat |
		sort -u | while read -r path dir; do
		for file in "$dir"/LICEN[CS]E* "$dir"/NOTICE* "$dir"/COPYING*; do
			[ ! -f "$file" ] || { printf '=== %s: %s\n\n' "$path" "$(basename "$file")"; cat "$file"; echo; }
		done
	done
	printf '=== Go: LICENSE\n\n' && cat "$(go env GOROOT)/LICENSE"
}

# stage ARCH FORMAT: the tree of the package, where that family of systems has things.
stage() {
	local to=$work/$1/$2 lib pam zsh init=/etc/init.d rotate=/etc/logrotate.d configs=/usr/share/pam-configs policy=
	case $2 in
	deb) lib=/usr/lib/$(triplet "$1") pam=$lib/security zsh=/usr/share/zsh/vendor-completions ;;
	rpm) lib=/usr/lib64 pam=$lib/security zsh=/usr/share/zsh/site-functions init='' rotate='' configs='' policy=/usr/share/selinux/packages ;;
	esac
	DESTDIR=$to PREFIX=/usr BIN=$work/$1/bin RUNS=$work/$native/bin LIBDIR=$lib PAMDIR=$pam ZSHDIR=$zsh HELPERDIR=/usr/lib/jobd JSTAT='' \
		UNITDIR=/usr/lib/systemd/system INITDIR=$init LOGROTATEDIR=$rotate PAMCONFIGDIR=$configs SELINUXDIR=$policy "$here/install.sh"
	find "$to" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# contents TREE: what nfpm is to put in: files, links, and of the directories those that are nobody else's.
contents() {
	local path type
	(cd "$1" && find . -mindepth 1 | sort) | while IFS= read -r path; do
		path=${path#.}
		case $path in
		/etc/jobd | */lib/jobd | /usr/share/jobd | /usr/share/jobd/* | */doc/jobd) [ ! -d "$1$path" ] || printf '  - {dst: %s, type: dir, file_info: {mode: 0755}}\n' "$path" ;;
		esac
		[ -L "$1$path" ] || [ -f "$1$path" ] || continue
		if [ -L "$1$path" ]; then
			printf '  - {src: %s, dst: %s, type: symlink}\n' "$(readlink "$1$path")" "$path"
			continue
		fi
		type='file'
		case $path in /etc/*) type='config|noreplace' ;; esac
		printf '  - {src: %s, dst: %s, type: "%s", file_info: {mode: 0%s, owner: root, group: root}}\n' "$1$path" "$path" "$type" "$(stat -c %a "$1$path")"
	done
}

# package ARCH FORMAT
package() {
	local config=$work/$1/$2.yaml
	stage "$1" "$2"
	sed -e "s|@ARCH@|$1|; s|@VERSION@|$version|; s|@HERE@|$here|" "$here/nfpm.yaml" >"$config"
	contents "$work/$1/$2" >>"$config"
	go -C "$here/tools" tool nfpm package --config "$config" --packager "$2" --target "$DIST" >&2
}

version=$(version)
arches=${ARCHES:-amd64 arm64}
build "$native" # its jobctl prints the completions
for arch in $arches; do
	[ "$arch" = "$native" ] || (build "$arch")
	for format in ${FORMATS:-deb rpm}; do package "$arch" "$format"; done
done
