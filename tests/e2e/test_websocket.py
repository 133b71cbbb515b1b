"""WebSockets through the proxy, with a strict client and a strict server: the cases of the Autobahn suite that an
intermediary can get wrong."""

import os
import threading

import pytest

from harness.certificates import Authority
from harness.load import together
from harness.message import Closed
from harness.proxy import Plugin, one_router
from harness.tls import TlsClient, server_context
from harness.websocket import (BINARY, CLOSE, PING, TEXT, accept_websocket, drain, echo, frame, open_websocket)

SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20]


@pytest.fixture(scope="module")
def relay(module_upstream, module_proxy):
    return module_proxy(one_router(module_upstream(serve=echo).url))


@pytest.fixture
def socket(relay):
    with relay.connect() as client:
        yield open_websocket(client)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_echo(socket, opcode, size):
    data = os.urandom(size) if opcode == BINARY else ("zażółć✓" * size)[:size].encode()
    socket.send(data, opcode)
    assert socket.receive() == (opcode, data)


def test_many_messages_one_by_one(socket):
    for i in range(500):
        socket.send(b"%d" % i)
        assert socket.receive() == (BINARY, b"%d" % i)


def test_many_messages_at_once(socket):
    threading.Thread(target=lambda: [socket.send(b"%d" % i * 100) for i in range(2000)], daemon=True).start()
    for i in range(2000):
        assert socket.receive() == (BINARY, b"%d" % i * 100)


@pytest.mark.parametrize("fragments", [2, 3, 100])
def test_fragments(socket, fragments):
    parts = [os.urandom(1000) for _ in range(fragments)]
    socket.send_fragments(parts, BINARY)
    assert socket.receive() == (BINARY, b"".join(parts))


def test_control_frames_between_fragments(socket):
    socket.send_fragments([b"one", b"", b"two"], BINARY, between=[(PING, b"p")])
    assert socket.receive() == (BINARY, b"onetwo")
    assert socket.pongs == [b"p", b"p"]


@pytest.mark.parametrize("size", [0, 1, 125])
def test_ping(socket, size):
    data = os.urandom(size)
    socket.send(data, PING)
    socket.send(b"after")
    assert socket.receive() == (BINARY, b"after")
    assert socket.pongs == [data]


def test_bytes_one_by_one(relay):
    """Frames that arrive in the smallest pieces there are."""
    with relay.connect() as client:
        socket = open_websocket(client)
        for byte in frame(BINARY, b"slowly", masked=True):
            client.send(bytes([byte]))
        assert socket.receive() == (BINARY, b"slowly")


@pytest.mark.parametrize("code,reason", [(None, b""), (1000, b""), (1001, b"going"), (1011, "ü".encode() * 61), (3000, b"x"), (4999, b"x")])
def test_close_from_the_client(relay, code, reason):
    with relay.connect() as client:
        socket = open_websocket(client)
        socket.send_close(code, reason)
        assert socket.receive() == (CLOSE, reason)
        assert socket.close_code == code
        assert client.to_end() == b""


def test_close_from_the_server(upstream, proxy):
    def serve(connection):
        socket = accept_websocket(connection)
        socket.send(b"last")
        socket.send_close(1012, b"restart")
        assert socket.receive() == (CLOSE, b"restart")

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        socket = open_websocket(client)
        assert socket.receive() == (BINARY, b"last")
        assert socket.receive() == (CLOSE, b"restart")
        assert socket.close_code == 1012
        socket.send_close(1012, b"restart")
        assert client.to_end() == b""


def test_frames_after_a_close_still_arrive(upstream, proxy):
    """The proxy does not read frames: what was sent before the connection ended is passed on."""
    got = []

    def serve(connection):
        got.extend(drain(accept_websocket(connection)))
        connection.sock.shutdown(1)

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        socket = open_websocket(client)
        for i in range(100):
            socket.send(b"%d" % i)
        socket.send_close(1000)
        client.end_of_input()
        assert client.to_end() == b""
    assert got == [b"%d" % i for i in range(100)]


def test_server_dies(upstream, proxy):
    """What it sent before goes on to the client, then the end."""
    def serve(connection):
        socket = accept_websocket(connection)
        socket.receive()
        socket.send(b"x" * 100000)
        connection.reset() if reset else connection.close()

    p = proxy(one_router(upstream(serve=serve).url))
    reset = False
    with p.connect() as client:
        socket = open_websocket(client)
        socket.send(b"go")
        assert socket.receive() == (BINARY, b"x" * 100000)
        with pytest.raises(Closed):
            socket.receive()
    reset = True
    with p.connect() as client:
        socket = open_websocket(client)
        socket.send(b"go")
        with pytest.raises(Closed):
            while True:
                socket.receive()


@pytest.mark.parametrize("reset", [False, True])
def test_client_dies(upstream, proxy, reset):
    ended = threading.Event()

    def serve(connection):
        socket = accept_websocket(connection)
        assert socket.receive() == (BINARY, b"hello")
        try:
            socket.receive()
        except (Closed, OSError):
            ended.set()

    client = proxy(one_router(upstream(serve=serve).url)).connect()
    open_websocket(client).send(b"hello")
    client.reset() if reset else client.close()
    assert ended.wait(30)


def test_many_sockets(relay):
    def work(i):
        with relay.connect() as client:
            socket = open_websocket(client)
            for j in range(50):
                socket.send(b"%d-%d" % (i, j) * 50)
                assert socket.receive() == (BINARY, b"%d-%d" % (i, j) * 50)

    together(40, work)
    with relay.flat(descriptors=60):
        together(40, work)


@pytest.mark.parametrize("plugin,config", [("header", {}), ("rewrite-buffered", {}), ("body", {"features": 3, "response": "rewrite"}),
                                           ("body", {"features": 2, "response": "write"})])
@pytest.mark.differs("a guest that buffers responses makes Traefik's connection unfit for a switch")
def test_plugins(upstream, proxy, plugin, config):
    p = proxy(one_router(upstream(serve=echo).url, plugin={"p": config}), plugins={"p": Plugin(plugin)})
    with p.connect() as client:
        socket = open_websocket(client)
        for size in (1, 70000):
            socket.send(b"x" * size)
            assert socket.receive() == (BINARY, b"x" * size)


def test_over_tls_on_both_sides(upstream, proxy, tmp_path):
    """Records and frames end at different places, and large messages fill every queue."""
    ca = Authority(tmp_path / "ca")
    server = upstream(serve=echo, tls=server_context(ca.issue("server", "IP:127.0.0.1")))
    dynamic = one_router(server.url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    dynamic["http"]["services"]["s"]["loadBalancer"]["serversTransport"] = "t"
    dynamic["http"]["serversTransports"] = {"t": {"rootCAs": [str(ca.file)]}}
    with TlsClient(proxy(dynamic).port, "test.example") as client:
        socket = open_websocket(client)
        for size in (*SIZES, 5 << 20):
            data = os.urandom(size)
            socket.send(data)
            assert socket.receive() == (BINARY, data)
        socket.send_close(1000, b"done")
        assert socket.receive() == (CLOSE, b"done")
        assert client.to_end() == b""
    assert server.last.get("X-Forwarded-Proto") == "wss"
