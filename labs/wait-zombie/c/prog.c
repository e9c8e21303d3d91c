/*
 * The program of wait-zombie in C. It makes two processes that end at once. It waits for
 * the first and looks at it before and after; it never waits for the second.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/*
 * state returns the letter that ps shows for a process, or "none" when there is no such
 * process. In /proc/PID/stat it is the field after the name, which is in parentheses.
 */
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
		return "none"; /* it was released while we read */
	letter[0] = after[2];
	return letter;
}

static pid_t child(int status)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0)
		_exit(status);
	return pid;
}

int main(void)
{
	sigset_t ended;
	int signo, status;

	/* A blocked signal stays pending until sigwait takes it. */
	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);

	pid_t first = child(5);
	sigwait(&ended, &signo);
	puts("SIGCHLD: the first child has ended.");
	printf("Its state before the wait: %s\n", state(first));
	if (waitpid(first, &status, 0) < 0)
		fail("waitpid");
	printf("The wait returned its exit status: %d\n", WEXITSTATUS(status));
	printf("Its state after the wait: %s\n", state(first));

	pid_t second = child(6);
	sigwait(&ended, &signo);
	puts("SIGCHLD: the second child has ended.");
	printf("Its state, with no wait: %s\n", state(second));
	return 0;
}
