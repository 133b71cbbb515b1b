"""The load: wrk with one thread, and connections held open."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent


def run_wrk(url, connections, seconds, cpu, during=None):
    """Returns what report.lua prints; calls `during` at about two thirds of the time."""
    command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
               "-s", str(HERE / "report.lua"), url]
    timer = threading.Timer(seconds * 0.66, during) if during else None
    if timer:
        timer.start()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if timer:
        timer.join()
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not lines:
        raise SystemExit(f"wrk failed ({' '.join(command)}):\n{done.stdout}")
    return json.loads(lines[0].removeprefix("RESULT "))


def idle_connections(peer, count, cpu):
    """PSS of the peer before and while it holds that many idle connections, and how many it kept."""
    before = measure.settled_pss_bytes(peer.pid)
    command = ["taskset", "-c", str(cpu), sys.executable, str(HERE / "hold.py"), str(peer.port), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        line = holder.stdout.readline()
        if line != f"held {count}\n":
            holder.kill()
            raise SystemExit(f"{peer.name} did not accept {count} connections: {line or 'see above'}")
        during = measure.settled_pss_bytes(peer.pid)
        holder.stdin.close()
        left = int(holder.stdout.readline().split()[1])
    return {"before_bytes": before, "during_bytes": during, "count": count, "left": left}
