"""Servers that break the rules: their clients get an error or a cut-off answer, and nobody gets another one's bytes."""

import itertools
import threading

import pytest

from harness.client import Client, request_bytes
from harness.load import Innocents, together
from harness.message import Closed, ProtocolError, chunked, head
from harness.proxy import one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Go's client is more lenient")

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Evil: 1\r\n\r\nevil"
CHUNKED = head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")])


def lines(*fields, body=b"", status=b"200 OK", version=b"1.1"):
    return b"HTTP/" + version + b" " + status + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


# What is sent for a GET, and the bodies that a client may take for whole; None: only an error or a cut-off answer.
RESPONSES = {
    "length negative": (lines(b"Content-Length: -1", body=b"ab" + EVIL), None),
    "length with plus": (lines(b"Content-Length: +2", body=b"ab" + EVIL), None),
    "length beyond 64 bits": (lines(b"Content-Length: 18446744073709551618", body=b"ab" + EVIL), None),
    "length of 2^63": (lines(b"Content-Length: 9223372036854775808", body=b"ab" + EVIL), None),
    "length hexadecimal": (lines(b"Content-Length: 0x2", body=b"ab" + EVIL), None),
    "lengths that differ": (lines(b"Content-Length: 2", b"Content-Length: 60", body=b"ab" + EVIL), None),
    "lengths that differ in a list": (lines(b"Content-Length: 2, 60", body=b"ab" + EVIL), None),
    "length with space before the colon": (lines(b"Content-Length : 2", body=b"ab" + EVIL), None),
    "length and chunked": (lines(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n" + EVIL), [b"abc"]),
    "chunked twice": (lines(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + EVIL), None),
    "gzip before chunked": (lines(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + EVIL), None),
    "coding folded": (lines(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n" + EVIL), None),
    "coding with NUL": (lines(b"Transfer-Encoding: chunked\0", body=b"0\r\n\r\n" + EVIL), None),
    "field with bare CR": (lines(b"X: a\rContent-Length: 2", body=b"ab" + EVIL), None),
    "field name with space": (lines(b"X Y: a", b"Content-Length: 2", body=b"ab" + EVIL), None),
    "field without colon": (lines(b"X", b"Content-Length: 2", body=b"ab" + EVIL), None),
    "status of two digits": (lines(b"Content-Length: 2", body=b"ab" + EVIL, status=b"20 OK"), None),
    "status of four digits": (lines(b"Content-Length: 2", body=b"ab" + EVIL, status=b"2000 OK"), None),
    "status negative": (lines(b"Content-Length: 2", body=b"ab" + EVIL, status=b"-200 OK"), None),
    "version 2.0": (lines(b"Content-Length: 2", body=b"ab" + EVIL, version=b"2.0"), None),
    "HTTP/0.9": (b"<html>hello</html>\r\n\r\n", None),
    "chunk size negative": (CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n" + EVIL, None),
    "chunk size beyond 64 bits": (CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n" + EVIL, None),
    "chunk without its end": (CHUNKED + b"3\r\nabc0\r\n\r\n" + EVIL, None),
    "chunk size garbage": (CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n" + EVIL, None),
    "chunk extension endless": (CHUNKED + b"3;" + b"e" * (2 << 20), None),
    "trailers endless": (CHUNKED + b"0\r\n" + b"A: b\r\n" * 300000, None),
    "surplus after a length": (lines(b"Content-Length: 2", body=b"ab" + EVIL), [b"ab"]),
    "surplus after chunks": (CHUNKED + b"2\r\nab\r\n0\r\n\r\n" + EVIL, [b"ab"]),
    "surplus after 204": (lines(status=b"204 No Content", body=EVIL), [b""]),
    "surplus after 304": (lines(status=b"304 Not Modified", body=EVIL), [b""]),
    "body with 204": (lines(b"Content-Length: 4", status=b"204 No Content", body=b"evil" + EVIL), [b""]),
    "two responses": (lines(b"Content-Length: 2", body=b"ab") + EVIL, [b"ab"]),
    "100 interim responses": (lines(status=b"103 Early Hints") * 100 + lines(b"Content-Length: 2", body=b"ab"), [b"ab"]),
    "endless interim responses": (lines(b"X: " + b"y" * 1000, status=b"103 Early Hints") * 30000, None),
    "interim response with a length": (lines(b"Content-Length: 60", status=b"103 Early Hints") + lines(b"Content-Length: 2", body=b"ab"), [b"ab"]),
    "101 unasked": (lines(b"Connection: upgrade", b"Upgrade: x", status=b"101 Switching") + EVIL, None),
    "endless head": (lines()[:-2] + b"X: " + b"y" * (4 << 20), None),
    "endless fields": (lines()[:-2] + b"X: y\r\n" * 500000, None),
    "endless status line": (b"HTTP/1.1 200 " + b"O" * (4 << 20), None),
    "endless whitespace": (b"\r\n" * (2 << 20), None),
    "split by what it repeats": (lines(b"Content-Length: 0", b"Location: /a\r\nSet-Cookie: evil=1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4", body=b"evil"), [b""]),
}


def run_evil(upstream, proxy, respond, **static):
    """An upstream that lets `respond(connection, request)` answer /evil and echoes the target of anything else."""

    def serve(connection):
        while True:
            request = connection.read_request()
            if request.target.startswith("/evil"):
                respond(connection, request)
            else:
                connection.send(response_bytes(body=request.target.encode()))

    server = upstream(serve=serve)
    return proxy(one_router(server.url), static={"weir": {"workers": 1}, **static}), server


def ask_evil(p, method="GET", allowed=None, target="/evil"):
    """The response, or None if it was cut off; never a whole one with another body than allowed."""
    with p.connect(timeout_s=20) as client:
        try:
            response = client.exchange(method, target)
        except (Closed, ConnectionError):
            return None
        assert not response.get("X-Evil"), "the second response was taken for the first"
        if response.status not in (500, 502, 504):
            assert allowed is not None and response.body in allowed, (response.start_line, response.body[:200])
        return response


def victims(p, count=5):
    """Requests on the same upstream: each gets its own answer."""
    with p.connect() as client:
        for _ in range(count):
            target = f"/victim-{next(numbers)}"
            response = client.exchange(target=target)
            assert (response.status, response.body) == (200, target.encode())


numbers = itertools.count()


@pytest.mark.parametrize("case", RESPONSES)
def test_bad_response(upstream, proxy, case):
    data, allowed = RESPONSES[case]
    p, server = run_evil(upstream, proxy, lambda connection, request: connection.send(data))
    victims(p)
    for _ in range(3):
        ask_evil(p, allowed=allowed)
        victims(p)


@pytest.mark.parametrize("case", ["length", "chunked"])
def test_body_of_a_head_response(upstream, proxy, case):
    """A server that sends the body of what was asked for with HEAD."""
    data = EVIL.replace(b"X-Evil: 1\r\n", b"") if case == "length" else CHUNKED + chunked(b"evil")
    p, _ = run_evil(upstream, proxy, lambda connection, request: connection.send(data))
    for _ in range(5):
        assert ask_evil(p, "HEAD", [b""]).status == 200
        victims(p)


SIZES = [4096, 16384, 65536, 262144, 65536 + 16384]


@pytest.mark.parametrize("size", SIZES)
def test_surplus_behind_a_full_block(upstream, proxy, size):
    """The response ends where a read of ours may end, so that the surplus waits in the socket when the connection is kept; the next
    request follows at once, because it was pipelined."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: "

    def response_of(n):
        length = n - len(start) - 4
        while len(start) + len(str(length)) + 4 + length > n:
            length -= 1
        return start + b"%d\r\n\r\n" % length + b"x" * length

    data = response_of(size)
    assert len(data) == size
    p, _ = run_evil(upstream, proxy, lambda connection, request: connection.send(data + EVIL))
    for _ in range(10):
        with p.connect() as client:
            client.send(request_bytes(target="/evil") + request_bytes(target="/victim"))
            assert len(client.response().body) > size // 2
            response = client.response()
            assert not response.get("X-Evil"), "surplus bytes were taken for the answer to the next request"
            assert response.status == 502 or response.body == b"/victim"


def test_surplus_that_comes_late(upstream, proxy):
    """Bytes that come while the connection is idle end it."""
    late = threading.Event()

    def respond(connection, request):
        connection.send(lines(b"Content-Length: 2", body=b"ab"))
        assert late.wait(15)
        connection.send(EVIL)

    p, server = run_evil(upstream, proxy, respond)
    for _ in range(5):
        late.clear()
        assert ask_evil(p, allowed=[b"ab"]).status == 200
        connections = server.open_connections
        late.set()
        wait_until(lambda: server.open_connections < connections or connections == 0, "the connection is closed")
        victims(p)


def test_surplus_in_its_own_time(upstream, proxy):
    """Bytes that have come before the connection is used again, however shortly before, are noticed."""
    sent = threading.Event()

    def respond(connection, request):
        connection.send(lines(b"Content-Length: 2", body=b"ab"))
        connection.send(EVIL)
        sent.set()

    p, _ = run_evil(upstream, proxy, respond)
    with p.connect() as client:
        for i in range(300):
            sent.clear()
            client.send(request_bytes(target="/evil"))
            assert client.response().body == b"ab"
            assert sent.wait(15)
            response = client.exchange(target=f"/victim-{i}")
            assert not response.get("X-Evil"), "surplus bytes were taken for the answer to the next request"
            assert (response.status, response.body) == (200, f"/victim-{i}".encode())


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_broken_off_at_every_byte(upstream, proxy, framing, how):
    """Whatever is whole for the client was whole."""
    data = {"length": response_bytes(body=b"hello world"), "chunked": response_bytes(chunks=[b"hello", b" world"], trailers=[("A", "b")]),
            "close": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello world"}[framing]
    at = iter(range(len(data)))

    def respond(connection, request):
        connection.send(data[:int(request.target.split("-")[1])])
        if how == "reset":
            connection.reset()
        raise Closed()

    p, _ = run_evil(upstream, proxy, respond)
    whole_from = len(data) if framing != "close" else data.index(b"hello")
    for n in range(len(data)):
        allowed = [data[data.index(b"hello"):n]] if n >= whole_from and how == "close" else None
        response = ask_evil(p, allowed=allowed or ([data[whole_from:n]] if framing == "close" and n >= whole_from else None), target=f"/evil-{n}")
        assert response is None or response.status in (200, 502)
    victims(p)


def test_answer_before_the_request(upstream, proxy):
    """A server that talks first, to a connection that is to be used for anybody."""

    sent = threading.Semaphore(0)

    def serve(connection):
        connection.send(EVIL)
        while True:
            request = connection.read_request()
            connection.send(response_bytes(body=request.target.encode()))
            sent.release()

    p = proxy(one_router(upstream(serve=serve).url), static={"weir": {"workers": 1}})
    for i in range(50):
        assert i == 0 or sent.acquire(timeout=15)
        response = p.fetch(target=f"/x-{i}")
        assert response.body in (b"evil", b"Bad Gateway", f"/x-{i}".encode()), "the answer to somebody else"


@pytest.mark.parametrize("body", [b"x" * (8 << 20), None])
def test_server_that_never_reads(upstream, proxy, body):
    """The time-outs that there are apply; leaving clients free everything."""
    release = threading.Event()
    server = upstream(serve=lambda connection: release.wait(30))
    p = proxy(one_router(server.url), static={"weir": {"workers": 1},
                                              "serversTransport": {"forwardingTimeouts": {"responseHeaderTimeout": "500ms"}}})
    before = None
    with p.flat(descriptors=6):
        if body is None:
            assert p.fetch().status == 504
        else:
            clients = [p.connect() for _ in range(5)]
            for client in clients:
                client.sock.setblocking(False)
                client.sock.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", str(len(body)))]))
                try:
                    while True:
                        client.sock.send(body[:65536])
                except BlockingIOError:
                    pass
            server.wait_accepted(5)
            for client in clients:
                client.reset()
        release.set()


def test_mixed_with_innocents(upstream, proxy):
    """All of the bad responses at once, beside clients of the same server."""
    cases = list(RESPONSES.values())

    def respond(connection, request):
        connection.send(cases[int(request.target.split("-")[1]) % len(cases)][0])

    p, server = run_evil(upstream, proxy, respond)

    def check(response):
        assert (response.status, response.body) == (200, b"/innocent"), (response.start_line, response.body[:100])

    with Innocents(p.port, check, count=5):
        together(4, lambda i: [ask_evil(p, allowed=cases[n][1], target=f"/evil-{n}") for n in range(len(cases))])
