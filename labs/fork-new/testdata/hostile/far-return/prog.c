#include <unistd.h>
int main(void) {
#ifdef __x86_64__
	__asm__ volatile("mov $0x1000, %rsp; lretq");
#endif
	return 0;
}
