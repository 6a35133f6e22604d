/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the parts of pam_job.so share.
 *
 *   pam_job.c   the PAM entry points and what they decide
 *   options.c   the words on the PAM line
 *   message.c   requests and answers as docs/protocol.md writes them; no I/O
 *   exchange.c  one request and one answer over login.sock, before a deadline
 *
 * The module lives inside sshd, login, su and others: it starts no thread and
 * no process, touches no signal, keeps no descriptor and no global state.
 */
#ifndef JOBD_PAM_MODULE_H
#define JOBD_PAM_MODULE_H

#include <security/pam_modules.h>
#include <stdbool.h>
#include <stddef.h>

#define DEFAULT_SOCKET "/run/jobd/login.sock"
#define DEFAULT_TIMEOUT_MS 500
#define MAX_TIMEOUT_MS 30000

enum {
	MESSAGE_MAX = 8192, /* docs/protocol.md: a datagram, either way */
	AUTH_MAX = 4096,    /* docs/protocol.md: a longer `auth` is left out */
	WHY_MAX = 320       /* one reason, with a socket's path in it */
};

struct options {
	const char *socket;
	int timeout_ms;
	bool fail_closed;
	bool nested_new;
	bool account_create;
	bool debug;
	int argc; /* the PAM line itself, for the skip lists */
	const char **argv;
};

/* options_parse reads the PAM line. A word that it does not understand is
 * logged when pamh is given, and leaves the default in force. */
void options_parse(struct options *o, pam_handle_t *pamh, int argc,
                   const char **argv);

/* options_skip tells whether a list such as "skip_user=" names value. */
bool options_skip(const struct options *o, const char *list,
                  const char *value);

struct message {
	size_t len;
	char text[MESSAGE_MAX];
};

/* message_add appends one line. A field with no value is not sent. When the
 * line does not fit, the message stays as it was and the result is false. */
bool message_add(struct message *m, const char *key, const char *value);

/* escape writes value into dst as a message would carry it, cut to size. */
void escape(char *dst, size_t size, const char *value);

/* An answer as strings. Each array is a byte longer than the longest valid
 * value and its NUL, so that a value that was cut is never a valid one. */
struct answer {
	char status[8];
	char jid[20];
	char kind[8];
	char code[32];
	char message[256];
};

/* answer_parse is false when text is not a message of the protocol. */
bool answer_parse(struct answer *a, const char *text, size_t len);
bool answer_ok(const struct answer *a);

/* jid_valid: "0x" and sixteen hexadecimal digits, and no more. */
bool jid_valid(const char *jid);

/* exchange sends the request to socket and reads the answer, all of it within
 * timeout_ms. When it is false, why says so in words. */
bool exchange(const char *socket, int timeout_ms, const struct message *request,
              struct answer *a, char why[WHY_MAX]);

#endif
