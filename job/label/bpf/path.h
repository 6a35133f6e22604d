// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// Where the program is that a task runs: what /proc/PID/exe would say (fs/d_path.c), before the task can be gone.

#pragma once

#define PATH_ROOM 256
#define NAME_ROOM 64
#define STEPS 40 // names and mounts on the way up

// write_path writes the names of a path, the last one first, each with its NUL, and gives how many bytes that is. 0: it is too long, or
// has no place. Nothing is locked: while somebody renames a directory above it, the path may be made of old names and of new ones.
static __always_inline __u32 write_path(struct file *file, char *to, bool *deleted)
{
	struct dentry *d = BPF_CORE_READ(file, f_path.dentry), *up;
	struct vfsmount *m = BPF_CORE_READ(file, f_path.mnt);
	const struct dentry_operations *op = BPF_CORE_READ(d, d_op);
	const __u64 within = bpf_core_field_offset(struct mount, mnt);
	const unsigned char *name;
	__u64 at = 0;
	long n;

	if (!d || !m || (op && BPF_CORE_READ(op, d_dname)))
		return 0; // of a kind that names itself: a memfd
	*deleted = !BPF_CORE_READ(d, d_hash.pprev);
	for (int i = 0; i < STEPS; i++) {
		if (d == BPF_CORE_READ(m, mnt_root)) {
			struct mount *its = (void *)m - within, *above = BPF_CORE_READ(its, mnt_parent);

			if (above == its)
				return at;
			d = BPF_CORE_READ(its, mnt_mountpoint);
			m = (void *)above + within;
			continue;
		}
		up = BPF_CORE_READ(d, d_parent);
		name = BPF_CORE_READ(d, d_name.name);
		asm volatile("" : "+r"(at)); // what is compared next is what is added: the verifier of 6.1 does not follow it through memory
		if (up == d || at > PATH_ROOM - NAME_ROOM)
			return 0;
		n = bpf_probe_read_kernel_str(to + at, NAME_ROOM, name);
		if (n < 2 || n >= NAME_ROOM)
			return 0;
		at += n;
		d = up;
	}
	return 0;
}
