/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every guest has: ports, memory, text on the serial port, and an end
 * with a status. A guest is main(), which lib/start.S reaches in 64-bit mode
 * with the first 4 GiB mapped one to one; what it returns is the exit status
 * of lkvm. There is no libc and no floating point.
 */
#ifndef GUEST_H
#define GUEST_H

#include "kvm/types.h"

#ifndef __packed
#define __packed __attribute((packed))
#endif
#ifndef __noreturn
#define __noreturn __attribute((noreturn))
#endif
#ifndef noinline
#define noinline __attribute((noinline))
#endif

#define PORT_DEBUG_EXIT	0xf4
#define PORT_SERIAL	0x3f8

/** main() - what the guest does. Return: its status, 0 for good */
int main(void);

/** guest_info - gpa that the entry was given: boot_params, PVH or multiboot */
extern u64 guest_info;
/** guest_magic - what multiboot guests found in eax */
extern u32 guest_magic;

#define MULTIBOOT_LOADER_MAGIC 0x2badb002U

static inline void outb(u16 port, u8 v)
{
	asm volatile("out %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(u16 port, u16 v)
{
	asm volatile("out %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(u16 port, u32 v)
{
	asm volatile("out %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 v;

	asm volatile("in %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u16 inw(u16 port)
{
	u16 v;

	asm volatile("in %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	asm volatile("in %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

/* String instructions; @width is 1, 2 or 4 */
void outs(u16 port, const void *from, unsigned int width, unsigned long nr);
void ins(u16 port, void *to, unsigned int width, unsigned long nr);

/* One access of exactly that width, by an instruction that KVM knows. */
static inline u8 read8(u64 gpa)
{
	u8 v;

	asm volatile("movb %1, %0" : "=q"(v) : "m"(*(volatile u8 *)gpa));
	return v;
}

static inline u16 read16(u64 gpa)
{
	u16 v;

	asm volatile("movw %1, %0" : "=r"(v) : "m"(*(volatile u16 *)gpa));
	return v;
}

static inline u32 read32(u64 gpa)
{
	u32 v;

	asm volatile("movl %1, %0" : "=r"(v) : "m"(*(volatile u32 *)gpa));
	return v;
}

static inline u64 read64(u64 gpa)
{
	u64 v;

	asm volatile("movq %1, %0" : "=r"(v) : "m"(*(volatile u64 *)gpa));
	return v;
}

static inline void write8(u64 gpa, u8 v)
{
	asm volatile("movb %0, %1" : : "q"(v), "m"(*(volatile u8 *)gpa)
		     : "memory");
}

static inline void write16(u64 gpa, u16 v)
{
	asm volatile("movw %0, %1" : : "r"(v), "m"(*(volatile u16 *)gpa)
		     : "memory");
}

static inline void write32(u64 gpa, u32 v)
{
	asm volatile("movl %0, %1" : : "r"(v), "m"(*(volatile u32 *)gpa)
		     : "memory");
}

static inline void write64(u64 gpa, u64 v)
{
	asm volatile("movq %0, %1" : : "r"(v), "m"(*(volatile u64 *)gpa)
		     : "memory");
}

/** read_width(), write_width() - @width is 1, 2, 4 or 8 */
u64 read_width(u64 gpa, unsigned int width);
void write_width(u64 gpa, unsigned int width, u64 v);
u32 in_width(u16 port, unsigned int width);
void out_width(u16 port, unsigned int width, u32 v);

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" : : "a"((u32)v), "d"((u32)(v >> 32)), "c"(msr)
		     : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

struct cpuid {
	u32 eax;
	u32 ebx;
	u32 ecx;
	u32 edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid c;

	asm volatile("cpuid"
		     : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
		     : "a"(leaf), "c"(sub));
	return c;
}

static inline void cpu_relax(void)
{
	asm volatile("pause" : : : "memory");
}

static inline void barrier(void)
{
	asm volatile("" : : : "memory");
}

/* mfence is unknown to KVM's instruction emulator. */
static inline void full_barrier(void)
{
	asm volatile("lock orl $0, (%%rsp)" : : : "memory", "cc");
}

static inline void irq_enable(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void irq_disable(void)
{
	asm volatile("cli" : : : "memory");
}

/**
 * irq_wait() - enable interrupts for a moment; called until what is awaited came
 *
 * Does not halt: QEMU's TCG takes an interrupt between sti and hlt when it left
 * the guest in between, and the hlt then has nothing to wait for.
 */
static inline void irq_wait(void)
{
	asm volatile("sti; pause; pause; cli" : : : "memory");
}

/** irq_halt() - enable interrupts and sleep until one came */
static inline void irq_halt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/** guest_exit() - end the VM with @status */
void __noreturn guest_exit(u8 status);

/** print() - %s %c %d %u %x %lx %lu, any width as in %08x; up to 512 bytes */
void print(const char *fmt, ...) __printf(1, 2);

/** fail() - say what did not hold, and end with status 1 */
void __noreturn fail(const char *file, int line, const char *what);
#define EXPECT(cond) \
	((cond) ? (void)0 : fail(__FILE__, __LINE__, #cond))
/** expect_equal() - like EXPECT, and prints both */
void expect_equal(const char *file, int line, const char *what, u64 got,
		  u64 want);
#define EXPECT_EQ(got, want) \
	expect_equal(__FILE__, __LINE__, #got, (u64)(got), (u64)(want))
/** WAIT() - until @cond holds; the runner's time-out is the limit */
#define WAIT(cond) \
	({ while (!(cond)) cpu_relax(); })

void *memset(void *d, int c, size_t len);
void *memcpy(void *d, const void *s, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

/** page_alloc() - @nr zeroed pages behind the image, never freed */
void *page_alloc(unsigned int nr);

/** option() - the value of "NAME=" on the command line, or NULL */
const char *option(const char *name);
/** option_is() - whether the value of "NAME=" is @value */
bool option_is(const char *name, const char *value);
/** option_number() - the same as a number, decimal, or @otherwise */
u64 option_number(const char *name, u64 otherwise);
/** cmdline() - all of it, as the boot information points to it */
const char *cmdline(void);

/** random32() - deterministic; random_seed() starts the sequence */
void random_seed(u64 seed);
u32 random32(void);

#endif
