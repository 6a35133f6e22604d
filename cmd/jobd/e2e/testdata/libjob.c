/*
 * A client of libjob. It reads lines and answers each with one: what the function gave, and errno or 0.
 *
 *   create JID UID | getjid PID | waitjid JID | killjid JID SIG | getjidcnt | getjidlist BYTES | getpidcnt JID |
 *   getpidlist JID BYTES | getuid JID | getprimepid JID | sethid HID | detachjid JID | detachpid PID | attachpid PID JID | runcsa N
 *   spawn UID     a child that stays, as a user; with "create" behind it, it first makes a job for that user, with "stays" it
 *                 outlives the client: its pid, and the jid
 *   exits N       a child that makes a job and exits with N when it is told to by SIGUSR2: its pid, and the jid
 *   storm N UID   N children one after the other that make a job each and exit: how many jids were had, how many were
 *                 there twice, and the last errno of a job_create; less than 0: of who asked the child
 *   early N       N datagrams are seen after the end of their connection, as Linux has it where both come while recv looks
 *                 (net/unix/af_unix.c, unix_dgram_recvmsg)
 *
 * PID 0 is the client itself. Lists come as their length and a sum. SIGUSR1 does nothing but interrupt.
 */
#define _GNU_SOURCE
#include "../../../../libjob/job.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int early;

/* The library calls this one through its PLT. */
ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };

	if (early > 0 && poll(&answer, 1, 20000) == 1) {
		early--;
		return 0;
	}
	return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

static void nothing(int sig) { (void)sig; }

static void say(long long value)
{
	printf("%lld %d\n", value, value < 0 ? errno : 0);
}

static void say_jid(jid_t jid)
{
	printf("0x%016llx %d\n", (unsigned long long)jid, jid == (jid_t)-1 ? errno : 0);
}

static pid_t process(const char *arg)
{
	pid_t pid = (pid_t)atoi(arg);

	return pid == 0 ? getpid() : pid;
}

static jid_t job(const char *arg) { return strtoull(arg, NULL, 16); }

/* child: the parent hears by the pipe what its job is. */
static void child(int out, uid_t uid, int create, int stays, int code)
{
	jid_t jid = create ? job_create(0, uid, 0) : 0;
	sigset_t set;
	int sig;

	if (!stays)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (uid != 0 && (setgid(uid) != 0 || setuid(uid) != 0))
		jid = (jid_t)-1;
	if (write(out, &jid, sizeof jid) != sizeof jid)
		_exit(99);
	close(out);
	sigwait(&set, &sig);
	_exit(code);
}

static void spawn(uid_t uid, int create, int stays, int code)
{
	int p[2];
	jid_t jid = 0;
	pid_t pid;

	if (pipe(p) != 0 || (pid = fork()) < 0) {
		say(-1);
		return;
	}
	if (pid == 0) {
		close(p[0]);
		child(p[1], uid, create, stays, code);
	}
	close(p[1]);
	if (read(p[0], &jid, sizeof jid) != sizeof jid)
		jid = (jid_t)-1;
	close(p[0]);
	printf("%d 0x%016llx\n", pid, (unsigned long long)jid);
}

static int compare(const void *a, const void *b)
{
	jid_t x = *(const jid_t *)a, y = *(const jid_t *)b;

	return x < y ? -1 : x > y;
}

static void storm(int n, uid_t uid)
{
	struct { jid_t jid; int error; } one;
	jid_t *all = calloc((size_t)n, sizeof *all);
	int got = 0, twice = 0, failed = 0, p[2];

	for (int i = 0; i < n && pipe(p) == 0; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			one.jid = job_create(0, uid, 0);
			one.error = errno;
			_exit(write(p[1], &one, sizeof one) != sizeof one);
		}
		close(p[1]);
		if (read(p[0], &one, sizeof one) != sizeof one)
			failed = -errno;
		else if (one.jid == (jid_t)-1 || one.jid == 0)
			failed = one.error;
		else
			all[got++] = one.jid;
		close(p[0]);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	qsort(all, (size_t)got, sizeof *all, compare);
	for (int i = 1; i < got; i++)
		twice += all[i] == all[i - 1];
	printf("%d %d %d\n", got, twice, failed);
	free(all);
}

static void list(const char *verb, const char *arg, int bytes)
{
	char *room = malloc((size_t)bytes + 1);
	unsigned long long sum = 0;
	int n;

	if (strcmp(verb, "getjidlist") == 0)
		n = job_getjidlist((jid_t *)(void *)room, bytes);
	else
		n = job_getpidlist(job(arg), (pid_t *)(void *)room, bytes);
	for (int i = 0; i < n; i++)
		sum += strcmp(verb, "getjidlist") == 0 ? ((jid_t *)(void *)room)[i] : (unsigned long long)((pid_t *)(void *)room)[i];
	printf("%d %d 0x%016llx\n", n, n < 0 ? errno : 0, sum);
	free(room);
}

static void wait_for(jid_t jid)
{
	int status = -1;
	jid_t got = job_waitjid(jid, &status, 0);

	printf("0x%016llx %d %d\n", (unsigned long long)got, got == (jid_t)-1 ? errno : 0, status);
}

static void act(char **w)
{
	const char *v = w[0];

#define IS(name) (strcmp(v, name) == 0)
	errno = 0;
	if (IS("create"))
		say_jid(job_create(job(w[1]), (uid_t)atoi(w[2]), 0));
	else if (IS("getjid"))
		say_jid(job_getjid(process(w[1])));
	else if (IS("waitjid"))
		wait_for(job(w[1]));
	else if (IS("killjid"))
		say(job_killjid(job(w[1]), atoi(w[2])));
	else if (IS("getjidcnt"))
		say(job_getjidcnt());
	else if (IS("getjidlist"))
		list(v, "", atoi(w[1]));
	else if (IS("getpidcnt"))
		say(job_getpidcnt(job(w[1])));
	else if (IS("getpidlist"))
		list(v, w[1], atoi(w[2]));
	else if (IS("getuid"))
		say((int)job_getuid(job(w[1])));
	else if (IS("getprimepid"))
		say(job_getprimepid(job(w[1])));
	else if (IS("sethid"))
		say(job_sethid((unsigned)strtoul(w[1], NULL, 16)));
	else if (IS("detachjid"))
		say(job_detachjid(job(w[1])));
	else if (IS("detachpid"))
		say_jid(job_detachpid(process(w[1])));
	else if (IS("attachpid"))
		say_jid(job_attachpid(process(w[1]), job(w[2])));
	else if (IS("runcsa"))
		say(job_runcsa(atoi(w[1])));
	else if (IS("spawn"))
		spawn((uid_t)atoi(w[1]), strcmp(w[2], "create") == 0, strcmp(w[2], "stays") == 0, 0);
	else if (IS("exits"))
		spawn(0, 1, 0, atoi(w[1]));
	else if (IS("early"))
		say(w[1][0] == 0 ? early : (early = atoi(w[1])));
	else if (IS("storm"))
		storm(atoi(w[1]), (uid_t)atoi(w[2]));
	else
		printf("? %s\n", v);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = nothing }, dead = { .sa_handler = SIG_IGN };
	char line[256];

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGCHLD, &dead, NULL); /* nobody waits for those that stay */
	while (fgets(line, sizeof line, stdin) != NULL) {
		static char none[] = "";
		char *w[4] = { none, none, none, none }, *rest = line;

		for (int i = 0; i < 4; i++) {
			char *word = strsep(&rest, " \n");

			if (word == NULL)
				break;
			w[i] = word;
		}
		act(w);
		fflush(stdout);
	}
	return 0;
}
