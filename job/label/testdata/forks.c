// Has THREADS threads that fork, and make threads, all the time. At the first byte on stdin each makes a last child that stays, and
// prints its pid; at the second a thread makes a child in the name of its own parent; at the third a thread executes sleep.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8

static atomic_int stop;
static pthread_barrier_t last;

static void stay(void)
{
	for (;;)
		pause();
}

static void *nothing(void *arg) { return arg; }

static void *forks(void *arg)
{
	while (!stop) {
		pid_t child = fork();
		pthread_t t;
		if (child == 0)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
		if (pthread_create(&t, NULL, nothing, NULL) == 0)
			pthread_join(t, NULL);
	}
	pid_t child = fork();
	if (child == 0)
		stay();
	printf("%d\n", child);
	fflush(stdout);
	pthread_barrier_wait(&last);
	if (arg)
		stay();
	getchar();
	child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
	if (child == 0)
		stay();
	printf("%d\n", child);
	fflush(stdout);
	getchar();
	execlp("sleep", "sleep", "1000", NULL);
	return NULL;
}

int main(void)
{
	pthread_t t;
	pthread_barrier_init(&last, NULL, THREADS);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&t, NULL, forks, (void *)i);
	puts("0");
	fflush(stdout);
	getchar();
	stop = 1;
	stay();
}
