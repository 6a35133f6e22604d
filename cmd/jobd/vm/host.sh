# What run.sh and power.sh share: messages, packages, the kernel. Sourced; `cache` is set.
# JOBD_VM_KERNEL: the packages of another kernel than the distribution's, files, separated by spaces.
# shellcheck shell=bash disable=SC2154

say() { printf 'vm: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

# install_needs COMMAND=PACKAGES…: the packages of the commands that are missing.
install_needs() {
	local pair
	local -a need=()
	# shellcheck disable=SC2206 # there may be more than one
	for pair; do command -v "${pair%%=*}" >/dev/null || need+=(${pair#*=}); done
	[ ${#need[@]} -gt 0 ] || return 0
	say "installing ${need[*]}"
	apt_get update >&2
	apt_get install -y --no-install-recommends "${need[@]}" >&2
}

pack() { (cd "$1" && find . -xdev -mindepth 1 -print0 | cpio --quiet -0 -o -H newc) >"$2"; }

# The modules that a virtio disk needs, in the order in which they are loaded; ext4 is in the kernel.
disk_modules='virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev virtio/virtio_pci block/virtio_blk'

# Where the kernel is.
kernel=$cache
[ -z "${JOBD_VM_KERNEL:-}" ] || kernel=$cache/kernel-$(printf '%s' "$JOBD_VM_KERNEL" | cksum | cut -d' ' -f1)

make_kernel() {
	local tmp
	[ ! -e "$kernel/vmlinuz" ] || [ ! -d "$kernel/modules" ] || return 0
	mkdir -p "$kernel"
	tmp=$(mktemp -d "$cache/tmp.XXXXXX")
	# shellcheck disable=SC2086 # there may be more than one
	[ -z "${JOBD_VM_KERNEL:-}" ] || cp $JOBD_VM_KERNEL "$tmp/"
	[ -n "${JOBD_VM_KERNEL:-}" ] || fetch_kernel "$tmp"
	unpack_kernel "$tmp"
	rm -rf -- "$tmp"
}

# fetch_kernel DIR: the package of the distribution's.
fetch_kernel() {
	local package
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
	if [ -z "$package" ]; then
		apt_get update >&2
		package=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }')
	fi
	[ -n "$package" ] || die "apt knows no linux-image-cloud-amd64"
	say "fetching the kernel (once): $package"
	(cd "$1" && apt_get -o APT::Sandbox::User=root download "$package" >&2) ||
		{ apt_get update >&2; (cd "$1" && apt_get -o APT::Sandbox::User=root download "$package" >&2); }
}

# unpack_kernel DIR: the image and the modules of the packages that are there.
unpack_kernel() {
	local deb module n=0
	local -a found
	for deb in "$1"/*.deb; do dpkg -x "$deb" "$1/root"; done
	mkdir "$1/modules"
	for module in $disk_modules; do
		n=$((n + 1))
		found=("$1"/root/{,usr/}lib/modules/*/kernel/drivers/"$module".ko*)
		for deb in "${found[@]}"; do # either compressed or not
			case $deb in
			*'*'*) ;;
			*.xz) xz -dc "$deb" >"$1/modules/$n-${module#*/}.ko" ;;
			*) cp "$deb" "$1/modules/$n-${module#*/}.ko" ;;
			esac
		done
	done
	for deb in "$1"/root/boot/vmlinuz-* "$1"/root/usr/lib/modules/*/vmlinuz; do # the latter since Linux 7
		[ ! -e "$deb" ] || mv "$deb" "$kernel/vmlinuz"
	done
	rm -rf -- "$kernel/modules"
	mv -T "$1/modules" "$kernel/modules"
}

# with_cache FUNCTION…: runs them with the cache to ourselves: two runs at once build it once.
with_cache() {
	local make
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9
	# What an interrupted build left; nobody else builds while we hold the lock.
	rm -rf -- "$cache"/tmp.*
	for make; do "$make"; done
	exec 9>&-
}
