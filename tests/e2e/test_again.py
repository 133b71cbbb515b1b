"""Middlewares that judge responses: circuitBreaker, and those that have a request made again."""

import pytest

from harness.proxy import merge, one_router
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
    assert door.fetch().body == b"bad"
    assert door.fetch().status == 500


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
