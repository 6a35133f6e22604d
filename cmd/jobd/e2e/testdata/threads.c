/*
 * What threads do that shake off whoever takes a process for its first thread. Whoever stays says so as in lab.c.
 *
 *   threads siblings N   a thread makes N siblings (CLONE_PARENT)
 *   threads late N       N threads of a first thread that has exited each fork, and make a sibling
 *   threads old N        N threads wait; at SIGUSR1 each forks, and makes a sibling
 *   threads vfork        vfork and exec, as a sibling
 *   threads heirs N      N times, another thread than the first calls exec; does not stay
 */
#include "stay.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

__attribute__((noreturn)) static void rest(void)
{
	for (;;)
		pause();
}

static void *siblings_in_thread(void *n)
{
	siblings(*(int *)n);
	return NULL;
}

static void thread_siblings(int n)
{
	pthread_t t;

	check(pthread_create(&t, NULL, siblings_in_thread, &n) != 0);
	pthread_join(t, NULL);
	stay();
}

static pthread_barrier_t leader_gone;

/* The first thread is a zombie as soon as nothing of it runs any more; the state stands behind the name. */
static int first_is_zombie(void)
{
	char text[256];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);

	if (f != NULL)
		fclose(f);
	text[n] = '\0';
	return strstr(text, ") Z") != NULL;
}

static void *late_thread(void *unused)
{
	(void)unused;
	while (!first_is_zombie())
		sched_yield();
	if (pthread_barrier_wait(&leader_gone) == PTHREAD_BARRIER_SERIAL_THREAD)
		announce();
	fork_and_sibling();
	rest();
}

static void late_threads(int n)
{
	pthread_t t;

	check(pthread_barrier_init(&leader_gone, NULL, (unsigned)n) != 0);
	while (n-- > 0)
		check(pthread_create(&t, NULL, late_thread, NULL) != 0);
	pthread_exit(NULL);
}

static void *old_thread(void *go)
{
	char c;

	check(read(*(int *)go, &c, 1) != 1);
	fork_and_sibling();
	rest();
}

static int go[2];

static void let_go(int sig)
{
	char all[64] = { 0 };

	(void)sig;
	check(write(go[1], all, sizeof all) < 0);
}

static void old_threads(int n)
{
	pthread_t t;

	check(pipe2(go, O_CLOEXEC) != 0);
	signal(SIGUSR1, let_go);
	while (n-- > 0)
		check(pthread_create(&t, NULL, old_thread, &go[0]) != 0);
	announce();
	rest();
}

static void vfork_sibling(void)
{
	if (syscall(SYS_clone, CLONE_PARENT | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0) {
		execl("/proc/self/exe", "threads", "stay", NULL);
		_exit(5);
	}
	stay();
}

static void *exec_in_thread(void *left)
{
	char n[16];

	snprintf(n, sizeof n, "%d", *(int *)left - 1);
	execl("/proc/self/exe", "threads", "heirs", n, NULL);
	_exit(5);
}

static void heirs(int n)
{
	pthread_t t;

	if (n <= 0)
		exit(0);
	check(pthread_create(&t, NULL, exec_in_thread, &n) != 0);
	rest();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 1;

	if (strcmp(what, "siblings") == 0)
		thread_siblings(n);
	else if (strcmp(what, "late") == 0)
		late_threads(n);
	else if (strcmp(what, "old") == 0)
		old_threads(n);
	else if (strcmp(what, "vfork") == 0)
		vfork_sibling();
	else if (strcmp(what, "heirs") == 0)
		heirs(n);
	else if (strcmp(what, "stay") != 0)
		return 2;
	stay();
}
