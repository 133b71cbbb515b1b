"""Long bodies of responses go from the server's socket to the client's through a pipe of the kernel; nobody can tell, but for
the counters. What cannot go so is copied."""

import hashlib
import socket
import threading

import pytest

from harness.client import request_bytes
from harness.message import Closed, head
from harness.proxy import ON_TRAEFIK, merge, one_router
from harness.tls import TlsClient
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="the counters are weir's own")

BLOCK = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(32768))  # 1 MiB
SIZES = (0, 1, 65535, 65536, 65537, 262143, 262144, 262145, (1 << 20) + 1, 5 << 20)
LONG = 8 << 20  # more than the sockets hold
IDLE_MAX = 16


def data(size):
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def answer_size(connection, request):
    """As many bytes as the path says."""
    connection.send(response_bytes(body=data(int(request.target.rsplit("/", 1)[1]))))


def make(proxy, url, dynamic=None, **limits):
    weir = {"workers": 1} | ({"limits": limits} if limits else {})
    return proxy(merge(one_router(url), dynamic or {}), static={"weir": weir}, metrics=True)


def pipes(p, name):
    return p.scrape().value(f"weir_pipes_{name}")


@pytest.fixture
def sized(upstream, proxy):
    return make(proxy, upstream(answer_size).url)


def test_every_size_arrives(sized):
    with sized.connect() as client:
        for size in SIZES + SIZES[::-1]:
            assert client.exchange(target=f"/{size}").body == data(size), size
    piped = pipes(sized, "bytes_total")
    assert 0 < piped < 2 * sum(SIZES)
    assert pipes(sized, "open") == 1
    assert pipes(sized, "refused_total") == 0


def test_many_at_once(sized):
    clients = [sized.connect() for _ in range(2 * IDLE_MAX)]
    for client in clients:
        client.send(request_bytes(target=f"/{LONG}"))
    for client in clients:
        assert hashlib.sha256(client.response().body).digest() == hashlib.sha256(data(LONG)).digest()
        client.close()
    wait_until(lambda: 0 < pipes(sized, "open") <= IDLE_MAX, "idle pipes are closed but for a few")


def test_client_that_leaves(sized):
    with sized.flat(descriptors=2 * IDLE_MAX + 8):
        for _ in range(40):
            with sized.connect() as client:
                client.send(request_bytes(target=f"/{LONG}"))
                client.reader.until(b"\r\n\r\n")
                client.reader.exactly(200000)
        with sized.connect() as client:
            assert client.exchange(target=f"/{LONG}").body == data(LONG)


@pytest.mark.parametrize("reset", [False, True])
def test_server_that_breaks_off(upstream, proxy, reset):
    """The client gets what came, and sees that it is not all."""
    sent = 3 << 20
    read = threading.Event()

    def half(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(LONG))]) + data(sent))
        read.wait(30)
        if reset:
            connection.reset()
        else:
            connection.close()

    p = make(proxy, upstream(half).url)
    with p.connect() as client:
        client.send(request_bytes())
        client.reader.until(b"\r\n\r\n")
        assert client.reader.exactly(sent) == data(sent)
        read.set()
        with pytest.raises(Closed) as closed:
            client.reader.exactly(1)
        assert closed.value.partial == b""
    assert pipes(p, "bytes_total") > 0


def test_what_came_before_the_end_is_delivered(upstream, proxy):
    """Also when the client takes it only after the server has gone."""
    sent = 3 << 20

    def half(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(LONG))]) + data(sent))
        connection.close()

    p = make(proxy, upstream(half).url)
    with p.connect(receive_buffer=4096) as client:
        client.send(request_bytes())
        client.reader.until(b"\r\n\r\n")
        assert client.reader.exactly(sent) == data(sent)
        with pytest.raises(Closed):
            client.reader.exactly(1)


def test_server_that_sends_too_much(upstream, proxy):
    """What follows the body is no part of it, and its connection is not used again."""

    def more(connection, request):
        connection.send(response_bytes(body=data(LONG)) + response_bytes(body=b"nobody asked"))

    p = make(proxy, upstream(more).url)
    with p.connect() as client:
        for _ in range(3):
            assert client.exchange().body == data(LONG)


def test_urgent_data_is_passed_over(upstream, proxy):
    """A pipe stops before it, for ever: there the body is read, as one that is copied."""
    half = LONG // 2

    def urgent(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(LONG))]) + data(LONG)[:half])
        connection.sock.send(b"!", socket.MSG_OOB)
        connection.send(data(LONG)[half:])

    p = make(proxy, upstream(urgent).url)
    with p.connect() as client:
        assert client.exchange().body == data(LONG)
    assert pipes(p, "bytes_total") > half // 2


def test_pipes_are_limited(upstream, proxy):
    p = make(proxy, upstream(answer_size).url, pipes=1)
    clients = [p.connect() for _ in range(3)]
    for client in clients:
        client.send(request_bytes(target=f"/{LONG}"))
        client.reader.until(b"\r\n\r\n")
    wait_until(lambda: pipes(p, "refused_total") >= 2, "two find no pipe")
    assert pipes(p, "open") == 1
    for client in clients:
        assert client.reader.exactly(LONG) == data(LONG)
        client.close()


def test_no_pipes(upstream, proxy):
    p = make(proxy, upstream(answer_size).url, pipes=0)
    assert p.fetch(target=f"/{LONG}").body == data(LONG)
    assert (pipes(p, "open"), pipes(p, "bytes_total"), pipes(p, "refused_total")) == (0, 0, 0)


COPIED = {
    "compress": {"compress": {}},
    "buffering": {"buffering": {"memResponseBodyBytes": 65536}},
}


@pytest.mark.parametrize("name", COPIED)
def test_what_is_looked_at_is_copied(upstream, proxy, name):
    http = {"middlewares": {"m": COPIED[name]}, "routers": {"r": {"middlewares": ["m"]}}}
    p = make(proxy, upstream(answer_size).url, {"http": http})
    with p.connect() as client:
        assert client.exchange(target=f"/{LONG}", headers=[("Accept-Encoding", "gzip")]).status == 200
    assert pipes(p, "bytes_total") == 0


def test_tls_is_copied(upstream, proxy):
    p = make(proxy, upstream(answer_size).url, {"http": {"routers": {"r": {"tls": {}}}}})
    with TlsClient(p.ports["web"]) as client:
        assert client.exchange(target=f"/{LONG}").body == data(LONG)
    assert pipes(p, "bytes_total") == 0


def test_slow_reader_holds_the_server_up(upstream, proxy):
    """The pipe is bounded, as the queue is."""
    sent = []

    def endless(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(1 << 30))]))
        connection.sock.settimeout(1)
        try:
            while len(sent) < 64:
                connection.send(BLOCK)
                sent.append(1)
        except TimeoutError:
            pass

    p = make(proxy, upstream(endless).url)
    with p.connect(receive_buffer=4096) as client:
        client.send(request_bytes())
        client.reader.until(b"\r\n\r\n")
        wait_until(lambda: p.scrape().value("weir_exchanges_body_stalls_total") > 0 or pipes(p, "open") == 1, "the pipe is in use")
        client.reader.exactly(3 << 20)
        assert len(sent) < 64
