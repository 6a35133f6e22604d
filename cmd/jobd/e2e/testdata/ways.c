/*
 * More of what lab.c does: ways out that take a subreaper, a namespace, a name, a file or a tracer.
 *
 *   ways under CMD...         be a subreaper above CMD, and stay
 *   ways subreaper N          a child is a subreaper; an orphan that it is given makes N siblings (CLONE_PARENT)
 *   ways namespace            user and pid namespaces of one's own, an orphan in them
 *   ways namespace-sibling    the same, whose init is a sibling
 *   ways rename DIR           copies of itself in DIR, under names that login daemons have, each with a sibling
 *   ways loginuid UID...      write each into /proc/self/loginuid, then fork and make a sibling
 *   ways cgroup DIR           go into the cgroup DIR, or be born in there; then stay
 *   ways trace PID            have another process fork, as its tracer, and stop it
 *   ways become SUID CMD...   execute CMD as root by way of SUID, a setuid copy; a child makes siblings when that runs
 *   ways as-root CMD...       setuid(0), where the file's owner and mode allow that, and execute CMD
 *   ways stormy N             N forks each before, during and after siblings, quick and slow ones
 */
#include "stay.h"
#include <linux/sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void under(char **cmd)
{
	check(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0);
	if (fork() == 0) {
		execv(cmd[0], cmd);
		_exit(5);
	}
	stay();
}

static void as_root(char **cmd)
{
	check(setuid(0) != 0);
	execv(cmd[0], cmd);
	_exit(5);
}

static int runs(pid_t pid, const char *name)
{
	char path[32], comm[32] = "";
	int fd;

	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd < 0 || read(fd, comm, sizeof comm - 1) < 0);
	close(fd);
	return strncmp(comm, name, strlen(name)) == 0;
}

static void become(char *suid, char **cmd)
{
	char *as_root[16] = {suid, "as-root"};
	const char *name = strrchr(cmd[0], '/') + 1;

	for (int i = 0; i < 12 && cmd[i] != NULL; i++)
		as_root[i + 2] = cmd[i];
	if (fork() == 0) {
		while (!runs(getppid(), name))
			sched_yield();
		siblings(3);
		usleep(100 * 1000);
		siblings(3);
		stay();
	}
	execv(suid, as_root);
	_exit(5);
}

static void subreaper(int n)
{
	pid_t reaper;

	if (fork() != 0)
		stay();
	check(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0);
	reaper = getpid();
	if (fork() != 0)
		stay();
	if (fork() != 0)
		stay();
	if (fork() != 0)
		_exit(0);
	while (getppid() != reaper)
		sched_yield();
	siblings(n);
	stay();
}

static void namespace(pid_t (*make)(void))
{
	check(unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0);
	if (make() != 0)
		stay();
	if (fork() == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		siblings(2);
		stay();
	}
	stay();
}

static void copy_self(const char *path)
{
	char block[65536];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	ssize_t n;

	check(from < 0 || to < 0);
	while ((n = read(from, block, sizeof block)) > 0)
		check(write(to, block, (size_t)n) != n);
	close(from);
	close(to);
}

/* Both names: the one that the kernel keeps, and what stands in argv. */
static void call_oneself(char *argv0, const char *name)
{
	memset(argv0, 0, strlen(argv0));
	memcpy(argv0, name, 4);
	check(prctl(PR_SET_NAME, name, 0, 0, 0) != 0);
}

static void rename_all(const char *dir, char *argv0)
{
	static const char *const names[] = { "sshd", "jobd", "(sd-pam)", "systemd" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[256];

		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		copy_self(path);
		if (fork() == 0) {
			execl(path, names[i], "sibling", NULL);
			_exit(5);
		}
	}
	call_oneself(argv0, "jobd");
	fork_and_sibling();
	stay();
}

static void loginuid(char **uids)
{
	for (; *uids != NULL; uids++) {
		int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, *uids, strlen(*uids)) < 0)
			close(fd); /* the kernel allows it once, or never */
	}
	fork_and_sibling();
	stay();
}

/* clone3 with CLONE_INTO_CGROUP; struct clone_args of older headers has no cgroup. */
static pid_t clone_into(int dir)
{
	uint64_t args[11] = { 0 };

	args[0] = 0x200000000ULL; /* flags */
	args[4] = SIGCHLD;        /* exit_signal */
	args[10] = (uint64_t)dir; /* cgroup */
	return (pid_t)syscall(SYS_clone3, args, sizeof args);
}

static void cgroup(const char *dir)
{
	char path[256];
	int d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), f;

	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	f = open(path, O_WRONLY | O_CLOEXEC);
	if (f >= 0 && write(f, "0", 1) == 1)
		announce(); /* one more than the test counts on */
	if (d >= 0 && clone_into(d) == 0)
		stay();
	fork_and_sibling();
	stay();
}

static void trace(pid_t pid)
{
	unsigned long child;
	int status;

	check(ptrace(PTRACE_ATTACH, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid);
	check(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEFORK) != 0);
	check(ptrace(PTRACE_CONT, pid, NULL, SIGUSR1) != 0);
	while (waitpid(pid, &status, 0) == pid && status >> 8 != (SIGTRAP | PTRACE_EVENT_FORK << 8))
		check(ptrace(PTRACE_CONT, pid, NULL, WSTOPSIG(status)) != 0);
	check(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &child) != 0 || waitpid((pid_t)child, &status, __WALL) != (pid_t)child);
	check(ptrace(PTRACE_DETACH, (pid_t)child, NULL, NULL) != 0 || ptrace(PTRACE_DETACH, pid, NULL, NULL) != 0);
	kill(pid, SIGSTOP);
}

static void storm(int n)
{
	while (n-- > 0) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		check(pid < 0);
		waitpid(pid, NULL, 0);
	}
}

static void stormy(int n)
{
	pid_t beside;

	storm(n);
	beside = fork();
	if (beside == 0) {
		storm(n);
		_exit(0);
	}
	if (fork() == 0) {
		siblings(5);
		stay();
	}
	siblings(5);
	quick_siblings(10);
	waitpid(beside, NULL, 0);
	storm(n);
	stay();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 1;

	if (strcmp(what, "under") == 0 && argc > 2)
		under(argv + 2);
	else if (strcmp(what, "become") == 0 && argc > 3)
		become(argv[2], argv + 3);
	else if (strcmp(what, "as-root") == 0 && argc > 2)
		as_root(argv + 2);
	else if (strcmp(what, "subreaper") == 0)
		subreaper(n);
	else if (strcmp(what, "namespace") == 0)
		namespace(fork);
	else if (strcmp(what, "namespace-sibling") == 0)
		namespace(clone_parent);
	else if (strcmp(what, "rename") == 0 && argc > 2)
		rename_all(argv[2], argv[0]);
	else if (strcmp(what, "loginuid") == 0)
		loginuid(argv + 2);
	else if (strcmp(what, "cgroup") == 0 && argc > 2)
		cgroup(argv[2]);
	else if (strcmp(what, "trace") == 0)
		return trace(n), 0;
	else if (strcmp(what, "stormy") == 0)
		stormy(n);
	else if (strcmp(what, "sibling") == 0)
		siblings(1);
	else if (strcmp(what, "stay") != 0)
		return 2;
	stay();
}
