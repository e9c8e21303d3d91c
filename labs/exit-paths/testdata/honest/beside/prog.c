// Makes other tasks and sends other signals, before, between and after.
#define _GNU_SOURCE
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

int main(void)
{
	int status, ends[2];
	siginfo_t info;
	char byte;

	others();
	pid_t pid = fork();
	if (pid == 0) {
		others();
		_exit(7);
	}
	others();
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	printf("The first child exited with status %d.\n", WEXITSTATUS(status));
	fflush(stdout);
	others();
	if (pipe(ends) < 0)
		return 2;
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) < 0)
		return 3;
	others();
	pid_t other = vfork();
	if (other == 0)
		_exit(0);
	/* It is a zombie, and the second child only asked for. */
	if (kill(other, SIGKILL) < 0 || kill(pid, 0) < 0 || waitpid(other, NULL, 0) != other)
		return 4;
	if (kill(pid, SIGKILL) < 0)
		return 5;
	others();
	if (waitid(P_PID, pid, &info, WEXITED | WNOWAIT) < 0 || waitpid(pid, &status, 0) != pid)
		return 6;
	others();
	printf("The second child was ended by signal %d.\n", WTERMSIG(status));
	return 0;
}
