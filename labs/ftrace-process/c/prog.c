/*
 * The program of ftrace-process in C. It makes two processes that end in the two ways there
 * are: the first calls exit_group, the second is killed by a signal.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) < 0)
		fail("waitpid");
	return status;
}

int main(void)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0)
		_exit(7); /* glibc's _exit makes the system call exit_group */
	printf("The first child exited with status %d.\n", WEXITSTATUS(wait_for(pid)));

	/*
	 * The second child closes its end of the pipe when it runs: a process that is
	 * killed before its first instruction dies too, but with another kernel stack.
	 */
	int ends[2];
	char byte;
	if (pipe(ends) < 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) < 0) /* 0, the end of the file, once both have closed it */
		fail("read");
	if (kill(pid, SIGKILL) < 0)
		fail("kill");
	printf("The second child was ended by signal %d.\n", WTERMSIG(wait_for(pid)));
	return 0;
}
