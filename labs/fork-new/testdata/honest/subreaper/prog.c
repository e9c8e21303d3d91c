// The parent gets its child's child, which it reaps before or after its own.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;
	int ended = 0;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		if (fork() == 0)
			_exit(0);
		_exit(0);
	}
	say("This is Parent Process!\n");
	for (pid_t got; (got = wait(&status)) > 0;) {
		if (got == child)
			ended = status == 0;
	}
	if (!ended)
		return 1;
	say("Child Complete!\n");
	return 0;
}
