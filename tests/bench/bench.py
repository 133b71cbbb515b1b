"""bench.py: weir beside its peers, in interleaved rounds on the same upstream. scripts/bench starts it.

Every proxy runs with one worker on one CPU, the load and the upstream on another one. All proxies stay up; a round
loads one after the other, so that whatever changes on the machine changes for all. What is compared is the CPU time
per request, round by round.
"""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import load
import measure
import peers
import report

TOP = Path(__file__).resolve().parents[2]
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
class Case:
    connections: int
    body: str
    seconds: int

    @property
    def key(self):
        return f"{self.connections}/{self.body}"


@dataclass
class Plan:
    cases: list
    rounds: int
    idle_connections: int
    quick: bool


def make_plan():
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    rounds = int(os.environ.get("BENCH_ROUNDS", 2 if quick else 3))
    cases = [Case(MAIN_CONNECTIONS, body, 1 if quick else 2) for body in peers.BODIES]
    for connections in (1, 1000):
        cases += [Case(connections, body, 1) for body in peers.BODIES if not quick or body == "128"]
    return Plan(cases, rounds, 1000 if quick else IDLE_CONNECTIONS, quick)


def find_guest(weir):
    """The header guest that the build made beside the program."""
    found = [parent / "guests" / "header.wasm" for parent in Path(weir).resolve().parents]
    found = [path for path in found if path.exists()]
    if not found:
        raise SystemExit(f"there is no guests/header.wasm in a directory above {weir}: build the guests")
    return found[0]


def make_subjects(plan, weir, traefik):
    guest = find_guest(weir)

    def traefik_like(program, module):
        return lambda peer, upstream: peers.start_traefik_like(peer, upstream, program, module)

    def with_headers(start, headers):
        return lambda peer, upstream: start(peer, upstream, headers)

    subjects = [
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


def choose_cpus():
    """One for the proxies, one for everything else."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("one CPU only: load, upstream and proxies share it", file=sys.stderr)
    return cpus[0], cpus[-1]


def raise_descriptor_limit():
    wanted = 65536
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def progress(text):
    """One line that changes, for people who watch."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)


def answered_requests(result, body_bytes):
    """Of large bodies many are under way when the time is up: they count by the share that arrived."""
    return result["bytes"] / body_bytes if body_bytes >= 2**20 else result["requests"]


def one_round(peer, case, cpu, wants_memory):
    peer.must_run()
    memory = []
    during = (lambda: memory.append(measure.pss_bytes(peer.pid))) if wants_memory else None
    before = measure.cpu_ns(peer.pid)
    result = load.run_wrk(f"http://127.0.0.1:{peer.port}/{case.body}", case.connections, case.seconds, cpu, during)
    used_ns = measure.cpu_ns(peer.pid) - before
    answered = max(answered_requests(result, peers.BODIES[case.body]), 1)
    result["cpu_us"] = used_ns / 1000 / answered
    result["per_second"] = answered * 1e6 / result["duration_us"]
    result["busy"] = used_ns / 1000 / result["duration_us"]
    if memory:
        result["pss_bytes"] = memory[0]
    return result


def measure_cases(plan, subjects, running, cpu):
    results = {}
    for case in plan.cases:
        chosen = [s.name for s in subjects if s.always or case.connections == MAIN_CONNECTIONS]
        results[case.key] = {name: [] for name in chosen}
        for number in range(plan.rounds):
            progress(f"{case.connections} connections, {case.body} bytes: round {number + 1} of {plan.rounds}")
            for name in chosen:
                last = number + 1 == plan.rounds
                results[case.key][name].append(one_round(running[name], case, cpu, last))
    progress("")
    return results


def output_of(*command):
    """What a program says, on whatever stream."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def version(pattern, *command):
    found = re.search(pattern, output_of(*command))
    return found[1] if found else "of unknown version"


def describe_machine():
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.M)
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1])
    return {
        "cpu": model[1] if model else os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": bool(re.search(r"^flags.*\bhypervisor\b", info, re.M)),
        "memory_bytes": memory * 1024,
        "kernel": os.uname().release.split("-")[0],
        "system": system[1] if system else "Linux",
        "load": os.getloadavg()[0],
    }


def describe_versions(weir, traefik):
    commit = output_of("git", "-C", str(TOP), "describe", "--always", "--dirty", "--exclude=*").strip()
    own = version(r"(\d+\.\d+\.\d+\S*)", weir, "version")
    versions = {
        "weir": f"{own} ({commit})",
        "nginx": version(r"nginx/(\S+)", "nginx", "-v"),
        "HAProxy": version(r"version (\d\S*)", "haproxy", "-v"),
        "wrk": version(r"wrk (?:debian/)?(\S+)", "wrk", "-v"),
    }
    if traefik:
        versions["Traefik"] = version(r"Version:\s*(\S+)", traefik, "version")
    return versions


def run(plan, weir, traefik):
    proxy_cpu, load_cpu = choose_cpus()
    os.sched_setaffinity(0, {load_cpu})
    subjects = make_subjects(plan, weir, traefik)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        base.chmod(0o755)
        upstream = peers.start_upstream(base / "upstream", load_cpu)
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
    raise_descriptor_limit()
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": describe_versions(weir, traefik if not plan.quick else None),
    }
    results = about | run(plan, weir, traefik)
    name = "quick" if plan.quick else "full"
    (TOP / "build" / "bench" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    text = report.markdown(results)
    page = TOP / "build" / "bench" / "quick.md" if plan.quick else TOP / "docs" / "benchmarks.md"
    page.write_text(text)
    print(text)
    print(f"Written to {page.relative_to(TOP)}.")
    return 1 if report.has_errors(results) else 0


if __name__ == "__main__":
    sys.exit(main())
