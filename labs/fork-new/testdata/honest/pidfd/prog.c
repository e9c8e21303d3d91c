// Waits for the child by a descriptor.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
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
	struct pollfd end = { .fd = syscall(SYS_pidfd_open, child, 0), .events = POLLIN };
	if (end.fd < 0 || poll(&end, 1, -1) != 1)
		return 1;
	if (waitid(3 /* P_PIDFD */, end.fd, &info, WEXITED) != 0 || info.si_status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
