"""compress: streams, limits, and who stands before and after it."""

import gzip
import hashlib
import random
import threading
import zlib

import pytest

from harness.client import request_bytes
from harness.proxy import Plugin, merge, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("how bytes are cut is nobody's promise")

GZIP = [("Accept-Encoding", "gzip")]
TEXT = b"".join(b"line %d\n" % i for i in range(2000))


def compressing(url, middlewares=("c",), **others):
    return merge(one_router(url, middlewares=list(middlewares)), {"http": {"middlewares": {"c": {"compress": {}}, **others}}})


def answering(body, *headers):
    return lambda connection, request: connection.send(response_bytes(body=body, headers=headers))


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_events_pass_at_once(upstream, proxy):
    """Each event can be read before the next one is sent."""
    go_on = threading.Semaphore(0)

    def events(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(5):
            connection.send(chunk(b"data: %d\n\n" % i))
            assert go_on.acquire(timeout=60)
        connection.send(b"0\r\n\r\n")

    p = proxy(compressing(upstream(events).url))
    with p.connect() as client:
        client.send(request_bytes(headers=GZIP))
        head = client.reader.head()
        assert head.get("content-encoding") == "gzip"
        decoder, seen = zlib.decompressobj(31), b""
        for i in range(5):
            while not seen.endswith(b"data: %d\n\n" % i):
                seen += decoder.decompress(next_chunk(client))
            go_on.release()
        rest = b""
        while data := next_chunk(client):
            rest += decoder.decompress(data)
        assert seen + rest == b"".join(b"data: %d\n\n" % i for i in range(5))
        assert decoder.eof


def next_chunk(client):
    size = int(client.reader.until(b"\r\n"), 16)
    data = client.reader.exactly(size)
    assert client.reader.exactly(2) == b"\r\n"
    return data


def test_slow_bytes_of_a_known_length_do_not_wait_for_the_end(upstream, proxy):
    go_on = threading.Event()

    def slow(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"a" * 1500)
        assert go_on.wait(60)
        connection.send(b"b" * 1500)

    p = proxy(compressing(upstream(slow).url))
    with p.connect() as client:
        client.send(request_bytes(headers=GZIP))
        client.reader.head()
        decoder, seen = zlib.decompressobj(31), b""
        while len(seen) < 1500:
            seen += decoder.decompress(next_chunk(client))
        go_on.set()
        while data := next_chunk(client):
            seen += decoder.decompress(data)
        assert seen == b"a" * 1500 + b"b" * 1500


def test_long_body(upstream, proxy):
    """20 MiB that do not compress, and 20 MiB that do, through a client that takes its time."""
    rng = random.Random(1)
    noise = rng.randbytes(4 << 20)
    body = noise + b"x" * (16 << 20) + noise
    p = proxy(compressing(upstream(answering(body)).url), metrics=True)
    with p.connect(receive_buffer=8192) as client:
        client.send(request_bytes(headers=GZIP))
        response = client.response()
    unpacked = gzip.decompress(response.body)
    assert hashlib.sha256(unpacked).digest() == hashlib.sha256(body).digest()
    wait_until(lambda: p.scrape().value("weir_compress_responses_total") == 1, "it is counted")
    m = p.scrape()
    assert m.value("weir_compress_in_bytes_total") == len(body)
    assert m.value("weir_compress_out_bytes_total") == len(response.body)
    assert m.value("weir_compress_live") == 0


def test_limit(upstream, proxy):
    p = proxy(compressing(upstream(answering(TEXT)).url), static={"weir": {"limits": {"compressions": 0}}}, metrics=True)
    response = p.fetch(headers=GZIP)
    assert (response.body, response.get("content-encoding"), response.get("vary")) == (TEXT, None, "Accept-Encoding")
    assert p.scrape().value("weir_compress_refused_total") == 1


def test_http_1_0(upstream, proxy):
    p = proxy(compressing(upstream(answering(TEXT)).url))
    with p.connect() as client:
        client.send(request_bytes(headers=GZIP, version="1.0"))
        head, body = client.to_end().split(b"\r\n\r\n", 1)
    assert b"Transfer-Encoding" not in head
    assert gzip.decompress(body) == TEXT


def test_client_that_leaves(upstream, proxy):
    p = proxy(compressing(upstream(answering(random.Random(2).randbytes(8 << 20))).url), metrics=True)
    for _ in range(10):
        with p.connect(receive_buffer=4096) as client:
            client.send(request_bytes(headers=GZIP))
            client.reader.head()
            client.reset()
    wait_until(lambda: p.scrape().value("weir_compress_live") == 0, "nothing is being compressed")
    assert p.scrape().value("weir_compress_responses_total") == 10
    p.check_balance()


def test_upstream_that_breaks_off(upstream, proxy):
    def break_off(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(TEXT))
        connection.reset()

    p = proxy(compressing(upstream(break_off).url))
    with p.connect() as client:
        client.send(request_bytes(headers=GZIP))
        assert b"0\r\n\r\n" not in read_all(client)[-7:]


def read_all(client):
    from harness.message import Closed

    try:
        return client.to_end()
    except Closed as closed:
        return closed.partial


@pytest.mark.parametrize("order", [("c", "m"), ("m", "c")], ids=["plugin inside", "plugin outside"])
def test_plugin(upstream, proxy, order):
    """A plugin that sees the response, before and after it was compressed."""
    dynamic = compressing(upstream(answering(TEXT)).url, order, m={"plugin": {"guest": {}}})
    p = proxy(dynamic, plugins={"guest": Plugin("header")})
    response = p.fetch(headers=GZIP)
    assert response.get("content-encoding") == "gzip"
    assert gzip.decompress(response.body) == TEXT


def test_with_other_middlewares(upstream, proxy):
    """What an inner middleware answers is compressed as well, if it is long enough."""
    dynamic = compressing(upstream(answering(TEXT)).url, ("c", "h", "t"), h={"headers": {"customResponseHeaders": {"X-A": "1"}}}, t={"contentType": {}})
    response = proxy(dynamic).fetch(headers=GZIP)
    assert (response.get("x-a"), response.get("content-type")) == ("1", "text/plain; charset=utf-8")
    assert gzip.decompress(response.body) == TEXT


def test_reload_in_the_middle(upstream, proxy):
    """A response goes on after its middleware has gone."""
    go_on = threading.Event()

    def slow(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(TEXT))
        assert go_on.wait(60)
        connection.send(chunk(TEXT) + b"0\r\n\r\n")

    url = upstream(slow).url
    p = proxy(compressing(url), metrics=True)
    with p.connect() as client:
        client.send(request_bytes(headers=GZIP))
        client.reader.head()
        p.apply(one_router(url))
        wait_until(lambda: p.scrape().value("weir_config_generations_live") == 1, "the old configuration has gone")
        go_on.set()
        packed = b""
        while data := next_chunk(client):
            packed += data
    assert gzip.decompress(packed) == TEXT * 2
