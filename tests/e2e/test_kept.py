"""A server that is killed while what it reads is broken: the last good configuration serves on, because the supervisor has it."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from harness.client import fetch
from harness.proxy import merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has no supervisor")

METRICS = {"entryPoints": {"metrics": {}}, "metrics": {"prometheus": {"entryPoint": "metrics"}}}
SERVES_ON = "The last good configuration serves on, which the supervisor has kept"


def metric(p, name):
    page = p.fetch(target="/metrics", entry_point="metrics").body.decode()
    return int(float(re.search(rf"^{name} (\S+)$", page, re.M)[1]))


def wait_kept(p, more_than=0):
    """The thread that keeps it is not waited for by anybody else."""
    wait_until(lambda: metric(p, "weir_kept_configuration_bytes") > more_than, "a configuration is kept", 30)
    return metric(p, "weir_kept_configuration_bytes")


def kill(p):
    victim = p.pid
    assert victim != p.process.pid
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{victim}").exists(), "the server is gone", 30)


def memory_files(p):
    """What the supervisor keeps."""
    found = [os.readlink(fd) for fd in Path(f"/proc/{p.process.pid}/fd").iterdir() if fd.is_symlink()]
    return [name for name in found if name.startswith("/memfd:weir-configuration")]


BROKEN = {"not YAML": "http: [\n", "an unknown option": "http:\n  routers:\n    r: {ruel: x}\n", "gone": None}


@pytest.mark.parametrize("watch", [True, False], ids=["watched", "not watched"])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file(upstream, proxy, broken, watch):
    """Twice in a row, and then the file is mended."""
    p = proxy(one_router(upstream().url), static=merge(METRICS, {"providers": {"file": {"filename": "dynamic.yml", "watch": watch}}}),
              check_output=False)
    wait_kept(p)
    if BROKEN[broken] is None:
        (p.directory / "dynamic.yml").unlink()
    else:
        p.write_dynamic(BROKEN[broken])
    for _ in range(2):
        kill(p)
        assert p.fetch().status == 200
        wait_kept(p)
    assert p.log().count(SERVES_ON) == 2
    assert memory_files(p) == ["/memfd:weir-configuration (deleted)"]
    p.write_dynamic(one_router(upstream(lambda c, r: c.send(response_bytes(202))).url))
    if not watch:
        os.kill(p.process.pid, signal.SIGHUP)
    wait_until(lambda: p.fetch().status == 202, "the mended file takes effect", 30)


def test_the_log_knows_what_serves(upstream, proxy):
    """The next broken file was logged as if nothing served: "for the first time"."""
    p = proxy(one_router(upstream().url), static=METRICS, check_output=False)
    wait_kept(p)
    p.write_dynamic(BROKEN["not YAML"])
    kill(p)
    assert p.fetch().status == 200
    p.write_dynamic("http:\n  routers:\n    r: {unheard: x}\n")
    lines = wait_until(lambda: [line for line in p.log().splitlines() if "unheard" in line], "the next file is read", 30)
    assert "the last good one stays" in lines[0], lines


def test_a_good_file_wins(upstream, proxy):
    """What was kept is older."""
    p = proxy(one_router(upstream().url), static=merge(METRICS, {"providers": {"file": {"filename": "dynamic.yml", "watch": False}}}),
              check_output=False)
    wait_kept(p)
    p.write_dynamic(one_router(upstream(lambda c, r: c.send(response_bytes(202))).url))
    kill(p)
    assert p.fetch().status == 202
    assert SERVES_ON not in p.log()


def test_only_the_newest_is_kept(upstream, proxy):
    p = proxy(one_router(upstream().url), static=METRICS, check_output=False)
    first = wait_kept(p)
    p.apply(merge(one_router(upstream().url), {"http": {"services": {f"s{i}": servers("http://127.0.0.1:1") for i in range(100)}}}))
    assert wait_kept(p, first) > first + 100 * 20
    p.apply(one_router(upstream(lambda c, r: c.send(response_bytes(203))).url))
    wait_until(lambda: metric(p, "weir_kept_configuration_bytes") < first + 100, "the newest one is kept", 30)
    p.write_dynamic("http: [\n")
    kill(p)
    assert p.fetch().status == 203
    assert len(memory_files(p)) == 1


@pytest.mark.parametrize("size, failures", [("100", 1), ("0", 0)], ids=["too long", "off"])
def test_not_kept(upstream, proxy, size, failures):
    p = proxy(one_router(upstream().url), static=merge(METRICS, {"weir": {"supervisor": {"keepConfiguration": size}}}), check_output=False)
    wait_until(lambda: metric(p, "weir_kept_configuration_failures_total") == failures, "it is not kept", 30)
    assert metric(p, "weir_kept_configuration_bytes") == 0 and not memory_files(p)
    assert ("longer than weir.supervisor.keepConfiguration" in p.log()) == (failures > 0)
    p.write_dynamic("http: [\n")
    kill(p)
    assert p.fetch().status == 404


def upgrade(p):
    server = p.pid
    os.kill(p.process.pid, signal.SIGUSR2)
    wait_until(lambda: not Path(f"/proc/{server}").exists(), lambda: f"the old server is gone\n{p.log()}", 60)


@pytest.mark.parametrize("restart", [kill, upgrade])
def test_a_source_that_is_gone(upstream, proxy, restart):
    """providers.http: nobody answers any more when the server is started again, or another one takes its place."""
    good, answers = upstream(), {"bad": False}
    body = json.dumps(one_router(good.url)).encode()
    source = upstream(lambda c, r: c.send(response_bytes(500 if answers["bad"] else 200, body=body)))
    p = proxy({}, start=False, static=merge(METRICS, {"providers": {"file": None, "http": {
        "endpoint": source.url, "pollInterval": "50ms", "pollTimeout": "5s"}}}), check_output=False)
    p.wait_version = lambda version=None: None
    p.start()
    wait_until(lambda: p.fetch().status == 200, "the answer is in effect", 30)
    wait_kept(p)
    answers["bad"] = True
    restart(p)
    assert p.fetch().status == 200
    p.wait_log(SERVES_ON)


def test_what_was_put(upstream, proxy):
    """providers.rest: nobody puts it again."""
    p = proxy({}, start=False, static=merge(METRICS, {"providers": {"file": None, "rest": {"insecure": True}}, "entryPoints": {"traefik": {}}}),
              check_output=False)
    p.wait_version = lambda version=None: None
    p.start()
    body = json.dumps(one_router(upstream().url)).encode()
    assert fetch(p.ports["traefik"], "PUT", "/api/providers/rest", body=body).status == 200
    wait_until(lambda: p.fetch().status == 200, "what was put is in effect", 30)
    wait_kept(p)
    kill(p)
    assert p.fetch().status == 200


def test_without_a_supervisor(upstream, proxy):
    p = proxy(one_router(upstream().url), static=merge(METRICS, {"weir": {"supervisor": {"enabled": False}}}))
    assert p.fetch().status == 200 and metric(p, "weir_kept_configuration_bytes") == 0
