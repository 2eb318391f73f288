# SPDX-License-Identifier: GPL-2.0-only
# Times of a shared directory, for tests/bench/fs.sh: lines "FIGURE NAME CS", in
# hundredths of a second. lkvm.fstype=virtiofs or 9p; the tag is "bench".

case $(arg fstype virtiofs) in
9p) set -- -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap ;;
*) set -- -t virtiofs ;;
esac
mkdir -p /mnt
mount "$@" bench /mnt || fail "cannot mount"

now() {
	local up

	read -r up _ </proc/uptime
	cs=$((${up%.*} * 100 + 1${up#*.} - 100))
}

# cold NAME COMMAND...: nothing of the share is remembered
cold() {
	echo 3 >/proc/sys/vm/drop_caches
	warm "$@"
}

warm() {
	local name=$1 begin

	shift
	now
	begin=$cs
	"$@" >/tmp/out 2>&1 || fail "$name: $(tail -n 1 /tmp/out)"
	now
	echo "FIGURE $name $((cs - begin))"
}

archive() (
	set -o pipefail
	tar -c -f - -C /mnt tree | wc -c
)

many() {
	local i

	mkdir /mnt/many || return
	for i in $(seq 1000); do
		echo "$i" >/mnt/many/$i || return
	done
}

git() {
	chroot /mnt /bin/git --no-optional-locks -C /tree "$@"
}

cold walk find /mnt/tree
cold list ls -lR /mnt/tree
warm list_again ls -lR /mnt/tree
cold tar archive
if [ -x /mnt/bin/git ]; then
	cold git_status git status
	cold git_diff git diff
fi
cold read dd if=/mnt/big of=/dev/null bs=1M
warm write dd if=/dev/zero of=/mnt/out bs=1M count=128 conv=fsync
warm small many
cold small_gone rm -r /mnt/many
rm /mnt/out
