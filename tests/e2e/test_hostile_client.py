"""Clients that mean harm: what they hold is bounded and taken back, and the others do not notice."""

import os
import random
import select
import socket
import threading
import time

import pytest

from harness.client import Client, fetch, request_bytes
from harness.load import Innocents, together
from harness.message import Closed, ProtocolError, chunked, head
from harness.proxy import ON_TRAEFIK, memory_tells, merge, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

LONG = "WEIR_LONG" in os.environ
SLOW = int(os.environ.get("WEIR_TEST_SLOW", "1"))
MANY = 3000 if LONG else 1000 // (3 if SLOW > 1 else 1)

pytestmark = pytest.mark.differs("what a client may hold is limited by weir's own options")


def entry_point(**responding):
    return {"entryPoints": {"web": {"transport": {"respondingTimeouts": responding}}}}


def settings(*more, workers=1, **limits):
    """Kept connections to the upstream end soon, so that what is left of a crowd can be counted."""
    static = {"weir": {"workers": workers, **({"limits": limits} if limits else {})},
              "serversTransport": {"forwardingTimeouts": {"idleConnTimeout": "300ms"}}}
    for extra in more:
        static = merge(static, extra)
    return static


def ok(response):
    assert (response.status, response.body) == (200, b"ok"), response.start_line


class Crowd:
    """Many sockets that never block us."""

    def __init__(self, port, count, receive_buffer=None):
        self.sockets = []
        for i in range(count):
            s = socket.socket()
            if receive_buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            s.bind((f"127.0.0.{2 + i % 8}", 0))
            s.connect(("127.0.0.1", port))
            s.setblocking(False)
            self.sockets.append(s)

    def send(self, data):
        for s in list(self.sockets):
            try:
                s.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._drop(s)

    def _drop(self, s):
        self.sockets.remove(s)
        s.close()

    def reap(self):
        """Forgets those that the proxy has closed. Returns how many are left."""
        poll = select.poll()
        by_fd = {s.fileno(): s for s in self.sockets}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(0):
            try:
                if by_fd[fd].recv(65536) == b"":
                    self._drop(by_fd[fd])
            except BlockingIOError:
                pass
            except OSError:
                self._drop(by_fd[fd])
        return len(self.sockets)

    def close(self):
        while self.sockets:
            self._drop(self.sockets[0])


def trickle(crowd, bytes_of, until, timeout_s):
    """Sends a byte on every connection now and then until `until()`."""
    deadline = time.monotonic() + timeout_s
    at = 0
    while not until():
        assert time.monotonic() < deadline, f"{len(crowd.sockets)} are still held after {timeout_s} s"
        crowd.send(bytes_of(at))
        at += 1
        crowd.reap()


# --- slow on purpose

LORIS = {
    "head": (b"", lambda at: b"GET / HTTP/1.1\r\nHost: a\r\n"[at:at + 1] or (b"X-%d: y\r\n" % at)),
    "body with length": (head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "1000000")]), lambda at: b"x"),
    "chunked body": (head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]), lambda at: b"1\r\nx\r\n"),
    "chunk size": (head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]), lambda at: b"0"),
    "chunk extension": (head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]) + b"1;", lambda at: b"e"),
    "trailers": (head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]) + b"0\r\n", lambda at: b"A: b\r\n"),
}


@pytest.mark.parametrize("case", LORIS)
def test_slow_requests(upstream, proxy, case):
    """readTimeout is for the whole request: trickling bytes does not prolong it."""
    first, bytes_of = LORIS[case]
    p = proxy(one_router(upstream().url), static=settings(entry_point(readTimeout="1s")))
    ok(p.fetch())
    with p.flat(memory_bytes=16 << 20, descriptors=8), Innocents(p.port, ok, count=5):
        crowd = Crowd(p.port, MANY if case == "head" else MANY // 5)
        crowd.send(first)
        trickle(crowd, bytes_of, lambda: not crowd.sockets, 20 * SLOW)


def test_idle_connections_end(upstream, proxy):
    p = proxy(one_router(upstream().url), static=settings(entry_point(idleTimeout="500ms")))
    with p.flat(memory_bytes=16 << 20, descriptors=8), Innocents(p.port, ok, count=5):
        crowd = Crowd(p.port, MANY // 5)
        crowd.send(request_bytes())
        wait_until(lambda: crowd.reap() == 0, "idle connections are closed", 20 * SLOW)


def test_connections_that_say_nothing_end(upstream, proxy):
    p = proxy(one_router(upstream().url), static=settings(entry_point(readTimeout="500ms")))
    with p.flat(descriptors=8):
        crowd = Crowd(p.port, MANY // 5)
        wait_until(lambda: crowd.reap() == 0, "silent connections are closed", 20 * SLOW)


def test_slow_readers(upstream, proxy):
    """They hold no more than a queue each of the server's data, and stallTimeout lets them go."""
    body = b"x" * (4 << 20)
    count = 100

    def answer(connection, request):
        connection.send(response_bytes(body=b"ok" if request.target == "/innocent" else body))

    p = proxy(one_router(upstream(answer).url), static=settings(stallTimeout="2s"))
    ok(p.fetch(target="/innocent"))
    before = p.pss_bytes
    with p.flat(memory_bytes=24 << 20, descriptors=16), Innocents(p.port, ok, count=5):
        crowd = Crowd(p.port, count, receive_buffer=4096)
        crowd.send(request_bytes())
        most = 0

        def all_gone():
            nonlocal most
            most = max(most, p.pss_bytes)
            poll = select.poll()
            for s in crowd.sockets:
                poll.register(s, 0)
            gone = {fd for fd, _ in poll.poll(0)}  # reset: nothing was read, so that nothing was taken
            for s in [s for s in crowd.sockets if s.fileno() in gone]:
                crowd._drop(s)
            return not crowd.sockets

        wait_until(all_gone, lambda: f"{len(crowd.sockets)} slow readers are let go", 30 * SLOW, 0.1)
    if memory_tells():
        assert most - before < count * (1 << 20) + (16 << 20), f"{(most - before) >> 20} MiB for {count} readers"


def test_slow_readers_leave_buffers_for_others(upstream, proxy):
    """However many do not read, the others are still served."""
    body = b"x" * (8 << 20)  # more than the system takes off our hands

    def answer(connection, request):
        connection.send(response_bytes(body=b"ok" if request.target == "/innocent" else body))

    server = upstream(answer)
    p = proxy(one_router(server.url), static=settings(bufferMemory="16MiB"))
    with Innocents(p.port, ok, count=1) as innocent:
        crowd = Crowd(p.port, 100, receive_buffer=4096)
        for s in crowd.sockets:
            s.send(request_bytes())
            so_far = innocent.answered
            wait_until(lambda: innocent.answered > so_far, "a turn later")
        with Innocents(p.port, ok, count=40) as others:
            wait_until(lambda: others.answered > 500 // SLOW, "the others are answered", 30 * SLOW)
    crowd.close()


def test_reading_one_byte_at_a_time(upstream, proxy):
    """A slow reader that does read is served to the end."""
    body = bytes(range(256)) * 4
    p = proxy(one_router(upstream(lambda c, r: c.send(response_bytes(body=body))).url))
    with p.connect(receive_buffer=2048) as client:
        client.send(request_bytes())
        data = b""
        while not data.endswith(body):
            data += client.sock.recv(1)


# --- floods

def test_connection_flood(upstream, proxy):
    """Above the limit they wait in the backlog; each is answered in the end."""
    p = proxy(one_router(upstream().url),
              static=settings(entry_point(idleTimeout="200ms"), connectionsPerWorker=20))
    with p.flat(descriptors=8):
        for _ in range(3):
            crowd = Crowd(p.port, 300)
            assert p.descriptors < 20 * 2 + 60
            crowd.send(request_bytes())
            answered = 0
            deadline = time.monotonic() + 30 * SLOW
            while crowd.sockets and time.monotonic() < deadline:
                readable, _, _ = select.select(crowd.sockets[:500], [], [], 1)
                for s in readable:
                    try:
                        answered += s.recv(65536).startswith(b"HTTP/1.1 200 ")
                    except OSError:
                        pass
                    crowd._drop(s)
            assert (answered, len(crowd.sockets)) == (300, 0)
    ok(p.fetch())


def test_connections_that_come_and_go(upstream, proxy):
    p = proxy(one_router(upstream().url), static=settings(connectionsPerWorker=50))
    with p.flat(descriptors=8), Innocents(p.port, ok, count=3):
        for i in range(20):
            crowd = Crowd(p.port, 40)
            if i % 3:
                crowd.send(request_bytes()[:10 * i])
            if i % 2:
                for s in crowd.sockets:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            crowd.close()


BOMBS = {
    "many fields": head("GET / HTTP/1.1", [("Host", "a")] + [(f"X{i}", "") for i in range(5000)]),
    "one field of 2 MiB": head("GET / HTTP/1.1", [("Host", "a"), ("X", "x" * (2 << 20))]),
    "a name of 100 KiB": head("GET / HTTP/1.1", [("Host", "a"), ("X" * 102400, "y")]),
    "a name of 2 MiB": head("GET / HTTP/1.1", [("Host", "a"), ("X" * (2 << 20), "y")]),
    "an endless name": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X" * (3 << 20),
    "an endless target": b"GET /" + b"x" * (3 << 20),
    "an endless method": b"G" * (3 << 20),
    "empty lines": b"\r\n" * (1 << 20),
    "a Connection field that names 100,000": head("GET / HTTP/1.1", [("Host", "a"), ("Connection", "a," * 100000)]),
    "100,000 forwarded addresses": head("GET / HTTP/1.1", [("Host", "a"), ("X-Forwarded-For", "1.1.1.1, " * 100000)]),
    "a query of 60,000 pairs": head("GET /?" + "a&" * 30000 + " HTTP/1.1", [("Host", "a")]),
    "a path of 30,000 segments": head("GET /" + "../a/" * 12000 + " HTTP/1.1", [("Host", "a")]),
}


@pytest.mark.parametrize("case", BOMBS)
def test_header_bombs(upstream, proxy, case):
    """One is answered or refused at once, many at once do not take more memory than allowed."""
    p = proxy(one_router(upstream().url), static=settings(bufferMemory="16MiB"))
    ok(p.fetch())

    def throw(_):
        with p.connect() as client:
            try:
                client.send(BOMBS[case])
            except OSError:
                pass
            try:
                return client.response().status
            except (Closed, OSError):
                return None

    began = time.monotonic()
    assert throw(0) in (200, 400, 404, 408, 414, 431, 503, None)
    assert time.monotonic() - began < 3 * SLOW
    with p.flat(memory_bytes=32 << 20, descriptors=8), Innocents(p.port, ok, count=2):
        statuses = set(together(30, throw))
    assert statuses <= {200, 400, 404, 408, 414, 431, 503, None}, statuses
    ok(p.fetch())


def test_heads_that_wait_for_memory(upstream, proxy):
    """Unfinished heads of nearly 1 MiB on many connections: within bufferMemory, then refusals, then all is well again."""
    p = proxy(one_router(upstream().url), static=settings(bufferMemory="8MiB"))
    ok(p.fetch())
    before = p.pss_bytes
    part = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 900000
    clients = [p.connect(timeout_s=5) for _ in range(40)]
    for client in clients:
        try:
            client.send(part)
        except OSError:
            pass
    if memory_tells():
        assert p.pss_bytes - before < 24 << 20
    for client in clients:
        client.close()
    wait_until(lambda: answers(p), "an answer after the shortage", 20)
    assert p.running


def answers(p):
    try:
        return p.fetch(timeout_s=5).status == 200
    except (Closed, OSError):
        return False


# --- bodies in crumbs

def echo(connection, request):
    connection.send(response_bytes(body=b"%d" % len(request.body)))


CHUNKED = head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")])


def test_chunks_of_one_byte(upstream, proxy):
    p = proxy(one_router(upstream(echo).url))
    with p.connect() as client:
        client.send(CHUNKED + b"1\r\nx\r\n" * 100000 + b"0\r\n\r\n")
        assert client.response().body == b"100000"


def test_packets_of_one_byte(upstream, proxy):
    p = proxy(one_router(upstream(echo).url))
    with p.connect() as client:
        for i in CHUNKED + b"1\r\nx\r\n" * 300 + b"0\r\nA: b\r\n\r\n":
            client.send(bytes([i]))
        assert client.response().body == b"300"


def refused_or(expected, p, data):
    with p.connect() as client:
        try:
            client.send(data)
        except OSError:
            pass
        try:
            response = client.response()
        except (Closed, OSError):
            return
        if response.status == 200:
            assert response.body == expected
        else:
            assert response.status in (400, 413, 431, 502), response.start_line


FLOODS = {
    "extensions of 10 MiB": b"1;" + b"e" * (10 << 20) + b"\r\nx\r\n0\r\n\r\n",
    "an extension on each of 100,000 chunks": b"1;a=b\r\nx\r\n" * 100000 + b"0\r\n\r\n",
    "long extensions on 1,000 chunks": (b"1;" + b"e" * 10000 + b"\r\nx\r\n") * 1000 + b"0\r\n\r\n",
    "100,000 trailers": b"0\r\n" + b"A: b\r\n" * 100000 + b"\r\n",
    "a trailer of 10 MiB": b"0\r\nA: " + b"b" * (10 << 20) + b"\r\n\r\n",
    "zeros before a size": b"0" * (10 << 20) + b"1\r\nx\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("case", FLOODS)
def test_chunk_floods(upstream, proxy, case):
    p = proxy(one_router(upstream(echo).url), static=settings())
    ok_length = lambda response: None
    p.fetch("POST", body=b"x")
    with p.flat(memory_bytes=24 << 20, descriptors=8):
        expected = {"100,000 trailers": b"0", "a trailer of 10 MiB": b"0", "long extensions on 1,000 chunks": b"1000",
                    "an extension on each of 100,000 chunks": b"100000"}.get(case, b"1")
        for _ in range(3):
            refused_or(expected, p, CHUNKED + FLOODS[case])
    assert p.fetch("POST", body=b"x").body == b"1"


def flood_pipeline(p, count, request, expected_status):
    """Sends `count` requests without waiting. Returns the number of answers."""
    answers_seen = 0
    with p.connect(timeout_s=60) as client:
        def send():
            try:
                client.send(request * count)
                client.send(b"GET /last HTTP/1.1\r\nHost: nowhere\r\nConnection: close\r\n\r\n")
            except OSError:
                pass

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        tail, mark = b"", b"HTTP/1.1 %d " % expected_status
        while True:
            data = client.sock.recv(1 << 20)
            if not data:
                break
            joined = tail + data
            answers_seen += joined.count(mark) - tail.count(mark)
            tail = joined[-len(mark) + 1:]
        sender.join(10)
    return answers_seen


def test_pipelining_flood(upstream, proxy):
    """100,000 requests on one connection that weir answers itself, then 2,000 that the upstream answers."""
    server = upstream()
    p = proxy(one_router(server.url, rule="Host(`test.example`)"), static=settings())
    p.fetch()
    with p.flat(memory_bytes=16 << 20), Innocents(p.port, ok, count=2):
        assert flood_pipeline(p, 100000 // SLOW, b"GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n", 404) == 100000 // SLOW + 1
        assert flood_pipeline(p, 2000, request_bytes(), 200) == 2000


def test_pipelining_flood_that_nobody_reads(upstream, proxy):
    """Answers that are not taken stop the reading of requests."""
    p = proxy(one_router(upstream(lambda c, r: c.send(response_bytes(body=b"ok" if r.target == "/innocent" else b"y" * 10000))).url),
              static=settings())
    p.fetch()
    before = p.pss_bytes
    clients = [p.connect(receive_buffer=4096, timeout_s=1) for _ in range(20)]
    for client in clients:
        client.sock.setblocking(False)
    with Innocents(p.port, ok, count=2):
        sent = [0] * len(clients)
        data = request_bytes(target="/big") * 1000
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            for i, client in enumerate(clients):
                try:
                    sent[i] += client.sock.send(data)
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    pass
        assert max(sent) < 16 << 20, "the flood is read without end"
    if memory_tells():
        assert p.pss_bytes - before < 32 << 20
    for client in clients:
        client.close()
    wait_until(lambda: p.descriptors < 40, "the flooders are gone")


# --- broken off

REQUEST = request_bytes("POST", "/x", [("X-A", "b")], chunks=[b"hello", b"world"])


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
def test_broken_off_at_every_byte_of_the_request(upstream, proxy, how):
    """Never more than the part that was sent; a whole request is only what was whole."""
    server = upstream(serve=lenient)
    p = proxy(one_router(server.url), static=settings())
    ok(p.fetch())
    with p.flat(descriptors=8):
        for n in range(len(REQUEST)):
            client = p.connect()
            client.send(REQUEST[:n])
            if how == "reset":
                client.reset()
            elif how == "close":
                client.close()
            else:
                client.end_of_input()
                try:
                    rest = client.to_end()
                    assert not rest.startswith(b"HTTP/1.1 2"), rest
                except (Closed, OSError):
                    pass
                client.close()
        ok(p.fetch())
    assert [r for r in server.requests if r.target == "/x" and r.body is not None] == [], "half a request was taken for a whole one"


def lenient(connection):
    """Like the usual upstream; a request that breaks off is recorded with the body None."""
    while True:
        message = connection.reader.head()
        try:
            connection.reader.body(message, is_response=False)
        except Closed:
            message.body = None
            connection.record(message)
            raise
        connection.record(message)
        connection.send(response_bytes(body=b"ok"))


@pytest.mark.parametrize("how", ["reset", "close"])
def test_broken_off_at_every_byte_of_the_response(upstream, proxy, how):
    response = response_bytes(headers=[("X-A", "b")], chunks=[b"hello", b"world"])

    def answer(connection, request):
        connection.send(response_bytes(body=b"ok") if request.target == "/innocent" else response)

    server = upstream(answer)
    p = proxy(one_router(server.url), static=settings())
    ok(p.fetch(target="/innocent"))
    whole = p.fetch(target="/x")
    with p.flat(descriptors=8):
        for n in range(1, len(whole.head) + 20):
            with p.connect() as client:
                client.send(request_bytes(target="/x") + request_bytes(target="/x"))
                got = b""
                while len(got) < n:
                    got += client.sock.recv(n - len(got))
                if how == "reset":
                    client.reset()
        ok(p.fetch(target="/innocent"))


def test_broken_off_in_large_bodies(upstream, proxy):
    """Both bodies are on their way when the client leaves."""
    chunk = b"z" * 65536

    def serve(connection):
        connection.record(connection.read_head())
        connection.sock.settimeout(20)
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(1 << 30))]))
        stop = threading.Event()

        def swallow():
            try:
                while connection.sock.recv(65536):
                    pass
            except OSError:
                pass
            stop.set()

        threading.Thread(target=swallow, daemon=True).start()
        while not stop.is_set():
            connection.send(chunk)

    server = upstream(serve=serve)
    p = proxy(one_router(server.url), static=settings())
    with p.flat(memory_bytes=16 << 20, descriptors=8):
        for i in range(30):
            client = p.connect()
            client.sock.settimeout(5)
            client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", str(1 << 30))]) + chunk)
            client.reader.head()
            client.sock.recv(i * 10000 + 1)
            client.reset() if i % 2 else client.close()
        wait_until(lambda: server.open_connections == 0, "the upstream connections are closed", 20)


# --- all of it at once

def hostile_round(p, chooser, number):
    """One connection with something good, bad or cut off. Whole answers must be right."""
    kind = chooser.randrange(9)
    body = b"%d-%d." % (number, chooser.randrange(1 << 30)) * chooser.choice([1, 10, 1000, 20000])
    with p.connect(timeout_s=60) as client:
        if kind < 3:
            for _ in range(chooser.randrange(1, 5)):
                framed = {"body": body} if chooser.random() < 0.5 else {"chunks": [body[:5], body[5:]]}
                response = client.exchange("POST", "/echo", **framed)
                assert response.status == 200 and response.body == body, response.start_line
            return 1
        data = request_bytes("POST", "/echo", chunks=[body[:7], body[7:]])
        if kind == 3:
            client.send(data[:chooser.randrange(len(data))])
        elif kind == 4:
            client.send(request_bytes("GET", "/large"))
            client.sock.recv(chooser.randrange(1, 100000))
        elif kind == 5:
            client.send(bytes(chooser.randrange(256) for _ in range(100)))
        elif kind == 6:
            client.send(data + data + data[:20])
            client.sock.recv(10)
        elif kind == 7:
            client.send(data)
            client.end_of_input()
        else:
            client.send(head("POST /echo HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]) + b"5\r\nabcdezz\r\n")
        if chooser.random() < 0.5:
            client.reset()
    return 0


def test_mixed_load_with_aborts(upstream, proxy):
    """Good and bad clients at once on four workers; in the end nothing is left of them."""
    def answer(connection, request):
        body = request.body if request.target == "/echo" else b"L" * 300000
        connection.send(response_bytes(body=body) if len(body) % 2 else response_bytes(chunks=[body[:9], body[9:]]))

    p = proxy(one_router(upstream(answer).url), static=settings(workers=4))
    seconds, seed = (60 if LONG else 4), random.randrange(1 << 30)

    def work(i, until):
        chooser, good = random.Random(seed + i), 0
        while time.monotonic() < until:
            try:
                good += hostile_round(p, chooser, i)
            except (Closed, OSError) as error:
                # Only what was cut off on purpose may end without an answer.
                assert not isinstance(error, TimeoutError), f"seed {seed}: a client hangs"
        return good

    together(8, lambda i: work(i, time.monotonic() + 1))
    with p.flat(memory_bytes=24 << 20, descriptors=16):
        assert sum(together(12, lambda i: work(100 + i, time.monotonic() + seconds))) > 0
