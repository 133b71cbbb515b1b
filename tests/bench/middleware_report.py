"""The page of the middlewares' benchmark. Every number and verdict in it comes from the results."""

import statistics

import report
from middleware_cases import SOURCES, TEXT_BYTES

TEN_LIMIT_US = 3.0
GZIP_LIMIT = 1.1
# A look-up that misses the cache of the CPU costs more than one that does not; more than that would be no constant time.
SOURCES_LIMIT_US = 2.0

INTRODUCTION = """\
`make bench-middlewares` writes this page; `tests/bench/middleware_*.py` are the program and the configuration. One weir with
one worker on one CPU has a router for each row; load (64 connections, answers of 128 bytes) and upstream share another CPU. A row is
measured right after the router without middlewares, round by round; values are medians with the extremes in parentheses. CPU time is
user and system time of all processes and threads of weir. Bodies are compressed for two connections. `digestAuth` is not here, because each request needs a number of its own.
"""


def rounds_of(results):
    for rounds in results["cases"].values():
        yield from (each for found in rounds for each in found.values())
    yield from (each for found in results["gzip"] for each in found.values())
    yield from (each for found in results["sources"]["rounds"] for each in found.values())


def failed(results):
    return sum(each["failed"] for each in rounds_of(results))


def added(rounds):
    return [found["with"]["cpu_us"] - found["bare"]["cpu_us"] for found in rounds]


def middleware_table(results):
    rows = []
    for name, rounds in results["cases"].items():
        rows.append([name, results["does"][name], report.spread([found["with"]["cpu_us"] for found in rounds], 1),
                     report.spread(added(rounds), 2)])
    return report.table(["", "what it does", "CPU us per request", "added us"], rows)


def ratio_rows(results):
    ten = statistics.median(added(results["cases"]["ten"]))
    yield ["ten middlewares that touch no body add, us", report.spread(added(results["cases"]["ten"])), report.verdict(ten, TEN_LIMIT_US, 1)]
    shares = [found["weir"]["cpu_us"] / found["nginx"]["cpu_us"] for found in results["gzip"]]
    yield [f"gzip of {TEXT_BYTES // 1024} KiB of text at level 6: weir / nginx", report.spread(shares),
           report.verdict(statistics.median(shares), GZIP_LIMIT)]
    sources = results["sources"]
    more = [found["many"]["cpu_us"] - found["one"]["cpu_us"] for found in sources["rounds"]]
    yield [f"rateLimit: {SOURCES:,} sources cost more than one, us", report.spread(more), report.verdict(statistics.median(more), SOURCES_LIMIT_US, 1)]
    yield [f"rateLimit: bytes per source, {SOURCES:,} sources", f"{sources['bytes'] / SOURCES:.0f}", "-"]
    yield ["rateLimit: bytes per source that the rounds after the first added", f"{sources['grown'] / SOURCES:.0f}", "-"]


def gzip_table(results):
    rows = []
    for name, text in (("weir", "weir"), ("nginx", "nginx"), ("plain", "weir, not compressed")):
        found = [each[name] for each in results["gzip"]]
        size = statistics.median(each["bytes"] / max(each["requests"], 1) for each in found)
        rows.append([text, report.spread([each["cpu_us"] for each in found], 0), f"{size:,.0f}"])
    return report.table(["", "CPU us per response", "bytes per response"], rows)


def markdown(results):
    return "\n".join([
        "# Benchmarks of middlewares\n", INTRODUCTION, "\n".join(report.machine_lines(results, "make bench-middlewares")) + "\n",
        "## Targets\n", report.table(["", "median (extremes)", "goal"], list(ratio_rows(results))),
        "## What each adds\n", middleware_table(results),
        "## gzip\n", gzip_table(results),
        f"Requests that failed: {failed(results)}.\n"])
