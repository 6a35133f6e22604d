/* SPDX-License-Identifier: Apache-2.0 */

/*
 * crowd LEADERS EACH: many processes that do nothing. Prints the pids of LEADERS
 * processes, a line each, then "ready". When its input ends each leader forks
 * until it makes EACH processes with itself, and all of them sleep until they
 * are killed: they are one process group, and each dies with its parent.
 */
#include "helper.h"

static void sleep_on(void)
{
	for (;;)
		pause();
}

static void leader(long each)
{
	pid_t self = getpid();
	char c;

	while (read(0, &c, 1) > 0)
		;
	while (--each > 0) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			die_with_parent(self);
			sleep_on();
		}
	}
	sleep_on();
}

int main(int argc, char **argv)
{
	pid_t self = getpid();

	if (argc != 3)
		return 2;
	die_with_parent(getppid());
	for (long n = atol(argv[1]); n > 0; n--) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			die_with_parent(self);
			leader(atol(argv[2]));
		}
		printf("%d\n", (int)pid); /* flushed by say: no child has anything of it to flush */
	}
	say("ready");
	sleep_on();
}
