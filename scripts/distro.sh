# shellcheck shell=bash
# distro.sh - the stage distro of scripts/test: what a distribution does with a release
#
# To be sourced by stages.sh. The results are in $work/distro: the tarball in make/, the packages in
# first/ and second/, those for other processors in cross/stage, the system that they are installed into
# in root/.
#
# SPDX-License-Identifier: MIT
#
# Variables of scripts/test and its set -e; a list of words; a script for another shell:
# shellcheck disable=SC2016,SC2086,SC2154,SC2164

stage_distro() {
	local version

	if [ ! -d "$source/debian" ]; then
		echo "skipped: there is no debian/ in a release; it is in the repository" | to_user
		return 0
	fi
	mkdir -p "$work/distro"
	cd "$source"
	version=$(dpkg-parsechangelog -S Version)
	SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
	export SOURCE_DATE_EPOCH
	make_tarballs "hqq-${version%-*}"
	build_package first "${version%-*}" "parallel=$jobs"
	TZ=Pacific/Chatham LC_ALL=C.UTF-8 build_package second/with/a/longer/path "${version%-*}" "nocheck parallel=$jobs"
	compare_packages first second/with/a/longer/path
	lint_package first
	find_package_with_cmake first
	distro_rpm "hqq-${version%-*}"
	distro_systems first
}

# shellcheck source=scripts/distro-systems.sh
. "${BASH_SOURCE[0]%/*}/distro-systems.sh"

# ---- the tarball

# What bootstrap adds to a checkout, and what of that belongs to a release
autotools_files="Makefile.in aclocal.m4 config.h.in configure m4/libtool.m4 m4/ltoptions.m4 m4/ltsugar.m4
	m4/ltversion.m4 m4/lt~obsolete.m4 build-aux/ar-lib build-aux/compile build-aux/config.guess
	build-aux/config.sub build-aux/depcomp build-aux/install-sh build-aux/ltmain.sh build-aux/missing
	build-aux/test-driver"

# make_tarballs NAME: NAME.tar.xz in make/ from the sources, and again, from what is in it without what
# bootstrap adds, elsewhere and by somebody with other habits
make_tarballs() {
	local tarball=$work/distro/make/$1.tar.xz again=$work/distro/make-again

	make_tarball "$source" "$work/distro/make"
	check_contents "$tarball" "$1"
	mkdir -p "$again"
	tar -C "$again" -xf "$tarball"
	(
		cd "$again/$1"
		rm $autotools_files
		umask 077
		./bootstrap
		unset SOURCE_DATE_EPOCH # the date is the one that the files have
		TZ=Pacific/Chatham make_tarball "$again/$1" "$again/elsewhere"
	)
	cmp "$tarball" "$again/elsewhere/$1.tar.xz"
	echo "$1.tar.xz: the same when it is made again" | to_user
}

make_tarball() { # SOURCE DIRECTORY
	mkdir -p "$2"
	cd "$2"
	"$1/configure" --quiet
	make -s dist
}

# The tarball has the files of the repository, what bootstrap adds, and nothing else.
check_contents() { # TARBALL NAME
	cd "$work/distro"
	tar -tf "$1" | sed -n "s|^$2/||; /[^/]\$/p" | sort >in-tarball
	{
		printf '%s\n' $autotools_files
		(cd "$source" && find . -type f -printf '%P\n') |
			grep -vE '^(debian|autom4te\.cache|build-aux)/|^(Makefile\.in|aclocal\.m4|config\.h\.in|configure)~?$|^m4/(libtool|lt[a-z~]*)\.m4$'
	} | sort >wanted
	diff wanted in-tarball || { echo "files that are only in the repository: <; only in the tarball: >"; return 1; }
	rm -rf unpacked
	mkdir unpacked
	tar -C unpacked -xf "$1"
	(cd "$source" && tr '\n' '\0' <"$work/distro/wanted" | xargs -0 sha256sum) >sums
	(cd "unpacked/$2" && sha256sum --quiet --check "$work/distro/sums")
	echo "$2.tar.xz: $(wc -l <in-tarball) files, as in the repository and what bootstrap adds" | to_user
}

# ---- the packages

build_package() { # DIRECTORY UPSTREAM-VERSION OPTIONS
	local directory=$work/distro/$1

	mkdir -p "$directory"
	cp "$work/distro/make/hqq-$2.tar.xz" "$directory/hqq_$2.orig.tar.xz"
	cd "$directory"
	tar -xf "hqq_$2.orig.tar.xz"
	cp -R "$source/debian" "hqq-$2/"
	cd "hqq-$2"
	# the version of the package comes from its changelog, as does the date
	limited env -u SOURCE_DATE_EPOCH DEB_BUILD_OPTIONS="$3" dpkg-buildpackage --unsigned-source --unsigned-changes \
		>../build.log 2>&1 || {
		cat ../build.log
		return 1
	}
	cat ../build.log
	sed -n 's/^\(# [A-Z]*: *[1-9][0-9]*\)$/\1/p' ../build.log | tr '\n' ' ' | sed 's/^#/dpkg-buildpackage: make check #/;s/ $/\n/' | to_user
}

compare_packages() { # ONE OTHER
	local package count=0

	cd "$work/distro"
	for package in "$1"/*.deb; do
		cmp "$package" "$2/${package##*/}"
		count=$((count + 1))
	done
	[ "$count" -gt 0 ] && [ "$count" -eq "$(find "$2" -maxdepth 1 -name '*.deb' | wc -l)" ]
	echo "$count packages, bit by bit the same when they are built again elsewhere" | to_user
}

# What fails is decided here: lintian's own --fail-on takes overridden tags for failures in some cases.
lint_package() { # DIRECTORY
	cd "$work/distro/$1"
	lintian -EviIL +pedantic --show-overrides --allow-root --fail-on none ./*.changes >../lintian.out 2>&1
	cat ../lintian.out
	sed -n 's/^O: \([^:]*: [a-z-]*\).*/overridden, with a reason: \1/p' ../lintian.out | sort -u | to_user
	if grep -E '^[EWIPX]: ' ../lintian.out | to_user; then
		return 1
	fi
	# the overridden ones show that it did look
	grep -q '^O: ' ../lintian.out
	echo "lintian: no tag without a reason" | to_user
}

# CMake finds what is where Debian has it.
find_package_with_cmake() { # DIRECTORY
	local package there=$work/distro/unpacked-packages

	for package in "$work/distro/$1"/libhqq1_*.deb "$work/distro/$1"/libhqq-dev_*.deb; do
		dpkg-deb -x "$package" "$there"
	done
	cmake_project "$there/usr" "$there/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)"
}

# ---- the other family of packages

# Built without checking for what it needs: those would be rpm packages. The spec file is in the tarball.
distro_rpm() { # NAME
	local top=$work/distro/rpm spec=$source/packaging/rpm/hqq.spec

	mkdir -p "$top/SOURCES"
	rpmlint --strict "$spec" 2>&1 | tee "$top/rpmlint.out"
	sed -n 's/^ *\(.*specfiles checked; [^;]*\);.*/rpmlint: \1/p' "$top/rpmlint.out" | to_user
	cp "$work/distro/make/$1.tar.xz" "$top/SOURCES/"
	limited rpmbuild -ba --nodeps --without check --define "_topdir $top" "$spec" >"$top/build.log" 2>&1 || {
		cat "$top/build.log"
		return 1
	}
	cat "$top/build.log"
	find "$top" -name '*.rpm' -printf '%f ' | sed 's/^/rpmbuild: /;s/ $/\n/' | to_user
}
