// At each line on stdin it forks a child that stays, and prints its pid.
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	char line[8];

	while (fgets(line, sizeof(line), stdin)) {
		pid_t child = fork();
		if (child == 0)
			for (;;)
				pause();
		printf("%d\n", child);
		fflush(stdout);
	}
	return 0;
}
