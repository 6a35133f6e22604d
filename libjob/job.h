/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The interface of SGI's job library, for jobd: see libjob(3).
 */
#ifndef JOBD_JOB_H
#define JOBD_JOB_H

#include <stdint.h>
#include <sys/types.h>
#ifdef JOB_IRIX_COMPAT
#include <unistd.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The host's id in the upper 32 bits, a sequence number in the lower. 0 is no
 * job, (jid_t)-1 an error, with errno set. */
typedef uint64_t jid_t;

jid_t job_create(jid_t jid_requested, uid_t uid, int options);
jid_t job_getjid(pid_t pid);
jid_t job_waitjid(jid_t jid, int *status, int options);
int job_killjid(jid_t jid, int sig);
int job_getjidcnt(void);
int job_getjidlist(jid_t *jids, int size_in_bytes);
int job_getpidcnt(jid_t jid);
int job_getpidlist(jid_t jid, pid_t *pids, int size_in_bytes);
uid_t job_getuid(jid_t jid);
pid_t job_getprimepid(jid_t jid);
int job_sethid(unsigned int hid);
int job_detachjid(jid_t jid);
jid_t job_detachpid(pid_t pid);
jid_t job_attachpid(pid_t pid, jid_t jid_requested);
int job_runcsa(int run);

/* What IRIX called them. */
#ifdef JOB_IRIX_COMPAT
static inline jid_t getjid(void) { return job_getjid(getpid()); }
static inline int killjob(jid_t jid, int sig) { return job_killjid(jid, sig); }
static inline jid_t makenewjob(jid_t jid, uid_t uid)
{
	return job_create(jid, uid, 0);
}
#endif

#ifdef __cplusplus
}
#endif

#endif
