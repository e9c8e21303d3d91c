// A thread forks and waits, and not the first of the program.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static void *work(void *unused)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		_exit(1);
	say("Child Complete!\n");
	return unused;
}

int main(void)
{
	pthread_t t;

	return pthread_create(&t, 0, work, 0) || pthread_join(t, 0);
}
