/*
 * Somebody at jobd's sockets who is not what they seem. Sends what stands on standard input and prints what is answered.
 *
 *   knock KIND PATH               connect and ask; KIND is login (SOCK_SEQPACKET) or api (SOCK_STREAM)
 *   knock -t KIND PATH CMD ...    connect, and run a command that finds the socket as descriptor 3
 *   knock -3                      ask on descriptor 3
 *   knock -p UID KIND PATH        another process, of that uid, connects and passes the socket; then ask
 *   knock -d UID KIND PATH        as -p, and that process has gone before anything is asked
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int reach(const char *kind, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, strcmp(kind, "login") == 0 ? SOCK_SEQPACKET : SOCK_STREAM, 0);

	strncpy(addr.sun_path, path, sizeof addr.sun_path - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
		printf("cannot connect: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

static int ask(int fd)
{
	char text[16384];
	ssize_t n = read(0, text, sizeof text);

	if (n < 0 || send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		printf("cannot send: %s\n", strerror(errno));
	while ((n = read(fd, text, sizeof text)) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	if (n < 0)
		printf("cannot read: %s\n", strerror(errno));
	return 0;
}

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

static void pass(int through, int fd)
{
	union control c;
	struct iovec one = { "", 1 };
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c };

	memset(&c, 0, sizeof c);
	c.head.cmsg_level = SOL_SOCKET;
	c.head.cmsg_type = SCM_RIGHTS;
	c.head.cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(&c.head), &fd, sizeof fd);
	if (sendmsg(through, &m, 0) != 1)
		_exit(1);
}

static int take(int through)
{
	union control c;
	char byte;
	struct iovec one = { &byte, 1 };
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c };
	int fd;

	if (recvmsg(through, &m, 0) != 1 || m.msg_controllen == 0)
		exit(1);
	memcpy(&fd, CMSG_DATA(&c.head), sizeof fd);
	return fd;
}

static int passed(int gone, uid_t uid, const char *kind, const char *path)
{
	int pair[2], fd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 || (pid = fork()) < 0)
		return 1;
	if (pid == 0) {
		close(pair[0]);
		if (setgid(uid) != 0 || setuid(uid) != 0)
			_exit(1);
		pass(pair[1], reach(kind, path));
		if (!gone)
			(void)!read(pair[1], &pid, 1); /* until the other has done */
		_exit(0);
	}
	close(pair[1]);
	fd = take(pair[0]);
	if (gone)
		waitpid(pid, NULL, 0);
	puts("connected");
	fflush(stdout);
	return ask(fd);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "-3") == 0)
		return ask(3);
	if (argc == 3)
		return ask(reach(argv[1], argv[2]));
	if (argc > 4 && strcmp(argv[1], "-t") == 0) {
		dup2(reach(argv[2], argv[3]), 3);
		execv(argv[4], argv + 4);
		return 127;
	}
	if (argc == 5 && argv[1][0] == '-' && (argv[1][1] == 'p' || argv[1][1] == 'd'))
		return passed(argv[1][1] == 'd', (uid_t)atoi(argv[2]), argv[3], argv[4]);
	return 2;
}
