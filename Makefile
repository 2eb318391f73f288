# SPDX-License-Identifier: GPL-2.0-only
#
# make          build lkvm
# make demo     boot a real kernel and run a command in it
# make check    all tests
# make bench    figures, each beside its peer
# make guests   our own guests for tests/guest and tests/hostile
# make san      build/san/lkvm, with sanitizers
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
lib-y += virtio/classes.c virtio/blk.c virtio/console.c virtio/rng.c
lib-y += $(sort $(wildcard hw/*.c)) $(sort $(wildcard disk/*.c))
lib-y += $(sort $(wildcard x86/*.c))
cmd-y := main.c $(sort $(wildcard builtin-*.c))
unit-y := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/*.c)))

lib-o := $(lib-y:%.c=$(out)%.o)
cmd-o := $(cmd-y:%.c=$(out)%.o)
san-o := $(lib-y:%.c=$(out)san/%.o)

# Guests of our own: freestanding, and only instructions that KVM can interpret.
guest-y := $(patsubst tests/%/main.c,%,$(sort $(wildcard tests/guest/*/main.c \
	tests/hostile/*/main.c)))
guest-lib-y := $(patsubst tests/%,%.o,$(basename $(filter-out %/start.S, \
	$(sort $(wildcard tests/guest/lib/*.[cS])))))
guest-lib-o := $(guest-lib-y:%=$(out)%)
GUEST_CFLAGS := -std=gnu11 -Os -g $(WARN) -Iinclude -Itests/guest/lib -MMD -MP \
	-ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -fno-strict-aliasing -fno-jump-tables

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

# lkvm with sanitizers, for hostile guests
$(out)san/lkvm: $(cmd-y:%.c=$(out)san/%.o) $(out)san/libkvm.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) -pthread -o $@ $^ $(LDFLAGS)

$(out)san/builtin-help.o: CFLAGS_ALL += -DLKVM_VERSION='"$(VERSION)"'

san: $(out)san/lkvm

$(out)guest/lib/%.o: tests/guest/lib/%.c
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(out)guest/lib/%.o: tests/guest/lib/%.S
	@mkdir -p $(@D)
	@echo "  AS   $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(out)guest/lib/guest.a: $(guest-lib-o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

guest-link := $(addprefix $(out)guest/lib/,start.o guest.a)
$(guest-y:%=$(out)%): $(out)%: tests/%/main.c tests/guest/lib/guest.ld $(guest-link)
	@mkdir -p $(@D)
	@echo "  LD   $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -nostdlib -static -Wl,--build-id=none \
		-Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
		-T tests/guest/lib/guest.ld -o $@ $< $(guest-link)

guests: $(guest-y:%=$(out)%)

check: lkvm unit guests san
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

.PHONY: all unit guests san check bench demo install clean
.DELETE_ON_ERROR:
