# SPDX-License-Identifier: GPL-2.0-only
#
# What the Makefile builds with, for which machine, where to, and against whose
# headers. Included by it; sets:
#
#   CC AR	the compiler and archiver
#   arch	which directory is the architecture's
#   out, bin	where intermediate files go, and lkvm; both end in / or are empty
#   tree	the kernel tree that this is tools/kvm of, or empty
#   UAPI	compiler flags: that tree's headers
#   VERSION	what lkvm version says

# Make's own defaults do not count. What the user or the kernel's Makefile set
# does: both are from the environment or the command line.
define default-to
ifneq ($$(filter default undefined,$$(origin $1)),)
$1 := $2
endif
endef

llvm-prefix := $(filter %/,$(LLVM))
llvm-suffix := $(filter -%,$(LLVM))
ifneq ($(LLVM),)
$(eval $(call default-to,CC,$(llvm-prefix)clang$(llvm-suffix)))
$(eval $(call default-to,AR,$(llvm-prefix)llvm-ar$(llvm-suffix)))
else
$(eval $(call default-to,CC,$(CROSS_COMPILE)gcc))
$(eval $(call default-to,AR,$(CROSS_COMPILE)ar))
endif
target-flags := $(if $(findstring clang,$(CC)),$(if $(CROSS_COMPILE),\
	--target=$(notdir $(CROSS_COMPILE:%-=%))))

# A goal that compiles nothing needs no compiler, and leaves no traces.
idle-goals := clean help into-tree patch abi-check
building := $(if $(MAKECMDGOALS),$(filter-out $(idle-goals),$(MAKECMDGOALS)),all)

ifneq ($(building),)
machine := $(shell $(CC) $(target-flags) -dumpmachine)
$(if $(machine),,$(error no compiler: cannot run $(CC)))
endif
arch := $(if $(building),$(if $(filter x86_64-%,$(machine)),x86),x86)
$(if $(arch),,$(error $(CC) compiles for $(machine), and lkvm runs on x86-64 only so far))

# O=DIR as in all of the kernel's tools: seen from where make was called, and
# below it the name of the directory that tools/Makefile came down to.
out := build/
bin :=
ifneq ($(O),)
  o-dir := $(O)$(if $(subdir),/$(subdir))
  o-abs := $(shell cd $(or $(PWD),.) && mkdir -p $(o-dir) && cd $(o-dir) && pwd -P)
  $(if $(o-abs),,$(error cannot write to O=$(O)))
  ifneq ($(o-abs),$(realpath .))
    bin := $(o-abs)/
    out := $(bin)build/
  endif
endif

tree :=
ifeq ($(words $(wildcard ../../Kbuild ../../include/uapi/linux/kvm.h)),2)
  ifeq ($(realpath ../../tools/kvm),$(realpath .))
    tree := ../..
  endif
endif

# The tree's version is lkvm's. Alone, it is that of the repository.
ifneq ($(tree),)
  VERSION := $(shell awk -F '[ \t]*=[ \t]*' '\
	/^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=/ { v[$$1] = $$2 } \
	/^NAME/ { print v["VERSION"] "." v["PATCHLEVEL"] "." v["SUBLEVEL"] \
	v["EXTRAVERSION"]; exit }' $(tree)/Makefile)
else ifneq ($(wildcard .git),)
  VERSION := $(shell git --no-optional-locks describe --always --dirty 2>/dev/null)
endif
VERSION := $(or $(VERSION),unknown)

# The headers under include/uapi are read where they are: what was just edited
# there is what lkvm is built with. What only a kernel build generates, and what
# headers_install would change in them, is in $(out)uapi.
UAPI :=
uapi-ready :=
ifneq ($(tree),)
  UAPI := -include $(out)uapi/kernel-words.h -D__EXPORTED_HEADERS__ \
	-isystem $(out)uapi -isystem $(tree)/arch/$(arch)/include/uapi \
	-isystem $(tree)/include/uapi
  uapi-ready := $(out)uapi/ready
endif

Q := $(if $(filter-out 0,$(V)),,@)
say := @$(if $(findstring s,$(firstword -$(MAKEFLAGS))),:,echo)

# keep FILE,TEXT: a file that is newer only when the text is another
keep = $(shell mkdir -p $(dir $1))$(file >$1.new,$2)$(shell \
	cmp -s $1.new $1 && rm -f $1.new || mv -f $1.new $1)
