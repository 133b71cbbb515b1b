"""What Linux says about a process and its children."""

import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))

from harness.process import process_tree, pss_bytes  # noqa: E402


def _task_ns(task):
    """CPU time of a thread in nanoseconds, or in clock ticks where the kernel keeps no scheduler statistics."""
    try:
        return int((task / "schedstat").read_text().split()[0])
    except FileNotFoundError:
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000000000 // os.sysconf("SC_CLK_TCK")


def cpu_ns(pid):
    """User and system time of all threads of the process tree. Threads and children must outlive the measurement."""
    return sum(_task_ns(task) for current in process_tree(pid) for task in Path(f"/proc/{current}/task").iterdir())


def settled_pss_bytes(pid, timeout_s=5.0):
    """PSS once two readings a quarter of a second apart are the same, or after the time."""
    last, deadline = None, time.monotonic() + timeout_s
    while True:
        now = pss_bytes(pid)
        if now == last or time.monotonic() > deadline:
            return now
        last = now
        time.sleep(0.25)


class MemoryGroup:
    """A control group for one process tree, which counts what PSS does not: files in memory, page tables, sockets. Nothing
    where the system does not allow it."""

    def __init__(self, name):
        self._directory = None
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            top = {"memory": "/sys/fs/cgroup/memory", "": "/sys/fs/cgroup"}.get(controllers)
            if top and self._directory is None:
                self._make(Path(top + path) / name)

    def _make(self, directory):
        try:
            directory.mkdir()
            self._counter = next(f for f in (directory / "memory.usage_in_bytes", directory / "memory.current") if f.exists())
            self._directory = directory
        except (OSError, StopIteration):
            if directory.is_dir():
                directory.rmdir()

    def command(self, *command):
        """The command, to be started within the group."""
        if self._directory is None:
            return command
        return "sh", "-c", 'echo $$ >"$0" && exec "$@"', self._directory / "cgroup.procs", *command

    def used_bytes(self):
        return int(self._counter.read_text()) if self._directory else None

    def remove(self):
        """Once its processes have ended."""
        if self._directory:
            self._directory.rmdir()
