"""Middlewares that judge responses: circuitBreaker, and those that have a request made again."""

import gzip
import json

import pytest

from harness.client import request_bytes
from harness.ports import free_port
from harness.proxy import Plugin, merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until


def with_middlewares(url, **middlewares):
    dynamic = one_router(url, middlewares=list(middlewares))
    dynamic["http"]["middlewares"] = middlewares
    return dynamic


def failing(upstream, status=502, body=b"bad"):
    """An upstream that answers with `upstream.status`."""

    def answer(connection, request):
        connection.send(response_bytes(server.status, body=body))

    server = upstream(answer)
    server.status = status
    return server


BREAKER = {"expression": "NetworkErrorRatio() > 0.5", "fallbackDuration": "1h"}


@pytest.mark.differs("states are shared, and outlive reloads")
def test_a_breaker_is_shared_by_workers_and_outlives_a_reload(upstream, proxy):
    server = failing(upstream)
    dynamic = with_middlewares(server.url, fuse={"circuitBreaker": BREAKER})
    door = proxy(dynamic, static={"weir": {"workers": 4}}, metrics=True)
    assert door.fetch().body == b"bad"
    # It opens when the response is out, of which another worker may learn a moment later.
    wait_until(lambda: door.fetch().status == 503, "the breaker is open", 30)
    asked, refused = len(server.requests), door.scrape().value("weir_middleware_refused_total", middleware="fuse@file")
    answers = [door.fetch() for _ in range(20)]
    assert {(answer.status, answer.body) for answer in answers} == {(503, b"Service Unavailable")}
    metrics = door.scrape()
    assert metrics.value("weir_middleware_opened_total", middleware="fuse@file") == 1
    assert metrics.value("weir_middleware_open", middleware="fuse@file") == 1
    assert metrics.value("weir_middleware_refused_total", middleware="fuse@file") == refused + 20
    door.apply(merge(dynamic, {"http": {"routers": {"other": {"rule": "Path(`/other`)", "service": "s", "middlewares": ["fuse"]}}}}))
    assert [door.fetch().status, door.fetch(target="/other").status] == [503, 503]
    assert len(server.requests) == asked
    assert door.log().count("Circuit breaker opens") == 1
    door.apply(with_middlewares(server.url, fuse={"circuitBreaker": {**BREAKER, "responseCode": 500}}))
    wait_until(lambda: door.fetch().body == b"bad" or len(server.requests) > asked, "requests reach the server again", 30)
    wait_until(lambda: door.fetch().status == 500, "the breaker is open with its new status", 30)


def test_a_breaker_recovers(upstream, proxy):
    server = failing(upstream)
    door = proxy(with_middlewares(server.url, fuse={"circuitBreaker": {**BREAKER, "checkPeriod": "1ms", "fallbackDuration": "10ms", "recoveryDuration": "10ms"}}))
    assert door.fetch().status == 502
    server.status = 200
    wait_until(lambda: door.fetch().status == 200, "the breaker lets requests through again", 30)
    wait_until(lambda: [door.fetch().status for _ in range(20)] == [200] * 20, "the breaker is closed", 30)


@pytest.mark.differs("responses count although their client has left")
def test_a_client_that_leaves_counts_as_499(upstream, proxy):
    def answer(connection, request):
        assert connection.peer_closed()

    server = upstream(answer)
    door = proxy(with_middlewares(server.url, fuse={"circuitBreaker": {"expression": "ResponseCodeRatio(499, 500, 0, 600) > 0.0", "fallbackDuration": "1h"}}))
    with door.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_requests(1)
    server.answer = lambda connection, request: connection.send(response_bytes())
    wait_until(lambda: door.fetch().status == 503, "the breaker has opened", 30)


def body(n):
    return bytes(i * 7 % 251 for i in range(n))


def seen(server):
    return [(request.get("Content-Length"), request.body) for request in server.requests]


@pytest.mark.differs("trailers of kept responses")
def test_bodies_are_kept_in_files_and_come_whole(upstream, proxy):
    large = body(3 << 20)

    def answer(connection, request):
        if "trailer" in request.start_line:
            connection.send(response_bytes(chunks=[large[:100000], large[100000:]], trailers=[("X-Sum", "1")], headers=[("Trailer", "X-Sum")]))
        else:
            connection.send(response_bytes(chunks=[request.body]))

    server = upstream(answer)
    door = proxy(with_middlewares(server.url, whole={"buffering": {"memRequestBodyBytes": 1000, "memResponseBodyBytes": 1000}}), metrics=True)
    answer = door.fetch("POST", chunks=[large[:1 << 20], large[1 << 20:]])
    assert (answer.status, answer.get("Content-Length"), answer.body == large) == (200, str(len(large)), True)
    assert seen(server) == [(str(len(large)), large)]
    answer = door.fetch(target="/trailer")
    assert (answer.body == large, answer.trailers, answer.get("Content-Length")) == (True, [("X-Sum", "1")], None)
    wait_until(lambda: [door.scrape().value(f"weir_kept_bodies_{name}") for name in ("bytes", "files", "refused_total")] == [0, 0, 0], "nothing is kept", 30)


@pytest.mark.differs("limits of weir's own")
def test_kept_bodies_are_limited_together(upstream, proxy):
    server = upstream()
    door = proxy(with_middlewares(server.url, whole={"buffering": {"maxResponseBodyBytes": 1000}}), static={"weir": {"workers": 2, "limits": {"keptBodies": 100000}}}, metrics=True)
    with door.connect() as first:
        first.send(request_bytes("POST", headers=[("Content-Length", "90000")]) + body(80000))
        for n, status in ((30000, 503), (15000, 200), (0, 200)):
            wait_until(lambda: door.scrape().value("weir_kept_bodies_bytes") == 80000, "the first body is kept, and no other", 30)
            assert door.fetch("POST", body=body(n)).status == status
        first.send(body(10000))
        assert first.response().status == 200
    wait_until(lambda: door.scrape().value("weir_kept_bodies_bytes") == 0, "nothing is kept", 30)
    assert door.fetch("POST", body=body(90000)).status == 200
    metrics = door.scrape()
    assert metrics.value("weir_kept_bodies_refused_total") == 1


@pytest.mark.differs("limits of weir's own")
def test_repetitions_are_limited_over_all_middlewares(upstream, proxy):
    server = failing(upstream)
    door = proxy(with_middlewares(server.url, outer={"buffering": {"retryExpression": "IsNetworkError()"}}, inner={"buffering": {"retryExpression": "IsNetworkError()"}}),
                 static={"weir": {"limits": {"requestRepetitions": 7}}}, metrics=True)
    assert (door.fetch("POST", body=b"abc").status, len(server.requests)) == (502, 8)
    assert {request.body for request in server.requests} == {b"abc"}
    metrics = door.scrape()
    assert metrics.value("weir_exchanges_repeated_total") == 7
    assert metrics.value("weir_exchanges_repetitions_refused_total") >= 1


def test_clients_that_leave_while_their_body_is_kept(upstream, proxy):
    server = failing(upstream)
    door = proxy(with_middlewares(server.url, whole={"buffering": {"memRequestBodyBytes": 10, "retryExpression": "Attempts() < 5"}}))
    for n in (0, 5, 5000):
        with door.connect() as client:
            client.send(request_bytes("POST", headers=[("Content-Length", "9000")]) + body(n))
            client.reset()
    assert door.fetch("POST", body=body(9000)).status == 502
    assert len(server.requests) == 5


def test_a_client_that_leaves_between_two_attempts(upstream, proxy):
    """The response is dropped and the next attempt under way, or not yet."""
    server = failing(upstream)
    door = proxy(with_middlewares(server.url, whole={"buffering": {"retryExpression": "IsNetworkError()"}}))
    for i in range(10):
        with door.connect() as client:
            client.send(request_bytes("POST", body=body(3000)))
            server.wait_requests(1 + i)
            client.reset()
    server.status = 200
    assert door.fetch("POST", body=b"a").status == 200


def test_a_plugin_sees_one_request_per_attempt_inside_and_one_outside(upstream, proxy):
    server = failing(upstream, 500)
    attempts = {"buffering": {"retryExpression": "ResponseCode() == 500 && Attempts() < 4"}}
    plugins = {name: Plugin("header") for name in ("outside", "inside")}
    dynamic = with_middlewares(server.url, o={"plugin": {"outside": {"request": {"X-Outside": "1"}, "response": {"X-Outside": "2"}}}}, again=attempts, i={"plugin": {"inside": {"request": {"X-Inside": "1"}, "response": {"X-Inside": "2"}}}})
    door = proxy(dynamic, plugins=plugins)
    answer = door.fetch("POST", body=b"abc")
    assert (answer.status, answer.all("X-Outside"), answer.all("X-Inside")) == (500, ["2"], ["2"])
    assert [(r.all("X-Outside"), r.all("X-Inside"), r.body) for r in server.requests] == [(["1"], ["1"], b"abc")] * 4
    metrics = door.scrape()
    assert [metrics.value("weir_plugin_exchanges_total", plugin=name) for name in ("outside", "inside")] == [1, 4]


def dead_url():
    return f"http://127.0.0.1:{free_port()}"


def test_another_server_answers(upstream, proxy):
    """One of two servers is gone: nobody notices, whatever the request is."""
    server = upstream(lambda connection, request: connection.send(response_bytes(body=request.body)))
    dynamic = with_middlewares(server.url, again={"retry": {"attempts": 4, "initialInterval": "1ms"}})
    dynamic["http"]["services"]["s"] = servers(dead_url(), server.url)
    door = proxy(dynamic, metrics=True)
    for _ in range(10):
        assert door.fetch().status == 200
        answer = door.fetch("POST", body=body(100000))
        assert (answer.status, answer.body == body(100000)) == (200, True)
        answer = door.fetch("PUT", chunks=[b"abc", body(5000)])
        assert (answer.status, answer.body == b"abc" + body(5000)) == (200, True)
    assert len(server.requests) == 30


@pytest.mark.differs("Traefik counts no retries")
def test_retries_are_counted_and_logged(upstream, proxy, tmp_path):
    server = failing(upstream, 500)
    log = tmp_path / "access.log"
    door = proxy(with_middlewares(server.url, again={"retry": {"attempts": 3, "status": ["500"]}}), metrics=True,
                 static={"accessLog": {"filePath": str(log), "format": "json", "filters": {"retryAttempts": True}}})
    assert (door.fetch().status, len(server.requests)) == (500, 3)
    assert (door.fetch("POST", body=b"a").status, len(server.requests)) == (500, 4)
    metrics = door.scrape()
    assert metrics.value("traefik_service_retries_total", service="s@file") == 2
    assert metrics.value("weir_exchanges_repeated_total") == 2
    wait_until(lambda: log.exists() and log.read_text().count("\n"), "the line is written", 30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["RetryAttempts"], line["RequestMethod"]) for line in lines] == [(2, "GET")]


def test_pauses_of_any_length_end_or_are_waited_for(upstream, proxy):
    """A nanosecond, drawn from, is none half of the time; the longest, drawn from, is more than 64 bits hold."""
    server = failing(upstream, 500)
    door = proxy(with_middlewares(server.url, again={"retry": {"attempts": 3, "initialInterval": "1ns", "status": ["500"]}}))
    for i in range(20):
        assert (door.fetch().status, len(server.requests)) == (500, 3 * (i + 1))
    dynamic = with_middlewares(server.url, again={"retry": {"attempts": 3, "initialInterval": "2562047h", "status": ["500"]}})
    dynamic["http"]["routers"]["plain"] = {"rule": "Path(`/plain-and-simple`)", "service": "s"}
    door.apply(dynamic)
    before = len(server.requests)
    for i in range(5):
        with door.connect() as client:
            client.send(request_bytes("PUT", body=b"abc"))
            server.wait_requests(before + 1 + i)
    assert door.fetch(target="/plain-and-simple").status == 500
    assert len(server.requests) == before + 6


def test_clients_that_leave_in_a_pause(upstream, proxy):
    server = failing(upstream, 500)
    dynamic = with_middlewares(server.url, again={"retry": {"attempts": 3, "initialInterval": "1h", "status": ["500"]}})
    dynamic["http"]["routers"]["plain"] = {"rule": "Path(`/plain-and-simple`)", "service": "s"}
    door = proxy(dynamic)
    for i in range(5):
        with door.connect() as client:
            client.send(request_bytes("PUT", body=b"abc"))
            server.wait_requests(1 + i)
    assert door.fetch(target="/plain-and-simple").status == 500
    assert len(server.requests) == 6


@pytest.mark.differs("a body that was read is sent again, empty")
def test_a_body_that_a_plugin_has_read(upstream, proxy):
    """Kept by the middleware it is sent again, else there is no further attempt."""
    server = failing(upstream, 500)
    for options, attempts in (({"attempts": 3}, 1), ({"attempts": 3, "status": ["500", "502"]}, 3)):
        dynamic = with_middlewares(server.url, again={"retry": options}, i={"plugin": {"reader": {"features": 3, "request": "all"}}})
        dynamic["http"]["services"]["s"] = servers(dead_url())
        door = proxy(dynamic, plugins={"reader": Plugin("body")})
        answer = door.fetch("PUT", body=b"abc")
        assert answer.status in (500, 502)
        assert door.scrape().value("weir_plugin_exchanges_total", plugin="reader") == attempts


def test_pages_of_errors_outside_and_inside(upstream, proxy):
    """Outside it sees the last response only; inside, the page of each attempt, with the status that has it made again."""
    server = failing(upstream, 500)
    pages = upstream(lambda connection, request: connection.send(response_bytes(body=b"page")))
    again = {"retry": {"attempts": 3, "status": ["500"]}}
    page = {"errors": {"status": ["500"], "service": "pages", "query": "/"}}
    for middlewares, shown in (({"page": page, "again": again}, 1), ({"again": again, "page": page}, 3)):
        dynamic = with_middlewares(server.url, **middlewares)
        dynamic["http"]["services"]["pages"] = servers(pages.url)
        door = proxy(dynamic)
        server.requests.clear()
        pages.requests.clear()
        answer = door.fetch("PUT", body=b"abc")
        assert (answer.status, answer.body) == (500, b"page")
        assert ([request.body for request in server.requests], len(pages.requests)) == ([b"abc"] * 3, shown)


def test_compressed_outside_and_inside(upstream, proxy):
    """Responses that are dropped have begun to be compressed; the last one comes whole."""
    page = b"text " * 20000
    server = upstream(lambda connection, request: connection.send(response_bytes(500, headers=[("Content-Type", "text/plain")], chunks=[page, page])))
    squeeze = {"compress": {"minResponseBodyBytes": 10}}
    for again in ({"retry": {"attempts": 3, "status": ["500"]}}, {"buffering": {"retryExpression": "ResponseCode() == 500 && Attempts() < 3"}}):
        for middlewares in ({"squeeze": squeeze, "again": again}, {"again": again, "squeeze": squeeze}):
            door = proxy(with_middlewares(server.url, **middlewares))
            server.requests.clear()
            answer = door.fetch("PUT", body=b"abc", headers=[("Accept-Encoding", "gzip")])
            assert (answer.status, answer.get("Content-Encoding"), gzip.decompress(answer.body) == page * 2) == (500, "gzip", True)
            assert [request.body for request in server.requests] == [b"abc"] * 3
