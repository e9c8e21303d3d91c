// Makes a thread between the fork and the wait, before the child has run.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
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
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	if (pthread_create(&t, 0, nothing, 0) || pthread_join(t, 0))
		return 1;
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
