"""What becomes of requests whose plugin fails: under `failure: closed` an error, under `failure: open` exactly what would
have been without the plugin."""

import itertools
import threading

import pytest

from harness.load import together
from harness.proxy import Plugin, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has no failure policy")

WAYS = ["trap", "exit", "loop", "abi", "memory"]
BODY = bytes(range(256)) * 1200
KEPT = [("X-Kept", "1"), ("X-Also-Kept", "2"), ("X-Kept", "3")]
LIMITS = {"callCPU": "50ms", "bodyBuffer": "1MiB", "circuitFailures": 0}


def answer(connection, request):
    if request.target.endswith("/chunked"):
        connection.send(response_bytes(status=203, headers=KEPT, chunks=[BODY[:70000], BODY[70000:]]))
    elif request.target.endswith("/nothing"):
        connection.send(response_bytes(status=304, headers=KEPT + [("Etag", '"1"')]))
    else:
        connection.send(response_bytes(status=203, headers=KEPT, body=BODY))


@pytest.fixture(scope="module")
def policies(module_upstream, module_proxy):
    """One proxy; the host picks the policy: "closed", "open", "none" (no plugin) or "nested" (two open plugins)."""
    server = module_upstream(answer)
    config = {"features": 3}
    chains = {"closed": ["closed"], "open": ["open"], "none": [], "nested": ["open", "prefix"]}
    routers = {name: {"rule": f"Host(`{name}.test`)", "service": "s", "middlewares": middlewares}
               for name, middlewares in chains.items()}
    middlewares = {"closed": {"plugin": {"closed": config}}, "open": {"plugin": {"open": config}},
                   "prefix": {"plugin": {"prefix": config}}}
    static = {"weir": {"plugins": {"defaults": LIMITS, "perPlugin": {"open": {"failure": "open"}}}}}
    plugins = {"closed": Plugin("fail"), "open": Plugin("fail"), "prefix": Plugin("prefix-writer")}
    return module_proxy({"http": {"routers": routers, "middlewares": middlewares, "services": {"s": servers(server.url)}}},
                        plugins=plugins, static=static), server


def send(policies, policy, fail=None, read="none", method="POST", target="/some/path?q=1", **body):
    p, server = policies
    headers = KEPT + [("X-Fail", fail or ""), ("X-Read", read)]
    before = len(server.requests)
    response = p.fetch(method, target, headers=headers, host=f"{policy}.test", timeout_s=60, **body)
    return response, server.requests[before:]


def without_ours(headers):
    return [pair for pair in headers if pair[0] not in ("X-Fail", "X-Read", "Host", "X-Forwarded-Host", "Date")]


def assert_same_request(got, wanted):
    assert (got.method, got.target, got.body) == (wanted.method, wanted.target, wanted.body)
    assert without_ours(got.headers) == without_ours(wanted.headers)
    assert got.chunked == wanted.chunked


def assert_same_response(got, wanted):
    assert (got.start_line, got.body) == (wanted.start_line, wanted.body)
    # A collected response has a length.
    framing = ("transfer-encoding", "content-length") if wanted.chunked else ()
    strip = lambda headers: [(n, v) for n, v in without_ours(headers) if n.lower() not in framing]  # noqa: E731
    assert strip(got.headers) == strip(wanted.headers)


BODIES = {"empty": {"body": b""}, "length": {"body": BODY}, "chunked": {"chunks": [BODY[:100000], BODY[100000:]]}}


@pytest.mark.parametrize("way, read, body", list(itertools.product(WAYS, ["none", "part", "all"], BODIES)))
def test_open_in_the_request_phase(policies, way, read, body):
    wanted, (wanted_request,) = send(policies, "none", **BODIES[body])
    got, (got_request,) = send(policies, "open", f"request-{way}", read, **BODIES[body])
    assert_same_request(got_request, wanted_request)
    assert got_request.get("Host") == "open.test"
    assert_same_response(got, wanted)


@pytest.mark.parametrize("way, read", list(itertools.product(WAYS, ["none", "part", "all"])))
def test_closed_in_the_request_phase(policies, way, read):
    got, requests = send(policies, "closed", f"request-{way}", read, body=BODY)
    assert (got.status, got.body, requests) == (500, b"Internal Server Error\n", [])
    assert got.all("X-Spoiled") == got.all("X-Kept") == []


TARGETS = ["/length", "/chunked", "/nothing"]


@pytest.mark.parametrize("way, read, target", list(itertools.product(WAYS, ["none", "part", "all"], TARGETS)))
def test_open_in_the_response_phase(policies, way, read, target):
    wanted, _ = send(policies, "none", method="GET", target=target)
    got, (request,) = send(policies, "open", f"response-{way}", read, method="GET", target=target)
    assert_same_response(got, wanted)
    assert request.target == target


def test_open_response_to_head(policies):
    wanted, _ = send(policies, "none", method="HEAD", target="/length")
    got, _ = send(policies, "open", "response-trap", method="HEAD", target="/length")
    assert_same_response(got, wanted)


@pytest.mark.parametrize("way, read", list(itertools.product(WAYS, ["none", "all"])))
def test_closed_in_the_response_phase(policies, way, read):
    got, requests = send(policies, "closed", f"response-{way}", read, method="GET")
    assert (got.status, got.body, len(requests)) == (500, b"Internal Server Error\n", 1)
    assert got.all("X-Spoiled") == got.all("X-Kept") == []


def test_what_the_plugin_inside_has_done_stays(policies):
    """Only the outer plugin fails: the inner one's headers and bytes are part of the response that came."""
    for fail in ("request-trap", "response-trap"):
        got, _ = send(policies, "nested", fail, method="GET", target="/length")
        assert (got.status, got.body) == (203, b"prefix:" + BODY)
        assert got.get("X-Prefix") == "guest"
        assert got.all("X-Spoiled") == got.all("Content-Encoding") == []
        assert got.all("X-Kept") == ["1", "3"]


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_a_body_that_is_too_long_is_no_way_around_a_plugin(policies, policy):
    got, requests = send(policies, policy, "request-none", "all", body=b"x" * (2 << 20))
    assert (got.status, requests) == (413, [])


def test_it_says_so(policies):
    p, _ = policies
    send(policies, "open", "request-trap")
    send(policies, "open", "response-trap")
    p.wait_log("Plugin failed; the request goes on without it", "Plugin failed; the response goes on without it",
               "cause=trap")


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_no_free_instance(upstream, proxy, policy):
    """One instance, held by a request that waits for its upstream: the second request passes, or gets 503."""
    release = threading.Event()

    def hold(connection, request):
        if request.target == "/held":
            assert release.wait(60)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(hold)
    limits = {"instances": 1, "queueTimeout": "20ms", "failure": policy}
    p = proxy(one_router(server.url, plugin={"guest": {"features": 3}}), plugins={"guest": Plugin("fail")},
              static={"weir": {"workers": 1, "plugins": {"defaults": limits}}})
    held = threading.Thread(target=lambda: p.fetch(target="/held"))
    held.start()
    wait_until(lambda: len(server.requests) == 1, "the first request is with the upstream")
    responses = together(4, lambda i: p.fetch(target="/free"))
    release.set()
    held.join(60)
    if policy == "open":
        assert [r.status for r in responses] == [200] * 4
    else:
        assert [(r.status, r.get("Retry-After")) for r in responses] == [(503, "1")] * 4


def failing(p, fail, count=1):
    with p.connect() as client:
        responses = [client.exchange(headers=[("X-Fail", fail)]) for _ in range(count)]
    return responses


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_circuit(upstream, proxy, policy):
    """Ten failures open it: requests are refused, or pass, without the plugin; a trial that succeeds closes it."""
    limits = {"circuitFailures": 10, "circuitWait": "200ms", "circuitMaxWait": "400ms", "failure": policy}
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), plugins={"guest": Plugin("fail")},
              static={"weir": {"plugins": {"defaults": limits}}})
    statuses = {r.status for r in failing(p, "request-trap", 10)}
    assert statuses == ({200} if policy == "open" else {500})
    p.wait_log("the circuit opens: 10 of the last 10 requests failed")
    wait_until(lambda: failing(p, "request-trap") and p.log().count("Plugin failed") > 10, "a trial fails", 30)
    if policy == "closed":
        refused = wait_until(lambda: [r for r in failing(p, "request-trap") if r.status == 503], "a refusal")
        assert refused[0].get("Retry-After") == "1"
    with p.connect() as client:
        wait_until(lambda: client.exchange().status == 200 and "the circuit closes" in p.log(), "a trial succeeds", 30)
    assert [r.status for r in failing(p, "", 5)] == [200] * 5
    assert p.log().count("the circuit opens") == p.log().count("the circuit closes") == 1
    assert p.log().count("Plugin failed") < 40


def test_instances_kept_ready(upstream, proxy):
    """They are made without a request, outlive the idle timeout, and serve the requests that come. An instance of another
    plugin tells when idle ones are destroyed."""
    kept = {"minInstances": 3, "init": "own", "idleTimeout": "100ms"}
    other = {"init": "own", "idleTimeout": "100ms"}
    server = upstream()
    http = {"routers": {n: {"rule": f"Host(`{n}.test`)", "service": "s", "middlewares": [n]} for n in ("kept", "other")},
            "middlewares": {"kept": {"plugin": {"kept": {"mib": 1}}}, "other": {"plugin": {"other": {}}}},
            "services": {"s": servers(server.url)}}
    p = proxy({"http": http}, plugins={"kept": Plugin("ballast"), "other": Plugin("header")},
              static={"weir": {"workers": 1, "plugins": {"perPlugin": {"kept": kept, "other": other}}}})
    started = lambda guest: p.log().count(f"{guest} guest initialised")  # noqa: E731
    wait_until(lambda: started("ballast") == 3, lambda: f"three instances: {p.log()}")
    wait_until(lambda: p.fetch(host="other.test").status == 200 and started("header") >= 3,
               "idle instances of the other plugin are destroyed", 60, interval_s=1.5)
    assert [p.fetch(host="kept.test").status for _ in range(5)] == [200] * 5
    assert started("ballast") == 3
