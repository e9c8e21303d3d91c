// Looks at the dead child twice before it reaps it.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;
	siginfo_t info;
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	for (int i = 0; i < 2; i++)
		if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0 || info.si_pid != child)
			return 1;
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
