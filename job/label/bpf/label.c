// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// What runs in the kernel to keep a label on every task of a job: a copy at each fork, and a way to set all threads of a process.
// It refuses nothing, delays nothing and reads no memory of user programs. docs/kernel.md goes through it.
//
// The few types are written out here as far as they are used: the loader finds where their members are in the running kernel
// (CO-RE, by /sys/kernel/btf/vmlinux).

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct bpf_local_storage;

struct task_struct {
	int tgid;
	struct bpf_local_storage *bpf_storage;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct task_struct *task;
} __attribute__((preserve_access_index));

// label is what a task carries: the job that it is in, or the one that it was taken out of. While it is being changed both may be
// set; then it is in.
struct label {
	__u64 in;
	__u64 out;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct label);
} labels SEC(".maps");

// How many children may have no label and should. What is behind it is jobd's to write: of how many that was made good, and whose the
// labels are.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} missed SEC(".maps");

// order is what set_all is to do, and what it did. Who gives it gives one at a time.
struct order {
	struct label label;
	__s32 tgid;
	__u32 changed;
	__u32 failed;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

static __always_inline bool some(const struct label *l)
{
	return l->in || l->out;
}

// A kernel before 6.2, on which no storage can be looked at while somebody else on this CPU is at work on one: then there may be a
// label that is not seen.
const volatile bool looks_fail = false;

// copy runs in whoever called clone, before the child does (kernel/fork.c: copy_process; that the child runs comes after it). A
// storage cannot be made for want of memory, or where somebody else is at work on one.
SEC("tp_btf/task_newtask")
int BPF_PROG(copy, struct task_struct *child)
{
	struct task_struct *maker = bpf_get_current_task_btf();
	struct label *from = bpf_task_storage_get(&labels, maker, 0, 0);
	bool lacks = looks_fail && !from && maker->bpf_storage;
	__u32 first = 0;
	__u64 *n;

	if (from && some(from))
		lacks = !bpf_task_storage_get(&labels, child, from, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (lacks && (n = bpf_map_lookup_elem(&missed, &first)))
		__sync_fetch_and_add(n, 1);
	return 0;
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
	l = bpf_task_storage_get(&labels, task, 0, some(&o->label) ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!l) {
		o->failed += some(&o->label);
		return 0;
	}
	if (l->in == o->label.in && l->out == o->label.out)
		return 0;
	if (o->label.in) {
		l->in = o->label.in;
		l->out = 0;
	} else {
		l->out = o->label.out;
		l->in = 0;
	}
	o->changed++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
