/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One request and its answer over job.sock. The descriptor is closed on exec,
 * and the caller closes it before the library returns.
 */
#define _GNU_SOURCE /* secure_getenv, SOCK_CLOEXEC */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_RUN_DIR "/run/jobd"
#define NS_PER_MS 1000000LL

/* How long to wait before asking again for a place in a full queue. */
#define RETRY_MS 5

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t); /* the wall clock may be set */
	return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

/* left_ms rounds up; a deadline of 0 is none. */
static int left_ms(int64_t deadline)
{
	int64_t left;

	if (deadline == 0)
		return -1;
	left = deadline - now_ns();
	return left <= 0 ? 0 : (int)((left + NS_PER_MS - 1) / NS_PER_MS);
}

/* wait_for waits until fd is ready. Without a deadline a signal ends it, as
 * job_waitjid has it; with one the wait goes on. */
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
		if (errno != EINTR || deadline == 0)
			return -1;
	}
}

/* address gives job.sock's. The run directory that the environment names is
 * not taken by a program that has more rights than who started it. */
static int address(struct sockaddr_un *addr)
{
	const char *dir = secure_getenv("JOBD_RUN_DIR");
	int n;

	if (dir == NULL || dir[0] == '\0')
		dir = DEFAULT_RUN_DIR;
	memset(addr, 0, sizeof *addr);
	addr->sun_family = AF_UNIX;
	n = snprintf(addr->sun_path, sizeof addr->sun_path, "%s/job.sock", dir);
	if (n < 0 || (size_t)n >= sizeof addr->sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

/* connect(2): a non-blocking unix socket gets EAGAIN while the listener's
 * queue is full, and nothing tells when there is room: ask again. */
static int connect_before(int fd, int64_t deadline)
{
	struct sockaddr_un addr;

	if (address(&addr) != 0)
		return -1;
	while (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
		/* Nobody behind the socket and no socket are one thing to
		 * clients of the library: they look for ENOENT. */
		if (errno == ECONNREFUSED || errno == ENOTDIR)
			errno = ENOENT;
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (left_ms(deadline) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

static int send_before(int fd, const struct request *r, int64_t deadline)
{
	/* MSG_NOSIGNAL: a SIGPIPE would kill the program. */
	while (send(fd, r->text, r->len, MSG_NOSIGNAL) < 0) {
		if (errno == EPIPE || errno == ECONNRESET)
			return 0; /* it has closed; an answer may be waiting */
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (wait_for(fd, POLLOUT, deadline) != 0)
			return -1;
	}
	return 0;
}

int exchange_begin(const struct request *r, int timeout_ms)
{
	int64_t deadline = now_ns() + timeout_ms * NS_PER_MS;
	int fd;

	if (r->full) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect_before(fd, deadline) != 0 ||
	    send_before(fd, r, deadline) != 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

bool exchange_next(int fd, struct answer *a, int timeout_ms)
{
	int64_t deadline =
		timeout_ms < 0 ? 0 : now_ns() + timeout_ms * NS_PER_MS;
	int again = 0;

	for (;;) {
		/* One byte more than an answer may have: too long is seen. */
		ssize_t n = recv(fd, a->text, MESSAGE_MAX + 1, 0);

		if (n > 0 && n <= MESSAGE_MAX) {
			a->len = (size_t)n;
			a->text[n] = '\0';
			if (answer_valid(a))
				return true;
			errno = EPROTO;
			return false;
		}
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
			errno = n == 0 ? ECONNRESET : EPROTO;
			return false;
		}
		if (errno != EAGAIN && errno != EINTR)
			return false;
		if (errno == EINTR && timeout_ms < 0)
			return false;
		if (wait_for(fd, POLLIN, deadline) != 0)
			return false;
	}
}
