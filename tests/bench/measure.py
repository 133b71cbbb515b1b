"""What Linux says about a process and its children."""

import os
import time
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


def pss_bytes(pid):
    """Memory of the process tree; shared pages are counted by their share."""
    total = 0
    for current in process_tree(pid):
        lines = Path(f"/proc/{current}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def settled_pss_bytes(pid, timeout_s=5.0):
    """PSS once two readings a quarter of a second apart are the same, or after the time."""
    last, deadline = None, time.monotonic() + timeout_s
    while True:
        now = pss_bytes(pid)
        if now == last or time.monotonic() > deadline:
            return now
        last = now
        time.sleep(0.25)
