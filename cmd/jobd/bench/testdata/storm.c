/* SPDX-License-Identifier: Apache-2.0 */

/*
 * storm FORKERS COUNT [PROGRAM]: a storm of short processes. Says "ready", waits
 * for a line, has FORKERS processes start COUNT children each: by fork, to exit
 * at once, or with PROGRAM by vfork and exec. It says "done", and lives until its
 * input ends, so that its cgroup can be read.
 */
#include "helper.h"

#include <sys/wait.h>

static pid_t start(const char *program)
{
	pid_t pid = program == NULL ? fork() : vfork();

	if (pid == 0) {
		if (program != NULL)
			execl(program, program, (char *)NULL);
		_exit(program == NULL ? 0 : 127);
	}
	return pid;
}

static void forker(long count, const char *program)
{
	for (; count > 0; count--) {
		int status;
		pid_t pid = start(program);

		if (pid < 0)
			fail("fork");
		if (waitpid(pid, &status, 0) != pid || status != 0)
			fail("child");
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	char c;
	int status, bad = 0;
	pid_t self = getpid();

	if (argc != 3 && argc != 4)
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
			forker(atol(argv[2]), argv[3]);
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
