"""Options of entry points that are about connections, ping, and which entry points a router has by default."""

import time

import pytest

from rig.backend import reply
from rig.known import statuses, with_differences
from rig.messages import everything, get, post, raw
from rig.observe import Case

ENTRY_POINTS = {
    "web": {},
    "small": {"http": {"maxHeaderBytes": 4096}},
    "thrice": {"transport": {"keepAliveMaxRequests": 3}},
    "once": {"transport": {"keepAliveMaxRequests": 1}},
    "aged": {"transport": {"keepAliveMaxTime": "50ms"}},
    "impatient": {"transport": {"respondingTimeouts": {"readTimeout": "300ms"}}},
    "idle": {"transport": {"respondingTimeouts": {"idleTimeout": "300ms"}}},
    "ping": {},
}


def slow(connection, request):
    """An answer that takes longer than keepAliveMaxTime of the entry point "aged"."""
    time.sleep(0.1)
    return reply()(connection, request)


def cases():
    for size in (1000, 4000, 7000, 8100, 8300, 20000):
        yield Case(f"header-{size}", [get("/", ("X-Big", "x" * size))], entry_point="small", ending="read" if size > 8000 else "probe")
    yield Case("header-many", [get("/", *((f"X-{i}", "y" * 50) for i in range(400)))], entry_point="small", ending="read")
    yield Case("header-default-900K", [get("/", ("X-Big", "x" * 900000))])
    yield Case("header-default-1100K", [get("/", ("X-Big", "x" * 1100000))], ending="read")
    yield Case("target-too-long", [get("/" + "a" * 20000)], entry_point="small", ending="read")
    yield Case("aged", [get("/1"), get("/2")], script=slow, entry_point="aged", ending="read")
    for name in ("thrice", "once"):
        for count in (1, 2, 3, 4):
            yield Case(f"{name}-{count}", [get(f"/{i}") for i in range(count)], entry_point=name)
    yield Case("once-close-asked", [get("/", ("Connection", "close"))], entry_point="once", ending="read")
    yield Case("once-1.0", [get("/", ("Connection", "keep-alive"), version="1.0")], entry_point="once", ending="read")
    yield Case("thrice-404", [get("/")] * 2, entry_point="thrice")
    yield Case("silent", [b""], entry_point="impatient", answers=0, ending="read")
    yield Case("half-head", [b"GET / HTTP/1.1\r\nHost:"], entry_point="impatient", answers=0, ending="read")
    yield Case("half-body", [raw("POST / HTTP/1.1", "Host: a", "Content-Length: 10", body=b"half")], entry_point="impatient", ending="read",
               ignore=("answer0.status", "answer0.body", "answer0.header.content-length"))  # 499 or 504 in Traefik, by chance
    yield Case("idle", [get()], entry_point="idle", ending="read")
    yield Case("idle-post", [post("/", b"x")], entry_point="idle", ending="read")
    for method in ("GET", "HEAD", "POST", "DELETE"):
        yield Case(f"ping-{method}", [get("/ping", method=method)], entry_point="ping")
    yield Case("ping-below", [get("/ping/x")], entry_point="ping")
    yield Case("ping-prefix", [get("/pingx")], entry_point="ping")
    yield Case("ping-other-entry-point", [get("/ping")])


DIFFERS = {
    "once-1.0": {"differs": {"answer0.header.connection": (["close"], None)}, "why": "close-to-1.0"},
}


@pytest.fixture(scope="module")
def pair(pairs):
    static = {"entryPoints": {name: options for name, options in ENTRY_POINTS.items() if options}, "ping": {"entryPoint": "ping"}}
    return pairs(static=static, dynamic=everything(), entry_points=tuple(ENTRY_POINTS))


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_entry_points(pair, case):
    pair.check(case, timeout_s=5)


@pytest.mark.parametrize("options, requests", [
    ({"second": {"asDefault": True}}, ["first", "second"]),
    ({"first": {"asDefault": True}, "second": {"asDefault": True}}, ["first", "second"]),
    ({}, ["first", "second"]),
], ids=["one-default", "two-defaults", "none"])
def test_default_entry_points(pairs, options, requests):
    pair = pairs(static={"entryPoints": options}, dynamic={"http": {"routers": {"marker": {"entryPoints": ["first", "second"]}, **everything()["http"]["routers"]},
                                                                    "services": everything()["http"]["services"]}},
                 entry_points=("first", "second"))
    for name in requests:
        pair.check(Case(name, [get("/x")], entry_point=name))


@pytest.mark.parametrize("static, requests", [
    ({"ping": {}}, [get("/ping")]),
    ({"ping": {"manualRouting": True}}, [get("/ping"), get("/manual", host="manual.example")]),
    ({"ping": {"entryPoint": "web"}}, [get("/ping")]),
    ({}, [get("/ping"), get("/manual", host="manual.example")]),
], ids=["traefik-entry-point", "manual", "web", "none"])
def test_ping(pairs, static, requests):
    routers = {"manual": {"rule": "Host(`manual.example`)", "service": "ping@internal"}}
    pair = pairs(static=static, dynamic={"http": {"routers": {**everything()["http"]["routers"], **routers}, "services": everything()["http"]["services"]}},
                 entry_points=("web", "traefik"))
    for entry_point in ("web", "traefik"):
        pair.check(Case(entry_point, requests, entry_point=entry_point))
