/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the parts of libjob.so share.
 *
 *   job.c       the functions of job.h, and which errno an answer becomes
 *   message.c   requests and answers as docs/protocol.md has them; no I/O
 *   exchange.c  one request and its answer over job.sock
 *
 * The library lives inside other people's programs: it starts no thread and
 * no process, touches no signal, and keeps neither a descriptor nor any state
 * between two calls, so that any thread may call it at any time.
 */
#ifndef JOBD_LIBJOB_WIRE_H
#define JOBD_LIBJOB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MESSAGE_MAX = 8192 /* docs/protocol.md: a datagram, either way */
};

struct request {
	size_t len;
	bool full; /* something did not fit */
	char text[MESSAGE_MAX];
};

/* request_begin starts a request for a verb. */
void request_begin(struct request *r, const char *verb);

/* request_text adds a line; an empty or missing value is not sent. */
void request_text(struct request *r, const char *key, const char *value);
void request_number(struct request *r, const char *key, long long value);
void request_jid(struct request *r, uint64_t jid);

/* One datagram of an answer, ended by a NUL. */
struct answer {
	size_t len;
	char text[MESSAGE_MAX + 1];
};

/* answer_valid is false when this is no message of the protocol. */
bool answer_valid(const struct answer *a);

/* answer_get gives the value of a key and its length; NULL: not there. */
const char *answer_get(const struct answer *a, const char *key, size_t *len);
bool answer_is(const struct answer *a, const char *key, const char *value);

/* These are false where there is no such number. */
bool answer_number(const struct answer *a, const char *key, long long *value);
bool answer_jid(const struct answer *a, uint64_t *jid);

/* next_element gives the next of a list's elements, divided by commas, as a
 * number of a base, and moves on behind it; false: there is no more. */
bool next_element(const char **list, const char *end, int base,
                  uint64_t *value);

/* exchange_begin sends a request over job.sock and gives the descriptor to
 * read the answer from, -1 with errno set when that was not possible. */
int exchange_begin(const struct request *r, int timeout_ms);

/* exchange_next reads a datagram of the answer. A timeout_ms below 0 waits
 * for as long as it takes, or for a signal (EINTR). */
bool exchange_next(int fd, struct answer *a, int timeout_ms);

#endif
