"""Hostile guests: whatever one request does to its instance, fifty parallel innocent requests through the same plugin
are answered correctly, nothing leaks, and the client never sees what the guest said. Under every isolation."""

import pytest

from harness.load import Innocents, together
from harness.proxy import ON_TRAEFIK, Plugin, merge, one_router
from harness.siege import BUDGET, assert_plain_error, attack, check_innocent, hostile, siege

ISOLATIONS = ["reuse"] if ON_TRAEFIK else ["reuse", "reset", "fresh"]
each_isolation = pytest.mark.parametrize("proxy", ISOLATIONS, indirect=True)


@pytest.fixture
def proxy(request, proxy):
    """As everywhere, with the isolation that is asked for."""
    isolation = getattr(request, "param", "reuse")
    if isolation == "reuse":
        return proxy

    def make(dynamic, static=None, **options):
        wanted = {"weir": {"plugins": {"defaults": {"isolation": isolation}}}}
        return proxy(dynamic, static=merge(static or {}, wanted), **options)

    return make


@pytest.mark.differs("Traefik sends what the guest had set before it trapped")
@pytest.mark.parametrize("features", [0, 2])
@each_isolation
def test_trap_in_the_request_phase(upstream, proxy, features):
    server = upstream()
    siege(hostile(proxy, server, "trap", {"phase": "request", "features": features}), ["/evil"] * 20)
    assert not any("evil" in r.target for r in server.requests)


@each_isolation
def test_trap_in_the_response_phase_with_buffering(upstream, proxy):
    """The response must not get out: a guest that guards responses failed."""
    siege(hostile(proxy, upstream(), "trap", {"phase": "response", "features": 2}), ["/evil"] * 20)


@each_isolation
def test_trap_in_the_response_phase_without_buffering(upstream, proxy):
    """The response is on its way already."""
    def check(response):
        assert response.status in (200, 500)

    siege(hostile(proxy, upstream(), "trap", {"phase": "response", "features": 0}), ["/evil"] * 20, check=check)


@pytest.mark.differs("Traefik goes on with an instance that has exited")
@pytest.mark.parametrize("code", [0, 1, 77])
@pytest.mark.parametrize("phase", ["request", "response"])
@each_isolation
def test_exit(upstream, proxy, phase, code):
    def check(response):
        assert response.status in ((500,) if phase == "request" else (200, 500))

    siege(hostile(proxy, upstream(), "exit", {"phase": phase, "code": code}), ["/evil"] * 20, check=check)


@pytest.mark.differs("nothing ends a loop in Traefik")
@pytest.mark.parametrize("phase", ["request", "response"])
@each_isolation
def test_endless_loop(upstream, proxy, phase):
    def check(response):
        assert response.status in ((500, 504) if phase == "request" else (200, 500, 504))

    siege(hostile(proxy, upstream(), "loop", {"phase": phase}), ["/evil"] * 4, check=check)


@pytest.mark.differs("nothing ends a loop in Traefik")
@each_isolation
def test_many_loops_at_once(upstream, proxy):
    p = hostile(proxy, upstream(), "loop", {"phase": "request"})
    with Innocents(p.port, check_innocent, 10):
        for response in together(8, lambda i: p.fetch(target="/evil", timeout_s=60)):
            assert_plain_error(response, (500, 503, 504))


@each_isolation
def test_recursion(upstream, proxy):
    siege(hostile(proxy, upstream(), "recursion"), ["/evil"] * 10)


@pytest.mark.differs("Traefik sets no memory limit")
@each_isolation
def test_memory_bomb(upstream, proxy):
    p = hostile(proxy, upstream(), "memory-bomb")
    siege(p, ["/evil"] * 10)
    p.wait_log("memory.grow refused")


@pytest.mark.differs("Traefik takes what a guest gives")
@pytest.mark.parametrize("side", ["request", "response"])
@each_isolation
def test_huge_headers(upstream, proxy, side):
    siege(hostile(proxy, upstream(), "huge-headers", {"side": side}), ["/evil"] * 5,
          check=lambda r: assert_plain_error(r, (500, 502)))


@pytest.mark.differs("Traefik takes what a guest gives")
@pytest.mark.parametrize("side", ["request", "response"])
@each_isolation
def test_huge_body(upstream, proxy, side):
    siege(hostile(proxy, upstream(), "huge-body", {"side": side}), ["/evil"] * 3)


@pytest.mark.differs("nothing ends a loop in Traefik")
@each_isolation
def test_endless_log(upstream, proxy):
    p = hostile(proxy, upstream(), "endless-log")
    siege(p, ["/evil"] * 3, innocents=20, check=lambda r: assert_plain_error(r, (500, 504)))
    assert (p.directory / "output.log").stat().st_size < 256 << 20


@pytest.mark.differs("sleep returns at once in Traefik")
@each_isolation
def test_long_sleep(upstream, proxy):
    siege(hostile(proxy, upstream(), "sleeper"), ["/evil"] * 3, check=lambda r: r.status in (200, 500, 504))


HOST_CALLS, HOST_POINTERS = 25, 7
WASI_CALLS, WASI_POINTERS = 34, 6


@pytest.mark.parametrize("phase", ["request", "response"])
@each_isolation
def test_wild_pointers_into_http_handler(upstream, proxy, phase):
    p = hostile(proxy, upstream(), "wild", {"phase": phase})
    targets = [f"/evil/{call}/{pointer}" for call in range(HOST_CALLS) for pointer in range(HOST_POINTERS)]
    siege(p, targets, innocents=20, check=lambda r: r.status == 200 or assert_plain_error(r))


# Reads of guest memory out of bounds must trap, as must body reads into a buffer that is not all there.
MUST_TRAP = [5, 7, 11, 13, 14, 15, 16, 17, 18, 19, 20, 22]


@pytest.mark.parametrize("call", MUST_TRAP)
@each_isolation
def test_wild_pointer_traps(upstream, proxy, call):
    server = upstream()
    p = hostile(proxy, server, "wild", {"phase": "request"})
    for pointer in range(HOST_POINTERS):
        assert p.fetch("POST", f"/evil/{call}/{pointer}", body=b"x").status == 500, pointer
    assert server.requests == []


@pytest.mark.parametrize("call", range(HOST_CALLS))
def test_wild_pointers_while_initialising(upstream, proxy, call):
    server = upstream()
    good = one_router(server.url, rule="Host(`good.example`)")
    dynamic = good
    for pointer in range(HOST_POINTERS):
        http = {"routers": {f"r{pointer}": {"rule": f"Host(`p{pointer}.example`)", "service": "s", "middlewares": [f"m{pointer}"]}},
                "middlewares": {f"m{pointer}": {"plugin": {"guest": {"phase": "init", "call": call, "pointer": pointer}}}}}
        dynamic = merge(dynamic, {"http": http})
    p = proxy(dynamic, plugins={"guest": Plugin("wild")}, static=BUDGET)
    assert p.fetch(host="good.example").body == b"ok"
    for pointer in range(HOST_POINTERS):
        assert p.fetch(host=f"p{pointer}.example").status in (200, 404)


@each_isolation
def test_wild_pointers_into_wasi(upstream, proxy, tmp_path):
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "x").write_text("x")
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), static=BUDGET,
              plugins={"guest": Plugin("wild-wasi", {"mounts": [f"{tmp_path}/mounted:/m"]})})
    targets = [f"/evil/{call}/{pointer}" for call in range(WASI_CALLS) for pointer in range(WASI_POINTERS)]
    siege(p, targets, innocents=20, check=lambda r: r.status == 200 or assert_plain_error(r))
    assert (tmp_path / "mounted" / "x").read_text() == "x"


# --- calls that the response phase refuses

REFUSED_ALWAYS = ["set_request_header", "set_method", "set_uri", "write_request_body"]
REFUSED_UNBUFFERED = ["set_response_header", "set_status", "write_response_body", "read_response_body"]


@pytest.mark.parametrize("call", REFUSED_ALWAYS)
@each_isolation
def test_request_cannot_change_after_next(upstream, proxy, call):
    p = hostile(proxy, upstream(), "after", {"features": 3, "call": call})
    response = attack(p, "/")
    if ON_TRAEFIK:  # aborts, or lets the response go out
        assert response is None or response.status in (200, 500)
    else:
        assert_plain_error(response)


@pytest.mark.parametrize("call", REFUSED_UNBUFFERED)
@each_isolation
def test_response_cannot_change_unbuffered(upstream, proxy, call):
    p = hostile(proxy, upstream(), "after", {"features": 0, "call": call})
    response = attack(p, "/")
    if not ON_TRAEFIK:
        assert (response.status, response.body) == (200, b"ok")
        assert response.get("X-After") is None
        p.wait_log("buffer_response")


def test_response_can_change_buffered(upstream, proxy):
    server = upstream()
    for call, expected in {"set_response_header": (200, b"ok"), "set_status": (418, b"ok"), "read_response_body": (200, b"ok")}.items():
        response = hostile(proxy, server, "after", {"features": 2, "call": call}).fetch()
        assert (response.status, response.body) == expected
        if call == "set_response_header":
            assert response.get("X-After") == "set"


@pytest.mark.differs("Traefik does not repair the length")
@pytest.mark.parametrize("call,expected", [("write_response_body", b"after"), ("content_length_0", b""), ("remove_content_length", b"ok")])
def test_content_length_rules(upstream, proxy, call, expected):
    p = hostile(proxy, upstream(), "after", {"features": 2, "call": call})
    with p.connect() as client:
        for _ in range(2):
            response = client.exchange()
            assert (response.status, response.body) == (200, expected)


@pytest.mark.differs("Traefik traps")
@pytest.mark.parametrize("features", [0, 2])
def test_status_is_always_readable(upstream, proxy, features):
    assert hostile(proxy, upstream(), "after", {"features": features, "call": "get_status"}).fetch().body == b"ok"


# --- one plugin's fault is not another's

@pytest.mark.differs("Traefik sends what the guest had set before it trapped")
@each_isolation
def test_other_plugins_do_not_notice(upstream, proxy):
    server = upstream()
    http = one_router(server.url, rule="Host(`evil.example`)", plugin={"trap": {"phase": "request"}})["http"]
    http["middlewares"]["h"] = {"plugin": {"header": {"response": {"X-Ok": "1"}}}}
    http["routers"]["good"] = {"rule": "Host(`good.example`)", "service": "s", "middlewares": ["h"]}
    p = proxy({"http": http}, plugins={"trap": Plugin("trap"), "header": Plugin("header")}, static=BUDGET)

    def check(response):
        assert response.get("X-Ok") == "1"

    with Innocents(p.port, check, 20, host="good.example"):
        for _ in range(30):
            assert p.fetch(target="/evil", host="evil.example").status == 500
    assert p.running
