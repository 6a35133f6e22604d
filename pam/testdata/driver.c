/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A PAM application for the tests of pam_job.so: reads one command a line,
 * answers one line each. It stands in for the system log, geteuid and the name
 * service, so that the module's words are seen, its tests need no root, and a
 * user may have any name.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_HANDLES 4

static pam_handle_t *handles[MAX_HANDLES];
static int last[MAX_HANDLES];
static pam_handle_t **cur = &handles[0];
static const char *confdir;
static int fake_euid = -1; /* -1: the real one */
static int early_ends;	   /* so many answers are seen after their end */

/* libpam calls these through its PLT, and the program's own come first. */
ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };

	/* As Linux has it where the answer and the end come while recv looks
	 * (net/unix/af_unix.c, unix_dgram_recvmsg). */
	if (early_ends > 0 && poll(&answer, 1, 20000) == 1) {
		early_ends--;
		return 0;
	}
	return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

static void log_line(int priority, const char *format, va_list args)
{
	printf("log %d ", priority & 7);
	vprintf(format, args);
	printf("\n");
}

void syslog(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(priority, format, args);
	va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	log_line(priority, format, args);
	va_end(args);
}

uid_t geteuid(void)
{
	uid_t real, effective, saved;

	if (fake_euid >= 0)
		return (uid_t)fake_euid;
	getresuid(&real, &effective, &saved);
	return effective;
}

/* Every user exists and has the uid 4242 and the gid 4343, but for root and "missing". */
int getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size,
               struct passwd **found)
{
	static char empty[] = "";

	*found = NULL;
	if (strcmp(name, "missing") == 0)
		return 0;
	snprintf(buf, size, "%s", name);
	*pw = (struct passwd){ buf, empty, 4242, 4343, empty, empty, empty };
	if (strcmp(name, "root") == 0)
		pw->pw_uid = pw->pw_gid = 0;
	*found = pw;
	return 0;
}

static int converse(int n, const struct pam_message **m,
                    struct pam_response **r, void *data)
{
	(void)n, (void)m, (void)r, (void)data;
	return PAM_CONV_ERR;
}

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

/* The process as others see it: threads, descriptors, signals. */
static void print_state(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	printf("state tasks=%d fds=%d", entries("/proc/self/task"),
	       entries("/proc/self/fd"));
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0 ||
		    strncmp(line, "SigCgt", 6) == 0) {
			line[strcspn(line, "\n")] = '\0';
			printf(" %s", line);
		}
	if (f != NULL)
		fclose(f);
	printf("\n");
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* alarm MS: a signal every so often; 0 ends it. signal(7): poll is interrupted
 * even with SA_RESTART, while our own reading of commands goes on. */
static void set_alarm(int ms)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval t = { { 0, ms * 1000 }, { 0, ms * 1000 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

typedef int phase(pam_handle_t *, int);

static int run_phase(phase *f)
{
	struct timespec a, b;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &a);
	rc = last[cur - handles] = f(*cur, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("rc %d us=%lld\n", rc,
	       (long long)(b.tv_sec - a.tv_sec) * 1000000 +
	               (b.tv_nsec - a.tv_nsec) / 1000);
	return rc;
}

/* forked: the phase in a child, as (sd-pam) does it. */
static void run_forked(phase *f)
{
	pid_t pid;
	int status = -1;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		run_phase(f);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("child %d\n", status);
}

static phase *find_phase(const char *name)
{
	if (strcmp(name, "open") == 0)
		return pam_open_session;
	if (strcmp(name, "close") == 0)
		return pam_close_session;
	if (strcmp(name, "acct") == 0)
		return pam_acct_mgmt;
	if (strcmp(name, "auth") == 0)
		return pam_authenticate;
	if (strcmp(name, "setcred") == 0)
		return pam_setcred;
	return NULL;
}

static int item_number(const char *name)
{
	if (strcmp(name, "user") == 0)
		return PAM_USER;
	if (strcmp(name, "tty") == 0)
		return PAM_TTY;
	if (strcmp(name, "rhost") == 0)
		return PAM_RHOST;
	return PAM_RUSER;
}

/* unescape in place: values come as %XX, so that a line stays a line. */
static void unescape(char *s)
{
	char *to = s;
	unsigned byte;

	for (; *s != '\0'; s++, to++) {
		*to = *s;
		if (*s == '%' && sscanf(s + 1, "%2x", &byte) == 1) {
			*to = (char)byte;
			s += 2;
		}
	}
	*to = '\0';
}

static void start(const char *service, const char *user)
{
	static const struct pam_conv conv = { converse, NULL };

	printf("rc %d\n", pam_start_confdir(service, user, &conv, confdir, cur));
}

static void command(char *verb, char *arg, char *value)
{
	if (strcmp(verb, "start") == 0)
		start(arg, value);
	else if (strcmp(verb, "end") == 0) {
		printf("rc %d\n", pam_end(*cur, last[cur - handles]));
		*cur = NULL;
	} else if (strcmp(verb, "handle") == 0)
		printf("handle %d\n", (int)((cur = &handles[atoi(arg) % MAX_HANDLES]) - handles));
	else if (strcmp(verb, "item") == 0)
		printf("rc %d\n", pam_set_item(*cur, item_number(arg), value));
	else if (strcmp(verb, "putenv") == 0)
		printf("rc %d\n", pam_putenv(*cur, arg));
	else if (strcmp(verb, "getenv") == 0) {
		const char *v = pam_getenv(*cur, arg);

		printf("env %s\n", v == NULL ? "" : v);
	} else if (strcmp(verb, "early") == 0)
		printf("early %d\n", arg[0] == '\0' ? early_ends : (early_ends = atoi(arg)));
	else if (strcmp(verb, "euid") == 0)
		printf("euid %d\n", fake_euid = atoi(arg));
	else if (strcmp(verb, "setuid") == 0)
		printf("rc %d\n", setuid((uid_t)atoi(arg)));
	else if (strcmp(verb, "alarm") == 0) {
		set_alarm(atoi(arg));
		printf("alarm\n");
	} else if (strcmp(verb, "state") == 0)
		print_state();
	else if (strcmp(verb, "forked") == 0 && find_phase(arg) != NULL)
		run_forked(find_phase(arg));
	else if (find_phase(verb) != NULL)
		run_phase(find_phase(verb));
	else
		printf("unknown command %s\n", verb);
}

int main(int argc, char **argv)
{
	static char line[65536];

	if (argc != 2)
		return 2;
	confdir = argv[1];
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *arg, *value;

		line[strcspn(line, "\n")] = '\0';
		arg = strchr(line, ' ');
		if (arg != NULL)
			*arg++ = '\0';
		value = arg == NULL ? NULL : strchr(arg, ' ');
		if (value != NULL && strcmp(line, "putenv") != 0) {
			*value++ = '\0';
			unescape(value);
		}
		if (arg != NULL)
			unescape(arg);
		command(line, arg == NULL ? "" : arg, value == NULL ? "" : value);
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
