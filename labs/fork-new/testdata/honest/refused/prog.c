// The kernel refuses a first call for its flags, and threads are made before the right one.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static void *nothing(void *unused)
{
	return unused;
}

int main(void)
{
	int status;
	pthread_t t;

	if (syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0) != -1 || errno != EINVAL)
		return 1;
	if (pthread_create(&t, 0, nothing, 0) || pthread_join(t, 0))
		return 1;
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
