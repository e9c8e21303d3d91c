// The child waits until the parent has printed.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;
	int ready[2];
	char c;

	if (pipe(ready) != 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		if (read(ready[0], &c, 1) != 1)
			_exit(1);
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (write(ready[1], "x", 1) != 1)
		return 1;
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
