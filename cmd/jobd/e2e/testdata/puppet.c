/*
 * A process that does as it is told: what the random tests move about. It connects to the abstract socket that $PUPPET names
 * (SOCK_SEQPACKET), says "hello KEY", and obeys one order a packet; each process and each thread has a connection of its own.
 * The answer is "ok ..." when the thing is done. Everything is a system call: no fork handlers, no locks that a clone could copy.
 *
 *   puppet KEY
 *
 *   fork KEY FLAGS     a child that says hello with KEY. FLAGS: P CLONE_PARENT, F CLONE_FILES, S CLONE_FS, I CLONE_IO, V CLONE_VM, - none
 *   vfork KEY FLAGS    the same with CLONE_VFORK, and the child runs exec at once
 *   double KEY FLAGS   fork, fork (with FLAGS), and the one between exits at once
 *   burst N CODE FLAGS N children that exit at once
 *   thread KEY         a thread
 *   exec KEY           exec, of whichever thread it is that is told
 *   exit CODE          of the process
 *   leave CODE         of this thread alone
 *   setsid             where it can: a leader of a process group cannot
 *   subreaper          PR_SET_CHILD_SUBREAPER
 *   hoard              children that have exited stay zombies; ignore: they do not
 *   audit UID          a login uid, and with it a new audit session
 *   open USER UID      ask jobd for a job, at $LOGIN_SOCKET; answers with the JID
 *   close              the session
 *   noise N            N events that mean nothing
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { STACK = 256 << 10, LINE = 256, ANSWER = 4096, BURST = 64 };

static const char *self; /* the path of this program */

__attribute__((noreturn)) static void end_process(int code)
{
	for (;;)
		syscall(SYS_exit_group, code);
}

__attribute__((noreturn)) static void end_thread(int code)
{
	for (;;)
		syscall(SYS_exit, code);
}

static int reach(const char *name, int abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || n + 2 > sizeof a.sun_path)
		return -1;
	memcpy(a.sun_path + abstract, name, n);
	n += offsetof(struct sockaddr_un, sun_path) + 1;
	if (connect(fd, (struct sockaddr *)&a, (socklen_t)n) == 0)
		return fd;
	close(fd);
	return -1;
}

static void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		end_process(91);
}

static void answer(int fd, long result)
{
	char text[32];

	snprintf(text, sizeof text, "%s %ld", result < 0 ? "error" : "ok", result);
	say(fd, text);
}

static void obey(const char *key) __attribute__((noreturn));

/* What a new thread or a child that shares memory starts from; it lies at the bottom of its stack. */
struct start {
	char key[LINE];
	int shares; /* the descriptors of who made it */
	int execs;
};

static void let_go(int shares)
{
	if (!shares)
		syscall(SYS_close_range, 3U, ~0U, 0);
}

static void become(const char *key)
{
	char *argv[] = { (char *)self, (char *)key, NULL };

	execve(self, argv, environ);
	end_process(92);
}

static int begin(void *arg)
{
	struct start *s = arg;

	if (s->execs)
		become(s->key);
	let_go(s->shares);
	obey(s->key);
}

static long on_new_stack(const char *key, int flags, int execs)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct start *s = (struct start *)stack;

	if (stack == MAP_FAILED)
		return -1;
	snprintf(s->key, sizeof s->key, "%s", key);
	s->shares = (flags & CLONE_FILES) != 0;
	s->execs = execs;
	return clone(begin, stack + STACK, flags, s);
}

static long copy(int flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }

static int flags_of(const char *text)
{
	int flags = 0;

	for (; *text != '\0'; text++)
		flags |= *text == 'P' ? CLONE_PARENT : *text == 'F' ? CLONE_FILES : *text == 'S' ? CLONE_FS :
			 *text == 'I' ? CLONE_IO : *text == 'V' ? CLONE_VM : 0;
	return flags;
}

static void order_fork(int fd, const char *key, int flags, int execs)
{
	long pid;

	if (flags & CLONE_VM) {
		answer(fd, on_new_stack(key, flags | SIGCHLD, execs));
		return;
	}
	pid = copy(flags);
	if (pid == 0 && execs)
		become(key);
	if (pid == 0) {
		let_go(flags & CLONE_FILES);
		obey(key);
	}
	answer(fd, pid);
}

static void order_double(int fd, const char *key, int flags)
{
	long pid = copy(0);

	if (pid == 0) {
		let_go(0);
		if (copy(flags) == 0) {
			let_go(flags & CLONE_FILES);
			obey(key);
		}
		end_process(0);
	}
	answer(fd, pid);
}

static void order_burst(int fd, int n, int code, int flags)
{
	long pids[BURST];
	char text[ANSWER];
	int at = snprintf(text, sizeof text, "ok");

	for (int i = 0; i < n && i < BURST; i++) {
		pids[i] = copy(flags);
		if (pids[i] == 0)
			end_process(code);
		at += snprintf(text + at, sizeof text - (size_t)at, " %ld", pids[i]);
	}
	say(fd, text);
}

static long order_audit(const char *uid)
{
	int fd = open("/proc/thread-self/loginuid", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, uid, strlen(uid));

	close(fd);
	return n < 0 ? -1 : 0;
}

/* One request to jobd; its answer goes on as it is, in one line. */
static void order_login(int fd, const char *request)
{
	char text[ANSWER] = "ok ";
	ssize_t n = -1;
	int jobd = reach(getenv("LOGIN_SOCKET"), 0);

	if (jobd >= 0 && send(jobd, request, strlen(request), MSG_NOSIGNAL) > 0)
		n = recv(jobd, text + 3, sizeof text - 4, 0);
	close(jobd);
	if (n <= 0) {
		say(fd, "error -1");
		return;
	}
	text[3 + n] = '\0';
	for (char *c = text; *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
	say(fd, text);
}

static void order_noise(int fd, int n)
{
	while (n-- > 0)
		prctl(PR_SET_NAME, n % 2 == 0 ? "noise" : "NOISE");
	answer(fd, 0);
}

static void open_session(int fd, const char *user, const char *uid)
{
	char text[LINE];

	snprintf(text, sizeof text, "verb=open\nversion=1\nuser=%s\nuid=%s\nservice=puppet\nnested=new\n", user, uid);
	order_login(fd, text);
}

#define IS(what) (strcmp(verb, what) == 0)
enum { THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM };

static void carry_out(int fd, const char *verb, const char *a, const char *b, const char *c)
{
	if (IS("fork"))
		order_fork(fd, a, flags_of(b), 0);
	else if (IS("vfork"))
		order_fork(fd, a, flags_of(b) | CLONE_VFORK, 1);
	else if (IS("double"))
		order_double(fd, a, flags_of(b));
	else if (IS("burst"))
		order_burst(fd, atoi(a), atoi(b), flags_of(c));
	else if (IS("thread"))
		answer(fd, on_new_stack(a, THREAD, 0));
	else if (IS("exec"))
		become(a);
	else if (IS("exit"))
		end_process(atoi(a));
	else if (IS("leave"))
		end_thread(atoi(a));
	else if (IS("setsid"))
		answer(fd, (setsid(), 0));
	else if (IS("subreaper"))
		answer(fd, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	else if (IS("hoard") || IS("ignore"))
		answer(fd, signal(SIGCHLD, IS("hoard") ? SIG_DFL : SIG_IGN) == SIG_ERR ? -1 : 0);
	else if (IS("audit"))
		answer(fd, order_audit(a));
	else if (IS("open"))
		open_session(fd, a, b);
	else if (IS("close"))
		order_login(fd, "verb=close\nversion=1\n");
	else if (IS("noise"))
		order_noise(fd, atoi(a));
	else
		say(fd, "error 0");
}

static void obey(const char *key)
{
	char line[LINE], *rest, *verb, *a, *b, *c;
	int fd = reach(getenv("PUPPET"), 1);
	ssize_t n;

	if (fd < 0)
		end_process(93);
	snprintf(line, sizeof line, "hello %s", key);
	say(fd, line);
	while ((n = recv(fd, line, sizeof line - 1, 0)) > 0) {
		line[n] = '\0';
		rest = line;
		verb = strsep(&rest, " ");
		a = strsep(&rest, " ");
		b = strsep(&rest, " ");
		c = strsep(&rest, " ");
		carry_out(fd, verb, a == NULL ? "" : a, b == NULL ? "" : b, c == NULL ? "" : c);
	}
	end_process(94);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	self = argv[0];
	obey(argv[1]);
}
