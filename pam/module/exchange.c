/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One request and one answer over login.sock. The login waits meanwhile, so
 * everything from connect to the answer ends at one deadline, whatever jobd
 * does. The socket is non-blocking and closed on exec, and gone on return.
 */
#define _GNU_SOURCE /* SOCK_CLOEXEC and, in snprintf, %m */
#include "module.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000LL

/* How long to wait before asking again for a place in a full queue. */
#define RETRY_MS 5

static int64_t now_ns(void)
{
	struct timespec t;

	/* Not the wall clock: ntpd may set that while we wait. */
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

/* left_ms rounds up, so that poll is not called with 0 before the deadline. */
static int left_ms(int64_t deadline)
{
	int64_t left = deadline - now_ns();

	return left <= 0 ? 0 : (int)((left + NS_PER_MS - 1) / NS_PER_MS);
}

/* wait_for waits until fd is ready. The host's signal handlers may interrupt
 * it (signal(7): poll is never restarted); the deadline stays the same. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int n = poll(&p, 1, left_ms(deadline));

		if (n > 0)
			return 0;
		if (n == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (errno != EINTR)
			return -1;
	}
}

/* connect(2): a non-blocking unix socket gets EAGAIN while the listener's
 * queue is full, and nothing tells when there is room: ask again. */
static int connect_before(int fd, const char *path, int64_t deadline)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	/* options.c has seen to it that the path fits. */
	memcpy(addr.sun_path, path, strlen(path) + 1);
	while (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
		int left;

		if (errno != EAGAIN && errno != EINTR)
			return -1;
		left = left_ms(deadline);
		if (left == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		poll(NULL, 0, left < RETRY_MS ? left : RETRY_MS);
	}
	return 0;
}

static int send_before(int fd, const struct message *m, int64_t deadline)
{
	/* MSG_NOSIGNAL: a SIGPIPE would kill the host program. */
	while (send(fd, m->text, m->len, MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (wait_for(fd, POLLOUT, deadline) != 0)
			return -1;
	}
	return 0;
}

/* receive_before gives the answer's length. One byte more than an answer may
 * have is asked for, so that one too long is seen and not cut. */
static ssize_t receive_before(int fd, char text[MESSAGE_MAX + 1],
                              int64_t deadline)
{
	int again = 0;

	for (;;) {
		ssize_t n = recv(fd, text, MESSAGE_MAX + 1, 0);

		if (n > 0 && n <= MESSAGE_MAX)
			return n;
		if (again < 2 && (n == 0 || (n < 0 && errno == ECONNRESET))) {
			/* What was written before the end may come after it: where
			 * the end came while recv looked (Linux,
			 * unix_dgram_recvmsg), and where the peer closed before it
			 * had read our request ("busy"). Both may be. */
			again++;
			continue;
		}
		if (n >= 0) {
			/* A seqpacket socket has no empty answers: 0 is the end. */
			errno = n == 0 ? ECONNRESET : EMSGSIZE;
			return -1;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (wait_for(fd, POLLIN, deadline) != 0)
			return -1;
	}
}

/* explain puts errno into words; always false. */
static bool explain(char why[WHY_MAX], const char *what, const char *path,
                    int timeout_ms)
{
	if (errno == ETIMEDOUT)
		snprintf(why, WHY_MAX, "cannot %s %s: not within %d ms", what, path,
		         timeout_ms);
	else
		snprintf(why, WHY_MAX, "cannot %s %s: %m", what, path);
	return false;
}

static bool converse(int fd, const char *path, int timeout_ms,
                     const struct message *request, struct answer *a,
                     char why[WHY_MAX])
{
	int64_t deadline = now_ns() + timeout_ms * NS_PER_MS;
	char text[MESSAGE_MAX + 1];
	ssize_t len;

	if (connect_before(fd, path, deadline) != 0)
		return explain(why, "connect to", path, timeout_ms);
	/* EPIPE: it has closed, but an answer may be waiting all the same. */
	if (send_before(fd, request, deadline) != 0 && errno != EPIPE &&
	    errno != ECONNRESET)
		return explain(why, "send to", path, timeout_ms);
	len = receive_before(fd, text, deadline);
	if (len < 0)
		return explain(why, "get an answer from", path, timeout_ms);
	if (!answer_parse(a, text, (size_t)len)) {
		errno = EBADMSG;
		return explain(why, "understand", path, timeout_ms);
	}
	return true;
}

bool exchange(const char *socket_path, int timeout_ms,
              const struct message *request, struct answer *a,
              char why[WHY_MAX])
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool done;

	if (fd < 0)
		return explain(why, "make a socket for", socket_path, timeout_ms);
	done = converse(fd, socket_path, timeout_ms, request, a, why);
	close(fd);
	return done;
}
