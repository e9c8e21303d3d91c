/*
 * The program of wake-up in C. It forks, and the child runs for as long as it takes the
 * kernel to return from waking it: it spins until its parent's call has returned, so
 * that it can run at any time in between and is never seen asleep or dead.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	/* Memory that both processes have: here the child sees that its parent is back. */
	atomic_int *back = mmap(NULL, sizeof *back, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (back == MAP_FAILED) {
		perror("mmap");
		return 1;
	}

	pid_t pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (pid == 0) {
		while (!atomic_load(back))
			sched_yield();
		puts("The child runs.");
		return 0;
	}
	atomic_store(back, 1);

	int status;
	if (waitpid(pid, &status, 0) < 0) {
		perror("waitpid");
		return 1;
	}
	puts("The child has ended.");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
