# SPDX-License-Identifier: GPL-2.0-only
#
# make          build lkvm
# make demo     boot a real kernel and run a command in it
# make check    all tests
# make bench    figures, each beside its peer
# make install  lkvm and its man page, under PREFIX
#
# V=1 shows commands, WERROR=1 makes warnings errors, O=DIR builds elsewhere.
# Unit tests are built with the address and undefined-behaviour sanitizers.

CC ?= gcc
CLANG ?= clang
PREFIX ?= /usr/local
out := $(if $(O),$(O)/,build/)

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes $(if $(WERROR),-Werror)
CFLAGS ?= -O2 -g
CFLAGS_ALL := -std=gnu11 $(CFLAGS) $(WARN) -D_GNU_SOURCE -Iinclude -I. -pthread \
	-D_FILE_OFFSET_BITS=64 -MMD -MP
SANFLAGS := -fsanitize=address,undefined -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined

lib-y := report.c gmem.c state.c mmio.c ioport.c kvm.c kvm-cpu.c
lib-y += virtio/core.c virtio/queue.c virtio/iov.c virtio/pci.c virtio/mmio.c
lib-y += virtio/classes.c virtio/balloon.c virtio/blk.c virtio/console.c virtio/rng.c
lib-y += $(sort $(wildcard hw/*.c)) $(sort $(wildcard disk/*.c))
lib-y += $(sort $(wildcard x86/*.c))
cmd-y := main.c $(sort $(wildcard builtin-*.c))
unit-y := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/*.c)))

lib-o := $(lib-y:%.c=$(out)%.o)
cmd-o := $(cmd-y:%.c=$(out)%.o)
san-o := $(lib-y:%.c=$(out)san/%.o)

Q := $(if $(V),,@)

all: lkvm

lkvm: $(cmd-o) $(out)libkvm.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) -pthread -o $@ $^ $(LDFLAGS)

$(out)libkvm.a: $(lib-o)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(out)san/libkvm.a: $(san-o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(out)builtin-help.o: CFLAGS_ALL += -DLKVM_VERSION='"$(VERSION)"'

$(out)san/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(SANFLAGS) -c -o $@ $<

$(out)%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<

$(out)unit/%: tests/unit/%.c $(out)san/libkvm.a
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(SANFLAGS) -o $@ $< $(out)san/libkvm.a

unit: $(unit-y:%=$(out)unit/%)

check: lkvm unit
	$(Q)tests/check $(out)

bench: lkvm
	$(Q)tests/bench/run

demo: lkvm
	$(Q)tests/demo

install: lkvm
	install -D -m 755 lkvm $(DESTDIR)$(PREFIX)/bin/lkvm
	install -D -m 644 Documentation/lkvm.1 \
		$(DESTDIR)$(PREFIX)/share/man/man1/lkvm.1

clean:
	rm -rf $(out) lkvm

-include $(shell find $(out) -name '*.d' 2>/dev/null)

.PHONY: all unit check bench demo install clean
.DELETE_ON_ERROR:
