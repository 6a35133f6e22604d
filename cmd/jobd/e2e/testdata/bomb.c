/*
 * What makes a job hard to kill. Whoever stays says so as in lab.c.
 *
 *   bomb forks N    fork for ever, all of them, up to N processes of the user's; says once that they have been reached
 *   bomb deaf N     N that ignore every signal that can be ignored
 *   bomb runners N  N that are never the same process for longer than a moment: each forks, and exits
 *
 * After a minute all of it ends by itself.
 */
#include "stay.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

/* Whatever the test does, there is an end. */
static time_t end;

static void in_time(void)
{
	if (time(NULL) > end)
		_exit(0);
}

static void forks(rlim_t n)
{
	const struct rlimit most = { n, n };
	volatile int *full = mmap(NULL, sizeof *full, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	check(full == MAP_FAILED || setrlimit(RLIMIT_NPROC, &most) != 0);
	signal(SIGCHLD, SIG_IGN);
	for (int refused = 0;; in_time()) {
		if (fork() >= 0) {
			refused = 0;
			continue;
		}
		/* The first time others may be in the middle of theirs, which count already. */
		if (errno == EAGAIN && ++refused > 2 && __sync_bool_compare_and_swap(full, 0, 1))
			announce();
		usleep(20000);
	}
}

static void deaf(int n)
{
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_IGN);
	while (--n > 0 && fork() != 0)
		;
	announce();
	for (;;)
		pause();
}

static void runners(int n)
{
	while (--n > 0 && fork() != 0)
		;
	announce();
	for (;; in_time()) {
		if (fork() > 0)
			_exit(0);
		usleep(20000);
	}
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 1;

	if (argc < 2)
		return 2;
	end = time(NULL) + 60;
	if (strcmp(argv[1], "forks") == 0)
		forks((rlim_t)n);
	else if (strcmp(argv[1], "deaf") == 0)
		deaf(n);
	else if (strcmp(argv[1], "runners") == 0)
		runners(n);
	return 2;
}
