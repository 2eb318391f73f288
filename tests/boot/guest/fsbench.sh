# SPDX-License-Identifier: GPL-2.0-only
# Times of a shared directory, for tests/bench/fs.sh: a line "FIGURE NAME CS", in
# hundredths of a second, for each name that is read. lkvm.fstype=virtiofs or 9p; the
# tag is "bench". lkvm.id=NAME tells guests that write to the same directory apart.

case $(arg fstype virtiofs) in
9p) set -- -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap ;;
*) set -- -t virtiofs ;;
esac
id=$(arg id x)
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

	mkdir /mnt/many.$id || return
	for i in $(seq 1000); do
		echo "$i" >/mnt/many.$id/$i || return
	done
}

git() {
	chroot /mnt /bin/git --no-optional-locks -C /tree "$@"
}

echo READY
while read -r f; do
	case $f in
	walk) cold $f find /mnt/tree ;;
	list) cold $f ls -lR /mnt/tree ;;
	list_again) warm $f ls -lR /mnt/tree ;;
	tar) cold $f archive ;;
	git_status) cold $f git status ;;
	git_diff) cold $f git diff ;;
	read) cold $f dd if=/mnt/big of=/dev/null bs=1M ;;
	write)
		warm $f dd if=/dev/zero of=/mnt/out.$id bs=1M count=128 conv=fsync
		rm /mnt/out.$id
		;;
	small) warm $f many ;;
	small_gone) cold $f rm -r /mnt/many.$id ;;
	*) fail "no figure $f" ;;
	esac
done
