// Makes the process by the instruction of 32-bit programs.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	long child;

	__asm__ volatile("int $0x80" : "=a"(child) : "a"(120L), "b"(17L), "c"(0L), "d"(0L), "S"(0L), "D"(0L) : "memory", "r8", "r9", "r10", "r11");
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	waitpid(child, 0, 0);
	say("Child Complete!\n");
	return 0;
}
