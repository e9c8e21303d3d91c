// Makes other tasks, and waits for them, at every time but between a child's end and the
// signal that reports it.
#define _GNU_SOURCE
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* state returns the letter that ps shows for a process, or "none". */
static const char *state(pid_t pid)
{
	static char line[512], letter[2];
	char path[32];

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return "none";
	char *after = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
	fclose(f);
	if (after == NULL || strlen(after) < 3)
		return "none";
	letter[0] = after[2];
	return letter;
}

static void *nothing(void *unused) { return unused; }

/* others makes tasks in every other way, and waits for them. */
static void others(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pthread_t t;
	pid_t pid;

	if (pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL))
		exit(91);
	if (system("exit 0") == -1)
		exit(92);
	pid = vfork();
	if (pid == 0)
		_exit(0);
	if (waitpid(pid, NULL, 0) != pid)
		exit(93);
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(0);
	if (waitpid(pid, NULL, 0) != pid)
		exit(94);
}

/* quiet forgets the signals of the other children. */
static void quiet(const sigset_t *set)
{
	struct timespec none = { 0, 0 };

	while (sigtimedwait(set, NULL, &none) > 0)
		;
}

int main(void)
{
	sigset_t ended;
	int signo, status;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	others();
	quiet(&ended);
	pid_t first = fork();
	if (first == 0)
		_exit(5);
	sigwait(&ended, &signo);
	puts("SIGCHLD: the first child has ended.");
	others();
	quiet(&ended);
	printf("Its state before the wait: %s\n", state(first));
	if (waitpid(first, &status, 0) != first)
		return 1;
	others();
	printf("The wait returned its exit status: %d\n", WEXITSTATUS(status));
	printf("Its state after the wait: %s\n", state(first));
	fflush(stdout);
	quiet(&ended);
	pid_t second = fork();
	if (second == 0)
		_exit(6);
	sigwait(&ended, &signo);
	puts("SIGCHLD: the second child has ended.");
	others();
	printf("Its state, with no wait: %s\n", state(second));
	return 0;
}
