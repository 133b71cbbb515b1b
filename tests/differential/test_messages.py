"""Methods, bodies, framing and what a client may send; and what an upstream may answer."""

import pytest

from harness.message import chunked, head
from harness.upstream import response_bytes
from rig.backend import early, echo, reply, send
from rig.known import statuses, with_differences
from rig.messages import everything, get, post, raw
from rig.observe import Case, refused

H = "Host: site.example"
CHUNKED = "Transfer-Encoding: chunked"


def requests():
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get", "PROPFIND", "M-SEARCH", "CONNECT", "PRI"):
        yield Case(f"method-{method}", [get(method=method)])
    for method in ("POST", "PUT", "GET", "DELETE", "OPTIONS", "PATCH", "FOO"):
        yield Case(f"body-{method}", [post("/", b"hello", method=method)], script=echo)
        yield Case(f"chunked-{method}", [post("/", method=method, chunks=[b"hel", b"lo"])], script=echo)
        yield Case(f"empty-length-{method}", [post("/", b"", method=method)], script=echo)
        yield Case(f"empty-chunked-{method}", [post("/", method=method, chunks=[])], script=echo)
    yield Case("connect-authority", [raw("CONNECT a.example:443 HTTP/1.1", "Host: a.example:443")], ending="read")
    yield Case("body-1MiB", [post("/", b"x" * (1 << 20))], script=echo)
    yield Case("chunked-1MiB", [post("/", chunks=[b"y" * 65536] * 16)], script=echo)
    yield Case("body-early-answer", [post("/", b"x" * 1000)], script=early())
    yield Case("body-not-empty-404", [post("/", b"x" * 1000, host="probe.differential")])
    yield Case("chunk-extensions", [raw("POST / HTTP/1.1", H, CHUNKED, body=b"5;a=b\r\nhello\r\n0;c\r\n\r\n")], script=echo)
    yield Case("chunk-upper-hex", [raw("POST / HTTP/1.1", H, CHUNKED, body=b"A\r\n0123456789\r\n0\r\n\r\n")], script=echo)
    yield Case("chunk-zeros", [raw("POST / HTTP/1.1", H, CHUNKED, body=b"0005\r\nhello\r\n000\r\n\r\n")], script=echo)
    yield Case("chunked-upper-case", [raw("POST / HTTP/1.1", H, "Transfer-Encoding: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n")], script=echo)
    yield Case("trailers", [head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
                            + chunked(b"hello", trailers=[("X-Sum", "1")])], script=echo)
    yield Case("trailers-unannounced", [head("POST / HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")])
                                        + chunked(b"hello", trailers=[("X-Sum", "1")])], script=echo)
    yield Case("trailers-te", [head("POST / HTTP/1.1", [("Host", "a"), ("TE", "trailers"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
                               + chunked(b"hello", trailers=[("X-Sum", "1")])], script=echo)
    yield Case("expect-continue", [post("/", b"hello", ("Expect", "100-continue"))], script=echo)
    yield Case("expect-continue-case", [post("/", b"hello", ("Expect", "100-Continue"))], script=echo)
    yield Case("expect-continue-no-body", [get("/", ("Expect", "100-continue"))])
    yield Case("expect-continue-1.0", [post("/", b"hello", ("Expect", "100-continue"), version="1.0")], script=echo, ending="read")
    yield Case("expect-other", [post("/", b"hello", ("Expect", "something"))], script=echo)
    yield Case("content-type", [post("/", b"a=b", ("Content-Type", "application/x-www-form-urlencoded"))], script=echo)
    yield Case("content-encoding", [post("/", b"zz", ("Content-Encoding", "gzip"))], script=echo)


def versions():
    yield Case("1.0", [get(version="1.0")], ending="read")
    yield Case("1.0-keep-alive", [get("/", ("Connection", "keep-alive"), version="1.0")])
    yield Case("1.0-post", [post("/", b"hello", version="1.0")], script=echo, ending="read")
    yield Case("1.0-chunked-answer", [get(version="1.0")], script=reply(chunks=[b"ab", b"cd"]), ending="read")
    yield Case("1.0-keep-alive-chunked-answer", [get("/", ("Connection", "keep-alive"), version="1.0")], script=reply(chunks=[b"ab", b"cd"]), ending="read")
    yield Case("1.0-close-delimited", [get(version="1.0")], script=send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", close=True), ending="read")
    yield Case("1.9", [raw("GET / HTTP/1.9", H)])
    yield Case("1.2", [raw("GET / HTTP/1.2", H)])
    yield Case("2.0", [raw("GET / HTTP/2.0", H)], ending="read")
    yield Case("3.0", [raw("GET / HTTP/3.0", H)], ending="read")
    yield Case("0.9", [raw("GET / HTTP/0.9", H)], ending="read")
    yield Case("version-short", [raw("GET / HTTP/1", H)], ending="read")
    yield Case("version-long", [raw("GET / HTTP/1.10", H)], ending="read")
    yield Case("version-lower", [raw("GET / http/1.1", H)], ending="read")
    yield Case("pipelined", [get("/1"), get("/2"), get("/3")], pipelined=True)
    yield Case("pipelined-post", [post("/1", b"one"), get("/2"), post("/3", chunks=[b"th", b"ree"])], pipelined=True, script=echo)
    yield Case("sequence", [get("/1"), post("/2"), get("/3", method="HEAD"), get("/4")])
    yield Case("empty-line-before", [b"\r\n" + get()])
    yield Case("half-close", [get()], ending="half-close")
    yield Case("close-then-more", [get("/1", ("Connection", "close")), get("/2")], pipelined=True, answers=1, ending="read")


def malformed():
    """Refused by both."""
    lines = {
        "space-before-colon": ("Host : a",), "space-first": (" Host: a",), "nul": (H, "X: a\0b"), "control": (H, "X: a\x01b"), "name-space": (H, "X Y: a"),
        "name-empty": (H, ": a"), "no-colon": (H, "garbage"), "two-lengths": (H, "Content-Length: 1", "Content-Length: 2"), "length-plus": (H, "Content-Length: +3"),
        "length-minus": (H, "Content-Length: -1"), "length-hex": (H, "Content-Length: 0x3"), "length-words": (H, "Content-Length: 3 4"),
        "length-overflow": (H, "Content-Length: 99999999999999999999"), "coding-identity": (H, "Transfer-Encoding: identity"), "coding-unknown": (H, "Transfer-Encoding: xchunked"),
        "coding-after-chunked": (H, "Transfer-Encoding: chunked, gzip"), "coding-twice": (H, CHUNKED, CHUNKED), "coding-gzip-chunked": (H, "Transfer-Encoding: gzip, chunked"),
        "length-list": (H, "Content-Length: 3, 3"), "name-latin": (H, "caf\xe9: a"), "name-brackets": (H, "X(a): b"),
    }
    for name, fields in lines.items():
        yield Case(f"bad-{name}", [raw("POST / HTTP/1.1", *fields, body=b"abc")], ending="read")
    for name, line in {"two-spaces": "GET  / HTTP/1.1", "tab": "GET\t/ HTTP/1.1", "no-target": "GET HTTP/1.1", "no-version": "GET /", "only-method": "GET", "leading-space": " GET / HTTP/1.1",
                       "trailing-space": "GET / HTTP/1.1 ", "method-colon": "G:T / HTTP/1.1", "garbage": "\x16\x03\x01\x02", "bad-version": "GET / HTTX/1.1"}.items():
        yield Case(f"bad-line-{name}", [raw(line, H)], ending="read")
    yield Case("length-empty", [raw("POST / HTTP/1.1", H, "Content-Length:")], ending="read")
    yield Case("empty-lines-many", [b"\r\n" * 50 + get()], answers=1, ending="read")
    yield Case("bad-chunk-size", [raw("POST / HTTP/1.1", H, CHUNKED, body=b"xyz\r\n")], script=echo, ending="read")
    yield Case("length-same-twice", [raw("POST / HTTP/1.1", H, "Content-Length: 3", "Content-Length: 3", body=b"abc")], script=echo)


def lenient():
    """Served by Go's server, refused by weir: what two recipients could read differently."""
    yield refused("bare-lf", [b"GET / HTTP/1.1\nHost: a\n\n"], ending="read", answers=1)
    yield refused("bare-lf-field", [b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"], ending="read")
    yield refused("folded", [raw("GET / HTTP/1.1", H, "X: a", " b")], ending="read")
    yield refused("folded-tab", [raw("GET / HTTP/1.1", H, "X: a", "\tb")], ending="read")
    yield refused("length-and-chunked", [raw("POST / HTTP/1.1", H, "Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")], ending="read")
    yield refused("chunked-and-length", [raw("POST / HTTP/1.1", H, CHUNKED, "Content-Length: 5", body=b"0\r\n\r\n")], ending="read")
    for name, fields in (("chunked-on-1.0", (CHUNKED,)), ("length-and-chunked-1.0", (CHUNKED, "Content-Length: 5"))):
        yield Case(name, [raw("POST / HTTP/1.0", H, *fields, body=b"0\r\n\r\n")], ending="read", loosely=True, why="strict-http1",
                   differs={"answer0.status": ("HTTP/1.0 200 OK", "HTTP/1.1 400 Bad Request")})


def malformed_bodies():
    """The head is good, the chunks are not: Traefik, whose backend connection fails, answers 500 or 502."""
    bodies = {"size-garbage": b"3xyz\r\nabc\r\n0\r\n\r\n", "size-hex": b"0x3\r\nabc\r\n0\r\n\r\n", "size-space": b"3 \r\nabc\r\n0\r\n\r\n", "size-lf": b"3\nabc\r\n0\r\n\r\n",
              "data-lf": b"3\r\nabc\n0\r\n\r\n", "no-crlf": b"3\r\nabcd\r\n0\r\n\r\n", "overflow": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", "minus": b"-3\r\nabc\r\n0\r\n\r\n",
              "extension-lf": b"3;a\nabc\r\n0\r\n\r\n", "extension-cr": b"3;a\rb\r\nabc\r\n0\r\n\r\n", "trailer-lf": b"3\r\nabc\r\n0\r\nX: y\n\r\n", "trailer-garbage": b"3\r\nabc\r\n0\r\ngarbage\r\n\r\n",
              "empty-size": b"\r\nabc\r\n0\r\n\r\n"}
    for name, body in bodies.items():
        yield Case(f"chunk-{name}", [raw("POST / HTTP/1.1", H, CHUNKED, body=body)], script=echo, ending="read")


def answers():
    for status in (200, 201, 202, 203, 205, 206, 299, 300, 302, 400, 401, 404, 405, 418, 421, 429, 451, 499, 500, 501, 502, 503, 504, 599, 600, 799, 999):
        yield Case(f"status-{status}", [get()], script=reply(status, reason=REASONS.get(status, f"status code {status}")))
    for status in (204, 304):
        yield Case(f"status-{status}", [get()], script=send(response_bytes(status, [("X-A", "1")], reason=REASONS[status])))
        yield Case(f"status-{status}-length", [get()], script=send(f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: 5\r\n\r\n".encode()))
        yield Case(f"status-{status}-chunked", [get()], script=send(f"HTTP/1.1 {status} {REASONS[status]}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()))
        yield Case(f"head-{status}", [get(method="HEAD")], script=send(response_bytes(status, [("X-A", "1")], reason=REASONS[status])))
    yield Case("reason-own", [get()], script=reply(200, reason="Fine"))
    yield Case("reason-empty", [get()], script=send(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"))
    yield Case("reason-none", [get()], script=send(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"))
    yield Case("head-length", [get(method="HEAD")], script=send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
    yield Case("head-chunked", [get(method="HEAD")], script=send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    yield Case("head-nothing", [get(method="HEAD")], script=send(b"HTTP/1.1 200 OK\r\n\r\n"))
    yield Case("answer-empty", [get()], script=reply(body=b""))
    yield Case("answer-chunked", [get()], script=reply(chunks=[b"ab", b"cd"]))
    yield Case("answer-chunked-empty", [get()], script=reply(chunks=[]))
    yield Case("answer-close-delimited", [get()], script=send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", close=True))
    yield Case("answer-1.0", [get()], script=send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", close=True))
    yield Case("answer-1.0-close-delimited", [get()], script=send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", close=True))
    yield Case("answer-1.0-keep-alive", [get()], script=send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"))
    yield Case("answer-1MiB", [get()], script=reply(body=b"z" * (1 << 20)))
    yield Case("answer-trailers", [get("/", ("TE", "trailers"))], script=send(head("HTTP/1.1 200 OK", [("Trailer", "X-Sum"), ("Transfer-Encoding", "chunked")]) + chunked(b"ab", trailers=[("X-Sum", "1")])))
    yield Case("answer-trailers-no-te", [get()], script=send(head("HTTP/1.1 200 OK", [("Trailer", "X-Sum"), ("Transfer-Encoding", "chunked")]) + chunked(b"ab", trailers=[("X-Sum", "1")])))
    yield Case("answer-trailers-unannounced", [get()], script=send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]) + chunked(b"ab", trailers=[("X-Sum", "1")])))
    yield Case("answer-same-length-twice", [get()], script=send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"))
    yield Case("answer-event-stream", [get()], script=send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", close=True))
    yield Case("answer-upper-names", [get()], script=send(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2\r\nX-UP: 1\r\n\r\nok"))
    for status, reason in ((100, "Continue"), (102, "Processing"), (103, "Early Hints"), (110, "")):
        yield Case(f"interim-{status}", [get()], script=send(f"HTTP/1.1 {status} {reason}\r\nLink: </a>\r\n\r\n".encode(), response_bytes(body=b"ok")))
    yield Case("interim-many", [get()], script=send(*[b"HTTP/1.1 103 Early Hints\r\nLink: </%d>\r\n\r\n" % i for i in range(4)], response_bytes(body=b"ok")))
    yield Case("interim-1.0-client", [get(version="1.0")], script=send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", response_bytes(body=b"ok")), ending="read")
    yield Case("switching-unasked", [get()], script=send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", close=True), ending="read")


UPGRADE = (("Connection", "keep-alive, Upgrade"), ("Upgrade", "raw"))
WEBSOCKET = (("connection", "upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-key", "abc"), ("SEC-WEBSOCKET-VERSION", "13"), ("Sec-Websocket-Protocol", "chat"),
             ("Sec-WebSocket-Extensions", "permessage-deflate"))


def switches():
    def switch(*fields, more=b""):
        return send(head("HTTP/1.1 101 Switching Protocols", fields) + more, close=True)

    def case(name, request, *fields, **more):
        return Case(f"switch-{name}", [request], script=switch(*fields, **more), ending="read")

    answer = (("Connection", "Upgrade"), ("Upgrade", "raw"))
    yield case("plain", get("/", *UPGRADE), *answer)
    yield case("bytes", get("/", *UPGRADE), *answer, more=b"bytes of the other protocol")
    yield case("fields", get("/", *UPGRADE), *answer, ("X-Mine", "1"), ("Server", "s"), ("Sec-WebSocket-Accept", "k"))
    yield case("names", get("/", *UPGRADE), ("connection", "UPGRADE"), ("upgrade", "RAW"))
    yield case("websocket", get("/", *WEBSOCKET), ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "k"))
    yield case("length", get("/", *UPGRADE), *answer, ("Content-Length", "5"), more=b"12345678")
    yield case("chunked", get("/", *UPGRADE), *answer, ("Transfer-Encoding", "chunked"), more=b"12345678")
    yield case("body", post("/", b"hello", *UPGRADE), *answer)
    yield case("other", get("/", *UPGRADE), ("Connection", "Upgrade"), ("Upgrade", "other"))
    yield case("nameless", get("/", *UPGRADE), ("Connection", "Upgrade"))
    yield case("unconnected", get("/", *UPGRADE), ("Upgrade", "raw"))
    yield case("of-list", get("/", ("Connection", "Upgrade"), ("Upgrade", "other, raw")), *answer)
    yield case("unprintable", get("/", ("Connection", "Upgrade"), ("Upgrade", "ra\xe9w")), *answer)
    yield Case("switch-1.0", [get("/", *UPGRADE, version="1.0")], script=reply(body=b"ok"), ending="read")
    for status in (200, 426):
        yield Case(f"switch-refused-{status}", [get("/", *UPGRADE)], script=reply(status, [("Upgrade", "raw"), ("Connection", "Upgrade")], b"no", reason=REASONS[status]))


REASONS = {200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content", 206: "Partial Content",
           300: "Multiple Choices", 302: "Found", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed", 418: "I'm a teapot",
           421: "Misdirected Request", 426: "Upgrade Required", 429: "Too Many Requests", 451: "Unavailable For Legal Reasons", 500: "Internal Server Error", 501: "Not Implemented",
           502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}

TEXT_505 = ("505 HTTP Version Not Supported: unsupported protocol version", "505 HTTP Version Not Supported", "error-texts")
SNIFFED = ["text/plain; charset=utf-8"]
DIFFERS = {
    **statuses("501 Not Implemented", "400 Bad Request", "target-forms", "method-CONNECT"),
    **{name: {"differs": {"upstream0.header.content-length": (None, ["0"])}, "why": "empty-bodies"}
       for name in ("empty-length-GET", "empty-length-DELETE", "empty-length-OPTIONS", "empty-length-FOO")},
    **{name: {"differs": {"upstream0.trailer.x-sum": (None, ["1"])}, "why": "request-trailers"} for name in ("trailers", "trailers-unannounced", "trailers-te")},
    **statuses(*TEXT_505, "2.0", "3.0", "0.9"),
    **statuses("400 Bad Request", "200 OK", "empty-line", "empty-line-before"),
    **statuses("400 Bad Request: missing required Host header", "400 Bad Request", "error-texts", "bad-space-before-colon"),
    **statuses("400 Bad Request: invalid header name", "400 Bad Request", "error-texts", "bad-name-space"),
    **{name: {"differs": {"answer0.body": (b"Unsupported transfer encoding", b"501 Not Implemented")}, "why": "error-texts"}
       for name in ("bad-coding-identity", "bad-coding-unknown", "bad-coding-gzip-chunked")},
    **statuses("501 Not Implemented", "400 Bad Request", "strict-http1", "bad-coding-after-chunked", "bad-coding-twice"),
    **statuses("500 Internal Server Error", "400 Bad Request", "malformed-chunks", "bad-chunk-size", *(f"chunk-{name}" for name in (
        "size-garbage", "size-hex", "size-lf", "data-lf", "no-crlf", "overflow", "minus", "extension-lf", "extension-cr", "trailer-garbage", "empty-size"))),
    **statuses("200 OK", "400 Bad Request", "malformed-chunks", "chunk-size-space"),
    **statuses(None, "400 Bad Request", "malformed-chunks", "chunk-trailer-lf"),
    "status-304-length": {"differs": {"answer0.header.content-length": (None, ["5"])}, "why": "length-of-304"},
    **statuses("200 OK", "200 Fine", "reason-phrase", "reason-own"),
    "interim-100": {"differs": {"answer0.interim0": (["HTTP/1.1 100 Continue", "link: </a>"], None), "answer0.header.content-type": (SNIFFED, None)}, "why": "interim"},
    **{name: {"differs": {"answer0.header.content-type": (SNIFFED, None)}, "why": "interim"} for name in ("interim-102", "interim-103", "interim-many")},
    "interim-110": {"differs": {"answer0.interim0": (["HTTP/1.1 110 status code 110", "link: </a>"], ["HTTP/1.1 110 ", "link: </a>"]),
                                "answer0.header.content-type": (SNIFFED, None)}, "why": "interim"},
    "interim-1.0-client": {"differs": {"answer0.interim0": (["HTTP/1.0 103 Early Hints", "link: </a>"], None), "answer0.header.content-type": (SNIFFED, None)},
                           "why": "interim"},
    **statuses("500 Internal Server Error", "502 Bad Gateway", "answer-malformed", "switching-unasked"),
    **statuses("500 Internal Server Error", "502 Bad Gateway", "switch", *(f"switch-{name}" for name in ("other", "nameless", "unconnected", "of-list"))),
    **statuses("500 Internal Server Error", "400 Bad Request", "switch", "switch-unprintable"),
    "switch-body": {"differs": {"answer0.header.content-length": (["0"], None)}, "why": "switch"},
    "switch-1.0": {"differs": {"upstream0.header.connection": (["Upgrade"], None), "upstream0.header.upgrade": (["raw"], None)}, "why": "switch"},
}


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(dynamic=everything())


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for group in (requests, versions, malformed, lenient, malformed_bodies, answers, switches)
                                  for case in group()], ids=str)
def test_messages(pair, case):
    pair.check(case, timeout_s=2)
