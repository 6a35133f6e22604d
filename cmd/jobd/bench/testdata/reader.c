/* SPDX-License-Identifier: Apache-2.0 */

/*
 * reader [NAME]: the least that anybody can do who hears of every process and of
 * what it used. It opens the proc connector and the taskstats exit listener with
 * jobd's buffer sizes, and reads both in bursts of 5 ms, as jobd does, to drop
 * what it reads. Says "ready" when it hears; when its input ends, it says how
 * many connector messages and exit records it read and how many were dropped.
 * With a NAME it also adds up the records of that command, and says how many there
 * were, their cpu_run_virtual_total in ns, and their ac_utime and ac_stime in µs.
 */
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

enum { RECEIVE_BUFFER = 64 << 20, BURST_NS = 5000000, MEMINFO = 9, DROPS = 8 };

static char buf[16384];

static int dial(int protocol, unsigned groups)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int size = RECEIVE_BUFFER, on = 1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0)
		fail("netlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
		fail("SO_RCVBUFFORCE");
	if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) != 0)
		fail("NETLINK_NO_ENOBUFS");
	return fd;
}

static int listen_connector(void)
{
	struct {
		struct nlmsghdr nl;
		char body[sizeof(struct cn_msg) + sizeof(enum proc_cn_mcast_op)];
	} m = { .nl = { .nlmsg_len = sizeof m, .nlmsg_type = NLMSG_DONE } };
	struct cn_msg cn = { .id = { CN_IDX_PROC, CN_VAL_PROC },
	                     .len = sizeof(enum proc_cn_mcast_op) };
	enum proc_cn_mcast_op op = PROC_CN_MCAST_LISTEN;
	int fd = dial(NETLINK_CONNECTOR, CN_IDX_PROC);

	memcpy(m.body, &cn, sizeof cn);
	memcpy(m.body + sizeof cn, &op, sizeof op);
	if (send(fd, &m, sizeof m, 0) != (ssize_t)sizeof m)
		fail("PROC_CN_MCAST_LISTEN");
	if (recv(fd, buf, sizeof buf, 0) < 0)
		fail("acknowledgement");
	return fd;
}

/* request sends one generic netlink request with one string attribute. */
static void request(int fd, int type, int cmd, int attr, const char *value)
{
	struct {
		struct nlmsghdr nl;
		struct genlmsghdr genl;
		struct nlattr attr;
		char value[256];
	} m = { .nl = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
	        .genl = { .cmd = cmd, .version = 1 } };
	size_t len = strlen(value) + 1;

	if (len > sizeof m.value)
		fail("attribute");
	memcpy(m.value, value, len);
	m.attr.nla_type = attr;
	m.attr.nla_len = NLA_HDRLEN + len;
	m.nl.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(m.attr.nla_len);
	if (send(fd, &m, m.nl.nlmsg_len, 0) < 0)
		fail("generic netlink");
}

/* answer reads up to the acknowledgement, and gives the family id if one came. */
static int answer(int fd)
{
	int family = 0;

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof buf, 0);
		struct nlmsghdr *nl = (struct nlmsghdr *)buf;

		if (n < 0)
			fail("generic netlink");
		if (nl->nlmsg_type == NLMSG_ERROR) {
			errno = -((struct nlmsgerr *)NLMSG_DATA(nl))->error;
			if (errno != 0)
				fail("generic netlink");
			return family;
		}
		for (char *p = (char *)NLMSG_DATA(nl) + GENL_HDRLEN; p + NLA_HDRLEN <= buf + n;) {
			struct nlattr *a = (struct nlattr *)p;

			if (a->nla_type == CTRL_ATTR_FAMILY_ID)
				family = *(unsigned short *)(p + NLA_HDRLEN);
			if (a->nla_len < NLA_HDRLEN)
				break;
			p += NLA_ALIGN(a->nla_len);
		}
	}
}

static int listen_taskstats(void)
{
	char cpus[256] = "";
	int fd = dial(NETLINK_GENERIC, 0), family;
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");

	if (f == NULL || fgets(cpus, sizeof cpus, f) == NULL)
		fail("/sys/devices/system/cpu/possible");
	fclose(f);
	cpus[strcspn(cpus, "\n")] = '\0';
	request(fd, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME,
	        TASKSTATS_GENL_NAME);
	family = answer(fd);
	request(fd, family, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, cpus);
	answer(fd);
	return fd;
}

static struct {
	const char *name;
	unsigned long long records, virtual_ns, ticks_us;
} sum;

/* add takes in what the kernel says of one task. The struct grows at its end. */
static void add(const char *p, size_t len)
{
	struct taskstats s;

	if (len < offsetof(struct taskstats, ac_stime) + sizeof s.ac_stime)
		fail("struct taskstats");
	memcpy(&s, p, len < sizeof s ? len : sizeof s);
	if (strncmp(s.ac_comm, sum.name, sizeof s.ac_comm) != 0)
		return;
	sum.records++;
	sum.virtual_ns += s.cpu_run_virtual_total;
	sum.ticks_us += s.ac_utime + s.ac_stime;
}

/* look finds the record of a task among the attributes from p to end. */
static void look(const char *p, const char *end)
{
	while (p + NLA_HDRLEN <= end) {
		const struct nlattr *a = (const struct nlattr *)p;
		const char *value = p + NLA_HDRLEN;

		if (a->nla_len < NLA_HDRLEN || p + a->nla_len > end)
			return;
		if (a->nla_type == TASKSTATS_TYPE_AGGR_PID)
			look(value, p + a->nla_len);
		else if (a->nla_type == TASKSTATS_TYPE_STATS)
			add(value, a->nla_len - NLA_HDRLEN);
		p += NLA_ALIGN(a->nla_len);
	}
}

static unsigned long drain(int fd, int records)
{
	unsigned long n = 0;
	ssize_t len;
	const ssize_t head = NLMSG_HDRLEN + GENL_HDRLEN;

	for (; (len = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0; n++) {
		if (records && sum.name != NULL && len > head)
			look(buf + head, buf + len);
	}
	return n;
}

static unsigned dropped(int fd)
{
	unsigned info[MEMINFO] = { 0 };
	socklen_t size = sizeof info;

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) != 0)
		fail("SO_MEMINFO");
	return info[DROPS];
}

int main(int argc, char **argv)
{
	const struct timespec burst = { .tv_nsec = BURST_NS };
	unsigned long messages = 0, records = 0;
	int events, stats;

	die_with_parent(getppid());
	sum.name = argc > 1 ? argv[1] : NULL;
	stats = listen_taskstats();
	events = listen_connector();
	say("ready");
	for (;;) {
		struct pollfd p[2] = { { .fd = events, .events = POLLIN },
			               { .fd = 0, .events = POLLIN } };

		if (poll(p, 2, -1) < 0)
			fail("poll");
		if (p[1].revents)
			break;
		nanosleep(&burst, NULL);
		messages += drain(events, 0);
		records += drain(stats, 1);
	}
	printf("%lu %lu %u", messages, records, dropped(events) + dropped(stats));
	if (sum.name != NULL)
		printf(" %llu %llu %llu", sum.records, sum.virtual_ns, sum.ticks_us);
	putchar('\n');
	return 0;
}
