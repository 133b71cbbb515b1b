"""What the operating system says about a process and its children."""

import ctypes
import os
import threading
from pathlib import Path


def process_tree(pid):
    pids, todo = [], [pid]
    while todo:
        current = todo.pop()
        pids.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                todo += [int(child) for child in children.read_text().split()]
            except OSError:
                pass
    return pids


def children(pid):
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def server(pid):
    """The process that serves: the youngest server below the supervisor `pid`, or `pid` itself if it is none."""
    servers = [child for child in children(pid) if _name(child) == b"weir: server"]
    return servers[-1] if servers else pid


def _name(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
    except OSError:
        return b""


def pss_bytes(pid):
    """Memory of the process tree, shared pages counted by their share."""
    total = 0
    for current in process_tree(pid):
        try:
            text = Path(f"/proc/{current}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    return total


class Peak:
    """The most memory above `base_bytes` that the process tree was seen to have, while this is entered."""

    def __init__(self, pid, base_bytes):
        self.bytes = 0
        self._pid, self._base_bytes = pid, base_bytes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.02):
            self.bytes = max(self.bytes, pss_bytes(self._pid) - self._base_bytes)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)


def descriptors(pid):
    return sum(len(os.listdir(f"/proc/{current}/fd")) for current in process_tree(pid))


def mappings(pid):
    return sum(Path(f"/proc/{current}/maps").read_text().count("\n") for current in process_tree(pid))


def threads(pid):
    return sum(len(os.listdir(f"/proc/{current}/task")) for current in process_tree(pid))


def cpu_seconds(pid):
    ticks = 0
    for current in process_tree(pid):
        fields = Path(f"/proc/{current}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE = 1, 2, 10
_PR_CAPBSET_DROP = 24
_libc = ctypes.CDLL(None, use_errno=True)


def drop_capability(number):
    """Between fork and exec, as root: the program will run without it. Other users never had it."""
    if os.geteuid() == 0 and _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_CAPBSET_DROP)")


_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18


def see_instead(files):
    """Between fork and exec, as root: the program will see other files in the places of these."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount /")
    for place, file in files.items():
        _check(_libc.mount(os.fsencode(file), os.fsencode(place), None, _MS_BIND, None), f"mount {place}")


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
