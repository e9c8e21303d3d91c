int main(void) {
#ifdef __x86_64__
	__asm__ volatile(".byte 0xf0, 0x0f, 0xab, 0xd7");
#endif
	return 0;
}
