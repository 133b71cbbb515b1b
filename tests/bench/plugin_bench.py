"""plugin_bench.py: weir's plugin host beside the one that Traefik embeds, and weir beside Traefik with plugins.
`scripts/bench plugin` starts it.

The hosts alone run in programs of their own (bench_plugin.c, peer/), in turns. The proxies run with one worker on one CPU,
load and upstream on another one.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import load
import machine
import measure
import peers
import plugin_report as report

from harness.flight import Flight, HoldingUpstream
from harness.process import Peak
from harness.waiting import wait_until

MIB = 2**20
RESPITE_S = 1  # beyond the idle timeout, until memory must have gone back
HELD = 1000
BUDGET_MIB = 512
CONNECTIONS = 64
HEAVY_CONNECTIONS = 4


@dataclass
class Guest:
    """A guest as the hosts alone run it. `live`: exchanges in flight at once; 0: none are counted."""
    module: str
    config: dict = field(default_factory=dict)
    live: int = 0
    peer_live: int = 0
    peer: bool = True


GUESTS = {
    report.HEADER: Guest("header", peers.HEADER_CONFIG),
    report.BALLAST: Guest("ballast", {"mib": 20, "dirty": 0}, HELD, 50),
    report.BALLAST_16: Guest("ballast", {"mib": 20, "dirty": 15}, peer=False),
    report.BALLAST_512: Guest("ballast", {"mib": 20, "dirty": 511}, peer=False),
    report.RULES: Guest("rules", {}, HELD, 20),
    report.GO: Guest("go-header", {"headers": {"X-Guest": "set"}}, HELD, 50),
}


@dataclass
class Plan:
    quick: bool
    rounds: int         # of the hosts alone
    proxy_rounds: int   # of load on the proxies
    round_seconds: int
    traefik_held: int
    idle_timeout_s: int


def make_plan():
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    rounds = int(os.environ.get("BENCH_ROUNDS", 1 if quick else 3))
    return Plan(quick, rounds, 2 if quick else 4 * rounds - 1, 1 if quick else 2, 50, 1 if quick else 2)


class Bench:
    def __init__(self, plan, weir, traefik, tool, peer_tool, stack):
        self.plan, self.weir, self.traefik, self.tool, self.peer_tool = plan, weir, traefik, tool, peer_tool
        self.stack = stack
        self.base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        self.base.chmod(0o755)
        self.proxy_cpu, self.load_cpu = machine.choose_cpus()
        os.sched_setaffinity(0, {self.load_cpu})

    def module(self, name):
        return machine.find_guest(self.weir, name)

    def plugin(self, guest, config=None, **options):
        """`options` are weir.plugins.defaults, and memoryBudget."""
        budget = {"memoryBudget": options.pop("memoryBudget")} if "memoryBudget" in options else {}
        defaults = {"instances": 2 * HELD, "queue": 2 * HELD, "idleTimeout": f"{self.plan.idle_timeout_s}s"}
        return peers.Plugin(self.module(guest), config or {}, {"defaults": defaults | options} | budget)

    @contextlib.contextmanager
    def proxy(self, name, program, plugin, upstream_port, cache="cache"):
        """A running weir or Traefik, ended afterwards."""
        directory = self.base / name.replace(" ", "-").replace(",", "")
        group = measure.MemoryGroup(f"weir-bench-{os.getpid()}-{directory.name}")
        (self.base / cache).mkdir(exist_ok=True)
        peer = peers.Peer(name, directory, self.proxy_cpu, group, self.base / cache)
        try:
            yield peers.start_traefik_like(peer, upstream_port, program, plugin)
        finally:
            peer.stop()
            group.remove()

    # --- the hosts alone

    def run_tool(self, *command):
        done = subprocess.run(["taskset", "-c", str(self.proxy_cpu), *map(str, command)], stdout=subprocess.PIPE, text=True,
                              check=False)
        if done.returncode != 0:
            raise SystemExit(f"{command[0]} failed with status {done.returncode}")
        return json.loads(done.stdout)

    def host_round(self, guest):
        quick = ["--quick"] if self.plan.quick else []
        config = json.dumps(guest.config, separators=(",", ":"))
        round_ms = 10 if self.plan.quick else 60
        found = {"weir": self.run_tool(self.tool, "--json", *quick, self.module(guest.module), config, guest.live)}
        if guest.peer:
            found["peer"] = self.run_tool(self.peer_tool, self.module(guest.module), config, guest.peer_live, round_ms)
        return found

    def hosts(self):
        results = {name: [] for name in GUESTS}
        for number in range(self.plan.rounds):
            for name, guest in GUESTS.items():
                machine.progress(f"{name}, hosts alone: round {number + 1} of {self.plan.rounds}")
                results[name].append(self.host_round(guest))
        return results

    # --- CPU time through the whole proxy

    def subjects(self):
        """By name: program, plugin, connections."""
        header = {isolation: self.plugin("header", peers.HEADER_CONFIG, isolation=isolation)
                  for isolation in ("reuse", "reset")}
        rules = {isolation: self.plugin("rules", isolation=isolation) for isolation in ("reuse", "reset")}
        subjects = {
            report.PLAIN: (self.weir, None, CONNECTIONS),
            report.REUSE: (self.weir, header["reuse"], CONNECTIONS),
            report.RESET: (self.weir, header["reset"], CONNECTIONS),
            report.RULES_REUSE: (self.weir, rules["reuse"], HEAVY_CONNECTIONS),
            report.RULES_RESET: (self.weir, rules["reset"], HEAVY_CONNECTIONS),
        }
        if self.traefik and not self.plan.quick:
            subjects |= {
                report.TRAEFIK: (self.traefik, None, CONNECTIONS),
                report.TRAEFIK_HEADER: (self.traefik, header["reuse"], CONNECTIONS),
                report.TRAEFIK_RULES: (self.traefik, rules["reuse"], HEAVY_CONNECTIONS),
            }
        return subjects

    def loads(self):
        subjects = self.subjects()
        results = {name: [] for name in subjects}
        with contextlib.ExitStack() as stack:
            upstream = peers.start_upstream(self.base / "upstream", self.load_cpu)
            stack.callback(upstream.stop)
            running = {}
            for name, (program, plugin, _) in subjects.items():
                running[name] = stack.enter_context(self.proxy(name, program, plugin, upstream.port))
            for number in range(self.plan.proxy_rounds + 1):
                machine.progress(f"proxies: round {number} of {self.plan.proxy_rounds}")
                for name, (_, _, connections) in subjects.items():
                    case = load.Case(connections, "128", self.plan.round_seconds if number else 1)
                    found = load.one_round(running[name], case, self.load_cpu, False)
                    if number:  # the first round warms up
                        results[name].append(found)
        return results

    # --- memory

    def flights(self):
        """By name: program, plugin, requests in flight."""
        ballast, go, heavy = {"mib": 20}, GUESTS[report.GO].config, {"work": 1000}
        flights = {
            report.FLIGHT_BALLAST: (self.weir, self.plugin("ballast", ballast), HELD),
            report.FLIGHT_GO: (self.weir, self.plugin("go-header", go), HELD),
            report.FLIGHT_RULES: (self.weir, self.plugin("rules", heavy), HELD),
            report.FLIGHT_BUDGET: (self.weir, self.plugin("ballast", ballast | {"dirty": 512}, queueTimeout="2s",
                                                          memoryBudget=f"{BUDGET_MIB}MiB"), HELD),
        }
        if self.traefik and not self.plan.quick:
            flights |= {
                report.TRAEFIK_BALLAST: (self.traefik, self.plugin("ballast", ballast), self.plan.traefik_held),
                report.TRAEFIK_GO: (self.traefik, self.plugin("go-header", go), self.plan.traefik_held),
                report.TRAEFIK_FLIGHT_RULES: (self.traefik, self.plugin("rules", heavy), self.plan.traefik_held),
            }
        return flights

    def all_flights(self):
        results = {}
        for name, (program, plugin, count) in self.flights().items():
            machine.progress(f"in flight: {name}")
            with contextlib.closing(Server()) as server, self.proxy(name, program, plugin, server.port) as peer:
                # Traefik would keep what a warm-up makes.
                warm = 20 if program == self.weir else 1
                results[name] = fly(peer, server, count, warm, self.plan.idle_timeout_s)
        return results

    # --- the way to the first answer

    def starts(self):
        results = {report.START_COLD: [], report.START_CACHED: [], report.START_TRAEFIK: []}
        for number in range(self.plan.rounds):
            machine.progress(f"starts: round {number + 1} of {self.plan.rounds}")
            programs = {report.START_COLD: self.weir, report.START_CACHED: self.weir}
            if self.traefik and not self.plan.quick:
                programs[report.START_TRAEFIK] = self.traefik
            for name, program in programs.items():
                results[name].append(self.start_ms(f"{name} {number}", program, f"cache-{number}"))
        return results

    def start_ms(self, name, program, cache):
        plugin = self.plugin("rules", {"work": 1000})
        with contextlib.closing(Server()) as server, self.proxy(name, program, plugin, server.port, cache) as peer:
            return peer.ready_s * 1000


class Server(HoldingUpstream):
    def close(self):
        self.release()
        self.stop()


def used(peer):
    """As PSS, and as the control group counts, where there is one."""
    return {"pss": measure.pss_bytes(peer.pid), "group": peer.group.used_bytes()}


def above(now, before):
    return {key: None if before[key] is None else now[key] - before[key] for key in before}


def warm_up(peer, server, count, idle_timeout_s):
    """What grows once and stays is not the plugin's: buffers, tables, the engine's first use."""
    flight = Flight(peer.port, count)
    server.wait_held(count)
    server.release()
    flight.finish()
    server.hold()
    time.sleep(idle_timeout_s + RESPITE_S)
    measure.settled_pss_bytes(peer.pid)


def fly(peer, server, count, warm, idle_timeout_s):
    """Memory while `count` requests are with the upstream or have been refused, and after they have gone."""
    warm_up(peer, server, warm, idle_timeout_s)
    idle = used(peer)
    with Peak(peer.pid, idle["pss"]) as peak:
        flight = Flight(peer.port, count)
        wait_until(lambda: server.held + flight.answered >= count, f"{count} requests are held or answered", 120)
        held = used(peer)
        held_count = server.held
        server.release()
        statuses = flight.finish()
    time.sleep(idle_timeout_s + RESPITE_S)
    after = used(peer)
    return {"count": count, "idle": idle, "held_count": held_count, "held": above(held, idle), "peak_bytes": peak.bytes,
            "statuses": {str(status): n for status, n in statuses.items()}, "after": above(after, idle)}


def peer_versions(traefik, go):
    """Of the Go program, from its go.mod; and whether Traefik was built of the same."""
    wanted = {}
    for line in (machine.TOP / "tests/bench/peer/go.mod").read_text().splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].startswith("github.com/") and "// indirect" not in line:
            wanted[words[0]] = words[1]
    versions = {name.rsplit("/", 1)[1]: version for name, version in wanted.items()}
    if traefik:
        built = {words[1]: words[2] for line in machine.output_of(go, "version", "-m", traefik).splitlines()
                 if len(words := line.split()) >= 3 and words[0] == "dep"}
        different = [f"{name} {built.get(name, 'not at all')}" for name in wanted if built.get(name) != wanted[name]]
        versions["Traefik"] = machine.describe_traefik(traefik) + (f" with {', '.join(different)}" if different else "")
    return versions


def main():
    plan = make_plan()
    weir, go, traefik = os.environ["WEIR"], os.environ["GO"], os.environ.get("TRAEFIK")
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "quick": plan.quick,
        "rounds": plan.rounds,
        "budget_mib": BUDGET_MIB,
        "idle_timeout_s": plan.idle_timeout_s,
        "machine": machine.describe_machine(),
        "versions": {"weir": machine.describe_weir(weir)} | peer_versions(traefik, go),
    }
    machine.raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        bench = Bench(plan, weir, traefik, os.environ["BENCH_PLUGIN"], os.environ["BENCH_PEER"], stack)
        results = about | {"hosts": bench.hosts(), "loads": bench.loads(), "flights": bench.all_flights(),
                           "starts": bench.starts()}
    machine.progress("")
    directory = machine.TOP / "build" / "bench"
    (directory / f"plugin-{'quick' if plan.quick else 'full'}.json").write_text(json.dumps(results, indent=1) + "\n")
    page = directory / "plugin-quick.md" if plan.quick else machine.TOP / "docs" / "benchmarks-plugin.md"
    text = report.markdown(results)
    page.write_text(text)
    print(text)
    print(f"Written to {page.relative_to(machine.TOP)}.")
    return 1 if report.has_errors(results) else 0


if __name__ == "__main__":
    sys.exit(main())
