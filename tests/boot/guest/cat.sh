# SPDX-License-Identifier: GPL-2.0-only
# Reads lines from the console up to the one that says END, and prints the
# checksum of them.

stty -echo </dev/console 2>/dev/null
echo READY
while read -r line; do
	[ "$line" = END ] && break
	echo "$line"
done </dev/console >/tmp/lines
echo "SUM $(md5sum </tmp/lines)"
