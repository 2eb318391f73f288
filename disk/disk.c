// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Opens an image, finds out what the guest is told about it, locks it, and
 * picks the engine that does its I/O. An image is a regular file or a block
 * device; anything else is refused, without waiting for the other end of a
 * FIFO.
 *
 * The lock is an open file description lock on the whole file: it belongs to
 * this process however many descriptors are closed elsewhere, and goes away
 * with it. It is advisory; it keeps two machines of ours off one image.
 *
 * Called from the main thread; afterwards struct disk is only read, so that
 * any number of queues, each with its thread, may use it. No locks of memory.
 *
 * AUTO takes io_uring if the host has all of what uring.c wants, else threads.
 * An engine that was asked for by name is never replaced by another. Formats
 * other than raw are not supported. The guest has no say in anything here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include "engine.h"

#define SECTOR 512
#define BLOCK_MAX 65536
#define DIRECT_MEM_ALIGN 4096

static bool power_of_two(u64 v)
{
	return v && !(v & (v - 1));
}

static int disk_lock(struct disk *d, const char *path, struct report *r)
{
	struct flock lock = {
		.l_type = d->info.readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (!fcntl(d->fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES) {
		report_error(r, 0, "disk %s: in use, by another process or disk%s",
			     path, d->info.readonly ?
			     "" : " (give it read-only to share it)");
		return -EBUSY;
	}
	/* Some network file systems have no locks at all. */
	if (errno == ENOLCK || errno == EOPNOTSUPP)
		return 0;
	return report_error(r, errno, "disk %s: cannot lock", path);
}

/*
 * A discard off the blocks is refused before anything is touched, but as not
 * supported (EOPNOTSUPP) where the device cannot. sysfs, which says so too, is out
 * of reach of a process that is sealed.
 */
static bool can_discard(int fd)
{
	u64 range[2] = { 1, SECTOR };

	return ioctl(fd, BLKDISCARD, range) < 0 && errno == EINVAL;
}

static int probe_block_device(struct disk *d, const char *path,
			      struct report *r)
{
	unsigned int phys = 0, min = 0, opt = 0;
	u64 size = 0;
	int block = 0;

	if (ioctl(d->fd, BLKGETSIZE64, &size) < 0)
		return report_error(r, errno, "disk %s: BLKGETSIZE64", path);
	if (ioctl(d->fd, BLKSSZGET, &block) < 0 || block < SECTOR)
		block = SECTOR;
	if (ioctl(d->fd, BLKPBSZGET, &phys) < 0)
		phys = block;
	if (ioctl(d->fd, BLKIOMIN, &min) < 0)
		min = 0;
	if (ioctl(d->fd, BLKIOOPT, &opt) < 0)
		opt = 0;
	d->info.size = size;
	d->info.block_size = block;
	d->info.physical_block_size = phys;
	d->info.min_io_size = min;
	d->info.opt_io_size = opt;
	d->info.discard = !d->info.readonly && can_discard(d->fd);
	d->mem_align = d->direct ? (u32)block : 1;
	return 0;
}

/* What the file system asks of direct I/O; a kernel before 6.1 cannot say. */
static void probe_direct(struct disk *d)
{
	d->mem_align = DIRECT_MEM_ALIGN;
#ifdef STATX_DIOALIGN
	struct statx st;

	memset(&st, 0, sizeof(st));
	if (statx(d->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0 ||
	    !(st.stx_mask & STATX_DIOALIGN))
		return;
	if (st.stx_dio_offset_align > SECTOR)
		d->info.block_size = st.stx_dio_offset_align;
	if (st.stx_dio_mem_align)
		d->mem_align = st.stx_dio_mem_align;
#endif
}

static void probe_file(struct disk *d, u64 size)
{
	d->info.size = size;
	d->info.block_size = SECTOR;
	d->info.physical_block_size = 4096;
	d->mem_align = 1;
	if (d->direct)
		probe_direct(d);
	/* A hole past the end changes nothing, and says whether holes work. */
	d->info.discard = !d->info.readonly &&
			  !fallocate(d->fd, FALLOC_FL_PUNCH_HOLE |
				     FALLOC_FL_KEEP_SIZE,
				     (off_t)(size / BLOCK_MAX + 1) * BLOCK_MAX,
				     BLOCK_MAX);
}

static int disk_probe(struct disk *d, const char *path, struct report *r)
{
	struct stat st;
	int ret = 0;

	if (fstat(d->fd, &st) < 0)
		return report_error(r, errno, "disk %s: cannot stat", path);
	d->block_device = S_ISBLK(st.st_mode);
	if (S_ISDIR(st.st_mode))
		return report_error(r, EISDIR, "disk %s", path);
	if (d->block_device)
		ret = probe_block_device(d, path, r);
	else if (S_ISREG(st.st_mode))
		probe_file(d, st.st_size);
	else
		return report_error(r, 0,
				    "disk %s: not a file or a block device",
				    path);
	if (ret)
		return ret;
	if (!power_of_two(d->info.block_size) ||
	    d->info.block_size > BLOCK_MAX || !power_of_two(d->mem_align))
		return report_error(r, 0, "disk %s: unsupported block size %u",
				    path, d->info.block_size);
	if (!power_of_two(d->info.physical_block_size) ||
	    d->info.physical_block_size < d->info.block_size)
		d->info.physical_block_size = d->info.block_size;
	d->info.write_zeroes = !d->info.readonly;
	if (!d->info.size)
		return report_error(r, 0, "disk %s: is empty", path);
	/* Neither is the end of it cut off, nor does the file grow. */
	if (d->info.size % d->info.block_size)
		return report_error(r, 0,
			"disk %s: not whole blocks of %u bytes (truncate -s %%%u)",
			path, d->info.block_size, d->info.block_size);
	return 0;
}

static int disk_pick_engine(struct disk *d, const struct disk_opts *opts,
			    struct report *r)
{
	int ret;

	d->ops = &disk_threads_ops;
	if (opts->engine == DISK_ENGINE_THREADS)
		return 0;
	ret = disk_uring_ops.probe();
	if (!ret)
		d->ops = &disk_uring_ops;
	if (!ret || opts->engine == DISK_ENGINE_AUTO)
		return 0;
	return report_error(r, -ret, "disk %s: io_uring is not available",
			    opts->path);
}

static int disk_open_path(const struct disk_opts *opts, struct report *r)
{
	/* O_NONBLOCK: do not wait on a FIFO; no effect on files and disks. */
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd;

	flags |= opts->readonly ? O_RDONLY : O_RDWR;
	flags |= opts->direct ? O_DIRECT : 0;
	fd = open(opts->path, flags);
	if (fd < 0)
		return report_error(r, errno, "disk %s: cannot open%s",
				    opts->path, opts->direct &&
				    errno == EINVAL ? " for direct I/O" : "");
	if (!fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		return fd;
	report_error(r, errno, "disk %s: F_SETFL", opts->path);
	close(fd);
	return -EINVAL;
}

/* What was opened by somebody else is to be what it is said to be. */
static int disk_check_fd(const struct disk_opts *opts, struct report *r)
{
	int flags = fcntl(opts->fd, F_GETFL), mode = flags & O_ACCMODE;

	if (flags < 0)
		return report_error(r, errno, "disk %s", opts->path);
	if (flags & O_PATH || (mode != O_RDWR &&
			       (!opts->readonly || mode != O_RDONLY)))
		return report_error(r, 0, "disk %s: not open for %s",
				    opts->path, opts->readonly ? "reading" :
				    "reading and writing");
	if (flags & O_APPEND)
		return report_error(r, 0, "disk %s: open for appending",
				    opts->path);
	if (!(flags & O_DIRECT) == opts->direct)
		return report_error(r, 0, "disk %s: open for direct I/O, or not",
				    opts->path);
	if (fcntl(opts->fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
	    fcntl(opts->fd, F_SETFD, FD_CLOEXEC) < 0)
		return report_error(r, errno, "disk %s: F_SETFL", opts->path);
	return opts->fd;
}

int disk_open(struct disk **out, const struct disk_opts *opts,
	      struct report *r)
{
	struct disk *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return report_error(r, ENOMEM, "disk %s", opts->path);
	d->info.readonly = opts->readonly;
	d->direct = opts->direct;
	ret = opts->has_fd ? disk_check_fd(opts, r) : disk_open_path(opts, r);
	if (ret < 0)
		goto err_free;
	d->fd = ret;
	ret = disk_probe(d, opts->path, r);
	if (!ret)
		ret = disk_lock(d, opts->path, r);
	if (!ret)
		ret = disk_pick_engine(d, opts, r);
	if (ret)
		goto err_close;
	*out = d;
	return 0;

err_close:
	if (!opts->has_fd)
		close(d->fd);
err_free:
	free(d);
	return ret;
}

void disk_close(struct disk *d)
{
	struct flock unlock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (!d)
		return;
	/* A ring that is torn down later still refers to the file. */
	fcntl(d->fd, F_OFD_SETLK, &unlock);
	close(d->fd);
	free(d);
}

const struct disk_info *disk_info(const struct disk *d)
{
	return &d->info;
}

int disk_queue_create(struct disk *d, unsigned int depth,
		      struct disk_queue **out)
{
	return d->ops->create(d, depth ? depth : 1, out);
}

void disk_queue_destroy(struct disk_queue *q)
{
	if (q)
		q->ops->destroy(q);
}

void disk_submit(struct disk_queue *q, struct disk_req *req)
{
	q->ops->submit(q, req);
}

struct disk_req *disk_wait(struct disk_queue *q, const int *fds,
			   unsigned int nr_fds, u32 *fired, bool block)
{
	*fired = 0;
	if (nr_fds > DISK_MAX_FDS)
		nr_fds = DISK_MAX_FDS;
	return q->ops->wait(q, fds, nr_fds, fired, block);
}
