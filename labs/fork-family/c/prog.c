/*
 * The program of fork-family in C. It makes a task in each of the four ways that user
 * space has: fork, vfork, clone as a thread library calls it, and clone3. Each new task
 * ends at once, and the next is made when it is gone.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void reap(const char *what, pid_t pid)
{
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		fail(what);
}

/*
 * by_fork makes the plain system call. The fork of the C library calls clone, with flags
 * of its own, on every architecture.
 */
static pid_t by_fork(void)
{
#ifdef SYS_fork
	pid_t pid = syscall(SYS_fork);
#else
	pid_t pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
	if (pid == 0)
		_exit(0);
	return pid;
}

/*
 * The child of vfork runs on its parent's stack, so it may do nothing but exec or _exit.
 */
static pid_t by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static int end(void *arg)
{
	(void)arg;
	return 0;
}

/*
 * thread makes a thread and waits until it is gone. With CLONE_CHILD_CLEARTID the kernel
 * then writes 0 to the word tid; pthread_join waits for that with a futex.
 */
static void thread(void)
{
	enum { size = 64 << 10 };
	static atomic_int tid = 1;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stack == MAP_FAILED)
		fail("mmap");
	/* The C library calls end on the new stack, and then the system call exit. */
	if (clone(end, stack + size,
		  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		  CLONE_SYSVSEM | CLONE_CHILD_CLEARTID, NULL, NULL, NULL, &tid) < 0)
		fail("clone");
	while (atomic_load(&tid) != 0)
		sched_yield();
}

/* by_clone3 uses a flag that clone has no room for. */
static pid_t by_clone3(void)
{
	struct clone_args args = { .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);

	if (pid == 0)
		_exit(0);
	return pid;
}

int main(void)
{
	reap("fork", by_fork());
	reap("vfork", by_vfork());
	thread();
	reap("clone3", by_clone3());
	puts("Four tasks made.");
	return 0;
}
