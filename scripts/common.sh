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
