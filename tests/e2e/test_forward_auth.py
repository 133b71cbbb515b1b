"""forwardAuth: what tests/differential cannot show. Connections, limits, clients that leave, servers that lie."""

import threading

import pytest

from harness.certificates import Authority
from harness.client import Client, request_bytes
from harness.proxy import Plugin, one_router
from harness.tls import server_context
from harness.upstream import response_bytes
from harness.waiting import wait_until


def guarded(url, auth, more=(), **options):
    dynamic = one_router(url, middlewares=["door", *more])
    dynamic["http"]["middlewares"] = {"door": {"forwardAuth": {"address": auth, **options}}}
    return dynamic


def limits(workers=2, **values):
    return {"weir": {"workers": workers, "limits": values}}


def counted(proxy, name):
    return proxy.scrape().value(f"weir_middleware_{name}" + ("" if name == "asking" else "_total"), middleware="door@file")


def kept_bytes(proxy):
    return proxy.scrape().value("weir_kept_bodies_bytes")


def answering(status=200, headers=(), body=b""):
    return lambda connection, request: connection.send(response_bytes(status, headers, body))


@pytest.mark.differs("one worker, so that there is one pool")
def test_connections_are_kept_and_survive_a_reload(upstream, proxy):
    server, auth = upstream(), upstream(answering())
    door = proxy(guarded(server.url, auth.url), static={"weir": {"workers": 1}})
    for _ in range(20):
        assert door.fetch().status == 200
    door.apply(guarded(server.url, auth.url, authResponseHeaders=["X-User"]))
    for _ in range(20):
        assert door.fetch().status == 200
    # Until the new configuration is in effect, the question whether it is comes this way, too.
    assert auth.accepted == 1 and len(auth.requests) >= 40


def test_a_name_is_looked_up(upstream, proxy):
    server, auth = upstream(), upstream(answering(headers=[("X-User", "me")]))
    door = proxy(guarded(server.url, f"http://localhost:{auth.port}/check", authResponseHeaders=["X-User"]))
    assert door.fetch(headers=[("X-User", "forged")]).status == 200
    assert server.last.get("X-User") == "me"


def test_redirects_are_the_clients(upstream, proxy):
    server, auth = upstream(), upstream(answering(307, [("Location", "/login")]))
    door = proxy(guarded(server.url, auth.url))
    answer = door.fetch()
    assert (answer.status, answer.get("Location")) == (307, f"{auth.url}/login")
    assert len(auth.requests) == 1 and not server.requests


def test_a_client_that_leaves_takes_its_question_along(upstream, proxy):
    gone = threading.Event()

    def wait(connection, request):
        if connection.peer_closed(60):
            gone.set()

    server, auth = upstream(), upstream(wait)
    door = proxy(guarded(server.url, auth.url), metrics=True)
    with Client(door.port) as client:
        client.send(request_bytes())
        auth.wait_requests(1)
    assert gone.wait(60) and not server.requests
    wait_until(lambda: counted(door, "asking") == 0, "nobody asks any more", 60)


def test_a_client_that_leaves_in_the_middle_of_its_body(upstream, proxy):
    server, auth = upstream(), upstream(answering())
    door = proxy(guarded(server.url, auth.url, forwardBody=True), metrics=True)
    with Client(door.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        wait_until(lambda: kept_bytes(door) == 4, "the body is read", 60)
    wait_until(lambda: kept_bytes(door) == 0, "the request is over", 60)
    assert not auth.requests and not server.requests


@pytest.mark.differs("limits of weir's own")
def test_bodies_that_drip_keep_nobody_from_asking(upstream, proxy):
    server, auth = upstream(), upstream(answering())
    door = proxy(guarded(server.url, auth.url, forwardBody=True), static=limits(authRequests=1), metrics=True)
    with Client(door.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        wait_until(lambda: kept_bytes(door) == 4, "the body is read", 60)
        assert counted(door, "asking") == 0
        assert door.fetch().status == 200
        client.send(b"body")
        assert client.response("POST").status == 200
    assert server.last.body == b"halfbody"
    assert [counted(door, name) for name in ("asked", "asking", "refused", "failed")] == [2, 0, 0, 0]


@pytest.mark.differs("limits of weir's own")
def test_questions_are_limited(upstream, proxy):
    release = threading.Event()

    def answer(connection, request):
        assert release.wait(60)
        connection.send(response_bytes())

    server, auth = upstream(), upstream(answer)
    door = proxy(guarded(server.url, auth.url), static=limits(authRequests=1), metrics=True)
    with Client(door.port) as first:
        first.send(request_bytes())
        auth.wait_requests(1)
        answer = door.fetch()
        assert (answer.status, answer.get("Retry-After"), answer.body) == (503, "1", b"")
        release.set()
        assert first.response().status == 200
    assert door.fetch().status == 200
    assert [counted(door, name) for name in ("asked", "asking", "refused", "failed")] == [2, 0, 1, 0]


@pytest.mark.differs("limits of weir's own")
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_limited(upstream, proxy, chunked):
    big = b"x" * 5000
    server, auth = upstream(), upstream(lambda c, r: c.send(response_bytes(403, chunks=[big]) if chunked else response_bytes(403, body=big)))
    door = proxy(guarded(server.url, auth.url, forwardBody=True), static=limits(authBody="4096"), metrics=True)
    assert door.fetch().status == 401
    with Client(door.port) as client:
        client.send(request_bytes("POST", chunks=[big]) if chunked else request_bytes("POST", body=big))
        assert client.response("POST").status == 401
    assert len(auth.requests) == 1 and not server.requests
    assert [counted(door, name) for name in ("asked", "asking", "refused", "failed")] == [1, 0, 2, 0]


@pytest.mark.differs("limits of weir's own")
def test_bodies_have_no_more_room_than_all_together(upstream, proxy):
    big = b"x" * 300_000
    server, auth = upstream(), upstream(answering(403, body=big))
    door = proxy(guarded(server.url, auth.url, forwardBody=True), static=limits(keptBodies="200000"))
    for _ in range(3):
        answer = door.fetch()
        assert (answer.status, answer.get("Retry-After")) == (503, "1")
        assert door.fetch(method="POST", body=big).status == 503
    assert len(auth.requests) == 3 and not server.requests


def test_bodies_that_do_not_fit_into_memory_are_kept_whole(upstream, proxy):
    """Beyond a mebibyte they are in a file, which two read: the one that decides and the one that serves."""
    body = bytes(i * 7 % 251 for i in range(3_000_000))
    server, auth = upstream(), upstream(answering())
    door = proxy(guarded(server.url, auth.url, forwardBody=True))
    assert door.fetch(method="POST", body=body).status == 200
    assert auth.last.body == body and server.last.body == body


def test_a_big_refusal_arrives_whole_at_a_slow_client(upstream, proxy):
    body = bytes(i * 7 % 251 for i in range(3_000_000))
    server, auth = upstream(), upstream(answering(403, body=body))
    door = proxy(guarded(server.url, auth.url))
    assert door.fetch().body == body


@pytest.mark.parametrize("garbage", [b"", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n"])
def test_whoever_lies_lets_nobody_pass(upstream, proxy, garbage):
    def lie(connection, request):
        connection.send(garbage)
        connection.close()

    server, auth = upstream(), upstream(lie)
    door = proxy(guarded(server.url, auth.url), metrics=True)
    for _ in range(3):
        assert door.fetch().status == 500
    assert not server.requests
    assert (counted(door, "asked"), counted(door, "failed")) == (3, 3)


def test_a_dead_server_lets_nobody_pass(upstream, proxy):
    server, auth = upstream(), upstream(answering())
    door = proxy(guarded(server.url, auth.url))
    assert door.fetch().status == 200
    auth.kill()
    assert door.fetch().status == 500
    assert len(server.requests) == 1


def test_a_header_that_cannot_be_kept_is_no_way_around(upstream, proxy):
    """An answer that fills the memory of an exchange."""
    many = [(f"X-User-{i}", "x" * 1000) for i in range(90)]
    server, auth = upstream(), upstream(answering(headers=many))
    door = proxy(guarded(server.url, auth.url, authResponseHeadersRegex="^X-"), static=limits(exchangeMemory="65536"))
    assert door.fetch().status >= 500
    assert not server.requests


def test_a_guest_in_front_and_one_behind(upstream, proxy):
    """Each sees the request as it passes there, with the user that was found out in between."""
    server, auth = upstream(), upstream(answering(headers=[("X-User", "me")]))
    dynamic = guarded(server.url, auth.url, ["m"], authResponseHeaders=["X-User"], authRequestHeaders=["X-Guest", "X-Early"])
    dynamic["http"]["middlewares"] |= {"m": {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}}
    dynamic["http"]["routers"]["r"]["middlewares"] = ["m", "door"]
    door = proxy(dynamic, plugins={"header": Plugin("header")})
    assert door.fetch().get("X-Answer") == "2"
    assert (auth.last.get("X-Guest"), server.last.get("X-Guest"), server.last.get("X-User")) == ("1", "1", "me")


@pytest.mark.parametrize("options, text", [({"tls": {"cert": "x"}}, "expected both"), ({"tls": {"ca": "missing.pem"}}, "tls.ca"), ({"auth": ""}, "address"), ({"auth": "ftp://x"}, "expected http or https"), ({"auth": "ftp://me:open&sesame@x"}, "ftp://xxxx@x"), ({"authResponseHeadersRegex": "("}, "authResponseHeadersRegex"),
                                           ({"authSigninURL": "/a\nb"}, "authSigninURL")])
def test_what_cannot_work_is_said_and_lets_nobody_pass(upstream, proxy, options, text):
    server = upstream()
    door = proxy(guarded(server.url, **{"auth": "http://127.0.0.1:1", **options}))
    assert door.fetch().status == 404
    assert text in door.log() and "sesame" not in door.log()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_https(upstream, proxy, ca, tmp_path_factory):
    """Whom weir believes, and what it shows of itself; a change of the authority takes effect with a reload."""
    clients = Authority(tmp_path_factory.mktemp("clients"), "clients")
    mine = clients.issue("mine")
    server, auth = upstream(), upstream(answering(headers=[("X-User", "me")]), tls=server_context(ca.issue("server", "IP:127.0.0.1"), clients=clients))
    known = {"ca": str(ca.file), "cert": mine.pair["certFile"], "key": mine.pair["keyFile"]}
    door = proxy(guarded(server.url, auth.url, tls=known, authResponseHeaders=["X-User"]), static={"weir": {"workers": 1}})
    for _ in range(5):
        assert door.fetch(target="/x").status == 200
    assert server.last.get("X-User") == "me" and auth.accepted == 1
    for tls in ({}, {"ca": str(clients.file), "cert": known["cert"], "key": known["key"]}, {"ca": known["ca"]}):
        door.apply(guarded(server.url, auth.url, tls=tls or {"insecureSkipVerify": True}))
        assert door.fetch(target="/x").status == 500
    door.apply(guarded(server.url, auth.url))
    assert door.fetch(target="/x").status == 500
    # Others are of whoever waits for the new configuration.
    assert [sum(request.get("X-Forwarded-Uri") == "/x" for request in auth.requests), sum(request.target == "/x" for request in server.requests)] == [5, 5]
    door.apply(guarded(server.url, auth.url, tls={"insecureSkipVerify": True, "cert": known["cert"], "key": known["key"]}))
    assert door.fetch(target="/x").status == 200


def test_the_user_is_in_the_access_log(upstream, proxy):
    server, auth = upstream(), upstream(answering(headers=[("x-user", "Me Myself")]))
    door = proxy(guarded(server.url, auth.url, headerField="X-User"), static={"accessLog": {"format": "json"}})
    assert door.fetch(target="/logged").status == 200
    wait_until(lambda: '"ClientUsername":"Me Myself"' in door.log(), lambda: door.log(), 15)
