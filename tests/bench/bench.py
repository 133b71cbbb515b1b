"""bench.py: weir beside its peers, in interleaved rounds on the same upstream. scripts/bench starts it.

Every proxy runs with one worker on one CPU, the load and the upstream on another one. All proxies stay up; a round
loads one after the other, so that whatever changes on the machine changes for all. What is compared is the CPU time
per request, round by round.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import load
import machine
import measure
import peers
import report

IDLE_CONNECTIONS = 10000
MAIN_CONNECTIONS = 64


@dataclass
class Subject:
    """One row of the comparison. `always` ones run in all cases, the others with MAIN_CONNECTIONS only."""
    name: str
    start: object
    forwarded: bool = True
    guest: bool = False
    always: bool = True
    idle: bool = False


@dataclass
class Plan:
    cases: list
    rounds: int
    idle_connections: int
    quick: bool


def make_plan():
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    rounds = int(os.environ.get("BENCH_ROUNDS", 2 if quick else 3))
    cases = [load.Case(MAIN_CONNECTIONS, body, 1 if quick else 2) for body in peers.BODIES]
    for connections in (1, 1000):
        cases += [load.Case(connections, body, 1) for body in peers.BODIES if not quick or body == "128"]
    return Plan(cases, rounds, 1000 if quick else IDLE_CONNECTIONS, quick)


def ends():
    """The program that plays the origin server and the bare relay."""
    return Path(os.environ["BENCH_ENDS"])


def make_subjects(plan, weir, traefik):
    guest = peers.Plugin(machine.find_guest(weir, "header"), peers.HEADER_CONFIG)

    def traefik_like(program, plugin):
        return lambda peer, upstream: peers.start_traefik_like(peer, upstream, program, plugin)

    def with_headers(start, headers):
        return lambda peer, upstream: start(peer, upstream, headers)

    subjects = [
        Subject(report.RELAY, lambda peer, upstream: peers.start_relay(peer, upstream, ends()), forwarded=False),
        Subject(report.WEIR, traefik_like(weir, None), idle=True),
        Subject(report.WEIR_GUEST, traefik_like(weir, guest), guest=True),
        Subject(report.NGINX_BARE, with_headers(peers.start_nginx, False), forwarded=False),
        Subject(report.NGINX, with_headers(peers.start_nginx, True), idle=True),
        Subject(report.HAPROXY_BARE, with_headers(peers.start_haproxy, False), forwarded=False, always=False),
        Subject(report.HAPROXY, with_headers(peers.start_haproxy, True), idle=True),
    ]
    if traefik and not plan.quick:
        subjects += [
            Subject(report.TRAEFIK, traefik_like(traefik, None), idle=True),
            Subject(report.TRAEFIK_GUEST, traefik_like(traefik, guest), guest=True, always=False),
        ]
    return subjects


def measure_cases(plan, subjects, running, cpu):
    results = {}
    for case in plan.cases:
        chosen = [s.name for s in subjects if s.always or case.connections == MAIN_CONNECTIONS]
        results[case.key] = {name: [] for name in chosen}
        for number in range(plan.rounds):
            machine.progress(f"{case.connections} connections, {case.body} bytes: round {number + 1} of {plan.rounds}")
            for name in chosen:
                last = number + 1 == plan.rounds
                results[case.key][name].append(load.one_round(running[name], case, cpu, last))
    machine.progress("")
    return results


def run(plan, weir, traefik):
    proxy_cpu, load_cpu = machine.choose_cpus()
    os.sched_setaffinity(0, {load_cpu})
    subjects = make_subjects(plan, weir, traefik)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        base.chmod(0o755)
        upstream = peers.start_origin(base / "upstream", load_cpu, ends())
        stack.callback(upstream.stop)
        running = {}
        for number, subject in enumerate(subjects):
            peer = peers.Peer(subject.name, base / str(number), proxy_cpu)
            stack.callback(peer.stop)
            running[subject.name] = subject.start(peer, upstream.port)
            peer.check(subject.forwarded, subject.guest)
        idle = {name: measure.settled_pss_bytes(peer.pid) for name, peer in running.items()}
        for peer in running.values():
            load.run_wrk(f"http://127.0.0.1:{peer.port}/128", MAIN_CONNECTIONS, 1, load_cpu)
        held = {s.name: load.idle_connections(running[s.name], plan.idle_connections, load_cpu)
                for s in subjects if s.idle}
        cases = measure_cases(plan, subjects, running, load_cpu)
    return {
        "quick": plan.quick,
        "rounds": plan.rounds,
        "seconds": time.monotonic() - began,
        "cases": cases,
        "idle_bytes": idle,
        "held": held,
    }


def main():
    plan = make_plan()
    weir = os.environ["WEIR"]
    traefik = os.environ.get("TRAEFIK")
    machine.raise_descriptor_limit()
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe_machine(),
        "versions": machine.describe_versions(weir, traefik if not plan.quick else None),
    }
    results = about | run(plan, weir, traefik)
    name = "quick" if plan.quick else "full"
    (machine.TOP / "build" / "bench" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    text = report.markdown(results)
    page = machine.TOP / "build" / "bench" / "quick.md" if plan.quick else machine.TOP / "docs" / "benchmarks.md"
    page.write_text(text)
    print(text)
    print(f"Written to {page.relative_to(machine.TOP)}.")
    return 1 if report.has_errors(results) else 0


if __name__ == "__main__":
    sys.exit(main())
