"""What a client gets when the upstream fails."""

import socket

import pytest

from rig.backend import drop, send, silent
from rig.known import statuses, with_differences
from rig.messages import everything, get, post
from rig.observe import Case
from harness.ports import free_port
from harness.upstream import response_bytes

OK = b"HTTP/1.1 200 OK\r\n"


def after_head(*pieces, reset=False):
    """Reads only the head of the request."""

    def script(connection, request):
        for piece in pieces:
            connection.send(piece)
        if reset:
            connection.reset()
        return False

    return script


def cases():
    yield Case("drop", [post()], script=drop)
    yield Case("reset", [post()], script=send(reset=True))
    yield Case("drop-get", [get()], script=drop, ignore=("upstream.count",))
    yield Case("half-line", [post()], script=send(b"HTTP/1.1 20", close=True))
    yield Case("half-head", [post()], script=send(OK + b"X-A: b\r\n", close=True))
    yield Case("reset-in-head", [post()], script=send(OK + b"X-A: b\r\n", reset=True))
    yield Case("truncated-length", [get()], script=send(OK + b"Content-Length: 10\r\n\r\nhalf", close=True))
    yield Case("truncated-chunk", [get()], script=send(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal", close=True))
    yield Case("truncated-chunks", [get()], script=send(OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", close=True))
    yield Case("head-with-body", [get(method="HEAD")], script=send(OK + b"Content-Length: 2\r\n\r\nok"), ignore=("upstream.count",))
    yield Case("early-error", [post("/", b"x" * 100)], script=after_head(response_bytes(413, reason="Request Entity Too Large", body=b"big")))
    lines = {
        "garbage": b"garbage\r\n\r\n", "ssh": b"SSH-2.0-OpenSSH\r\n", "version-2": b"HTTP/2.0 200 OK\r\n\r\n", "version-0.9": b"HTTP/0.9 200 OK\r\n\r\n",
        "version-3": b"HTTP/3 200 OK\r\n\r\n", "status-words": b"HTTP/1.1 abc OK\r\n\r\n", "status-two": b"HTTP/1.1 20 OK\r\n\r\n", "status-four": b"HTTP/1.1 2000 OK\r\n\r\n", "status-zero": b"HTTP/1.1 000 OK\r\n\r\n",
        "status-099": b"HTTP/1.1 099 OK\r\n\r\n", "no-colon": OK + b"garbage\r\n\r\n", "space-before-colon": OK + b"X : a\r\nContent-Length: 0\r\n\r\n", "name-empty": OK + b": a\r\nContent-Length: 0\r\n\r\n",
        "bad-length": OK + b"Content-Length: x\r\n\r\n", "two-lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "length-minus": OK + b"Content-Length: -1\r\n\r\n",
        "length-and-chunked": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "coding-unknown": OK + b"Transfer-Encoding: gzip\r\n\r\nok",
        "coding-list": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "coding-identity": OK + b"Transfer-Encoding: identity\r\n\r\nok", "nul": OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
        "control": OK + b"X: a\x01b\r\nContent-Length: 0\r\n\r\n", "folded": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "leading-line": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "name-space": OK + b"X Y: a\r\nContent-Length: 0\r\n\r\n", "lower-version": b"http/1.1 200 OK\r\n\r\n",
        "bare-cr": OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", "chunked-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "reason-control": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
        "interim-then-end": b"HTTP/1.1 103 Early Hints\r\n\r\n", "interim-many": b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + OK + b"Content-Length: 0\r\n\r\n",
        "head-2MiB": OK + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 1000) for i in range(2000)) + b"\r\n",
        "length-huge": OK + b"Content-Length: 99999999999999999999\r\n\r\n", "length-plus": OK + b"Content-Length: +2\r\n\r\nok", "two-equal-lengths-list": OK + b"Content-Length: 2, 2\r\n\r\nok",
    }
    for name, bytes_ in lines.items():
        yield Case(f"answer-{name}", [post()], script=send(bytes_, close=True))
    yield Case("surplus", [get(), get("/second")], script=send(OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), ignore=("upstream.count",))


BAD = ("500 Internal Server Error", "502 Bad Gateway", "answer-malformed")
LENIENT = ("200 OK", "502 Bad Gateway", "answer-strict")
DIFFERS = {
    **statuses(*BAD, "half-line", "half-head", "reset-in-head", *(f"answer-{name}" for name in (
        "garbage", "ssh", "version-3", "status-words", "status-two", "status-four", "no-colon", "name-empty", "bad-length", "two-lengths", "length-minus",
        "coding-unknown", "coding-list", "coding-identity", "nul", "control", "leading-line", "lower-version", "bare-cr", "interim-then-end", "length-huge",
        "length-plus", "two-equal-lengths-list"))),
    **statuses(*LENIENT, *(f"answer-{name}" for name in (
        "version-2", "version-0.9", "space-before-colon", "length-and-chunked", "folded", "bare-lf", "name-space", "chunked-1.0", "reason-control"))),
    **statuses(None, "502 Bad Gateway", "answer-malformed", "answer-status-zero", "answer-status-099"),
    **statuses("200 OK", "502 Bad Gateway", "limits", "answer-head-2MiB"),
    "truncated-length": {"differs": {"answer0.partial": (None, b"half")}, "why": "answer-truncated"},
}


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(dynamic=everything())


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_answers(pair, case):
    pair.check(case)


# Services whose servers cannot be reached, or are too slow.
HOSTS = ["refused", "name", "slow-head", "slow-connect", "empty", "weightless", "unresolved-port", "mixed"]


@pytest.fixture(scope="module")
def unreachable(pairs):
    closed = free_port()
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):  # the queue of the listener overflows, so that nobody gets an answer to a SYN
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    urls = {"refused": f"http://127.0.0.1:{closed}", "name": "http://no-such-host.invalid:80", "slow-head": "http://127.0.0.1:<<a>>",
            "slow-connect": "http://127.0.0.1:%d" % full.getsockname()[1]}
    services = {name: {"loadBalancer": {"servers": [{"url": url}], "serversTransport": "quick"}} for name, url in urls.items()}
    services["empty"] = {"loadBalancer": {"servers": []}}
    services["weightless"] = {"loadBalancer": {"servers": [{"url": urls["refused"], "weight": 0}]}}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": name} for name in services}
    transports = {"quick": {"forwardingTimeouts": {"dialTimeout": "200ms", "responseHeaderTimeout": "200ms"}}}
    yield pairs(dynamic={"http": {"routers": routers, "services": services, "serversTransports": transports}})
    for sock in (*fillers, full):
        sock.close()


@pytest.mark.parametrize("case", [
    Case("refused", [get(host="refused.example")]), Case("refused-post", [post(host="refused.example")]), Case("refused-head", [get(host="refused.example", method="HEAD")]),
    Case("refused-twice", [get(host="refused.example"), get(host="refused.example")]), Case("no-such-name", [get(host="name.example")]),
    Case("slow-head", [get(host="slow-head.example")], script=silent),
    Case("slow-head-post", [post(host="slow-head.example")], script=silent),
    Case("slow-connect", [get(host="slow-connect.example")]), Case("no-servers", [get(host="empty.example")]), Case("no-servers-head", [get(host="empty.example", method="HEAD")]),
    Case("no-servers-post", [post("/", b"x" * 100, host="empty.example")]), Case("no-weight", [get(host="weightless.example")]),
    Case("nobody", [get(host="nobody.example")]), Case("nobody-head", [get(host="nobody.example", method="HEAD")]), Case("nobody-post", [post(host="nobody.example")]),
    Case("nobody-1.0", [get(host="nobody.example", version="1.0")], ending="read"), Case("nobody-expect", [post("/", b"x", ("Expect", "100-continue"), host="nobody.example")]),
], ids=str)
def test_unreachable(unreachable, case):
    unreachable.check(with_differences(case, DIFFERS))
