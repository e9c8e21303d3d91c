// Single-steps itself, through the call that the lab is about too, so that the
// debugger outside meets traps that are not its own. It does what the lab asks.
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static void trap(int sig) { (void)sig; }

static void step(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
#endif
}

static void run(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
#endif
}

int main(void)
{
	int status;

	signal(SIGTRAP, trap);
	step();
	pid_t child = fork();
	if (child == 0) {
		run();
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child)
		return 1;
	run();
	say("Child Complete!\n");
	return 0;
}
