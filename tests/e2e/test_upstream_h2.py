"""Servers with https that choose HTTP/2. The server is another proxy of the same kind, before one with HTTP/1.1."""

import os

import pytest

from harness.certificates import Authority
from harness.load import together
from harness.proxy import ON_TRAEFIK, merge, one_router, servers
from harness.tls import server_context
from harness.upstream import response_bytes
from harness.waiting import wait_until
from harness.websocket import BINARY, echo, open_websocket

ONE_WORKER = {} if ON_TRAEFIK else {"weir": {"workers": 1}}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(ca):
    return ca.issue("server", "DNS:localhost", "IP:127.0.0.1")


def site(port, ca, **transport):
    service = servers(f"https://127.0.0.1:{port}")
    service["loadBalancer"]["serversTransport"] = "t"
    return {"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": service},
                     "serversTransports": {"t": {"rootCAs": [str(ca.file)]} | transport}}}


def behind_tls(url, pair):
    """What the proxy that plays the server is told."""
    dynamic = one_router(url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    return dynamic | {"tls": {"certificates": [pair]}}


def counted(p, name):
    return 0 if ON_TRAEFIK else p.scrape().value(f"weir_upstream_{name}", 0)


def test_what_is_offered(upstream, proxy, ca, good):
    chosen = []

    def serve(connection):
        chosen.append(connection.sock.selected_alpn_protocol())

    context = server_context(good)
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = upstream(serve=serve, tls=context)
    off = merge(servers(server.url), {"loadBalancer": {"serversTransport": "off"}})
    p = proxy(merge(site(server.port, ca), {"http": {"routers": {"off": {"rule": "Host(`off.example`)", "service": "off"}}, "services": {"off": off},
                                                     "serversTransports": {"off": {"rootCAs": [str(ca.file)], "disableHTTP2": True}}}}))
    # None of them is sent twice.
    assert p.fetch("POST", body=b"x").status == 502
    assert p.fetch("POST", body=b"x", headers=[("Connection", "Upgrade"), ("Upgrade", "websocket")]).status == 502
    assert p.fetch("POST", body=b"x", host="off.example").status == 502
    wait_until(lambda: chosen[-3:] == ["h2", None, None], lambda: f"{chosen}")


@pytest.mark.parametrize("disabled", [False, True])
def test_bodies_and_fields(upstream, proxy, ca, good, disabled):
    def answer(connection, request):
        pieces = [request.body[i:i + 50000] for i in range(0, len(request.body), 50000)]
        connection.send(response_bytes(chunks=pieces, headers=[("Trailer", "X-Sum"), ("X-Method", request.method), ("Set-Cookie", "a=1"),
                                                               ("Set-Cookie", "b=2")], trailers=[("X-Sum", str(len(request.body)))]))

    server = upstream(answer)
    backend = proxy(behind_tls(server.url, good.pair))
    p = proxy(site(backend.port, ca, disableHTTP2=disabled), metrics=True)
    for size in (0, 1, 16384, 3 << 20):
        body = os.urandom(size)
        response = p.fetch("POST", "/a%20b?c=d", body=body, headers=[("Cookie", "a=1; b=2"), ("X-Some-Name", "v")])
        assert (response.status, response.body) == (200, body)
        assert response.get("X-Method") == "POST"
        assert [value for name, value in response.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
        assert ("X-Sum", str(size)) in response.trailers
    assert server.last.start_line == "POST /a%20b?c=d HTTP/1.1"
    assert server.last.get("Cookie") == "a=1; b=2" and server.last.get("X-Some-Name") == "v"
    assert server.last.get("Host") == "test.example"
    if not ON_TRAEFIK:
        assert (counted(p, "h2_connections_total") == 0) == disabled
        wait_until(lambda: counted(p, "idle") == counted(p, "open"), lambda: "all are idle")


def test_many_calls_share_a_connection(upstream, proxy, ca, good):
    backend = proxy(behind_tls(upstream().url, good.pair), static=ONE_WORKER)
    p = proxy(site(backend.port, ca), static=ONE_WORKER, metrics=True)

    def some(_):
        with p.connect() as client:
            for _ in range(25):
                assert client.exchange().body == b"ok"

    together(16, some)
    if not ON_TRAEFIK:
        # The scrape's own connection is to the proxy, none of its upstreams.
        assert (counted(p, "h2_connections_total"), counted(p, "connections_total"), counted(p, "waiting")) == (1, 1, 0)
        wait_until(lambda: counted(p, "idle") == 1, lambda: "the connection is idle")


@pytest.mark.differs("keepAliveMaxRequests ends connections of HTTP/2 without a warning")
def test_a_server_that_leaves_often_loses_no_call(upstream, proxy, ca, good):
    static = merge(ONE_WORKER, {"entryPoints": {"web": {"transport": {"keepAliveMaxRequests": 7}}}})
    backend = proxy(behind_tls(upstream().url, good.pair), static=static)
    p = proxy(site(backend.port, ca), static=ONE_WORKER, metrics=True)

    def some(_):
        with p.connect() as client:
            for _ in range(40):
                assert client.exchange("POST", body=b"x" * 100).status == 200

    together(8, some)
    assert counted(p, "h2_goaways_total") >= 8 * 40 / 300
    assert counted(p, "bad_responses_total") == 0


def test_a_server_that_is_restarted(upstream, proxy, ca, good):
    """It may come back with another choice."""
    dynamic = behind_tls(upstream().url, good.pair)
    backend = proxy(dynamic)
    p = proxy(site(backend.port, ca), static=ONE_WORKER)
    assert p.fetch().status == 200
    for protocols in (["http/1.1"], ["h2", "http/1.1"]):
        backend.stop()
        backend.write_dynamic(merge(dynamic, {"tls": {"options": {"default": {"alpnProtocols": protocols}}}}))
        backend.spawn()
        backend.wait_listening()
        wait_until(lambda: p.fetch().status == 200, lambda: "the server is back")
        for _ in range(3):
            assert p.fetch().status == 200


def test_websocket(upstream, proxy, ca, good):
    """Beside calls in HTTP/2, by HTTP/1.1."""
    backend = proxy(behind_tls(upstream(serve=echo).url, good.pair))
    p = proxy(site(backend.port, ca))
    with p.connect() as client:
        socket = open_websocket(client)
        for size in (0, 1, 100000):
            data = os.urandom(size)
            socket.send(data, BINARY)
            assert socket.receive() == (BINARY, data)


@pytest.mark.differs("keeps HTTP/2 connections without a limit")
def test_idle_connections_have_a_limit(upstream, proxy, ca, good):
    """One of the process: of many servers some connections are closed, each with a goodbye."""
    dynamic = behind_tls(upstream().url, good.pair)
    names = [f"h{i}.example" for i in range(4)]
    backend = proxy(dynamic)
    http = {"routers": {}, "services": {}, "serversTransports": {}}
    for i, name in enumerate(names):
        http["routers"][name] = {"rule": f"Host(`{name}`)", "service": f"s{i}"}
        http["services"][f"s{i}"] = merge(servers(f"https://127.0.0.1:{backend.port}"), {"loadBalancer": {"serversTransport": f"t{i}"}})
        http["serversTransports"][f"t{i}"] = {"rootCAs": [str(ca.file)], "serverName": "localhost", "maxIdleConnsPerHost": i + 1}
    p = proxy({"http": http}, static={"weir": {"workers": 1, "limits": {"idleUpstreamConnections": 2}}}, metrics=True)
    for name in names:
        assert p.fetch(host=name).status == 200
    wait_until(lambda: (counted(p, "idle"), counted(p, "open"), counted(p, "idle_refused_total")) == (2, 2, 2),
               lambda: f"{counted(p, 'idle')} of {counted(p, 'open')}")
