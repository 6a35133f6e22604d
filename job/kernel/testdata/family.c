// At a line on stdin it has a child whose first thread exits first, status 4; one of which a thread executes a shell, status 5; one that
// exits with 6 and makes another in the name of its own parent, status 7. Then it exits with 3.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t all;

static void *last(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	syscall(SYS_exit, 4);
	return NULL;
}

static void *executes(void *arg)
{
	pthread_barrier_wait(&all);
	execl("/bin/sh", "sh", "-c", "exit 5", NULL);
	return arg;
}

static void *waits(void *arg)
{
	pthread_barrier_wait(&all);
	pause();
	return arg;
}

static void leader_first(void)
{
	static pthread_t me;
	pthread_t t;

	me = pthread_self();
	pthread_create(&t, NULL, last, &me);
	pthread_exit(NULL);
}

static void thread_executes(void)
{
	pthread_t t;

	pthread_barrier_init(&all, NULL, 3);
	pthread_create(&t, NULL, executes, NULL);
	pthread_create(&t, NULL, waits, NULL);
	waits(NULL);
}

static void makes_a_sibling(void)
{
	if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0) == 0)
		_exit(7);
	_exit(6);
}

int main(void)
{
	void (*ways[])(void) = { leader_first, thread_executes, makes_a_sibling };

	getchar();
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			ways[i]();
	while (wait(NULL) > 0)
		;
	return 3;
}
