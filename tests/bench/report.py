"""The page that the benchmark writes. Every number and verdict in it comes from the results."""

import statistics

WEIR = "weir"
RELAY = "bare relay"
WEIR_GUEST = "weir, header guest"
NGINX_BARE = "nginx, bare"
NGINX = "nginx"
HAPROXY_BARE = "HAProxy, bare"
HAPROXY = "HAProxy"
TRAEFIK = "Traefik"
TRAEFIK_GUEST = "Traefik, header guest"

BODY_NAMES = {"128": "128 B", "10k": "10 KiB", "1m": "1 MiB"}

# Most CPU time per request that weir may need, as a multiple of the peer's: at this stage, and in the end.
STAGE = "now"
GOAL = "goal"
RATIO_LIMITS = {
    (NGINX_BARE, "128"): (1.3, 0.85), (NGINX_BARE, "10k"): (1.3, 0.85), (NGINX_BARE, "1m"): (1.3, 1.0),
    (NGINX, "128"): (1.3, 0.85), (NGINX, "10k"): (1.3, 0.85), (NGINX, "1m"): (1.3, 1.0),
    (HAPROXY_BARE, "128"): (None, 0.85), (HAPROXY_BARE, "10k"): (None, 0.85), (HAPROXY_BARE, "1m"): (None, 1.0),
    (HAPROXY, "128"): (None, 0.85), (HAPROXY, "10k"): (None, 0.85), (HAPROXY, "1m"): (None, 1.0),
    (TRAEFIK, "128"): (None, 0.25), (TRAEFIK, "10k"): (None, 0.25),
}
GUEST_LIMITS_US = (4.0, 2.0)
# The guest leaves bodies alone; moving a large one costs so much that microseconds drown in it.
GUEST_BODIES = ("128", "10k")
GUEST_SHARE_LIMITS = (None, 1 / 3)
CONNECTION_LIMITS_BYTES = (None, 4096)


def table(header, rows):
    """A Markdown table with aligned columns; the first one to the left, the others to the right."""
    columns = list(zip(header, *rows))
    widths = [max(len(cell) for cell in column) for column in columns]

    def line(cells):
        padded = [cells[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (w + 1) + ":" for w in widths[1:]]) + "|"
    return "\n".join([line(header), rule] + [line(row) for row in rows]) + "\n"


def spread(values, digits=2, unit=""):
    """Median and extremes."""
    middle = f"{statistics.median(values):.{digits}f}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def duration(us):
    return f"{us / 1000:.2f} ms" if us >= 1000 else f"{us:.0f} us"


def verdict(value, limit, digits=2):
    """Whether a median keeps within a limit."""
    if limit is None:
        return "-"
    return f"{'reached' if value <= limit else 'missed'} ({limit:.{digits}f})"


def case_name(key):
    connections, body = key.split("/")
    return f"{connections} connection{'s' if connections != '1' else ''}, {BODY_NAMES[body]}"


def values(case, name, field):
    return [round_[field] for round_ in case[name]]


def errors(rounds):
    return sum(sum(r["errors"].values()) for r in rounds)


def has_errors(results):
    return any(errors(rounds) > 0 for case in results["cases"].values() for rounds in case.values())


def case_table(case):
    rows = []
    for name, rounds in case.items():
        rows.append([
            name,
            spread(values(case, name, "cpu_us"), 1),
            f"{statistics.median(values(case, name, 'per_second')):,.0f}",
            duration(statistics.median(values(case, name, "p50_us"))),
            duration(statistics.median(values(case, name, "p99_us"))),
            f"{statistics.median(values(case, name, 'busy')):.0%}",
            str(errors(rounds)),
        ])
    return table(["", "CPU us per request", "requests/s", "p50", "p99", "CPU busy", "errors"], rows)


def ratios(case, name, peer):
    """Round by round, since what disturbs one round disturbs both."""
    return [mine / other for mine, other in zip(values(case, name, "cpu_us"), values(case, peer, "cpu_us"))]


def ratio_rows(cases):
    for key, case in cases.items():
        for peer in (RELAY, NGINX_BARE, NGINX, HAPROXY_BARE, HAPROXY, TRAEFIK):
            if peer not in case:
                continue
            found = ratios(case, WEIR, peer)
            now, goal = RATIO_LIMITS.get((peer, key.split("/")[1]), (None, None))
            middle = statistics.median(found)
            yield [f"{case_name(key)}: weir / {peer}", spread(found), verdict(middle, now), verdict(middle, goal)]


def added(case, name, base):
    return [mine - other for mine, other in zip(values(case, name, "cpu_us"), values(case, base, "cpu_us"))]


def guest_rows(cases):
    for key, case in cases.items():
        mine = added(case, WEIR_GUEST, WEIR)
        middle = statistics.median(mine)
        judged = key.split("/")[1] in GUEST_BODIES
        yield [f"{case_name(key)}: added by the guest, us", spread(mine, 1),
               *(verdict(middle, limit if judged else None, 1) for limit in GUEST_LIMITS_US)]
        if TRAEFIK_GUEST in case:
            other = added(case, TRAEFIK_GUEST, TRAEFIK)
            yield [f"{case_name(key)}: added in Traefik, us", spread(other, 1), "-", "-"]
            if judged and statistics.median(other) > 0:
                share = middle / statistics.median(other)
                yield [f"{case_name(key)}: weir's share of Traefik's", f"{share:.2f}",
                       *(verdict(share, limit) for limit in GUEST_SHARE_LIMITS)]


def mib(size):
    return f"{size / 1024 / 1024:.1f}"


def under_load(cases, name, key):
    found = [r["pss_bytes"] for r in cases.get(key, {}).get(name, []) if "pss_bytes" in r]
    return mib(found[-1]) if found else "-"


def memory_table(results):
    rows = []
    loads = [key for key in ("64/128", "64/1m", "1000/128", "1000/1m") if key in results["cases"]]
    for name, idle in results["idle_bytes"].items():
        rows.append([name, mib(idle)] + [under_load(results["cases"], name, key) for key in loads])
    return table(["PSS in MiB", "started"] + [case_name(key) for key in loads], rows)


def connection_table(results):
    rows = []
    for name, held in results["held"].items():
        each = (held["during_bytes"] - held["before_bytes"]) / held["count"]
        marks = [verdict(each, limit, 0) for limit in CONNECTION_LIMITS_BYTES] if name == WEIR else ["-", "-"]
        rows.append([name, f"{each:.0f}", f"{held['left']:,} of {held['count']:,}", mib(held["during_bytes"])] + marks)
    return table(["", "bytes per idle connection", "still open", "PSS in MiB", STAGE, GOAL], rows)


def losses(results):
    """Where a peer needs less than weir, by the medians of the ratios."""
    for key, case in results["cases"].items():
        for peer in (NGINX_BARE, NGINX, HAPROXY_BARE, HAPROXY, TRAEFIK):
            if peer in case:
                ratio = statistics.median(ratios(case, WEIR, peer))
                if ratio > 1:
                    yield f"{case_name(key)}: {ratio:.2f} x {peer}"


def counts(rows):
    """How many verdicts of a stage say what."""
    text = []
    for stage, column in ((STAGE, 2), (GOAL, 3)):
        found = [row[column].split()[0] for row in rows if row[column] != "-"]
        text.append(f"{stage}: {found.count('reached')} reached, {found.count('missed')} missed")
    return "; ".join(text)


def machine_lines(results, command="make bench"):
    machine = results["machine"]
    versions = ", ".join(f"{name} {text}" for name, text in results["versions"].items())
    yield f"* Date: {results['date']}. Command: `{command}`, {results['rounds']} round{'s' if results['rounds'] > 1 else ''} of each case."
    yield (f"* Machine: {machine['cpus']} x {machine['cpu']}{' (virtual machine)' if machine['virtual'] else ''}, "
           f"{machine['memory_bytes'] / 2**30:.0f} GiB, Linux {machine['kernel']}, {machine['system']}.")
    yield f"* Versions: {versions}."
    if machine["load"] > 0.5:
        yield (f"* **The machine was not quiet**: its load was {machine['load']:.1f} at the start. Times and rates "
               "suffer most from that, ratios of CPU time least.")


INTRODUCTION = """\
`make bench` writes this page; `tests/bench` holds the program and the configuration of each proxy. Every proxy has
one worker on one CPU; wrk (one thread) and the upstream share another. The upstream is a small program that does nothing
but answer (`bench_ends.c`), so that it holds nobody up. All connections are kept alive. The rounds are interleaved: in each, all proxies are loaded one after the other. Values
are medians over the rounds, with the extremes in parentheses; a ratio is taken round by round. CPU time is user and
system time of all processes and threads of the proxy, as the scheduler counts it. Responses of 1 MiB that are under
way when a round ends count by the share that arrived; the latencies are those of the complete ones.

The bare relay (`bench_ends.c`, too) passes bytes on without looking at them, between each client and a connection of its
own to the upstream: two calls of the system in each direction, which is the floor under small messages.

Every proxy tells the upstream X-Forwarded-For, -Host, -Port, -Proto, -Server and X-Real-Ip, but for the "bare" ones,
which add nothing. The header guest is a WebAssembly plugin that sets one request and one response header. The peers
are tuned where that helps them here: nginx has 16 buffers of 16 KiB and writes no temporary files (with its default
buffers a body of 1 MiB costs it more than twice as much), HAProxy splices responses, no peer writes an access log.

With bodies of 1 MiB the CPU of wrk and the origin is the bottleneck, and what the kernel sends on because acknowledgements have come is
done there. How much that is differs: spliced in large parts, more is left to it, so that weir's own CPU time falls more than that of both
CPUs together (about 970 us per response, HAProxy 920), and fewer responses a second come through.
"""


def markdown(results):
    cases = results["cases"]
    comparison = list(ratio_rows(cases)) + list(guest_rows(cases))
    lost = list(losses(results))
    parts = ["# Benchmarks\n", INTRODUCTION, "\n".join(machine_lines(results)) + "\n"]
    parts += ["## Ratios and targets\n",
              f"CPU time per request. {counts(comparison)}. In parentheses behind a verdict: the limit.\n",
              table(["", "median (extremes)", STAGE, GOAL], comparison)]
    parts += ["Where weir needs more than a peer:\n",
              "\n".join(f"* {line}" for line in lost) + "\n" if lost else "nowhere in this run.\n"]
    parts += ["## Memory\n", memory_table(results), connection_table(results),
              "A connection's memory is what the process tree grew by, without the kernel's share. nginx allocates its "
              "table of connections at the start, so that it is in \"started\" instead.\n"]
    for key, case in cases.items():
        parts += [f"## {case_name(key)}\n", case_table(case)]
    return "\n".join(parts)
