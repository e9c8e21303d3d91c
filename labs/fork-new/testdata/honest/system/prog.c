// Calls system before, between and after.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;

	(void)!system("true");
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	(void)!system("true");
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	(void)!system("true");
	say("Child Complete!\n");
	return 0;
}
