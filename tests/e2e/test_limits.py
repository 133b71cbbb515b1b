"""Each limit of weir's own, reached: it holds, and what is inside it goes on."""

import threading

import pytest

from harness.client import Client, request_bytes
from harness.load import together
from harness.message import Closed, head
from harness.proxy import Plugin, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has no such limits")


def limited(proxy, server, plugin=None, plugins=None, defaults=None, **limits):
    weir = {"workers": 1}
    if limits:
        weir["limits"] = limits
    if defaults is not None:
        weir["plugins"] = {"defaults": defaults}
    return proxy(one_router(server.url, plugin=plugin), plugins=plugins, static={"weir": weir})


def test_connections_per_worker(upstream, proxy):
    p = limited(proxy, upstream(), connectionsPerWorker=10)
    with p.connect() as first:
        assert first.exchange().status == 200
        others = [Client(p.port) for _ in range(40)]
        assert first.exchange().status == 200
        wait_until(lambda: p.descriptors < 60, "the connections above the limit are not held")
        for client in others:
            client.close()
    wait_until(lambda: _status(p) == 200, "a new connection is served again")


def test_connections_per_worker_are_those_of_all_entry_points(upstream, proxy):
    p = proxy(one_router(upstream().url), static={"entryPoints": {"web": {}, "other": {}},
                                                  "weir": {"workers": 1, "limits": {"connectionsPerWorker": 10}}})
    with p.connect() as first:
        assert first.exchange().status == 200
        before = p.descriptors
        clients = [Client(p.ports[name]) for name in ("web", "other") for _ in range(9)]
        for client in clients[:9]:
            assert client.exchange().status == 200
        clients[9].send(request_bytes())
        clients[10].send(request_bytes())
        assert first.exchange().status == 200
        assert p.descriptors <= before + 12
        for client in clients[:9]:
            client.close()
        assert clients[10].response().status == 200
        for client in clients[9:]:
            client.close()
    wait_until(lambda: _status(p) == 200, "a new connection is served again")


def test_idle_upstream_connections(upstream, proxy):
    """Five servers, each with a connection that could be kept: two may."""
    servers_ = [upstream() for _ in range(5)]
    dynamic = {"http": {"routers": {}, "services": {}}}
    for n, server in enumerate(servers_):
        dynamic["http"]["routers"][f"r{n}"] = {"rule": f"Path(`/{n}`)", "service": f"s{n}"}
        dynamic["http"]["services"][f"s{n}"] = servers(server.url)
    p = proxy(dynamic, static={"weir": {"workers": 1, "limits": {"idleUpstreamConnections": 2}}})
    with p.connect() as client:
        for _ in range(3):
            for n in range(5):
                assert client.exchange(target=f"/{n}").status == 200
    assert sorted(server.accepted for server in servers_) == [1, 1, 3, 3, 3]


def _status(p):
    try:
        return p.fetch(timeout_s=5).status
    except (Closed, OSError):
        return None


def test_header_fields(upstream, proxy):
    p = limited(proxy, upstream(), headerFields=50)
    assert p.fetch(headers=[(f"X{i}", "") for i in range(40)]).status == 200
    assert p.fetch(headers=[(f"X{i}", "") for i in range(60)]).status == 431


def test_request_target(upstream, proxy):
    p = limited(proxy, upstream(), requestTarget="4KiB")
    assert p.fetch(target="/" + "x" * 4000).status == 200
    assert p.fetch(target="/" + "x" * 5000).status == 414


def test_response_head(upstream, proxy):
    server = upstream(lambda c, r: c.send(response_bytes(headers=[("X-Big", "x" * int(r.target[1:]))], body=b"ok")))
    p = limited(proxy, server, responseHead="8KiB")
    assert p.fetch(target="/7000").status == 200
    assert p.fetch(target="/9000").status == 502


def test_stall_timeout(upstream, proxy):
    """A client that takes no bytes is let go."""
    gone = threading.Event()

    def answer(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(1 << 40))]))
        try:
            while True:
                connection.send(b"x" * 65536)
        except OSError:
            gone.set()

    p = limited(proxy, upstream(answer), stallTimeout="500ms")
    with p.connect(receive_buffer=65536) as client:
        client.send(request_bytes())
        assert gone.wait(20), "the stalled client is still served"


def test_upstream_connections(upstream, proxy):
    """Never more at once than allowed; the requests above the limit wait or are refused, and none is garbled."""
    lock, now, most = threading.Lock(), 0, 0

    def answer(connection, request):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        connection.send(response_bytes(body=request.target.encode()))
        with lock:
            now -= 1

    server = upstream(answer)
    p = limited(proxy, server, upstreamConnections=4)

    def work(i):
        with p.connect() as client:
            for j in range(10):
                response = client.exchange(target=f"/{i}-{j}")
                assert response.status in (200, 502, 503)
                if response.status == 200:
                    assert response.body == f"/{i}-{j}".encode()

    together(20, work)
    assert most <= 4
    assert server.open_connections <= 4


def test_plugin_body_buffer(upstream, proxy):
    """A guest that collects more than it may fails, whatever the body's framing."""
    p = limited(proxy, upstream(), plugin={"body": {"request": "collect", "features": 1}}, plugins={"body": Plugin("body")},
                defaults={"bodyBuffer": "64KiB"})
    assert p.fetch("POST", body=b"x" * 1000).status == 200
    for options in ({"body": b"x" * 200000}, {"chunks": [b"x" * 50000] * 4}):
        try:
            assert p.fetch("POST", **options).status in (413, 500)
        except (Closed, OSError):
            pass  # refused while we still sent
    assert p.fetch("POST", body=b"x" * 1000).status == 200


def pinned(upstream, proxy, **defaults):
    """A guest that is held during the upstream exchange, and an upstream that answers when released."""
    release = threading.Event()

    def answer(connection, request):
        assert release.wait(30)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(answer)
    p = limited(proxy, server, plugin={"ctx": {}}, plugins={"ctx": Plugin("ctx")}, defaults=defaults)
    return p, server, release


def test_plugin_instances(upstream, proxy):
    p, server, release = pinned(upstream, proxy, instances=2, queue=1, queueTimeout="100ms")
    clients = [p.connect() for _ in range(2)]
    for client in clients:
        client.send(request_bytes())
    server.wait_requests(2)
    response = p.fetch()
    assert response.status == 503
    assert response.get("Retry-After") is not None
    release.set()
    for client in clients:
        assert client.response().body == b"ok"
    assert p.fetch().status == 200


def test_plugin_queue(upstream, proxy):
    """Requests above the number of instances wait their turn."""
    p, server, release = pinned(upstream, proxy, instances=1, queue=100, queueTimeout="20s")
    clients = [p.connect() for _ in range(10)]
    for client in clients:
        client.send(request_bytes())
    server.wait_requests(1)
    release.set()
    assert [client.response().body for client in clients] == [b"ok"] * 10


def test_plugin_queue_timeout(upstream, proxy):
    p, server, release = pinned(upstream, proxy, instances=1, queue=100, queueTimeout="200ms")
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests(1)
        assert p.fetch().status == 503
        release.set()
        assert client.response().body == b"ok"


def test_waiting_client_that_goes_away(upstream, proxy):
    """Its place in the queue is given back."""
    p, server, release = pinned(upstream, proxy, instances=1, queue=2, queueTimeout="20s")
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests(1)
        for _ in range(5):
            for leaver in [p.connect() for _ in range(2)]:
                leaver.send(request_bytes())
                leaver.reset()
        release.set()
        assert client.response().body == b"ok"
    wait_until(lambda: _status(p) == 200, "the queue is free again")


def test_plugin_log_lines(upstream, proxy):
    p = limited(proxy, upstream(), plugin={"logger": {}}, plugins={"logger": Plugin("logger")}, defaults={"logLines": 2})
    assert p.fetch().status == 200
    p.wait_log("lines of the plugin were left out")
    log = p.log()
    assert log.count("guest says level") <= 2 * 3, "two for the start and two for each phase"


def test_limits_of_one_plugin(upstream, proxy):
    """perPlugin overrides defaults for one alias only."""
    http = one_router(upstream().url, rule="Host(`small.example`)", plugin={"small": {"request": "collect", "features": 1}})["http"]
    http["middlewares"]["l"] = {"plugin": {"large": {"request": "collect", "features": 1}}}
    http["routers"]["large"] = {"rule": "Host(`large.example`)", "service": "s", "middlewares": ["l"]}
    p = proxy({"http": http}, plugins={"small": Plugin("body"), "large": Plugin("body")},
              static={"weir": {"plugins": {"perPlugin": {"small": {"bodyBuffer": "1KiB"}}}}})
    assert p.fetch("POST", body=b"x" * 10000, host="large.example").status == 200
    assert p.fetch("POST", body=b"x" * 10000, host="small.example").status in (413, 500)


def test_plugin_memory(upstream, proxy):
    """A guest that needs more memory than it may have cannot even start."""
    p = limited(proxy, upstream(), plugin={"rewrite": {"from": "a", "to": "b"}}, plugins={"rewrite": Plugin("rewrite-buffered")},
                defaults={"memory": "1MiB"})
    assert p.fetch().status == 404
    p.wait_log("rewrite")
