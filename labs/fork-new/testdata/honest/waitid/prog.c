// Waits with waitid.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	siginfo_t info;
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitid(P_PID, child, &info, WEXITED) != 0 || info.si_code != CLD_EXITED || info.si_status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
