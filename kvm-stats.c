// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM counts of a VM and of each vCPU.
 *
 * Theory of operation: KVM_GET_STATS_FD gives a file that describes itself
 * (Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD"): a header, a descriptor for
 * each statistic, and the values. Which there are is the kernel's affair; those of
 * one value are passed on by their names, histograms are not. A kernel before 5.14
 * has none. KVM gives the file of a vCPU only while that does not run; from then on
 * it can be read at any time. The descriptors are read anew each time, since nobody asks often. No
 * state, any thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/kvm-stats.h"

#define NAME_MAX_BYTES 256
#define DESCS_MAX 1024

static int read_at(int fd, void *d, size_t len, u64 at)
{
	return pread(fd, d, len, at) == (ssize_t)len ? 0 : -EIO;
}

static void take_value(int fd, const struct kvm_stats_header *h,
		       const struct kvm_stats_desc *d, kvm_stats_fn *each,
		       void *opaque)
{
	u32 type = d->flags & KVM_STATS_TYPE_MASK;
	u64 value;

	if (d->size != 1 || type == KVM_STATS_TYPE_LINEAR_HIST ||
	    type == KVM_STATS_TYPE_LOG_HIST ||
	    read_at(fd, &value, sizeof(value), (u64)h->data_offset + d->offset))
		return;
	each(opaque, d->name, value);
}

int kvm_stats_read(int fd, kvm_stats_fn *each, void *opaque)
{
	struct kvm_stats_header h;
	size_t size;
	u8 *descs;

	if (fd < 0 || read_at(fd, &h, sizeof(h), 0) || h.name_size > NAME_MAX_BYTES ||
	    h.num_desc > DESCS_MAX)
		return -EPROTO;
	size = sizeof(struct kvm_stats_desc) + h.name_size;
	descs = calloc(h.num_desc + 1, size);
	if (!descs)
		return -ENOMEM;
	if (read_at(fd, descs, h.num_desc * size, h.desc_offset)) {
		free(descs);
		return -EPROTO;
	}
	for (u32 i = 0; i < h.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(descs + i * size);

		if (h.name_size && !memchr(d->name, 0, h.name_size))
			d->name[h.name_size - 1] = 0;
		take_value(fd, &h, d, each, opaque);
	}
	free(descs);
	return 0;
}

int kvm_stats_open(int kvm_fd)
{
	int fd = ioctl(kvm_fd, KVM_GET_STATS_FD, 0L);

	return fd < 0 ? -errno : fd;
}
