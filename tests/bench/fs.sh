# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A shared directory: virtio-fs of lkvm beside QEMU's 9p and, where there is one,
# virtiofsd behind QEMU. Same kernel, same directory, in memory.

fs_figures='walk list list_again tar git_status git_diff read write small
	small_gone'

# make_share DIR: a repository of 1,000 files (QEMU's 9p takes minutes for them), the git
# to look at it, a big file
make_share() {
	local f

	mkdir -p "$1"/{bin,dev,tree,tmp} && mknod -m 666 "$1/dev/null" c 1 3 ||
		die "cannot make $1"
	(cd "$1/tree" || exit
	mkdir d{1..50} || exit
	for d in d*; do
		for f in {1..20}; do
			printf '%s\n' "$d $f" {1..200} >"$d/file$f"
		done
	done
	) || die "cannot make $1/tree"
	if f=$(command -v git); then
		(cd "$1/tree" && git init -q . && git add . && git -c user.name=bench \
			-c user.email=bench commit -qm files &&
			echo changed >>d7/file7) || die "cannot make a repository"
		cp "$f" "$1/bin/git"
		ldd "$f" | grep -o '/[^ ]*' | while read -r f; do
			mkdir -p "$1${f%/*}" && cp -L "$f" "$1$f"
		done
	else
		echo "# no git: not measured"
	fi
	dd if=/dev/urandom of="$1/big" bs=1M count=128 status=none
}

# fs_once NAME
fs_once() {
	local daemon='' word name value

	if [ "$1" = virtiofsd ]; then
		"$virtiofsd" --socket-path="$PWD/fs.sock" -o "source=$PWD/share" \
			-o cache=auto -o xattr -f >virtiofsd.log 2>&1 &
		daemon=$!
		for i in {1..100}; do
			[ ! -S fs.sock ] || break
			sleep 0.1
		done
	fi
	once "$1" 0 'RESULT fsbench ok'
	[ -z "$daemon" ] || wait "$daemon"
	tr -d '\r' <"$1.log" | while read -r word name value; do
		[ "$word" != FIGURE ] || echo "$value" >>"$1.$name"
	done
}

bench_fs() {
	local params='console=ttyS0 panic=-1 loglevel=4 lkvm.test=fsbench'
	local kinds=lkvm k f v ours best i
	local machine=(-m 1G -c 1 -k bzImage -i initrd-fs)
	local virtiofsd=/usr/lib/qemu/virtiofsd
	local q=("${qemu[@]}" -m 1G -kernel bzImage -initrd initrd-fs
		 -serial stdio)

	part fs "a shared directory, in 1/100 s, median of $rounds"
	[ -z "${LKVM_IN_EMULATED_HOST:-}" ] || params+=' idle=poll'
	make_share share
	command_set lkvm ./lkvm run "${machine[@]}" --rw share,tag=bench \
		-p "$params"
	if have_qemu; then
		kinds+=' qemu9p'
		command_set qemu9p "${q[@]}" -append "$params lkvm.fstype=9p" \
			-virtfs local,path=share,mount_tag=bench,security_model=none
		if [ -x $virtiofsd ]; then
			kinds+=' virtiofsd'
			command_set virtiofsd "${q[@]}" -append "$params" \
				-object memory-backend-memfd,id=m,size=1G,share=on \
				-machine memory-backend=m \
				-chardev socket,id=f,path=fs.sock \
				-device vhost-user-fs-pci,chardev=f,tag=bench
		fi
	fi
	for ((i = 0; i < rounds; i++)); do
		for k in $kinds; do
			fs_once "$k"
		done
	done
	for f in $fs_figures; do
		[ -s "lkvm.$f" ] || continue
		best=
		for k in $kinds; do
			[ -s "$k.$f" ] || continue
			# the guest's clock has no less than that
			v=$(calc "($(median "$k.$f") < 1 ? 1 : $(median "$k.$f"))")
			row "$f, $k" "$v" 1/100s
			if [ "$k" = lkvm ]; then
				ours=$v
			elif [ -z "$best" ] || [ "$(calc "($v < $best)" %d)" = 1 ]; then
				best=$v
			fi
		done
		[ -z "$best" ] || verdict "$f: lkvm / best of the others" \
			"$(calc "$ours / $best")" '<=' 1
		case $f in
		walk | list | small | small_gone)
			[ ! -s "qemu9p.$f" ] ||
				verdict "$f: lkvm / QEMU's 9p" \
					"$(calc "$ours / $(median "qemu9p.$f")")" '<=' 0.33
			;;
		esac
	done
}
