"""The load: wrk with one thread, and connections held open."""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import measure
import peers

HERE = Path(__file__).resolve().parent


@dataclass
class Case:
    connections: int
    body: str
    seconds: int

    @property
    def key(self):
        return f"{self.connections}/{self.body}"


def run_wrk(url, connections, seconds, cpu, during=None, headers=(), script="report.lua"):
    """Returns what report.lua prints, which `script` must run; calls `during` at about two thirds of the time."""
    command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
               "-s", str(HERE / script), *(word for header in headers for word in ("-H", header)), url]
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


def answered_requests(result, body_bytes):
    """Of large bodies many are under way when the time is up: they count by the share that arrived."""
    return result["bytes"] / body_bytes if body_bytes >= 2**20 else result["requests"]


def one_round(peer, case, cpu, wants_memory):
    peer.must_run()
    memory = []
    during = (lambda: memory.append(measure.pss_bytes(peer.pid))) if wants_memory else None
    before = measure.cpu_ns(peer.pid)
    result = run_wrk(f"http://127.0.0.1:{peer.port}/{case.body}", case.connections, case.seconds, cpu, during)
    used_ns = measure.cpu_ns(peer.pid) - before
    answered = max(answered_requests(result, peers.BODIES[case.body]), 1)
    result["cpu_us"] = used_ns / 1000 / answered
    result["per_second"] = answered * 1e6 / result["duration_us"]
    result["busy"] = used_ns / 1000 / result["duration_us"]
    if memory:
        result["pss_bytes"] = memory[0]
    return result


def idle_connections(peer, count, cpu, tls=False, during=None):
    """PSS of the peer before and while it holds that many idle connections, and how many it kept. `during` is called
    meanwhile; what it returns is the key "during"."""
    before = measure.settled_pss_bytes(peer.pid)
    command = ["taskset", "-c", str(cpu), sys.executable, str(HERE / "hold.py")]
    command += [str(peer.tls_port), str(count), "tls"] if tls else [str(peer.port), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        line = holder.stdout.readline()
        if line != f"held {count}\n":
            holder.kill()
            raise SystemExit(f"{peer.name} did not accept {count} connections: {line or 'see above'}")
        bytes_then = measure.settled_pss_bytes(peer.pid)
        found = during() if during else None
        holder.stdin.close()
        left = int(holder.stdout.readline().split()[1])
    return {"before_bytes": before, "during_bytes": bytes_then, "count": count, "left": left, "during": found}
