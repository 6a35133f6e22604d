// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// What runs in the kernel to keep a label on every task of a job, and to tell what becomes of those that have one: a copy at each
// fork, a way to set all threads of a process, and what a task used when it is gone. It refuses forks beyond a job's limit, and nothing
// else; it delays nothing and reads no memory of user programs. docs/kernel.md goes through it.

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "kernel.h"
#include "label.h"
#include "refuse.h"
#include "path.h"
#include "event.h"

// A kernel before 6.2, on which no storage can be looked at while somebody else on this CPU is at work on one: then there may be a
// label that is not seen.
const volatile bool looks_fail = false;

// copy runs in whoever called clone, before the child does (kernel/fork.c: copy_process; that the child runs comes after it). A
// storage cannot be made for want of memory, or where somebody else is at work on one.
SEC("tp_btf/task_newtask")
int BPF_PROG(copy, struct task_struct *child, __u64 flags)
{
	struct task_struct *maker = bpf_get_current_task_btf();
	struct label *from = bpf_task_storage_get(&labels, maker, 0, 0), *to;
	bool lacks = looks_fail && !from && maker->bpf_storage;

	to = bpf_task_storage_get(&labels, child, 0, 0);
	if (to && to->told & TOLD_CLONE)
		return 0; // by the other of two
	if (from && some(from)) {
		tell_ids(from, maker, maker->real_cred, true);
		to = bpf_task_storage_get(&labels, child, from, BPF_LOCAL_STORAGE_GET_F_CREATE);
		lacks = !to && claimed(from);
		if (to) {
			become(to, from);
			to->told = TOLD_CLONE;
			if (child->pid == child->tgid) {
				to->start = child->start_boottime;
				arrives(to);
			}
			tell_clone(to, maker, child, flags);
		}
	} else if (to) { // its maker has none any more
		to->in = to->out = 0;
		to->bits = 0;
	}
	if (from)
		give_back(from);
	if (lacks)
		count(&missed, 0);
	return 0;
}

// may_fork says whether the task that runs may make a child (kernel/fork.c: copy_process, early): 0, or the error that it gets.
static __always_inline int may_fork(struct task_struct *child, __u64 flags)
{
	struct task_struct *maker = bpf_get_current_task_btf();
	struct label *from = bpf_task_storage_get(&labels, maker, 0, 0), *to;

	if (!from || !some(from))
		return 0;
	give_back(from); // the fork before came to nothing
	if (from->in && !(flags & CLONE_THREAD) && !reserve(from)) {
		tell_refusal(from, maker, flags, EAGAIN);
		return -EAGAIN;
	}
	if (!labels_early || !claimed(from))
		return 0;
	to = bpf_task_storage_get(&labels, child, from, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!to) {
		give_back(from);
		tell_refusal(from, maker, flags, ENOMEM);
		return -ENOMEM;
	}
	become(to, from);
	return 0;
}

// One of these two is put in force: where BPF is among the kernel's security modules the first, else the second if that can be.
SEC("lsm/task_alloc")
int BPF_PROG(refuses, struct task_struct *child, unsigned long flags, int ret)
{
	return ret ? ret : may_fork(child, flags);
}

SEC("fmod_ret/security_task_alloc")
int BPF_PROG(refuses_hooked, struct task_struct *child, unsigned long flags, int ret)
{
	return ret ? ret : may_fork(child, flags);
}

// set_all sets the label of each thread of a process. A thread that has none and is to have none is left alone.
SEC("iter/task")
int set_all(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 first = 0;
	struct order *o = bpf_map_lookup_elem(&orders, &first);
	struct label *l;

	if (!task || !o || task->tgid != o->tgid)
		return 0;
	l = bpf_task_storage_get(&labels, task, 0, claimed(&o->label) ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!l) {
		o->failed += claimed(&o->label);
		return 0;
	}
	o->start = l->start;
	if (l->in == o->label.in && l->out == o->label.out) {
		o->threads = threads(task, l);
		return 0;
	}
	if (l->in)
		leave(l, task);
	else if (o->label.in)
		o->tasks++;
	o->live += !(task->flags & PF_EXITING);
	l->base = task->se.sum_exec_runtime;
	l->past = task->signal->sum_sched_runtime;
	l->left = 0;
	l->told &= TOLD_EXIT;
	l->execs = task->self_exec_id;
	o->start = l->start = task->group_leader->start_boottime;
	note_ids(l, task->real_cred);
	if (o->label.in) {
		l->in = o->label.in;
		l->out = 0;
	} else {
		l->out = o->label.out;
		l->in = 0;
	}
	o->threads = threads(task, l);
	o->changed++;
	return 0;
}

// set_bits has more told of the threads of a process, or of all tasks, or less. Who exits just now is gone.
SEC("iter/task")
int set_bits(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 first = 0, bits;
	struct hearing *h = bpf_map_lookup_elem(&hearings, &first);
	struct label *l;

	if (!task || !h || (h->tgid && task->tgid != h->tgid) || (h->add && task->flags & PF_EXITING))
		return 0;
	l = bpf_task_storage_get(&labels, task, 0, h->add ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!l) {
		h->failed += !!h->add;
		return 0;
	}
	bits = (l->bits | h->add) & ~h->take;
	if (!l->start) { // nobody has been told of it
		l->start = task->group_leader->start_boottime;
		l->execs = task->self_exec_id;
	}
	h->start = l->start;
	if (bits == l->bits) {
		h->threads = threads(task, l);
		return 0;
	}
	if (!heard(l))
		note_ids(l, task->real_cred);
	l->bits = bits;
	h->threads = threads(task, l);
	h->changed++;
	return 0;
}

// list writes down each task that has a label.
SEC("iter/task")
int list(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct label *l;
	struct listed one = {};

	if (!task)
		return 0;
	l = bpf_task_storage_get(&labels, task, 0, 0);
	if (!l || !some(l))
		return 0;
	one.label = *l;
	one.cpu = task->se.sum_exec_runtime;
	one.tgid = task->tgid;
	one.tid = task->pid;
	one.parent = task->real_parent->tgid;
	// A first thread that had exited before it got its label is there until it is waited for, and nobody was told of its end.
	one.exiting = l->told & TOLD_EXIT || task->exit_state;
	one.gone.cpu = task->signal->sum_sched_runtime - l->past;
	one.gone.user = task->signal->utime;
	one.gone.system = task->signal->stime;
	one.gone.minflt = task->signal->min_flt;
	one.gone.majflt = task->signal->maj_flt;
	one.gone.nvcsw = task->signal->nvcsw;
	one.gone.nivcsw = task->signal->nivcsw;
	set_io(&one.gone, &task->signal->ioac);
	bpf_seq_write(ctx->meta->seq, &one, sizeof(one));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
