/*
 * A rolling bomb: roller N MS [setsid]
 *
 * N processes, each of which forks one more after MS milliseconds and exits at once, over and over, deaf to what can be
 * ignored; with setsid each in a session of its own. When the N are there, the last writes its pid into the file that $LAB_OUT names. Should nobody end it,
 * it ends after half a minute.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void roll(time_t end, int ms, int alone)
{
	while (now() < end) {
		pid_t pid;

		if (ms > 0)
			usleep((useconds_t)ms * 1000);
		pid = fork();
		if (pid > 0)
			_exit(0);
		if (alone)
			setsid();
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *out = getenv("LAB_OUT");
	time_t end = now() + 30;
	char line[16];
	int fd, n, alone = argc > 3 && strcmp(argv[3], "setsid") == 0;
	int ms = argc > 2 ? atoi(argv[2]) : 0;

	if (argc < 3 || out == NULL)
		return 2;
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_IGN);
	for (n = atoi(argv[1]); n > 1; n--)
		if (fork() == 0)
			roll(end, ms, alone);
	n = snprintf(line, sizeof line, "%d\n", (int)getpid());
	fd = open(out, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		return 3;
	close(fd);
	roll(end, ms, alone);
}
