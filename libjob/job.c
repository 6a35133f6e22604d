/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The functions of job.h, each a verb of job.sock. The manual is libjob(3).
 */
#define _GNU_SOURCE
#include "job.h"
#include "wire.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define NO_JID ((jid_t)-1)

/* How long jobd may take for what it does at once. A request has its time
 * there, too; this one is for a jobd that is stopped. */
#define TIMEOUT_MS 15000

/* How long a wait for a job goes on while jobd is restarted. */
#define RESTART_MS 10000
#define RESTART_LOOK_MS 100

/* refused makes an errno of an answer that says no; conflict is what the
 * function calls a thing that is against it. Always -1. */
static int refused(const struct answer *a, int conflict)
{
	static const struct {
		const char *code;
		int error;
	} codes[] = {
		{ "bad_request", EINVAL },  { "denied", EPERM },
		{ "no_such_job", ENODATA }, { "no_process", ESRCH },
		{ "busy", EAGAIN },         { "unavailable", EAGAIN },
		{ "disabled", ECANCELED },
	};

	errno = EIO;
	if (answer_is(a, "code", "conflict"))
		errno = conflict;
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (answer_is(a, "code", codes[i].code))
			errno = codes[i].error;
	return -1;
}

/* next reads a datagram that says yes. */
static int next(int fd, struct answer *a, int timeout_ms, int conflict)
{
	if (!exchange_next(fd, a, timeout_ms))
		return -1;
	return answer_is(a, "status", "ok") ? 0 : refused(a, conflict);
}

static int ask_for(const struct request *r, struct answer *a, int timeout_ms,
                   int conflict)
{
	int fd = exchange_begin(r, TIMEOUT_MS);
	int rc, error;

	if (fd < 0)
		return -1;
	rc = next(fd, a, timeout_ms, conflict);
	error = errno;
	close(fd);
	if (rc != 0)
		errno = error;
	return rc;
}

static int ask(const struct request *r, struct answer *a, int conflict)
{
	return ask_for(r, a, TIMEOUT_MS, conflict);
}

/* bad is an answer that lacks what it has to have. */
static int bad(void)
{
	errno = EPROTO;
	return -1;
}

static int number_of(const struct answer *a, const char *key)
{
	long long v;

	return answer_number(a, key, &v) && v <= INT32_MAX ? (int)v : bad();
}

static jid_t jid_of(const struct answer *a)
{
	uint64_t jid;

	return answer_jid(a, &jid) ? (jid_t)jid : (jid_t)bad();
}

/* add_pid names a process. The caller is not named: whoever asks is known to
 * jobd, also from within another pid namespace. */
static int add_pid(struct request *r, pid_t pid)
{
	if (pid <= 0) {
		errno = ESRCH;
		return -1;
	}
	if (pid != getpid())
		request_number(r, "pid", pid);
	return 0;
}

/* add_jid names a job; there is none that is 0 or -1. */
static int add_jid(struct request *r, jid_t jid)
{
	if (jid == 0 || jid == NO_JID) {
		errno = ENODATA;
		return -1;
	}
	request_jid(r, jid);
	return 0;
}

/* add_owner names who is to own a job: jobd asks no name service, and only
 * shows the name. */
static void add_owner(struct request *r, uid_t uid)
{
	struct passwd pw, *found = NULL;
	char names[4096];
	int error = errno;

	if (getpwuid_r(uid, &pw, names, sizeof names, &found) == 0 &&
	    found != NULL) {
		request_text(r, "user", pw.pw_name);
		request_number(r, "gid", (long long)pw.pw_gid);
	}
	errno = error;
}

EXPORT jid_t job_create(jid_t jid_requested, uid_t uid, int options)
{
	struct request r;
	struct answer a;

	(void)options; /* the ancestor had none */
	request_begin(&r, "create");
	if (jid_requested != 0)
		request_jid(&r, jid_requested);
	request_number(&r, "uid", (long long)uid);
	add_owner(&r, uid);
	if (ask(&r, &a, EBUSY) == 0)
		return jid_of(&a);
	/* That no jobs are made is no error, and no job either. */
	return errno == ECANCELED ? 0 : NO_JID;
}

EXPORT jid_t job_getjid(pid_t pid)
{
	struct request r;
	struct answer a;
	size_t len;

	request_begin(&r, "getjid");
	if (add_pid(&r, pid) != 0 || ask(&r, &a, EINVAL) != 0)
		return NO_JID;
	if (answer_get(&a, "jid", &len) == NULL) {
		errno = ENODATA;
		return NO_JID;
	}
	return jid_of(&a);
}

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* again tells whether a wait that broke off may be taken up: jobd is being
 * restarted. */
static bool again(int *left_ms)
{
	struct timespec pause = { .tv_nsec = RESTART_LOOK_MS * 1000000L };

	if (errno != EAGAIN && errno != ECONNRESET && errno != ENOENT)
		return false;
	if (*left_ms <= 0 || nanosleep(&pause, NULL) != 0)
		return false;
	*left_ms -= RESTART_LOOK_MS;
	return true;
}

/* wait_once waits until jobd answers, or is there no more. *left_ms is how
 * long to try again: anew after each wait, not after each refusal. */
static int wait_once(const struct request *r, struct answer *a, int *left_ms)
{
	time_t start = now_s();
	int fd = exchange_begin(r, TIMEOUT_MS);
	int rc, error;

	if (fd < 0)
		return -1;
	rc = next(fd, a, -1, EINVAL);
	error = errno;
	close(fd);
	if (*left_ms < 0 || now_s() - start > 1)
		*left_ms = RESTART_MS;
	errno = error;
	return rc;
}

EXPORT jid_t job_waitjid(jid_t jid, int *status, int options)
{
	struct request r;
	struct answer a;
	long long wait_status = 0;
	int left_ms = -1; /* nothing is taken up that was never begun */

	if (options != 0) {
		errno = EINVAL;
		return NO_JID;
	}
	request_begin(&r, "waitjid");
	if (add_jid(&r, jid) != 0)
		return NO_JID;
	while (wait_once(&r, &a, &left_ms) != 0)
		if (!again(&left_ms))
			return NO_JID;
	if (status != NULL) {
		(void)answer_number(&a, "wait_status", &wait_status);
		*status = (int)wait_status;
	}
	return jid_of(&a);
}

EXPORT int job_killjid(jid_t jid, int sig)
{
	struct request r;
	struct answer a;

	if (sig < 0) {
		errno = EINVAL;
		return -1;
	}
	request_begin(&r, "killjid");
	request_number(&r, "signal", sig);
	return add_jid(&r, jid) != 0 ? -1 : ask(&r, &a, EINVAL);
}

EXPORT int job_getjidcnt(void)
{
	struct request r;
	struct answer a;

	request_begin(&r, "getjidcnt");
	return ask(&r, &a, EINVAL) != 0 ? -1 : number_of(&a, "count");
}

/* A list that is read: jids or pids, as many as there is room for. */
struct list {
	const char *key;
	int base;
	jid_t *jids;
	pid_t *pids;
	size_t room, used;
};

static int list_add(struct list *l, const struct answer *a)
{
	size_t len;
	const char *text = answer_get(a, l->key, &len);
	const char *end = text == NULL ? NULL : text + len;
	uint64_t v;

	while (text != NULL && text < end && l->used < l->room) {
		if (!next_element(&text, end, l->base, &v))
			return bad();
		if (l->jids != NULL)
			l->jids[l->used++] = (jid_t)v;
		else
			l->pids[l->used++] = (pid_t)v;
	}
	return 0;
}

/* list_ask reads an answer of as many datagrams as there are: all of one
 * moment. */
static int list_ask(const struct request *r, struct list *l)
{
	struct answer a;
	int fd = exchange_begin(r, TIMEOUT_MS);
	int rc = -1, error;
	bool more;

	if (fd < 0)
		return -1;
	do {
		size_t before = l->used;

		rc = next(fd, &a, TIMEOUT_MS, EINVAL);
		if (rc == 0)
			rc = list_add(l, &a);
		more = answer_is(&a, "more", "1") && l->used > before;
	} while (rc == 0 && more && l->used < l->room);
	error = errno;
	close(fd);
	if (rc == 0)
		return (int)l->used;
	errno = error;
	return -1;
}

EXPORT int job_getjidlist(jid_t *jids, int size_in_bytes)
{
	struct request r;
	struct list l = { .key = "jids", .base = 16, .jids = jids };

	if (size_in_bytes < 0 || (jids == NULL && size_in_bytes > 0)) {
		errno = EINVAL;
		return -1;
	}
	l.room = (size_t)size_in_bytes / sizeof *jids;
	request_begin(&r, "getjidlist");
	return list_ask(&r, &l);
}

EXPORT int job_getpidcnt(jid_t jid)
{
	struct request r;
	struct answer a;

	request_begin(&r, "getpidcnt");
	if (add_jid(&r, jid) != 0 || ask(&r, &a, EINVAL) != 0)
		return -1;
	return number_of(&a, "count");
}

EXPORT int job_getpidlist(jid_t jid, pid_t *pids, int size_in_bytes)
{
	struct request r;
	struct list l = { .key = "pids", .base = 10, .pids = pids };

	if (size_in_bytes < 0 || (pids == NULL && size_in_bytes > 0)) {
		errno = EINVAL;
		return -1;
	}
	l.room = (size_t)size_in_bytes / sizeof *pids;
	request_begin(&r, "getpidlist");
	return add_jid(&r, jid) != 0 ? -1 : list_ask(&r, &l);
}

EXPORT uid_t job_getuid(jid_t jid)
{
	struct request r;
	struct answer a;
	long long uid;

	request_begin(&r, "getuid");
	if (add_jid(&r, jid) != 0 || ask(&r, &a, EINVAL) != 0)
		return (uid_t)-1;
	return answer_number(&a, "uid", &uid) ? (uid_t)uid : (uid_t)bad();
}

EXPORT pid_t job_getprimepid(jid_t jid)
{
	struct request r;
	struct answer a;

	request_begin(&r, "getprimepid");
	if (add_jid(&r, jid) != 0 || ask(&r, &a, EINVAL) != 0)
		return -1;
	return number_of(&a, "pid");
}

EXPORT int job_sethid(unsigned int hid)
{
	struct request r;
	struct answer a;

	request_begin(&r, "sethid");
	request_number(&r, "hid", (long long)hid);
	return ask(&r, &a, EINVAL);
}

EXPORT int job_detachjid(jid_t jid)
{
	struct request r;
	struct answer a;

	request_begin(&r, "detachjid");
	if (add_jid(&r, jid) != 0 || ask(&r, &a, EINVAL) != 0)
		return -1;
	return number_of(&a, "count");
}

EXPORT jid_t job_detachpid(pid_t pid)
{
	struct request r;
	struct answer a;

	request_begin(&r, "detachpid");
	if (add_pid(&r, pid) != 0 || ask(&r, &a, ENODATA) != 0)
		return NO_JID;
	return jid_of(&a);
}

EXPORT jid_t job_attachpid(pid_t pid, jid_t jid_requested)
{
	struct request r;
	struct answer a;

	request_begin(&r, "attachpid");
	if (add_pid(&r, pid) != 0 || add_jid(&r, jid_requested) != 0 ||
	    ask(&r, &a, EINVAL) != 0)
		return NO_JID;
	return jid_requested;
}

EXPORT int job_runcsa(int run)
{
	struct request r;
	struct answer a;

	request_begin(&r, "runcsa");
	request_number(&r, "run", run != 0);
	return ask(&r, &a, EINVAL);
}
