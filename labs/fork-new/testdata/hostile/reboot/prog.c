// Restarts, halts and replaces the machine.
#define _GNU_SOURCE
#include <linux/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	static const unsigned how[] = {
		LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_HALT, LINUX_REBOOT_CMD_KEXEC, LINUX_REBOOT_CMD_CAD_ON,
	};

	for (unsigned i = 0; i < sizeof how / sizeof *how; i++)
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, how[i], 0);
	if (fork() == 0) {
		execl("/bbin/poweroff", "poweroff", (char *)0);
		execl("/bin/poweroff", "poweroff", (char *)0);
		_exit(0);
	}
	if (fork() == 0) {
		execl("/init", "init", (char *)0);
		_exit(0);
	}
	sleep(1);
	return 0;
}
