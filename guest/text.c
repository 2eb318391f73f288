// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strings, and small files.
 *
 * Theory of operation: what init needs of a libc and no more. The compiler calls
 * the four memory functions by itself. Bounds are the caller's, but for those
 * that get a size and cut what does not fit.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>

#include "kvm/dirent.h"
#include "init.h"
#include "sys.h"

/* A compiler that knows the loop around this would make it a call of itself. */
static inline void no_idiom(void)
{
	asm volatile("" : : : "memory");
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *ret = to;

#if defined(__x86_64__)
	size_t words = n / 8;

	n %= 8;
	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
#else
	for (size_t i = 0; i < n; i++) {
		((u8 *)to)[i] = ((const u8 *)from)[i];
		no_idiom();
	}
#endif
	return ret;
}

void *memmove(void *to, const void *from, size_t n)
{
	const u8 *s = from;
	u8 *d = to;

	if ((uintptr_t)to <= (uintptr_t)from)
		return memcpy(to, from, n);
	while (n--) {
		d[n] = s[n];
		no_idiom();
	}
	return to;
}

void *memset(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		((u8 *)to)[i] = c;
		no_idiom();
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n]) {
		n++;
		no_idiom();
	}
	return n;
}

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const char *text_after(const char *s, const char *prefix)
{
	while (*prefix && *s == *prefix) {
		s++;
		prefix++;
	}
	return *prefix ? NULL : s;
}

u64 text_number(const char *s)
{
	u64 v = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	return v;
}

char *text_decimal(char out[12], u32 v)
{
	unsigned int n = 1;

	for (u32 rest = v; rest >= 10; rest /= 10)
		n++;
	out[n] = 0;
	do {
		out[--n] = '0' + v % 10;
		v /= 10;
	} while (n);
	return out;
}

char *text_join(char *out, size_t size, const char *a, const char *b,
		const char *c)
{
	const char *const part[] = { a, b, c };
	size_t n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(part); i++)
		for (const char *s = part[i]; s && *s && n + 1 < size; s++)
			out[n++] = *s;
	out[n] = 0;
	return out;
}

const char *text_errno(int err)
{
	static const struct {
		int err;
		const char *text;
	} known[] = {
		{ ENOENT, "No such file or directory" },
		{ ELIBACC, "Interpreter is missing" },
		{ EACCES, "Permission denied" },
		{ EPERM, "Operation not permitted" },
		{ ENOEXEC, "Exec format error" },
		{ ENOTDIR, "Not a directory" },
		{ EISDIR, "Is a directory" },
		{ ENOMEM, "Cannot allocate memory" },
		{ E2BIG, "Argument list too long" },
		{ ENODEV, "No such device" },
		{ EINVAL, "Invalid argument" },
		{ ELOOP, "Too many levels of symbolic links" },
		{ EROFS, "Read-only file system" },
		{ EBUSY, "Device or resource busy" },
		{ EIO, "Input/output error" },
		{ ETXTBSY, "Text file busy" },
		{ ETIMEDOUT, "Connection timed out" },
		{ EAGAIN, "Resource temporarily unavailable" },
		{ EEXIST, "File exists" },
		{ EFBIG, "File too large" },
		{ EMFILE, "Too many open files" },
		{ ENAMETOOLONG, "File name too long" },
		{ ENOSPC, "No space left on device" },
		{ EPIPE, "Broken pipe" },
		{ EPROTO, "Protocol error" },
		{ ECANCELED, "Operation canceled" },
		{ ENETUNREACH, "Network is unreachable" },
	};

	static char rare[32];
	char digits[12];

	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].err == err)
			return known[i].text;
	return text_join(rare, sizeof(rare), "error ", text_decimal(digits, err), NULL);
}

long file_read(const char *path, char *out, size_t size)
{
	long fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	size_t len = 0;
	long n = 0;

	if (fd < 0)
		return fd;
	while (len < size - 1) {
		n = sys_read(fd, out + len, size - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	sys_close(fd);
	out[len] = 0;
	return n < 0 ? n : (long)len;
}

int file_write(const char *path, const char *text)
{
	long fd = sys_open(path, O_WRONLY | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return fd;
	n = sys_write(fd, text, strlen(text));
	sys_close(fd);
	return n < 0 ? n : 0;
}

bool dir_find(const char *path, bool (*is)(const char *name))
{
	long dir = sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool found = false;
	char list[2048] __aligned(8);
	long n;

	if (dir < 0)
		return false;
	while (!found && (n = SYS(__NR_getdents64, dir, (long)list,
				  sizeof(list))) > 0) {
		for (long at = 0; at < n && !found;) {
			const struct linux_dirent64 *d = (void *)(list + at);

			found = d->d_name[0] != '.' && (!is || is(d->d_name));
			at += d->d_reclen;
		}
	}
	sys_close(dir);
	return found;
}

void note(struct notes *n, const char *a, const char *b, const char *c)
{
	char *at = n->text + n->len;
	size_t room = sizeof(n->text) - n->len;

	if (room < 2)
		return;
	text_join(at, room - 1, a, b, c);
	n->len += strlen(at) + 1;
}
