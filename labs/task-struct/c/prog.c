/*
 * The program of task-struct in C. It changes what the kernel keeps of a task, one member
 * after the other: the working directory, the name, the open files, the pending signals,
 * and then the process tree, by a thread and two children.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void *nothing(void *arg)
{
	return arg;
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void end(pid_t pid)
{
	check(kill(pid, SIGKILL) == 0, "kill");
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
}

int main(void)
{
	const struct timespec rest = { .tv_nsec = 20000000 };
	pthread_t thread;
	pid_t first, second;
	sigset_t set;

	check(chdir("/proc/sys") == 0, "chdir");
	check(prctl(PR_SET_NAME, "renamed") == 0, "prctl");
	check(open("/dev/null", O_RDONLY) >= 0, "open");

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	check(kill(getpid(), SIGUSR1) == 0, "kill"); /* it stays pending */

	check(pthread_create(&thread, NULL, nothing, NULL) == 0, "pthread_create");
	check(pthread_join(thread, NULL) == 0, "pthread_join");

	first = sleeper();
	second = sleeper();
	nanosleep(&rest, NULL); /* both sleep by now */
	end(first);
	end(second);
	puts("The tour is over.");
	return 0;
}
