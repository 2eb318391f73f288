# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Collections of the kernel's own tests: lkvm test beside run_kselftest.sh by hand,
# one after the other, in one VM of lkvm's and in one of QEMU's. The results have to
# be the same, test by test. Once, whatever number of rounds: it takes minutes.

# by_hand LOG: "ok COLLECTION:TEST" lines of what run_kselftest.sh has printed
by_hand() {
	tr -d '\r' <"$1" | sed -nE \
		's/^(ok|not ok) [0-9]+ selftests: ([^:]*): ([^ ]*)( # SKIP)?.*/\1\4 \2:\3/p' |
		sort
}

# by_lkvm LOG: the same of what lkvm test has. Who runs them by hand believes an exit
# status of 0, whatever has been printed.
by_lkvm() {
	awk '$1 ~ /^(PASS|FAIL|SKIP|CRASH|TIMEOUT)$/ && $2 ~ /:/ {
		ok = $1 == "PASS" || /: exit=0, but/ ? "ok" : "not ok"
		if ($1 == "SKIP")
			ok = "ok # SKIP"
		print ok " " $2
	}' "$1" | sort
}

# seconds_of LOG: that lkvm test says its tests have taken
seconds_of() {
	awk '$1 ~ /^(PASS|FAIL|SKIP|CRASH|TIMEOUT)$/ && $2 ~ /:/ { s += $3 } END { print s }' "$1"
}

bench_kselftest() {
	local params='console=ttyS0 panic=-1 loglevel=1 lkvm.test=selftests'
	local vm=(-m 512M -c 1 -u root) few=() all=() c h tests collections

	part kselftest "collections of the kernel's tree, once"
	cp -r "$dir/kselftest/install" install || die "no tests"
	# It leaves a process behind that run_kselftest.sh waits for without end.
	sed -i '/^pidfd:pidfd_setns_test$/d' install/kselftest-list.txt
	collections=$(cut -d : -f 1 install/kselftest-list.txt | grep -vxE 'provoked|deaf' |
		sort -u)
	for c in $collections; do
		all+=(-c "$c")
	done
	for c in size kcmp splice exec; do
		few+=(-c $c)
	done
	test=(./lkvm test -k bzImage --install install --vm -m --vm 512M --vm -c --vm 1
		--logs logs)
	command_set lkvm_two "${test[@]}" -j 2 "${all[@]}"
	command_set lkvm_few "${test[@]}" "${few[@]}"
	command_set lkvm_isolated "${test[@]}" --isolate test "${few[@]}"
	command_set lkvm_hand ./lkvm run -k bzImage "${vm[@]}" -- \
		"$PWD/install/run_kselftest.sh" "${all[@]}"
	c='lkvm_two lkvm_hand'
	if have_qemu; then
		command_set qemu_hand "${qemu[@]}" -m 512 -kernel bzImage -initrd initrd-fs \
			-serial stdio -append "$params lkvm.dir=$PWD/install lkvm.collections=$(
				tr '\n' , <<<"$collections" | sed 's/,$//')" -virtfs \
			local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap
		c+=' qemu_hand'
	fi
	for c in $c lkvm_few lkvm_isolated; do
		rm -rf logs
		once "$c" any
		figure "$c" "$c"
	done
	by_lkvm lkvm_two.log >two
	tests=$(wc -l <two)
	row 'tests' "$tests" ''
	[ "$tests" -gt 0 ] || die "no test ran"
	for h in lkvm_hand qemu_hand; do
		[ -s $h.log ] || continue
		by_hand $h.log >hand
		diff two hand | sed -n "s/^</# lkvm test:/p; s/^>/# $h:/p"
		verdict "lkvm test / $h: other results" "$(comm -13 two hand | wc -l)" '<=' 0
	done
	[ ! -s qemu_hand.us ] ||
		ratio 'lkvm test -j 2 / by hand in one QEMU' lkvm_two qemu_hand '<=' 1
	tests=$(by_lkvm lkvm_few.log | wc -l)
	row 'a machine of its own, for each test' "$(calc "($(cat lkvm_isolated.us) - \
		$(cat lkvm_few.us)) / ($tests - 1) / 1000" %.0f)" ms
	row "what is not the tests' own, in one machine" "$(calc "100 - 100 * \
		$(seconds_of lkvm_few.log) / ($(cat lkvm_few.us) / 1000000)" %.1f)" %
}
