/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pacer HEADS EACH SECONDS: prints the pids of HEADS processes, a line each, then
 * "ready". For each line of its input every head forks EACH children a second, at an
 * even pace, each of which exits at once, for so many seconds; then it says "done".
 * All are killed with whoever started it.
 */
#include "helper.h"
#include <sys/wait.h>
#include <time.h>

static void beat(struct timespec *at, long ns)
{
	at->tv_nsec += ns;
	while (at->tv_nsec >= 1000000000) {
		at->tv_nsec -= 1000000000;
		at->tv_sec++;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL);
}

static void head(int go, int done, long each, long seconds)
{
	struct timespec at;
	char c;

	while (read(go, &c, 1) == 1) {
		clock_gettime(CLOCK_MONOTONIC, &at);
		beat(&at, getpid() % 97 * 10000000L / 97); /* not all at once */
		for (long n = each * seconds; n > 0; n--) {
			pid_t pid = fork();

			if (pid < 0)
				fail("fork");
			if (pid == 0)
				_exit(0);
			waitpid(pid, NULL, 0);
			beat(&at, 1000000000L / each);
		}
		if (write(done, "x", 1) != 1)
			fail("write");
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int go[1024][2], done[2];
	pid_t self = getpid();
	char line[16];
	long heads;

	if (argc != 4 || (heads = atol(argv[1])) > 1024)
		return 2;
	die_with_parent(getppid());
	if (pipe(done) != 0)
		fail("pipe");
	for (long n = 0; n < heads; n++) {
		pid_t pid;

		if (pipe(go[n]) != 0)
			fail("pipe");
		if ((pid = fork()) < 0)
			fail("fork");
		if (pid == 0) {
			die_with_parent(self);
			close(go[n][1]);
			head(go[n][0], done[1], atol(argv[2]), atol(argv[3]));
		}
		printf("%d\n", (int)pid);
		fflush(stdout);
	}
	say("ready");
	while (fgets(line, sizeof(line), stdin)) {
		for (long n = 0; n < heads; n++)
			if (write(go[n][1], "x", 1) != 1)
				fail("write");
		for (long n = 0; n < heads; n++)
			if (read(done[0], line, 1) != 1)
				fail("read");
		say("done");
	}
	return 0;
}
