/* SPDX-License-Identifier: Apache-2.0 */

/*
 * storm FORKERS COUNT: a storm of short processes. Says "ready", waits for a
 * line, has FORKERS processes fork COUNT children each that exit at once, says
 * "done", and lives until its input ends, so that its cgroup can be read.
 */
#include "helper.h"

#include <sys/wait.h>

static void forker(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0)
			fail("fork");
		if (waitpid(pid, NULL, 0) != pid)
			fail("waitpid");
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	char c;
	int status, bad = 0;
	pid_t self = getpid();

	if (argc != 3)
		return 2;
	die_with_parent(getppid());
	say("ready");
	if (read(0, &c, 1) != 1)
		return 1;
	for (long n = atol(argv[1]); n > 0; n--) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			die_with_parent(self);
			forker(atol(argv[2]));
		}
	}
	while (wait(&status) > 0)
		bad |= status;
	if (bad)
		return 1;
	say("done");
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
