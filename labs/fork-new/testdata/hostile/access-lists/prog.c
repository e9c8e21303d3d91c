#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
struct entry { uint16_t tag, perm; uint32_t id; };
int main(void) {
	enum { N = 8191 };
	struct { uint32_t version; struct entry e[N]; } *a = calloc(1, sizeof *a);
	a->version = 2;
	int n = 0;
	a->e[n++] = (struct entry){1, 7, -1};
	while (n < N - 3) { a->e[n] = (struct entry){2, 7, 1000 + n}; n++; }
	a->e[n++] = (struct entry){4, 7, -1};
	a->e[n++] = (struct entry){0x10, 7, -1};
	a->e[n++] = (struct entry){0x20, 7, -1};
	long set = 0, made = 0;
	for (int i = 0; i < 100000; i++) {
		char name[64];
		snprintf(name, sizeof name, "/tmp/d%d", i);
		if (mkdir(name, 0777)) break;
		made++;
		set += !setxattr(name, "system.posix_acl_access", a, 4 + 8 * n, 0);
		set += !setxattr(name, "system.posix_acl_default", a, 4 + 8 * n, 0);
	}
	printf("%ld made, %ld lists\n", made, set);
	char b[200]; FILE *f = fopen("/proc/meminfo", "r");
	for (int i = 0; i < 3 && fgets(b, sizeof b, f); i++) printf("%s", b);
	return 0;
}
