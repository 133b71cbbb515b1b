"""Traefik's metrics: the same requests give the same series with the same values."""

import os

import pytest

from harness.client import Client, fetch, request_bytes
from harness.message import Closed
from harness.metrics import Metrics
from harness.waiting import wait_until
from rig.messages import get, post, raw, service

# Counted the same way by both, all of them once per request.
KINDS = ("entrypoint", "router", "service")
COMPARED = [f"traefik_{kind}_{name}" for kind in KINDS
            for name in ("requests_total", "requests_bytes_total", "responses_bytes_total", "request_duration_seconds_count")]

STATIC = {"metrics": {"prometheus": {"addRoutersLabels": True}}, "ping": {},
          "entryPoints": {"silent": {"observability": {"metrics": False}}}}
DYNAMIC = {"http": {
    "routers": {
        "all": {"rule": "Host(`site.example`)", "service": "s"},
        "none": {"rule": "Host(`none.example`)", "service": "none"},
        "refused": {"rule": "Host(`refused.example`)", "service": "refused"},
        "pong": {"rule": "Host(`pong.example`)", "service": "ping@internal"},
        "quiet": {"rule": "Host(`quiet.example`)", "service": "s", "observability": {"metrics": False}},
        "quiet-refused": {"rule": "Host(`quiet-none.example`)", "service": "none", "observability": {"metrics": False}},
        "loud": {"rule": "Host(`loud.example`)", "service": "s", "observability": {"metrics": True}},
        "pong-loud": {"rule": "Host(`pong-loud.example`)", "service": "ping@internal", "observability": {"metrics": True}},
    },
    "services": {"s": service("a"), "none": service(),
                 "refused": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}},
}}

CASES = {
    "get": get(),
    "head": get(method="HEAD"),
    "post": post(body=b"seven77"),
    "chunked": post(chunks=(b"three", b"pieces", b"!")),
    "delete": get(method="DELETE"),
    "options": get(method="OPTIONS"),
    "patch": get(method="PATCH"),
    "trace": get(method="TRACE"),
    "other-method": get(method="PROPFIND"),
    "no-router": get(host="unknown.example"),
    "no-server": get(host="none.example"),
    "refused": get(host="refused.example"),
    "internal": get(host="pong.example"),
    "internal-loud": get(host="pong-loud.example"),
    "quiet": get(host="quiet.example"),
    "quiet-503": get(host="quiet-none.example"),
    "loud": get(host="loud.example"),
    "event-stream": get("/", ("Accept", "text/event-stream")),
    "event-stream-in-list": get("/", ("Accept", "text/html, Text/Event-Stream")),
    "event-stream-quality": get("/", ("Accept", "text/event-stream;q=0.5")),
    "grpc": get("/", ("Content-Type", "application/grpc")),
    "grpc-web": get("/", ("Content-Type", "application/grpc-web+proto")),
    "encoded-slash": get("/a%2Fb"),
    "bad-escape": get("/%zz"),
    "dots": get("/a/../b"),
    "connect": raw("CONNECT site.example:80 HTTP/1.1", "Host: site.example:80"),
    "options-star": raw("OPTIONS * HTTP/1.1", "Host: site.example"),
    "version-1.0": get(version="1.0"),
    "bad-field": raw("GET / HTTP/1.1", "Host: site.example", "X: a\x01b"),
    "no-host": raw("GET / HTTP/1.1"),
}


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(static=STATIC, dynamic=DYNAMIC, entry_points=("web", "silent", "traefik"))


def scrape(instance):
    response = fetch(instance.ports["traefik"], target="/metrics")
    assert response.status == 200
    # Go's own families are no concern of ours, and its summaries neither.
    lines = [line for line in response.body.decode().splitlines(keepends=True)
             if line.startswith(("traefik_", "# HELP traefik_", "# TYPE traefik_"))]
    return Metrics("".join(lines))


def values(metrics):
    return {(name, *sorted(labels)): value for name in COMPARED for labels, value in metrics.all(name).items()}


def growth(instance, message, entry_point="web"):
    """What one request on a connection of its own adds: both count it a moment after its answer."""
    before = values(scrape(instance))
    with Client(instance.ports[entry_point]) as client:
        client.send(message)
        try:
            client.response("HEAD" if message.startswith(b"HEAD") else "GET")
        except Closed:
            pass
    # One more, which is surely counted: what came before it is, too.
    fetch(instance.ports["web"], "PUT", host="marker.nowhere", body=b"x")

    def marked():
        after = values(scrape(instance))
        added = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
        puts = {key: added.pop(key) for key in list(added) if ("method", "PUT") in key}
        return added if puts else None

    return wait_until(lambda: [found] if (found := marked()) is not None else None, "the requests are counted")[0]


@pytest.mark.parametrize("name", CASES)
def test_growth(pair, name):
    theirs, ours = growth(pair.traefik, CASES[name]), growth(pair.weir, CASES[name])
    assert ours == theirs


SILENT = ("get", "loud", "quiet", "no-router", "no-server", "bad-escape", "encoded-slash", "internal", "internal-loud")


@pytest.mark.parametrize("name", SILENT)
def test_growth_where_the_entry_point_says_no(pair, name):
    theirs, ours = (growth(instance, CASES[name], "silent") for instance in (pair.traefik, pair.weir))
    assert ours == theirs
    if name == "loud":
        assert {name.split("_")[1] for name, *_ in ours} == set(KINDS)


SHAPES = {
    "defaults": {"prometheus": {}},
    "routers": {"prometheus": {"addRoutersLabels": True}},
    "nothing": {"prometheus": {"addEntryPointsLabels": False, "addServicesLabels": False}},
    "entry-points-only": {"prometheus": {"addServicesLabels": False}},
    "buckets": {"prometheus": {"buckets": [0.005, 1, 2.5, 60, 1000], "addRoutersLabels": True}},
    "internals": {"addInternals": True, "prometheus": {"addRoutersLabels": True}},
}


def series(instance):
    """All series of Traefik's that there are, with their labels; values are another matter."""
    return {(name, *sorted(labels)) for name, labels in scrape(instance).samples}


@pytest.mark.parametrize("name", SHAPES)
def test_series(pairs, name):
    """Which series there are, and with what labels and bounds, by the options; and no others."""
    pair = pairs(static={**STATIC, "metrics": SHAPES[name]}, dynamic=DYNAMIC, entry_points=("web", "silent", "traefik"))
    for instance in (pair.traefik, pair.weir):
        for case in ("get", "post", "no-router", "no-server", "internal", "quiet", "grpc"):
            fetch_raw(instance, CASES[case])
    wait_until(lambda: series(pair.traefik) == series(pair.weir),
               lambda: f"the same series; one has {sorted(series(pair.traefik) ^ series(pair.weir))}", 10)
    assert {"traefik_config_reloads_total", "traefik_open_connections"} <= {each[0] for each in series(pair.weir)}


def fetch_raw(instance, message):
    with Client(instance.ports["web"]) as client:
        client.send(message)
        client.response()


def test_series_go_with_their_objects(pairs):
    """Routers and services that are no longer there have no series, after at most one more scrape."""
    pair = pairs(static=STATIC, dynamic=DYNAMIC, entry_points=("web", "silent", "traefik"))
    for instance in (pair.traefik, pair.weir):
        for case in ("get", "refused"):
            fetch_raw(instance, CASES[case])
        wait_until(lambda instance=instance: any("refused@file" in str(each) for each in series(instance)), "they are counted")
        instance.write("next.yml", instance.files["dynamic.yml"].replace("refused", "renamed"))
        os.replace(instance.directory / "next.yml", instance.directory / "dynamic.yml")
        wait_until(lambda instance=instance: not any("refused@file" in str(each) for each in series(instance)), "they have gone", 20)
    # Who waits for the configuration is answered 404 until it is there.
    left = [{each for each in series(instance) if ("code", "404") not in each} for instance in (pair.traefik, pair.weir)]
    assert left[0] == left[1], sorted(left[0] ^ left[1])


def test_reloads(pair):
    """Each new configuration is one more."""
    def reload(instance, version):
        before = scrape(instance).value("traefik_config_reloads_total")
        text = instance.files["dynamic.yml"].replace("none.example", f"none{version}.example")
        instance.write("next.yml", text)
        os.replace(instance.directory / "next.yml", instance.directory / "dynamic.yml")
        wait_until(lambda: fetch(instance.ports["web"], host=f"none{version}.example").status == 503, "it is in effect")
        return scrape(instance).value("traefik_config_reloads_total") - before

    assert [reload(pair.weir, version) for version in (1, 2)] == [reload(pair.traefik, version) for version in (1, 2)] == [1, 1]


def test_open_connections(pair):
    def connections(instance):
        with Client(instance.ports["web"]) as first, Client(instance.ports["web"]) as second:
            for client in (first, second):
                client.send(request_bytes(host="site.example"))
                assert client.response().status == 200
            wait_until(lambda: scrape(instance).value("traefik_open_connections", entrypoint="web", protocol="TCP") == 2, "two are open")
        wait_until(lambda: scrape(instance).value("traefik_open_connections", entrypoint="web", protocol="TCP") == 0, "none is left")

    connections(pair.traefik)
    connections(pair.weir)


LABELS = {"agent": "User-Agent", "zed": "x-tEst", "AUTH": "Authorization", "host": "Host", "_id": "X-Request-Id"}
LABELLED = {"http": {
    "routers": {"plain": {"rule": "Host(`site.example`)", "service": "s"}, "changed": {"rule": "Host(`changed.example`)", "service": "s", "middlewares": ["change"]},
                "guarded": {"rule": "Host(`guarded.example`)", "service": "s", "middlewares": ["guard"]}, "paged": {"rule": "Host(`paged.example`)", "service": "none", "middlewares": ["pages"]},
                "guest": {"rule": "Host(`guest.example`)", "service": "s", "middlewares": ["guest"]}},
    "middlewares": {"change": {"headers": {"customRequestHeaders": {"X-Test": "changed", "User-Agent": ""}}}, "guard": {"basicAuth": {"users": ["me:{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00="], "removeHeader": True}},
                    "pages": {"errors": {"status": ["500-599"], "service": "s", "query": "/"}}, "guest": {"plugin": {"header": {"request": {"X-Test": "guest"}}}}},
    "services": {"s": service("a"), "none": service()},
}}
LABELLED_CASES = {
    "nothing": get(), "values": get("/", ("User-Agent", "t/1 (x; y)"), ("X-Test", "1"), ("X-Request-Id", "7")), "twice": get("/", ("X-Test", "1"), ("X-Test", "2")), "empty": get("/", ("X-Test", "")), "quotes": get("/", ("X-Test", 'a"b\\c')),
    "unicode": get("/", ("X-Test", "é".encode().decode("latin-1"))), "spaces": get("/", ("X-Test", "  a  b\tc ")), "changed": get("/", ("X-Test", "1"), ("User-Agent", "t"), host="changed.example"), "no-router": get("/", ("X-Test", "1"), host="nowhere.example"),
    "granted": get("/", ("Authorization", "Basic bWU6aGVsbG8="), host="guarded.example"), "paged": get("/", ("X-Test", "1"), host="paged.example"), "post": post("/", b"x", ("X-Test", "posted")), "guest": get("/", ("X-Test", "1"), host="guest.example"),
}


@pytest.fixture(scope="module")
def labelled(pairs):
    return pairs(static={"metrics": {"prometheus": {"addRoutersLabels": True, "headerLabels": LABELS}}}, dynamic=LABELLED, entry_points=("web", "traefik"), plugins={"header": "header"})


@pytest.mark.parametrize("name", LABELLED_CASES)
def test_labels_of_headers(labelled, name):
    theirs, ours = growth(labelled.traefik, LABELLED_CASES[name]), growth(labelled.weir, LABELLED_CASES[name])
    assert ours == theirs and any(label == "zed" for key in ours for label, _ in key[1:])


def test_secrets_are_no_labels(labelled):
    """Row `metrics-secrets`: there, who reads metrics reads passwords."""
    request = get("/", ("Authorization", "Basic bWU6YmFk"), host="guarded.example")
    values = [{dict(key[1:]).get("AUTH") for key in growth(instance, request) if key[0] == "traefik_entrypoint_requests_total"} for instance in (labelled.traefik, labelled.weir)]
    assert values == [{"Basic bWU6YmFk"}, {"xxxx"}]
