/*
 * A child whose first thread has exited: it says its pid when that can be seen, and exits whole with the next line. Nobody waits for it.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int is_zombie(void)
{
	char path[64], line[512], *name;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
	f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof line, f) == NULL)
		_exit(1);
	fclose(f);
	name = strrchr(line, ')');
	return name != NULL && name[2] == 'Z';
}

static void *rest(void *none)
{
	char line[8];

	while (!is_zombie())
		usleep(1000);
	printf("%d\n", getpid());
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		_exit(1);
	_exit(3);
	return none;
}

int main(void)
{
	pthread_t t;

	if (fork() != 0)
		for (;;)
			pause();
	if (pthread_create(&t, NULL, rest, NULL) != 0)
		return 1;
	pthread_exit(NULL);
}
