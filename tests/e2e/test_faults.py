"""A system that has run out of something: descriptors, disk, directories."""

import contextlib
import re
import resource
import threading
import time
from pathlib import Path

import pytest

from harness import network, process
from harness.client import Client, request_bytes
from harness.load import together
from harness.message import Closed
from harness.proxy import Plugin, merge, one_router, sanitized, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik fails in other ways")

DESCRIPTORS = 64
QUICK = {"weir": {"workers": 1}, "serversTransport": {"forwardingTimeouts": {"idleConnTimeout": "300ms"}}}


def status(p, **request):
    try:
        return p.fetch(timeout_s=20, **request).status
    except (Closed, ConnectionError):
        return None


def scarce(upstream, proxy, answer=None, **options):
    server = upstream(answer) if answer else upstream()
    return proxy(one_router(server.url), limits={resource.RLIMIT_NOFILE: DESCRIPTORS}, static=QUICK, **options), server


class Hog:
    """Takes all the descriptors that the proxy has left for clients."""

    def __init__(self, p, count=DESCRIPTORS):
        self.clients = []
        for _ in range(count):
            client = Client(p.port, timeout_s=10)
            client.send(b"GET / HTTP/1.1\r\nX: ")
            self.clients.append(client)
        wait_until(lambda: p.descriptors >= DESCRIPTORS, f"all descriptors are in use, {p.descriptors}")

    def leave(self):
        for client in self.clients:
            client.close()


def test_no_descriptor_for_anybody(upstream, proxy):
    """Clients wait in the backlog, without the proxy spinning, and are served when there is room again."""
    p, _ = scarce(upstream, proxy, metrics=True)
    with p.flat():
        hog = Hog(p)
        waiting = Client(p.port, timeout_s=30)
        waiting.send(request_bytes())
        before, began = process.cpu_seconds(p.pid), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 1, "a second is over")
        assert process.cpu_seconds(p.pid) - before < 0.5, "the proxy spins"
        assert p.log().count("Clients wait or are turned away: no connection can be accepted") == 1, "said once in ten seconds, not at each try"
        hog.leave()
        assert waiting.response().status == 200
        waiting.close()
    assert p.scrape().value("weir_entrypoint_accept_exhausted_total", entrypoint="web") > 0


def test_no_descriptor_for_the_upstream(upstream, proxy):
    """As many requests at once as there are descriptors: some get an error, none hangs, and all is well afterwards."""
    release = threading.Event()

    def answer(connection, request):
        if request.target == "/held":
            assert release.wait(60)
        connection.send(response_bytes(body=b"ok"))

    p, server = scarce(upstream, proxy, answer)
    with p.flat():
        clients = [Client(p.port, timeout_s=60) for _ in range(DESCRIPTORS)]
        for client in clients:
            client.send(request_bytes(target="/held"))
        wait_until(lambda: p.descriptors >= DESCRIPTORS - 1, "descriptors run out")
        release.set()
        seen = []
        for client in clients:
            try:
                seen.append(client.response().status)
            except (Closed, ConnectionError):
                seen.append(None)
            client.close()
        assert set(seen) <= {200, 502, 503, None} and 200 in seen, seen
    assert set(together(4, lambda i: status(p))) == {200}


def test_load_beyond_the_descriptors(upstream, proxy):
    p, _ = scarce(upstream, proxy)
    with p.flat():
        seen = together(40, lambda i: [status(p) for _ in range(5)])
        assert {s for statuses in seen for s in statuses} <= {200, 502, 503, None}
    assert [status(p) for _ in range(20)] == [200] * 20


def test_no_descriptor_for_the_configuration(upstream, proxy):
    """What could not be read is read when it can be, without the file being touched again."""
    p, server = scarce(upstream, proxy)
    hog = Hog(p)
    p.write_dynamic(merge(one_router(server.url), {"http": {"routers": {"r": {"rule": "Host(`new.example`)"}}}}))
    p.wait_log("dynamic.yml")
    hog.leave()
    wait_until(lambda: status(p, host="new.example") == 200 and status(p, host="old.example") == 404,
               lambda: f"the new configuration comes\n{p.log()}", 20)


# --- ports

@pytest.mark.skipif(network.why_not() is not None, reason=str(network.why_not()))
def test_no_local_port_for_the_upstream(upstream, proxy):
    """Four ports for connections to servers: requests beyond fail at once, the log says why, and those that are served later
    are served."""
    release, held = threading.Event(), []

    def answer(connection, request):
        if request.target == "/held":
            held.append(connection)
            assert release.wait(60)
        connection.send(response_bytes(body=b"ok"))

    with contextlib.closing(network.Link("ports")) as link:
        with link.near:
            server = upstream(answer)
        p = proxy(one_router(server.url), static=QUICK, namespace=link.near)
        link.near.set("ipv4/ip_local_port_range", "40000 40003")
        with link.far, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(p.port, host=link.near_address, timeout_s=60)) for _ in range(12)]
            for client in clients[:4]:
                client.send(request_bytes(target="/held"))
            wait_until(lambda: len(held) == 4, "all ports are in use", 60)
            before, began = process.cpu_seconds(p.pid), time.monotonic()
            assert [client.exchange().status for client in clients[4:]] == [502] * 8
            wait_until(lambda: time.monotonic() - began > 1, "a second is over")
            assert process.cpu_seconds(p.pid) - before < 0.5, "the proxy spins"
            release.set()
            assert [client.response().status for client in clients[:4]] == [200] * 4
            assert clients[4].exchange().status == 200
        lines = [line for line in p.log().splitlines() if "No connection to a server can be opened" in line]
        assert len(lines) == 1 and "Cannot assign requested address" in lines[0], lines
        p.stop()  # before its network goes


# --- addresses

@pytest.mark.skipif(sanitized(), reason="a sanitizer cannot do without memory")
def test_no_memory_of_the_system(upstream, proxy):
    """The process may have 8 MiB more than it has: some get an error, it lives on, and all is well when there is more again."""
    release = threading.Event()

    def serve(connection):
        connection.record(connection.read_head())
        assert release.wait(60)

    server = upstream(serve=serve)
    quick = upstream()
    p = proxy(merge(one_router(server.url), {"http": {"routers": {"q": {"rule": "Host(`quick`)", "service": "q", "priority": 1000}}, "services": {"q": servers(quick.url)}}}),
              static={"weir": {"workers": 1}})
    size = int(re.search(r"VmSize:\s+(\d+) kB", Path(f"/proc/{p.pid}/status").read_text())[1]) << 10
    resource.prlimit(p.pid, resource.RLIMIT_AS, (size + (8 << 20), resource.RLIM_INFINITY))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(p.connect(timeout_s=60))
            client.sock.setblocking(False)
            try:
                client.send(request_bytes("POST", "/", body=bytes(1 << 20)))
            except OSError:
                pass
        seen = [status(p, host="quick") for _ in range(20)]
        assert set(seen) <= {200, 500, 502, 503, None}, seen
        release.set()
    resource.prlimit(p.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "Memory for buffers is short" in p.log() or "no connection can be accepted" in p.log()
    wait_until(lambda: status(p, host="quick") == 200, "there is memory again", 60)
    assert [status(p, host="quick") for _ in range(20)] == [200] * 20


# --- spooled bodies

BIG = bytes(range(256)) * (6 << 12)  # 6 MiB


def collecting(upstream, proxy, **options):
    """A plugin that wants the whole body, and gives it on."""
    server = upstream(lambda c, r: c.send(response_bytes(body=b"%d" % len(r.body))))
    return proxy(one_router(server.url, plugin={"body": {"features": 3, "request": "all", "response": "all"}}),
                 plugins={"body": Plugin("body")}, static=QUICK, **options)


def post(p, body):
    """The status, or None when the connection was closed; a good answer is to the whole body."""
    try:
        with p.connect(timeout_s=30) as client:
            try:
                client.send(request_bytes("POST", "/", body=body))
            except OSError:
                pass
            response = client.response()
    except (Closed, ConnectionError):
        return None
    assert response.status != 200 or response.body == b"%d" % len(body)
    return response.status


@pytest.mark.parametrize("directory", ["/nonexistent", "/proc", "/dev/null"])
def test_no_directory_for_bodies(upstream, proxy, directory):
    p = collecting(upstream, proxy, environment={"TMPDIR": directory})
    with p.flat(memory_bytes=24 << 20):
        for _ in range(5):
            assert post(p, BIG) in (413, 500, 502, 503, 507, None)
            assert post(p, b"small") == 200


def test_full_disk_under_bodies(upstream, proxy):
    """A file may not grow beyond 1 MiB: what a full disk is to a writer."""
    p = collecting(upstream, proxy, limits={resource.RLIMIT_FSIZE: 1 << 20})
    with p.flat(memory_bytes=24 << 20):
        assert post(p, BIG[:900000]) == 200
        for _ in range(5):
            assert post(p, BIG) in (413, 500, 502, 503, 507, None)
            assert post(p, b"small") == 200


def test_directory_for_bodies_is_left_clean(upstream, proxy, tmp_path):
    p = collecting(upstream, proxy, environment={"TMPDIR": str(tmp_path / "spool")})
    (tmp_path / "spool").mkdir()
    assert post(p, BIG) == 200
    for client in [p.connect() for _ in range(3)]:
        client.send(request_bytes("POST", "/", body=BIG)[:3 << 20])
        client.reset()
    wait_until(lambda: p.descriptors < 60, "the files are closed")
    assert list((tmp_path / "spool").iterdir()) == []
