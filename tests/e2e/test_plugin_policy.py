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


@pytest.mark.parametrize("policy", ["open", "closed"])
@pytest.mark.parametrize("side", ["request", "response"])
def test_what_weir_cannot_give(upstream, proxy, side, policy):
    """The guest sets more headers than there is room for: `embedder`. What it had set is gone, and the request as it came."""
    server = upstream(answer)
    p = proxy(one_router(server.url, plugin={"guest": {"side": side}}), metrics=True, plugins={"guest": Plugin("huge-headers")},
              static={"weir": {"plugins": {"defaults": {"failure": policy}}}})
    responses = [p.fetch("POST", "/evil", headers=KEPT, body=BODY) for _ in range(2)]
    m = p.scrape()
    assert m.value("weir_plugin_failures_total", plugin="guest", cause="embedder") == 2
    assert m.value("weir_plugin_passed_total", plugin="guest") == (2 if policy == "open" else 0)
    p.wait_log("cause=embedder")
    for response in responses:
        assert not any(name.lower().startswith("x-huge") for name, _ in response.headers)
        assert response.status == (203 if policy == "open" else 500)
    assert len(server.requests) == (2 if policy == "open" else 0)
    for request in server.requests:
        assert (request.method, request.target, request.body) == ("POST", "/evil", BODY)
        assert not any(name.lower().startswith("x-huge") for name, _ in request.headers)
        assert [pair for pair in request.headers if pair in KEPT] == KEPT


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_further_instance_does_not_start(upstream, proxy, tmp_path, policy):
    """`start`: the first instance starts; the second one, needed while a request holds the first, lacks its directory."""
    going = threading.Event()

    def hold(connection, request):
        assert request.target != "/held" or going.wait(60)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(hold)
    mount = tmp_path / "mounted"
    mount.mkdir()
    p = proxy(one_router(server.url, plugin={"guest": {"features": 3}}), metrics=True,
              plugins={"guest": Plugin("fail", {"mounts": [f"{mount}:/m"]})},
              static={"weir": {"workers": 1, "plugins": {"defaults": {"init": "own", "failure": policy}}}})
    held = threading.Thread(target=lambda: p.fetch(target="/held"))
    held.start()
    wait_until(lambda: len(server.requests) == 1, "the first request is with the upstream")
    mount.rmdir()
    statuses = [p.fetch(target="/free").status for _ in range(3)]
    going.set()
    held.join(60)
    assert statuses == [200 if policy == "open" else 500] * 3
    m = p.scrape()
    assert m.value("weir_plugin_failures_total", plugin="guest", cause="start") == 3
    assert m.value("weir_plugin_passed_total", plugin="guest") == (3 if policy == "open" else 0)
    p.wait_log("cause=start", f"mounts: {mount}: No such file or directory")


@pytest.mark.parametrize("fail, passed", [("", 0), ("request-trap", 3), ("response-trap", 3), ("request-memory", 3)])
def test_what_passed_is_counted(upstream, proxy, fail, passed):
    """Once for each request or response that went on without the plugin."""
    p = proxy(one_router(upstream(answer).url, plugin={"guest": {"features": 3}}), metrics=True, plugins={"guest": Plugin("fail")},
              static={"weir": {"plugins": {"defaults": {"failure": "open", **LIMITS}}}})
    assert [p.fetch(headers=[("X-Fail", fail)]).status for _ in range(3)] == [203] * 3
    m = p.scrape()
    assert m.value("weir_plugin_passed_total", plugin="guest") == passed
    assert m.sum("weir_plugin_failures_total") == passed


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


def test_kept_ready_in_numbers(upstream, proxy):
    """Each worker has them before the first request; requests use them and make no others."""
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), metrics=True, plugins={"guest": Plugin("counter")},
              static={"weir": {"workers": 2, "plugins": {"defaults": {"minInstances": 3, "idleTimeout": "50ms"}}}})
    of = lambda m, name: m.value(f"weir_plugin_{name}", plugin="guest")  # noqa: E731
    wait_until(lambda: of(p.scrape(), "idle") == 6, "three instances in each worker are idle")
    assert [p.fetch().status for _ in range(20)] == [200] * 20
    m = wait_until(lambda: next((m for m in [p.scrape()] if of(m, "exchanges_total") == 20 and of(m, "in_use") == 0), None), "all have ended")
    assert (of(m, "created_total"), of(m, "destroyed_total"), of(m, "idle")) == (6, 0, 6)


@pytest.mark.parametrize("most, restores", [("0", 0), ("1MiB", 5), ("64MiB", 0)])
def test_memory_that_an_instance_may_change(upstream, proxy, most, restores):
    """The guest changes 8 MiB in every request: beyond `maxPrivateMemory` it gives them back, and has forgotten what it counted."""
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), metrics=True, plugins={"guest": Plugin("dirtier")},
              static={"weir": {"workers": 1, "plugins": {"defaults": {"maxPrivateMemory": most, "idleTimeout": "60s"}}}})
    before = [p.fetch().get("X-Before") for _ in range(5)]
    assert before == (["0"] * 5 if restores else ["0", "1", "2", "3", "4"])
    m = wait_until(lambda: next((m for m in [p.scrape()] if m.value("weir_plugin_idle", plugin="guest") == 1), None), "the instance is idle")
    assert m.value("weir_plugin_restores_total", plugin="guest") == restores
    assert m.value("weir_plugin_created_total", plugin="guest") == 1
    if restores:
        assert m.value("weir_plugin_private_bytes", plugin="guest") < 1 << 20
