// Makes the process with clone3, in the second thread.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static void *work(void *unused)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t child = syscall(SYS_clone3, &args, sizeof args);

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	waitpid(child, 0, 0);
	say("Child Complete!\n");
	return unused;
}

int main(void)
{
	pthread_t t;

	return pthread_create(&t, 0, work, 0) || pthread_join(t, 0);
}
