// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// The kernel's types as far as they are used here: the loader finds where their members are in the running kernel (CO-RE, by
// /sys/kernel/btf/vmlinux), and which of them it has.

#pragma once

#define CORE __attribute__((preserve_access_index))

struct bpf_local_storage;

typedef struct {
	__s64 counter;
} CORE atomic64_t;

typedef struct {
	int counter;
} CORE atomic_t;

typedef struct {
	__u32 val;
} CORE kuid_t;

typedef struct {
	__u32 val;
} CORE kgid_t;

struct cred {
	kuid_t uid, euid;
	kgid_t gid, egid;
} CORE;

struct sched_entity {
	__u64 sum_exec_runtime;
} CORE;

struct sched_info {
	__u64 run_delay;
} CORE;

struct task_delay_info {
	__u64 blkio_delay, swapin_delay, freepages_delay;
} CORE;

struct task_io_accounting {
	__u64 rchar, wchar, syscr, syscw; // CONFIG_TASK_XACCT
	__u64 read_bytes, write_bytes, cancelled_write_bytes; // CONFIG_TASK_IO_ACCOUNTING
} CORE;

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
} CORE;

struct qstr {
	const unsigned char *name;
} CORE;

struct dentry_operations {
	void *d_dname;
} CORE;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	const struct dentry_operations *d_op;
} CORE;

struct vfsmount {
	struct dentry *mnt_root;
} CORE;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
} CORE;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} CORE;

struct file {
	struct path f_path;
} CORE;

struct mm_struct {
	unsigned long hiwater_vm, total_vm;
	struct file *exe_file;
} CORE;

struct signal_struct {
	atomic_t live;
	int nr_threads;
	unsigned long maxrss;
	// of threads that are gone
	__u64 utime, stime;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
} CORE;

struct task_struct {
	int pid, tgid;
	unsigned int flags, policy;
	int exit_state, exit_code, static_prio;
	struct task_struct *real_parent, *group_leader;
	__u64 start_time;
	__u32 self_exec_id; // 64 bits from Linux 5.7 on, of which these are enough
	__u64 start_boottime; // before Linux 5.5 real_start_time
	__u64 utime, stime;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	struct sched_entity se;
	struct sched_info sched_info;
	struct task_delay_info *delays;
	struct task_io_accounting ioac;
	__u64 acct_rss_mem1, acct_vm_mem1;
	struct mm_struct *mm;
	struct signal_struct *signal;
	const struct cred *real_cred, *cred;
	char comm[16];
	struct bpf_local_storage *bpf_storage;
} CORE;

struct linux_binprm;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CORE;

#define CLONE_THREAD 0x00010000 // linux/sched.h
#define EAGAIN 11
#define ENOMEM 12
#define PF_EXITING 0x00000004 // include/linux/sched.h
