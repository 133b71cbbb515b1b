"""path_bench.py: TLS, HTTP/2, calls, uploads and many routers, weir beside its peers. scripts/bench starts it.

As bench.py: one worker on one CPU, load and upstream on another, interleaved rounds, CPU time per request compared round
by round. A case that a proxy does not serve is "not served" in its row, and no ratio.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import load
import machine
import measure
import path_peers
import path_report
import peers

HERE = Path(__file__).resolve().parent
NAMES = (path_report.WEIR, path_report.NGINX, path_report.HAPROXY, path_report.TRAEFIK)


@dataclass
class Case:
    """`run(peer, cpu)` makes a load and returns how many requests were answered and how many failed."""
    key: str
    run: object


def _h2load(cpu, count, protocol, *arguments):
    command = ["taskset", "-c", str(cpu), "h2load", "-t1", f"-n{count}", *(str(word) for word in arguments)]
    said = machine.output_of(*command)
    found = re.search(r"requests: (\d+) total, .* (\d+) succeeded, .*\nstatus codes: (\d+) 2xx", said)
    if not found:
        raise SystemExit(f"h2load failed ({' '.join(command)}):\n{said}")
    answered = int(found[3]) if f"Application protocol: {protocol}\n" in said else 0
    return answered, count - answered


def secure_wrk(body):
    def run(peer, cpu):
        result = load.run_wrk(f"https://127.0.0.1:{peer.tls_port}/{body}", 64, 2, cpu)
        return result["requests"], sum(result["errors"].values())

    return run


def handshakes(kind, count):
    def run(peer, cpu):
        command = ["taskset", "-c", str(cpu), sys.executable, str(HERE / "handshakes.py"), str(peer.tls_port), str(count), kind]
        said = machine.output_of(*command)
        if not said.startswith("done "):
            return 0, count
        return count, 0

    return run


def streams(connections, at_once, count):
    def run(peer, cpu):
        return _h2load(cpu, count, "h2", f"-c{connections}", f"-m{at_once}", f"https://127.0.0.1:{peer.tls_port}/128")

    return run


def calls(count, message):
    def run(peer, cpu):
        return _h2load(cpu, count, "h2", "-c10", "-m10", "-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers",
                       f"https://127.0.0.1:{peer.tls_port}/call.Service/Do")

    return run


def uploads(count, file):
    def run(peer, cpu):
        return _h2load(cpu, count, "http/1.1", "--h1", "-c16", "-d", file, f"http://127.0.0.1:{peer.port}/post")

    return run


def hosts(host):
    def run(peer, cpu):
        result = load.run_wrk(f"http://127.0.0.1:{peer.port}/128", 64, 1, cpu, headers=[f"Host: {host}"])
        return result["requests"], sum(result["errors"].values())

    return run


def make_cases(directory, part):
    upload, message = directory / "upload", directory / "message"
    upload.write_bytes(b"x" * 2**20)
    message.write_bytes(b"\0\0\0\0\x20" + b"x" * 32)
    return [
        Case("https/128", secure_wrk("128")),
        Case("https/10k", secure_wrk("10k")),
        Case("handshake/full", handshakes("full", 600 // part)),
        Case("handshake/resumed", handshakes("resumed", 600 // part)),
        Case("h2/1", streams(10, 1, 20000 // part)),
        Case("h2/100", streams(10, 100, 40000 // part)),
        Case("calls", calls(20000 // part, message)),
        Case("upload", uploads(600 // part, upload)),
    ]


def one_round(peer, case, cpu):
    peer.must_run()
    before = measure.cpu_ns(peer.pid)
    answered, failed = case.run(peer, cpu)
    used_us = (measure.cpu_ns(peer.pid) - before) / 1000
    return {"cpu_us": used_us / max(answered, 1), "answered": answered, "failed": failed}


def serves(peer, case, cpu):
    """A first try, which also warms it up."""
    found = one_round(peer, case, cpu)
    return found["answered"] > 0 and found["failed"] == 0


def measure_cases(cases, rounds, running, cpu):
    results = {}
    for case in cases:
        able = [name for name, peer in running.items() if serves(peer, case, cpu)]
        results[case.key] = {name: [] if name in able else None for name in running}
        for number in range(rounds):
            machine.progress(f"{case.key}: round {number + 1} of {rounds}")
            for name in able:
                found = one_round(running[name], case, cpu)
                if found["answered"] == 0:
                    raise SystemExit(f"{case.key}: {name} answered nothing in a round: the machine is too busy to measure")
                results[case.key][name].append(found)
    machine.progress("")
    return results


def busy_among_idle(peer, idle, rounds, cpu):
    """Latencies of 64 busy connections alone, and with idle ones beside them."""
    def run():
        return [load.run_wrk(f"http://127.0.0.1:{peer.port}/128", 64, 1, cpu)["p99_us"] for _ in range(rounds)]

    alone = run()
    return {"alone": alone, "among": load.idle_connections(peer, idle, cpu, during=run)["during"], "idle": idle}


def start_all(stack, base, cpus, weir, traefik):
    keys = path_peers.Keys(base)
    upstream = path_peers.Upstream(base / "upstream", cpus[1])
    stack.callback(upstream.stop)

    def start(name, number, begin):
        proxy = path_peers.Proxy(name, base / number, cpus[0], keys, upstream)
        stack.callback(proxy.stop)
        begin(proxy)
        return proxy

    running = {path_report.WEIR: start("weir", "0", lambda p: path_peers.start_traefik_like(p, weir)),
               path_report.NGINX: start("nginx", "1", path_peers.start_nginx),
               path_report.HAPROXY: start("HAProxy", "2", path_peers.start_haproxy)}
    if traefik:
        running[path_report.TRAEFIK] = start("Traefik", "3", lambda p: path_peers.start_traefik_like(p, traefik))
    routers = {str(count): start(f"weir with {count} routers", f"r{count}",
                                 lambda p, count=count: path_peers.start_traefik_like(p, weir, count))
               for count in path_report.ROUTERS}
    return running, routers


def run(weir, traefik, rounds, part):
    cpus = machine.choose_cpus()
    os.sched_setaffinity(0, {cpus[1]})
    idle = 10000 // part
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        base.chmod(0o755)
        running, routers = start_all(stack, base, cpus, weir, traefik)
        cases = measure_cases(make_cases(base, part), rounds, running, cpus[1])
        return {
            "cases": cases,
            "routers": measure_cases([Case("routers", hosts("h0.test"))], rounds, routers, cpus[1])["routers"],
            "held": {name: load.idle_connections(peer, 1000 // part, cpus[1], tls=True) for name, peer in running.items()
                     if cases["https/128"][name]},
            "among": {name: busy_among_idle(peer, idle, rounds, cpus[1]) for name, peer in running.items()},
        }


def main():
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    rounds = int(os.environ.get("BENCH_ROUNDS", 1 if quick else 3))
    weir, traefik = os.environ["WEIR"], os.environ.get("TRAEFIK")
    machine.raise_descriptor_limit()
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "machine": machine.describe_machine(),
        "versions": machine.describe_versions(weir, traefik) | {"h2load": machine.version(r"nghttp2/(\S+)", "h2load", "--version")},
    } | run(weir, traefik, rounds, 10 if quick else 1)
    (machine.TOP / "build" / "bench" / "path.json").write_text(json.dumps(results, indent=1) + "\n")
    text = path_report.markdown(results)
    page = machine.TOP / ("build/bench/path.md" if quick else "docs/benchmarks-path.md")
    page.write_text(text)
    print(text)
    print(f"Written to {page.relative_to(machine.TOP)}.")


if __name__ == "__main__":
    main()
