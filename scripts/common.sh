# shellcheck shell=bash
# Helpers that the scripts share; sourced with the top of the tree as the working directory.

say() {
	echo "==> $*" >&2
}

die() {
	echo "weir: $*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# version_at_least FOUND WANTED, of dotted numbers
version_at_least() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Rust as rustup installs it may not be on the PATH of this shell yet.
rust_on_path() {
	have cargo || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
}

go_wanted=1.24

# is_go PROGRAM: new enough
is_go() {
	local found
	found=$("$1" env GOVERSION 2>/dev/null) && version_at_least "${found#go}" "$go_wanted"
}

# Sets PATH and GO: tools that the system lacks are in build/venv.
tools_on_path() {
	rust_on_path
	export GO=
	if is_go go; then
		GO=$(command -v go)
	elif is_go build/venv/bin/go; then
		GO=$PWD/build/venv/bin/go
	fi
}

# Options for programs built with sanitizers.
#   allow_user_segv_handler  Wasmtime turns memory faults of guests into traps with a handler of its
#     own. It hands all other faults on, so that the sanitizer still reports those of C code.
#   report_signal_unsafe  that handler allocates.
#   detect_stack_use_after_return  fake stacks do not survive the engine's change of stacks.
# Reports go to files below DIR, so that one from a process that a test started is not lost.
# sanitizer_options DIR
sanitizer_options() {
	rm -rf "$1"
	mkdir -p "$1"
	export ASAN_OPTIONS=allow_user_segv_handler=1:detect_stack_use_after_return=0:detect_leaks=1:strict_string_checks=1:abort_on_error=1:log_path=$1/asan
	export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:abort_on_error=1:log_path=$1/ubsan
	export TSAN_OPTIONS=allow_user_segv_handler=1:report_signal_unsafe=0:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.suppressions:log_path=$1/tsan
	export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.suppressions:print_suppressions=0
}

# The sanitizers of Debian 12 do not find room for their shadow when addresses are very random.
# calm_addresses COMMAND...
calm_addresses() {
	if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch -R true 2>/dev/null; then
		setarch -R "$@"
	else
		"$@"
	fi
}
