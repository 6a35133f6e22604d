/* SPDX-License-Identifier: Apache-2.0 */

/* What the programs of the benchmark share. */
#ifndef JOBD_BENCH_HELPER_H
#define JOBD_BENCH_HELPER_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static inline void fail(const char *what)
{
	perror(what);
	_exit(1);
}

/* die_with_parent: nothing of the benchmark outlives it. */
static inline void die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		fail("prctl");
	if (getppid() != parent)
		_exit(1); /* it was gone before the call */
}

static inline void say(const char *line)
{
	if (puts(line) == EOF || fflush(stdout) == EOF)
		fail("stdout");
}

#endif
