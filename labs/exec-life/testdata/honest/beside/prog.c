// Makes other tasks before the fork, between the fork and the wait, and after it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* copy writes this program, which as hello prints the message, to /tmp/hello. */
static void copy(const char *self)
{
	static char data[8 << 20];
	int from = open("/proc/self/exe", O_RDONLY), to = open("/tmp/hello", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ssize_t n;

	if (strcmp(self, "/tmp/hello") == 0 || strcmp(self, "hello") == 0) {
		if (write(1, "Hello from the new program.\n", 28) != 28)
			_exit(90);
		_exit(7);
	}
	if (from < 0 || to < 0)
		exit(95);
	while ((n = read(from, data, sizeof data)) > 0)
		if (write(to, data, n) != n)
			exit(96);
	close(from);
	close(to);
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

int main(int argc, char **argv)
{
	char *args[] = { "/tmp/hello", NULL };
	int status;

	copy(argc > 0 ? argv[0] : "");
	others();
	pid_t pid = fork();
	if (pid == 0) {
		execv(args[0], args);
		_exit(127);
	}
	others();
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	others();
	printf("/tmp/hello ended with status %d.\n", WEXITSTATUS(status));
	return 0;
}
