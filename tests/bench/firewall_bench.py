"""firewall_bench.py: a real web application firewall as a plugin, Coraza with the whole OWASP core rule set, in weir beside
Traefik. `scripts/bench firewall` starts it.

Each proxy has one worker on one CPU, load and upstream another one.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import machine
import peers
import plugin_bench
from plugin_report import cpu, median, row, scaled, time_text
from report import machine_lines, mib, spread, table

# Requests of the load have no User-Agent and a number as their Host, which alone would have them refused.
CONFIG = {"directives": ["SecRuleRemoveById 920350"]}
HELD = 200
TRAEFIK_HELD = 10
CONNECTIONS = 8
READY_TIMEOUT_S = 600  # a first start compiles 30 MB


PLAIN, REUSE, RESET, TRAEFIK_PLAIN, TRAEFIK = "weir, no plugin", "weir, reuse", "weir, reset", "Traefik, no plugin", "Traefik"
HELD_REUSE, HELD_RESET, HELD_TRAEFIK = "weir in reuse", "weir in reset", "Traefik holding"
COLD, CACHED, TRAEFIK_START = "weir, first start", "weir, compiled before", "Traefik's start"


class Bench(plugin_bench.Bench):
    def module(self, name):
        return Path(os.environ["BENCH_FIREWALL"])

    def firewall(self, isolation="reuse"):
        plugin = self.plugin("firewall", CONFIG, isolation=isolation)
        plugin.options["compileTimeout"] = f"{READY_TIMEOUT_S}s"
        return plugin

    def subjects(self):
        subjects = {PLAIN: (self.weir, None, CONNECTIONS), REUSE: (self.weir, self.firewall(), CONNECTIONS),
                    RESET: (self.weir, self.firewall("reset"), CONNECTIONS)}
        if self.traefik:
            subjects |= {TRAEFIK_PLAIN: (self.traefik, None, CONNECTIONS), TRAEFIK: (self.traefik, self.firewall(), CONNECTIONS)}
        return subjects

    def flights(self):
        flights = {HELD_REUSE: (self.weir, self.firewall(), HELD), HELD_RESET: (self.weir, self.firewall("reset"), HELD)}
        if self.traefik:
            flights[HELD_TRAEFIK] = (self.traefik, self.firewall(), TRAEFIK_HELD)
        return flights

    def starts(self):
        found = {}
        programs = {COLD: self.weir, CACHED: self.weir} | ({TRAEFIK_START: self.traefik} if self.traefik else {})
        for name, program in programs.items():
            machine.progress(f"starts: {name}")
            with contextlib.closing(plugin_bench.Server()) as server:
                with self.proxy(f"start {name}", program, self.firewall(), server.port, "cache-of-starts") as peer:
                    found[name] = peer.ready_s * 1000
        return found


def times(other, mine):
    return other / mine if other and mine > 0 else None


def load_rows(loads):
    theirs = [mine - plain for mine, plain in zip(cpu(loads, TRAEFIK), cpu(loads, TRAEFIK_PLAIN))] if TRAEFIK in loads else []
    for name in (REUSE, RESET):
        mine = [one - plain for one, plain in zip(cpu(loads, name), cpu(loads, PLAIN))]
        other = median(theirs) if theirs else None
        yield row(f"CPU per request that the firewall adds: {name}", time_text(median(mine)), time_text(other) if other else "-",
                  times(other, median(mine)))


def memory_rows(flights):
    other = scaled(flights[HELD_TRAEFIK], HELD) if HELD_TRAEFIK in flights else None
    for name in (HELD_REUSE, HELD_RESET):
        mine = flights[name]["held"]["pss"]
        yield row(f"{HELD} requests in flight, above idle: {name}", f"{mib(mine)} MiB", f"{mib(other)} MiB (scaled)" if other else "-",
                  times(other, mine))
    for name, flight in flights.items():
        yield row(f"after they have gone, above idle: {name}", f"{mib(flight['after']['pss'])} MiB")


def start_rows(starts):
    other = starts.get(TRAEFIK_START)
    for name in (COLD, CACHED):
        yield row(f"from the start to the first answer: {name}", f"{starts[name]:,.0f} ms", f"{other:,.0f} ms" if other else "-",
                  times(other, starts[name]))


INTRODUCTION = """\
`make bench-firewall` writes this page. The guest is `guests/go-firewall`: Coraza with the whole OWASP core rule set, compiled by
Go's own compiler, 30 MB of WebAssembly. Every request goes through all rules of the request's phases. Each proxy has one worker on
one CPU; load and upstream have another. CPU time is that of the proxy's processes; values are medians over rounds, with the
extremes in parentheses. "Above idle" is the proxy's PSS beyond what it had after a first load and the idle timeout. Traefik
is measured with fewer requests in flight, and scaled to the same number.
"""


def markdown(results):
    rows = [*load_rows(results["loads"]), *memory_rows(results["flights"]), *start_rows(results["starts"])]
    loads = [[name, spread(cpu(results["loads"], name), 0), f"{median([r['per_second'] for r in rounds]):,.0f}",
              str(sum(sum(r["errors"].values()) for r in rounds))] for name, rounds in results["loads"].items()]
    return "\n".join(["# A real firewall as a plugin\n", INTRODUCTION, "\n".join(machine_lines(results, "make bench-firewall")) + "\n",
                      table(["", "weir", "Traefik", "times weir's"], [line[:4] for line in rows]),
                      f"## Under load\n\n{CONNECTIONS} connections, 128 bytes.\n",
                      table(["", "CPU us per request", "requests/s", "errors"], loads)])


def main():
    plan = plugin_bench.make_plan()
    plan.proxy_rounds = max(plan.rounds, 1)
    weir, traefik = os.environ["WEIR"], os.environ.get("TRAEFIK")
    peers.READY_TIMEOUT_S = READY_TIMEOUT_S
    about = {"date": time.strftime("%Y-%m-%d"), "quick": plan.quick, "rounds": plan.proxy_rounds, "machine": machine.describe_machine(),
             "versions": {"weir": machine.describe_weir(weir)} | ({"Traefik": machine.describe_traefik(traefik)} if traefik else {})}
    machine.raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        bench = Bench(plan, weir, traefik, None, None, stack)
        results = about | {"starts": bench.starts(), "loads": bench.loads(), "flights": bench.all_flights()}
    machine.progress("")
    name = "firewall-quick" if plan.quick else "firewall"
    (machine.TOP / "build" / "bench" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    page = machine.TOP / ("build/bench/firewall-quick.md" if plan.quick else "docs/benchmarks-firewall.md")
    page.write_text(markdown(results))
    print(page.read_text())
    print(f"Written to {page.relative_to(machine.TOP)}.")
    return 1 if any(sum(r["errors"].values()) for rounds in results["loads"].values() for r in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
