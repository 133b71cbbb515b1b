"""HTTP/1 on both sides: framing, persistence, interim responses, the life of connections."""

import threading

import pytest

from harness.client import request_bytes
from harness.message import Closed, chunked, head
from harness.proxy import merge, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

BODY = bytes(range(256)) * 40


def behind(proxy, server, **static_web):
    return proxy(one_router(server.url), static={"entryPoints": {"web": static_web}} if static_web else None)


# --- framing of requests

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
def test_request_body(relay, framing, method):
    proxy, upstream = relay
    body = {"body": BODY} if framing == "length" else {"chunks": [BODY[:1], BODY[1:4000], BODY[4000:]]}
    assert proxy.fetch(method, **body).status == 200
    request = upstream.last
    assert request.body == BODY
    assert request.chunked == (framing == "chunked")


def test_empty_bodies(relay):
    proxy, upstream = relay
    proxy.fetch("POST", body=b"")
    assert upstream.last.body == b""
    assert upstream.last.get("Content-Length") == "0"
    proxy.fetch("POST", chunks=[])
    assert upstream.last.body == b""
    proxy.fetch("GET")
    assert upstream.last.get("Content-Length") is None
    assert upstream.last.get("Transfer-Encoding") is None


@pytest.mark.differs("Go's reverse proxy loses them")
def test_request_trailers(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]))
        client.send(chunked(b"abc", trailers=[("X-Sum", "42")]))
        assert client.response().status == 200
    assert upstream.last.body == b"abc"
    assert upstream.last.trailers == [("X-Sum", "42")]


def test_request_body_is_streamed(upstream, proxy):
    """The upstream sees the first part while the client still holds back the second."""
    first_arrived = threading.Event()

    def serve(connection):
        request = connection.read_head()
        chunks = connection.reader.chunks()
        request.body = next(chunks)
        first_arrived.set()
        request.body += b"".join(chunks)
        connection.record(request)
        connection.send(response_bytes(body=b"done"))

    p = behind(proxy, upstream(serve=serve))
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]) + b"5\r\nfirst\r\n")
        assert first_arrived.wait(15)
        client.send(b"6\r\nsecond\r\n0\r\n\r\n")
        assert client.response().body == b"done"


def test_body_in_single_bytes(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        for byte in request_bytes("POST", body=b"hello"):
            client.send(bytes([byte]))
        assert client.response().status == 200
        for byte in request_bytes("POST", chunks=[b"he", b"llo"]):
            client.send(bytes([byte]))
        assert client.response().status == 200
    assert [r.body for r in upstream.requests] == [b"hello", b"hello"]


# --- framing of responses

def answering(data):
    return lambda connection, request: connection.send(data)


def test_chunked_response(upstream, proxy):
    p = behind(proxy, upstream(answering(response_bytes(chunks=[b"a", BODY, b"z"]))))
    with p.connect() as client:
        for _ in range(2):
            response = client.exchange()
            assert response.body == b"a" + BODY + b"z"
            assert response.chunked


def test_response_trailers(upstream, proxy):
    data = response_bytes(headers=[("Trailer", "X-Sum")], chunks=[b"abc"], trailers=[("X-Sum", "42"), ("X-Late", "1")])
    response = behind(proxy, upstream(answering(data))).fetch(headers=[("TE", "trailers")])
    assert response.body == b"abc"
    assert ("x-sum", "42") in [(n.lower(), v) for n, v in response.trailers]
    assert ("x-late", "1") in [(n.lower(), v) for n, v in response.trailers]


def test_response_until_close(upstream, proxy):
    def answer(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Connection", "close")]) + BODY)
        connection.close()

    with behind(proxy, upstream(answer)).connect() as client:
        assert client.exchange().body == BODY
        assert client.exchange().body == BODY


def test_http10_upstream(upstream, proxy):
    def answer(connection, request):
        connection.send(head("HTTP/1.0 200 OK") + BODY)
        connection.close()

    response = behind(proxy, upstream(answer)).fetch()
    assert (response.version, response.body) == ("HTTP/1.1", BODY)


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(upstream, proxy, status):
    with behind(proxy, upstream(answering(head(f"HTTP/1.1 {status} X", [("ETag", '"e"')])))).connect() as client:
        for _ in range(2):
            response = client.exchange()
            assert (response.status, response.body) == (status, b"")
            assert response.get("Transfer-Encoding") is None
            assert response.get("ETag") == '"e"'


def test_304_keeps_content_length(upstream, proxy):
    with behind(proxy, upstream(answering(head("HTTP/1.1 304 X", [("Content-Length", "1234")])))).connect() as client:
        assert client.exchange().status == 304
        assert client.exchange().status == 304


def test_head(upstream, proxy):
    with behind(proxy, upstream(answering(head("HTTP/1.1 200 OK", [("Content-Length", "1234")])))).connect() as client:
        for _ in range(2):
            response = client.exchange("HEAD")
            assert response.get("Content-Length") == "1234"
            assert response.body == b""


def test_head_with_chunked_upstream(upstream, proxy):
    with behind(proxy, upstream(answering(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")])))).connect() as client:
        for _ in range(2):
            assert client.exchange("HEAD").status == 200


def test_response_is_streamed(upstream, proxy):
    """The client gets the first part while the upstream still holds back the second."""
    client_has_it = threading.Event()

    def answer(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]) + b"5\r\nfirst\r\n")
        assert client_has_it.wait(15), "the proxy holds back the first chunk"
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    with behind(proxy, upstream(answer)).connect() as client:
        client.send(request_bytes())
        client.reader.head()
        chunks = client.reader.chunks()
        assert next(chunks) == b"first"
        client_has_it.set()
        assert b"".join(chunks) == b"second"


def test_server_sent_events_with_length_unknown(upstream, proxy):
    got = threading.Semaphore(0)

    def answer(connection, request):
        connection.send(head("HTTP/1.1 200 OK", [("Content-Type", "text/event-stream"), ("Connection", "close")]))
        for i in range(3):
            connection.send(b"data: %d\n\n" % i)
            assert got.acquire(timeout=15), "an event is held back"
        connection.close()

    with behind(proxy, upstream(answer)).connect() as client:
        client.send(request_bytes())
        client.reader.head()
        chunks = client.reader.chunks()
        for i in range(3):
            assert next(chunks) == b"data: %d\n\n" % i
            got.release()
        assert list(chunks) == []


# --- interim responses

def test_100_continue_from_the_proxy_or_upstream(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "5"), ("Expect", "100-continue")]))
        assert client.reader.head().status == 100
        client.send(b"hello")
        response = client.response()
        while response.status == 100:
            response = client.response()
        assert response.status == 200
        assert client.exchange().status == 200
    assert upstream.requests[0].body == b"hello"


def test_expect_refused_by_upstream(upstream, proxy):
    """An upstream that answers at once: the client gets the answer, and never has to send its body."""
    def serve(connection):
        connection.record(connection.read_head())
        connection.send(response_bytes(413, [("Connection", "close")], b"too large"))
        connection.peer_closed()

    p = behind(proxy, upstream(serve=serve))
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "5"), ("Expect", "100-continue")]))
        response = client.response()
        assert (response.status, response.body) == (413, b"too large")


def test_unknown_expectation(relay):
    proxy, _ = relay
    assert proxy.fetch("POST", headers=[("Expect", "200-maybe")], body=b"x").status == 417


def test_early_hints_pass(upstream, proxy):
    hints = head("HTTP/1.1 103 Early Hints", [("Link", "</a.css>")]) + head("HTTP/1.1 103 Early Hints", [("Link", "</b.css>")])
    with behind(proxy, upstream(answering(hints + response_bytes(body=b"final")))).connect() as client:
        response = client.exchange()
        assert [m.status for m in response.interim] == [103, 103]
        assert response.body == b"final"
        assert client.exchange().body == b"final"


def test_early_hints_lose_what_is_of_the_hop(upstream, proxy):
    fields = [("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("Transfer-Encoding", "chunked"), ("Link", "</a.css>"),
              ("Trailer", "X-T")]
    hints = head("HTTP/1.1 103 Early Hints", fields) + head("HTTP/1.1 103 Early Hints", [("Content-Length", "60"), ("Link", "</b.css>")])
    with behind(proxy, upstream(answering(hints + response_bytes(body=b"final")))).connect() as client:
        response = client.exchange()
        assert [m.headers for m in response.interim] == [[("Link", "</a.css>")], [("Link", "</b.css>")]]
        assert response.body == b"final"


# --- persistence

def test_keep_alive_on_both_sides(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        for _ in range(5):
            assert client.exchange().status == 200
    assert len(upstream.requests) == 5
    assert len({r.connection for r in upstream.requests}) == 1


def test_connection_close_from_client(relay):
    proxy, _ = relay
    with proxy.connect() as client:
        response = client.exchange(headers=[("Connection", "close")])
        assert (response.status, response.get("Connection")) == (200, "close")
        assert client.to_end() == b""


def test_http10_closes(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        response = client.exchange(version="1.0")
        assert response.status == 200
        assert client.to_end() == b""
    assert upstream.last.version == "HTTP/1.1"


def test_http10_without_host(relay):
    proxy, _ = relay
    with proxy.connect() as client:
        assert client.exchange(version="1.0", host=None).status == 200


def test_http10_keep_alive(relay):
    proxy, _ = relay
    with proxy.connect() as client:
        for _ in range(2):
            response = client.exchange(version="1.0", headers=[("Connection", "keep-alive")])
            assert response.status == 200
            assert response.get("Connection", "").lower() == "keep-alive"


def test_http10_client_gets_no_chunks(upstream, proxy):
    p = behind(proxy, upstream(answering(response_bytes(chunks=[b"a", b"b"]))))
    with p.connect() as client:
        client.send(request_bytes(version="1.0"))
        raw = client.to_end()
    assert b"ransfer-" not in raw
    assert raw.endswith(b"\r\n\r\nab")


def test_pipelining(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(body=request.target.encode())))
    with behind(proxy, server).connect() as client:
        client.send(b"".join(request_bytes(target=f"/{i}") for i in range(20)))
        assert [client.response().body for _ in range(20)] == [b"/%d" % i for i in range(20)]


def test_pipelining_with_bodies(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(body=request.body)))
    with behind(proxy, server).connect() as client:
        client.send(request_bytes("POST", body=b"one") + request_bytes("POST", chunks=[b"tw", b"o"]) + request_bytes("GET"))
        assert [client.response().body for _ in range(3)] == [b"one", b"two", b""]


def test_keep_alive_max_requests(upstream, proxy):
    p = behind(proxy, upstream(), transport={"keepAliveMaxRequests": 3})
    with p.connect() as client:
        responses = [client.exchange() for _ in range(3)]
        assert [r.get("Connection") for r in responses] == [None, None, "close"]
        assert client.to_end() == b""


def test_keep_alive_max_time(upstream, proxy):
    p = behind(proxy, upstream(), transport={"keepAliveMaxTime": "300ms"})
    with p.connect() as client:
        wait_until(lambda: client.exchange().get("Connection") == "close", "Connection: close after the maximum age", 10)
        assert client.to_end() == b""


def test_idle_timeout(upstream, proxy):
    p = behind(proxy, upstream(), transport={"respondingTimeouts": {"idleTimeout": "300ms"}})
    with p.connect(timeout_s=10) as client:
        assert client.exchange().status == 200
        assert client.to_end() == b""


@pytest.mark.parametrize("part", ["nothing", "half a head", "half a body"])
def test_read_timeout(upstream, proxy, part):
    p = behind(proxy, upstream(), transport={"respondingTimeouts": {"readTimeout": "400ms"}})
    sent = {"nothing": b"", "half a head": b"GET / HTTP/1.1\r\nHost:",
            "half a body": head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "10")]) + b"12345"}[part]
    with p.connect(timeout_s=10) as client:
        client.send(sent)
        try:
            client.to_end()
        except Closed as closed:
            assert closed.reset
    assert p.fetch().status == 200


def test_read_timeout_does_not_cut_a_slow_upstream(upstream, proxy):
    release = threading.Event()

    def answer(connection, request):
        assert release.wait(15)
        connection.send(response_bytes(body=b"late"))

    server = upstream(answer)
    p = behind(proxy, server, transport={"respondingTimeouts": {"readTimeout": "200ms"}})
    with p.connect() as client:
        client.send(request_bytes())
        server.wait_requests()
        threading.Timer(0.6, release.set).start()
        assert client.response().body == b"late"


# --- half-closed connections

def test_client_that_shut_down_its_sending_side(upstream, proxy):
    """That looks like a client that went away: it gets its whole response or the end of the connection, at once."""
    p = behind(proxy, upstream())
    with p.connect() as client:
        client.send(request_bytes())
        client.end_of_input()
        rest = client.to_end()
    whole = rest.startswith(b"HTTP/1.1 200 ") and rest.endswith(b"\r\n\r\nok")
    assert rest == b"" or whole or rest.startswith(b"HTTP/1.1 499 ")
    assert p.fetch().status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_broken_off_by_half_close(upstream, proxy, framing):
    """The upstream must not take the part for the whole."""
    whole = threading.Event()

    def serve(connection):
        request = connection.record(connection.read_head())
        connection.reader.body(request, is_response=False)
        whole.set()

    server = upstream(serve=serve)
    p = behind(proxy, server)
    with p.connect() as client:
        fields = [("Content-Length", "100")] if framing == "length" else [("Transfer-Encoding", "chunked")]
        client.send(head("POST / HTTP/1.1", [("Host", "a"), *fields]) + b"5\r\nhello\r\n")
        client.end_of_input()
        try:
            client.to_end()
        except Closed as closed:
            assert closed.reset
    wait_until(lambda: server.open_connections == 0, "the upstream exchange is ended")
    assert not whole.is_set()


# --- limits

def test_head_too_large(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        try:
            client.send(request_bytes(headers=[("X-Big", "x" * (1 << 20))] * 2))
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            assert client.response().status == 431
        except Closed as closed:
            assert closed.reset, "closed without an answer"
    assert upstream.requests == []


def test_small_head_limit(upstream, proxy):
    p = behind(proxy, upstream(), http={"maxHeaderBytes": 8192})
    assert p.fetch(headers=[("X-Fits", "x" * 7000)]).status == 200
    assert p.fetch(headers=[("X-Big", "x" * 32768)]).status == 431


def test_many_headers(relay):
    proxy, upstream = relay
    headers = [(f"X-H{i}", str(i)) for i in range(500)]
    assert proxy.fetch(headers=headers).status == 200
    got = dict(upstream.last.headers)
    assert all(got[name.title()] == value or got[name] == value for name, value in headers)


@pytest.mark.differs("Go's server has no limit on the number of fields")
def test_field_count_limit(relay):
    proxy, _ = relay
    assert proxy.fetch(headers=[(f"X{i}", "") for i in range(20000)]).status == 431


# --- malformed messages that are refused

BAD_REQUESTS = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bad version": b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    "bad header name": b"GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    "control in value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
    "NUL in value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "host with space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_malformed_request(relay, case):
    proxy, upstream = relay
    with proxy.connect() as client:
        client.send(BAD_REQUESTS[case])
        response = client.response()
        assert response.status in (400, 505)
        assert response.get("Connection") == "close"
        assert client.to_end() == b""
    assert upstream.requests == []


@pytest.mark.differs("Traefik waits for more")
def test_http09_request(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        client.send(b"GET /\r\n")
        assert b" 400 " in client.to_end()
    assert upstream.requests == []


BAD_CHUNKS = {
    "LF after the size": b"3\nabc\r\n0\r\n\r\n",
    "LF after the data": b"3\r\nabc\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "letters": b"3xyz\r\nabc\r\n0\r\n\r\n",
    "sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "space": b"3 \r\nabc\r\n0\r\n\r\n",
    "LF in an extension": b"3;a\nabc\r\n0\r\n\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "past 64 bits": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "no CRLF after the data": b"3\r\nabcXX0\r\n\r\n",
    "LF at the end": b"0\r\n\n",
    "trailer without colon": b"0\r\nnocolon\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD_CHUNKS)
@pytest.mark.differs("Go's server takes some of these, and answers 500 to others")
def test_malformed_chunks(upstream, proxy, case):
    """The upstream may have seen the beginning but never sees an end, and what is behind is no request."""
    whole = []

    def serve(connection):
        request = connection.record(connection.read_head())
        connection.reader.body(request, is_response=False)
        whole.append(request)

    server = upstream(serve=serve)
    p = behind(proxy, server)
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")]) + BAD_CHUNKS[case] +
                    request_bytes(target="/smuggled"))
        assert client.response().status == 400
        assert client.to_end() == b""
    wait_until(lambda: server.open_connections == 0, "the upstream exchange is ended")
    assert whole == []
    assert not any(request.target == "/smuggled" for request in server.requests)


def test_unsupported_transfer_coding(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        assert client.response().status in (400, 501)
        assert client.to_end() == b""
    assert upstream.requests == []


def test_connect_is_not_implemented(relay):
    proxy, upstream = relay
    with proxy.connect() as client:
        client.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        assert client.response().status in (404, 405, 501, 502)
    assert upstream.requests == []
