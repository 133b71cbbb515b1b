"""The page of the data path's benchmark. Every number and verdict in it comes from the results."""

import statistics

import report

WEIR, NGINX, HAPROXY, TRAEFIK = report.WEIR, report.NGINX, report.HAPROXY, report.TRAEFIK
PEERS = (NGINX, HAPROXY, TRAEFIK)
ROUTERS = (1, 1000)

CASES = {
    "https/128": "HTTPS kept alive, 64 connections, 128 B",
    "https/10k": "HTTPS kept alive, 64 connections, 10 KiB",
    "handshake/full": "HTTPS, a full handshake for each request",
    "handshake/resumed": "HTTPS, a resumed handshake for each request",
    "h2/1": "HTTP/2, 10 connections, 1 stream each, 128 B",
    "h2/100": "HTTP/2, 10 connections, 100 streams each, 128 B",
    "calls": "calls as of gRPC, 10 connections, 10 streams each",
    "upload": "POST of 1 MiB, 16 connections",
}
# The most CPU time per request that weir may need, as a multiple of nginx's.
LIMIT = 1.0
ROUTERS_LIMIT = 1.1
IDLE_LIMIT_BYTES = 24 * 1024
AMONG_LIMIT = 1.2

INTRODUCTION = """\
`make bench-path` writes this page; `tests/bench/path_*.py` are the program and the configuration of each proxy. Every proxy
has one worker on one CPU; load and upstream share another. The rounds are interleaved, values are medians over them with
the extremes in parentheses; a ratio is taken round by round. CPU time is user and system time of all processes and
threads of the proxy. All proxies have the same certificate (ECDSA, P-256) and tell the upstream the same
headers; nginx streams uploads, as the others do. The machine has two CPUs, so there is no row with two workers: the load would
measure itself. The upstream of the calls answers in HTTP/2 at once; the messages are as long as small ones of gRPC.
"""


def _cpu(rounds):
    return [found["cpu_us"] for found in rounds]


def case_table(case):
    rows = []
    for name, rounds in case.items():
        if rounds is None:
            rows.append([name, "not served", "-", "-"])
            continue
        row = [name, report.spread(_cpu(rounds), 1), "-", str(sum(found["failed"] for found in rounds))]
        if name != WEIR and case[WEIR]:
            row[2] = report.spread([mine / other for mine, other in zip(_cpu(case[WEIR]), _cpu(rounds))])
        rows.append(row)
    return report.table(["", "CPU us per request", "weir's share", "failed"], rows)


def ratio_rows(results):
    for key, name in CASES.items():
        case = results["cases"][key]
        for peer in PEERS:
            if not case[WEIR] or not case.get(peer):
                continue
            found = [mine / other for mine, other in zip(_cpu(case[WEIR]), _cpu(case[peer]))]
            limit = LIMIT if peer == NGINX else None
            yield [f"{name}: weir / {peer}", report.spread(found), report.verdict(statistics.median(found), limit)]
    few, many = (_cpu(results["routers"][str(count)]) for count in ROUTERS)
    found = [more / one for more, one in zip(many, few)]
    yield [f"{ROUTERS[1]} routers / {ROUTERS[0]}, with Host and PathPrefix", report.spread(found),
           report.verdict(statistics.median(found), ROUTERS_LIMIT)]
    for name, held in results["held"].items():
        each = (held["during_bytes"] - held["before_bytes"]) / held["count"]
        yield [f"bytes per idle TLS connection, {name}", f"{each:.0f}",
               report.verdict(each, IDLE_LIMIT_BYTES if name == WEIR else None, 0)]
    for name, found in results["among"].items():
        share = [among / alone for among, alone in zip(found["among"], found["alone"])]
        yield [f"p99 of 64 connections with {found['idle']:,} idle ones / without, {name}", report.spread(share),
               report.verdict(statistics.median(share), AMONG_LIMIT if name == WEIR else None)]


def counts(rows):
    found = [row[2].split()[0] for row in rows if row[2] != "-"]
    return f"{found.count('reached')} reached, {found.count('missed')} missed"


def markdown(results):
    rows = list(ratio_rows(results))
    missing = [name for key, name in CASES.items() if not results["cases"][key][WEIR]]
    parts = ["# Benchmarks of the data path\n", INTRODUCTION, "\n".join(report.machine_lines(results, "make bench-path")) + "\n",
             "## Ratios and targets\n", f"{counts(rows)}. In parentheses behind a verdict: the limit.\n",
             report.table(["", "median (extremes)", "goal"], rows)]
    if missing:
        parts.append("weir does not serve: " + "; ".join(missing) + ".\n")
    for key, name in CASES.items():
        parts += [f"## {name}\n", case_table(results["cases"][key])]
    return "\n".join(parts)
