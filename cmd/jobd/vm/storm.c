/*
 * A login and its processes: asks jobd for a job as pam_job.so does, prints
 * the job's sequence number, waits for a byte on stdin, and forks. Static,
 * for a machine that has nothing else.
 *
 *   storm SOCKET N        fork N processes, one after the other, that end at once; end
 *   storm SOCKET N KEEP   the same, but KEEP of them, and storm itself, stay for
 *                         ever; "done" when that is so
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char request[] = "verb=open\nversion=1\nuser=alice\nuid=1000\ngid=1000\nservice=bare\n";

static void say(const char *text)
{
	printf("%s\n", text);
	fflush(stdout);
}

/* A job for this process. */
static int login(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char answer[8193], *seq;
	ssize_t n;
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    write(s, request, sizeof(request) - 1) < 0 || (n = read(s, answer, sizeof(answer) - 1)) <= 0) {
		perror("storm: login");
		return -1;
	}
	close(s);
	answer[n] = '\0';
	seq = strstr(answer, "\nseq=");
	if (!seq) {
		fprintf(stderr, "storm: login: %s", answer);
		return -1;
	}
	seq[5 + strcspn(seq + 5, "\n")] = '\0';
	say(seq + 5);
	return 0;
}

static void stay(void)
{
	for (;;)
		pause();
}

/* One process; it is waited for unless it stays. */
static void one(int stays)
{
	pid_t pid;

	while ((pid = fork()) < 0 && errno == EAGAIN)
		usleep(1000); /* no pid is free for the moment */
	if (pid < 0) {
		perror("storm: fork");
		exit(1);
	}
	if (pid == 0) {
		if (stays)
			stay();
		_exit(0);
	}
	while (!stays && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 0;
	long keep = argc > 3 ? atol(argv[3]) : 0;
	char c;

	if (argc < 3 || login(argv[1]) < 0 || read(0, &c, 1) < 0)
		return 2;
	for (long i = 0; i < n; i++)
		one(keep > 0 && (i + 1) * keep / n > i * keep / n);
	if (argc > 3) {
		say("done");
		stay();
	}
	return 0;
}
