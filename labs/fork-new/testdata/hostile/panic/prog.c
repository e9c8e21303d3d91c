// Asks the kernel to panic in every way there is for a program, and then says that
// it did.
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0 && write(fd, text, strlen(text)) > 0)
		write(1, "wrote\n", 6);
}

int main(void)
{
	put("/proc/sys/kernel/sysrq", "1");
	put("/proc/sysrq-trigger", "c");
	put("/dev/kmsg", "<0>Kernel panic - not syncing: me\n");
	put("/dev/mem", "xxxx");
	put("/dev/port", "xxxx");
	put("/sys/kernel/debug/provoke-crash/DIRECT", "PANIC");
	put("/proc/sys/kernel/core_pattern", "|/bin/fork-new");
	put("/proc/sys/kernel/modprobe", "/bin/fork-new");
	prctl(PR_SET_NAME, "Kernel panic - ");
	if (fork() == 0)
		*(volatile int *)0 = 1; // the kernel's line about it starts with the name
	wait(0);
	write(1, "Kernel panic - not syncing: me\n---[ end Kernel panic - not syncing: me ]---\n", 77);
	return 0;
}
