/*
 * The program of kthread in C. It makes the kernel start a thread of its own, looks at
 * it, and makes the kernel end it.
 *
 * The thread psimon watches how long tasks wait for a CPU. The kernel runs it only while
 * there is a trigger, so to set a trigger is a way to have a kernel thread made.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The program inherits /proc/pressure/cpu, opened by root, as this descriptor. */
#define PRESSURE 3

/*
 * Report when tasks have waited for the CPU for half of the last second. The kernel
 * replaces the last byte by a NUL.
 */
static const char trigger[] = "some 500000 1000000\n";

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* field reads what follows key on its line of a file below /proc, "" when there is none. */
static void field(const char *pid, const char *file, const char *key, char *value, int size)
{
	char path[300], line[256];

	value[0] = '\0';
	snprintf(path, sizeof path, "/proc/%s/%s", pid, file);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return; /* the process has ended */
	while (value[0] == '\0' && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, key, strlen(key)) == 0)
			snprintf(value, size, "%s", line + strlen(key));
	}
	fclose(f);
}

/* find says whose child the process of that name is, "none" when there is none. */
static const char *find(const char *name)
{
	static char found[64];
	char comm[32], parent[16];
	struct dirent *entry;

	strcpy(found, "none");
	DIR *proc = opendir("/proc");
	if (proc == NULL)
		fail("/proc");
	while ((entry = readdir(proc)) != NULL) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue; /* no process */
		field(entry->d_name, "comm", "", comm, sizeof comm);
		if (strcmp(comm, name) != 0)
			continue;
		field(entry->d_name, "status", "PPid:\t", parent, sizeof parent);
		field(parent, "comm", "", comm, sizeof comm);
		snprintf(found, sizeof found, "a child of %s", comm);
	}
	closedir(proc);
	return found;
}

int main(void)
{
	int file = PRESSURE;

	if (fcntl(file, F_GETFD) < 0) {
		/* In the guest's shell nobody has opened it, and the program is root's. */
		file = open("/proc/pressure/cpu", O_RDWR);
		if (file < 0)
			fail("/proc/pressure/cpu");
	}
	printf("psimon before: %s\n", find("psimon"));
	if (write(file, trigger, strlen(trigger)) < 0)
		fail("write");
	printf("psimon while a trigger is set: %s\n", find("psimon"));
	/* The kernel removes a trigger when its file is closed. */
	close(file);
	/* The close has asked the thread to end; its task takes a moment more to go. */
	for (int i = 0; i < 100 && strcmp(find("psimon"), "none") != 0; i++)
		usleep(10000);
	printf("psimon after: %s\n", find("psimon"));
	return 0;
}
