/*
 * What processes can do to shake off whoever follows them. Whoever is meant to stay writes its pid into the file that
 * $LAB_OUT names and waits for a signal; all of them carry the caller's environment, by which they are found.
 *
 *   lab stay                  nothing but stay; SIGUSR1 makes one more that stays
 *   lab root                  setuid(0), where the file's owner and mode allow that, and stay
 *   lab clone-parent N        N children that the kernel gives the caller's own parent (CLONE_PARENT)
 *   lab child-clone-parent N  the same, made by a child
 *   lab orphan-clone-parent N the same, made by a process whose parent is gone
 *   lab quick-clone-parent N  each forks one that stays, and exits at once
 *   lab thread-fork           a thread forks
 *   lab leader-exit           the first thread exits, another goes on and forks
 *   lab exec-thread           a thread calls exec
 *   lab vfork                 vfork and exec
 *   lab chain N               N forks, of which each parent dies at once
 *   lab ns-host               be the init of a pid namespace of one's own
 *   lab ns-hop PID            join that one's namespaces, become its orphan there, and fork in its name (CLONE_PARENT)
 *   lab daemon                fork, setsid, fork
 *   lab storm N               N children, one after the other, that exit at once
 *   lab noise N               N events that mean nothing: changes of its own name
 *   lab burn MS               that much CPU, and the end
 *   lab thread-burn MS        that much CPU in a thread that exits, and stay
 */
#include "stay.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static void child_siblings(int n)
{
	if (fork() == 0) {
		siblings(n);
		stay();
	}
}

static void orphan_siblings(int n)
{
	pid_t first = fork();

	if (first != 0) {
		waitpid(first, NULL, 0);
		return;
	}
	first = getpid();
	if (fork() != 0)
		_exit(0);
	while (getppid() == first)
		sched_yield();
	siblings(n);
	stay();
}

static void *fork_in_thread(void *unused)
{
	(void)unused;
	if (fork() == 0)
		stay();
	return NULL;
}

static void thread_fork(void)
{
	pthread_t t;

	pthread_create(&t, NULL, fork_in_thread, NULL);
	pthread_join(t, NULL);
	stay();
}

/* is_zombie: the state stands behind the name in /proc/PID/stat. */
static int is_zombie(int tid)
{
	char path[64], text[256];
	int fd;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 1;
	text[n] = '\0';
	return strstr(text, ") Z") != NULL;
}

static void *outlive_leader(void *unused)
{
	(void)unused;
	while (!is_zombie(getpid()))
		sched_yield();
	if (fork() == 0)
		stay();
	stay();
}

static void leader_exit(void)
{
	pthread_t t;

	pthread_create(&t, NULL, outlive_leader, NULL);
	pthread_exit(NULL);
}

static void *exec_in_thread(void *unused)
{
	(void)unused;
	execl("/proc/self/exe", "lab", "stay", NULL);
	_exit(5);
}

static void exec_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, exec_in_thread, NULL);
	for (;;)
		pause();
}

static void by_vfork(void)
{
	if (vfork() == 0) {
		execl("/proc/self/exe", "lab", "stay", NULL);
		_exit(5);
	}
	stay();
}

static void chain(int n)
{
	if (fork() != 0)
		stay();
	while (n-- > 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
	}
	stay();
}

static void ns_host(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
		_exit(4);
	if (fork() == 0) {
		signal(SIGCHLD, SIG_IGN);
		announce();
		for (;;)
			pause();
	}
	wait(NULL);
}

static void ns_hop(const char *pid)
{
	char user[64], space[64];
	int u, p;

	snprintf(user, sizeof user, "/proc/%s/ns/user", pid);
	snprintf(space, sizeof space, "/proc/%s/ns/pid", pid);
	u = open(user, O_RDONLY | O_CLOEXEC);
	p = open(space, O_RDONLY | O_CLOEXEC);
	if (setns(u, CLONE_NEWUSER) != 0 || setns(p, CLONE_NEWPID) != 0)
		_exit(4);
	if (fork() == 0) {
		if (fork() != 0)
			_exit(0);
		while (getppid() == 2) /* until it is init's, whose pid in there is 1 */
			usleep(1000);
		if (clone_parent() == 0)
			announce();
		for (;;)
			pause();
	}
	wait(NULL);
}

static void daemonise(void)
{
	if (fork() != 0)
		return;
	setsid();
	if (fork() != 0)
		_exit(0);
	stay();
}

static void storm(int n)
{
	while (n-- > 0) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0)
			_exit(4);
		waitpid(pid, NULL, 0);
	}
}

/* A change of the name is a process event, and nothing comes cheaper. */
static void noise(int n)
{
	while (n-- > 0)
		prctl(PR_SET_NAME, n % 2 == 0 ? "noise" : "NOISE");
}

static void burn(long ms)
{
	struct timespec t;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while (t.tv_sec * 1000L + t.tv_nsec / 1000000 < ms);
}

static void *burn_in_thread(void *ms)
{
	burn(*(int *)ms);
	return NULL;
}

static void thread_burn(int ms)
{
	pthread_t t;

	if (pthread_create(&t, NULL, burn_in_thread, &ms) == 0)
		pthread_join(t, NULL);
}

static int play(const char *what, int n)
{
	if (strcmp(what, "thread-burn") == 0)
		thread_burn(n);
	else if (strcmp(what, "clone-parent") == 0)
		siblings(n);
	else if (strcmp(what, "child-clone-parent") == 0)
		child_siblings(n);
	else if (strcmp(what, "orphan-clone-parent") == 0)
		orphan_siblings(n);
	else if (strcmp(what, "quick-clone-parent") == 0)
		quick_siblings(n);
	else if (strcmp(what, "thread-fork") == 0)
		thread_fork();
	else if (strcmp(what, "leader-exit") == 0)
		leader_exit();
	else if (strcmp(what, "exec-thread") == 0)
		exec_thread();
	else if (strcmp(what, "vfork") == 0)
		by_vfork();
	else if (strcmp(what, "ns-host") == 0)
		ns_host();
	else if (strcmp(what, "chain") == 0)
		chain(n);
	else if (strcmp(what, "root") == 0 && setuid(0) != 0)
		return 6;
	else if (strcmp(what, "stay") != 0 && strcmp(what, "root") != 0)
		return 2;
	stay();
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 1;

	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "ns-hop") == 0) {
		ns_hop(argv[2]);
		return 0;
	}
	if (strcmp(argv[1], "storm") == 0)
		return storm(n), 0;
	if (strcmp(argv[1], "noise") == 0)
		return noise(n), 0;
	if (strcmp(argv[1], "burn") == 0)
		return burn(n), 0;
	if (strcmp(argv[1], "daemon") == 0)
		return daemonise(), 0;
	return play(argv[1], n);
}
