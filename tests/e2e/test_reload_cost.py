"""What a reload costs which thread: the control thread, which signals and providers wait for, does nothing that takes as long as there are routers."""

import json
from pathlib import Path

import pytest

from harness import process
from harness.client import fetch
from harness.proxy import servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik's threads are all alike")

ROUTERS = 3000
RELOADS = 8


def many(url, version):
    """The last router is new in each version."""
    routers = {f"r{i}": {"rule": f"Host(`h{i}.test`) && PathPrefix(`/x`)", "service": f"s{i % 100}"} for i in range(ROUTERS)}
    routers["last"] = {"rule": f"Host(`v{version}.test`)", "service": "s0"}
    return {"http": {"routers": routers, "services": {f"s{i}": servers(url) for i in range(100)}}}


def control_cpu_s(pid):
    """The first thread of the process."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


class Source:
    def __init__(self):
        self.body = b"{}"

    def __call__(self, connection, request):
        connection.send(response_bytes(body=self.body))


@pytest.fixture(params=["file", "http", "rest"])
def changing(request, upstream, proxy):
    """Returns a proxy and a function that gives it one more configuration."""
    source, options = Source(), {"providersThrottleDuration": "1ms"}
    if request.param == "http":
        options["http"] = {"endpoint": upstream(source).url, "pollInterval": "50ms"}
    elif request.param == "rest":
        options["rest"] = {"insecure": True}
    p = proxy({}, metrics=True, static={"providers": options, "api": {"insecure": True, "dashboard": False}, "weir": {"workers": 1}})

    def change(configuration):
        if request.param == "http":
            source.body = json.dumps(configuration).encode()
        elif request.param == "rest":
            assert fetch(p.ports["traefik"], "PUT", "/api/providers/rest", body=json.dumps(configuration).encode()).status == 200
        else:
            p.write_dynamic(configuration)

    return p, change


def test_the_control_thread_has_little_to_do(changing, upstream):
    """Of the CPU time of all threads it has less than a tenth: reading, parsing, merging, building and freeing are done elsewhere."""
    p, change = changing
    url = upstream().url

    def apply(version):
        change(many(url, version))
        wait_until(lambda: fetch(p.port, host=f"v{version}.test").status == 200, lambda: f"version {version}\n{p.log()[-3000:]}", 60)

    apply(0)
    before = process.cpu_seconds(p.pid), control_cpu_s(p.pid)
    for version in range(1, 1 + RELOADS):
        apply(version)
    wait_until(lambda: p.scrape().value("weir_config_generations_live") == 1, "old ones are gone", 60)
    spent, control = process.cpu_seconds(p.pid) - before[0], control_cpu_s(p.pid) - before[1]
    assert control < spent / 10, f"{control:.4f} s of {spent:.4f} s"
