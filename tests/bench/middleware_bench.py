"""middleware_bench.py: what each middleware adds to a request of weir. scripts/bench starts it.

One weir with one worker on one CPU has a router for each case; load and upstream share another CPU. A round loads all
cases one after the other, each beside the router without middlewares, so that what is compared was measured at the same time.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import load
import machine
import measure
import middleware_cases
import middleware_report
import peers

CONNECTIONS = 64
# Compressing takes milliseconds: what is under way when the time is up must not count for much.
GZIP_CONNECTIONS = 2


def one_round(peer, case, seconds, cpu, target=None, headers=(), script="report.lua", connections=CONNECTIONS):
    peer.must_run()
    before = measure.cpu_ns(peer.pid)
    host = f"Host: {case.name.lower()}.test"
    result = load.run_wrk(f"http://127.0.0.1:{peer.port}{target or case.target}", connections, seconds, cpu,
                          headers=(host, *case.headers, *headers), script=script)
    used_us = (measure.cpu_ns(peer.pid) - before) / 1000
    return {"cpu_us": used_us / max(result["requests"], 1), "requests": result["requests"], "bytes": result["bytes"],
            "failed": sum(result["errors"].values())}


def measure_cases(weir, cases, rounds, seconds, cpu):
    """Each round of a case: itself, and what it is compared with right before."""
    base, *others = cases
    results = {case.name: [] for case in others}
    for number in range(rounds):
        for case in others:
            machine.progress(f"{case.name}: round {number + 1} of {rounds}")
            bare = one_round(weir, base, seconds, cpu)
            results[case.name].append({"bare": bare, "with": one_round(weir, case, seconds, cpu)})
    machine.progress("")
    return results


def measure_gzip(weir, nginx, text, gzip, rounds, seconds, cpu):
    """The same file through both, compressed at the same level; and through weir as it is."""
    def measured(peer, case, *headers):
        return one_round(peer, case, 2 * seconds, cpu, "/text", headers, connections=GZIP_CONNECTIONS)

    accept = "Accept-Encoding: gzip"
    return [{"weir": measured(weir, gzip, accept), "nginx": measured(nginx, gzip, accept), "plain": measured(weir, text)} for _ in range(rounds)]


def measure_sources(weir, case, rounds, seconds, cpu):
    """One source, and many; the memory is what the many have added, the first of them included."""
    def run(sources):
        os.environ["SOURCES"] = str(sources)
        return one_round(weir, case, seconds, cpu, script="sources.lua")

    run(1)
    before = measure.settled_pss_bytes(weir.pid)
    needed = 0
    while needed < middleware_cases.SOURCES:
        needed += run(middleware_cases.SOURCES)["requests"]
    after = measure.settled_pss_bytes(weir.pid)
    found = [{"one": run(1), "many": run(middleware_cases.SOURCES)} for _ in range(rounds)]
    return {"rounds": found, "bytes": after - before, "grown": measure.settled_pss_bytes(weir.pid) - after}


def run(program, rounds, seconds):
    cpus = machine.choose_cpus()
    os.sched_setaffinity(0, {cpus[1]})
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        base.chmod(0o755)
        upstream = peers.start_upstream(base / "upstream", cpus[1])
        stack.callback(upstream.stop)
        middleware_cases.add_files(upstream)
        cases, special = middleware_cases.cases(upstream.port), middleware_cases.special_cases()
        weir, nginx = (peers.Peer(name, base / name, cpus[0]) for name in ("weir", "nginx"))
        for peer in (weir, nginx):
            stack.callback(peer.stop)
        middleware_cases.start_weir(weir, upstream.port, program, cases + special)
        middleware_cases.start_nginx(nginx, upstream.port)
        one_round(weir, cases[0], seconds, cpus[1])
        return {
            "cases": measure_cases(weir, cases, rounds, seconds, cpus[1]),
            "does": {case.name: case.does for case in cases},
            "gzip": measure_gzip(weir, nginx, special[0], special[1], rounds, seconds, cpus[1]),
            "sources": measure_sources(weir, special[2], rounds, seconds, cpus[1]),
        }


def main():
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    rounds = int(os.environ.get("BENCH_ROUNDS", 1 if quick else 5))
    program = os.environ["WEIR"]
    machine.raise_descriptor_limit()
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "machine": machine.describe_machine(),
        "versions": machine.describe_versions(program, None),
    } | run(program, rounds, 1)
    (machine.TOP / "build" / "bench" / "middlewares.json").write_text(json.dumps(results, indent=1) + "\n")
    text = middleware_report.markdown(results)
    page = machine.TOP / ("build/bench/middlewares.md" if quick else "docs/benchmarks-middlewares.md")
    page.write_text(text)
    print(text)
    print(f"Written to {page.relative_to(machine.TOP)}.")
    return 1 if middleware_report.failed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
