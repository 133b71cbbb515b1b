"""errors: what tests/differential cannot show. Slow, huge and dying servers, clients that leave, reloads, plugins around."""

import gzip
import threading

import pytest

from harness.client import Client, request_bytes
from harness.proxy import Plugin, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until


def paged(url, pages, more=(), **options):
    dynamic = one_router(url, middlewares=["pages", *more])
    dynamic["http"]["middlewares"] = {"pages": {"errors": {"status": ["400-599"], "service": "pages", "query": "/{status}", **options}}}
    dynamic["http"]["services"]["pages"] = servers(*pages)
    return dynamic


def failing(status=404, **options):
    return lambda connection, request: connection.send(response_bytes(status, **options))


def page(connection, request):
    connection.send(response_bytes(headers=[("X-Page", request.target)], body=b"a page"))


def test_connections_to_both_are_kept(upstream, proxy):
    server, pages = upstream(failing(body=b"no")), upstream(page)
    door = proxy(paged(server.url, [pages.url]), static={"weir": {"workers": 1}})
    with Client(door.port) as client:
        for _ in range(10):
            answer = client.exchange()
            assert (answer.status, answer.get("X-Page"), answer.body) == (404, "/404", b"a page")
    assert (server.accepted, pages.accepted) == (1, 1)


def test_a_huge_original_is_not_waited_for(upstream, proxy):
    """Its connection ends, since nobody reads the rest."""
    ended = threading.Event()

    def pour(connection, request):
        connection.send(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                connection.send(b"x" * 65536)
        except OSError:
            ended.set()
            raise

    server, pages = upstream(pour), upstream(page)
    door = proxy(paged(server.url, [pages.url]))
    assert door.fetch().body == b"a page"
    assert ended.wait(60)


def test_a_page_streams(upstream, proxy):
    """The beginning arrives before the end is sent, also over a reload that takes the configuration away."""
    release = threading.Event()

    def slowly(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert release.wait(60)
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    server, pages = upstream(failing(503)), upstream(slowly)
    dynamic = paged(server.url, [pages.url])
    dynamic["http"]["routers"]["r"]["rule"] = "Host(`test.example`)"
    door = proxy(dynamic)
    with Client(door.port) as client:
        client.send(request_bytes())
        answer = client.reader.head()
        assert answer.status == 503
        door.apply(one_router(server.url))
        release.set()
        client.reader.body(answer, is_response=True)
        assert answer.body == b"firstsecond"


def test_a_client_that_leaves_takes_the_page_along(upstream, proxy):
    gone = threading.Event()

    def wait(connection, request):
        if connection.peer_closed(60):
            gone.set()

    server, pages = upstream(failing()), upstream(wait)
    door = proxy(paged(server.url, [pages.url]))
    with Client(door.port) as client:
        client.send(request_bytes())
        pages.wait_requests(1)
    assert gone.wait(60)


def test_the_rest_of_a_refused_body_is_not_passed_to_pages(upstream, proxy):
    def refuse(connection, request):
        connection.send(response_bytes(413))

    server, pages = upstream(serve=lambda connection: refuse(connection, connection.read_head())), upstream(page)
    door = proxy(paged(server.url, [pages.url]))
    with Client(door.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        answer = client.response("POST")
        assert (answer.status, answer.body) == (413, b"a page")
    assert pages.last.body == b"" and pages.last.get("Content-Length") is None


def test_pages_are_taken_in_turns(upstream, proxy):
    server, first, second = upstream(failing()), upstream(page), upstream(page)
    door = proxy(paged(server.url, [first.url, second.url]))
    for _ in range(10):
        assert door.fetch().status == 404
    assert (len(first.requests), len(second.requests)) == (5, 5)


def test_errors_in_errors_end(upstream, proxy):
    """Each asks once, the innermost first; the client gets the outermost's."""
    server, pages = upstream(failing()), upstream(lambda c, r: c.send(response_bytes(500, body=r.target.encode())))
    names = [f"e{i}" for i in range(20)]
    dynamic = one_router(server.url, middlewares=names)
    dynamic["http"]["middlewares"] = {name: {"errors": {"status": ["400-599"], "service": "pages", "query": f"/{name}/{{status}}"}} for name in names}
    dynamic["http"]["services"]["pages"] = servers(pages.url)
    door = proxy(dynamic)
    for _ in range(3):
        answer = door.fetch(method="POST", body=b"hello")
        assert (answer.status, answer.body) == (404, b"/e0/404")
    assert [request.target for request in pages.requests] == [f"/{name}/404" for name in reversed(names)] * 3


def test_dead_pages(upstream, proxy):
    server, pages = upstream(failing(503)), upstream(page)
    door = proxy(paged(server.url, [pages.url]))
    pages.kill()
    answer = door.fetch()
    assert (answer.status, answer.body) == (503, b"Bad Gateway")


def test_a_guest_inside_and_one_outside(upstream, proxy):
    """The one inside sees the failure and is done; the one outside sees the page, and what it said early stays."""
    server, pages = upstream(failing()), upstream(page)
    dynamic = paged(server.url, [pages.url])
    dynamic["http"]["middlewares"] |= {"in": {"plugin": {"header": {"request": {"X-In": "1"}, "response": {"X-In": "2"}}}}, "out": {"plugin": {"header": {"request": {"X-Out": "1"}, "response": {"X-Out": "2"}}}}}
    dynamic["http"]["routers"]["r"]["middlewares"] = ["out", "pages", "in"]
    door = proxy(dynamic, plugins={"header": Plugin("header")})
    for _ in range(5):
        answer = door.fetch()
        assert (answer.body, answer.get("X-In"), answer.get("X-Out")) == (b"a page", None, "2")
    assert (pages.last.get("X-In"), pages.last.get("X-Out")) == ("1", "1")


def test_what_a_guest_said_early_outlives_another_answer(upstream, proxy):
    """A middleware further inside has the response and gives another one."""
    server = upstream(lambda connection, request: connection.send(response_bytes(headers=[("X-Server", "1")], body=b"x" * 1000)))
    dynamic = one_router(server.url, middlewares=["out", "short", "in"])
    dynamic["http"]["middlewares"] = {"short": {"buffering": {"maxResponseBodyBytes": 10}}} | {
        name: {"plugin": {"header": {"request": {"X-A": "1"}, "response": {f"X-{name}": "2"}}}} for name in ("in", "out")}
    door = proxy(dynamic, plugins={"header": Plugin("header")})
    answer = door.fetch()
    assert (answer.status, answer.get("X-Out"), answer.get("X-In"), answer.get("X-Server")) == (500, "2", None, None)


def test_a_kept_body_inside(upstream, proxy):
    """forwardAuth inside keeps the body and ends before the page is asked for."""
    server, pages, auth = upstream(failing()), upstream(page), upstream()
    dynamic = paged(server.url, [pages.url], ["door"])
    dynamic["http"]["middlewares"]["door"] = {"forwardAuth": {"address": auth.url, "forwardBody": True}}
    door = proxy(dynamic)
    body = b"x" * 3_000_000
    for _ in range(3):
        answer = door.fetch(method="POST", body=body)
        assert (answer.status, answer.body) == (404, b"a page")
    assert server.last.body == body and auth.last.body == body
    wait_until(lambda: len(pages.requests) == 3, "three pages", 15)


@pytest.mark.parametrize("change, text", [({"service": "nowhere"}, 'the service "nowhere@file" does not exist'), ({"status": ["5xx"]}, 'status "5xx"'), ({"statusRewrites": {"404": 99}}, "statusRewrites"), ({"service": "wrapped"}, "recursion detected in middleware:pages@file->service:wrapped@file->middleware:pages@file")])
def test_what_cannot_work_is_said(upstream, proxy, change, text):
    server = upstream()
    dynamic = paged(server.url, [server.url], **change)
    dynamic["http"]["services"]["wrapped"] = {**servers(server.url), "middlewares": ["pages"]}
    door = proxy(dynamic)
    assert door.fetch().status == 404
    assert text in door.log().replace("\\", "")


@pytest.mark.parametrize("order", [["again", "pages", "door"], ["pages", "again", "door"], ["pages", "door", "again"]])
def test_requests_that_are_made_again(upstream, proxy, order):
    """A page stands for the last failure; with the repetition outside, each attempt gets one, which fails like it."""
    server, pages, auth = upstream(failing(503)), upstream(page), upstream()
    dynamic = paged(server.url, [pages.url])
    dynamic["http"]["middlewares"] |= {"again": {"retry": {"attempts": 3, "initialInterval": "1ms", "status": ["503"], "retryNonIdempotentMethod": True}}, "door": {"forwardAuth": {"address": auth.url, "forwardBody": True}}}
    dynamic["http"]["routers"]["r"]["middlewares"] = order
    door = proxy(dynamic)
    for _ in range(2):
        answer = door.fetch(method="POST", body=b"x" * 100_000)
        assert (answer.status, answer.body) == (503, b"a page")
    assert [len(server.requests), len(pages.requests)] == [6, 6 if order[0] == "again" else 2]
    assert {request.body for request in server.requests} == {b"x" * 100_000} and {request.body for request in pages.requests} == {b""}
    assert len(auth.requests) == (2 if order[-1] == "again" else 6)


def guarded(server, pages, middlewares, names):
    """Pages of a service with middlewares of its own."""
    dynamic = paged(server.url, [pages.url])
    dynamic["http"]["middlewares"] |= middlewares
    dynamic["http"]["services"]["pages"]["middlewares"] = names
    return dynamic


def test_middlewares_of_the_pages_keep_what_they_know(upstream, proxy):
    """A bucket that pages have emptied is empty after a reload that leaves it alone."""
    server, pages = upstream(failing()), upstream(page)
    dynamic = guarded(server, pages, {"rate": {"rateLimit": {"average": 1, "period": "1h", "burst": 3}}}, ["rate"])
    door = proxy(dynamic)
    assert [door.fetch().body for _ in range(4)] == [b"a page"] * 3 + [b"Too Many Requests"]
    dynamic["http"]["routers"]["other"] = {"rule": "Path(`/other`)", "service": "s"}
    door.apply(dynamic)
    answer = door.fetch()
    assert (answer.status, answer.body) == (404, b"Too Many Requests")
    assert len(pages.requests) == 3


def test_bodies_pass_the_middlewares_of_the_pages(upstream, proxy):
    """Guests, an encoder and a kept body on the way of a large page, with the same around the original."""
    text = b"all of this is the page " * 40_000
    server, pages = upstream(failing(503, body=b"x" * 300_000)), upstream(lambda c, r: c.send(response_bytes(headers=[("Content-Type", "text/plain")], body=text)))
    middlewares = {"guest": {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Seen": "1"}}}}, "pack": {"compress": {"encodings": ["gzip"]}}, "keep": {"buffering": {"maxResponseBodyBytes": 10_000_000}}}
    dynamic = guarded(server, pages, middlewares, ["guest", "pack", "keep"])
    dynamic["http"]["routers"]["r"]["middlewares"] = ["pages", "guest", "pack", "keep"]
    door = proxy(dynamic, plugins={"header": Plugin("header")})
    for _ in range(3):
        answer = door.fetch(method="POST", body=b"y" * 300_000, headers=[("Accept-Encoding", "gzip")])
        assert (answer.status, answer.get("Content-Encoding"), answer.all("X-Seen")) == (503, "gzip", ["1"])
        assert gzip.decompress(answer.body) == text
    assert (pages.last.get("X-Guest"), pages.last.body) == ("1", b"")


def test_clients_that_leave_at_any_time(upstream, proxy):
    """While the original, the check of the page's door, or the page is waited for: nothing is left of the request."""
    gone = []

    def wait(connection, request):
        if connection.peer_closed(60):
            gone.append(request.target)

    for slow in ("server", "auth", "pages"):
        server = upstream(wait if slow == "server" else failing())
        pages = upstream(wait if slow == "pages" else page)
        auth = upstream(wait) if slow == "auth" else upstream()
        door = proxy(guarded(server, pages, {"door": {"forwardAuth": {"address": auth.url}}}, ["door"]))
        with Client(door.port) as client:
            client.send(request_bytes())
            {"server": server, "auth": auth, "pages": pages}[slow].wait_requests(1)
    wait_until(lambda: len(gone) == 3, lambda: f"three connections that end, found {gone}", 30)


def test_services_in_services_are_bounded(upstream, proxy):
    """A way of services and errors that is too long is said, and costs no stack."""
    server = upstream()
    dynamic = paged(server.url, [server.url])
    dynamic["http"]["middlewares"] |= {f"e{i}": {"errors": {"status": ["404"], "service": f"s{i}"}} for i in range(3000)}
    dynamic["http"]["services"] |= {f"s{i}": {**servers(server.url), "middlewares": [f"e{i + 1}"] if i < 2999 else []} for i in range(3000)}
    dynamic["http"]["routers"]["r"]["middlewares"] = ["e0"]
    dynamic["http"]["routers"]["near"] = {"rule": "Path(`/near`)", "service": "s2960"}
    door = proxy(dynamic)
    assert door.fetch().status == 404
    assert "nested too deep, expected at most 100" in door.log()
    assert door.fetch(target="/near").status == 200


def test_a_page_outlives_the_configuration_of_its_middlewares(upstream, proxy):
    """The beginning has arrived when all of it goes: guests and encoders around the page go on without it."""
    release = threading.Event()

    def slowly(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert release.wait(60)
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    server, pages = upstream(failing(503)), upstream(slowly)
    middlewares = {"guest": {"plugin": {"header": {"response": {"X-Seen": "1"}}}}, "pack": {"compress": {"encodings": ["gzip"], "minResponseBodyBytes": 1}}, "few": {"inFlightReq": {"amount": 10}}}
    dynamic = guarded(server, pages, middlewares, ["few", "guest", "pack"])
    dynamic["http"]["routers"]["r"]["middlewares"] = ["few", "pages", "guest"]
    door = proxy(dynamic, plugins={"header": Plugin("header")})
    with Client(door.port) as client:
        client.send(request_bytes(headers=[("Accept-Encoding", "gzip")]))
        answer = client.reader.head()
        assert (answer.status, answer.get("Content-Encoding")) == (503, "gzip")
        door.apply(one_router(server.url))
        wait_until(lambda: door.fetch().body == b"", "the new configuration answers", 15)
        release.set()
        client.reader.body(answer, is_response=True)
        assert gzip.decompress(answer.body) == b"firstsecond"
