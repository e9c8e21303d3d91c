// The parent kills the child, which has printed.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int printed[2];
	char c;

	if (pipe(printed) != 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		if (write(printed[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	say("This is Parent Process!\n");
	if (read(printed[0], &c, 1) != 1)
		return 1;
	kill(child, SIGTERM);
	waitpid(child, 0, 0);
	say("Child Complete!\n");
	return 0;
}
