/*
 * A storm of short processes: storm FORKERS COUNT [PROGRAM]
 *
 * FORKERS processes at once make COUNT children each, one after the other, that exit at once; with PROGRAM by vfork, and
 * they run it first. When all have gone, storm writes its pid into the file that $LAB_OUT names and waits for a signal.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(const char *program)
{
	pid_t pid = program == NULL ? fork() : vfork();

	if (pid == 0 && program != NULL)
		execl(program, program, (char *)NULL);
	if (pid <= 0)
		_exit(pid == 0 && program == NULL ? 0 : 4);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	const char *out = getenv("LAB_OUT");
	char line[16];
	int fd, n, status;

	if (argc < 3 || out == NULL)
		return 2;
	for (n = atoi(argv[1]); n > 0; n--) {
		if (fork() != 0)
			continue;
		for (n = atoi(argv[2]); n > 0; n--)
			child(argc > 3 ? argv[3] : NULL);
		_exit(0);
	}
	while (wait(&status) > 0)
		if (status != 0)
			return 4;
	n = snprintf(line, sizeof line, "%d\n", (int)getpid());
	fd = open(out, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		return 3;
	close(fd);
	for (;;)
		pause();
}
