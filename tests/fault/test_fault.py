"""One thing fails at a time, at every place where it can: that request suffers at most, and only that one."""

import os
import subprocess
import time

import pytest

from faults import EVERY, ERRORS, ONCE, SHORT
from harness.client import Client, request_bytes
from harness.message import Closed, chunked, head
from harness.proxy import Plugin, merge, one_router, program, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

LONG = "WEIR_LONG" in os.environ
SLOW = int(os.environ.get("WEIR_TEST_SLOW", "1"))
POINTS_MAX = 5000  # no request makes so many calls
IO = ["socket", "accept4", "connect", "recv", "sendmsg", "epoll_ctl"]
FILES = ["open", "write", "pread"]
# What a request may be answered with when something failed.
REFUSALS = (413, 431, 500, 502, 503, 504)
BIG = bytes(range(256)) * 1200  # more than a spool keeps in memory


def echo(connection, request):
    connection.send(response_bytes(body=b"echo:" + request.body))


def echo_chunked(connection, request):
    body = b"echo:" + request.body
    connection.send(response_bytes(chunks=[body[at:at + 50000] for at in range(0, len(body), 50000)]))


class Case:
    """A request and what it must be answered with."""

    def __init__(self, send, body, plugin=None, guest=None, answer=echo, method="GET"):
        self.send, self.body, self.plugin, self.guest, self.answer, self.method = send, body, plugin, guest, answer, method


SMALL_POST = request_bytes("POST", "/", body=b"a small body")
CHUNKED_POST = request_bytes("POST", "/", chunks=[b"x" * 1000, b"y" * 100000, b"z" * 7])
CHUNKED_BODY = b"x" * 1000 + b"y" * 100000 + b"z" * 7
INCREMENT = bytes((i + 1) & 255 for i in range(256))

CASES = {
    "get": Case(request_bytes(), b"echo:"),
    "post chunked": Case(CHUNKED_POST, b"echo:" + CHUNKED_BODY, answer=echo_chunked),
    "plugin buffered": Case(SMALL_POST, (b"echo:" + b"a small body".translate(INCREMENT)).translate(INCREMENT),
                            plugin={"features": 3, "request": "rewrite", "response": "rewrite"}, guest="body"),
    "plugin collecting": Case(request_bytes("POST", "/", chunks=[BIG[at:at + 60000] for at in range(0, len(BIG), 60000)]),
                              b"echo:" + BIG, plugin={"features": 3, "request": "all", "response": "all"}, guest="body"),
    "plugin unbuffered": Case(CHUNKED_POST, b"echo:" + CHUNKED_BODY.translate(INCREMENT),
                              plugin={"features": 0, "request": "rewrite"}, guest="body", answer=echo_chunked),
}


def run_proxy(case, upstream, proxy, faults, **static):
    server = upstream(case.answer)
    plugins = {"p": Plugin(case.guest)} if case.guest else None
    return proxy(one_router(server.url, plugin={"p": case.plugin} if case.plugin else None), plugins=plugins,
                 environment=faults.environment(), static=merge({"weir": {"workers": 1}}, static))


def attempt(p, case):
    """The status of one request on a connection of its own, or None if there was no whole answer. Never a wrong one."""
    try:
        with Client(p.port, timeout_s=20) as client:
            try:
                client.send(case.send)
            except OSError:
                pass  # an early answer
            response = client.response(case.method)
    except (Closed, ConnectionError):
        return None
    if response.status == 200:
        assert response.body == case.body, f"wrong bytes: {response.body[:100]!r}, {len(response.body)} in all"
    else:
        assert response.status in REFUSALS, response.start_line
    return response.status


def sweep(p, case, faults, kind, mode=ONCE, error=None):
    """Fails the calls 1, 2, 3 ... until the request is done before it comes to that. Returns {function: outcomes}."""
    seen = {}
    for n in range(1, POINTS_MAX):
        faults.arm(kind, n, mode, error)
        status = attempt(p, case)
        hits = faults.disarm()
        place = faults.where
        assert p.running, f"{kind} {n} ended the proxy, at {place}\n{p.log()}"
        if hits == 0:
            assert status == 200, f"{status} although nothing failed"
            return seen
        seen.setdefault(place, []).append(status)
        assert attempt(p, case) == 200, f"the request after {kind} {n}, at {place}\n{p.log()}"
    raise AssertionError(f"no end of {kind} after {POINTS_MAX} calls")


def settle(p, case):
    for _ in range(5):
        assert attempt(p, case) == 200


@pytest.mark.parametrize("name", CASES)
def test_without_memory(upstream, proxy, faults, name):
    p = run_proxy(CASES[name], upstream, proxy, faults)
    settle(p, CASES[name])
    with p.flat():
        seen = sweep(p, CASES[name], faults, "malloc")
    print(name, seen)
    assert seen, "no allocation failed"


@pytest.mark.parametrize("name", CASES)
def test_without_memory_for_long(upstream, proxy, faults, name):
    """Every allocation from the n-th on fails."""
    p = run_proxy(CASES[name], upstream, proxy, faults)
    settle(p, CASES[name])
    sweep(p, CASES[name], faults, "malloc", EVERY)


@pytest.mark.parametrize("kind", IO + FILES)
@pytest.mark.parametrize("name", CASES)
def test_system_calls(upstream, proxy, faults, name, kind):
    p = run_proxy(CASES[name], upstream, proxy, faults)
    settle(p, CASES[name])
    with p.flat():
        sweep(p, CASES[name], faults, kind)


OTHER_ERRORS = {"recv": ["ENOMEM", "EINTR", "EAGAIN", "ENOTCONN"], "sendmsg": ["ENOBUFS", "EINTR", "EAGAIN", "ENOMEM"],
                "accept4": ["ECONNABORTED", "EINTR", "EAGAIN", "ENOMEM", "EPERM"], "connect": ["ENETUNREACH", "EINTR", "EPERM"],
                "socket": ["ENOBUFS", "EAFNOSUPPORT"]}


@pytest.mark.parametrize("kind,error", [(kind, name) for kind, names in OTHER_ERRORS.items() for name in names])
def test_other_errors(upstream, proxy, faults, kind, error):
    import errno

    p = run_proxy(CASES["post chunked"], upstream, proxy, faults)
    settle(p, CASES["post chunked"])
    sweep(p, CASES["post chunked"], faults, kind, error=getattr(errno, error))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["recv", "sendmsg", "write", "pread"])
def test_short_calls(upstream, proxy, faults, name, kind):
    """Every call moves one byte only: slow, and right."""
    case = CASES[name]
    small = Case(request_bytes("POST", "/", chunks=[b"abc", b"defgh"]), None, case.plugin, case.guest, case.answer)
    transform = {"plugin buffered": lambda b: (b"echo:" + b.translate(INCREMENT)).translate(INCREMENT),
                 "plugin unbuffered": lambda b: b"echo:" + b.translate(INCREMENT)}
    small.body = transform.get(name, lambda b: b"echo:" + b)(b"abcdefgh")
    tried = case if kind in ("write", "pread") else small
    p = run_proxy(case, upstream, proxy, faults)
    faults.arm(kind, mode=SHORT)
    for _ in range(3):
        assert attempt(p, tried) == 200
    if kind in ("recv", "sendmsg"):
        assert faults.hits > 100
