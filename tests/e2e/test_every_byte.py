"""Peers that end, half-close, reset or fall silent behind every byte of what they have to say, over HTTP/1, HTTP/2 and
TLS: what was not whole is taken for whole by nobody, everything ends, and nothing is left."""

import contextlib
import os
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import h2
from harness.client import Client, request_bytes
from harness.message import Closed, chunked, head
from harness.metrics import scrape
from harness.proxy import ON_TRAEFIK, Plugin, merge, one_router, servers
from harness.tls import context
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="the time-outs and the counters are weir's own")

SLOW = int(os.environ.get("WEIR_TEST_SLOW", "1"))
LONG = "WEIR_LONG" in os.environ
STEP = 1 if LONG else 9  # what is encrypted is longer, and mostly alike
PATIENCE_S = 60 * SLOW
WAYS = ["close", "reset", "half-close", "stall"]
ROUTES = ["plain", "plugin", "buffering", "retry", "compress"]

REQUESTS = {
    "h1": head("POST /{route} HTTP/1.1", [("Host", "a"), ("X-A", "b"), ("Transfer-Encoding", "chunked")])
    + chunked(b"hello", b"world", trailers=[("X-T", "c")]),
    "h1-length": request_bytes("POST", "/{route}", [("X-A", "b")], body=b"helloworld"),
    "h2": h2.PREFACE + h2.frame(h2.SETTINGS) + h2.request("/{route}", "POST", [("x-a", "b")], [b"hello", b"world"], [("x-t", "c")]),
}
RESPONSES = {
    "h1": response_bytes(headers=[("X-A", "b"), ("Content-Type", "text/plain")], chunks=[b"hello", b"world"], trailers=[("X-T", "c")]),
    "h1-length": response_bytes(headers=[("X-A", "b"), ("Content-Type", "text/plain")], body=b"helloworld"),
    "h2": h2.frame(h2.SETTINGS) + h2.frame(h2.SETTINGS, h2.ACK)
    + h2.response(200, [("x-a", "b"), ("content-type", "text/plain")], [b"hello", b"world"], [("x-t", "c")]),
}

STATIC = {
    "weir": {"workers": 2},
    "entryPoints": {"web": {"transport": {"respondingTimeouts": {"readTimeout": "1s", "idleTimeout": "1s"}}}},
    "serversTransport": {"forwardingTimeouts": {"idleConnTimeout": "300ms", "responseHeaderTimeout": "1s"}},
}

MIDDLEWARES = {
    "plugin": {"plugin": {"body": {"features": 3, "request": "all", "response": "all"}}},
    "buffering": {"buffering": {"maxRequestBodyBytes": 1000000}},
    "retry": {"retry": {"attempts": 2}},
    "compress": {"compress": {"minResponseBodyBytes": 1}},
}

# Ways through the proxy and versions of HTTP, all of them when there is time.
CASES = [(route, version) for route in ROUTES for version in REQUESTS
         if LONG or (route, version) in (("plain", "h1"), ("plain", "h2"), ("plugin", "h1"), ("buffering", "h2"))]


def routes(url):
    """A router for each way through the proxy."""
    dynamic = {"http": {"routers": {}, "services": {"s": servers(url)}, "middlewares": MIDDLEWARES}}
    for name in ROUTES:
        dynamic["http"]["routers"][name] = {"rule": f"PathPrefix(`/{name}`)", "service": "s",
                                            **({"middlewares": [name]} if name in MIDDLEWARES else {})}
    return dynamic


def wait_quiet(p):
    """Until the counters say that nothing is in progress any more but the scrape itself."""
    found = {}

    def quiet():
        metrics = scrape(p.ports["traefik"])
        found.update(exchanges=metrics.value("weir_exchanges_live"), clients=metrics.value("weir_entrypoint_open", entrypoint="web"),
                     upstream=metrics.value("weir_upstream_open"), kept=metrics.value("weir_kept_bodies_bytes"),
                     files=metrics.value("weir_kept_bodies_files"))
        return found == {"exchanges": 1, "clients": 0, "upstream": 0, "kept": 0, "files": 0}

    wait_until(quiet, lambda: f"everything has ended: {found}", PATIENCE_S, 0.05)


@contextlib.contextmanager
def nothing_left(p):
    wait_quiet(p)
    with p.flat(memory_bytes=24 << 20, descriptors=8):
        yield
        wait_quiet(p)


def leave(client, how):
    """Returns when the connection has ended."""
    if how == "reset":
        client.reset()
        return
    if how != "close":
        if how == "half-close":
            client.end_of_input()
        with contextlib.suppress(Closed, ConnectionError):  # but not TimeoutError
            while True:
                client.reader.exactly(1)
    client.close()


def all_at_once(count, action):
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(action, i) for i in range(count)]:
            done.result(PATIENCE_S)


# --- of requests

@pytest.fixture(scope="module")
def site(module_upstream, module_proxy):
    def serve(connection):
        """Records what is whole."""
        while True:
            connection.read_request()
            connection.send(response_bytes(body=os.urandom(400).hex().encode(), headers=[("Content-Type", "text/plain")]))

    server = module_upstream(serve=serve)
    return module_proxy(routes(server.url), static=STATIC, plugins={"body": Plugin("body")}), server


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("route,version", CASES)
def test_of_a_request(site, route, version, how):
    p, server = site
    data = REQUESTS[version]
    if version == "h2":
        data = data.replace(h2.fields((":path", "/{route}")), h2.fields((":path", f"/{route}")))
        data = with_lengths(data)
    else:
        data = data.replace(b"{route}", route.encode())
    before = len(server.requests)

    def one(n):
        client = Client(p.port, timeout_s=PATIENCE_S)
        client.send(data[:n])
        leave(client, how)

    with nothing_left(p):
        all_at_once(len(data), one)
    assert server.requests[before:] == [], "a part was taken for a whole request"
    with Client(p.port) as client:
        client.send(data)
        server.wait_requests(before + 1, PATIENCE_S)  # or the test would show nothing


def with_lengths(data):
    """Frames whose payload was changed, with their lengths made right."""
    preface, settings, rest = data[:len(h2.PREFACE)], h2.frame(h2.SETTINGS), data[len(h2.PREFACE) + 9:]
    start = 9
    end = rest.index(h2.frame(h2.DATA, 0, 1, b"hello"))
    payload = rest[start:end]
    return preface + settings + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, payload) + rest[end:]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("route", ["plain", "plugin", "compress"])
def test_of_an_answer_that_a_client_reads(site, route, how):
    """Clients of HTTP/2 that leave in the middle of their answer."""
    p, _ = site
    data = h2.PREFACE + h2.frame(h2.SETTINGS) + h2.request(f"/{route}", headers=[("accept-encoding", "gzip")])

    def one(n):
        client = Client(p.port, timeout_s=PATIENCE_S)
        client.send(data)
        got = 0
        while got < n:
            part = client.sock.recv(n - got)
            assert part, f"the connection ended behind {got} bytes"
            got += len(part)
        leave(client, how)

    with nothing_left(p):
        all_at_once(250, one)


# --- of what TLS makes of a request

class Budget:
    """A client of TLS that sends so many bytes and no more."""

    def __init__(self, port, left):
        self.client = Client(port, timeout_s=PATIENCE_S)
        self.left = left
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context().wrap_bio(self._in, self._out, server_hostname="test.example")

    def _send(self):
        data = self._out.read()
        self.client.send(data[:self.left])
        self.left -= len(data)

    def run(self, data):
        """Whether all of it was sent."""
        steps = [self._tls.do_handshake, lambda: self._tls.write(data)]
        while steps:
            try:
                steps[0]()
                steps.pop(0)
            except ssl.SSLWantReadError:
                self._send()
                if self.left <= 0:
                    return False
                self._in.write(self.client.sock.recv(65536))
        self._send()
        return self.left >= 0


@pytest.mark.parametrize("how", WAYS)
def test_of_a_request_over_tls(upstream, proxy, how):
    server = upstream()
    dynamic = merge(one_router(server.url), {"http": {"routers": {"r": {"tls": {}}}}})
    p = proxy(dynamic, static=STATIC, metrics=True)
    data = REQUESTS["h1"].replace(b"{route}", b"")
    probe = Budget(p.port, 1 << 20)
    assert probe.run(data)
    total = (1 << 20) - probe.left
    server.wait_requests(1, PATIENCE_S)
    probe.client.close()
    wait_quiet(p)

    def one(n):
        peer = Budget(p.port, n * STEP)
        with contextlib.suppress(ConnectionError):
            assert not peer.run(data)
            leave(peer.client, how)

    before = len(server.requests)
    with nothing_left(p):
        all_at_once((total - 1) // STEP, one)
    assert server.requests[before:] == [], "a part was taken for a whole request"


# --- of responses

ADDRESSES = [f"127.2.{i // 200}.{i % 200 + 1}" for i in range(max(map(len, RESPONSES.values())))]


def number_of(connection):
    """Which of ADDRESSES was connected to: it says behind which byte to break off."""
    return ADDRESSES.index(connection.sock.getsockname()[0])


def read_h2_request(connection):
    connection.reader.exactly(len(h2.PREFACE))
    while True:
        kind, flags, stream, _ = h2.read_frame(connection.reader)
        if kind in (h2.HEADERS, h2.DATA) and flags & h2.END_STREAM:
            return
        assert stream in (0, 1), "a second call on a connection that has never answered the first"


def break_off(connection, how):
    if how == "reset":
        connection.reset()
    elif how != "close":
        if how == "half-close":
            connection.sock.shutdown(socket.SHUT_WR)
        connection.sock.settimeout(PATIENCE_S)
        while connection.sock.recv(65536):
            pass
    raise Closed()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("route,version", CASES)
def test_of_a_response(upstream, proxy, route, version, how):
    data = RESPONSES[version]
    head_bytes = data.index(h2.frame(h2.DATA, 0, 1, b"hello")) if version == "h2" else data.index(b"\r\n\r\n") + 4
    sent = [threading.Event() for _ in data]

    def serve(connection):
        if version == "h2":
            read_h2_request(connection)
        else:
            connection.read_request()
        connection.send(data[:number_of(connection)])
        sent[number_of(connection)].set()
        break_off(connection, how)

    server = upstream(serve=serve, host="0.0.0.0", backlog=1024)
    scheme = "h2c" if version == "h2" else "http"
    dynamic = {"http": {"routers": {}, "services": {}, "middlewares": MIDDLEWARES}}
    for n in range(len(data)):
        dynamic["http"]["services"][f"s{n}"] = servers(f"{scheme}://{ADDRESSES[n]}:{server.port}")
        dynamic["http"]["routers"][f"r{n}"] = {"rule": f"Path(`/{n}`)", "service": f"s{n}",
                                               **({"middlewares": [route]} if route in MIDDLEWARES else {})}
    p = proxy(dynamic, static=STATIC, plugins={"body": Plugin("body")})

    def one(n):
        with Client(p.port, timeout_s=PATIENCE_S) as client:
            client.send(request_bytes(target=f"/{n}", headers=[("Accept-Encoding", "gzip")]))
            if how == "stall" and n >= head_bytes:
                assert sent[n].wait(PATIENCE_S)
                return  # there is no more to come, for as long as the client stays
            with contextlib.suppress(Closed, ConnectionError):
                message = client.response()
                assert message.status in (200, 500, 502, 504), message.start_line
                assert message.status != 200, f"{n} of {len(data)} bytes were taken for a whole response"

    with nothing_left(p):
        all_at_once(len(data), one)
