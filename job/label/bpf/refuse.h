// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// A fork by a member of a job that has as many processes as it may fails, and so does one whose child would be without its label. A place
// is reserved before the child is made, so that many forks at once do not come to more than there may be.

#pragma once

// Whether the storage of a child that is not made after all is freed.
const volatile bool labels_early = false;

// give_back gives back the place for a child that is counted by now, or that was never made. Only the task itself gets here.
static __always_inline void give_back(struct label *l)
{
	struct total *t;

	if (!l->reserved)
		return;
	t = bpf_map_lookup_elem(&totals, &l->reserved);
	if (t)
		__sync_fetch_and_add(&t->reserved, -1);
	l->reserved = 0;
}

// reserve keeps a place for the child of a task. false: there is none left.
static __always_inline bool reserve(struct label *l)
{
	struct limit *limit = bpf_map_lookup_elem(&limits, &l->in);
	struct total *t;

	if (!limit)
		return true;
	t = bpf_map_lookup_elem(&totals, &l->in);
	if (!t)
		return true;
	__sync_fetch_and_add(&t->reserved, 1);
	if ((__s64)(t->processes + t->reserved) + limit->more > limit->most) {
		__sync_fetch_and_add(&t->reserved, -1);
		return false;
	}
	l->reserved = l->in;
	return true;
}

// arrives counts a new process.
static __always_inline void arrives(const struct label *l)
{
	struct total *t = bpf_map_lookup_elem(&totals, &l->in);

	if (t)
		__sync_fetch_and_add(&t->processes, 1);
}

// goes reports, once for each process, that its last task exits: two that exit at the same time can both take themselves for it.
static __always_inline bool goes(struct task_struct *task)
{
	struct label *first = bpf_task_storage_get(&labels, task->group_leader, 0, 0);

	return first && !__sync_fetch_and_or(&first->gone, 1);
}
