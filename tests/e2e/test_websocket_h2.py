"""WebSockets over HTTP/2 (RFC 8441): extended CONNECT from the client, an upgrade of HTTP/1.1 towards the server."""

import contextlib
import os
import socket
import struct
import threading

import pytest

from harness.certificates import Authority
from harness.h2_stream import (DATA, ENABLE_CONNECT_PROTOCOL, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
                               H2Stream, dial, literal)
from harness.message import Closed, Reader
from harness.proxy import Plugin, one_router
from harness.tls import context, server_context
from harness.upstream import response_bytes
from harness.waiting import wait_until
from harness.websocket import BINARY, CLOSE, TEXT, WebSocket, echo, frame, switch_bytes

pytestmark = pytest.mark.differs("extended CONNECT is not offered")

VERSION = ("sec-websocket-version", "13")


@contextlib.contextmanager
def websocket(stream, *fields, **request):
    with contextlib.closing(stream.sock):
        assert stream.settings[ENABLE_CONNECT_PROTOCOL] == 1
        assert stream.connect(VERSION, *fields, **request) == 200
        yield WebSocket(stream, Reader(stream), is_client=True)


def exchange(talk):
    for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
        data = os.urandom(size)
        talk.send(data, BINARY)
        assert talk.receive() == (BINARY, data)
    talk.send("zażółć", TEXT)
    assert talk.receive() == (TEXT, "zażółć".encode())


def test_echo(upstream, proxy):
    server = upstream(serve=echo)
    p = proxy(one_router(server.url), metrics=True)
    with websocket(dial(p.port), ("origin", "http://test.example"), path="/chat?x=y") as talk:
        exchange(talk)
        assert p.scrape().value("weir_entrypoint_tunnels_open", entrypoint="web") == 1
        talk.send_close(1000)
        assert talk.receive()[0] == CLOSE
        # The server closes its connection, which ends the stream.
        with pytest.raises(Closed):
            talk.receive()
        talk.sock.end()
        wait_until(lambda: p.scrape().value("weir_entrypoint_tunnels_open", entrypoint="web") == 0, lambda: "the tunnel has ended")
    request = server.last
    assert request.start_line == "GET /chat?x=y HTTP/1.1"
    assert request.get("Host") == "test.example" and request.get("Origin") == "http://test.example"
    assert request.get("Upgrade") == "websocket" and request.get("Connection") == "Upgrade" and request.get("Sec-WebSocket-Version") == "13"
    assert p.scrape().value("traefik_entrypoint_requests_total", entrypoint="web", protocol="websocket", code="101", method="GET") == 1


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_with_tls_on_both_sides_and_a_plugin(upstream, proxy, ca):
    """A plugin that buffers responses lets it through."""
    own = ca.issue("server", "IP:127.0.0.1")
    secure = server_context(own)
    secure.set_alpn_protocols(["h2", "http/1.1"])
    server = upstream(serve=echo, tls=secure)
    dynamic = one_router(server.url, plugin={"p": {}})
    dynamic["http"]["routers"]["r"]["tls"] = {}
    dynamic["http"]["services"]["s"]["loadBalancer"]["serversTransport"] = "t"
    dynamic["http"]["serversTransports"] = {"t": {"rootCAs": [str(ca.file)]}}
    p = proxy(dynamic, plugins={"p": Plugin("rewrite-buffered")})
    raw = socket.create_connection(("127.0.0.1", p.port), 30)
    with websocket(H2Stream(context(alpn=["h2"]).wrap_socket(raw))) as talk:
        exchange(talk)


def test_bytes_before_the_answer_are_the_tunnels(upstream, proxy):
    release = threading.Event()

    def serve(connection):
        request = connection.read_request()
        assert release.wait(30)
        connection.send(switch_bytes(request))
        talk = WebSocket(connection.sock, connection.reader, is_client=False)
        kind, data = talk.receive()
        talk.send(data, kind)

    p = proxy(one_router(upstream(serve=serve).url))
    stream = dial(p.port)
    with contextlib.closing(stream.sock):
        stream.connect(VERSION, wait=False)
        stream.write(DATA, 0, 1, frame(BINARY, b"eager", masked=True))
        release.set()
        talk = WebSocket(stream, Reader(stream), is_client=True)
        assert talk.receive() == (BINARY, b"eager")
        assert stream.status == 200


def test_client_that_resets_the_stream(upstream, proxy):
    gone = threading.Event()

    def serve(connection):
        connection.send(switch_bytes(connection.read_request()))
        with contextlib.suppress(Closed):
            connection.reader.to_end()
        gone.set()

    p = proxy(one_router(upstream(serve=serve).url))
    with websocket(dial(p.port)) as talk:
        talk.sock.write(RST_STREAM, 0, 1, struct.pack("!I", 8))
        assert gone.wait(30)


def test_server_that_dies(upstream, proxy):
    def serve(connection):
        connection.send(switch_bytes(connection.read_request()))
        connection.reader.exactly(1)
        connection.reset()

    p = proxy(one_router(upstream(serve=serve).url))
    with websocket(dial(p.port)) as talk:
        talk.send(b"x")
        with pytest.raises(Closed):
            talk.receive()
        assert talk.sock.reset == 2


@pytest.mark.parametrize("status", [200, 403, 503])
def test_server_that_does_not_switch(upstream, proxy, status):
    server = upstream(lambda connection, request: connection.send(response_bytes(status, body=b"no")))
    p = proxy(one_router(server.url))
    stream = dial(p.port)
    with contextlib.closing(stream.sock):
        assert stream.connect(VERSION) == status
        assert stream.recv(10) == b"no"


def test_server_that_does_not_know_the_key(upstream, proxy):
    def serve(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n")
        with contextlib.suppress(Closed):
            connection.reader.to_end()

    p = proxy(one_router(upstream(serve=serve).url))
    stream = dial(p.port)
    with contextlib.closing(stream.sock):
        assert stream.connect(VERSION) is None
        assert stream.reset == 2


def test_other_protocols(relay):
    proxy, upstream = relay
    stream = dial(proxy.port)
    with contextlib.closing(stream.sock):
        assert stream.connect(protocol="connect-udp") == 501
    assert upstream.requests == []


@pytest.mark.parametrize("field", [("content-length", "5"), ("connection", "close"), ("upgrade", "other")])
def test_requests_that_make_no_sense(relay, field):
    proxy, upstream = relay
    stream = dial(proxy.port)
    with contextlib.closing(stream.sock):
        assert stream.connect(VERSION, field) is None
        assert stream.reset == 1
    assert upstream.requests == []


def test_no_route(proxy, upstream):
    p = proxy(one_router(upstream().url, rule="Host(`other.example`)"))
    stream = dial(p.port)
    with contextlib.closing(stream.sock):
        assert stream.connect(VERSION) == 404


def test_client_that_has_ended_already(upstream, proxy):
    def serve(connection):
        connection.send(switch_bytes(connection.read_request()))
        connection.reader.to_end()
        connection.send(frame(TEXT, b"bye"))

    p = proxy(one_router(upstream(serve=serve).url))
    stream = dial(p.port)
    with contextlib.closing(stream.sock):
        assert stream.connect(VERSION, flags=END_STREAM) == 200
        assert WebSocket(stream, Reader(stream), is_client=True).receive() == (TEXT, b"bye")


def half_closing(receive):
    """Ends its side first; what comes after that is kept."""
    def serve(connection):
        connection.send(switch_bytes(connection.read_request()))
        receive(connection)
    return serve


def test_last_bytes_of_a_client_that_ends_second(upstream, proxy):
    """They came with the end of the stream, and were thrown away."""
    got = []

    def receive(connection):
        connection.sock.shutdown(socket.SHUT_WR)
        got.append(connection.reader.to_end())

    p = proxy(one_router(upstream(serve=half_closing(receive)).url), metrics=True)
    for i in range(10):
        stream = dial(p.port)
        with contextlib.closing(stream.sock):
            assert stream.connect(VERSION) == 200
            while not stream.ended:
                assert stream.step() == b""
            stream.write(DATA, END_STREAM, 1, b"last words")
            wait_until(lambda: len(got) == i + 1, lambda: p.log())
            assert got[i] == b"last words"
    wait_until(lambda: p.scrape().value("weir_entrypoint_tunnels_open", entrypoint="web") == 0, lambda: "the tunnels have ended")


def test_bytes_that_wait_when_both_sides_have_ended(upstream, proxy):
    ended, got, let_go = threading.Event(), [], threading.Event()

    def receive(connection):
        assert ended.wait(60)
        connection.sock.shutdown(socket.SHUT_WR)
        assert let_go.wait(60)
        got.append(connection.reader.to_end())

    p = proxy(one_router(upstream(serve=half_closing(receive)).url), metrics=True)
    stream, sent = dial(p.port), 0
    with contextlib.closing(stream.sock):
        assert stream.connect(VERSION) == 200
        # Until nothing more is taken.
        while True:
            while (n := min(16384, stream.room, stream.stream_room)) > 0:
                stream.sendall(b"x" * n)
                sent += n
            stream.write(PING, 0, 0, b"12345678")
            before = stream.pongs
            while stream.pongs == before:
                stream.step()
            if min(stream.room, stream.stream_room) == 0:
                break
        stream.end()
        ended.set()
        while not stream.ended:
            assert stream.step() == b""
        # It has not been reset meanwhile.
        assert p.scrape().value("weir_entrypoint_tunnels_open", entrypoint="web") == 1
        let_go.set()
        wait_until(lambda: got, lambda: p.log(), 60)
        assert len(got[0]) == sent
        wait_until(lambda: p.scrape().value("weir_entrypoint_tunnels_open", entrypoint="web") == 0, lambda: "the tunnel has ended")


def test_slow_reader(upstream, proxy):
    """It may take its time, as with HTTP/1: stallTimeout, which others run into meanwhile, is for responses."""
    body = os.urandom(200000)

    def serve(connection):
        request = connection.read_request()
        if request.get("Upgrade") is None:
            connection.send(response_bytes(headers=[("Connection", "close")], body=body))
        else:
            connection.send(switch_bytes(request) + body)
        with contextlib.suppress(Closed, OSError):
            connection.reader.to_end()

    p = proxy(one_router(upstream(serve=serve).url), static={"weir": {"limits": {"stallTimeout": "500ms"}}})
    slow = dial(p.port)
    with contextlib.closing(slow.sock):
        slow.write(SETTINGS, 0, 0, struct.pack("!HI", 4, 1000))
        assert slow.connect(VERSION) == 200
        got = b""
        while len(got) < 1000:
            got += slow.step()
        for _ in range(2):
            other = dial(p.port)
            with contextlib.closing(other.sock):
                other.write(SETTINGS, 0, 0, struct.pack("!HI", 4, 1000))
                other.write(HEADERS, END_HEADERS | END_STREAM, 1, b"".join(
                    literal(*line) for line in [(":method", "GET"), (":scheme", "http"), (":authority", "test.example"), (":path", "/")]))
                while other.reset is None:
                    other.step()
        slow.write(WINDOW_UPDATE, 0, 1, struct.pack("!I", 1 << 20))
        while len(got) < len(body):
            got += slow.step()
            assert slow.reset is None
        assert got == body


def test_silent_tunnel(upstream, proxy):
    server = upstream(serve=echo)
    p = proxy(one_router(server.url), static={"weir": {"limits": {"tunnelIdle": "300ms"}}}, metrics=True)
    with websocket(dial(p.port)) as talk:
        with pytest.raises(Closed):
            talk.receive()
        assert talk.sock.reset == 8
    assert p.scrape().value("weir_entrypoint_tunnel_timeouts_total", entrypoint="web") == 1
