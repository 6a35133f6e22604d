/* SPDX-License-Identifier: Apache-2.0 */

/*
 * session CONFDIR WITH WITHOUT COUNT PAUSE_MS: opens COUNT sessions of service
 * WITH and COUNT of WITHOUT, in pairs, each in a process of its own as logins
 * are, with PAUSE_MS between pairs. For each pair it prints how long
 * pam_open_session took and how long everything from pam_start to pam_end did,
 * in ns: open and whole with, open and whole without.
 *
 * session CONFDIR SERVICE PAUSE_MS: opens sessions of SERVICE until its input
 * ends, and prints of each how long pam_open_session took, and 1 if it has a
 * job, else 0.
 */
#define _GNU_SOURCE
#include "helper.h"

#include <poll.h>
#include <security/pam_appl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

struct times {
	long long open, whole;
	int job; /* it has one */
};

enum { WITHOUT, WITH, EITHER };

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int talk(int n, const struct pam_message **m, struct pam_response **r, void *data)
{
	(void)n, (void)m, (void)r, (void)data;
	return PAM_CONV_ERR; /* nobody is asked for anything in a session */
}

static void pam(pam_handle_t *h, int result, const char *what)
{
	if (result == PAM_SUCCESS)
		return;
	fprintf(stderr, "%s: %s\n", what, pam_strerror(h, result));
	_exit(1);
}

/* session is one login. With a job, libpam holds JOB_JID: a session that the
 * module let pass without one would be measured as a fast one. */
static struct times session(const char *confdir, const char *service, int job)
{
	const struct pam_conv conv = { .conv = talk };
	pam_handle_t *h = NULL;
	struct times t;
	long long start = now(), before;

	pam(h, pam_start_confdir(service, "root", &conv, confdir, &h), "pam_start_confdir");
	before = now();
	pam(h, pam_open_session(h, 0), "pam_open_session");
	t.open = now() - before;
	t.job = !!pam_getenv(h, "JOB_JID");
	if (job != EITHER && t.job != (job == WITH)) {
		fputs("the session has no job\n", stderr);
		_exit(1);
	}
	pam(h, pam_close_session(h, 0), "pam_close_session");
	pam(h, pam_end(h, PAM_SUCCESS), "pam_end");
	t.whole = now() - start;
	return t;
}

/* login runs a session in a child and waits for it. */
static struct times login(const char *confdir, const char *service, int job)
{
	struct times t;
	int fd[2], status;
	pid_t pid;

	if (pipe(fd) != 0 || (pid = fork()) < 0)
		fail("fork");
	if (pid == 0) {
		t = session(confdir, service, job);
		_exit(write(fd[1], &t, sizeof t) != sizeof t);
	}
	close(fd[1]);
	if (read(fd[0], &t, sizeof t) != sizeof t)
		_exit(1); /* it has said why */
	close(fd[0]);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		_exit(1);
	return t;
}

/* until_told opens sessions until the input ends. */
static int until_told(const char *confdir, const char *service, int pause_ms)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };

	while (poll(&in, 1, pause_ms) == 0) {
		struct times t = login(confdir, service, EITHER);

		printf("%lld %d\n", t.open, t.job);
	}
	return 0;
}

int main(int argc, char **argv)
{
	die_with_parent(getppid());
	if (argc == 4)
		return until_told(argv[1], argv[2], atoi(argv[3]));
	if (argc != 6)
		return 2;
	for (int i = atoi(argv[4]); i > 0; i--) {
		struct times without = login(argv[1], argv[3], WITHOUT);
		struct times with = login(argv[1], argv[2], WITH);

		printf("%lld %lld %lld %lld\n", with.open, with.whole, without.open,
		       without.whole);
		usleep(atoi(argv[5]) * 1000);
	}
	return 0;
}
