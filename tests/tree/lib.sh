# SPDX-License-Identifier: GPL-2.0-only
#
# A kernel tree to try things on: sourced by tests/tree/run. It is links into
# the cached source, of which whatever is changed becomes a copy first.

# branch DIR: a link to a directory becomes a directory of links
branch() {
	local dir=$1 to

	[ -L "$dir" ] || return 0
	to=$(readlink -f "$dir")
	rm "$dir"
	mkdir "$dir"
	find "$to" -mindepth 1 -maxdepth 1 -exec ln -s -t "$dir" {} +
}

# own TREE PATH...: copies, which can be changed; so can what holds them
own() {
	local tree=$1 path dir at to

	shift
	for path; do
		at=$tree
		dir=$(dirname "$path")
		for d in ${dir//\// }; do
			[ "$d" != . ] || continue
			at=$at/$d
			branch "$at"
		done
		[ -L "$tree/$path" ] || continue
		to=$(readlink -f "$tree/$path")
		rm "$tree/$path"
		cp -r "$to" "$tree/$path"
	done
}

# make_tree SOURCE DIR: with copies of all that into-tree changes
make_tree() {
	mkdir -p "$2" || return
	find "$1" -mindepth 1 -maxdepth 1 -exec ln -s -t "$2" {} +
	own "$2" Makefile MAINTAINERS tools/Makefile tools/kvm kernel/configs \
		tools/testing/selftests/Makefile \
		tools/testing/selftests/run_kselftest.sh \
		Documentation/virt/kvm/index.rst include/uapi/linux/kvm.h
}

# fingerprint DIR...: of names, modes and contents
fingerprint() {
	tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - "$@" | sha256sum
}
