"""Drives fault.c: what fails in the proxy, and when."""

import bisect
import errno
import fcntl
import functools
import mmap
import os
import re
import socket
import struct
import subprocess
from pathlib import Path

from harness.proxy import program

# As in fault.c.
KINDS = ["nothing", "malloc", "socket", "accept4", "connect", "recv", "sendmsg", "epoll_ctl", "open", "write", "mmap", "pread",
         "read", "thread", "bind", "listen", "munmap", "mprotect", "madvise", "memfd", "ioctl"]
ONCE, EVERY, SHORT, RECORD = range(4)
RANGES_MAX = SITES_MAX = 2048
HITS_AT, COUNTDOWN_AT, WHERE_AT, ADDRESS_AT, ONLY_AT, SITE_COUNT_AT, SITES_AT = 12, 16, 24, 32, 40, 48, 56
COUNT_AT = SITES_AT + 8 * SITES_MAX
SIZE = COUNT_AT + 8 + 16 * RANGES_MAX

ERRORS = {"malloc": errno.ENOMEM, "socket": errno.EMFILE, "accept4": errno.EMFILE, "connect": errno.EADDRNOTAVAIL,
          "recv": errno.ECONNRESET, "sendmsg": errno.EPIPE, "epoll_ctl": errno.ENOSPC, "open": errno.EMFILE,
          "write": errno.ENOSPC, "mmap": errno.ENOMEM, "pread": errno.EIO, "read": errno.EIO,
          "thread": errno.EAGAIN, "bind": errno.EADDRNOTAVAIL, "listen": errno.EADDRINUSE, "munmap": errno.ENOMEM,
          "mprotect": errno.ENOMEM, "madvise": errno.ENOMEM, "memfd": errno.EMFILE, "ioctl": errno.EPERM}

# The engine's and the C++ code's symbols: theirs is not to be told that there is no memory.
_FOREIGN = re.compile(r"^(_Z|_R|__rust|__rdl|__rg|rust_|wasmtime|wasm_|wasi_|ZSTD|_Unwind|_fini|_init|_start)")


def build_directory():
    if "WEIR_BUILD" in os.environ:
        return Path(os.environ["WEIR_BUILD"]).resolve()
    found = [parent for parent in Path(program()).parents if (parent / "build.ninja").exists()]
    assert found, "no build directory: set WEIR_BUILD"
    return found[0]


@functools.cache
def library():
    """The preload library, built now; one process at a time may do so."""
    with open(build_directory() / "fault.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["ninja", "-C", build_directory(), "tests/fault/fault.so"], capture_output=True,
                              text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return build_directory() / "tests" / "fault" / "fault.so"


@functools.cache
def symbols():
    """[(address, name)] of the program's functions, sorted."""
    text = subprocess.run(["nm", "--defined-only", program()], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            found.setdefault(int(address, 16), name)
    return sorted(found.items())


@functools.cache
def ranges():
    """Address ranges of weir's own functions."""
    merged, listed = [], symbols()
    for (start, name), (end, _) in zip(listed, listed[1:]):
        if _FOREIGN.match(name):
            continue
        if merged and merged[-1][1] == start:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    assert 0 < len(merged) <= RANGES_MAX, f"{len(merged)} ranges"
    return merged


class Faults:
    """The page that the proxy shares with us."""

    def __init__(self, directory):
        self.path = Path(directory) / "faults"
        self.path.write_bytes(bytes(SIZE))
        self._file = open(self.path, "r+b")
        self._page = mmap.mmap(self._file.fileno(), 0)
        flat = [address for pair in ranges() for address in pair]
        struct.pack_into(f"=Q{len(flat)}Q", self._page, COUNT_AT, len(ranges()), *flat)

    def environment(self):
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": str(library()), "WEIR_FAULTS": str(self.path),
                "ASAN_OPTIONS": (sanitizer + ":" if sanitizer else "") + "verify_asan_link_order=0"}

    def _put(self, at, form, *values):
        struct.pack_into("=" + form, self._page, at, *values)

    def arm(self, kind, n=1, mode=ONCE, error=None, only=0):
        """From now on the n-th call fails, of those from the place `only` if it is given."""
        self.disarm()
        self._put(ONLY_AT, "QQ", only, 0)
        self._put(HITS_AT, "i", 0)
        self._put(COUNTDOWN_AT, "q", n)
        self._put(4, "Ii", mode, ERRORS[kind] if error is None else error)
        self._put(0, "I", KINDS.index(kind))

    def disarm(self):
        """Returns how often it struck."""
        self._put(0, "I", 0)
        return self.hits

    def resolve(self, address):
        """From now on flip.example has this address, or none."""
        self._page[ADDRESS_AT:ADDRESS_AT + 4] = socket.inet_aton(address) if address else bytes(4)

    @property
    def lookups(self):
        return struct.unpack_from("=I", self._page, ADDRESS_AT + 4)[0]

    @property
    def hits(self):
        return struct.unpack_from("=i", self._page, HITS_AT)[0]

    def places(self, kind, action):
        """Where the calls come from that `action()` causes."""
        self.arm(kind, mode=RECORD)
        action()
        self.disarm()
        count = struct.unpack_from("=Q", self._page, SITE_COUNT_AT)[0]
        assert count < SITES_MAX
        return list(struct.unpack_from(f"={count}Q", self._page, SITES_AT))

    @property
    def where(self):
        """The function whose call failed last."""
        return self.name(struct.unpack_from("=Q", self._page, WHERE_AT)[0])

    def name(self, address):
        listed = symbols()
        at = bisect.bisect_right(listed, (address, "\U0010ffff")) - 1
        return f"{listed[at][1]}+{address - listed[at][0]:#x}" if 0 <= at < len(listed) - 1 else f"library {address >> 48}, {address & (1 << 48) - 1:#x}"

    def close(self):
        self._page.close()
        self._file.close()
