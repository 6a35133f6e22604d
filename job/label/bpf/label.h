// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

#pragma once

// label is what a task carries: the job that it is in, or the one that it was taken out of. While it is being changed both may be
// set; then it is in.
struct label {
	__u64 in;
	__u64 out;
	__u64 base; // CPU that the task had used when it came to this job, ns
	__u64 past; // CPU that those tasks of its process had used which were gone then, ns
	__u64 start; // of its process: CLOCK_BOOTTIME ns, which with the pid is a process's identity
	__u32 uid, euid, gid, egid; // as last told
	__u64 left; // CPU that the task had used of this job's when it exited, ns
	__u32 told; // TOLD_…: while one jobd takes over from another there are two of each program for a moment
	__u32 execs; // of the task's, as last told
	__u64 reserved; // the job in which a place is kept for the child that the task is making; 0: none
	__u32 gone; // of a first task: that the process has gone was counted
	__u32 bits; // of those who want to be told of the task, whether it is in a job or not
};

#define TOLD_EXIT 1
#define TOLD_FREE 2
#define TOLD_CLONE 4

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct label);
} labels SEC(".maps");

// How many children may have no label and should. What is behind it is jobd's to write: of how many that was made good, whose the labels
// are, and of which layout.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} missed SEC(".maps");

// order is what set_all is to do, and what it did. Who gives it gives one at a time.
struct order {
	struct label label;
	__s32 tgid;
	__u32 changed;
	__u32 failed;
	__u32 tasks; // that are in a job now and were in none
	__u32 live; // of those changed: had not begun to exit
	__u32 threads; // how many the process had when it was come upon last
	__u64 start; // of the process, as its label has it
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

// hearing is what set_bits is to do, and what it did. Who gives it gives one at a time.
struct hearing {
	__u32 add, take; // bits
	__s32 tgid; // 0: every task of the host
	__u32 changed;
	__u32 failed;
	__u32 threads; // as in order, of one process that was named
	__u64 start; // of it
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hearing);
} hearings SEC(".maps");

// sums are what a task has used, or several.
struct sums {
	__u64 cpu, user, system; // ns
	__u64 minflt, majflt;
	__u64 nvcsw, nivcsw;
	__u64 rchar, wchar, syscr, syscw;
	__u64 read, write, cancelled; // bytes
};

// listed is a task that has a label.
struct listed {
	struct label label;
	__u64 cpu; // ns
	__s32 tgid;
	__s32 tid;
	__s32 parent; // the process that would get its SIGCHLD
	__u32 exiting;
	struct sums gone; // what its process's threads have used that are gone
};

// total is what a job's tasks have used that are gone, or that have left it.
struct total {
	__u64 cpu; // ns, as the scheduler charged it
	__u64 user; // ns, in ticks, as system
	__u64 system;
	__u64 read; // bytes
	__u64 written;
	__u64 tasks;
	__u64 processes; // born into the job less those that exited in it: those that were put in or taken out jobd knows
	__u64 reserved; // children that are being made, and are none of these yet
	__u64 leaving; // CPU of tasks that have exited and are not gone yet: what they had used by then, ns
};

// By job. jobd makes an entry before anybody is in the job.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u64);
	__type(value, struct total);
} totals SEC(".maps");

// limit is how many processes a job may have. Only jobd writes it.
struct limit {
	__s64 most;
	__s64 more; // processes that the total does not count
};

// By job, of those that have one.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u64);
	__type(value, struct limit);
} limits SEC(".maps");

// claimed: a job has the task, or has had it.
static __always_inline bool claimed(const struct label *l)
{
	return l->in || l->out;
}

// heard: what becomes of the task is told.
static __always_inline bool heard(const struct label *l)
{
	return l->in || l->bits;
}

// threads gives how many a process has, after what was written before: who is counted later inherits that. An atomic operation that gives
// what was there before is a full barrier.
static __always_inline __u32 threads(struct task_struct *task, struct label *l)
{
	__u32 was = __sync_fetch_and_or(&l->told, 0);

	asm volatile("" : : "r"(was)); // else it is made one that is none
	return task->signal->nr_threads;
}

static __always_inline bool some(const struct label *l)
{
	return claimed(l) || l->bits;
}

// become makes the label of a new task that of whoever makes it.
static __always_inline void become(struct label *to, const struct label *from)
{
	*to = *from;
	to->base = 0;
	to->past = 0;
	to->left = 0;
	to->told = 0;
	to->reserved = 0;
	to->gone = 0;
}

static __always_inline void note_ids(struct label *l, const struct cred *c)
{
	l->uid = c->uid.val;
	l->euid = c->euid.val;
	l->gid = c->gid.val;
	l->egid = c->egid.val;
}

static __always_inline void set_io(struct sums *to, const struct task_io_accounting *io)
{
	to->rchar = io->rchar;
	to->wchar = io->wchar;
	to->syscr = io->syscr;
	to->syscw = io->syscw;
	to->read = io->read_bytes;
	to->write = io->write_bytes;
	to->cancelled = io->cancelled_write_bytes;
}

static __always_inline void set_sums(struct sums *to, struct task_struct *task)
{
	to->cpu = task->se.sum_exec_runtime;
	to->user = task->utime;
	to->system = task->stime;
	to->minflt = task->min_flt;
	to->majflt = task->maj_flt;
	to->nvcsw = task->nvcsw;
	to->nivcsw = task->nivcsw;
	set_io(to, &task->ioac);
}

static __always_inline void count(void *map, __u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(map, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
}

// leave closes a living task's account with its job.
static __always_inline void leave(const struct label *l, struct task_struct *task)
{
	struct total *t = bpf_map_lookup_elem(&totals, &l->in);

	if (!t)
		return;
	__sync_fetch_and_add(&t->cpu, task->se.sum_exec_runtime - l->base);
	__sync_fetch_and_add(&t->leaving, -l->left);
}
