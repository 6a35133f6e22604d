/* SPDX-License-Identifier: Apache-2.0 */

/*
 * accounted NAME FILE FORKERS COUNT [PROGRAM]: a storm in a pid namespace of its
 * own, with process accounting (acct(2)) of that namespace into FILE. The host's
 * own accounting is neither seen nor changed, and the kernel ends this one with
 * the namespace, whatever happens. Says the pid of the namespace's first process,
 * or "no" and why not. That process waits for a line, then FORKERS processes
 * start COUNT children each: by fork, to exit at once, or with PROGRAM by vfork
 * and exec. It says "done", and lives until its input ends. NAME is the command
 * name of them all.
 */
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>

static pid_t start(const char *program, const char *name)
{
	pid_t pid = program == NULL ? fork() : vfork();

	if (pid == 0) {
		if (program != NULL)
			execl(program, name, (char *)NULL);
		_exit(program == NULL ? 0 : 127);
	}
	return pid;
}

static void forker(long count, const char *program, const char *name)
{
	for (; count > 0; count--) {
		int status;
		pid_t pid = start(program, name);

		if (pid < 0)
			fail("fork");
		if (waitpid(pid, &status, 0) != pid || status != 0)
			fail("child");
	}
	_exit(0);
}

/* first is pid 1 of the namespace. FD is where it says how acct went. */
static int first(int fd, char **argv)
{
	int status, bad = 0, error = 0;
	char c;

	die_with_parent(0); /* outside of the namespace, so it has no number here */
	if (acct(argv[2]) != 0)
		error = errno;
	if (write(fd, &error, sizeof error) != sizeof error)
		_exit(1);
	close(fd);
	if (error != 0 || prctl(PR_SET_NAME, argv[1]) != 0)
		_exit(1);
	if (read(0, &c, 1) != 1)
		_exit(1);
	for (long n = atol(argv[3]); n > 0; n--) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0)
			forker(atol(argv[4]), argv[5], argv[1]);
	}
	while (wait(&status) > 0)
		bad |= status;
	if (bad)
		_exit(1);
	say("done");
	while (read(0, &c, 1) > 0)
		;
	_exit(0);
}

int main(int argc, char **argv)
{
	int fd[2], status, error;
	pid_t pid;

	if (argc != 5 && argc != 6)
		return 2;
	die_with_parent(getppid());
	if (pipe(fd) != 0 || unshare(CLONE_NEWPID) != 0)
		fail("pid namespace");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0)
		first(fd[1], argv);
	close(fd[1]);
	if (read(fd[0], &error, sizeof error) != sizeof error)
		return 1;
	if (error != 0)
		printf("no %s\n", strerror(error));
	else
		printf("%d\n", (int)pid);
	fflush(stdout);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	return error == 0 && status != 0;
}
