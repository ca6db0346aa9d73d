# shellcheck shell=bash
# lib.sh - what the scripts of this directory share; to be sourced by bash
#
# SPDX-License-Identifier: MIT

# What a checkout needs to be configured and built on Debian 12
# shellcheck disable=SC2034
build_packages=(gcc libc6-dev make autoconf automake libtool pkg-config)

# need_packages PACKAGE...: see to it that these Debian packages are installed. Says nothing when
# all of them are; on a system without dpkg it names them and lets the caller try.
need_packages() {
	local missing=() package sudo=()

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		echo "not a Debian system; what Debian calls $* must be there already" >&2
		return 0
	fi
	for package in "$@"; do
		package_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "neither root nor sudo to install: ${missing[*]}" >&2
			return 1
		fi
		sudo=(sudo)
	fi
	echo "installing ${missing[*]}"
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null ||
		echo "apt-get update has failed; trying with the lists that are there" >&2
	# nothing that is installed may go: a conflict is for the user to solve
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --no-remove \
		-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 install "${missing[@]}" >/dev/null
}

package_installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -x installed >/dev/null
}

# copy_sources FROM TO: the files of a checkout (or an unpacked tarball) without what was built
# there, so that a build does not depend on the state of the tree. TO must not exist yet.
copy_sources() {
	local from=$1 to=$2

	mkdir -p "$to"
	if [ -e "$from/.git" ] && command -v git >/dev/null; then
		# a file that was removed but not yet committed is still listed
		git -c safe.directory='*' -C "$from" ls-files -z --cached --others --exclude-standard |
			(cd "$from" && while IFS= read -r -d '' file; do
				[ ! -e "$file" ] || printf '%s\0' "$file"
			done) | tar -C "$from" --null --no-recursion -T - -cf -
	else
		tar -C "$from" --exclude=./build --exclude=./Makefile --exclude=./config.h --exclude=./config.status \
			--exclude='*.o' --exclude='*.lo' --exclude='*.la' --exclude=.libs --exclude=.deps -cf - .
	fi | tar -C "$to" -xf -
}
