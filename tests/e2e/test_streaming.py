"""Large bodies, slow peers, and what they cost in memory."""

import hashlib
import threading

import pytest

from harness.client import request_bytes
from harness.load import together
from harness.message import head
from harness.proxy import Plugin, memory_tells, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

LARGE = 20 << 20
BLOCK = bytes(range(256)) * 256


def blocks(size):
    for at in range(0, size, len(BLOCK)):
        yield BLOCK[: size - at]


def digest(parts):
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


EXPECTED = digest(blocks(LARGE))


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_request(upstream, proxy, framing):
    def answer(connection, request):
        connection.send(response_bytes(body=hashlib.sha256(request.body).hexdigest().encode()))

    p = proxy(one_router(upstream(answer).url))
    with p.connect() as client:
        if framing == "length":
            client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", str(LARGE))]))
            for block in blocks(LARGE):
                client.send(block)
        else:
            client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]))
            for block in blocks(LARGE):
                client.send(b"%x\r\n%s\r\n" % (len(block), block))
            client.send(b"0\r\n\r\n")
        assert client.response().body == EXPECTED.encode()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_large_response(upstream, proxy, framing):
    def answer(connection, request):
        fields = {"length": [("Content-Length", str(LARGE))], "chunked": [("Transfer-Encoding", "chunked")],
                  "close": [("Connection", "close")]}[framing]
        connection.send(head("HTTP/1.1 200 OK", fields))
        for block in blocks(LARGE):
            connection.send(block if framing != "chunked" else b"%x\r\n%s\r\n" % (len(block), block))
        if framing == "chunked":
            connection.send(b"0\r\n\r\n")
        if framing == "close":
            connection.close()

    with proxy(one_router(upstream(answer).url)).connect() as client:
        assert digest([client.exchange().body]) == EXPECTED


class Flood:
    """Sends without end until stopped and counts the bytes that were taken."""

    def __init__(self, send):
        self.sent = 0
        self.stopped = threading.Event()
        self._send = send

    def run(self):
        try:
            while not self.stopped.is_set():
                self._send(BLOCK)
                self.sent += len(BLOCK)
        except OSError:
            pass

    def stalls(self):
        """True once nothing was taken for a while: back-pressure has reached the sender."""
        before, quiet = self.sent, threading.Event()
        quiet.wait(0.5)
        return self.sent == before and before > 0


@pytest.mark.parametrize("count", [1, 20])
def test_slow_reader_holds_the_upstream_back(upstream, proxy, count):
    floods = []

    def answer(connection, request):
        if request.target != "/flood":
            connection.send(response_bytes(body=b"ok"))
            return
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(1 << 40))]))
        flood = Flood(connection.send)
        floods.append(flood)
        flood.run()

    p = proxy(one_router(upstream(answer).url))
    p.fetch()
    before = p.pss_bytes
    clients = [p.connect(receive_buffer=65536) for _ in range(count)]
    for client in clients:
        client.send(request_bytes(target="/flood"))
        client.reader.head()
    wait_until(lambda: len(floods) == count and all(f.stalls() for f in floods), "back-pressure", 60)
    assert not memory_tells() or p.pss_bytes - before < (16 << 20) + count * (1 << 20)
    assert all(flood.sent < 64 << 20 for flood in floods)
    assert p.fetch().body == b"ok"
    for flood in floods:
        flood.stopped.set()
    for client in clients:
        client.reset()


@pytest.mark.parametrize("count", [1, 20])
def test_slow_upstream_holds_the_client_back(upstream, proxy, count):
    release = threading.Event()

    def serve(connection):
        request = connection.record(connection.read_head())
        if request.target == "/flood":
            release.wait(90)
        else:
            connection.send(response_bytes(body=b"ok", headers=[("Connection", "close")]))

    server = upstream(serve=serve)
    p = proxy(one_router(server.url))
    p.fetch()
    before = p.pss_bytes
    clients, floods = [], []
    for _ in range(count):
        client = p.connect()
        client.send(head("POST /flood HTTP/1.1", [("Host", "a"), ("Content-Length", str(1 << 40))]))
        flood = Flood(client.send)
        threading.Thread(target=flood.run, daemon=True).start()
        clients.append(client)
        floods.append(flood)
    wait_until(lambda: all(f.stalls() for f in floods), "back-pressure", 60)
    assert not memory_tells() or p.pss_bytes - before < (16 << 20) + count * (1 << 20)
    assert p.fetch().body == b"ok"
    release.set()
    for flood in floods:
        flood.stopped.set()
    for client in clients:
        client.reset()


@pytest.mark.differs("Go's server reads the rest of the request before it sends a response")
def test_echo_in_both_directions_at_once(upstream, proxy):
    """Neither direction may wait for the other to end."""
    def serve(connection):
        request = connection.read_head()
        connection.record(request)
        connection.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]))
        for chunk in connection.reader.chunks():
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        connection.send(b"0\r\n\r\n")

    with proxy(one_router(upstream(serve=serve).url)).connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]))
        client.send(b"3\r\none\r\n")
        client.reader.head()
        chunks = client.reader.chunks()
        assert next(chunks) == b"one"
        for word in (b"two", b"three"):
            client.send(b"%x\r\n%s\r\n" % (len(word), word))
            assert next(chunks) == word
        client.send(b"0\r\n\r\n")
        assert list(chunks) == []


def test_many_parallel_exchanges_leave_nothing(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(body=request.body[::-1])))
    p = proxy(one_router(server.url))

    def work(i):
        with p.connect() as client:
            for j in range(20):
                body = b"%d-%d" % (i, j) * 100
                assert client.exchange("POST", body=body).body == body[::-1]

    together(50, work)
    with p.flat(descriptors=60):
        together(50, work)

# --- messages that come one by one


def events(count=5):
    """An upstream's script: an event, and the next one when the client has it; (script, acknowledgements)."""
    seen = threading.Semaphore(0)

    def answer(connection, request):
        fields = [("Content-Type", request.get("X-Type") or "text/event-stream")]
        if request.target == "/chunked":
            fields.append(("Transfer-Encoding", "chunked"))
        connection.send(head("HTTP/1.1 200 OK", fields))
        for i in range(count):
            data = b"data: %d\n\n" % i
            connection.send(b"%x\r\n%s\r\n" % (len(data), data) if request.target == "/chunked" else data)
            assert seen.acquire(timeout=30), f"event {i} did not arrive"
        if request.target == "/chunked":
            connection.send(b"0\r\n\r\n")
        else:
            connection.close()

    return answer, seen


def receive_events(proxy, seen, target, host="a", kind="text/event-stream", count=5):
    with proxy.connect() as client:
        client.send(request_bytes(target=target, host=host, headers=[("X-Type", kind)]))
        assert client.reader.head().status == 200
        got = b""
        for i, chunk in enumerate(client.reader.chunks()):
            got += chunk
            if got.endswith(b"\n\n"):
                seen.release()
        assert got == b"".join(b"data: %d\n\n" % i for i in range(count))


@pytest.mark.parametrize("target", ["/chunked", "/until-close"])
def test_events_arrive_one_by_one(upstream, proxy, target):
    answer, seen = events()
    dynamic = one_router(upstream(answer).url, middlewares=["add", "type", "few"])
    dynamic["http"]["middlewares"] = {"add": {"headers": {"customResponseHeaders": {"X-Added": "1"}}}, "type": {"contentType": {}},
                                      "few": {"inFlightReq": {"amount": 3}}}
    receive_events(proxy(dynamic), seen, target)


@pytest.mark.differs("Traefik waits for the end of what a guest may rewrite")
@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8", "application/grpc", "application/grpc+proto",
                                  "application/grpc-web+proto"])
@pytest.mark.parametrize("plugin,config", [("header", {}), ("rewrite-buffered", {}), ("body", {"features": 3, "response": "rewrite"})])
def test_events_pass_plugins_one_by_one(upstream, proxy, plugin, config, kind):
    answer, seen = events()
    p = proxy(one_router(upstream(answer).url, plugin={"p": config}), plugins={"p": Plugin(plugin)})
    receive_events(p, seen, "/chunked", kind=kind)


@pytest.mark.parametrize("interval", [None, "1ms", "-1", pytest.param("1h", marks=pytest.mark.differs("it holds bytes back for as long"))])
def test_bytes_of_an_answer_are_not_held_back(upstream, proxy, interval):
    """Whatever `flushInterval` says: the second part is sent when the client has got the first."""
    arrived = threading.Event()

    def answer(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", "6")]) + b"one")
        assert arrived.wait(30)
        connection.send(b"two")

    dynamic = one_router(upstream(answer).url)
    if interval is not None:
        dynamic["http"]["services"]["s"]["loadBalancer"]["responseForwarding"] = {"flushInterval": interval}
    with proxy(dynamic).connect() as client:
        client.send(request_bytes())
        client.reader.head()
        assert client.reader.exactly(3) == b"one"
        arrived.set()
        assert client.reader.exactly(3) == b"two"
