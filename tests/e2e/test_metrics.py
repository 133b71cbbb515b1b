"""Metrics: what is counted is what happened, whatever happens meanwhile."""

import threading
import time

import pytest

from harness.client import Client, fetch, request_bytes
from harness.guests import REPOSITORY
from harness.load import Innocents, together
from harness.metrics import scrape
from harness.proxy import Plugin, merge, one_router, servers
from harness.unread import Unread
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("weir's own metrics")

ROUTERS = {"metrics": {"prometheus": {"addRoutersLabels": True}}}


def counted(proxy, dynamic, static=None, **options):
    return proxy(dynamic, static=merge({"weir": {"workers": 2}}, static or {}), metrics=True, **options)


def labels(code=200, method="GET", protocol="http", **others):
    return {"code": str(code), "method": method, "protocol": protocol, **others}


def settled(p, condition):
    """A scrape after one of which the condition holds: an exchange is counted a moment after its answer has arrived, and
    the families of one scrape are read one after the other."""
    wait_until(lambda: condition(p.scrape()), lambda: f"numbers settle\n{p.log()}", 30)
    return p.scrape()


def test_text(upstream, proxy):
    """Every family is on the page that is made from the same table, and the page has no others."""
    dynamic = one_router(upstream().url, plugin={"guest": {}})
    dynamic["http"]["middlewares"]["flight"] = {"inFlightReq": {"amount": 10}}
    dynamic["http"]["routers"]["r"]["middlewares"].append("flight")
    p = counted(proxy, dynamic, static={**ROUTERS, "accessLog": {}}, plugins={"guest": Plugin("header")})
    assert p.fetch().status == 200
    page = (REPOSITORY / "docs" / "reference" / "metrics.md").read_text()
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert set(p.scrape().families) == documented


def test_process(upstream, proxy):
    p = counted(proxy, one_router(upstream().url))
    m = p.scrape()
    assert 0 < m.value("process_resident_memory_bytes") < m.value("process_virtual_memory_bytes")
    assert 0 < m.value("process_open_fds") <= m.value("process_max_fds")
    assert m.value("process_cpu_seconds_total") > 0
    assert abs(time.time() - m.value("process_start_time_seconds")) < 600


def test_requests_by_code_method_and_size(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(404 if request.target == "/no" else 200, body=b"" if request.method == "HEAD" else b"hello")))
    p = counted(proxy, one_router(server.url, rule="Host(`a.test`)"), static=ROUTERS)
    for _ in range(3):
        assert p.fetch(host="a.test").status == 200
    assert p.fetch("POST", host="a.test", body=b"1234567").status == 200
    assert p.fetch("BREW", target="/no", host="a.test").status == 404
    assert p.fetch(host="b.test").status == 404
    m = settled(p, lambda m: m.sum("traefik_service_requests_total") == 5 and
                m.value("traefik_entrypoint_requests_total", 0, **labels(404, entrypoint="web")) == 1)
    for kind, object_labels in (("entrypoint", {"entrypoint": "web"}), ("router", {"router": "r@file", "service": "s@file"}),
                                ("service", {"service": "s@file"})):
        for code, method, count, sent, received in ((200, "GET", 3, 0, 15), (200, "POST", 1, 7, 5), (404, "EXTENSION_METHOD", 1, 0, 5)):
            of = labels(code, method, **object_labels)
            assert m.value(f"traefik_{kind}_requests_total", **of) == count
            assert m.value(f"traefik_{kind}_request_duration_seconds_count", **of) == count
            assert m.value(f"traefik_{kind}_requests_bytes_total", **of) == sent
            assert m.value(f"traefik_{kind}_responses_bytes_total", **of) == received
    assert m.value("traefik_entrypoint_requests_total", **labels(404, entrypoint="web")) == 1
    assert m.value("traefik_entrypoint_responses_bytes_total", **labels(404, entrypoint="web")) == len(b"404 page not found\n")


def test_buckets(upstream, proxy):
    release = threading.Event()

    def answer(connection, request):
        assert request.target != "/slow" or release.wait(60)
        connection.send(response_bytes(body=b"ok"))

    p = counted(proxy, one_router(upstream(answer).url, rule="Host(`a.test`)"), static={"metrics": {"prometheus": {"buckets": [0.05, 60]}}})
    with p.connect() as client:
        client.send(request_bytes(target="/slow", host="a.test"))
        threading.Timer(0.1, release.set).start()
        assert client.response().status == 200
    m = settled(p, lambda m: m.sum("traefik_service_requests_total") == 1)
    name = "traefik_service_request_duration_seconds"
    of = labels(service="s@file")
    assert [m.value(name + "_bucket", le=le, **of) for le in ("0.05", "60", "+Inf")] == [0, 1, 1]
    assert m.value(name + "_sum", **of) >= 0.05


@pytest.mark.parametrize("option, kind", [("addEntryPointsLabels", "entrypoint"), ("addServicesLabels", "service"), ("addRoutersLabels", "router")])
def test_what_is_counted(upstream, proxy, option, kind):
    """Each option alone."""
    options = {name: name == option for name in ("addEntryPointsLabels", "addServicesLabels", "addRoutersLabels")}
    p = counted(proxy, one_router(upstream().url), static={"metrics": {"prometheus": options}})
    assert p.fetch().status == 200
    m = settled(p, lambda m: m.sum(f"traefik_{kind}_requests_total") > 0)
    assert {name.split("_")[1] for name in m.families if name.startswith("traefik_") and name.endswith("_requests_total")} == {kind}


def test_internal_requests(upstream, proxy):
    p = counted(proxy, one_router(upstream().url, rule="Host(`a.test`)"), static={"ping": {}})
    for target in ("/ping", "/metrics", "/metrics/more"):
        assert p.fetch(target=target, entry_point="traefik").status == 200
    assert p.fetch(target="/other", entry_point="traefik").status == 404
    m = settled(p, lambda m: "traefik" in m.labels("traefik_entrypoint_requests_total", "entrypoint"))
    inside = {found: value for found, value in m.all("traefik_entrypoint_requests_total").items() if ("entrypoint", "traefik") in found}
    assert inside == {frozenset(labels(404, entrypoint="traefik").items()): 1}
    p = counted(proxy, one_router(upstream().url), static={"ping": {}, "metrics": {"addInternals": True}})
    assert p.fetch(target="/ping", entry_point="traefik").status == 200
    settled(p, lambda m: m.value("traefik_entrypoint_requests_total", 0, **labels(entrypoint="traefik")) > 1)


def test_manual_routing(upstream, proxy):
    dynamic = one_router(upstream().url)
    dynamic["http"]["routers"]["numbers"] = {"rule": "Path(`/numbers`)", "service": "prometheus@internal"}
    p = proxy(dynamic, static={"metrics": {"prometheus": {"manualRouting": True}}})
    assert p.fetch(target="/metrics").body == b"ok"
    assert scrape(p.port, "/numbers").value("weir_config_reloads_total") == 1
    assert p.fetch("HEAD", target="/numbers").body == b""


def test_off(upstream, proxy):
    dynamic = one_router(upstream().url, rule="Host(`a.test`)")
    dynamic["http"]["routers"]["numbers"] = {"rule": "Path(`/numbers`)", "service": "prometheus@internal"}
    p = proxy(dynamic)
    assert p.fetch(target="/metrics").status == p.fetch(target="/numbers").status == 404
    p.wait_log("numbers@file", "prometheus is not enabled")


def test_while_busy(upstream, proxy):
    """Scrapes in a row and at once, while requests go on: no counter ever falls, and in the end none is missing."""
    p = counted(proxy, one_router(upstream().url, rule="Host(`a.test`)", plugin={"guest": {}}), plugins={"guest": Plugin("header")}, static=ROUTERS)

    def watch(_):
        last = {}
        for _ in range(30):
            m = p.scrape()
            for key, value in m.samples.items():
                if key[0].endswith(("_total", "_count", "_bucket")):
                    assert value >= last.get(key, 0), key
                    last[key] = value

    def check(response):
        assert response.status == 200

    with Innocents(p.port, check, count=8, host="a.test") as innocents:
        together(4, watch)
    answered = innocents.answered
    m = settled(p, lambda m: m.value("traefik_service_requests_total", **labels(service="s@file")) >= answered)
    assert m.value("traefik_service_requests_total", **labels(service="s@file")) == answered
    assert m.value("traefik_router_requests_total", **labels(router="r@file", service="s@file")) == answered
    assert m.value("weir_plugin_exchanges_total", plugin="guest") == answered
    assert m.value("weir_plugin_call_seconds_count", plugin="guest") >= answered
    assert m.value("weir_scrapes_failed_total") == 0


def test_reload(upstream, proxy):
    """What stays goes on counting, what goes disappears, and a reload is counted."""
    server = upstream()
    before = one_router(server.url, rule="Host(`a.test`)")
    before["http"]["routers"]["other"] = {"rule": "Host(`b.test`)", "service": "gone"}
    before["http"]["services"]["gone"] = servers(server.url)
    p = counted(proxy, before, static=ROUTERS)
    for host in ("a.test", "a.test", "b.test"):
        assert p.fetch(host=host).status == 200
    m = settled(p, lambda m: {"r@file", "other@file"} <= m.labels("traefik_router_requests_total", "router"))
    reloads, first = m.value("traefik_config_reloads_total"), m.value("traefik_config_last_reload_success")
    p.apply(one_router(server.url, rule="Host(`a.test`)"))
    assert p.fetch(host="a.test").status == 200
    m = settled(p, lambda m: m.value("weir_config_generations_live") == 1)
    assert m.labels("traefik_service_requests_total", "service") == {"s@file"}
    assert "other@file" not in m.labels("traefik_router_requests_total", "router")
    settled(p, lambda m: m.value("traefik_service_requests_total", **labels(service="s@file")) == 3)
    assert m.value("traefik_config_reloads_total") == reloads + 1
    assert m.value("traefik_config_last_reload_success") >= first


def test_a_broken_file_at_the_start(proxy):
    """What weir serves itself does not depend on the file; it once was 404, too."""
    p = proxy("http: [\n", start=False, metrics=True, static={"ping": {"entryPoint": "traefik"}})
    p.wait_version = lambda version=None: None
    p.start()
    wait_until(lambda: fetch(p.ports["traefik"], target="/ping").status == 200, p.log)
    assert p.scrape().value("weir_provider_failures_total", provider="file") >= 1
    assert p.fetch().status == 404


def test_plugins_over_configurations(upstream, proxy):
    """A plugin's numbers are those of all its configurations, those that have gone included."""
    server = upstream()
    p = counted(proxy, one_router(server.url, rule="Host(`a.test`)", plugin={"guest": {"n": "1"}}), plugins={"guest": Plugin("header")})
    assert p.fetch(host="a.test").status == 200
    first = settled(p, lambda m: m.value("weir_plugin_exchanges_total", plugin="guest") == 1)
    assert first.value("weir_plugin_configurations", plugin="guest") == 1
    assert first.value("weir_plugin_image_bytes", plugin="guest") > 0
    p.apply(one_router(server.url, rule="Host(`a.test`)", plugin={"guest": {"n": "2"}}))
    assert p.fetch(host="a.test").status == 200
    m = settled(p, lambda m: m.value("weir_plugin_configurations", plugin="guest") == 1)
    assert m.value("weir_plugin_exchanges_total", plugin="guest") == 2
    assert m.value("weir_plugin_created_total", plugin="guest") > m.value("weir_plugin_destroyed_total", plugin="guest") > 0
    assert m.value("weir_plugin_init_seconds_count", plugin="guest") == 2
    p.apply(one_router(server.url, rule="Host(`a.test`)"))
    m = settled(p, lambda m: m.value("weir_plugin_live", plugin="guest") == 0)
    assert m.value("weir_plugin_created_total", plugin="guest") == m.value("weir_plugin_destroyed_total", plugin="guest")
    assert m.value("weir_plugin_reserved_bytes", plugin="guest") == m.value("weir_plugin_linear_bytes", plugin="guest") == 0
    assert m.value("weir_plugin_exchanges_total", plugin="guest") == 2


def test_limits(upstream, proxy):
    """A limit that is reached is counted once for each time."""
    limits = {"requestTarget": "1KiB", "headerFields": 20, "responseHead": "1KiB", "exchangeMemory": "64KiB"}

    def answer(connection, request):
        connection.send(response_bytes(headers=[("X-Big", "x" * 3000)] if request.target == "/big" else [], body=b"ok"))

    p = counted(proxy, one_router(upstream(answer).url), static={"weir": {"workers": 1, **({"limits": limits} if limits else {})}})
    assert p.fetch(target="/" + "a" * 2000).status == 414
    assert p.fetch(headers=[(f"X-{i}", "y") for i in range(30)]).status == 431
    assert p.fetch(target="/big").status == 502
    p.fetch(headers=[("X-Large", "z" * 100000)])
    m = settled(p, lambda m: m.value("weir_exchanges_memory_full_total") == 1)
    assert m.value("weir_entrypoint_targets_too_long_total", entrypoint="web") == 1
    assert m.value("weir_entrypoint_heads_too_large_total", entrypoint="web") >= 1
    assert m.value("weir_upstream_bad_responses_total") == 1
    assert m.value("weir_entrypoint_targets_too_long_total", entrypoint="traefik") == 0


def labelled(upstream, proxy, labels, **limits):
    return counted(proxy, one_router(upstream().url), static={"metrics": {"prometheus": {"headerLabels": labels}}, "weir": {"workers": 1, **({"limits": limits} if limits else {})}})


@pytest.mark.differs("metrics-values")
def test_labels_of_headers_are_bounded(upstream, proxy):
    """Clients make up values: those beyond the limit are counted together, and no request is lost."""
    p = labelled(upstream, proxy, {"tenant": "X-Tenant", "agent": "User-Agent"}, headerLabelSeries=10)
    with p.connect() as client:
        for i in range(300):
            assert client.exchange(headers=[("X-Tenant", f"t{i}"), ("User-Agent", "a")]).status == 200
        for _ in range(5):
            client.exchange(headers=[("X-Tenant", "t0"), ("User-Agent", "a")])
    m = settled(p, lambda m: m.sum("traefik_service_requests_total") == 305)
    together = 0
    for name in ("traefik_service_requests_total", "traefik_entrypoint_requests_total"):
        series = {(*sorted(labels),): value for labels, value in m.all(name).items() if ("entrypoint", "traefik") not in labels}
        others = {labels: value for labels, value in series.items() if ("tenant", "other") in labels and ("agent", "other") in labels}
        assert len(series) - len(others) == 10 and sum(others.values()) >= 290
        assert sum(value for labels, value in series.items() if ("tenant", "t0") in labels) == 6
        together += sum(others.values())
    assert m.value("weir_series_other_total") == together
    assert m.value("traefik_service_request_duration_seconds_count", code="200", method="GET", protocol="http", service="s@file") == 305


@pytest.mark.differs("metrics-values")
def test_odd_values_of_labels(upstream, proxy):
    p = labelled(upstream, proxy, {"v": "X-Value", "cookie": "Cookie"})
    with Client(p.port) as client:
        for value in (b"a\xffb\xc3", "é".encode() * 100, b"y" * 5000, b'"\\'):
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\nCookie: secret\r\nX-Value: " + value + b"\r\n\r\n")
            assert client.response().status == 200
    m = settled(p, lambda m: m.sum("traefik_service_requests_total") == 4)
    assert set(m.labels("traefik_service_requests_total", "v")) == {"a?b?", "é" * 64, "y" * 128, '"\\'}
    assert set(m.labels("traefik_service_requests_total", "cookie")) == {"xxxx"}


def test_many_series(upstream, proxy):
    """A thousand routers and services, each with its series."""
    server = upstream()
    many = {"http": {"routers": {f"r{i}": {"rule": f"Path(`/{i}`)", "service": f"s{i}"} for i in range(1000)},
                     "services": {f"s{i}": servers(server.url) for i in range(1000)}}}
    p = counted(proxy, many, static=ROUTERS)

    def ask(first):
        with p.connect() as client:
            for i in range(first, 1000, 4):
                assert client.exchange(target=f"/{i}").status == 200

    together(4, ask)
    m = settled(p, lambda m: m.sum("traefik_service_requests_total") == 1000)
    assert len([name for name in m.labels("traefik_router_requests_total", "router") if name.startswith("r")]) == 1000


def test_text_that_is_too_long(upstream, proxy):
    server = upstream()
    many = {"http": {"routers": {f"r{i}": {"rule": f"Path(`/{i}`)", "service": f"s{i}"} for i in range(200)},
                     "services": {f"s{i}": servers(server.url) for i in range(200)}}}
    p = counted(proxy, many, static=merge(ROUTERS, {"weir": {"limits": {"metricsText": "64KiB"}}}))
    assert p.scrape()
    p.metrics = False  # none can be had from here on
    assert {p.fetch(target=f"/{i}").status for i in range(200)} == {200}
    wait_until(lambda: p.fetch(target="/metrics", entry_point="traefik").status == 500, "the text gets too long")
    assert p.fetch(target="/1").status == 200


def test_clients_that_leave(upstream, proxy):
    """A scrape whose client does not wait for it, and one that nobody reads."""
    p = counted(proxy, one_router(upstream().url))
    for _ in range(20):
        client = Client(p.ports["traefik"])
        client.send(request_bytes(target="/metrics") * 3)
        client.reset()
    assert p.scrape().value("traefik_open_connections", entrypoint="traefik", protocol="TCP") >= 1
    settled(p, lambda m: m.value("weir_exchanges_live") == 1)


def test_clients_that_do_not_read(upstream, proxy):
    """Their texts take memory: from a limit on scrapes are refused, until they leave."""
    url = upstream().url
    p = counted(proxy, one_router(url), static={"weir": {"limits": {"metricsText": "128KiB"}}})
    with Unread(p.ports["traefik"]) as client:
        client.ask("/metrics")
        p.apply(one_router(url, rule="Host(`other`)"))
        settled(p, lambda m: m.value("weir_config_generations_live") == 1)
        p.metrics = False  # none can be had from here on
        for _ in range(30):
            client.ask("/metrics")
        assert p.fetch(target="/metrics", entry_point="traefik").status == 503
    wait_until(lambda: p.fetch(target="/metrics", entry_point="traefik").status == 200, "they have gone")
    assert scrape(p.ports["traefik"]).value("weir_scrapes_failed_total") >= 1
