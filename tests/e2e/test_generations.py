"""Requests that outlive the configuration they began on: they let go of it, or are ended in time."""

import json
import os
import shutil
import subprocess
import threading

import pytest

from harness.message import Closed
from harness.proxy import Plugin, memory_tells, merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has no such limits or metrics")

LONG = "WEIR_LONG" in os.environ
FIRST, LAST = b"the first part", b"the last part"


class Streams:
    """Answers /stream with a first part at once and the last one when released, /slow when released, the rest at once."""

    def __init__(self):
        self.released = threading.Event()

    def __call__(self, connection, request):
        if request.target == "/stream":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"%x\r\n%s\r\n" % (len(FIRST), FIRST))
            assert self.released.wait(60)
            connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(LAST), LAST))
            return
        if request.target == "/slow":
            assert self.released.wait(60)
        connection.send(response_bytes(body=b"ok"))


@pytest.fixture
def streams(upstream):
    s = Streams()
    s.url = upstream(s).url
    yield s
    s.released.set()


def generations(**options):
    log = {"filePath": "access.log", "format": "json", "fields": {"headers": {"defaultMode": "keep"}}}
    return {"weir": {"workers": 2, "generations": options}, "accessLog": log}


def plugins():
    return {name: Plugin(name) for name in ("after", "prefix-writer")}


def open_stream(p):
    client = p.connect(timeout_s=60)
    client.send(b"GET /stream HTTP/1.1\r\nHost: test.example\r\n\r\n")
    assert b" 200 " in client.reader.until(b"\r\n")
    client.reader.until(FIRST + b"\r\n")
    return client


def send_slow(p, target="/slow"):
    client = p.connect(timeout_s=60)
    client.send(f"GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n".encode())
    return client


def wait_metric(p, name, value):
    now = None

    def is_so():
        nonlocal now
        now = p.scrape().value(name)
        return now == value

    wait_until(is_so, lambda: f"{name} is {value}, not {now}\n{p.log()}", 60, 0.05)


def layered(url, i):
    """All that a long exchange may need to its end: a guest's last call, a count, a sniffed type, configured fields."""
    dynamic = one_router(url, middlewares=["fields", "flights", "type", "rate", "late", "prefix", "breaker", "again"])
    dynamic["http"]["middlewares"] = {
        "fields": {"headers": {"customResponseHeaders": {"X-Number": f"number {i}"}, "customRequestHeaders": {"X-In": f"in {i}"}}},
        "flights": {"inFlightReq": {"amount": 1000}},
        "type": {"contentType": {}},
        "breaker": {"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.9"}},
        "again": {"retry": {"attempts": 3, "status": ["502"]}},
        "rate": {"rateLimit": {"average": 100000, "burst": 100000}},
        "prefix": {"plugin": {"prefix-writer": {"features": 0}}},
        "late": {"plugin": {"after": {"call": "get_status"}}},
    }
    return dynamic


def test_streams_hold_no_configuration(streams, proxy):
    count, rewrites = (200, 100) if LONG else (20, 8)
    p = proxy(layered(streams.url, 0), plugins=plugins(), static=generations(drainTimeout="0s", max=1000))
    held = [open_stream(p) for _ in range(count)]
    p.apply(layered(streams.url, 1))
    assert p.fetch().get("X-Number") == "number 1"
    wait_metric(p, "weir_exchanges_detached_total", count)
    before = p.pss_bytes
    for i in range(rewrites):
        p.apply(layered(streams.url, i % 2))
        assert p.fetch().get("X-Number") == f"number {i % 2}"
        assert p.scrape().value("weir_config_generations_live") <= 2
    wait_metric(p, "weir_config_generations_live", 1)
    if LONG and memory_tells():
        assert p.pss_bytes <= before + (8 << 20)
    # What they began with has gone; what goes on counts for it.
    p.apply({"http": {"routers": {"other": {"rule": "Path(`/other`)", "service": "t"}}, "services": {"t": servers(streams.url)}}})
    assert p.fetch().status == 404
    wait_metric(p, "weir_config_generations_live", 1)
    streams.released.set()
    for client in held:
        assert LAST in client.reader.until(b"0\r\n\r\n")
        client.close()
    wait_metric(p, "weir_exchanges_live", 1)
    wait_until(lambda: (p.directory / "access.log").read_text().count('"RequestPath":"/stream"') == count, "the log has all streams")
    lines = [json.loads(line) for line in (p.directory / "access.log").read_text().splitlines() if '"RequestPath":"/stream"' in line]
    assert {(line["RouterName"], line["ServiceName"], line["request_X-In"], line["downstream_X-Number"]) for line in lines} == {
        ("r@file", "s@file", "in 0", "number 0")}


def test_a_flight_counts_until_its_stream_ends(streams, proxy):
    def dynamic(name):
        d = one_router(streams.url, middlewares=["flights"])
        d["http"]["middlewares"] = {"flights": {"inFlightReq": {"amount": 1}}}
        return merge(d, {"http": {"services": {name: servers(streams.url)}}})

    p = proxy(dynamic("a"), metrics=True)
    stream = open_stream(p)
    assert p.fetch().status == 429
    p.apply(dynamic("b"))
    wait_metric(p, "weir_config_generations_live", 1)
    assert p.fetch().status == 429
    streams.released.set()
    stream.reader.until(b"0\r\n\r\n")
    wait_until(lambda: p.fetch().status == 200, "the flight has ended")


def test_a_client_that_leaves_its_detached_stream(streams, proxy):
    p = proxy(layered(streams.url, 0), plugins=plugins(), static=generations(drainTimeout="0s"))
    stream = open_stream(p)
    p.apply(layered(streams.url, 1))
    wait_metric(p, "weir_exchanges_detached_total", 1)
    stream.reset()
    wait_until(lambda: p.scrape().sum("weir_plugin_in_use") == 0, "no instance is in use")
    wait_metric(p, "weir_exchanges_live", 1)


def test_requests_without_a_response_are_ended_in_time(streams, proxy):
    p = proxy(one_router(streams.url, plugin={"sleeper": {}}), plugins={"sleeper": Plugin("sleeper")}, static=generations(drainTimeout="1s"))
    waits, sleeps = send_slow(p), send_slow(p, "/evil/")
    wait_metric(p, "weir_exchanges_live", 3)
    p.apply(one_router(streams.url))
    assert waits.response().status == 503
    with pytest.raises((Closed, ConnectionError)):
        sleeps.response()
    wait_metric(p, "weir_config_generations_live", 1)
    wait_metric(p, "weir_exchanges_expired_total", 2)
    assert p.fetch().status == 200


def test_the_oldest_of_too_many_configurations_ends(streams, proxy):
    p = proxy(one_router(streams.url), metrics=True, static=generations(max=3))
    held = []
    for i in range(4):
        held.append(send_slow(p))
        wait_metric(p, "weir_exchanges_live", min(i + 2, 4))
        p.apply(one_router(streams.url))
    # The current configuration and the two before it: the first two of four requests are one too many each.
    assert [client.response().status for client in held[:2]] == [503, 503]
    wait_metric(p, "weir_config_generations_live", 3)
    streams.released.set()
    assert [client.response().status for client in held[2:]] == [200, 200]
    wait_metric(p, "weir_config_generations_live", 1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_streams_of_http2(streams, proxy):
    """A stream is reset, and the connection goes on: nobody else on it is ended."""
    p = proxy(one_router(streams.url, plugin={"sleeper": {}}), plugins={"sleeper": Plugin("sleeper")}, static=generations(drainTimeout="1s"))
    targets = ["/stream", "/slow", "/evil/"]
    asked = [subprocess.Popen(["curl", "-sS", "-N", "--http2-prior-knowledge", "--max-time", "90", "-w", "%{http_code}", f"http://127.0.0.1:{p.port}{target}"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) for target in targets]
    wait_metric(p, "weir_exchanges_live", 4)
    assert asked[0].stdout.read(len(FIRST)) == FIRST
    p.apply(one_router(streams.url))
    assert asked[1].communicate(timeout=60)[0] == b"Service Unavailable503"
    asked[2].communicate(timeout=60)
    assert asked[2].returncode != 0
    wait_metric(p, "weir_config_generations_live", 1)
    wait_metric(p, "weir_exchanges_expired_total", 2)
    streams.released.set()
    assert asked[0].communicate(timeout=60)[0] == LAST + b"200"
    wait_metric(p, "weir_exchanges_live", 1)
