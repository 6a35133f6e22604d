/* What the helper programs share: how one says that it is there for good, and waits. Include it first. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* getpid() would be another number in a pid namespace; /proc is mounted outside. */
static inline void announce(void)
{
	char pid[16];
	const char *out = getenv("LAB_OUT");
	ssize_t n = readlink("/proc/self", pid, sizeof pid - 1);
	int fd;

	if (out == NULL)
		return;
	fd = open(out, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (n < 1 || fd < 0)
		_exit(3);
	pid[n++] = '\n';
	if (write(fd, pid, (size_t)n) != n)
		_exit(3);
	close(fd);
}

static volatile sig_atomic_t asked;

static void ask(int sig)
{
	(void)sig;
	asked = 1;
}

/* SIGUSR1 is blocked but for the wait, so that none is overlooked; each makes one more that stays. */
__attribute__((noreturn)) static inline void stay(void)
{
	sigset_t block, old;

	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, &old);
	sigdelset(&old, SIGUSR1);
	signal(SIGUSR1, ask);
	announce();
	for (;;) {
		sigsuspend(&old);
		if (asked && fork() == 0)
			announce();
		asked = 0;
	}
}

/* A child that the kernel gives the caller's own parent. */
static inline pid_t clone_parent(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

static inline void siblings(int n)
{
	while (n-- > 0) {
		pid_t pid = clone_parent();

		if (pid == 0)
			stay();
		if (pid < 0)
			_exit(4);
	}
}

/* Each forks one that stays, and exits at once. */
static inline void quick_siblings(int n)
{
	while (n-- > 0) {
		pid_t pid = clone_parent();

		if (pid < 0)
			_exit(4);
		if (pid > 0)
			continue;
		if (fork() == 0)
			stay();
		_exit(0);
	}
}

static inline void check(int bad)
{
	if (bad)
		_exit(4);
}

static inline void fork_and_sibling(void)
{
	if (fork() == 0)
		stay();
	siblings(1);
}
