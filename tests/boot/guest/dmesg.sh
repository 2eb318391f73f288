# SPDX-License-Identifier: GPL-2.0-only
# The kernel log holds nothing that a correct machine would not cause.
# Prints the whole log, and each line that is wrong once more.

dmesg
dmesg -r >/tmp/raw

# Not the machine's fault.
harmless='process .* used old|PCI: Fatal: No config space|Correctable Errors'
harmless="$harmless|Unable to calibrate against PIT|Fast TSC calibration failed"
harmless="$harmless|random: crng|AMD Zen1 [A-Z0-9]* bug detected"
harmless="$harmless|Speculative Return Stack Overflow|TLB invalidation policy"
# There are no SMBIOS tables, and a kernel that looks for them does without.
harmless="$harmless|DMI not present"

words='firmware (bug|warn|info)|unhandled|kernel BUG|BUG:|WARNING|Call Trace|Oops'
words="$words|not found|failed|error|unable to|cannot|invalid|missing"
words="$words|timed? ?out|nobody cared|stuck|spurious|unknown symbol"
words="$words|protection fault|corrupt|unchecked MSR|disabling IRQ"
words="$words|mtrr:.*(inconsistent|BIOS)"

{
	grep -E '^<[0-3]>' /tmp/raw
	grep -iE "$words" /tmp/raw
} | grep -vE "$harmless" | sort -u >/tmp/bad
if [ -s /tmp/bad ]; then
	sed 's/^/BAD /' /tmp/bad
	fail "$(wc -l </tmp/bad) bad lines, first: $(head -n 1 /tmp/bad)"
fi
# ACPI has told of them, else they are platform devices.
for device in '00:[0-9a-f]+: ttyS0' 'rtc_cmos 00:'; do
	grep -qE "$device" /tmp/raw || fail "no $device in the log"
done
