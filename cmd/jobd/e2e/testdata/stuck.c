/*
 * Processes that execute a program for as long as they like: exec closes a file of theirs, on a file system whose server, a child,
 * does not answer. As root, in a mount namespace of its own.
 *
 *   stuck DIR N   N such; each says that it is there just before
 */
#include "stay.h"
#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int dev;

static void reply(__u64 unique, int error, const void *data, size_t n)
{
	char buf[512];
	struct fuse_out_header out = { .len = (__u32)(sizeof out + n), .error = error, .unique = unique };

	memcpy(buf, &out, sizeof out);
	memcpy(buf + sizeof out, data, n);
	check(write(dev, buf, sizeof out + n) < 0);
}

static struct fuse_attr attributes(__u64 node)
{
	return (struct fuse_attr){ .ino = node, .mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644, .nlink = 1, .blksize = 4096 };
}

/* One file, number 2, under any name. Its FLUSH, which a close waits for, is never answered. */
static void answer(const struct fuse_in_header *in)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 };
	struct fuse_entry_out entry = { .nodeid = 2, .attr = attributes(2) };
	struct fuse_attr_out attr = { .attr = attributes(in->nodeid) };
	struct fuse_open_out file = { .fh = 1 };

	switch (in->opcode) {
	case FUSE_INIT:
		reply(in->unique, 0, &init, sizeof init);
		break;
	case FUSE_LOOKUP:
		reply(in->unique, 0, &entry, sizeof entry);
		break;
	case FUSE_GETATTR:
		reply(in->unique, 0, &attr, sizeof attr);
		break;
	case FUSE_OPEN:
		reply(in->unique, 0, &file, sizeof file);
		break;
	case FUSE_FLUSH:
	case FUSE_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(in->unique, -ENOSYS, "", 0);
	}
}

__attribute__((noreturn)) static void serve(void)
{
	static char buf[1 << 16];

	announce();
	for (;;) {
		ssize_t n = read(dev, buf, sizeof buf);

		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			answer((const struct fuse_in_header *)buf);
		else if (errno == ENODEV)
			_exit(0);
	}
}

static void get_stuck(const char *dir)
{
	char path[256];

	snprintf(path, sizeof path, "%s/file", dir);
	check(open(path, O_RDONLY | O_CLOEXEC) < 0);
	announce();
	execl("/proc/self/exe", "stuck", NULL);
	_exit(5);
}

int main(int argc, char **argv)
{
	char options[64];
	int n;

	if (argc < 3)
		return 2;
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	check(dev < 0 || unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	check(mount("stuck", argv[1], "fuse.stuck", MS_NOSUID | MS_NODEV, options) != 0);
	if (fork() == 0)
		serve();
	for (n = atoi(argv[2]); n > 0; n--)
		if (fork() == 0)
			get_stuck(argv[1]);
	stay();
}
