/*
 * What an ordinary user may try to get out of a job. Static, so that it runs
 * in any guest. Each mode writes the pid of the process that is left to FILE
 * (renamed into place, so that a reader sees a whole one).
 *
 *   escape daemon FILE MS     fork, setsid, fork, burn MS of CPU, then sleep
 *   escape clone-parent FILE  the same, and the daemon, whose parent is init by
 *                             then, makes a CLONE_PARENT child, which the
 *                             kernel gives init for a parent from birth
 *   escape burn MS            burn MS of CPU and end
 *   escape forks N            fork N children that stay, and say how many there
 *                             were and why not more; then end them
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void burn(long ms)
{
	struct timespec t;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while (t.tv_sec * 1000L + t.tv_nsec / 1000000 < ms);
}

static void tell(const char *file)
{
	char tmp[4096];
	FILE *f;

	snprintf(tmp, sizeof tmp, "%s.new", file);
	f = fopen(tmp, "w");
	if (!f)
		_exit(1);
	fprintf(f, "%ld\n", (long)getpid());
	if (fclose(f) != 0 || rename(tmp, file) != 0)
		_exit(1);
}

static void daemonise(void)
{
	pid_t pid = fork();

	if (pid < 0)
		exit(1);
	if (pid > 0)
		exit(0);
	setsid();
	pid = fork();
	if (pid < 0)
		_exit(1);
	if (pid > 0)
		_exit(0);
	if (chdir("/") != 0)
		_exit(1);
	/* sshd holds a connection for as long as anybody holds its pipes. */
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close_range(3, ~0U, 0);
}

static void sleep_on(void)
{
	for (;;)
		pause();
}

static int forks(int n)
{
	pid_t *pids = calloc(n, sizeof *pids);
	int i = 0;

	if (!pids)
		return 1;
	while (i < n && (pids[i] = fork()) > 0)
		i++;
	if (i < n && pids[i] == 0)
		sleep_on();
	printf("%d %s\n", i, i < n ? strerror(errno) : "ok");
	while (--i >= 0) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct timespec tick = { 0, 1000000 };

	if (argc == 3 && strcmp(argv[1], "burn") == 0) {
		burn(atol(argv[2]));
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "forks") == 0)
		return forks(atoi(argv[2]));
	if (argc == 4 && strcmp(argv[1], "daemon") == 0) {
		daemonise();
		burn(atol(argv[3]));
		tell(argv[2]);
		sleep_on();
	}
	if (argc == 3 && strcmp(argv[1], "clone-parent") == 0) {
		pid_t first = getppid();

		daemonise();
		while (getppid() == first || getppid() != 1)
			nanosleep(&tick, NULL);
		long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

		if (pid < 0)
			_exit(1);
		if (pid > 0)
			_exit(0);
		tell(argv[2]);
		sleep_on();
	}
	fprintf(stderr, "usage: escape daemon FILE MS | clone-parent FILE | burn MS | forks N\n");
	return 2;
}
