"""Networks that lose, delay, repeat and reorder packets, or fall silent, between clients and weir, and between weir and servers.
All arrives, byte for byte, and what is cut off ends by the limits that there are for it."""

import contextlib
import os
import random
import shutil
import subprocess
import threading

import pytest

from harness import network
from harness.certificates import Authority
from harness.client import Client, request_bytes
from harness.load import together
from harness.message import head
from harness.proxy import ON_TRAEFIK, one_router
from harness.tls import TlsClient, context, server_context
from harness.upstream import response_bytes
from harness.waiting import wait_until
from harness.websocket import BINARY, CLOSE, WebSocket, open_websocket, switch_bytes

pytestmark = [pytest.mark.skipif(ON_TRAEFIK, reason="weir's own counters"),
              pytest.mark.skipif(network.why_not() is not None, reason=str(network.why_not()))]

SLOW = int(os.environ.get("WEIR_TEST_SLOW", "1"))
PATIENCE_S = 60 * SLOW
# Share of packets that are lost, and bytes that come through in a few seconds then.
LOSSES = [pytest.param(0.05, 4 << 20, id="5 %"), pytest.param(0.2, 1 << 18, id="20 %")]
SIDES = ["client", "server"]
ERRORS = [f"weir_upstream_{name}_total" for name in (
    "connect_failures", "holds", "h2_goaways", "h2_lost", "tls_failures", "retried", "refused", "bad_responses", "timeouts", "bad_switches")] + [
    f"weir_entrypoint_{name}_total" for name in (
        "bad_requests", "read_timeouts", "write_timeouts", "stalled", "aborted", "h2_resets", "h2_refused", "h2_floods", "tunnel_timeouts",
        "tls_failures", "tls_timeouts")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).issue("site.example", "DNS:site.example", "IP:127.0.0.1")


@pytest.fixture
def link(request):
    """A link without weather, but for tests with `side` and `loss`: there it is bad, as the name of the test has it."""
    share = request.node.callspec.params.get("loss", 0) if hasattr(request.node, "callspec") else 0
    weather = {"loss": share, "twice": 0.05, "late": 0.1, "delay_ms": 1, "late_ms": 10} if share else {}
    with contextlib.closing(network.Link(request.node.name, **weather)) as made:
        yield made


def pattern(size):
    return random.Random(size).randbytes(size)


def answer(connection, request):
    """/N: N bytes. A body comes back, and so do messages of WebSockets."""
    if request.get("Upgrade"):
        connection.send(switch_bytes(request))
        peer = WebSocket(connection.sock, connection.reader, is_client=False)
        while (message := peer.receive())[0] != CLOSE:
            peer.send(message[1], message[0])
        peer.send_close(peer.close_code)
        return
    connection.send(response_bytes(body=request.body or pattern(int(request.target[1:]))))


class Site:
    """A client, a proxy and a server, with the link before the proxy or behind it."""

    def __init__(self, link, proxy, upstream, pair, side, scheme="http", answer=answer, **static):
        self.link = link
        self.outside, self.host = (link.far, link.near_address) if side == "client" else (link.near, "127.0.0.1")
        inside, address = (link.near, "127.0.0.1") if side == "client" else (link.far, link.far_address)
        with inside:
            self.server = upstream(answer, host="0.0.0.0", tls=server_context(pair) if scheme == "https" else None)
        url = f"{scheme}://{address}:{self.server.port}"
        if scheme == "h2c":
            behind = proxy(one_router(f"http://127.0.0.1:{self.server.port}"), namespace=inside)
            url = f"h2c://{address}:{behind.port}"
        dynamic = one_router(url)
        dynamic["http"]["routers"]["secure"] = {**dynamic["http"]["routers"]["r"], "tls": {}}
        dynamic["http"]["services"]["s"]["loadBalancer"]["serversTransport"] = "t"
        dynamic["http"]["serversTransports"] = {"t": {"insecureSkipVerify": True, "disableHTTP2": True, **static.pop("transport", {})}}
        self.proxy = proxy(dynamic | {"tls": {"certificates": [pair.pair]}}, namespace=link.near, metrics=True, static=static)
        self.before = self.errors()

    def connect(self, secure=False, timeout_s=PATIENCE_S):
        with self.outside:
            if secure:
                return TlsClient(self.proxy.port, "site.example", context(), timeout_s=timeout_s, host=self.host)
            return Client(self.proxy.port, host=self.host, timeout_s=timeout_s)

    def run(self, *command, stdin=None):
        with self.outside:
            done = subprocess.run(command, input=stdin, capture_output=True, timeout=2 * PATIENCE_S, check=False)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr.decode()}"
        return done.stdout

    def errors(self):
        metrics = self.proxy.scrape()
        return {name: metrics.sum(name) for name in ERRORS}

    def check(self):
        """There was bad weather, and nobody has noticed."""
        assert self.errors() == self.before
        for way in (self.link.to_near, self.link.to_far):
            assert min(way.counts.values()) > 0, way.counts


def exchange_all(client, size):
    """Small ones, a download, an upload, and both at once."""
    for i in range(10):
        assert client.exchange(target=f"/{i}").body == pattern(i)
    assert client.exchange(target=f"/{size}").body == pattern(size)
    body = pattern(size)
    assert client.exchange("POST", body=body).body == body


@pytest.mark.parametrize("loss,size", LOSSES)
@pytest.mark.parametrize("side", SIDES)
def test_plain(link, proxy, upstream, pair, side, loss, size):
    site = Site(link, proxy, upstream, pair, side)

    def one(_):
        with site.connect() as client:
            exchange_all(client, size // 4)

    with site.connect() as client:
        exchange_all(client, size)
    together(4, one)
    site.check()


@pytest.mark.parametrize("loss,size", LOSSES)
@pytest.mark.parametrize("side", SIDES)
def test_tls(link, proxy, upstream, pair, side, loss, size):
    site = Site(link, proxy, upstream, pair, side, "https" if side == "server" else "http")
    for _ in range(3):
        with site.connect(secure=True) as client:
            assert client.exchange(target="/1000").body == pattern(1000)
    with site.connect(secure=True) as client:
        exchange_all(client, size)
    site.check()


@pytest.mark.skipif(not all(map(shutil.which, ("curl", "h2load"))), reason="needs curl and nghttp2-client")
@pytest.mark.parametrize("loss,size", LOSSES)
@pytest.mark.parametrize("side", SIDES)
def test_http2(link, proxy, upstream, pair, side, loss, size):
    site = Site(link, proxy, upstream, pair, side, "h2c" if side == "server" else "http")
    url = f"http://{site.host}:{site.proxy.port}"
    curl = "curl", "-sS", "--http2-prior-knowledge", "--max-time", str(PATIENCE_S)
    assert site.run(*curl, f"{url}/{size}") == pattern(size)
    body = pattern(size)
    assert site.run(*curl, "--data-binary", "@-", url, stdin=body) == body
    out = site.run("h2load", "-n60", "-c2", "-m10", f"{url}/10000").decode()
    assert "60 succeeded, 0 failed, 0 errored, 0 timeout" in out
    site.check()


@pytest.mark.parametrize("loss,size", LOSSES)
@pytest.mark.parametrize("side", SIDES)
def test_websocket(link, proxy, upstream, pair, side, loss, size):
    site = Site(link, proxy, upstream, pair, side)
    with site.connect() as client:
        peer = open_websocket(client)
        for length in [0, 1, 125, 126, 65535, 65536, size]:
            peer.send(pattern(length))
            assert peer.receive() == (BINARY, pattern(length))
        for i in range(200):
            peer.send(b"%d" % i)
        assert [peer.receive()[1] for _ in range(200)] == [b"%d" % i for i in range(200)]
        peer.send_close(1000)
        assert peer.receive()[0] == CLOSE
    site.check()


# --- connections that are cut: no packet comes through any more, nor a word that says so

HUGE = 64 << 20


class Holding:
    """Answers as others do, but begins and does not finish under /begun, and says nothing under /silent, until `release`."""

    def __init__(self):
        self.release, self.silent = threading.Event(), threading.Semaphore(0)

    def __call__(self, connection, request):
        if request.target == "/begun":
            connection.send(head("HTTP/1.1 200 OK", [("Content-Length", "100")]) + b"begun")
        if request.target in ("/begun", "/silent"):
            self.silent.release()
            assert self.release.wait(2 * PATIENCE_S)
            return
        answer(connection, request)


@pytest.fixture
def holding():
    made = Holding()
    yield made
    made.release.set()


def rest(client):
    """What comes until the connection is closed, or reset."""
    data = client.reader.buffer
    with contextlib.suppress(ConnectionError):
        while part := client.sock.recv(65536):
            data += part
    return data


def counted(site, name):
    return site.proxy.scrape().sum(f"weir_entrypoint_{name}_total")


def test_clients_that_are_cut_off(link, proxy, upstream, pair, holding):
    """Whatever they were doing, the limit for it ends it, on both sides of the proxy."""
    site = Site(link, proxy, upstream, pair, "client", answer=holding,
                weir={"workers": 1, "limits": {"stallTimeout": "1s", "tunnelIdle": "2s", "tcpKeepAlive": "1s"}},
                entryPoints={"web": {"transport": {"respondingTimeouts": {"idleTimeout": "2s", "readTimeout": "5s"}}}},
                transport={"forwardingTimeouts": {"idleConnTimeout": "500ms"}})
    wait_until(lambda: site.server.open_connections == 0, "the proxy is at rest")
    with site.proxy.flat(memory_bytes=24 << 20), contextlib.ExitStack() as stack:
        def client(secure=False):
            return stack.enter_context(site.connect(secure))

        idle, secure = client(), client(secure=True)
        for one in (idle, secure):
            assert one.exchange(target="/10").status == 200
        client().send(b"GET / HTTP/1.1\r\nHo")
        client().send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "1000")]) + b"half")
        for one in (client(), client(secure=True)):
            one.send(request_bytes(target=f"/{HUGE}"))
            assert one.reader.head().status == 200
        open_websocket(client())
        client().send(request_bytes(target="/silent"))
        assert holding.silent.acquire(timeout=PATIENCE_S)
        link.cut()
        # The one that waits for its answer is found out by nothing but questions to its machine: ten seconds.
        expected = {"idle_timeouts": 2, "read_timeouts": 2, "stalled": 2, "tunnel_timeouts": 1}
        wait_until(lambda: {name: counted(site, name) for name in expected} == expected,
                   lambda: f"{({name: counted(site, name) for name in expected})} is {expected}", PATIENCE_S)
        wait_until(lambda: site.proxy.scrape().value("weir_entrypoint_open", entrypoint="web") == 0, "all are closed", PATIENCE_S)
        wait_until(lambda: site.server.open_connections == 1, "the server has none but the one that holds on", PATIENCE_S)
    holding.release.set()
    link.mend()
    with site.connect() as client:
        assert client.exchange(target="/10").body == pattern(10)


def test_servers_that_are_cut_off(link, proxy, upstream, pair, holding):
    link.near.set("ipv4/tcp_retries2", 3)  # until what was sent and not acknowledged is given up: a quarter of an hour by default
    site = Site(link, proxy, upstream, pair, "server", answer=holding,
                weir={"workers": 1, "limits": {"tunnelIdle": "2s", "tcpKeepAlive": "1s"}},
                transport={"forwardingTimeouts": {"idleConnTimeout": "1s", "dialTimeout": "3s", "responseHeaderTimeout": "3s"}})

    def ask(client, target):
        client.send(request_bytes(target=target))
        assert holding.silent.acquire(timeout=PATIENCE_S)

    wait_until(lambda: site.server.open_connections == 0, "the proxy is at rest")
    with site.proxy.flat(memory_bytes=24 << 20), contextlib.ExitStack() as stack:
        begun, silent, tunnel, upload, late = (stack.enter_context(site.connect()) for _ in range(5))
        ask(begun, "/begun")
        assert begun.reader.head().status == 200
        ask(silent, "/silent")
        open_websocket(tunnel)
        upload.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", str(HUGE))]) + b"x" * 1000)
        wait_until(lambda: site.server.open_connections == 4, "the upload has begun")
        link.cut()
        upload.sock.setblocking(False)
        with contextlib.suppress(OSError):
            upload.send(bytes(HUGE))
        upload.sock.settimeout(PATIENCE_S)
        late.send(request_bytes(target="/10"))
        assert late.response().status == 504
        assert silent.response().status == 504
        assert upload.response().status in (502, 504)
        assert rest(tunnel) == b""
        assert rest(begun) == b"begun"
        wait_until(lambda: site.proxy.scrape().value("weir_upstream_open") == 0, "all are closed", PATIENCE_S)
    holding.release.set()
    link.mend()
    with site.connect() as client:
        wait_until(lambda: client.exchange(target="/10").body == pattern(10), "it serves again", PATIENCE_S)
