# shellcheck shell=bash
# distro-systems.sh - the stage distro of scripts/test: the packages in new Debian systems
#
# To be sourced by distro.sh. Each system is a directory that starts as a copy of the first one, so
# nothing is installed on the machine itself.
#
# SPDX-License-Identifier: MIT
#
# Variables of scripts/test and its set -e; a script for another shell:
# shellcheck disable=SC2016,SC2154,SC2164

distro_systems() { # DIRECTORY
	local reason

	reason=$(system_refused)
	if [ -n "$reason" ]; then
		echo "not run: the packages in a new system: ${reason//$'\n'/; }" | to_user
		return 0
	fi
	make_base
	cross_build_packages "$1"
	compare_same_packages "$1" "$work/distro/cross/stage"
	run_other_processors
	install_packages_into_root "$1"
	run_autopkgtest "$1"
	run_piuparts "$1"
}

# Prints why there cannot be one; nothing when there can
system_refused() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "only root may make one"
	elif ! unshare --mount --pid --fork chroot / true 2>&1; then
		echo "unshare and chroot are not permitted"
	elif ! mknod "$work/distro/null" c 1 3 2>&1; then
		echo "device files are not permitted"
	fi
}

# A new Debian system of this machine's release, with compilers, in base.tar
make_base() {
	local option proxies=()

	# a mirror that only this machine knows how to reach
	while IFS= read -r option; do
		proxies+=(--aptopt="$option")
	done < <(apt-config dump | grep -E '^Acquire::https?::' || true)
	limited mmdebstrap --variant=minbase --include=gcc,g++,libc6-dev,libglib2.0-dev,man-db,pkg-config \
		--dpkgopt=force-unsafe-io "${proxies[@]}" "$(debian_release)" "$work/distro/base.tar" "$(debian_source)"
}

debian_release() {
	(. /etc/os-release && echo "$VERSION_CODENAME")
}

# new_system NAME: with the directory stage/, for us
new_system() {
	mkdir "$work/distro/$1"
	tar -C "$work/distro/$1" -xf "$work/distro/base.tar"
	cp -L /etc/resolv.conf /etc/hosts "$work/distro/$1/etc/"
	mkdir "$work/distro/$1/stage"
}

# in_system NAME COMMAND...: with a /proc and a /dev/shm of its own, and no process left behind
in_system() {
	local root=$work/distro/$1

	shift
	with_mounts "$root" env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
}

with_mounts() { # DIRECTORY COMMAND...
	limited unshare --mount --pid --fork --kill-child bash -euc '
		mount -t proc proc "$1/proc"
		mount -t tmpfs -o mode=1777,size=512m tmpfs "$1/dev/shm"
		shift
		exec "$@"
	' with_mounts "$@"
}

# give_repository NAME DIRECTORY...: the packages there, for the system's apt
give_repository() {
	local repository=$work/distro/$1/stage/repository directory

	shift
	mkdir "$repository"
	for directory in "$@"; do
		cp "$directory"/*.deb "$repository/"
	done
	(cd "$repository" && dpkg-scanpackages --multiversion . >Packages)
	echo 'deb [trusted=yes] file:/stage/repository ./' >"$repository/../../etc/apt/sources.list.d/local.list"
}

# ---- other processors

cross_build_packages() { # DIRECTORY
	new_system cross
	tar -C "$work/distro/cross/stage" -xf "$work/distro/$1"/hqq_*.orig.tar.xz
	mv "$work/distro/cross/stage"/hqq-* "$work/distro/cross/stage/hqq"
	cp -R "$source/debian" "$work/distro/cross/stage/hqq/"
	cp "$source/scripts/distro-cross" "$source/tests/installed.c" "$work/distro/cross/stage/"
	give_repository cross "$work/distro/$1"
	in_system cross /stage/distro-cross arm64 i386 | to_user
}

# Multi-Arch: same means that whatever is not below a directory of the processor is identical.
compare_same_packages() { # DIRECTORY OTHER
	local package name architecture ours

	cd "$work/distro"
	for package in "$2"/libhqq1_*.deb "$2"/libhqq-dev_*.deb; do
		name=$(dpkg-deb -f "$package" Package)
		architecture=$(dpkg-deb -f "$package" Architecture)
		[ "$(dpkg-deb -f "$package" Multi-Arch)" = same ]
		ours=$(dpkg --print-architecture)
		shared_files "$1/${name}_"*"_$ours.deb" >"shared-$ours"
		shared_files "$package" >"shared-$architecture"
		diff "shared-$ours" "shared-$architecture"
		echo "$name: $(grep -c . "shared-$ours") files the same for $ours and $architecture" | to_user
	done
}

shared_files() { # PACKAGE
	local there
	there=$(mktemp -d "$work/distro/shared.XXXXXX")
	dpkg-deb -x "$1" "$there"
	(cd "$there" && find . -type f ! -path './usr/lib/*-linux-gnu*/*' -exec sha256sum {} + | sort -k 2)
	rm -rf "$there"
}

# The programs that distro-cross linked, with the libraries of that system
run_other_processors() {
	local program root=$work/distro/cross

	for program in arm64-shared arm64-static; do
		timeout 120 qemu-aarch64 -L "$root" "$root/stage/program-$program" | sed "s/^/$program: /" | to_user
	done
	for program in i386-shared i386-static; do
		timeout 120 qemu-i386 -L "$root" "$root/stage/program-$program" | sed "s/^/$program: /" | to_user
	done
}

# ---- this processor

install_packages_into_root() { # DIRECTORY
	new_system root
	give_repository root "$work/distro/$1"
	cp "$source/tests/installed.c" "$source/scripts/distro-root" "$work/distro/root/stage/"
	in_system root /stage/distro-root | to_user
}

# debian/tests, by the runner that Debian has for them
run_autopkgtest() { # DIRECTORY
	local status=0

	new_system autopkgtest
	give_repository autopkgtest "$work/distro/$1"
	cp -R "$source/debian" "$work/distro/autopkgtest-source-debian"
	mkdir -p "$work/distro/autopkgtest-source"
	mv "$work/distro/autopkgtest-source-debian" "$work/distro/autopkgtest-source/debian"
	# there is no such directory in there
	unset TMPDIR
	with_mounts "$work/distro/autopkgtest" autopkgtest --no-built-binaries --setup-commands='apt-get -q update' \
		--output-dir="$work/distro/autopkgtest-output" --summary-file="$work/distro/autopkgtest-summary" \
		"$work/distro/autopkgtest-source" -- chroot "$work/distro/autopkgtest" || status=$?
	sed 's/^/autopkgtest: /' "$work/distro/autopkgtest-summary" | to_user
	[ "$status" -eq 0 ] && [ "$(grep -c ' PASS' "$work/distro/autopkgtest-summary")" -eq \
		"$(grep -c '^Tests:' "$source/debian/tests/control")" ]
}

run_piuparts() { # DIRECTORY
	local uri release

	read -r _ _ uri release _ <<<"$(debian_source)"
	new_system piuparts
	limited piuparts --existing-chroot="$work/distro/piuparts" --distribution="$release" --mirror="$uri main" \
		--tmpdir="$work/distro" --no-upgrade-test --no-eatmydata "$work/distro/$1"/*.changes
	echo "piuparts: ok" | to_user
}
