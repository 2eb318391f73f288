# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Says which disks, interfaces and shares come and go, without an end. A disk's
# first half is copied to its second, over and over, so that it is always in use
# and its contents are known.

disk() {
	name=$1 serial=$2 half=$(($(cat "/sys/block/$1/size") / 16))

	echo "DISK $serial $(dd if="/dev/$name" bs=4k count="$half" 2>/dev/null |
		md5sum | cut -d' ' -f1)"
	while dd if="/dev/$name" of="/dev/$name" bs=4k count="$half" \
			seek="$half" conv=notrunc,fsync 2>/dev/null; do
		[ -z "$said" ] && echo "COPIED $serial"
		said=1
	done
	echo "IDLE $serial"
}

share() {
	mkdir -p "/tmp/$1"
	mount -t virtiofs "$1" "/tmp/$1" || return
	echo "SHARE $1 $(cat "/tmp/$1/file")"
	echo back >"/tmp/$1/back"
	umount "/tmp/$1"
	echo "LEFT $1"
}

# A disk is asked for its number only once: one that was torn out does not answer.
ids() {
	for d in /sys/block/vd*; do
		[ -r "$d/serial" ] || continue
		known=/tmp/serial.$(cat "$d/diskseq" 2>/dev/null)
		[ -s "$known" ] || cat "$d/serial" >"$known" 2>/dev/null
		[ -s "$known" ] && echo "${d##*/}:$(cat "$known")"
	done
	for d in /sys/class/net/eth*; do
		[ -r "$d/address" ] && echo "net:$(cat "$d/address")"
	done
	for d in /sys/bus/virtio/drivers/virtiofs/virtio*; do
		[ -e "$d" ] && echo "fs:${d##*/}"
	done
}

old=
echo READY
while :; do
	new=$(ids)
	for i in $new; do
		case " $(echo $old) " in *" $i "*) continue ;; esac
		echo "CAME $i"
		case $i in
		vd*) disk "${i%%:*}" "${i#*:}" & ;;
		fs:*) [ -n "$old" ] && share hot & ;;
		esac
	done
	for i in $old; do
		case " $(echo $new) " in *" $i "*) ;; *) echo "WENT $i" ;; esac
	done
	old=$new
	sleep 0.2
done
