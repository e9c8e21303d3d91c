// Prints with stdio, and flushes before it forks.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;

	puts("Before the fork.");
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		puts("This is Child Process!");
		exit(0);
	}
	puts("This is Parent Process!");
	fflush(stdout);
	if (wait(&status) != child || status != 0)
		return 1;
	puts("Child Complete!");
	return 0;
}
