"""A hundred megabytes through peers that take a kilobyte at a time, over all versions and ways: what that costs is bounded
by queues, not by the bodies, and who reads to the end gets everything."""

import contextlib
import hashlib
import os
import socket
import struct
import threading
import zlib

import pytest

from harness import h2, process
from harness.client import request_bytes
from harness.message import Closed, head
from harness.proxy import ON_TRAEFIK, Plugin, memory_tells, servers
from harness.tls import TlsClient, context
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="the bounds are weir's own")

LONG = "WEIR_LONG" in os.environ
SLOW = int(os.environ.get("WEIR_TEST_SLOW", "1"))
SIZE = 100 << 20
PATIENCE_S = 60 * SLOW
SIP, SIPS = 1024, 20
BLOCK = b"".join(hashlib.sha256(b"%d" % i).digest() * 4 for i in range(512))  # 64 KiB
CROWD = {"plain": 8, "headers": 8, "compress": 8, "plugin": 2, "buffering": 2}
MIDDLEWARES = {
    "headers": {"plugin": {"header": {}}},
    "plugin": {"plugin": {"body": {"features": 3, "request": "all", "response": "all"}}},
    "buffering": {"buffering": {"maxRequestBodyBytes": 2 * SIZE, "maxResponseBodyBytes": 2 * SIZE}},
    "compress": {"compress": {}},
}
KEEPS = ("plugin", "buffering")  # a whole body, in a file
VERSIONS = ("h1", "tls", "h2", "h2-tls")
READERS = [("plain", "h1", "h1"), ("plain", "h2-tls", "h2"), ("compress", "h2", "h1"), ("plugin", "tls", "h1"), ("buffering", "h2-tls", "h1")]
WRITERS = [("plain", "h1"), ("plain", "h2-tls"), ("plugin", "h2"), ("buffering", "tls")]
if LONG:
    READERS = [(way, version, server) for way in CROWD for version in VERSIONS for server in ("h1", "h2")]
    WRITERS = [(way, version) for way in CROWD if way != "compress" for version in VERSIONS]


def expected(size):
    total = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        total.update(BLOCK)
    return total.hexdigest()


EXPECTED = expected(SIZE)


# --- clients

class H1:
    """Reads as slowly as it is told to."""

    def __init__(self, client):
        self.client = client

    def ask(self, target):
        self.client.send(request_bytes(target=target, headers=[("Accept-Encoding", "gzip")]))

    def sip(self):
        self.client.reader.buffer += self.client.sock.recv(SIP)

    def upload(self, target):
        self.client.send(head(f"POST {target} HTTP/1.1", [("Host", "a"), ("Content-Length", str(SIZE))]))
        for _ in range(SIZE // len(BLOCK)):
            self.client.send(BLOCK)

    def answer(self):
        return self.client.response().body

    def _parts(self, message):
        reader = self.client.reader
        if message.get("Transfer-Encoding"):
            yield from reader.chunks()
        else:
            left = int(message.get("Content-Length"))
            while left:
                part = reader.exactly(min(left, 1 << 18))
                left -= len(part)
                yield part

    def drain(self):
        hurry(self.client)
        message = self.client.reader.head()
        assert message.status == 200, message.start_line
        return digest(self._parts(message), message.get("Content-Encoding") == "gzip")


class H2:
    """Gives its peer credit for a sip at a time."""

    def __init__(self, client):
        self.client = client
        self.client.send(h2.PREFACE + h2.frame(h2.SETTINGS, payload=struct.pack("!HI", 4, 1)))
        self.flow = Flow(client.sock, client.reader)

    def ask(self, target):
        self.client.send(h2.request(target, headers=[("accept-encoding", "gzip")]))

    def _credit(self, size):
        for stream in (0, 1):
            self.client.send(h2.frame(h2.WINDOW_UPDATE, 0, stream, struct.pack("!I", size)))

    def sip(self):
        before = self.flow.received
        self._credit(SIP)
        while self.flow.received < before + SIP:
            self.flow.read()

    def upload(self, target):
        self.client.send(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.fields(
            (":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", target), ("content-length", str(SIZE)))))
        self.flow.send_body(1, SIZE)

    def answer(self):
        self._credit(1 << 20)
        while not self.flow.ended:
            self.flow.read()
        return b"".join(self.flow.body)

    def drain(self):
        hurry(self.client)
        self._credit(1 << 30)

        def parts():
            while self.flow.body or not self.flow.ended:
                while self.flow.body:
                    yield self.flow.body.pop(0)
                if not self.flow.ended:
                    self.flow.read()

        # What is compressed says so by how it begins.
        found = parts()
        first = next(found)
        while len(first) < 2:
            first += next(found)
        return digest((part for some in ([first], found) for part in some), first[:2] == b"\x1f\x8b")


class Flow:
    """One stream of a connection: windows for what is sent, bytes that came."""

    def __init__(self, sock, reader):
        self.sock, self.reader = sock, reader
        self.received, self.body, self.ended = 0, [], False
        self.connection = self.stream = self.initial = 65535
        self.sent = 0

    def read(self):
        kind, flags, of, payload = h2.read_frame(self.reader)
        if kind == h2.DATA:
            self.received += len(payload)
            self.body.append(payload)
        elif kind == h2.SETTINGS and not flags & h2.ACK:
            for at in range(0, len(payload), 6):
                number, value = struct.unpack("!HI", payload[at:at + 6])
                if number == 4:
                    self.stream, self.initial = self.stream + value - self.initial, value
            self.sock.sendall(h2.frame(h2.SETTINGS, h2.ACK))
        elif kind == h2.PING and not flags & h2.ACK:
            self.sock.sendall(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.WINDOW_UPDATE:
            grown = struct.unpack("!I", payload)[0]
            self.connection += grown if of == 0 else 0
            self.stream += grown if of else 0
        elif kind in (h2.RST_STREAM, h2.GOAWAY):
            raise Closed(payload, reset=True)
        if kind in (h2.DATA, h2.HEADERS) and flags & h2.END_STREAM:
            self.ended = True

    def send_body(self, stream, size):
        while self.sent < size:
            room = min(self.connection, self.stream, 16384, size - self.sent)
            if room <= 0:
                self.read()
                continue
            at = self.sent % len(BLOCK)
            part = BLOCK[at:at + room]
            self.sock.sendall(h2.frame(h2.DATA, h2.END_STREAM if self.sent + len(part) == size else 0, stream, part))
            self.sent += len(part)
            self.connection -= len(part)
            self.stream -= len(part)


def digest(parts, compressed):
    total, unpack = hashlib.sha256(), zlib.decompressobj(31) if compressed else None
    for part in parts:
        total.update(unpack.decompress(part) if unpack else part)
    return total.hexdigest()


def hurry(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)


def connect(p, version):
    options = {"receive_buffer": 8192, "timeout_s": PATIENCE_S}
    if version == "h1":
        return H1(p.connect(**options))
    if version == "h2":
        return H2(p.connect(**options))
    alpn = "h2" if version == "h2-tls" else "http/1.1"
    return (H2 if version == "h2-tls" else H1)(TlsClient(p.port, "test.example", context(alpn=[alpn]), **options))


# --- servers

class Source:
    """Sends SIZE bytes to each that asks, in HTTP/1.1 or in HTTP/2, and counts those that were taken."""

    def __init__(self, size):
        self.size, self.sent = size, {}

    def h1(self, connection):
        while True:
            connection.read_request()
            connection.send(head("HTTP/1.1 200 OK", [("Content-Length", str(self.size)), ("Content-Type", "text/plain")]))
            for i in range(self.size // len(BLOCK)):
                connection.send(BLOCK)
                self.sent[connection.number] = (i + 1) * len(BLOCK)

    def h2(self, connection):
        """For one call on each connection: each comes to an address of its own."""
        connection.reader.exactly(len(h2.PREFACE))
        connection.send(h2.frame(h2.SETTINGS))
        flow = Flow(connection.sock, connection.reader)
        while not flow.ended:
            flow.read()
        connection.send(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.fields((":status", "200"), ("content-type", "text/plain"))))
        self.sent[connection.number] = flow  # its `sent`
        flow.send_body(1, self.size)
        while True:
            flow.read()

    def counts(self):
        return [value.sent if isinstance(value, Flow) else value for value in list(self.sent.values())]

    def still(self, count):
        """Whether nothing was taken for a while: nobody reads."""
        before, pause = self.counts(), threading.Event()
        pause.wait(0.3)
        return len(before) == count and min(before) > 0 and self.counts() == before


class Sink:
    """Reads requests a sip at a time, and to the end those that it is told to."""

    def __init__(self):
        self.go_on, self.sipped = threading.Event(), 0

    def h1(self, connection):
        message = connection.reader.head()
        for _ in range(SIPS):
            connection.reader.buffer += connection.sock.recv(SIP)
        self.sipped += 1
        assert self.go_on.wait(PATIENCE_S)
        total, left = hashlib.sha256(), int(message.get("Content-Length"))
        while left:
            part = connection.reader.exactly(min(left, 1 << 18))
            left -= len(part)
            total.update(part)
        connection.send(response_bytes(body=total.hexdigest().encode()))


# --- tests

def start(proxy, server, way, scheme="http"):
    """The path /N leads to the address 127.3.0.N of the server, and so to connections of its own."""
    dynamic = {"http": {"routers": {}, "services": {}, "middlewares": MIDDLEWARES}}
    for n in range(1, CROWD[way] + 1):
        router = {"rule": f"Path(`/{n}`)", "service": f"s{n}", **({"middlewares": [way]} if way in MIDDLEWARES else {})}
        dynamic["http"]["routers"] |= {f"plain{n}": router, f"tls{n}": {**router, "tls": {}}}
        dynamic["http"]["services"][f"s{n}"] = servers(f"{scheme}://127.3.0.{n}:{server.port}")
    timeouts = {"readTimeout": "0s", "writeTimeout": "0s"}
    return proxy(dynamic, plugins={"header": Plugin("header"), "body": Plugin("body")},
                 static={"weir": {"workers": 2, "limits": {"keptBodies": "1GiB"}, "plugins": {"defaults": {"bodyBuffer": "512MiB"}}},
                         "entryPoints": {"web": {"transport": {"respondingTimeouts": timeouts}}}})


@contextlib.contextmanager
def bounded(p, count):
    """A queue in each direction and blocks for reading and writing for each, however large bodies are."""
    with process.Peak(p.pid, p.pss_bytes) as peak:
        yield
    assert not memory_tells() or peak.bytes < (24 << 20) + count * (3 << 19), f"{peak.bytes >> 10} KiB for {count} clients"


@pytest.mark.parametrize("way,version,server_version", READERS)
def test_slow_readers(upstream, proxy, way, version, server_version):
    size = SIZE if LONG or way != "compress" else SIZE // 4  # which is slow
    source, count = Source(size), CROWD[way]
    p = start(proxy, upstream(serve=getattr(source, server_version), host="0.0.0.0"), way, "h2c" if server_version == "h2" else "http")
    with p.flat(memory_bytes=24 << 20, descriptors=8), bounded(p, count):
        clients = [connect(p, version) for _ in range(count)]
        for n, client in enumerate(clients, 1):
            client.ask(f"/{n}")
        wait_until(lambda: source.still(count), lambda: f"all have stopped: {source.counts()}", PATIENCE_S)
        if way not in KEEPS:
            assert max(source.counts()) < size // 2, "nothing holds the server back"
        for _ in range(SIPS):
            for client in clients:
                client.sip()
        assert clients[0].drain() == expected(size)
        for client in clients:
            client.client.reset()


@pytest.mark.parametrize("way,version", WRITERS)
def test_slow_servers(upstream, proxy, way, version):
    sink, count = Sink(), CROWD[way]
    p = start(proxy, upstream(serve=sink.h1, host="0.0.0.0"), way)
    with p.flat(memory_bytes=24 << 20, descriptors=8), bounded(p, count):
        clients = [connect(p, version) for _ in range(count)]

        def upload(client, n):
            with contextlib.suppress(OSError, Closed):
                client.upload(f"/{n}")

        threads = [threading.Thread(target=upload, args=(client, n), daemon=True) for n, client in enumerate(clients, 1)]
        for thread in threads:
            thread.start()
        wait_until(lambda: sink.sipped == count, lambda: f"{sink.sipped} servers have got something", PATIENCE_S)
        sink.go_on.set()
        for client in clients[1:]:
            client.client.sock.shutdown(2)
        threads[0].join(PATIENCE_S)
        assert clients[0].answer() == EXPECTED.encode()
        for client in clients:
            client.client.close()
