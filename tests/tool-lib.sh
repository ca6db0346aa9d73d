# shellcheck shell=bash
# tool-lib.sh - what the tests of the command hqq share; to be sourced by bash
#
# A test is a function test_NAME; run_tests runs all of them, or those named. HQQ names another
# command than the one built here. One line per test; the exit code is 0 when all passed, 77 when
# what all of them need is missing.
#
# SPDX-License-Identifier: MIT
set -uo pipefail

hqq=${HQQ:-$PWD/tools/hqq}
patience=$((60 * ${HQQ_TEST_SLOW:-1})) # seconds after which something hangs
# The programs among the tests have names of another kind: process ids come again. Other containers, which have
# the same ones, may share the directory.
prefix=hqqs.$(stat -Lc %i /proc/self/ns/pid 2>/dev/null || echo 0).$$
shm=/dev/shm

for program in timeout cmp head tail truncate mkfifo od perl; do
	command -v "$program" >/dev/null || { echo "skipped: no $program"; exit 77; }
done
[ -w "$shm/." ] || { echo "skipped: $shm is not writable"; exit 77; }
[ -x "$hqq" ] || { echo "no command $hqq" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/hqq-tool-test.XXXXXX") || exit 1
jobs_started=()

# is_child PID: bash may have taken notice of the end of a job, after which the number may be that of a stranger
is_child() {
	local line=

	kill -0 "$1" 2>/dev/null || return
	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
	line=${line##*) } # the state, and then the parent
	[[ $line == ?" $$ "* ]]
}

end_jobs() {
	local pid

	for pid in "${jobs_started[@]}"; do
		! is_child "$pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	jobs_started=()
}

clean_up() {
	end_jobs
	rm -rf "$work" "${shm:?}/$prefix".*
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failures=0

# complaint TEXT: the running test has failed
complaint() {
	local line=${BASH_LINENO[0]}

	case ${FUNCNAME[1]} in
	test_*) ;;
	*) line=${BASH_LINENO[1]} ;;
	esac
	echo "  line $line: $*"
	failures=$((failures + 1))
}

# expect CODE COMMAND...: run in the foreground, output in $work/out and $work/err
expect() {
	local wanted=$1 got=0

	shift
	timeout -k 5 "$patience" "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
	[ "$got" -eq "$wanted" ] || complaint "exit code $got instead of $wanted: $* ($(head -n 2 "$work/err"))"
}

says() {
	grep -qF -- "$2" "$work/$1" || complaint "'$2' is not in: $(head -n 20 "$work/$1")"
}

says_not() {
	! grep -qF -- "$2" "$work/$1" || complaint "'$2' is in: $(head -n 20 "$work/$1")"
}

# The last background job is the process $!; so that it is ended, whatever happens
started() {
	jobs_started+=($!)
}

# reaped PID: is a job no more
reaped() {
	local pid left=()

	for pid in "${jobs_started[@]}"; do
		[ "$pid" = "$1" ] || left+=("$pid")
	done
	jobs_started=("${left[@]}")
}

# ended PID CODE: waits for a background job
ended() {
	local pid=$1 wanted=$2 got=0 i

	for ((i = 0; i < patience * 50; i++)); do
		is_child "$pid" || break
		sleep 0.02
	done
	if is_child "$pid"; then
		complaint "process $pid hangs"
		kill -KILL "$pid"
	fi
	wait "$pid" 2>/dev/null || got=$?
	reaped "$pid"
	[ "$got" -eq "$wanted" ] || complaint "exit code $got instead of $wanted"
}

# until_true COMMAND...: waits for a condition
until_true() {
	local i

	for ((i = 0; i < patience * 50; i++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.02
	done
	complaint "never true: $*"
}

# The number behind a key of `hqq stat --json`
number() {
	"$hqq" stat --json "$1" 2>/dev/null | sed -n "s/^ *\"$2\": \([0-9]*\),\{0,1\}$/\1/p" | head -n 1
}

number_is() {
	[ "$(number "$1" "$2")" = "$3" ]
}

# How many endpoints of a segment are in that state
endpoints() {
	"$hqq" stat --json "$1" 2>/dev/null | grep -c "\"state\": \"$2\""
}

has_endpoints() {
	[ "$(endpoints "$1" "$2")" -ge "$3" ]
}

gone() {
	[ ! -e "$shm/$1" ] || complaint "$1 was left behind"
}

# random_file SIZE FILE
random_file() {
	head -c "$1" /dev/urandom >"$2"
}

check_json() {
	if command -v python3 >/dev/null; then
		python3 -m json.tool "$1" >/dev/null || complaint "not JSON: $(cat "$1")"
	elif command -v jq >/dev/null; then
		jq . "$1" >/dev/null || complaint "not JSON: $(cat "$1")"
	else
		echo "  skipped: neither python3 nor jq to check JSON"
	fi
}

# can_be_sent SIGNAL: programs under nohup(1) ignore SIGHUP, and so do theirs
can_be_sent() {
	[[ "$(trap -p "$1")" != "trap -- ''"* ]] && return
	echo "  skipped: SIG$1 is ignored here"
	return 1
}

run_tests() {
	local tests name began left passed=0 failed=0

	mapfile -t tests < <(compgen -A function test_)
	[ $# -eq 0 ] || tests=("${@/#/test_}")
	for name in "${tests[@]}"; do
		declare -F "$name" >/dev/null || { echo "no test is called ${name#test_}" >&2; exit 2; }
		failures=0
		began=$SECONDS
		"$name"
		end_jobs
		left=$(find "$shm" -maxdepth 1 -name "$prefix.*")
		if [ -n "$left" ]; then
			complaint "left behind: $left"
			rm -rf "${shm:?}/$prefix".*
		fi
		if [ "$failures" -eq 0 ]; then
			passed=$((passed + 1))
			echo "passed: ${name#test_} ($((SECONDS - began)) s)"
		else
			failed=$((failed + 1))
			echo "FAILED: ${name#test_} ($((SECONDS - began)) s)"
		fi
	done
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
