/*
 * The program of copy-on-write in C. It maps five pages, writes to all of them, and forks.
 * The child writes to the third page, and after that the parent writes to the same page.
 * Two pipes pass the turn between them.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 4096
#define PAGES 5

static void show(const char *who, const char *page)
{
	if (write(STDOUT_FILENO, who, strlen(who)) < 0 ||
	    write(STDOUT_FILENO, page, strlen(page)) < 0)
		_exit(1);
}

static void pass(int to[2])
{
	if (write(to[1], "x", 1) != 1)
		_exit(1);
}

static void await(int from[2])
{
	char c;

	if (read(from[0], &c, 1) != 1)
		_exit(1);
}

int main(void)
{
	int to_child[2], to_parent[2];
	char *memory = mmap(NULL, PAGES * SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *page = memory + 2 * SIZE;
	pid_t pid;

	if (memory == MAP_FAILED || pipe(to_child) || pipe(to_parent))
		return 1;
	for (int i = 0; i < PAGES; i++)
		strcpy(memory + i * SIZE, "written before the fork\n");
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		strcpy(page, "written by the child\n");
		pass(to_parent);
		await(to_child);
		show("The child reads: ", page);
		_exit(0);
	}
	await(to_parent);
	show("The parent reads: ", page);
	strcpy(page, "written by the parent\n");
	show("The parent reads: ", page);
	pass(to_child);
	if (waitpid(pid, NULL, 0) != pid)
		return 1;
	return 0;
}
