"""HTTP/2 without TLS, with the clients that people use: curl, nghttp, h2load."""

import re
import shutil
import signal
import subprocess
import threading

import pytest

from harness.message import head
from harness.metrics import scrape
from harness.proxy import Plugin, one_router
from harness.upstream import response_bytes

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("curl", "nghttp", "h2load"))), reason="needs curl and nghttp2-client")

PATIENCE_S = 60
BIG = bytes(range(256)) * 20000


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr.decode()}\n{done.stdout[:2000]!r}"
    return done.stdout


def curl(proxy, target="/", *options, stdin=None):
    """Returns (status, lower-case fields, body)."""
    out = run("curl", "-sS", "-i", "--http2-prior-knowledge", "--max-time", str(PATIENCE_S), *options,
              f"http://127.0.0.1:{proxy.port}{target}", stdin=stdin)
    answer, _, body = out.partition(b"\r\n\r\n")
    while re.match(rb"HTTP/2 1\d\d", answer):
        answer, _, body = body.partition(b"\r\n\r\n")
    first, *lines = answer.decode().split("\r\n")
    version, status = first.split()[:2]
    assert version == "HTTP/2"
    return int(status), dict(line.split(": ", 1) for line in lines), body


def h2load(proxy, *options, target="/"):
    out = run("h2load", *options, f"http://127.0.0.1:{proxy.port}{target}").decode()
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    assert found, out
    return [int(n) for n in found.groups()]


def test_a_request_and_its_answer(relay):
    proxy, upstream = relay
    status, fields, body = curl(proxy, "/a%20b?c=d", "-H", "X-Some-Name: v", "-H", "Host: site.example", "-b", "a=1; b=2")
    assert (status, body) == (200, b"ok")
    assert "connection" not in fields and "transfer-encoding" not in fields and "date" in fields
    request = upstream.last
    assert request.start_line == "GET /a%20b?c=d HTTP/1.1"
    assert request.get("Host") == "site.example"
    assert request.get("Cookie") == "a=1; b=2"
    assert ("X-Some-Name", "v") in request.headers
    assert request.get("X-Forwarded-Proto") == "http"


def test_bodies_both_ways(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(body=request.body)))
    front = proxy(one_router(server.url))
    assert curl(front, "/", "--data-binary", "@-", stdin=BIG)[2] == BIG
    assert server.last.get("Content-Length") == str(len(BIG))
    # Without a length.
    assert curl(front, "/", "-T", "-", stdin=BIG)[2] == BIG
    assert server.last.chunked


def test_chunked_answers_and_head(upstream, proxy):
    def answer(connection, request):
        chunks = [BIG[:1000], BIG[1000:70000]]
        connection.send(response_bytes(chunks=None if request.method == "HEAD" else chunks, headers=[("X-A", "b")]))

    front = proxy(one_router(upstream(answer).url))
    status, fields, body = curl(front)
    assert (status, body) == (200, BIG[:70000])
    assert "content-length" not in fields and fields["x-a"] == "b"
    assert curl(front, "/", "-I")[0] == 200


def test_many_streams(relay):
    proxy, upstream = relay
    assert h2load(proxy, "-n", "2000", "-c", "4", "-m", "50") == [2000, 0, 0, 0]
    assert len(upstream.requests) == 2000


def test_streams_do_not_wait_for_each_other(upstream, proxy):
    """The first is answered only when the second, of the same connection, has arrived."""
    release = threading.Event()

    def answer(connection, request):
        if request.target == "/fast":
            release.set()
        elif not release.wait(PATIENCE_S):
            return
        connection.send(response_bytes(body=request.target.encode()))

    front = proxy(one_router(upstream(answer).url))
    base = f"http://127.0.0.1:{front.port}"
    out = run("nghttp", "-v", f"{base}/slow", f"{base}/fast").decode()
    assert out.count(":status: 200") == 2


def test_http1_and_http2_on_one_port(relay):
    proxy, _ = relay
    assert curl(proxy)[0] == 200
    assert proxy.fetch().status == 200


def test_over_tls(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(body=request.body)))
    dynamic = one_router(server.url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    front = proxy(dynamic)
    url = f"https://127.0.0.1:{front.port}/"
    out = run("curl", "-sSk", "-w", "%{http_version} %{http_code}", "--data-binary", "@-", url, stdin=BIG)
    assert out == BIG + b"2 200"
    assert server.last.get("X-Forwarded-Proto") == "https"
    assert run("curl", "-sSk", "-w", "%{http_version} %{http_code}", "--http1.1", url) == b"1.1 200"
    out = run("h2load", "-n", "500", "-c", "4", "-m", "20", url).decode()
    assert "500 succeeded" in out


def test_plugins_see_the_version(upstream, proxy):
    front = proxy(one_router(upstream().url, plugin={"p": {}}), plugins={"p": Plugin("request-line")})
    assert curl(front, "/", "-H", "X-Show: 1")[2].startswith(b"GET / HTTP/2.0 ")


def test_an_upstream_that_breaks_off_resets_the_stream(upstream, proxy):
    def answer(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Length", "100")]) + b"half")
        connection.reset()

    front = proxy(one_router(upstream(answer).url))
    done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", f"http://127.0.0.1:{front.port}/"], capture_output=True,
                          timeout=PATIENCE_S, check=False)
    assert done.returncode == 92, done.stderr
    assert b"INTERNAL_ERROR" in done.stderr


def test_a_client_that_leaves_ends_the_upstream_request(upstream, proxy):
    arrived, left = threading.Event(), threading.Event()

    def answer(connection, request):
        arrived.set()
        if connection.peer_closed():
            left.set()

    front = proxy(one_router(upstream(answer).url))
    client = subprocess.Popen(["curl", "-sS", "--http2-prior-knowledge", f"http://127.0.0.1:{front.port}/"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert arrived.wait(PATIENCE_S)
    finally:
        client.kill()
        client.wait(PATIENCE_S)
    assert left.wait(PATIENCE_S)


def test_a_stop_loses_no_request(upstream, proxy):
    arrived, release = threading.Event(), threading.Event()

    def answer(connection, request):
        arrived.set()
        release.wait(PATIENCE_S)
        connection.send(response_bytes(body=b"late"))

    front = proxy(one_router(upstream(answer).url))
    result = {}
    client = threading.Thread(target=lambda: result.update(answer=curl(front)), daemon=True)
    client.start()
    assert arrived.wait(PATIENCE_S)
    front.process.send_signal(signal.SIGTERM)
    release.set()
    client.join(PATIENCE_S)
    assert result["answer"][2] == b"late"
    front.process.wait(PATIENCE_S)


def test_limits_are_counted(relay, proxy):
    _, upstream = relay
    front = proxy(one_router(upstream.url), metrics=True, static={"entryPoints": {"web": {"http": {"maxHeaderBytes": 4096}}}})
    assert curl(front, "/", "-H", "X-Long: " + "a" * 10000)[0] == 431
    assert curl(front)[0] == 200
    metrics = scrape(front.ports["traefik"])
    assert metrics.value("weir_entrypoint_heads_too_large_total", entrypoint="web") == 1
    assert metrics.value("weir_entrypoint_h2_connections_total", entrypoint="web") == 2
    assert metrics.value("weir_entrypoint_h2_floods_total", entrypoint="web") == 0


def test_streams_at_a_time(upstream, proxy):
    """The limit is told to clients, which keep to it."""
    server = upstream()
    front = proxy(one_router(server.url), static={"entryPoints": {"web": {"http2": {"maxConcurrentStreams": 3}}}})
    out = run("nghttp", "-v", f"http://127.0.0.1:{front.port}/").decode()
    assert re.search(r"SETTINGS_MAX_CONCURRENT_STREAMS\(0x03\):3\b", out)
    assert h2load(front, "-n", "100", "-c", "2", "-m", "3") == [100, 0, 0, 0]


def test_requests_of_a_connection(upstream, proxy):
    """keepAliveMaxRequests ends in a GOAWAY that costs no request."""
    server = upstream()
    static = {"entryPoints": {"web": {"transport": {"keepAliveMaxRequests": 10}}}}
    front = proxy(one_router(server.url), static=static)
    out = run("nghttp", "-v", *[f"http://127.0.0.1:{front.port}/{i}" for i in range(12)]).decode()
    assert "recv GOAWAY frame" in out
    assert out.count(":status: 200") == 12
