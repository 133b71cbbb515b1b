"""The body matrix: every size, framing and treatment, on both sides, must deliver exactly the right bytes."""

import itertools
import socket
import threading

import pytest

from harness.client import request_bytes
from harness.load import together
from harness.message import head
from harness.proxy import Plugin, one_router, servers
from harness.upstream import response_bytes

SIZES = [0, 1, 3956, 3957, 65535, 65536, 65537, 1 << 20, 20 << 20]
FRAMINGS = ["length", "chunked"]
MODES = ["none", "part", "all", "rewrite", "collect", "write", "empty", "longer"]
INCREMENT = bytes((i + 1) & 255 for i in range(256))


def content(size):
    pattern = bytes(range(251))
    return (pattern * (size // len(pattern) + 1))[:size]


def expected(mode, body):
    return {"none": body, "part": body, "all": body, "rewrite": body.translate(INCREMENT),
            "collect": body.translate(INCREMENT), "write": b"written", "empty": b"", "longer": body + body}[mode]


def split(body):
    return [body[at:at + 30000] for at in range(0, len(body), 30000)]


@pytest.fixture(scope="module")
def matrix(module_upstream, module_proxy):
    """One proxy with a middleware per mode and side; the host picks it. The upstream answers with the body that
    the path asks for: /SIZE/FRAMING; POST requests are recorded."""

    def answer(connection, request):
        parts = request.target.split("/")
        body = content(int(parts[1]))
        if parts[2] == "chunked":
            connection.send(response_bytes(chunks=split(body)))
        else:
            connection.send(response_bytes(body=body))

    server = module_upstream(answer)
    http = {"routers": {}, "middlewares": {}, "services": {"s": servers(server.url)}}
    for side, mode in itertools.product(("request", "response"), MODES):
        name = f"{side}-{mode}"
        config = {"features": 3, side: mode}
        http["middlewares"][name] = {"plugin": {"body": config}}
        http["routers"][name] = {"rule": f"Host(`{name}.test`)", "service": "s", "middlewares": [name]}
    http["middlewares"]["unbuffered"] = {"plugin": {"body": {"features": 0, "request": "rewrite"}}}
    http["routers"]["unbuffered"] = {"rule": "Host(`unbuffered.test`)", "service": "s", "middlewares": ["unbuffered"]}
    return module_proxy({"http": http}, plugins={"body": Plugin("body")}), server


def send_and_receive(proxy, data):
    """Sends and reads at the same time: a guest that does not want the body may be done before we have sent it."""
    with proxy.connect() as client:

        def send():
            try:
                client.send(data)
            except OSError:
                pass  # the proxy wants no more; the response must be there all the same

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        response = client.response()
        try:
            client.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sender.join(30)
        return response


ONLY_CORRECT_HERE = "Traefik's host loses bodies that it should replay, and does not repair lengths"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_request_body(matrix, mode, framing, size):
    proxy, server = matrix
    body = content(size)
    target = f"/3/length/{mode}-{framing}-{size}"
    options = {"body": body} if framing == "length" else {"chunks": split(body)}
    response = send_and_receive(proxy, request_bytes("POST", target, host=f"request-{mode}.test", **options))
    assert (response.status, response.body) == (200, content(3))
    received = [r for r in server.requests if r.target == target]
    assert len(received) == 1
    assert received[0].body == expected(mode, body)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_response_body(matrix, mode, framing, size):
    proxy, _ = matrix
    with proxy.connect() as client:
        for _ in range(2 if size < 1 << 20 else 1):
            response = client.exchange(target=f"/{size}/{framing}", host=f"response-{mode}.test")
            assert response.status == 200
            assert response.body == expected(mode, content(size))


@pytest.mark.parametrize("size", [0, 1, 3956])
def test_small_bodies_as_in_traefik(matrix, size):
    proxy, server = matrix
    for mode in ("none", "all"):
        target = f"/{size}/length/{mode}-as-in-traefik-{size}"
        response = proxy.fetch("POST", target, host=f"request-{mode}.test", body=content(size))
        assert (response.status, response.body) == (200, content(size))
        assert [r.body for r in server.requests if r.target == target] == [content(size)]


@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_rewrite_on_get_adds_a_body(matrix):
    proxy, server = matrix
    proxy.fetch("GET", "/0/length/get-write", host="request-write.test")
    request = [r for r in server.requests if r.target.endswith("get-write")][0]
    assert request.body == b"written"
    proxy.fetch("GET", "/0/length/get-empty", host="request-empty.test")
    request = [r for r in server.requests if r.target.endswith("get-empty")][0]
    assert request.body == b""
    assert request.get("Transfer-Encoding") is None


@pytest.mark.differs(ONLY_CORRECT_HERE)
@pytest.mark.parametrize("mode", ["rewrite", "write", "longer"])
def test_head_204_304_stay_without_body(upstream, proxy, mode):
    def answer(connection, request):
        if request.method == "HEAD":
            connection.send(head("HTTP/1.1 200 OK", [("Content-Length", "77")]))
        else:
            connection.send(head(f"HTTP/1.1 {request.target[1:]} X"))

    p = proxy(one_router(upstream(answer).url, plugin={"body": {"features": 2, "response": mode}}), plugins={"body": Plugin("body")})
    with p.connect() as client:
        assert client.exchange("GET", "/204").status == 204
        assert client.exchange("GET", "/304").status == 304
        assert client.exchange("HEAD", "/200").status == 200
        assert client.exchange("GET", "/204").status == 204


@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_matrix_in_parallel(matrix):
    proxy, _ = matrix

    def work(i):
        mode, size = MODES[i % len(MODES)], SIZES[i % 7]
        with proxy.connect() as client:
            for _ in range(10):
                response = client.exchange(target=f"/{size}/chunked", host=f"response-{mode}.test")
                assert response.body == expected(mode, content(size))

    together(40, work)


@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_expect_100_continue_and_a_reading_guest(matrix):
    proxy, server = matrix
    with proxy.connect() as client:
        client.send(head("POST /0/length/expect HTTP/1.1", [("Host", "request-rewrite.test"), ("Content-Length", "3"),
                                                            ("Expect", "100-continue")]))
        assert client.reader.head().status == 100
        client.send(b"abc")
        assert client.response().status == 200
    assert [r.body for r in server.requests if r.target.endswith("/expect")] == [b"bcd"]


# --- the rewriters

def rewriter(proxy, server, guest, config):
    return proxy(one_router(server.url, plugin={"guest": config}), plugins={"guest": Plugin(guest)})


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("to", ["x", "", "much longer than before"])
@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_buffered_rewriter(upstream, proxy, framing, to):
    text = b"a needle and a needle in a haystack " * 2000
    server = upstream(lambda c, r: c.send(
        response_bytes(body=r.body) if framing == "length" else response_bytes(chunks=split(r.body))))
    p = rewriter(proxy, server, "rewrite-buffered", {"from": "needle", "to": to})
    with p.connect() as client:
        for _ in range(2):
            response = client.exchange("POST", body=text + b"needle")
            assert response.body == (text + b"needle").replace(b"needle", to.encode())


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100000])
def test_streaming_rewriter(upstream, proxy, framing, size):
    text = (b"interleaved reads and writes " * 4000)[:size]
    server = upstream(lambda c, r: c.send(
        response_bytes(body=text) if framing == "length" else response_bytes(chunks=split(text))))
    response = rewriter(proxy, server, "rewrite-streaming", {"tail": "the end"}).fetch()
    assert response.body == text.upper() + b"the end"
    assert response.all("Content-Length") == [str(size + 7)]


@pytest.mark.parametrize("size", [pytest.param(0, marks=pytest.mark.differs(ONLY_CORRECT_HERE)), 1, 4096, 100000])
def test_streaming_rewriter_on_requests(upstream, proxy, size):
    text = (b"interleaved reads and writes " * 4000)[:size]
    server = upstream()
    rewriter(proxy, server, "rewrite-streaming", {"request": "true"}).fetch("POST", chunks=split(text))
    assert server.last.body == text.upper()


# --- bytes written before the upstream answered

@pytest.mark.parametrize("features", [0, 2])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.differs("Traefik keeps the upstream's length, or its own headers only")
def test_prefix(upstream, proxy, features, framing):
    headers = [("X-Both", "upstream"), ("X-Up", "1")]
    server = upstream(lambda c, r: c.send(
        response_bytes(203, headers, b"body") if framing == "length" else response_bytes(203, headers, chunks=[b"bo", b"dy"])))
    p = rewriter(proxy, server, "prefix-writer", {"features": features})
    with p.connect() as client:
        for _ in range(2):
            response = client.exchange()
            assert (response.status, response.body) == (203, b"prefix:body")
            assert response.get("X-Prefix") == "guest"
            assert response.all("X-Both") == ["guest", "upstream"]
            assert response.get("X-Up") == "1"


@pytest.mark.differs("Traefik appends in the response phase")
def test_prefix_is_replaced_by_a_later_write(upstream, proxy):
    response = rewriter(proxy, upstream(), "prefix-writer", {"features": 2, "rewrite": "true"}).fetch()
    assert response.body == b"replaced"


def test_a_guest_that_reads_without_end_of_request(upstream, proxy):
    """The client goes away while the guest waits for its body."""
    p = proxy(one_router(upstream().url, plugin={"body": {"request": "stop"}}), plugins={"body": Plugin("body")})
    assert p.fetch("POST", body=b"x" * 5000).body == b"5000"
    with p.flat():
        for _ in range(20):
            with p.connect() as client:
                client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "100")]) + b"half")
    assert p.fetch("POST", chunks=[b"x" * 5000] * 3).body == b"15000"


@pytest.mark.differs("Traefik reads ahead on its own")
def test_untouched_bodies_are_not_collected(upstream, proxy):
    """A guest that does not read must not make the proxy hold the body: it streams."""
    def serve(connection):
        request = connection.read_head()
        chunks = connection.reader.chunks()
        request.body = next(chunks)
        connection.record(request)
        request.body += b"".join(chunks)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(serve=serve)
    p = proxy(one_router(server.url, plugin={"header": {}}), plugins={"header": Plugin("header")})
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]) + b"3\r\none\r\n")
        server.wait_requests()
        client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert client.response().body == b"ok"
    assert server.last.body == b"onetwo"


@pytest.mark.differs(ONLY_CORRECT_HERE)
def test_unbuffered_rewrite(matrix):
    proxy, server = matrix
    proxy.fetch("POST", "/0/length/unbuffered", host="unbuffered.test", body=b"abc")
    assert [r.body for r in server.requests if r.target.endswith("/unbuffered")] == [b"bcd"]
