/*
 * A login that keeps a ledger of its own: asks jobd for a job as pam_job.so
 * does, until it gets one, forks processes that end at once, and writes down
 * each with the time before its fork and after its end (CLOCK_REALTIME, ns).
 *
 *   ledger SOCKET FILE N    N processes; 0: until stdin ends
 *
 * FILE has "job SEQ", then lines "PID BEFORE AFTER", and at last "end".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "verb=open\nversion=1\nuser=alice\nuid=1000\ngid=1000\nservice=ledger\n";

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The job's sequence number; 0 where jobd is not there. */
static unsigned long login(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char answer[8193], *seq = NULL;
	ssize_t n;
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (s >= 0 && connect(s, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    send(s, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 && (n = read(s, answer, sizeof(answer) - 1)) > 0) {
		answer[n] = '\0';
		seq = strstr(answer, "\nseq=");
	}
	if (s >= 0)
		close(s);
	return seq ? strtoul(seq + 5, NULL, 10) : 0;
}

static int told_to_end(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };

	return poll(&in, 1, 0) > 0;
}

int main(int argc, char **argv)
{
	unsigned long seq;
	FILE *out;
	long n;

	if (argc != 4 || !(out = fopen(argv[2], "w")))
		return 2;
	n = atol(argv[3]);
	while (!(seq = login(argv[1])))
		usleep(2000);
	fprintf(out, "job %lu\n", seq);
	for (long i = 0; n ? i < n : !told_to_end(); i++) {
		long long before = now();
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0) {
			usleep(1000);
			i--;
			continue;
		}
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		fprintf(out, "%d %lld %lld\n", (int)pid, before, now());
		usleep(200); /* the machine is others' too */
	}
	fprintf(out, "end\n");
	return fclose(out) ? 1 : 0;
}
