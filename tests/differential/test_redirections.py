"""`http.redirections` of entry points: where they send requests, and what comes before them."""

import pytest

from harness.client import fetch
from rig.messages import everything, get, raw
from rig.observe import Case


def to(target, **options):
    return {"http": {"redirections": {"entryPoint": {"to": target, **options}}}}


ENTRY_POINTS = {
    "web": {},
    "port": to(":8443"),
    "secure": to(":443"),
    "temporary": to(":8443", permanent=False),
    "plain": to(":80", scheme="http"),
    "other": to(":81", scheme="http"),
    "odd": to(":8443", scheme="foo"),
    "low": to(":8443", priority=1),
    "between": to(":8443", priority=50),
    "trusting": {**to(":443"), "forwardedHeaders": {"insecure": True}},
    "challenged": {"allowACMEByPass": True, **to(":8443")},
    "before": {"http": {"middlewares": ["prefix@file", "mark@file"], **to(":8443")["http"]}},
}

DYNAMIC = everything(middlewares={"prefix": {"addPrefix": {"prefix": "/p"}}, "mark": {"headers": {"customResponseHeaders": {"X-Mark": "1"}}}})
DYNAMIC["http"]["routers"]["token"] = {"rule": "Path(`/.well-known/acme-challenge/token`) || Path(`/.well-known/acme-challenge`)", "service": "s"}
DYNAMIC["http"]["routers"]["high"] = {"rule": "PathPrefix(`/high`)", "priority": 100, "service": "s"}


def cases():
    for name in ENTRY_POINTS:
        yield Case(f"{name}-get", [get("/a/b?c=d")], entry_point=name)
        yield Case(f"{name}-post", [get("/", method="POST")], entry_point=name)
        yield Case(f"{name}-port", [get("/", host="site.example:8080")], entry_point=name)
        yield Case(f"{name}-high", [get("/high")], entry_point=name)
    for proto in ("http", "https", "ws", "wss"):
        yield Case(f"trusting-{proto}", [get("/", ("X-Forwarded-Proto", proto))], entry_point="trusting")
    for name in ("port", "challenged"):
        for target in ("/.well-known/acme-challenge/token", "/.well-known/acme-challenge/", "/.well-known/acme-challenge", "/.well-known/acme-challenge/none/x"):
            yield Case(f"{name}-{target}", [get(target)], entry_point=name)
    yield Case("head", [get("/", method="HEAD")], entry_point="port")
    yield Case("no-host", [raw("GET / HTTP/1.1", "Host:")], entry_point="port")
    yield Case("websocket", [get("/", ("Connection", "Upgrade"), ("Upgrade", "websocket"))], entry_point="port")
    yield Case("encoded", [get("/a%2Fb%20c/../d")], entry_point="port")


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(static={"entryPoints": {name: options for name, options in ENTRY_POINTS.items() if options}}, dynamic=DYNAMIC,
                 entry_points=tuple(ENTRY_POINTS))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_redirections(pair, case):
    pair.check(case, timeout_s=5)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_port_of_another_entry_point(pairs, scheme):
    pair = pairs(static={"entryPoints": {"web": to("other", scheme=scheme)}}, dynamic=everything(), entry_points=("other", "web"))
    for instance in (pair.traefik, pair.weir):
        answer = fetch(instance.ports["web"], target="/x", host="a.example")
        assert (answer.status, answer.get("Location")) == (301, f"{scheme}://a.example:{instance.ports['other']}/x")
