// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// What is told of tasks that are in a job, or of which somebody wants to hear, of no others. The ring wakes its reader with the first event after it was read to its end.

#pragma once

// Whether somebody follows events. Else the programs below are not loaded, and nothing is told.
const volatile bool follows = false;

enum kind {
	CLONE,
	EXEC,
	UID,
	GID,
	EXIT,
	FREE,
	REFUSED,
	KINDS,
};

struct event {
	__u64 time; // CLOCK_MONOTONIC ns
	__u64 job;
	__u64 start; // of the process, CLOCK_BOOTTIME ns
	__s32 tgid;
	__s32 tid;
	__u32 kind;
	__s32 other; // of a CLONE who called clone; of a REFUSED the error that the caller gets; of an EXEC the task's number before; of a UID or GID 1 where that was a while ago
	__u64 value; // of a CLONE or REFUSED its flags, of an EXIT the wait status, of an EXEC how long its path is, of a UID or GID the effective id
	__u32 bits; // of the label
	__u32 zero;
	__u64 real; // of a CLONE the new task's parent; of a UID or GID the real id; of an EXEC 1 where the file has been removed; of an EXIT 1 where no other task of the process is left
};

// left is an EXIT: what is known of a process only while it is there.
struct left {
	struct event event;
	__u64 maxrss; // pages
	__u64 vm; // pages; 0: not known
	__s32 parent;
	__u32 uid, gid;
	__u32 flags; // PF_…
	__u32 policy;
	__s32 nice;
	char comm[16];
	struct sums sums; // of the task, so far
};

// ran is an EXEC.
struct ran {
	struct event event;
	char path[PATH_ROOM]; // as many bytes of it as the event's value says
};

// used is a FREE: what a task had used when all of it was charged.
struct used {
	struct event event;
	struct sums sums;
	__u64 rss_integral, vm_integral; // pages * ns
	__u64 cpu_delay, blkio_delay, swapin_delay, freepages_delay; // ns
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

// execs is for whoever looks at once what is run: the events are read in bursts.
struct executed {
	__u64 time;
	__s32 tgid;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} execs SEC(".maps");

// How many events of each kind had no room.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KINDS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void fill(struct event *e, const struct label *l, struct task_struct *task, __u32 kind)
{
	e->time = bpf_ktime_get_ns();
	e->job = l->in;
	e->start = l->start;
	e->tgid = task->tgid;
	e->tid = task->pid;
	e->kind = kind;
	e->bits = l->bits;
	e->zero = 0;
	e->other = 0;
	e->value = 0;
	e->real = 0;
}

// room reports whether there is any for an event. Who is in no job leaves half of the ring to those who are.
static __always_inline bool room(const struct label *l, __u32 kind)
{
	if (l->in || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) <= bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2)
		return true;
	count(&lost, kind);
	return false;
}

static __always_inline struct event *begin(const struct label *l, struct task_struct *task, __u32 kind)
{
	struct event *e;

	if (!room(l, kind))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (e)
		fill(e, l, task, kind);
	else
		count(&lost, kind);
	return e;
}

static __always_inline void tell_clone(const struct label *l, struct task_struct *maker, struct task_struct *child, __u64 flags)
{
	struct event *e;

	if (!follows || !heard(l))
		return;
	e = begin(l, child, CLONE);
	if (!e)
		return;
	e->other = maker->tgid;
	e->value = flags;
	e->real = child->real_parent->tgid;
	bpf_ringbuf_submit(e, 0);
}

// tell_refusal leaves half of the ring to others: who forks in vain can do that very often.
static __always_inline void tell_refusal(const struct label *l, struct task_struct *maker, __u64 flags, int error)
{
	struct event *e;

	if (!l->in)
		return;
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2) {
		count(&lost, REFUSED);
		return;
	}
	e = begin(l, maker, REFUSED);
	if (!e)
		return;
	e->other = error;
	e->value = flags;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void tell_id(const struct label *l, struct task_struct *task, __u32 kind, __u32 real, __u32 effective, bool late)
{
	struct event *e = begin(l, task, kind);

	if (!e)
		return;
	e->value = effective;
	e->real = real;
	e->other = late;
	bpf_ringbuf_submit(e, 0);
}

// tell_ids tells which ids have changed since they were told last. late: some time ago.
static __always_inline void tell_ids(struct label *l, struct task_struct *task, const struct cred *c, bool late)
{
	if (!follows || !heard(l))
		return;
	if (l->uid != c->uid.val || l->euid != c->euid.val)
		tell_id(l, task, UID, c->uid.val, c->euid.val, late);
	if (l->gid != c->gid.val || l->egid != c->egid.val)
		tell_id(l, task, GID, c->gid.val, c->egid.val, late);
	note_ids(l, c);
}

// told_of gives the label of a task of which is told; else nothing.
static __always_inline struct label *told_of(struct task_struct *task)
{
	struct label *l = bpf_task_storage_get(&labels, task, 0, 0);

	return l && heard(l) ? l : 0;
}

// A new program is loaded (fs/exec.c: exec_binprm). All other threads have gone by then.
SEC("tp_btf/sched_process_exec")
int BPF_PROG(executes, struct task_struct *task, int old_pid)
{
	struct label *l = told_of(task);
	struct executed *x;
	bool deleted = false;
	struct ran *e;
	__u64 now;

	if (!l || l->execs == task->self_exec_id)
		return 0;
	l->execs = task->self_exec_id;
	tell_ids(l, task, task->real_cred, true);
	if (!room(l, EXEC))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(&lost, EXEC);
		return 0;
	}
	fill(&e->event, l, task, EXEC);
	e->event.other = old_pid;
	e->event.value = write_path(BPF_CORE_READ(task, mm, exe_file), e->path, &deleted);
	e->event.real = deleted;
	now = e->event.time;
	bpf_ringbuf_submit(e, 0);
	x = bpf_ringbuf_reserve(&execs, sizeof(*x), 0);
	if (!x)
		return 0; // nobody looks so fast: what was run stays unknown
	x->time = now;
	x->tgid = task->tgid;
	x->zero = 0;
	bpf_ringbuf_submit(x, 0);
	return 0;
}

// Other ids are about to count (kernel/cred.c): whatever changes them ends here. Where this cannot be loaded a change is told of
// late, with what the task does next.
SEC("fentry/commit_creds")
int BPF_PROG(changes, struct cred *new)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *l = told_of(task);

	if (l)
		tell_ids(l, task, new, false);
	return 0;
}

// A task exits (kernel/exit.c: do_exit). Its number is its own until it has been waited for, which comes later.
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exits, struct task_struct *task)
{
	struct label *l = told_of(task);
	struct mm_struct *mm;
	struct total *t;
	struct left *e;
	bool last;

	if (!l || l->told & TOLD_EXIT)
		return 0;
	l->told |= TOLD_EXIT;
	tell_ids(l, task, task->real_cred, true);
	l->left = task->se.sum_exec_runtime - l->base;
	give_back(l);
	last = task->signal->live.counter == 0;
	t = bpf_map_lookup_elem(&totals, &l->in);
	if (t) {
		__sync_fetch_and_add(&t->leaving, l->left);
		if (last && goes(task))
			__sync_fetch_and_add(&t->processes, -1);
	}
	if (!room(l, EXIT))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(&lost, EXIT);
		return 0;
	}
	fill(&e->event, l, task, EXIT);
	e->event.value = task->exit_code;
	e->event.real = last;
	e->maxrss = task->signal->maxrss;
	mm = task->mm; // none before Linux 6.16
	e->vm = 0;
	if (mm)
		e->vm = mm->hiwater_vm > mm->total_vm ? mm->hiwater_vm : mm->total_vm;
	e->parent = task->real_parent->tgid;
	e->uid = task->real_cred->uid.val;
	e->gid = task->real_cred->gid.val;
	e->flags = task->flags;
	e->policy = task->policy;
	e->nice = task->static_prio - 120; // include/linux/sched/prio.h, PRIO_TO_NICE
	bpf_probe_read_kernel(e->comm, sizeof(e->comm), task->comm);
	set_sums(&e->sums, task);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// A task is gone (kernel/exit.c: delayed_put_task_struct), a grace period after it was waited for: nothing is charged to it any more.
SEC("tp_btf/sched_process_free")
int BPF_PROG(frees, struct task_struct *task)
{
	struct label *l = told_of(task);
	struct total *t;
	struct used *e;

	if (!l || !l->in || l->told & TOLD_FREE)
		return 0;
	l->told |= TOLD_FREE;
	t = bpf_map_lookup_elem(&totals, &l->in);
	if (t) {
		__sync_fetch_and_add(&t->cpu, task->se.sum_exec_runtime - l->base);
		__sync_fetch_and_add(&t->leaving, -l->left);
		__sync_fetch_and_add(&t->user, task->utime);
		__sync_fetch_and_add(&t->system, task->stime);
		__sync_fetch_and_add(&t->read, task->ioac.read_bytes);
		__sync_fetch_and_add(&t->written, task->ioac.write_bytes - task->ioac.cancelled_write_bytes);
		__sync_fetch_and_add(&t->tasks, 1);
	}
	if (!follows)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(&lost, FREE);
		return 0;
	}
	fill(&e->event, l, task, FREE);
	set_sums(&e->sums, task);
	e->rss_integral = task->acct_rss_mem1;
	e->vm_integral = task->acct_vm_mem1;
	e->cpu_delay = task->sched_info.run_delay;
	e->blkio_delay = task->delays ? task->delays->blkio_delay : 0;
	e->swapin_delay = task->delays ? task->delays->swapin_delay : 0;
	e->freepages_delay = task->delays ? task->delays->freepages_delay : 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
