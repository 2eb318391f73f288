# SPDX-License-Identifier: GPL-2.0-only
#
# "make help" lists targets and variables.
# Unit tests are built with the address and undefined-behaviour sanitizers
# where the compiler has them.

all:

MAKEFLAGS += -rR
include scripts/config.mk

prefix ?= $(or $(PREFIX),/usr/local)
bindir ?= $(prefix)/bin
mandir ?= $(prefix)/share/man
compdir ?= $(prefix)/share/bash-completion/completions

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes \
	$(if $(filter-out 0,$(WERROR)),-Werror)
ifneq ($(filter-out 0,$(W)),)
WARN += -Wundef -Wformat=2 -Wno-format-nonliteral -Wstrict-prototypes -Wold-style-definition \
	-Wredundant-decls -Wnested-externs -Wpointer-arith -Wwrite-strings \
	-Wvla -Winit-self
endif
CFLAGS ?= -O2 -g1
CFLAGS_ALL := $(target-flags) -std=gnu11 $(CFLAGS) $(WARN) -D_GNU_SOURCE \
	-Iinclude -I. $(UAPI) -pthread -D_FILE_OFFSET_BITS=64 \
	-fno-asynchronous-unwind-tables -fno-unwind-tables \
	-ffunction-sections -fdata-sections \
	$(if $(tree),-MD,-MMD) -MP

# What is optional: make reads have-NAME from here, and makes it if need be.
ifneq ($(building),)
$(call keep,$(out)flags,$(filter-out -Werror,$(CC) $(AR) $(CFLAGS_ALL) $(LDFLAGS)))
$(call keep,$(out)version,$(VERSION))
-include $(out)features.mk
endif
comma := ,
relr := $(if $(filter y,$(have-relr)),-Wl$(comma)-z$(comma)pack-relative-relocs)
discard := $(if $(filter y,$(have-discard)),-Wl$(comma)-T$(comma)scripts/discard.lds)
# Code and constants share pages: two of padding less. Nothing unwinds by tables.
link := -Wl,--gc-sections -Wl,--no-eh-frame-hdr -Wl,-z,noseparate-code $(relr) $(discard)
# What is not in a guest's way is made as small as the compiler can.
small := $(if $(filter y,$(have-oz)),-Oz,-Os)
ifeq ($(have-smaller),y)
small += -fno-caller-saves -fno-tree-dominator-opts -fno-move-loop-invariants
endif
# It knows no fences. Ours order accesses that are atomic already.
TSANFLAGS := -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
# Linked in, as clang does, they do not mind what the kselftest runner preloads.
ifneq ($(have-sanitize),n)
SANFLAGS := -fsanitize=address,undefined -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined \
	$(if $(findstring clang,$(CC)),,-static-libasan)
endif

lib-y := abi.c clock.c discover.c embedded.c eventfd.c file.c gmem.c initramfs.c kconfig.c
lib-y += klog.c modules.c outcome.c report.c session.c state.c thread.c tree.c unix.c utf8.c
lib-y += mmio.c ioport.c kvm.c kvm-cpu.c kvm-stats.c plug.c reset.c seal.c
lib-y += $(sort $(wildcard test/*.c))
lib-y += virtio/core.c virtio/queue.c virtio/iov.c virtio/pci.c virtio/mmio.c
lib-y += virtio/stream.c virtio/vhost.c
lib-y += virtio/net.c virtio/net-path.c virtio/net-tx.c virtio/net-rx.c virtio/net-ctrl.c
lib-y += $(sort $(wildcard net/*.c))
lib-y += virtio/classes.c virtio/balloon.c virtio/blk.c virtio/console.c virtio/rng.c
lib-y += virtio/9p.c virtio/fs.c virtio/fs-share.c virtio/fs-threads.c $(sort $(wildcard fs/*.c))
lib-y += virtio/vsock.c virtio/vsock-common.c virtio/vsock-unix.c virtio/vhost-vsock.c
lib-y += $(sort $(wildcard control/*.c))
lib-y += $(sort $(wildcard hw/*.c)) $(sort $(wildcard disk/*.c))
lib-y += $(sort $(wildcard $(arch)/*.c))
lib-y := $(filter-out $(if $(filter n,$(have-uring)),disk/uring.c,disk/uring-none.c),$(lib-y))
cmd-y := main.c $(sort $(wildcard builtin-*.c))
unit-y := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/*.c)))
# Those that have threads, or what they test has
thread-y := 9p blk command conformance console disk fs fsthreads fuse hotplug io_bus net rtc
thread-y += stream thread tree vsock

lib-o := $(lib-y:%.c=$(out)%.o)
cmd-o := $(cmd-y:%.c=$(out)%.o)
san-o := $(lib-y:%.c=$(out)san/%.o)
tsan-o := $(lib-y:%.c=$(out)tsan/%.o)
# What each descriptor passes through. All else is small: its time goes into system calls
# and exits, if it has any.
hot-y := gmem.c virtio/queue.c virtio/iov.c
cold-o := $(filter-out $(hot-y:%.c=$(out)%.o),$(lib-o) $(cmd-o))

# Guests of our own: freestanding, and only instructions that KVM can interpret.
guest-y := $(patsubst tests/%/main.c,%,$(sort $(wildcard tests/guest/*/main.c \
	tests/hostile/*/main.c)))
guest-lib-y := $(patsubst tests/%,%.o,$(basename $(filter-out %/start.S, \
	$(sort $(wildcard tests/guest/lib/*.[cS])))))
guest-lib-o := $(guest-lib-y:%=$(out)%)
GUEST_CFLAGS := $(target-flags) -std=gnu11 -Os -g $(WARN) -Iinclude \
	-Itests/guest/lib $(UAPI) -MMD -MP -ffreestanding -fno-pic -fno-pie \
	-mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-strict-aliasing -fno-jump-tables

all: $(bin)lkvm $(out)liblkvm.a

$(bin)lkvm: $(cmd-o) $(out)libkvm.a
	$(say) "  LINK $@"
	$(Q)$(CC) $(target-flags) $(CFLAGS) -pthread -o $@ $^ $(link) $(LDFLAGS)

# The client's side of the control socket, for programs
client-o := $(addprefix $(out),control/client.o control/path.o control/json.o clock.o unix.o utf8.o)
$(out)liblkvm.a: $(client-o)
	$(say) "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(out)libkvm.a: $(lib-o)
	$(say) "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(out)san/libkvm.a: $(san-o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(out)tsan/libkvm.a: $(tsan-o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Behind the flags come the tree's headers: features are tried with both.
$(out)features.mk: scripts/features $(wildcard feature/*.c) $(out)flags $(uapi-ready)
	$(say) "  GEN  $@"
	$(Q)scripts/features feature $(CC) $(filter-out -MD -MMD -MP,$(CFLAGS_ALL)) \
		$(LDFLAGS) >$@.new 2>$(out)features.log && mv $@.new $@

$(out)uapi/ready: scripts/uapi $(out)version $(wildcard $(tree)/include/uapi \
		$(tree)/include/uapi/asm-generic $(tree)/arch/$(arch)/include/uapi/asm \
		$(tree)/arch/$(arch)/entry/syscalls/syscall_64.tbl)
	$(say) "  GEN  $(@D)"
	$(Q)scripts/uapi $(tree) $(arch) $(@D)

# What lkvm puts into guests: freestanding, for every x86-64 there is.
init-o := $(patsubst guest/%.c,$(out)init/%.o,$(sort $(wildcard guest/*.c))) \
	$(out)init/tree.o
INIT_CFLAGS := $(target-flags) -std=gnu11 $(small) -g $(WARN) -Iinclude -Iguest \
	$(UAPI) -MMD -MP -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fcf-protection=none -mno-sse \
	-ffunction-sections -fno-strict-aliasing

$(out)init/%.o: guest/%.c $(out)flags $(uapi-ready)
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(INIT_CFLAGS) -c -o $@ $<

$(out)init/tree.o: tree.c $(out)flags $(uapi-ready)
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(INIT_CFLAGS) -c -o $@ $<

$(out)init/init: $(init-o)
	$(say) "  LINK $@"
	$(Q)$(CC) $(target-flags) -nostdlib -static -Wl,--gc-sections -Wl,-s \
		-Wl,--build-id=none -Wl,-z,noseparate-code -o $@ $^

# A third smaller, and lkvm with it. It is made by a program that runs here: of another
# machine's compilers only clang, without a target, makes one.
HOSTCC ?= $(if $(target-flags),$(CC),$(if $(CROSS_COMPILE),cc,$(CC)))
$(out)squeeze: scripts/squeeze.c
	$(say) "  HOSTCC $@"
	$(Q)$(HOSTCC) -O2 $(WARN) -o $@ $<

$(out)init/init.z: $(out)init/init $(out)squeeze
	$(say) "  GEN  $@"
	$(Q)$(out)squeeze <$< >$@.new && mv $@.new $@

# In a kernel tree it is where "make lkvm_guest.config" finds it.
guest-config := $(firstword $(wildcard guest/lkvm_guest.config \
	../../kernel/configs/lkvm_guest.config))
ifeq ($(guest-config),)
$(error lkvm_guest.config is neither in guest/ nor in ../../kernel/configs)
endif
embedded-o := $(addprefix $(out),embedded.o san/embedded.o tsan/embedded.o)
$(embedded-o): CFLAGS_ALL += \
	-DLKVM_INIT='"$(out)init/init.z"' -DLKVM_KCONFIG='"$(guest-config)"'
$(embedded-o): $(out)init/init.z $(guest-config)

BUILD_FLAGS = -DLKVM_VERSION='"$(VERSION)"' \
	-DLKVM_HEADERS='"$(if $(tree),this kernel tree,the system)"' \
	-DLKVM_HAVE_URING=$(if $(filter n,$(have-uring)),0,1)
help-o := $(addprefix $(out),builtin-help.o san/builtin-help.o tsan/builtin-help.o)
$(help-o): CFLAGS_ALL += $(BUILD_FLAGS)
$(help-o): $(out)version

# Under the sanitizers -O2 takes the compiler twice as long, and finds no more.
$(san-o) $(cmd-y:%.c=$(out)san/%.o) $(unit-y:%=$(out)unit/%) $(out)fs-mount \
	$(tsan-o) $(cmd-y:%.c=$(out)tsan/%.o) $(thread-y:%=$(out)tsan/unit/%): \
	private CFLAGS_ALL := $(CFLAGS_ALL:-O2=-O1)
$(out)san/%.o: %.c $(out)flags $(uapi-ready)
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(SANFLAGS) -c -o $@ $<

$(out)tsan/%.o: %.c $(out)flags $(uapi-ready)
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(TSANFLAGS) -c -o $@ $<

$(cold-o): CFLAGS_ALL := $(CFLAGS_ALL:-O2=$(small))
$(out)%.o: %.c $(out)flags $(uapi-ready)
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<

$(out)unit/%: tests/unit/%.c $(out)san/libkvm.a
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(SANFLAGS) -o $@ $< $(out)san/libkvm.a $(LDFLAGS)

$(out)tsan/unit/%: tests/unit/%.c $(out)tsan/libkvm.a
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(TSANFLAGS) -o $@ $< $(out)tsan/libkvm.a $(LDFLAGS)

# A process under the sanitizers is not sealed.
$(out)unit/seal: tests/unit/seal.c $(out)libkvm.a
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $< $(out)libkvm.a $(LDFLAGS)

# A share behind this machine's own FUSE
$(out)fs-mount: tests/fs/mount.c $(out)san/libkvm.a
	$(say) "  CC   $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(SANFLAGS) -o $@ $< $(out)san/libkvm.a $(LDFLAGS)

unit: $(unit-y:%=$(out)unit/%) $(out)fs-mount

# lkvm with sanitizers, for hostile guests
$(out)san/lkvm: $(cmd-y:%.c=$(out)san/%.o) $(out)san/libkvm.a
	$(say) "  LINK $@"
	$(Q)$(CC) $(target-flags) $(CFLAGS) $(SANFLAGS) -pthread -o $@ $^ $(LDFLAGS)

san: $(out)san/lkvm

# Both with the thread sanitizer, which goes with no other; tests/tsan says it if the
# compiler came without
$(out)tsan/lkvm: $(cmd-y:%.c=$(out)tsan/%.o) $(out)tsan/libkvm.a
	$(say) "  LINK $@"
	$(Q)$(CC) $(target-flags) $(CFLAGS) $(TSANFLAGS) -pthread -o $@ $^ $(LDFLAGS)

tsan: $(if $(filter y,$(have-tsan)),$(out)tsan/lkvm $(thread-y:%=$(out)tsan/unit/%))

# Does the table of include/kvm/abi.def fit the headers of KDIR?
abi-check:
	$(Q)CC="$(CC)" tests/abi-check $(KDIR)

$(out)guest/lib/%.o: tests/guest/lib/%.c $(out)flags $(uapi-ready)
	@mkdir -p $(@D)
	$(say) "  CC   $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(out)guest/lib/%.o: tests/guest/lib/%.S $(out)flags
	@mkdir -p $(@D)
	$(say) "  AS   $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(out)guest/lib/guest.a: $(guest-lib-o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

guest-link := $(addprefix $(out)guest/lib/,start.o guest.a)
$(guest-y:%=$(out)%): $(out)%: tests/%/main.c tests/guest/lib/guest.ld $(guest-link)
	@mkdir -p $(@D)
	$(say) "  LD   $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -nostdlib -static -Wl,--build-id=none \
		-Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
		-T tests/guest/lib/guest.ld -o $@ $< $(guest-link)

guests: $(guest-y:%=$(out)%)

check: $(bin)lkvm unit guests san tsan
	$(Q)tests/check $(out) $(or $(bin),./)lkvm

# In a kernel tree: KSELFTEST="timers seccomp", and further options in TESTFLAGS.
test: $(bin)lkvm
	$(Q)$(or $(bin),./)lkvm test $(addprefix -c ,$(KSELFTEST)) $(TESTFLAGS)

bench: $(bin)lkvm $(out)liblkvm.a
	$(Q)LKVM=$(or $(bin),./)lkvm tests/bench/run

demo: $(bin)lkvm
	$(Q)tests/demo $(or $(bin),./)lkvm

install: $(bin)lkvm
	$(say) "  INSTALL $(bindir)/lkvm"
	$(Q)install -D -m 755 $(bin)lkvm $(DESTDIR)$(bindir)/lkvm
	$(Q)install -D -m 644 Documentation/lkvm.1 $(DESTDIR)$(mandir)/man1/lkvm.1
ifeq ($(CROSS_COMPILE),)
	$(Q)scripts/man $(or $(bin),./)lkvm $(out)man
	$(Q)install -m 644 $(out)man/*.1 $(DESTDIR)$(mandir)/man1
	$(Q)$(or $(bin),./)lkvm help --completion >$(out)completion
	$(Q)install -D -m 644 $(out)completion $(DESTDIR)$(compdir)/lkvm
else
	$(say) "  no pages of commands, no completion: they are made by lkvm, which runs elsewhere"
endif

# Everything but lkvm itself is below $(out), and nothing else is.
clean:
	$(say) "  CLEAN $(out)"
	$(Q)rm -rf $(out) $(bin)lkvm

# Neither exists in a kernel tree: there, it has happened.
ifneq ($(wildcard into-tree/run),)
into-tree:
	$(Q)into-tree/run "$(KDIR)"

patch:
	$(Q)into-tree/patch "$(KDIR)"
endif

help:
	@echo '  make            lkvm, here or in O=DIR'
	@echo '  make install    lkvm, man pages, completion: prefix=/usr/local DESTDIR='
	@echo '  make check      all tests'
	@echo '  make test       kselftest collections of the tree: KSELFTEST="NAME..."'
	@echo '  make unit       build the unit tests'
	@echo '  make guests     build the guests of tests/guest and tests/hostile'
	@echo '  make san        build lkvm with sanitizers'
	@echo '  make tsan       build it and what has threads with the thread sanitizer'
	@echo '  make abi-check  what kernel headers have that lkvm does not know, KDIR=DIR'
	@echo '  make demo       boot a real kernel and run a command in it'
	@echo '  make bench      figures, each beside its peer'
	@echo '  make clean      remove what was built'
ifneq ($(wildcard into-tree/run),)
	@echo '  make into-tree  put lkvm into the kernel tree KDIR=DIR'
	@echo '  make patch      print that as a patch against KDIR=DIR'
endif
	@echo
	@echo '  O=DIR           build there; nothing is written here'
	@echo '  CC= AR=         other compilers; or LLVM=1, or CROSS_COMPILE=PREFIX-'
	@echo '  HOSTCC=         for what runs while lkvm is built: CC, or cc with CROSS_COMPILE'
	@echo '  V=1 W=1         show commands; more warnings'
	@echo '  WERROR=1        warnings are errors'
	@echo '  CFLAGS LDFLAGS  -O2 -g1, and nothing'
	@echo '  TESTFLAGS       more options of lkvm test, for make test'
	@echo '  bindir          where lkvm is installed: prefix/bin'
	@echo '  mandir          and its man pages: prefix/share/man'
	@echo '  compdir         and its completion: prefix/share/bash-completion/completions'

-include $(wildcard $(patsubst %,$(out)%.d,* */* */*/*))

.PHONY: all unit guests san tsan abi-check check test bench demo install clean help into-tree patch
.DELETE_ON_ERROR:
