// Makes threads before it forks, which end before or after.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static sem_t go;

static void *stay(void *unused)
{
	sem_wait(&go);
	return unused;
}

static void *nothing(void *unused)
{
	return unused;
}

int main(void)
{
	int status;
	pthread_t a, b;

	sem_init(&go, 0, 0);
	if (pthread_create(&a, 0, nothing, 0) || pthread_join(a, 0) || pthread_create(&b, 0, stay, 0))
		return 1;
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	sem_post(&go);
	pthread_join(b, 0);
	say("Child Complete!\n");
	return 0;
}
