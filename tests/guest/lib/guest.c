// SPDX-License-Identifier: GPL-2.0-only
/*
 * What every guest has.
 *
 * Theory of operation: text goes out by "rep outsb", which is one exit for all
 * of a line; the end is a write to the debug exit port. Several CPUs may print,
 * a line at a time. Nothing here needs interrupts.
 */
#include <asm/bootparam.h>
#include <stdarg.h>
#include "guest.h"
#include "irq.h"
#include "start.h"

#define PVH_MAGIC 0x336ec578U
#define LINE_MAX 512

u64 guest_info;
u32 guest_magic;
static u8 *page_next;
static u64 random_state = 1;
static u32 print_lock;

void guest_main(u64 info)
{
	guest_info = info;
	irq_init();
	guest_exit(main());
}

void guest_exit(u8 status)
{
	for (;;)
		outb(PORT_DEBUG_EXIT, status);
}

void outs(u16 port, const void *from, unsigned int width, unsigned long nr)
{
	if (width == 1)
		asm volatile("rep outsb" : "+S"(from), "+c"(nr) : "d"(port)
			     : "memory");
	else if (width == 2)
		asm volatile("rep outsw" : "+S"(from), "+c"(nr) : "d"(port)
			     : "memory");
	else
		asm volatile("rep outsl" : "+S"(from), "+c"(nr) : "d"(port)
			     : "memory");
}

void ins(u16 port, void *to, unsigned int width, unsigned long nr)
{
	if (width == 1)
		asm volatile("rep insb" : "+D"(to), "+c"(nr) : "d"(port)
			     : "memory");
	else if (width == 2)
		asm volatile("rep insw" : "+D"(to), "+c"(nr) : "d"(port)
			     : "memory");
	else
		asm volatile("rep insl" : "+D"(to), "+c"(nr) : "d"(port)
			     : "memory");
}

u64 read_width(u64 gpa, unsigned int width)
{
	switch (width) {
	case 1:
		return read8(gpa);
	case 2:
		return read16(gpa);
	case 4:
		return read32(gpa);
	default:
		return read64(gpa);
	}
}

void write_width(u64 gpa, unsigned int width, u64 v)
{
	switch (width) {
	case 1:
		write8(gpa, v);
		break;
	case 2:
		write16(gpa, v);
		break;
	case 4:
		write32(gpa, v);
		break;
	default:
		write64(gpa, v);
		break;
	}
}

u32 in_width(u16 port, unsigned int width)
{
	return width == 1 ? inb(port) : width == 2 ? inw(port) : inl(port);
}

void out_width(u16 port, unsigned int width, u32 v)
{
	if (width == 1)
		outb(port, v);
	else if (width == 2)
		outw(port, v);
	else
		outl(port, v);
}

/* gcc makes calls of these by itself. */
void *memset(void *d, int c, size_t len)
{
	void *p = d;

	asm volatile("rep stosb" : "+D"(p), "+c"(len) : "a"(c) : "memory");
	return d;
}

void *memcpy(void *d, const void *s, size_t len)
{
	void *p = d;

	asm volatile("rep movsb" : "+D"(p), "+S"(s), "+c"(len) : : "memory");
	return d;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const u8 *x = a, *y = b;

	for (; len; len--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

struct line {
	char text[LINE_MAX];
	unsigned int len;
};

static void line_char(struct line *l, char c)
{
	if (l->len < LINE_MAX)
		l->text[l->len++] = c;
}

static void line_number(struct line *l, u64 v, unsigned int base,
			unsigned int width)
{
	char digit[24];
	unsigned int n = 0;

	do {
		digit[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n < width && n < sizeof(digit))
		digit[n++] = '0';
	while (n)
		line_char(l, digit[--n]);
}

static const char *line_format(struct line *l, const char *fmt, va_list *ap)
{
	unsigned int width = 0;
	bool wide = false;
	u64 v;

	while (*fmt >= '0' && *fmt <= '9')
		width = width * 10 + *fmt++ - '0';
	while (*fmt == 'l') {
		wide = true;
		fmt++;
	}
	if (*fmt == 's') {
		const char *s = va_arg(*ap, const char *);

		while (*s)
			line_char(l, *s++);
		return fmt + 1;
	}
	if (*fmt == 'd') {
		int i = va_arg(*ap, int);

		if (i < 0)
			line_char(l, '-');
		line_number(l, i < 0 ? -(unsigned int)i : (unsigned int)i, 10, 0);
		return fmt + 1;
	}
	v = wide ? va_arg(*ap, u64) : va_arg(*ap, u32);
	if (*fmt == 'c')
		line_char(l, v);
	else
		line_number(l, v, *fmt == 'x' ? 16 : 10, width);
	return fmt + 1;
}

void print(const char *fmt, ...)
{
	struct line l;
	va_list ap;

	l.len = 0;
	va_start(ap, fmt);
	while (*fmt) {
		if (*fmt != '%')
			line_char(&l, *fmt++);
		else
			fmt = line_format(&l, fmt + 1, &ap);
	}
	va_end(ap);
	while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE))
		cpu_relax();
	outs(PORT_SERIAL, l.text, 1, l.len);
	__atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
}

void fail(const char *file, int line, const char *what)
{
	print("%s:%d: %s\n", file, line, what);
	guest_exit(1);
}

void expect_equal(const char *file, int line, const char *what, u64 got,
		  u64 want)
{
	if (got == want)
		return;
	print("%s:%d: %s is 0x%lx, not 0x%lx\n", file, line, what,
	      (unsigned long)got, (unsigned long)want);
	guest_exit(1);
}

/* Fresh guest memory is zero. */
void *page_alloc(unsigned int nr)
{
	u8 *p;

	if (!page_next)
		page_next = (u8 *)guest_end;
	p = page_next;
	page_next += nr * 4096UL;
	return p;
}

const char *cmdline(void)
{
	const struct boot_params *bp = (void *)guest_info;

	/* Its first word is the kernel's path. */
	if (guest_magic == MULTIBOOT_LOADER_MAGIC) {
		const char *p = (const char *)(u64)read32(guest_info + 16);

		while (*p && *p != ' ')
			p++;
		return *p ? p + 1 : p;
	}
	if (read32(guest_info) == PVH_MAGIC)
		return (const char *)read64(guest_info + 24);
	return (const char *)(u64)bp->hdr.cmd_line_ptr;
}

const char *option(const char *name)
{
	size_t len = strlen(name);
	const char *p = cmdline();

	while (*p) {
		if (!memcmp(p, name, len) && p[len] == '=')
			return p + len + 1;
		while (*p && *p != ' ')
			p++;
		while (*p == ' ')
			p++;
	}
	return NULL;
}

bool option_is(const char *name, const char *value)
{
	const char *v = option(name);
	size_t len = strlen(value);

	return v && !memcmp(v, value, len) && (!v[len] || v[len] == ' ');
}

u64 option_number(const char *name, u64 otherwise)
{
	const char *v = option(name);
	u64 n = 0;

	if (!v)
		return otherwise;
	while (*v >= '0' && *v <= '9')
		n = n * 10 + (u64)(*v++ - '0');
	return n;
}

void random_seed(u64 seed)
{
	random_state = seed * 2 + 1;
}

u32 random32(void)
{
	random_state = random_state * 6364136223846793005ULL +
		       1442695040888963407ULL;
	return (u32)(random_state >> 33) ^ (u32)(random_state >> 13);
}
