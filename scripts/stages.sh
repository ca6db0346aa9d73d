# shellcheck shell=bash
# stages.sh - the stages of scripts/test; to be sourced by it
#
# A stage is a function stage_NAME that runs under `set -e` in a subshell, in any directory. It
# finds the bootstrapped sources in $source and has $work for its builds. Its output is the log;
# what the user should see too goes through to_user, which knows file descriptor 3.
#
# SPDX-License-Identifier: MIT
#
# Variables of one file are used in the other, `cd` is watched by set -e, and pkg-config's answer
# and make's variables are meant as they stand:
# shellcheck disable=SC2016,SC2034,SC2046,SC2154,SC2164

declare -A stage_title=(
	[gcc]="gcc, warnings as errors, make check"
	[clang]="clang, warnings as errors, make check"
	[asan]="AddressSanitizer and UndefinedBehaviorSanitizer, make check"
	[tsan]="ThreadSanitizer, make check"
	[valgrind]="valgrind memcheck, make check-valgrind"
	[fuzz]="libFuzzer, address and undefined behaviour sanitizers, some seconds per target"
	[model]="the models of ring, sleep and recovery are verified, and their controls fail"
	[install]="the installed library and its headers, by pkg-config and CMake, from C11 and C++17"
	[bare]="configure, build and make check without Check and GLib"
	[musl]="configure, build and the tests of the command with another C library, musl"
	[api]="headers, version script and manual pages agree"
	[man]="manual pages, linted"
	[distcheck]="make distcheck"
	[distro]="Debian packages: reproducible, lintian, cross-built, installed into new systems, purged; rpm"
	[aarch64]="cross build for aarch64, the tests under qemu"
	[s390x]="cross build for s390x (big-endian), the tests under qemu"
	[i386]="cross build for i386, the tests"
	[interop]="one segment shared by programs for amd64, i386 and aarch64, refused by s390x"
)
all_stages=(gcc clang asan tsan valgrind fuzz model install bare musl api man distcheck distro aarch64 s390x i386 interop)
quick_stages=(gcc install bare api man)

test_packages="check g++ libglib2.0-dev abigail-tools"
arm64_packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
s390x_packages="gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user"
i386_packages="gcc-i686-linux-gnu libc6-dev-i386-cross qemu-user"
declare -A stage_packages=(
	[gcc]="$test_packages"
	[clang]="clang $test_packages"
	[asan]="$test_packages"
	[tsan]="$test_packages util-linux"
	[valgrind]="valgrind libc6-dbg $test_packages"
	[fuzz]="clang libclang-rt-14-dev"
	[model]="spin"
	[install]="g++ clang cmake"
	[musl]="musl-tools linux-libc-dev"
	[man]="mandoc man-db groff"
	[distcheck]="xz-utils $test_packages"
	[distro]="xz-utils dpkg-dev debhelper lintian mmdebstrap autopkgtest piuparts mandoc util-linux g++ cmake
		rpm rpmlint qemu-user $test_packages"
	[aarch64]="$arm64_packages"
	[s390x]="$s390x_packages"
	[i386]="$i386_packages"
	[interop]="$arm64_packages $s390x_packages $i386_packages"
)

# What comes in goes to the log and to the user
to_user() {
	local line

	while IFS= read -r line; do
		printf '%s\n' "$line"
		printf '%s\n' "$line" >&3
	done
}

# ---- builds

# build NAME CONFIGURE-ARGUMENT...: go to $work/NAME; configure and make there, unless that was done
build() {
	local directory=$work/$1

	shift
	mkdir -p "$directory"
	cd "$directory"
	[ ! -e .built ] || return 0
	"$source/configure" --quiet --enable-werror "$@"
	make -j"$jobs"
	touch .built
}

build_gcc() {
	build gcc --prefix="$work/prefix" CC=gcc
}

# limited COMMAND...: what hangs is ended, and so is what it started
limited() {
	timeout -k 60 1800 "$@"
}

# check_in NAME [MAKE-ARGUMENT...]: run the tests of a build and show how the runners closed
check_in() {
	local directory=$work/$1 status=0 target=check

	shift
	case ${1-} in
	check-*) target=$1; shift ;;
	esac
	cd "$directory"
	rm -f tests/*.log tests/*.trs
	# VERBOSE: the output of tests that failed is shown after the summary
	VERBOSE=1 limited make -j"$jobs" -k "$target" "$@" >check.out 2>&1 || status=$?
	cat check.out
	closing_lines | to_user
	# a run in which Check counted nothing has tested nothing
	grep -qaE '^100%: Checks: [1-9]' tests/*.log || status=1
	return "$status"
}

# Check's closing lines of every program and what failed in it, automake's own, how a test of another kind
# ended that failed, and why anything was skipped
closing_lines() {
	local log

	for log in tests/*.log; do
		grep -aE '^(Running suite\(s\):|[0-9]+%: Checks:|[^ ]+:[0-9]+:[EF]:)' "$log" || true
		case $(sed -n 's/^:test-result: *//p' "${log%.log}.trs" 2>/dev/null) in
		SKIP) cat "$log" ;;
		FAIL | ERROR) grep -qaE '^[0-9]+%: Checks:' "$log" || show_failed_script "$log" ;;
		esac
		grep -aE '^(not run|skipped|SKIP)' "$log" || true
	done
	grep -E '^(# [A-Z]+: |FAIL: |XPASS: |ERROR: )' check.out | awk '!seen[$0]++' || true
}

show_failed_script() { # LOG
	grep -aE '^(FAILED:|  line [0-9]+:)' "$1" || true # as tests/tool-lib.sh has it
	echo "-- the end of $1"
	tail -n 20 "$1"
}

stage_gcc() {
	build_gcc
	check_in gcc
}

stage_clang() {
	build clang CC=clang CXX=clang++
	check_in clang
}

stage_asan() {
	build asan --enable-asan CFLAGS="-g -O1"
	check_in asan
}

stage_tsan() {
	build tsan --enable-tsan CFLAGS="-g -O1"
	check_in tsan
}

stage_valgrind() {
	build_gcc
	check_in gcc check-valgrind
}

stage_fuzz() {
	build_gcc
	make -j"$jobs" fuzz-programs
	timeout 600 make -s fuzz FUZZ_SECONDS=15 | to_user
}

stage_model() {
	build_gcc
	limited make -s model | to_user
}

stage_distcheck() {
	build dist
	limited make -j"$jobs" distcheck >distcheck.out 2>&1 || { cat distcheck.out; return 1; }
	cat distcheck.out
	grep -E '^(# [A-Z]+: |hqq-.*ready for distribution|hqq-.*\.tar)' distcheck.out | to_user
}

# Nothing but a compiler: configure must do, and `make check` must say what it skips.
stage_bare() {
	build bare PKG_CONFIG=false
	limited make -j"$jobs" check 2>&1 | tee check.out
	grep -E '^SKIP: tests/without-check$' check.out | to_user
	to_user <tests/without-check.log
}

# What needs neither Check nor GLib, which are made for the other library; nor has that its own copy of the
# kernel's headers.
stage_musl() {
	local headers=$work/musl-headers test

	mkdir -p "$headers"
	ln -sfn /usr/include/linux /usr/include/asm-generic "/usr/include/$(gcc -print-multiarch)/asm" "$headers/"
	build musl PKG_CONFIG=false CC=musl-gcc CPPFLAGS="-idirafter $headers"
	readelf -d lib/.libs/libhqq.so | grep 'NEEDED.*\[libc\.so\]'
	make -j"$jobs" tests/test_symbols tests/doctor_patient examples/advanced_client examples/advanced_epoll \
		examples/advanced_files examples/advanced_server
	export srcdir=$source
	timeout 60 tests/test_symbols | to_user
	for test in tool-calls tool-doctor tool-segments tool-transfer; do
		timeout 600 "$source/tests/$test"
		echo "$test: ok" | to_user
	done
}

# shellcheck source=scripts/distro.sh
. "${BASH_SOURCE[0]%/*}/distro.sh"

# ---- what users get

stage_install() {
	local prefix=$work/prefix so=$work/prefix/lib/libhqq.so.1.0.0 header program flags

	build_gcc
	make install
	export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

	readelf -d "$so" >dynamic
	grep 'SONAME.*\[libhqq.so.1\]' dynamic
	grep NODELETE dynamic
	echo "libhqq.so.1 needs: $(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' dynamic | tr '\n' ' ')" | to_user
	[ "$(grep '(NEEDED)' dynamic | grep -cvE '\[(libc\.so|ld-linux)')" -eq 0 ]
	[ "$(pkg-config --modversion hqq)" = "$(sed -n 's/^AC_INIT(\[hqq\], \[\(.*\)\])$/\1/p' "$source/configure.ac")" ]

	mkdir -p "$work/installed"
	cd "$work/installed"
	flags="-Wall -Wextra -Wpedantic -Werror -O2"
	diff <(cd "$source/include" && find . -name '*.h*' | sort) <(cd "$prefix/include" && find . -name '*.h*' | sort)
	for header in $(cd "$prefix/include" && find hqq.h hqq -name '*.h'); do
		echo "#include <$header>" >alone.c
		compile gcc -std=c11 -c alone.c -o alone.o
		compile g++ -std=c++17 -x c++ -c alone.c -o alone.o
	done
	for header in $(cd "$prefix/include" && find hqq.hpp hqq -name '*.hpp'); do
		alone_in_cxx "$header"
	done
	cp "$source/tests/installed.c" .
	compile gcc -std=c11 installed.c -o shared-c $(pkg-config --libs hqq) "-Wl,-rpath,$prefix/lib"
	compile g++ -std=c++17 -x c++ installed.c -x none -o shared-c++ $(pkg-config --libs hqq) "-Wl,-rpath,$prefix/lib"
	compile gcc -std=c11 installed.c -o static-c -static $(pkg-config --static --libs hqq)
	ldd shared-c >libraries
	grep "libhqq.so.1 => $prefix/lib/libhqq.so.1" libraries
	for program in shared-c shared-c++ static-c; do
		timeout 120 "./$program" | sed "s/^/$program: /" | to_user
	done
	# hqq.pc tells the layout, as its manual page does
	[ "$(pkg-config --variable=layout_version hqq)" = "$(sed -n 's/^\.Em layout \([0-9.]*\) ,$/\1/p' "$source/man/hqq_protocol.7")" ]

	cmake_project "$prefix"
	# what was installed may be moved as a whole
	cp -R "$prefix" "$work/moved"
	cmake_project "$work/moved"
}

# cmake_project PREFIX [LIBRARY-DIRECTORY]: tests/cmake, with what is installed there
cmake_project() {
	local directory=$work/cmake-${1##*/} library=${2-$1/lib} program

	mkdir -p "$directory"
	cp "$source/tests/cmake/CMakeLists.txt" "$source/tests/installed.c" "$directory/"
	cmake -S "$directory" -B "$directory/build" -DCMAKE_PREFIX_PATH="$1"
	cmake --build "$directory/build" --verbose >"$directory/build.log"
	cat "$directory/build.log"
	[ "$(grep -c "isystem $1/include " "$directory/build.log")" -eq 4 ]
	ldd "$directory/build/c-hqq" | grep "libhqq.so.1 => $library/libhqq.so.1"
	ldd "$directory/build/c-hqq_static" >"$directory/libraries"
	if grep libhqq "$directory/libraries"; then
		return 1
	fi
	for program in c-hqq cpp-hqq c-hqq_static cpp-hqq_static; do
		timeout 120 "$directory/build/$program" | sed "s/^/cmake, $program: /" | to_user
	done
}

# alone_in_cxx HEADER: a header for C++ compiles by itself, in each dialect that it is for
alone_in_cxx() {
	local compiler standard

	echo "#include <$1>" >alone.cpp
	for compiler in g++ clang++; do
		for standard in c++17 c++20; do
			compile "$compiler" -std=$standard -Wconversion -Wshadow -c alone.cpp -o alone.o
			compile "$compiler" -std=$standard -fno-exceptions -fno-rtti -c alone.cpp -o alone.o
		done
	done
}

# compile COMPILER ARGUMENT...: with the flags of the installed library and of stage_install
compile() {
	local compiler=$1

	shift
	# shellcheck disable=SC2086
	"$compiler" $flags $(pkg-config --cflags hqq) "$@"
}

stage_api() {
	build_gcc
	# a name in the map that nothing defines is no error for the linker
	nm -D --defined-only lib/.libs/libhqq.so | sed -n 's/.* T \(hqq_[a-z0-9_]*\)@@.*/\1/p' | sort >exported
	sed -n 's/^\t\(hqq_[a-z0-9_]*\);$/\1/p' "$source/lib/libhqq.map" | sort | diff - exported
	echo "$(wc -l <exported) symbols exported, as lib/libhqq.map says" | to_user
	# no other name leaks, not out of the static library either
	{
		nm -D --defined-only lib/.libs/libhqq.so
		nm -g --defined-only lib/.libs/libhqq.a
	} | sed -n 's/^[0-9a-f]* [A-Za-z] //p' | sed 's/@.*//' | sort -u >globals
	[ "$(wc -l <globals)" -gt "$(wc -l <exported)" ]
	if grep -vE '^(hqq_[a-z0-9_]*|HQQ_[0-9.]*)$' globals | sed 's/^/leaks: /' | to_user; then
		return 1
	fi
	"$source/tests/check-api" "$source" | to_user
}

# Pages that are more than a reference to another one are linted; the others must lead somewhere.
stage_man() {
	local page pages=0 aliases=0 bad=0 said root=$work/man

	build_gcc
	make install-man mandir="$root"
	cd "$root"
	for page in man*/*; do
		if [ "$(head -c 4 "$page")" = ".so " ]; then
			aliases=$((aliases + 1))
			[ -f "$(sed -n '1s/^\.so *//p' "$page")" ] || { echo "$page leads nowhere"; bad=1; }
			continue
		fi
		pages=$((pages + 1))
		mandoc -Tlint -W warning "$page" || bad=1
		said=$(MANROFFSEQ='' MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
		[ -z "$said" ] || { echo "$page: $said"; bad=1; }
	done
	echo "$pages pages and $aliases aliases" | to_user
	[ "$pages" -gt 0 ] && [ "$bad" -eq 0 ]
}

# ---- other processors

declare -A triplets=([arm64]=aarch64-linux-gnu [s390x]=s390x-linux-gnu [i386]=i686-linux-gnu)

stage_aarch64() {
	cross_check arm64
}

stage_s390x() {
	cross_check s390x
}

stage_i386() {
	cross_check i386
}

# Processes built for different processors on one segment
stage_interop() {
	local architecture

	build_gcc
	make tests/interop_peer
	for architecture in i386 arm64 s390x; do
		cross_build "$architecture"
		make tests/interop_peer
	done
	cd "$work"
	{
		"$source/tests/interop-arch" "$(peer gcc)" "$(peer i386)"
		"$source/tests/interop-arch" "$(peer gcc)" "$(peer arm64)"
		"$source/tests/interop-arch" --refused "$(peer gcc)" "$(peer s390x)"
	} | to_user
}

# peer BUILD: the command that runs tests/interop_peer of that build
peer() {
	local runner

	runner=$(runner "$1")
	echo "${runner:+$runner }$1/tests/interop_peer"
}

# runner BUILD: what runs the programs of a build; nothing where the kernel does it itself
runner() {
	case $1 in
	arm64) echo "qemu-aarch64 -L /usr/${triplets[$1]}" ;;
	s390x) echo "qemu-s390x -L /usr/${triplets[$1]}" ;;
	i386) "/usr/${triplets[$1]}/lib/ld-linux.so.2" --version >/dev/null 2>&1 || echo qemu-i386 ;;
	esac
}

# cross_build DEBIAN-ARCHITECTURE: go to $work/DEBIAN-ARCHITECTURE; configure and make there
cross_build() {
	local architecture=$1 triplet=${triplets[$1]} sysroot=$work/sysroot-$1 library=/usr/${triplets[$1]}/lib
	local arguments=(--host="$triplet" PKG_CONFIG=pkg-config)

	# Only the loader and the C library of i386, which must be of the same make, are not where
	# they would be on such a system; qemu knows where to look.
	[ "$architecture" != i386 ] ||
		arguments+=(LDFLAGS="-Wl,--dynamic-linker=$library/ld-linux.so.2 -Wl,-rpath,$library")
	[ -d "$sysroot" ] || foreign_check "$architecture" "$sysroot"
	export PKG_CONFIG_SYSROOT_DIR=$sysroot
	export PKG_CONFIG_LIBDIR=$sysroot/usr/lib/${triplet/i686/i386}/pkgconfig
	build "$architecture" "${arguments[@]}"
	unset PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
}

# cross_check DEBIAN-ARCHITECTURE: the programs of `make check`, run by whatever can run them
cross_check() {
	local architecture=$1 runner

	runner=$(runner "$architecture")
	cross_build "$architecture"
	[ -z "$runner" ] || export HQQ_TEST_SLOW=10
	check_in "$architecture" TESTS='$(unit_tests) $(fuzz_tests)' LOG_COMPILER="$runner"
}

# foreign_check ARCHITECTURE SYSROOT: unpack the Check library of another architecture. With lists
# of its own, apt need not be told of that architecture for good, nor does it take root. SYSROOT is there
# when all of it is.
foreign_check() {
	local architecture=$1 sysroot=$2 apt=$work/apt-$1 package

	rm -rf "$apt" "$sysroot.new"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$sysroot.new"
	: >"$apt/status"
	debian_source >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		APT::Architecture "$architecture";
		APT::Architectures { "$architecture"; };
		Acquire::Languages "none";
		Dir::State "$apt";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt";
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "-";
	END
	(
		export APT_CONFIG=$apt/apt.conf
		cd "$apt"
		apt-get -q update
		apt-get -q download check libsubunit-dev
	)
	for package in "$apt"/*.deb; do
		dpkg-deb -x "$package" "$sysroot.new"
	done
	# the static library will do, and needs nothing at run time
	find "$sysroot.new" -name 'libsubunit.so*' -delete
	mv "$sysroot.new" "$sysroot"
}

# The line for sources.list that names this machine's own Debian mirror
debian_source() {
	local release uri

	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	uri=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		sed -n "s/^$release main //p" | sed -n 1p)
	[ -n "$uri" ] || uri=http://deb.debian.org/debian
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release main"
}
