"""Requests that two parsers could read differently: the upstream sees exactly what weir answered, and nothing more."""

import pytest

from harness.client import Client
from harness.message import Closed, Reader
from harness.proxy import one_router
from harness.smuggling import SMUGGLED, corpus
from harness.upstream import response_bytes

HOST = b"Host: test.example\r\n"


def post(fields, body, target=b"/a", version=b"1.1"):
    return b"POST " + target + b" HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n" + body


def chunked_or_not(field_lines):
    """Chunked says that the body ends here and SMUGGLED is a request; Content-Length says that it is the body."""
    return post(field_lines, b"0\r\n\r\n" + SMUGGLED)


def with_length(field_lines):
    return post(field_lines, b"hello" + SMUGGLED)


def with_chunks(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


BOTH = b"Content-Length: %d\r\n" % (5 + len(SMUGGLED))
CHUNKED = b"Transfer-Encoding: chunked\r\n"

# Refused outright: no part of these reaches the upstream.
REFUSED = {
    "coding with space before colon": chunked_or_not(BOTH + b"Transfer-Encoding : chunked\r\n"),
    "coding with tab before colon": chunked_or_not(BOTH + b"Transfer-Encoding\t: chunked\r\n"),
    "coding with prefix": chunked_or_not(BOTH + b"Transfer-Encoding: xchunked\r\n"),
    "coding with suffix": chunked_or_not(BOTH + b"Transfer-Encoding: chunkedx\r\n"),
    "coding identity": chunked_or_not(BOTH + b"Transfer-Encoding: identity\r\n"),
    "chunked not last": chunked_or_not(BOTH + b"Transfer-Encoding: chunked, identity\r\n"),
    "chunked twice": chunked_or_not(b"Transfer-Encoding: chunked, chunked\r\n"),
    "chunked twice in two fields": chunked_or_not(CHUNKED + CHUNKED),
    "gzip before chunked": chunked_or_not(b"Transfer-Encoding: gzip, chunked\r\n"),
    "identity after chunked in another field": chunked_or_not(BOTH + CHUNKED + b"Transfer-Encoding: identity\r\n"),
    "coding quoted": chunked_or_not(BOTH + b'Transfer-Encoding: "chunked"\r\n'),
    "coding with parameter": chunked_or_not(BOTH + b"Transfer-Encoding: chunked;q=1\r\n"),
    "coding with vertical tab": chunked_or_not(BOTH + b"Transfer-Encoding: \x0bchunked\r\n"),
    "coding with NUL": chunked_or_not(BOTH + b"Transfer-Encoding: chunked\x00\r\n"),
    "coding behind a bare CR": chunked_or_not(BOTH + b"X: y\rTransfer-Encoding: chunked\r\n"),
    "coding behind CR CR LF": chunked_or_not(BOTH + b"X: y\r\r\nTransfer-Encoding: chunked\r\n"),
    "coding folded": chunked_or_not(BOTH + b"Transfer-Encoding:\r\n chunked\r\n"),
    "coding in a folded line": chunked_or_not(BOTH + b"X: y\r\n Transfer-Encoding: chunked\r\n"),
    "coding empty": chunked_or_not(BOTH + b"Transfer-Encoding:\r\n"),
    "coding in HTTP/1.0": post(BOTH + CHUNKED, b"0\r\n\r\n" + SMUGGLED, version=b"1.0"),
    "length with plus": with_length(b"Content-Length: +5\r\n"),
    "length negative": with_length(b"Content-Length: -5\r\n"),
    "length hexadecimal": with_length(b"Content-Length: 0x5\r\n"),
    "length with letter": with_length(b"Content-Length: 5a\r\n"),
    "length with space inside": with_length(b"Content-Length: 5 5\r\n"),
    "lengths in a list differ": with_length(b"Content-Length: 5, 6\r\n"),
    "lengths in two fields differ": with_length(b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "length empty": with_length(b"Content-Length:\r\n"),
    "length beyond 64 bits": with_length(b"Content-Length: 18446744073709551621\r\n"),
    "length beyond all bits": with_length(b"Content-Length: 99999999999999999999999999\r\n"),
    "length with space before colon": with_length(b"Content-Length : 5\r\n"),
    "length with NUL in the name": with_length(b"Content-Length\x00: 5\r\n"),
    "length with semicolon": with_length(b"Content-Length: 5;\r\n"),
    "length folded": with_length(b"Content-Length: 5\r\n 5\r\n"),
    "length with vertical tab": with_length(b"Content-Length: 5\x0b\r\n"),
    "no space in the request line": b"GET/a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "tab in the request line": b"GET\t/a\tHTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "two spaces in the request line": b"GET  /a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "space inside the target": b"GET /a HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "version 2.0": b"GET /a HTTP/2.0\r\n" + HOST + b"\r\n" + SMUGGLED,
    "version in lower case": b"GET /a http/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "NUL in the target": b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "bare CR as line end": b"GET /a HTTP/1.1\rHost: test.example\r\r" + SMUGGLED,
    "CR inside the target": b"GET /a\rb HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "two hosts": b"GET /a HTTP/1.1\r\nHost: test.example\r\nHost: evil.example\r\n\r\n" + SMUGGLED,
    "no host": b"GET /a HTTP/1.1\r\nX: y\r\n\r\n" + SMUGGLED,
    "NUL in the host": b"GET /a HTTP/1.1\r\nHost: test.example\x00.evil\r\n\r\n" + SMUGGLED,
    "space in a field name": b"GET /a HTTP/1.1\r\n" + HOST + b"Foo Bar: x\r\n\r\n" + SMUGGLED,
    "no field name": b"GET /a HTTP/1.1\r\n" + HOST + b": x\r\n\r\n" + SMUGGLED,
    "no colon": b"GET /a HTTP/1.1\r\n" + HOST + b"Foo\r\n\r\n" + SMUGGLED,
    "first field line begins with space": b"GET /a HTTP/1.1\r\n Foo: x\r\n" + HOST + b"\r\n" + SMUGGLED,
    "first field line hides the length": b"POST /a HTTP/1.1\r\n Content-Length: 5\r\n" + HOST + b"\r\nhello" + SMUGGLED,
}

# The head is good, the body is not: the upstream may see the head, but neither a whole request nor a second one.
BAD_BODY = {
    "chunk size with plus": with_chunks(b"+5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size negative": with_chunks(b"-1\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size with 0x": with_chunks(b"0x5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size beyond 64 bits": with_chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size empty": with_chunks(b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size with letters": with_chunks(b"5g\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk data too long": with_chunks(b"3\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk data without end": with_chunks(b"5\r\nhello0\r\n\r\n" + SMUGGLED),
    "chunk size ends with CR only": with_chunks(b"5\rhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size ends with CR CR": with_chunks(b"5\r\rhello\r\n0\r\n\r\n" + SMUGGLED),
    "bare CR in an extension": with_chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "NUL in an extension": with_chunks(b"5;a\x00b\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "NUL in a trailer": with_chunks(b"0\r\nFoo: a\x00b\r\n\r\n" + SMUGGLED),
    "trailer without colon": with_chunks(b"0\r\nFoo\r\n\r\n" + SMUGGLED),
    "trailer folded": with_chunks(b"0\r\nFoo: a\r\n b\r\n\r\n" + SMUGGLED),
}

# Two readings, or none, are conceivable; whatever weir takes them for, the upstream must take them for the same.
ANY = {
    "length and coding": chunked_or_not(BOTH + CHUNKED),
    "coding and length": chunked_or_not(CHUNKED + BOTH),
    "coding in capitals": chunked_or_not(b"TRANSFER-ENCODING: CHUNKED\r\n"),
    "coding with tabs": chunked_or_not(b"Transfer-Encoding:\tchunked\t\r\n"),
    "coding with underscore": chunked_or_not(BOTH + b"Transfer_Encoding: chunked\r\n"),
    "coding behind a bare LF": chunked_or_not(BOTH + b"X: y\nTransfer-Encoding: chunked\r\n"),
    "length behind a bare LF": with_length(b"X: y\nContent-Length: 5\r\n"),
    "length with zeros": with_length(b"Content-Length: 0005\r\n"),
    "length with spaces around": with_length(b"Content-Length:   5  \r\n"),
    "length with underscore": with_length(b"Content_Length: 5\r\n"),
    "same length in a list": with_length(b"Content-Length: 5, 5\r\n"),
    "same length twice": with_length(b"Content-Length: 5\r\nContent-Length: 5\r\n"),
    "length of a GET": b"GET /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello" + SMUGGLED,
    "coding of a GET": b"GET /a HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "length of a HEAD": b"HEAD /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello" + SMUGGLED,
    "length as a connection option": with_length(b"Content-Length: 5\r\nConnection: Content-Length\r\n"),
    "coding as a connection option": chunked_or_not(CHUNKED + b"Connection: Transfer-Encoding\r\n"),
    "host as a connection option": with_length(b"Content-Length: 5\r\nConnection: Host\r\n"),
    "close and the next request": with_length(b"Content-Length: 5\r\nConnection: close\r\n"),
    "upgrade to h2c": with_length(b"Content-Length: 5\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
    "expectation and the body at once": with_length(b"Content-Length: 5\r\nExpect: 100-continue\r\n"),
    "expectation without body": b"GET /a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n\r\n" + SMUGGLED,
    "chunk size with space": with_chunks(b"5 \r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size with zeros": with_chunks(b"0000000000000000000005\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk size ends with LF": with_chunks(b"5\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk data ends with LF": with_chunks(b"5\r\nhello\n0\r\n\r\n" + SMUGGLED),
    "last chunk ends with LF": with_chunks(b"5\r\nhello\r\n0\n\n" + SMUGGLED),
    "extension with quotes and CRLF": with_chunks(b'5;a="\r\nhello\r\n0\r\n\r\n' + SMUGGLED),
    "length as a trailer": with_chunks(b"0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n" + SMUGGLED),
    "empty lines before": b"\r\n\r\n" + b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "line ends of LF": b"GET /a HTTP/1.1\nHost: test.example\n\n" + SMUGGLED,
    "HTTP/0.9": b"GET /a\r\n" + SMUGGLED,
    "version 1.2": b"GET /a HTTP/1.2\r\n" + HOST + b"\r\n" + SMUGGLED,
    "version 1.0 kept alive": b"GET /a HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n" + SMUGGLED,
    "absolute form with another host": b"GET http://evil.example/a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "absolute form with user": b"GET http://a:b@test.example/a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "authority as target": b"GET test.example:80 HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "star as target": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "request encoded in the target": b"GET /a%20HTTP/1.1%0d%0aX:%20y%0d%0a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "fragment in the target": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "method in lower case": b"get /a HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "host empty": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n" + SMUGGLED,
    "host is a list": b"GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n" + SMUGGLED,
    "high bytes in a field": b"GET /a HTTP/1.1\r\n" + HOST + b"X: \xff\xfe\x80\r\n\r\n" + SMUGGLED,
    "delete character in a field name": b"GET /a HTTP/1.1\r\n" + HOST + b"X\x7f: y\r\n\r\n" + SMUGGLED,
}

CORPUS = corpus()


@pytest.fixture(scope="module")
def site(module_upstream, module_proxy):
    """The upstream answers with what it saw. Its strict reader fails the test at anything ambiguous."""

    def serve(connection):
        while True:
            message = connection.reader.head()
            assert b"\0" not in message.head, message.head
            try:
                connection.reader.body(message, is_response=False)
            except Closed:
                message.body = None  # broken off, not whole
                connection.record(message)
                raise
            connection.record(message)
            seen = f"{message.method} {message.target}|".encode() + message.body
            connection.send(response_bytes(headers=[("X-Upstream", "yes")], body=b"" if message.method == "HEAD" else seen))

    server = module_upstream(serve=serve)
    return module_proxy(one_router(server.url), static={
        "weir": {"workers": 1}, "entryPoints": {"web": {"transport": {"respondingTimeouts": {"readTimeout": "1s"}}}}}), server


def run(site, data, pieces=1):
    """Sends `data` and a last request. Returns (what the upstream saw, the responses that the client got)."""
    proxy, server = site
    before = len(server.requests)
    with Client(proxy.port, timeout_s=10) as client:
        try:
            step = max(1, (len(data) + pieces - 1) // pieces)
            for at in range(0, len(data), step):
                client.send(data[at:at + step])
        except OSError:
            pass  # refused before we had sent it all
        raw = read_all(client)
    # Whatever was sent behind the answers is on its way to nobody: a later request overtakes nothing.
    responses = split_responses(raw, data)
    return [r for r in server.requests[before:] if r.body is not None], responses


def read_all(client):
    """All answers: to the end of the connection, which a last request asks for, or the read time-out brings."""
    try:
        client.send(b"GET /probe HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n")
    except OSError:
        pass
    try:
        return client.to_end()
    except Closed as closed:
        return closed.partial


class Bytes:
    """Enough of a socket for a Reader."""

    def __init__(self, data):
        self.data = data

    def recv(self, n):
        part, self.data = self.data[:n], self.data[n:]
        return part


def split_responses(raw, data):
    reader, found = Reader(Bytes(raw)), []
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    while True:
        try:
            found.append(reader.response(method if not found else "GET"))
        except Closed:
            return found


def check_agreement(seen, responses):
    """One answer of the upstream for each request that it saw, in the same order; the others are weir's own refusals."""
    answered = [r for r in responses if r.get("X-Upstream")]
    told = [r.body for r in answered]
    expected = [f"{m.method} {m.target}|".encode() + m.body if m.method != "HEAD" else b"" for m in seen]
    assert told == expected, f"the upstream saw {[m.head for m in seen]}, the client was told {told}"
    for response in responses:
        if not response.get("X-Upstream"):
            assert response.status >= 400, response.start_line


@pytest.mark.parametrize("pieces", [1, 1000])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(site, case, pieces):
    seen, responses = run(site, REFUSED[case], pieces)
    assert [m.target for m in seen] == [], "something passed"
    assert len(responses) <= 1, "the connection went on"
    if pieces == 1:
        assert [r.status for r in responses if r.status not in (400, 501, 505)] == []
    check_agreement(seen, responses)


@pytest.mark.parametrize("pieces", [1, 1000])
@pytest.mark.parametrize("case", BAD_BODY)
def test_bad_body(site, case, pieces):
    seen, responses = run(site, BAD_BODY[case], pieces)
    assert [m.target for m in seen] == [], "something passed"
    assert len(responses) <= 1, "the connection went on"
    check_agreement(seen, responses)


@pytest.mark.parametrize("pieces", [1, 1000])
@pytest.mark.parametrize("case", ANY)
def test_agreement(site, case, pieces):
    seen, responses = run(site, ANY[case], pieces)
    check_agreement(seen, responses)
    for request in seen:
        if request.target == "/smuggled":
            assert request.get("X-Smuggled") == "1" and request.body == b""


def test_agreement_on_the_corpus(site):
    """In pieces; whole, they go through other proxies, too: tests/differential/test_framing.py."""
    for data in CORPUS.values():
        check_agreement(*run(site, data, 1000))
