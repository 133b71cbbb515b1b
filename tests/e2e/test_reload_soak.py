"""65 routers, each with a plugin configuration of its own, over many reloads, some of which change one of them: memory and
descriptors stand still. 200 reloads; with WEIR_LONG 5,000, or WEIR_SOAK_RELOADS. The configurations come from a server,
which is asked again as soon as one has been taken, so that they come as fast as they can be built."""

import itertools
import json
import os

import pytest

from harness import process
from harness.load import Innocents
from harness.proxy import Plugin, memory_tells, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik makes 65 instances anew with each reload")

RELOADS = int(os.environ.get("WEIR_SOAK_RELOADS", "5000" if "WEIR_LONG" in os.environ else "200"))
ROUTERS, SAMPLES, MIB = 65, 20, 1 << 20
CHANGE_EVERY = 8


def configuration(url, number):
    """Each differs in a rule, and every eighth in one of the plugins' configurations."""
    change, plugin = divmod(number // CHANGE_EVERY, ROUTERS)
    http = {"routers": {}, "services": {"s": servers(url)}, "middlewares": {}}
    for i in range(ROUTERS):
        value = f"{i} of {change + (i <= plugin)}"
        http["middlewares"][f"m{i}"] = {"plugin": {"header": {"response": {"X-Mine": value}}}}
        http["routers"][f"r{i}"] = {"rule": f"Host(`h{i}.test`)", "service": "s", "middlewares": [f"m{i}"]}
    http["routers"]["version"] = {"rule": f"Host(`v{number}.test`)", "service": "s"}
    return json.dumps({"http": http}).encode()


def slope(values):
    """Of the line through them, by least squares, from first to last."""
    n = len(values)
    mean_x, mean_y = (n - 1) / 2, sum(values) / n
    return sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values)) / sum((x - mean_x) ** 2 for x in range(n)) * (n - 1)


def check(response):
    assert response.status == 200, response.start_line
    assert response.get("X-Mine").startswith("7 of "), response.get("X-Mine")


def test_memory_stands_still(upstream, proxy):
    numbers = itertools.count()
    u = upstream()
    source = upstream(lambda connection, request: connection.send(response_bytes(body=configuration(u.url, next(numbers)))))
    p = proxy({}, start=False, plugins={"header": Plugin("header")}, static={
        "weir": {"workers": 2}, "log": {"level": "ERROR"},
        "providers": {"file": None, "providersThrottleDuration": "1ms", "http": {"endpoint": source.url, "pollInterval": "1ms"}}})
    p.wait_version = lambda version=None: None
    p.start()
    wait_until(lambda: p.fetch(host="h7.test").status == 200, p.log, 60)
    memory, handles, reloads = [], [], 0

    def reached(goal):
        nonlocal reloads
        reloads = p.scrape().value("weir_config_reloads_total")
        return reloads >= goal

    with Innocents(p.port, check, 2, host="h7.test"):
        # A tenth is for what grows once: pools, the allocator's arenas, one of each configuration.
        for sample in range(SAMPLES + 1):
            goal = RELOADS * (0.1 + 0.9 * sample / SAMPLES)
            wait_until(lambda goal=goal: reached(goal), lambda: f"{reloads} reloads\n{p.log()[-2000:]}", 600, 0.05)
            memory.append(process.pss_bytes(p.pid))
            handles.append(process.descriptors(p.pid))
    m = p.scrape()
    print(f"{reloads:.0f} reloads, {m.value('weir_plugin_created_total', plugin='header'):.0f} instances made, PSS "
          f"{memory[0] / MIB:.1f} to {memory[-1] / MIB:.1f} MiB, slope {slope(memory) / MIB:.2f} MiB, descriptors {handles[0]} to {handles[-1]}; "
          f"KiB: {[value // 1024 for value in memory]}")
    assert abs(handles[-1] - handles[0]) <= 6, handles
    assert m.value("weir_config_generations_live") <= 3
    assert m.value("weir_plugin_configurations", plugin="header") <= ROUTERS + 3
    if memory_tells():
        assert slope(memory) <= 2 * MIB, [value // 1024 for value in memory]
