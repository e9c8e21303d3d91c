// Makes a process with clone3 between the fork and the wait, and one after it.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static int other(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);

	if (pid == 0)
		_exit(0);
	return pid;
}

int main(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	if (other() < 0)
		return 1;
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	other();
	while (wait(0) > 0)
		;
	say("Child Complete!\n");
	return 0;
}
