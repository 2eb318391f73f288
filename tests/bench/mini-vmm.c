// SPDX-License-Identifier: GPL-2.0-only
/*
 * A throw-away VMM: the least that boots Linux, as a limit to compare with.
 *
 *   mini-vmm KERNEL INITRD CMDLINE
 *
 * Theory of operation: one CPU, 256 MiB, one thread. KVM has the interrupt
 * controllers and the PIT; here are a 16550 at 0x3f8 that only sends, an RTC
 * that is never busy, and resets (0xcf9, 0x64, a triple fault). All else reads
 * as ones. No ACPI, MP table or PCI. A bzImage is copied to where it wants to
 * run; of a vmlinux, whole pages of segments are mapped privately over guest
 * memory. Both begin at the 64-bit entry (Documentation/arch/x86/boot.rst,
 * "64-bit Boot Protocol") with 4 GiB mapped. Shares no code with lkvm, on
 * purpose. It trusts KERNEL and the guest: it is a yardstick, not a VMM.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <asm/bootparam.h>
#include <linux/elf.h>
#include "mini.h"

#define PAGE 4096UL
#define BOOT_PARAMS_GPA 0x7000UL
#define CMDLINE_GPA 0x20000UL
#define LOW_RAM_END 0x9fc00UL
#define HIGH_RAM 0x100000UL
#define ENTRY_64 0x200UL

#define COM1 0x3f8
#define COM1_IRQ 4
#define UART_IER_THRI 2
#define UART_LCR_DLAB 0x80
#define UART_MCR_LOOP 0x10

/* One machine */
struct vmm {
	int dev;
	int vm;
	int cpu;
	struct kvm_run *run;
	__u8 *ram;
	__u64 rip;
	struct boot_params *bp;
	__u8 cmos;
	__u8 ier, lcr, mcr, scr, fcr;
	__u8 divisor[2];
	int thre;
	int line;
	size_t len;
	char out[256];
};

/* A file that is mapped read-only */
struct file {
	int fd;
	size_t size;
	const __u8 *p;
};

__attribute((format(printf, 1, 2), noreturn))
static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("mini-vmm: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static struct file file_map(const char *path)
{
	struct file f = { .fd = open(path, O_RDONLY | O_CLOEXEC) };
	struct stat st;

	if (f.fd < 0 || fstat(f.fd, &st) < 0)
		die("%s: %m", path);
	f.size = st.st_size;
	f.p = mmap(NULL, f.size, PROT_READ, MAP_PRIVATE, f.fd, 0);
	if (f.p == MAP_FAILED)
		die("%s: %m", path);
	return f;
}

static void read_at(const struct file *f, __u64 off, void *to, size_t size)
{
	if (off > f->size || size > f->size - off ||
	    pread(f->fd, to, size, off) != (ssize_t)size)
		die("short file");
}

/* Whole pages of a file over guest memory, the rest copied. */
static void place(struct vmm *v, const struct file *f, __u64 off,
		  __u64 gpa, size_t size)
{
	size_t whole = (off | gpa) % PAGE ? 0 : size & -PAGE;

	if (gpa > RAM_SIZE || size > RAM_SIZE - gpa)
		die("kernel is not in memory");
	if (whole && mmap(v->ram + gpa, whole, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_FIXED, f->fd, off) == MAP_FAILED)
		die("kernel: %m");
	if (size > whole)
		read_at(f, off + whole, v->ram + gpa + whole, size - whole);
}

static void load_elf(struct vmm *v, const struct file *f)
{
	const struct elf64_hdr *e = (const void *)f->p;
	const struct elf64_phdr *ph = (const void *)(f->p + e->e_phoff);

	for (unsigned int i = 0; i < e->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			place(v, f, ph[i].p_offset, ph[i].p_paddr,
			      ph[i].p_filesz);
	v->rip = e->e_entry;
}

static void load_bzimage(struct vmm *v, const struct file *f)
{
	const struct setup_header *h = (const void *)(f->p + 0x1f1);
	size_t setup = ((h->setup_sects ? h->setup_sects : 4) + 1) * 512UL;
	size_t len = 0x202 + f->p[0x201] - 0x1f1;

	if (h->header != 0x53726448 || h->version < 0x20c || f->size < setup)
		die("kernel is neither ELF nor a bzImage of protocol 2.12");
	memcpy(&v->bp->hdr, h, len < sizeof(*h) ? len : sizeof(*h));
	if (h->pref_address + h->init_size > RAM_SIZE)
		die("kernel is not in memory");
	read_at(f, setup, v->ram + h->pref_address, f->size - setup);
	v->bp->hdr.code32_start = h->pref_address;
	v->rip = h->pref_address + ENTRY_64;
}

static void load(struct vmm *v, char **argv)
{
	struct file kernel = file_map(argv[1]), initrd = file_map(argv[2]);
	__u64 at = (RAM_SIZE - initrd.size) & -PAGE;
	struct boot_params *bp;

	bp = (void *)(v->ram + BOOT_PARAMS_GPA);
	v->bp = bp;
	if (kernel.size > SELFMAG && !memcmp(kernel.p, ELFMAG, SELFMAG))
		load_elf(v, &kernel);
	else if (kernel.size > PAGE)
		load_bzimage(v, &kernel);
	else
		die("kernel is too short");
	read_at(&initrd, 0, v->ram + at, initrd.size);
	memcpy(v->ram + CMDLINE_GPA, argv[3], strlen(argv[3]) + 1);
	bp->hdr.type_of_loader = 0xff;
	bp->hdr.loadflags |= LOADED_HIGH;
	bp->hdr.cmd_line_ptr = CMDLINE_GPA;
	bp->hdr.ramdisk_image = at;
	bp->hdr.ramdisk_size = initrd.size;
	bp->e820_entries = 2;
	bp->e820_table[0].size = LOW_RAM_END;
	bp->e820_table[0].type = 1;
	bp->e820_table[1].addr = HIGH_RAM;
	bp->e820_table[1].size = RAM_SIZE - HIGH_RAM;
	bp->e820_table[1].type = 1;
}

static void create(struct vmm *v)
{
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	__u64 identity = 0xfffbc000;
	const __u64 huge = 2UL << 20;

	v->dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (v->dev < 0)
		die("/dev/kvm: %m");
	v->vm = CALL(v->dev, KVM_CREATE_VM, 0);
	v->ram = mmap(NULL, RAM_SIZE + huge, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (v->ram == MAP_FAILED)
		die("memory: %m");
	v->ram = (__u8 *)(((uintptr_t)v->ram + huge - 1) & -huge);
	madvise(v->ram, RAM_SIZE, MADV_HUGEPAGE);
	slot.userspace_addr = (uintptr_t)v->ram;
	CALL(v->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	CALL(v->vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	CALL(v->vm, KVM_SET_USER_MEMORY_REGION, &slot);
	CALL(v->vm, KVM_CREATE_IRQCHIP, 0);
	CALL(v->vm, KVM_CREATE_PIT2, &pit);
	v->cpu = CALL(v->vm, KVM_CREATE_VCPU, 0);
	v->run = mmap(NULL, CALL(v->dev, KVM_GET_VCPU_MMAP_SIZE, 0),
		      PROT_READ | PROT_WRITE, MAP_SHARED, v->cpu, 0);
	if (v->run == MAP_FAILED)
		die("kvm_run: %m");
}

static void set_features(struct vmm *v)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[MAX_CPUID];
	} c = { .head.nent = MAX_CPUID };
	int deadline = CALL(v->vm, KVM_CHECK_EXTENSION,
			    KVM_CAP_TSC_DEADLINE_TIMER);

	CALL(v->dev, KVM_GET_SUPPORTED_CPUID, &c);
	for (unsigned int i = 0; i < c.head.nent; i++) {
		if (c.e[i].function != 1)
			continue;
		c.e[i].ebx &= 0xffff;
		c.e[i].ebx |= 1 << 16;
		c.e[i].edx &= ~(1U << 28);	/* HTT */
		c.e[i].ecx |= 1U << 31;		/* hypervisor */
		if (deadline)
			c.e[i].ecx |= 1U << 24;
	}
	CALL(v->cpu, KVM_SET_CPUID2, &c);
	set_lints(v->cpu);
}

static void flush(struct vmm *v)
{
	if (v->len && write(STDOUT_FILENO, v->out, v->len) < 0)
		die("stdout: %m");
	v->len = 0;
}

static void uart_update(struct vmm *v)
{
	int line = v->thre && (v->ier & UART_IER_THRI);
	struct kvm_irq_level level = { .irq = COM1_IRQ, .level = line };

	if (line != v->line)
		CALL(v->vm, KVM_IRQ_LINE, &level);
	v->line = line;
}

static void uart_send(struct vmm *v, __u8 byte)
{
	v->thre = 1;
	if (v->mcr & UART_MCR_LOOP)
		return;
	v->out[v->len++] = byte;
	if (byte == '\n' || v->len == sizeof(v->out))
		flush(v);
}

static void uart_write(struct vmm *v, unsigned int reg, __u8 value)
{
	if (reg < 2 && (v->lcr & UART_LCR_DLAB)) {
		v->divisor[reg] = value;
		return;
	}
	switch (reg) {
	case 0:
		uart_send(v, value);
		break;
	case 1:
		v->thre |= !!(value & ~v->ier & UART_IER_THRI);
		v->ier = value & 0x0f;
		break;
	case 2:
		v->fcr = value;
		break;
	case 3:
		v->lcr = value;
		break;
	case 4:
		v->mcr = value;
		break;
	case 7:
		v->scr = value;
		break;
	default:
		break;
	}
	uart_update(v);
}

static __u8 uart_read(struct vmm *v, unsigned int reg)
{
	__u8 iir = (v->fcr & 1 ? 0xc0 : 0) | (v->line ? 2 : 1);

	if (reg < 2 && (v->lcr & UART_LCR_DLAB))
		return v->divisor[reg];
	switch (reg) {
	case 1:
		return v->ier;
	case 2:
		v->thre = v->line ? 0 : v->thre;
		uart_update(v);
		return iir;
	case 3:
		return v->lcr;
	case 4:
		return v->mcr;
	case 5:
		return 0x60;	/* THRE, TEMT */
	case 6:
		if (!(v->mcr & UART_MCR_LOOP))
			return 0xb0;	/* DCD, DSR, CTS */
		return (v->mcr & 0xc) << 4 | (v->mcr & 1) << 5 |
		       (v->mcr & 2) << 3;
	case 7:
		return v->scr;
	default:
		return 0;
	}
}

static __u8 bcd(int n)
{
	return n / 10 % 10 << 4 | n % 10;
}

static __u8 rtc_read(__u8 reg)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (reg & 0x7f) {
	case 0:
		return bcd(tm.tm_sec);
	case 2:
		return bcd(tm.tm_min);
	case 4:
		return bcd(tm.tm_hour);
	case 6:
		return tm.tm_wday + 1;
	case 7:
		return bcd(tm.tm_mday);
	case 8:
		return bcd(tm.tm_mon + 1);
	case 9:
		return bcd(tm.tm_year % 100);
	case 10:
		return 0x26;
	case 11:
		return 2;	/* 24 hours */
	case 13:
		return 0x80;	/* valid */
	case 0x32:
		return bcd(19 + tm.tm_year / 100);
	default:
		return 0;
	}
}

/* False when the guest resets. */
static int port_write(struct vmm *v, unsigned int port, __u8 value)
{
	if (port >= COM1 && port < COM1 + 8)
		uart_write(v, port - COM1, value);
	else if (port == 0x70)
		v->cmos = value;
	else if (port == 0x64 && value == 0xfe)
		return 0;
	else if (port == 0xcf9 && (value & 4))
		return 0;
	return 1;
}

static __u8 port_read(struct vmm *v, unsigned int port)
{
	if (port >= COM1 && port < COM1 + 8)
		return uart_read(v, port - COM1);
	if (port == 0x71)
		return rtc_read(v->cmos);
	return 0xff;
}

static int port_exit(struct vmm *v)
{
	const struct kvm_run *run = v->run;
	__u8 *p = (__u8 *)v->run + run->io.data_offset;
	unsigned int n = run->io.count;
	int on = 1;

	for (; n--; p += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			on &= port_write(v, run->io.port, *p);
			continue;
		}
		memset(p, 0xff, run->io.size);
		*p = port_read(v, run->io.port);
	}
	return on;
}

/* One KVM_RUN. False when it was the last. */
static int step(struct vmm *v)
{
	CALL(v->cpu, KVM_RUN, 0);
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		return port_exit(v);
	case KVM_EXIT_MMIO:
		if (!v->run->mmio.is_write)
			memset(v->run->mmio.data, 0xff, 8);
		return 1;
	case KVM_EXIT_SHUTDOWN:
		return 0;
	default:
		die("exit %u", v->run->exit_reason);
	}
}

int main(int argc, char **argv)
{
	static struct vmm v;
	unsigned long exits = 1;

	if (argc != 4)
		die("usage: mini-vmm KERNEL INITRD CMDLINE");
	create(&v);
	load(&v, argv);
	write_tables(v.ram);
	set_features(&v);
	set_registers(v.cpu, v.rip, BOOT_PARAMS_GPA);
	while (step(&v))
		exits++;
	flush(&v);
	if (getenv("MINI_VMM_EXITS"))
		fprintf(stderr, "mini-vmm: %lu exits\n", exits);
	return 0;
}
