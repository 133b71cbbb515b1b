"""Headers of the PROXY protocol that are not as they should be, and those that come slowly."""

import pytest

from harness.client import request_bytes
from harness.proxy import one_router
from harness.message import Closed

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
INSECURE = {"entryPoints": {"load": {"proxyProtocol": {"insecure": True}, "transport": {"respondingTimeouts": {"readTimeout": "1s"}}}}}


@pytest.fixture
def behind(upstream, proxy):
    server = upstream()
    return proxy(one_router(server.url), static=INSECURE), server


@pytest.mark.parametrize("header", [V1, V2 + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 0, 80])])
def test_header_in_pieces(behind, header):
    p, server = behind
    with p.connect("load") as client:
        for byte in header:
            client.send(bytes([byte]))
        assert client.exchange().body == b"ok"
        assert client.exchange().body == b"ok"
    assert [r.get("X-Forwarded-For") for r in server.requests[-2:]] == ["192.0.2.1"] * 2


@pytest.mark.parametrize("header", [b"PROXY TCP4 nonsense\r\n", b"PROXY " + b"x" * 200, V2 + b"\x31\x11\0\0", V2 + b"\x21\x11\0\x02xx", V2 + b"\x21\x11\xff\xff"])
def test_malformed_header_ends_the_connection(behind, header):
    p, server = behind
    with p.connect("load") as client:
        client.send(header + request_bytes(target="/smuggled"))
        try:
            answer = client.to_end()
        except Closed as closed:
            answer = closed.partial
        assert b" 200 " not in answer
    assert all(request.target != "/smuggled" for request in server.requests)


def test_header_that_does_not_end(behind):
    p, _ = behind
    with p.connect("load") as client:
        client.send(V1[:20])
        assert client.to_end() == b""


@pytest.mark.differs("a second header is a malformed request, which Go answers")
def test_second_header_is_a_request(behind):
    p, _ = behind
    with p.connect("load") as client:
        client.send(V1 + V1)
        assert client.response().status == 400


def test_other_entry_points_take_none(behind):
    p, _ = behind
    with p.connect() as client:
        client.send(V1 + request_bytes())
        assert client.response().status == 400
