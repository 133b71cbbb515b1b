"""Descriptors that plugins hold: per instance, and all of them together."""

import pytest

from harness.client import request_bytes
from harness.proxy import Plugin, merge, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has no limit on what plugins open")

EMFILE, ENFILE = 33, 41


@pytest.fixture
def mount(tmp_path):
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "file").write_text("content")
    return tmp_path / "mounted"


def behind(proxy, server, guest, mounts, plugins, config=None):
    return proxy(one_router(server.url, plugin={"guest": config or {}}), metrics=True,
                 plugins={"guest": Plugin(guest, {"mounts": [f"{m}:/m{n}" for n, m in enumerate(mounts)]})},
                 static={"weir": {"workers": 1, "plugins": merge({"defaults": {"instances": 8}}, plugins)}})


def hold(p, count):
    return [p.fetch(target="/hold/file").body.decode() for _ in range(count)]


def test_of_one_instance(upstream, proxy, mount):
    p = behind(proxy, upstream(), "wasi-probe", [mount], {"defaults": {"openFiles": 3, "idleTimeout": "60s"}})
    assert hold(p, 5) == ["hold errno=0"] * 3 + [f"hold errno={EMFILE}"] * 2
    m = p.scrape()
    assert (m.value("weir_plugin_open_files", plugin="guest"), m.value("weir_plugin_open_file_refusals_total", plugin="guest")) == (4, 2)
    assert (m.value("weir_plugins_open_files"), m.value("weir_plugins_open_file_refusals_total")) == (4, 0)
    assert 64 <= m.value("weir_plugins_open_files_max") <= m.value("process_max_fds") / 4


def test_of_all(upstream, proxy, mount):
    p = behind(proxy, upstream(), "wasi-probe", [mount, mount], {"openFiles": 4, "defaults": {"idleTimeout": "60s"}})
    assert hold(p, 4) == ["hold errno=0"] * 2 + [f"hold errno={ENFILE}"] * 2
    m = p.scrape()
    assert (m.value("weir_plugins_open_files"), m.value("weir_plugins_open_files_max")) == (4, 4)
    assert m.value("weir_plugins_open_file_refusals_total") == m.value("weir_plugin_open_file_refusals_total", plugin="guest") == 2


def test_reset_gives_them_back(upstream, proxy, mount):
    p = behind(proxy, upstream(), "wasi-probe", [mount], {"openFiles": 2, "defaults": {"isolation": "reset"}})
    assert hold(p, 20) == ["hold errno=0"] * 20
    wait_until(lambda: p.scrape().value("weir_plugins_open_files") == 1, "only the mount is open")


def test_at_the_start(upstream, proxy, mount):
    """The plugin's routers are disabled, and the log says why."""
    p = behind(proxy, upstream(), "wasi-probe", [mount, mount], {"openFiles": 1})
    assert p.fetch(target="/preopens").status == 404
    p.wait_log("no descriptor is left for it: all plugins together may hold 1 (openFiles)")


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_further_instance(upstream, proxy, mount, policy):
    """Each instance opens its mount; the second one, needed while a request holds the first, has no descriptor left."""
    held = []

    def answer(connection, request):
        if request.target == "/held":
            held.append(request)
            wait_until(lambda: "go" in held, "the others are served", 60)
        connection.send(response_bytes(body=b"ok"))

    p = behind(proxy, upstream(answer), "fail", [mount], {"openFiles": 1, "defaults": {"init": "own", "failure": policy}},
               config={"features": 3})
    with p.connect() as client:
        client.send(request_bytes(target="/held"))
        wait_until(lambda: held, "the first request is with the upstream")
        statuses = [p.fetch(target="/free").status for _ in range(3)]
        held.append("go")
        assert client.response().status == 200
    assert statuses == [200 if policy == "open" else 500] * 3
    p.wait_log("cause=start", f"mounts: {mount}: no descriptor is left for it")
    m = p.scrape()
    assert m.value("weir_plugin_failures_total", plugin="guest", cause="start") == 3
    assert m.value("weir_plugin_passed_total", plugin="guest") == (3 if policy == "open" else 0)
    assert p.fetch(target="/free").status == 200
