/*
 * A login program: opens a PAM session for a user, runs a command in it, and closes it.
 *
 *   login [-n N] [-r] [-s] [-x] SERVICE USER CMD [ARG...]
 *
 *   -n N  N logins at once, each a process of its own
 *   -r    reap at once: what exits is gone before anybody can look at it
 *   -s    be a subreaper: with -r, that orphans by the thousand are no load for the host's init
 *   -x    the command takes the place of the process that opened the session, and nobody closes it: so the job's point of
 *         entry is a program of the user's own
 *
 * For each login a line "open RESULT JID" goes to stdout, and without -x at the end "closed RESULT".
 */
#define _GNU_SOURCE
#include <grp.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int converse(int n, const struct pam_message **m,
                    struct pam_response **r, void *data)
{
	(void)n, (void)m, (void)r, (void)data;
	return PAM_CONV_ERR;
}

/* become: what the modules set goes into the environment that there is. */
static void become(pam_handle_t *pamh, const struct passwd *pw, char **cmd)
{
	for (char **e = pam_getenvlist(pamh); e != NULL && *e != NULL; e++)
		putenv(*e);
	if (initgroups(pw->pw_name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
	    setuid(pw->pw_uid) != 0)
		_exit(126);
	signal(SIGCHLD, SIG_DFL);
	execvp(cmd[0], cmd);
	_exit(127);
}

static int run(pam_handle_t *pamh, const struct passwd *pw, char **cmd)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return 1;
	if (pid == 0)
		become(pamh, pw, cmd);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int session(const char *service, const char *user, char **cmd, int in_place)
{
	static const struct pam_conv conv = { converse, NULL };
	pam_handle_t *pamh = NULL;
	struct passwd *pw = getpwnam(user);
	const char *jid;
	int rc, code;

	signal(SIGCHLD, SIG_DFL);
	if (pw == NULL || pam_start(service, user, &conv, &pamh) != PAM_SUCCESS)
		return 125;
	rc = pam_open_session(pamh, 0);
	jid = pam_getenv(pamh, "JOB_JID");
	printf("open %d %s\n", rc, jid == NULL ? "-" : jid);
	fflush(stdout);
	if (rc != PAM_SUCCESS)
		return 1;
	if (in_place)
		become(pamh, pw, cmd);
	code = run(pamh, pw, cmd);
	rc = pam_close_session(pamh, 0);
	pam_end(pamh, rc);
	printf("closed %d\n", rc);
	fflush(stdout);
	return code;
}

int main(int argc, char **argv)
{
	int n = 1, in_place = 0, opt, last = 0, status;

	while ((opt = getopt(argc, argv, "+n:rsx")) != -1) {
		if (opt == 'n')
			n = atoi(optarg);
		else if (opt == 'r')
			signal(SIGCHLD, SIG_IGN);
		else if (opt == 's')
			prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		else if (opt == 'x')
			in_place = 1;
		else
			return 2;
	}
	if (argc - optind < 3)
		return 2;
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 125;
		if (pid == 0)
			_exit(session(argv[optind], argv[optind + 1], argv + optind + 2, in_place));
	}
	/* With -r nothing is left to be told, and wait returns when there is no child any more. */
	while (wait(&status) > 0)
		last = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return last;
}
