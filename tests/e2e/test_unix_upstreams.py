"""Servers that are reached by Unix sockets."""

import contextlib
import errno
import os
import socket

import pytest

from harness import h2
from harness.message import Reader
from harness.proxy import ON_TRAEFIK, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="weir's own")


def two(*urls):
    return {"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": servers(*urls)}}}


def test_requests_and_kept_connections(upstream, proxy, tmp_path):
    server = upstream(unix=tmp_path / "app.sock")
    p = proxy(one_router(server.url), metrics=True)
    body = os.urandom(3 << 20)
    with p.connect() as client:
        for _ in range(3):
            assert client.exchange(host="a.example:81").body == b"ok"
        assert client.exchange("POST", body=body).status == 200
    assert [dict(r.headers)["Host"] for r in server.requests][:3] == ["a.example:81"] * 3
    assert server.requests[3].body == body
    assert server.accepted == p.scrape().value("weir_upstream_connections_total") == 1


def test_http2(upstream, proxy, tmp_path):
    def serve(connection):
        connection.reader.exactly(len(h2.PREFACE))
        kind = flags = None
        while kind != h2.HEADERS or not flags & h2.END_STREAM:
            kind, flags, _, _ = h2.read_frame(connection.reader)
        connection.send(h2.frame(h2.SETTINGS) + h2.frame(h2.SETTINGS, h2.ACK) + h2.response(200, [("x-a", "b")], [b"hello"], []))
        connection.peer_closed(60)

    upstream(unix=tmp_path / "app.sock", serve=serve)
    response = proxy(one_router(f"unix+h2c://{tmp_path}/app.sock")).fetch()
    assert (response.status, response.body) == (200, b"hello")


def test_host_without_pass_host_header(upstream, proxy, tmp_path):
    server = upstream(unix=tmp_path / "app.sock")
    configuration = one_router(server.url)
    configuration["http"]["services"]["s"]["loadBalancer"]["passHostHeader"] = False
    assert proxy(configuration).fetch(host="a.example").status == 200
    assert dict(server.requests[0].headers)["Host"] == "localhost"


def test_socket_that_comes_and_goes(upstream, proxy, tmp_path):
    """Nobody listens, the file is not there, a file is left over: 502 each; then the server is found without a reload."""
    path = tmp_path / "app.sock"
    p = proxy(one_router(f"unix://{path}"))
    assert p.fetch().status == 502
    first = upstream(unix=path)
    assert p.fetch().status == 200
    first.stop()
    wait_until(lambda: p.fetch().status == 502, "the server has gone", 30)
    path.unlink()
    assert p.fetch().status == 502
    upstream(unix=path)
    assert p.fetch().status == 200


def test_missing_socket_is_left_out(upstream, proxy, tmp_path):
    p = proxy(two(upstream(unix=tmp_path / "app.sock").url, f"unix://{tmp_path}/none.sock"), metrics=True)
    statuses = [p.fetch().status for _ in range(20)]
    metrics = p.scrape()
    holds, passed_over = (metrics.value(f"weir_upstream_{name}_total") for name in ("holds", "passed_over"))
    assert statuses.count(502) == holds >= 1 and holds + passed_over == 10


@contextlib.contextmanager
def full_queue(path):
    """A server that accepts nothing, and others who wait for it."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
        server.listen(1)
        server.settimeout(30)
        waiting = 0
        while True:
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            if other.connect_ex(str(path)) == errno.EAGAIN:
                break
            waiting += 1
        yield server, waiting


def test_server_that_accepts_late(proxy, tmp_path):
    p = proxy(one_router(f"unix://{tmp_path}/app.sock"), metrics=True)
    with full_queue(tmp_path / "app.sock") as (server, waiting), p.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: p.scrape().value("weir_upstream_calls_total") == 1, "it is asked for")
        for _ in range(waiting):
            server.accept()[0].close()
        sock, _ = server.accept()
        with contextlib.closing(sock):
            assert Reader(sock).head().start_line == "GET / HTTP/1.1"
            sock.sendall(response_bytes(body=b"late"))
            assert client.response().body == b"late"


def test_server_that_accepts_too_late(proxy, tmp_path):
    configuration = one_router(f"unix://{tmp_path}/app.sock")
    configuration["http"]["services"]["s"]["loadBalancer"]["serversTransport"] = "t"
    configuration["http"]["serversTransports"] = {"t": {"forwardingTimeouts": {"dialTimeout": "300ms"}}}
    p = proxy(configuration, metrics=True)
    with full_queue(tmp_path / "app.sock"):
        assert p.fetch().status == 504
    metrics = p.scrape()
    assert metrics.value("weir_upstream_connect_failures_total") == metrics.value("weir_upstream_timeouts_total") == 1


@pytest.mark.parametrize("url", ["unix://", "unix://relative", "unix:///" + "x" * 107])
def test_paths_that_cannot_be(upstream, proxy, url):
    p = proxy(one_router(url))
    assert p.fetch().status == 404
    p.wait_log("expected unix:///path of a socket, of at most 107 bytes")


def test_longest_path(upstream, proxy, tmp_path):
    path = f"{tmp_path}/" + "x" * (107 - len(f"{tmp_path}/"))
    assert proxy(one_router(upstream(unix=path).url)).fetch().status == 200
