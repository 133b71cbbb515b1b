"""The page about plugins. Every number and verdict in it comes from the results."""

import statistics

from report import machine_lines, mib, spread, table, verdict

# Guests, as the hosts alone run them.
HEADER = "header guest"
BALLAST = "20 MiB guest"
BALLAST_16 = "20 MiB guest, 16 pages"
BALLAST_512 = "20 MiB guest, 512 pages"
RULES = "75 MiB guest"
GO = "Go guest"

# Proxies under load.
PLAIN = "weir"
REUSE = "weir, header guest, reuse"
RESET = "weir, header guest, reset"
RULES_REUSE = "weir, 75 MiB guest, reuse"
RULES_RESET = "weir, 75 MiB guest, reset"
TRAEFIK = "Traefik"
TRAEFIK_HEADER = "Traefik, header guest"
TRAEFIK_RULES = "Traefik, 75 MiB guest"

# Requests in flight.
FLIGHT_BALLAST = "weir, 20 MiB guest"
FLIGHT_GO = "weir, Go guest"
FLIGHT_RULES = "weir, 75 MiB guest, 2 MiB changed"
FLIGHT_BUDGET = "weir, 20 MiB guest, 2 MiB changed, budget"
TRAEFIK_BALLAST = "Traefik, 20 MiB guest"
TRAEFIK_GO = "Traefik, Go guest"
TRAEFIK_FLIGHT_RULES = "Traefik, 75 MiB guest, 2 MiB changed"

# Starts.
START_COLD = "first start"
START_CACHED = "start with compile cache"
START_TRAEFIK = "Traefik's start"

MIB = 2**20
PAGE = 4096
CLONE_MAX_US, CLONE_TIMES_MIN = 10, 100
RESET_MAX_US, REUSE_MAX_US, HOST_TIMES_MIN = 2, 1, 3
RESTORE_MAX_US = {BALLAST: 1, BALLAST_16: 6, BALLAST_512: 200}
OVERHEAD_MAX = {"reset": 0.20, "reuse": 0.05}
FLIGHT_MAX_BYTES = 64 * MIB
RULES_MAX_BYTES = 2.5 * 1024 * MIB
BUDGET_EXCESS_MAX_BYTES = 16 * MIB
AFTER_MAX_BYTES = 4 * MIB
START_MAX_MS = 300


def median(values):
    return statistics.median(values)


class Hosts:
    """Rounds of the hosts alone."""

    def __init__(self, results):
        self.rounds = results["hosts"]

    def values(self, guest, key, who="weir"):
        return [r[who][key] for r in self.rounds[guest] if who in r]

    def times(self, guest, key, peer_key):
        """How many times as much the peer needs, round by round."""
        return [r["peer"][peer_key] / r["weir"][key] for r in self.rounds[guest] if "peer" in r]


def time_text(us):
    if us >= 1000:
        return f"{us / 1000:.1f} ms"
    return f"{us:.2f} us" if us < 100 else f"{us:.0f} us"


def at_most(value, limit, text):
    return f"{'reached' if value <= limit else 'missed'} (<= {text})"


def at_least(value, limit, text):
    return f"{'reached' if value >= limit else 'missed'} (>= {text})"


def row(what, mine, peer="-", times=None, *verdicts):
    return [what, mine, peer, "-" if times is None else f"{times:,.1f} x" if times < 100 else f"{times:,.0f} x",
            "; ".join(verdicts) or "-"]


def clone_rows(hosts):
    for guest in (BALLAST, RULES, GO, HEADER):
        mine, times = median(hosts.values(guest, "clone_us")), median(hosts.times(guest, "clone_us", "clone_us"))
        verdicts = [at_most(mine, CLONE_MAX_US, f"{CLONE_MAX_US} us"), at_least(times, CLONE_TIMES_MIN, f"{CLONE_TIMES_MIN} x")]
        yield row(f"new instance, {guest}", time_text(mine), time_text(median(hosts.values(guest, "clone_us", "peer"))), times,
                  *(verdicts if guest != HEADER else verdicts[:1]))


def host_rows(hosts):
    for isolation, limit in (("reset", RESET_MAX_US), ("reuse", REUSE_MAX_US)):
        mine = median(hosts.values(HEADER, f"{isolation}_us"))
        for peer_key, name in (("nethttp_us", "with its net/http adapter"), ("reuse_us", "without")):
            times = median(hosts.times(HEADER, f"{isolation}_us", peer_key))
            yield row(f"header guest, {isolation}, host alone; peer {name}", time_text(mine),
                      time_text(median(hosts.values(HEADER, peer_key, "peer"))), times,
                      at_most(mine, limit, f"{limit} us"), at_least(times, HOST_TIMES_MIN, f"{HOST_TIMES_MIN} x"))


def restore_rows(hosts):
    for guest, limit in RESTORE_MAX_US.items():
        mine = median(hosts.values(guest, "restore_us"))
        pages = median(hosts.values(guest, "reset_pages"))
        yield row(f"put back after {pages:.0f} changed pages", time_text(mine), "-", None, at_most(mine, limit, f"{limit} us"))


def overhead_rows(hosts):
    """The guest's own time is the least that it takes in `reuse`, where its memory is as it left it."""
    for isolation, limit in OVERHEAD_MAX.items():
        own = [min(hosts.values(RULES, "reuse_guest_us"))] * len(hosts.rounds[RULES])
        spent = [guest + host for guest, host in zip(hosts.values(RULES, f"{isolation}_guest_us"),
                                                     hosts.values(RULES, f"{isolation}_host_us"))]
        share = median([whole / guest - 1 for whole, guest in zip(spent, own)])
        yield row(f"75 MiB guest, {isolation}, host alone: {time_text(median(own))} of its own, and",
                  f"{share:.1%}", "-", None, at_most(share, limit, f"{limit:.0%}"))


def cpu(loads, name):
    return [r["cpu_us"] for r in loads[name]]


def added(loads, name, base):
    return [mine - other for mine, other in zip(cpu(loads, name), cpu(loads, base))]


def load_rows(loads, hosts):
    peer = median(hosts.values(HEADER, "nethttp_us", "peer"))
    for name, limit in ((RESET, RESET_MAX_US), (REUSE, REUSE_MAX_US)):
        mine = added(loads, name, PLAIN)
        middle = median(mine)
        yield row(f"{name}: added to plain proxying; peer's host alone", spread(mine, 2, " us"), time_text(peer),
                  peer / middle if middle > 0 else None, at_most(middle, limit, f"{limit} us"),
                  at_least(peer / max(middle, 1e-9), HOST_TIMES_MIN, f"{HOST_TIMES_MIN} x"))
        if TRAEFIK_HEADER in loads:
            other = added(loads, TRAEFIK_HEADER, TRAEFIK)
            yield row(f"{name}: added to plain proxying; Traefik likewise", spread(mine, 2, " us"), spread(other, 2, " us"),
                      median(other) / middle if middle > 0 and median(other) > 0 else None)
    for name in (RULES_RESET, RULES_REUSE):
        mine = added(loads, name, PLAIN)
        other = added(loads, TRAEFIK_RULES, TRAEFIK) if TRAEFIK_RULES in loads else None
        yield row(f"{name}: added to plain proxying" + ("; Traefik likewise" if other else ""), time_text(median(mine)),
                  time_text(median(other)) if other else "-", median(other) / median(mine) if other else None)


def scaled(flight, count):
    return flight["held"]["pss"] * count / max(flight["held_count"], 1)


def flight_row(flights, name, traefik, limit):
    flight = flights[name]
    mine, count = flight["held"]["pss"], flight["count"]
    other = scaled(flights[traefik], count) if traefik in flights else None
    return row(f"{count} in flight, {name}: above idle", f"{mib(mine)} MiB", f"{mib(other)} MiB (scaled)" if other else "-",
               other / mine if other else None, at_most(mine, limit, f"{mib(limit)} MiB"))


def budget_row(results):
    flight = results["flights"][FLIGHT_BUDGET]
    limit = results["budget_mib"] * MIB + BUDGET_EXCESS_MAX_BYTES
    served, refused = (flight["statuses"].get(status, 0) for status in ("200", "503"))
    others = flight["count"] - served - refused
    return row(f"{flight['count']} in flight, each changes 2 MiB, budget {results['budget_mib']} MiB: most above idle; "
               f"{served} served, {refused} got 503, {others} failed otherwise", f"{mib(flight['peak_bytes'])} MiB", "-", None,
               at_most(flight["peak_bytes"], limit, f"{mib(limit)} MiB"), at_most(others, 0, "0 others"))


def after_rows(flights, idle_timeout_s):
    for name, flight in flights.items():
        if name.startswith("weir"):
            found = flight["after"]
            group = "" if found["group"] is None else f" (control group: {mib(found['group'])})"
            yield row(f"{name}: above idle, {idle_timeout_s} + 1 s after the load", f"{mib(found['pss'])} MiB{group}", "-", None,
                      at_most(found["pss"], AFTER_MAX_BYTES, f"{mib(AFTER_MAX_BYTES)} MiB"))


def memory_rows(results):
    flights = results["flights"]
    go_limit = 1000 * PAGE * median(Hosts(results).values(GO, "reset_pages")) + FLIGHT_MAX_BYTES
    yield flight_row(flights, FLIGHT_BALLAST, TRAEFIK_BALLAST, FLIGHT_MAX_BYTES)
    yield flight_row(flights, FLIGHT_GO, TRAEFIK_GO, go_limit)
    yield flight_row(flights, FLIGHT_RULES, TRAEFIK_FLIGHT_RULES, RULES_MAX_BYTES)
    yield budget_row(results)
    yield from after_rows(flights, results["idle_timeout_s"])


def start_rows(starts):
    mine = median(starts[START_CACHED])
    other = median(starts[START_TRAEFIK]) if starts[START_TRAEFIK] else None
    yield row("75 MiB guest, start to first answer, compiled before", f"{mine:.0f} ms", f"{other:.0f} ms" if other else "-",
              other / mine if other else None, at_most(mine, START_MAX_MS, f"{START_MAX_MS} ms"))
    yield row("75 MiB guest, start to first answer, first start", f"{median(starts[START_COLD]):.0f} ms")


def comparison(results):
    hosts = Hosts(results)
    return [*clone_rows(hosts), *host_rows(hosts), *load_rows(results["loads"], hosts), *restore_rows(hosts),
            *overhead_rows(hosts), *memory_rows(results), *start_rows(results["starts"])]


def host_table(hosts):
    keys = {"own_us": "initialised by itself", "clone_us": "new instance", "reuse_us": "exchange, reuse",
            "reset_us": "reset", "fresh_us": "fresh", "restore_us": "put back"}
    rows = []
    for guest in hosts.rounds:
        rows.append([f"weir, {guest}"] + [spread(hosts.values(guest, key), 2) for key in keys])
        if hosts.values(guest, "clone_us", "peer"):
            cells = {"clone_us": "clone_us", "reuse_us": "reuse_us"}
            rows.append([f"peer, {guest}"] + [spread(hosts.values(guest, cells[key], "peer"), 2) if key in cells else "-"
                                              for key in keys])
    return table(["CPU us", *keys.values()], rows)


def live_table(hosts):
    rows = []
    for guest in (BALLAST, RULES, GO):
        for who in ("weir", "peer"):
            live = median(hosts.values(guest, "live", who))
            held = median(hosts.values(guest, "live_bytes", who))
            rows.append([f"{who}, {guest}", f"{live:.0f}", mib(held), f"{held / live / 1024:.1f}"])
    return table(["hosts alone", "exchanges in flight", "MiB above idle", "KiB each"], rows)


def flight_table(flights):
    rows = []
    for name, flight in flights.items():
        group = flight["held"]["group"]
        statuses = ", ".join(f"{count} x {status}" for status, count in sorted(flight["statuses"].items()))
        rows.append([name, str(flight["held_count"]), mib(flight["idle"]["pss"]), mib(flight["held"]["pss"]),
                     "-" if group is None else mib(group), mib(flight["after"]["pss"]), statuses])
    return table(["through the proxy", "held", "idle MiB", "above idle", "as the control group counts", "afterwards", "statuses"],
                 rows)


def load_table(loads):
    rows = [[name, spread(cpu(loads, name), 1), f"{median([r['per_second'] for r in rounds]):,.0f}",
             str(sum(sum(r["errors"].values()) for r in rounds))] for name, rounds in loads.items()]
    return table(["128 B", "CPU us per request", "requests/s", "errors"], rows)


def has_errors(results):
    """Requests that failed where none may, or a host that lost its memory."""
    wrong = sum(sum(r["errors"].values()) for rounds in results["loads"].values() for r in rounds)
    for name, flight in results["flights"].items():
        wrong += sum(count for status, count in flight["statuses"].items()
                     if status != "200" and not (status == "503" and name == FLIGHT_BUDGET))
    return wrong > 0


INTRODUCTION = """\
`make bench-plugin` writes this page; `tests/bench` holds the programs. The peer is http-wasm-host-go on wazero, in the
versions and with the settings of Traefik, in a Go program of ours (`tests/bench/peer`) that does with it what `bench_plugin.c`
does with weir's host: the same guests and configurations, an embedder that does next to nothing. Hosts and proxies have one
CPU, the load has another. CPU time is that of the process, with garbage collection and weir's ticker. Values are
medians over rounds, with the extremes in parentheses; a ratio is taken round by round where it can be.

The header guest sets one request and one response header. The 20 MiB guest fills 20 MiB while it initialises. The 75 MiB guest
is as heavy as a firewall with a full set of rules: 27 MiB of tables, about a millisecond of work and 2 MiB of changed memory
for each request. The Go guest is what Go's own compiler makes. The peer restores nothing and its instances share nothing, so
that its column stands for what Traefik's `reuse` costs. What Traefik keeps in flight is measured with fewer requests and
scaled to the same number.

Memory "above idle" is the proxy's PSS (all pages that it has for itself, and its share of the others) beyond what it had after a
first load and the idle timeout. The control group's figure also has the kernel's part: page tables, sockets, files.
"""


def markdown(results):
    hosts, rows = Hosts(results), comparison(results)
    verdicts = [mark.split()[0] for line in rows for mark in line[-1].split("; ") if mark != "-"]
    parts = ["# Plugin benchmarks\n", INTRODUCTION, "\n".join(machine_lines(results, "make bench-plugin")) + "\n"]
    parts += ["## What is to be reached\n", f"{verdicts.count('reached')} reached, {verdicts.count('missed')} missed.\n",
              table(["", "weir", "peer", "times weir's", "reach"], rows)]
    parts += ["## Hosts alone\n", host_table(hosts), live_table(hosts)]
    parts += ["## Proxies under load\n",
              "64 connections; 4 with the 75 MiB guest.\n", load_table(results["loads"])]
    parts += ["## Requests in flight\n", flight_table(results["flights"])]
    return "\n".join(parts)
