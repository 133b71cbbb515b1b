"""Which router takes a request, and what is answered when none does."""

import pytest

from harness.client import Client, fetch
from harness.proxy import merge, servers
from harness.upstream import response_bytes


def naming_upstream(upstream, name):
    return upstream(lambda connection, request: connection.send(response_bytes(body=name.encode())))


@pytest.fixture(scope="module")
def routed(module_upstream, module_proxy):
    """One proxy whose services answer with their router's name."""
    rules = {
        "host": "Host(`one.example`)",
        "wildcard": "Host(`*.wild.example`)",
        "host-regexp": r"HostRegexp(`^re-[0-9]+\.example$`)",
        "path": "Host(`paths.example`) && Path(`/exact`)",
        "prefix": "Host(`paths.example`) && PathPrefix(`/pre`)",
        "path-regexp": "Host(`paths.example`) && PathRegexp(`^/re/[a-c]+$`)",
        "method": "Host(`rest.example`) && Method(`PUT`)",
        "header": "Host(`rest.example`) && Header(`X-Kind`, `blue`)",
        "header-regexp": "Host(`rest.example`) && HeaderRegexp(`X-Kind`, `^gr(e|a)y$`)",
        "query": "Host(`rest.example`) && Query(`q`, `1`)",
        "query-regexp": "Host(`rest.example`) && QueryRegexp(`q`, `^x+$`)",
        "query-empty": "Host(`rest.example`) && Query(`bare`)",
        "client-in": "Host(`ip.example`) && ClientIP(`127.0.0.0/8`)",
        "client-out": "Host(`noip.example`) && ClientIP(`10.0.0.1`)",
        "or-not": "Host(`logic.example`) && (Path(`/a`) || Path(`/b`)) && !Method(`DELETE`)",
        "double-quoted": 'Host("quoted.example") && Path("/\\x61")',
        "lower-name": "host(`lower.example`)",
        "upper-name": "HOST(`upper.example`)",
        "long": "Host(`prio.example`) && PathPrefix(`/some/long/prefix`)",
        "short": "Host(`prio.example`)",
        "high": "Host(`explicit.example`)",
        "low": "Host(`explicit.example`) && PathPrefix(`/some/long/prefix/that/would/win`)",
        "negative": "Host(`explicit.example`) && PathPrefix(`/`) && Method(`GET`)",
    }
    priorities = {"high": 1000, "negative": -5}
    routers, services = {}, {}
    for name, rule in rules.items():
        server = module_upstream(
            lambda connection, request, name=name: connection.send(response_bytes(body=name.encode())))
        routers[name] = {"rule": rule, "service": name}
        if name in priorities:
            routers[name]["priority"] = priorities[name]
        services[name] = servers(server.url)
    return module_proxy({"http": {"routers": routers, "services": services}})


CASES = [
    ("one.example", "GET", "/", (), "host"),
    ("ONE.Example", "GET", "/x", (), "host"),
    ("one.example:8080", "GET", "/", (), "host"),
    ("one.example.", "GET", "/", (), "host"),
    ("two.example", "GET", "/", (), None),
    ("sub.one.example", "GET", "/", (), None),
    ("a.wild.example", "GET", "/", (), "wildcard"),
    ("a.b.wild.example", "GET", "/", (), None),
    ("wild.example", "GET", "/", (), None),
    ("re-42.example", "GET", "/", (), "host-regexp"),
    ("RE-42.example", "GET", "/", (), "host-regexp"),
    ("re-x.example", "GET", "/", (), None),
    ("paths.example", "GET", "/exact", (), "path"),
    ("paths.example", "GET", "/exact?x=1", (), "path"),
    ("paths.example", "GET", "/exact/", (), None),
    ("paths.example", "GET", "/pre", (), "prefix"),
    ("paths.example", "GET", "/prefix", (), "prefix"),
    ("paths.example", "GET", "/pre/a/b", (), "prefix"),
    ("paths.example", "GET", "/Pre", (), None),
    ("paths.example", "GET", "/re/abc", (), "path-regexp"),
    ("paths.example", "GET", "/re/abd", (), None),
    ("paths.example", "GET", "/%65xact", (), "path"),
    ("paths.example", "GET", "/x/../exact", (), "path"),
    ("paths.example", "GET", "//exact", (), "path"),
    ("rest.example", "PUT", "/", (), "method"),
    ("rest.example", "POST", "/", (), None),
    ("rest.example", "GET", "/", (("x-kind", "blue"),), "header"),
    ("rest.example", "GET", "/", (("X-Kind", "red"), ("X-Kind", "blue")), "header"),
    ("rest.example", "GET", "/", (("X-Kind", "Blue"),), None),
    ("rest.example", "GET", "/", (("X-Kind", "grey"),), "header-regexp"),
    ("rest.example", "GET", "/?q=1", (), "query"),
    ("rest.example", "GET", "/?a=b&q=2&q=1", (), "query"),
    ("rest.example", "GET", "/?q=%31", (), "query"),
    ("rest.example", "GET", "/?q=12", (), None),
    ("rest.example", "GET", "/?q=xxx", (), "query-regexp"),
    ("rest.example", "GET", "/?bare", (), "query-empty"),
    ("rest.example", "GET", "/?bare=1", (), None),
    ("ip.example", "GET", "/", (), "client-in"),
    ("ip.example", "GET", "/", (("X-Forwarded-For", "10.0.0.1"),), "client-in"),
    ("noip.example", "GET", "/", (("X-Forwarded-For", "10.0.0.1"),), None),
    ("logic.example", "GET", "/a", (), "or-not"),
    ("logic.example", "POST", "/b", (), "or-not"),
    ("logic.example", "DELETE", "/b", (), None),
    ("logic.example", "GET", "/c", (), None),
    ("quoted.example", "GET", "/a", (), "double-quoted"),
    ("lower.example", "GET", "/", (), "lower-name"),
    ("upper.example", "GET", "/", (), "upper-name"),
    ("prio.example", "GET", "/some/long/prefix/x", (), "long"),
    ("prio.example", "GET", "/some", (), "short"),
    ("explicit.example", "GET", "/some/long/prefix/that/would/win", (), "high"),
]


@pytest.mark.parametrize("host,method,target,headers,expected", CASES,
                         ids=[f"{c[1]}-{c[0]}{c[2]}-{i}" for i, c in enumerate(CASES)])
def test_rule(routed, host, method, target, headers, expected):
    response = routed.fetch(method, target, host=host, headers=headers)
    if expected is None:
        assert (response.status, response.body) == (404, b"404 page not found\n")
    else:
        assert (response.status, response.body) == (200, expected.encode())


def test_not_found_looks_as_in_traefik(routed):
    response = routed.fetch(host="nobody.example")
    assert (response.status, response.body) == (404, b"404 page not found\n")
    assert response.get("Content-Type") == "text/plain; charset=utf-8"
    assert response.get("X-Content-Type-Options") == "nosniff"
    assert response.get("Content-Length") == "19"


def test_not_found_for_head_has_no_body(routed):
    with routed.connect() as client:
        assert client.exchange("HEAD", host="nobody.example").status == 404
        assert client.exchange("GET", host="one.example").body == b"host"



def started_with_entry_points(proxy, dynamic, options):
    """Entry points get their ports when the proxy starts, so their other options are laid over the addresses."""
    return proxy(dynamic, static={"entryPoints": options})


def test_router_without_entry_points_is_on_all(upstream, proxy):
    server = naming_upstream(upstream, "all")
    dynamic = {"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": servers(server.url)}}}
    p = started_with_entry_points(proxy, dynamic, {"web": {}, "other": {}})
    assert p.fetch(entry_point="web").body == b"all"
    assert p.fetch(entry_point="other").body == b"all"


def test_as_default_entry_points(upstream, proxy):
    server = naming_upstream(upstream, "default")
    dynamic = {"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": servers(server.url)}}}
    p = started_with_entry_points(proxy, dynamic, {"web": {"asDefault": True}, "other": {}})
    assert p.fetch(entry_point="web").body == b"default"
    assert p.fetch(entry_point="other").status == 404


def test_router_on_named_entry_points_only(upstream, proxy):
    server = naming_upstream(upstream, "named")
    router = {"rule": "PathPrefix(`/`)", "service": "s", "entryPoints": ["other"]}
    p = started_with_entry_points(proxy, {"http": {"routers": {"r": router}, "services": {"s": servers(server.url)}}},
                                  {"web": {}, "other": {}})
    assert p.fetch(entry_point="web").status == 404
    assert p.fetch(entry_point="other").body == b"named"


def test_unknown_entry_point_among_known_ones(upstream, proxy):
    server = naming_upstream(upstream, "known")
    router = {"rule": "PathPrefix(`/`)", "service": "s", "entryPoints": ["web", "nowhere"]}
    p = proxy({"http": {"routers": {"r": router}, "services": {"s": servers(server.url)}}})
    assert p.fetch().body == b"known"
    p.wait_log("nowhere")


DISABLED = {
    "bad rule": ({"rule": "Host(`x.example`", "service": "s"}, "bad"),
    "unknown matcher": ({"rule": "Hots(`x.example`)", "service": "s"}, "Hots"),
    "single quotes": ({"rule": "Host('x.example')", "service": "s"}, "bad"),
    "bad regexp": ({"rule": "HostRegexp(`[`)", "service": "s"}, "bad"),
    "path without slash": ({"rule": "Path(`x`)", "service": "s"}, "bad"),
    "missing service": ({"rule": "Host(`x.example`)", "service": "nothere"}, "nothere"),
    "missing middleware": ({"rule": "Host(`x.example`)", "service": "s", "middlewares": ["nothere"]}, "nothere"),
    "unknown entry point only": ({"rule": "Host(`x.example`)", "service": "s", "entryPoints": ["nowhere"]}, "nowhere"),
}


@pytest.mark.parametrize("case", DISABLED)
def test_disabled_router_leaves_the_others_alone(upstream, proxy, case):
    router, in_log = DISABLED[case]
    server = naming_upstream(upstream, "good")
    http = {"routers": {"bad": router, "good": {"rule": "Host(`good.example`)", "service": "s"}},
            "services": {"s": servers(server.url)}}
    p = proxy({"http": http})
    assert p.fetch(host="good.example").body == b"good"
    assert p.fetch(host="x.example").status == 404
    p.wait_log(in_log)


def test_names_may_carry_their_provider(upstream, proxy):
    server = naming_upstream(upstream, "qualified")
    http = {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s@file"}}, "services": {"s": servers(server.url)}}
    assert proxy({"http": http}).fetch().body == b"qualified"


def test_weights(upstream, proxy):
    heavy, light, never = (naming_upstream(upstream, name) for name in ("heavy", "light", "never"))
    service = {"loadBalancer": {"servers": [{"url": heavy.url, "weight": 3}, {"url": light.url, "weight": 1},
                                            {"url": never.url, "weight": 0}]}}
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": {"s": service}}},
              static={"weir": {"workers": 1}})
    with p.connect() as client:
        bodies = [client.exchange().body for _ in range(80)]
    assert 58 <= bodies.count(b"heavy") <= 62
    assert 18 <= bodies.count(b"light") <= 22
    assert b"never" not in bodies


def test_service_without_servers(proxy):
    http = {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}},
            "services": {"s": {"loadBalancer": {"servers": []}}}}
    response = proxy({"http": http}).fetch()
    assert response.status == 503
    assert response.body.strip() == b"no available server"


def test_entry_point_on_ipv6(upstream, proxy):
    server = naming_upstream(upstream, "six")
    http = {"routers": {"r": {"rule": "ClientIP(`::1`)", "service": "s"}}, "services": {"s": servers(server.url)}}
    p = proxy({"http": http}, start=False)
    original = p.static_configuration
    p.static_configuration = lambda: merge(original(), {"entryPoints": {"web": {"address": f":{p.port}"}}})
    p.start()
    with Client(p.port, host="::1") as client:
        assert client.exchange().body == b"six"
    assert fetch(p.port).status == 404
