# What run.sh and power.sh share: messages, packages, the kernel. Sourced; `cache` is set.
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

make_kernel() {
	local package tmp module n=0
	local -a deb image
	[ ! -e "$cache/vmlinuz" ] || [ ! -d "$cache/modules" ] || return 0
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
	if [ -z "$package" ]; then
		apt_get update >&2
		package=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }')
	fi
	[ -n "$package" ] || die "apt knows no linux-image-cloud-amd64"
	say "fetching the kernel (once): $package"
	tmp=$(mktemp -d "$cache/tmp.XXXXXX")
	(cd "$tmp" && apt_get -o APT::Sandbox::User=root download "$package" >&2) ||
		{ apt_get update >&2; (cd "$tmp" && apt_get -o APT::Sandbox::User=root download "$package" >&2); }
	deb=("$tmp"/*.deb)
	dpkg -x "${deb[0]}" "$tmp/root"
	mkdir "$tmp/modules"
	for module in $disk_modules; do
		n=$((n + 1))
		cp "$tmp"/root/lib/modules/*/kernel/drivers/"$module.ko" "$tmp/modules/$n-${module#*/}.ko"
	done
	image=("$tmp"/root/boot/vmlinuz-*)
	mv "${image[0]}" "$cache/vmlinuz"
	rm -rf -- "$cache/modules"
	mv -T "$tmp/modules" "$cache/modules"
	rm -rf -- "$tmp"
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
