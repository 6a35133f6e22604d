/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pam_job.so: asks jobd for a job when a session opens, and tells it when the
 * session closes. The manual is pam_job(8), the wire docs/protocol.md.
 *
 * An answer that lets the login pass is PAM_SUCCESS and not PAM_IGNORE: a
 * stack in which every module ignores fails (Linux-PAM's dispatcher then gives
 * PAM_PERM_DENIED), so PAM_IGNORE would lock people out of a service whose
 * only session line is ours.
 */
#define _GNU_SOURCE /* geteuid beside -std=c11 */
#include "module.h"

#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* How long a logout waits at most: closing only reports. */
#define CLOSE_TIMEOUT_MS 200

/* The name under which a handle remembers that it has opened a job. */
#define HELD "pam_job_held"

/* What a login is called; strings of the handle, NULL where there is none. */
struct login {
	const char *user, *service;
	char printable[128]; /* the user, safe in a log line */
};

__attribute__((format(printf, 3, 4)))
static void debug(pam_handle_t *pamh, const struct options *o,
                  const char *format, ...)
{
	va_list args;

	if (!o->debug)
		return;
	va_start(args, format);
	pam_vsyslog(pamh, LOG_DEBUG, format, args);
	va_end(args);
}

static const char *item(pam_handle_t *pamh, int which)
{
	const void *value = NULL;

	if (pam_get_item(pamh, which, &value) != PAM_SUCCESS)
		return NULL;
	return value;
}

static void login_read(struct login *l, pam_handle_t *pamh)
{
	l->user = item(pamh, PAM_USER);
	l->service = item(pamh, PAM_SERVICE);
	escape(l->printable, sizeof l->printable,
	       l->user == NULL ? "an unnamed user" : l->user);
}

static bool skipped(const struct options *o, const struct login *l)
{
	return options_skip(o, "skip_user=", l->user) ||
	       options_skip(o, "skip_service=", l->service);
}

static bool held(pam_handle_t *pamh)
{
	const void *data = NULL;

	return pam_get_data(pamh, HELD, &data) == PAM_SUCCESS && data != NULL;
}

static void hold(pam_handle_t *pamh, bool yes)
{
	static char mark;

	/* When this fails, for want of memory, the close is not reported and
	 * a second open gets the same job: nothing is lost. */
	(void)pam_set_data(pamh, HELD, yes ? &mark : NULL, NULL);
}

/* request_open says who logs in. The needed fields come first, so that one of
 * the others, chosen by the client of the login, cannot crowd them out: it is
 * left out itself where it does not fit. */
static bool request_open(struct message *m, pam_handle_t *pamh,
                         const struct options *o, const struct login *l,
                         const char *uid, const char *gid)
{
	const char *auth = pam_getenv(pamh, "SSH_AUTH_INFO_0");

	m->len = 0;
	if (!message_add(m, "verb", "open") || !message_add(m, "version", "1") ||
	    !message_add(m, "user", l->user) || !message_add(m, "uid", uid) ||
	    !message_add(m, "gid", gid) ||
	    !message_add(m, "service", l->service) ||
	    !message_add(m, "nested", o->nested_new ? "new" : "keep"))
		return false;
	message_add(m, "tty", item(pamh, PAM_TTY));
	message_add(m, "rhost", item(pamh, PAM_RHOST));
	message_add(m, "ruser", item(pamh, PAM_RUSER));
	message_add(m, "connection", pam_getenv(pamh, "SSH_CONNECTION"));
	if (auth != NULL && strlen(auth) <= AUTH_MAX)
		message_add(m, "auth", auth);
	return true;
}

/* refused puts jobd's own words into why; always false. */
static bool refused(const struct answer *a, char why[WHY_MAX])
{
	snprintf(why, WHY_MAX, "jobd says %s: %s", a->code[0] ? a->code : "error",
	         a->message[0] ? a->message : "it gives no reason");
	return false;
}

/* ask_open gets the job; when it is false, why says so. */
static bool ask_open(pam_handle_t *pamh, const struct options *o,
                     const struct login *l, struct answer *a,
                     char why[WHY_MAX])
{
	/* Asks NSS, as the host program has done before us. */
	struct passwd *pw =
		l->user == NULL ? NULL : pam_modutil_getpwnam(pamh, l->user);
	struct message m;
	char uid[16], gid[16];

	if (pw == NULL) {
		snprintf(why, WHY_MAX, "cannot find the user's uid: no such user");
		return false;
	}
	snprintf(uid, sizeof uid, "%lu", (unsigned long)pw->pw_uid);
	snprintf(gid, sizeof gid, "%lu", (unsigned long)pw->pw_gid);
	if (!request_open(&m, pamh, o, l, uid, gid)) {
		snprintf(why, WHY_MAX,
		         "cannot write the request: a name is too long");
		return false;
	}
	if (!exchange(o->socket, o->timeout_ms, &m, a, why))
		return false;
	if (!answer_ok(a))
		return refused(a, why);
	if (!jid_valid(a->jid)) {
		snprintf(why, WHY_MAX, "cannot understand %s: no jid in the answer",
		         o->socket);
		return false;
	}
	return true;
}

/* announce leaves the jid for the user's programs. Only a hint: they may
 * change it, and `jobctl id` asks jobd. */
static void announce(pam_handle_t *pamh, const char *jid)
{
	char line[sizeof "JOB_JID=" + sizeof((struct answer *)0)->jid];

	snprintf(line, sizeof line, "JOB_JID=%s", jid);
	(void)pam_putenv(pamh, line);
}

static void open_failed(pam_handle_t *pamh, const struct options *o,
                        const struct login *l, const char *why)
{
	pam_syslog(pamh, LOG_ERR, "cannot open a job for %s: %s; %s; see `jobctl status`",
	           l->printable, why,
	           o->fail_closed ? "the login is refused (fail=closed)"
	                          : "the login goes on without a job");
}

/* enter opens the job unless there is nothing to do. It gives refusal when
 * there is no job and there should be one. */
static int enter(pam_handle_t *pamh, const struct options *o, int refusal)
{
	struct answer a;
	struct login l;
	char why[WHY_MAX];

	if (held(pamh)) {
		debug(pamh, o, "this login has its job already");
		return PAM_SUCCESS;
	}
	if (geteuid() != 0) {
		/* login.sock is root's. A screen locker, or a user's own su,
		 * is in the job of its login anyway. */
		debug(pamh, o, "not root: no job is asked for");
		return PAM_SUCCESS;
	}
	login_read(&l, pamh);
	if (skipped(o, &l)) {
		debug(pamh, o, "skipped for %s", l.printable);
		return PAM_SUCCESS;
	}
	if (!ask_open(pamh, o, &l, &a, why)) {
		open_failed(pamh, o, &l, why);
		return o->fail_closed ? refusal : PAM_SUCCESS;
	}
	hold(pamh, true);
	announce(pamh, a.jid);
	debug(pamh, o, "job %s (%s) for %s", a.jid, a.kind, l.printable);
	return PAM_SUCCESS;
}

EXPORT int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc,
                               const char **argv)
{
	struct options o;

	(void)flags;
	options_parse(&o, pamh, argc, argv);
	return enter(pamh, &o, PAM_SESSION_ERR);
}

/* The account phase: nothing unless account=create. For programs that start
 * the user's processes before, or without, opening a session. */
EXPORT int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc,
                            const char **argv)
{
	struct options o;

	(void)flags;
	options_parse(&o, pamh, argc, argv);
	if (!o.account_create)
		return PAM_IGNORE;
	return enter(pamh, &o, PAM_PERM_DENIED);
}

/* Closing only reports: the job lives until its last process has left. So
 * there is nothing to fail, and nothing that would be worth a long wait. */
EXPORT int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc,
                                const char **argv)
{
	struct options o;
	struct answer a;
	struct login l;
	struct message m = { .len = 0 };
	char why[WHY_MAX];

	(void)flags;
	options_parse(&o, NULL, argc, argv); /* open has logged what is wrong */
	if (!held(pamh))
		return PAM_SUCCESS;
	hold(pamh, false);
	if (geteuid() != 0) {
		debug(pamh, &o, "not root: the close is not reported");
		return PAM_SUCCESS;
	}
	if (o.timeout_ms > CLOSE_TIMEOUT_MS)
		o.timeout_ms = CLOSE_TIMEOUT_MS;
	login_read(&l, pamh);
	message_add(&m, "verb", "close");
	message_add(&m, "version", "1");
	message_add(&m, "user", l.user);
	message_add(&m, "service", l.service);
	if (exchange(o.socket, o.timeout_ms, &m, &a, why) &&
	    (answer_ok(&a) || refused(&a, why)))
		debug(pamh, &o, "session closed for %s", l.printable);
	else
		debug(pamh, &o, "cannot report the close: %s", why);
	return PAM_SUCCESS;
}

/* A line in the wrong stack has no say there, and breaks nothing. */
EXPORT int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc,
                               const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_IGNORE;
}

EXPORT int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc,
                          const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_IGNORE;
}
