"""Middlewares that need only heads: what tests/differential cannot show, and hostile input."""

import base64
import contextlib
import hashlib
import math
import random
import re
import select
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.client import Client, request_bytes
from harness.proxy import one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

# Of "secret"; the dear one keeps a thread busy for a moment.
CHEAP = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
DEAR = "$2b$12$abcdefghijklmnopqrstuuT1Iwu6o8Wx7BoOyIMHfgVJq6JO/IJhW"
VERY_DEAR = "$2b$14$abcdefghijklmnopqrstuug2/T3netL3BPRcnafSaAr9lEfTNoLyC"


def with_middlewares(url, **middlewares):
    dynamic = one_router(url, middlewares=list(middlewares))
    dynamic["http"]["middlewares"] = middlewares
    return dynamic


def basic(user="me", password="secret"):
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


def guarded(url, secret, **users):
    lines = [f"{name}:{value}" for name, value in {"me": secret, **users}.items()]
    return with_middlewares(url, door={"basicAuth": {"users": lines, "headerField": "X-User"}})


def limits(**values):
    return {"weir": {"workers": 2, "limits": values}}


@pytest.mark.differs("limits of weir's own")
def test_the_same_password_is_checked_once(upstream, proxy):
    """One check at a time is allowed: whoever could not follow it would get 503."""
    server = upstream()
    door = proxy(guarded(server.url, DEAR), static=limits(passwordChecks=1))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: door.fetch(headers=basic()).status, range(16)))
    assert answers == [200] * 16
    assert server.last.get("X-User") == "me"


@pytest.mark.differs("limits of weir's own")
def test_checks_are_limited_and_known_passwords_pass(upstream, proxy):
    server = upstream()
    door = proxy(guarded(server.url, CHEAP, dear=VERY_DEAR), static=limits(passwordChecks=1), metrics=True)
    assert door.fetch(headers=basic()).status == 200
    with Client(door.port) as one, Client(door.port) as other:
        # Whichever comes first is checked. Each wrong password is another one.
        for client in (one, other):
            client.send(request_bytes(headers=basic("dear", str(random.random()))))
        ready, _, _ = select.select([one.sock, other.sock], [], [], 60)
        refused, checked = (one, other) if ready == [one.sock] else (other, one)
        answer = refused.response()
        assert answer.status == 503
        assert answer.get("Retry-After") == "1"
        assert door.fetch(headers=basic()).status == 200
        assert door.scrape().value("weir_middleware_refused_total", middleware="door@file") == 1
        assert checked.response().status == 401


@pytest.mark.differs("limits of weir's own")
@pytest.mark.parametrize("kind, line", [("basicAuth", "user-%d:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"),
                                        ("digestAuth", "user-%d:traefik:a2688e031edb4be6a3797f3882655c05")])
def test_files_of_users_are_limited(upstream, proxy, tmp_path, kind, line):
    """A file that is too long disables the router, and says which option allows more."""
    server = upstream()
    for count, status in ((10, 401), (100, 404)):
        users = tmp_path / f"users-{count}"
        users.write_text("".join(line % i + "\n" for i in range(count)))
        door = proxy(with_middlewares(server.url, door={kind: {"usersFile": str(users)}}), static=limits(usersFile=1000))
        assert door.fetch().status == status
        assert ("usersFile" in door.log() and "weir.limits.usersFile" in door.log()) == (status == 404)


def test_clients_that_leave_while_their_password_is_checked(upstream, proxy):
    """The check goes on without them, and what waits for it must not be freed."""
    server = upstream()
    door = proxy(guarded(server.url, DEAR))
    for _ in range(10):
        with Client(door.port) as client:
            client.send(request_bytes(headers=basic()))
    with Client(door.port) as client:
        client.send(request_bytes(headers=basic("me", "wrong")))
    assert door.fetch(headers=basic()).status == 200


def test_names_are_looked_up_while_passwords_are_checked(upstream, proxy):
    """Whoever sends wrong passwords holds up other passwords only."""
    server, count = upstream(), 12
    dynamic = guarded(server.url, VERY_DEAR)
    dynamic["http"]["routers"]["named"] = {"rule": "Path(`/named`)", "service": "named", "priority": 1000}
    dynamic["http"]["services"]["named"] = {"loadBalancer": {"servers": [{"url": f"http://localhost:{server.port}"}]}}
    door = proxy(dynamic)
    with contextlib.ExitStack() as stack:
        clients = [Client(door.port) for _ in range(count)]
        for client in clients:
            stack.callback(client.reset)
        for i, client in enumerate(clients):
            client.send(request_bytes(headers=basic("me", str(i))))
        assert door.fetch(target="/named").status == 200
        answered, _, _ = select.select([client.sock for client in clients], [], [], 0)
        assert len(answered) < count // 2


def test_a_password_is_checked_across_a_reload(upstream, proxy):
    server = upstream()
    door = proxy(guarded(server.url, VERY_DEAR))
    with Client(door.port) as client:
        client.send(request_bytes(headers=basic()))
        door.apply(guarded(server.url, CHEAP))
        assert door.fetch(headers=basic("me", "wrong")).status == 401
        assert client.response().status == 200


def test_passwords_removed_by_a_reload_do_not_pass(upstream, proxy):
    server = upstream()
    door = proxy(guarded(server.url, CHEAP, other=CHEAP))
    assert door.fetch(headers=basic("other")).status == 200
    door.apply(guarded(server.url, CHEAP))
    assert door.fetch(headers=basic("other")).status == 401


def test_nonces_of_content_security_policies(upstream, proxy):
    server = upstream()
    policies = {"contentSecurityPolicy": "script-src $NONCE 'self' $NONCE", "contentSecurityPolicyReportOnly": "style-src $NONCE"}
    safe = proxy(with_middlewares(server.url, safe={"headers": policies}))
    seen = set()
    for _ in range(5):
        answer = safe.fetch()
        found = re.fullmatch(r"script-src 'nonce-([A-Za-z0-9+/]{22})' 'self' 'nonce-\1'", answer.get("Content-Security-Policy"))
        assert found and answer.get("Content-Security-Policy-Report-Only") == f"style-src 'nonce-{found[1]}'"
        seen.add(found[1])
    assert len(seen) == 5


@pytest.mark.differs("limits of weir's own")
def test_nonces_of_digests_are_limited(upstream, proxy):
    """Challenges that nobody answers push each other out, not those in use before a client has come back."""
    server = upstream()
    door = proxy(with_middlewares(server.url, door={"digestAuth": {"users": ["me:traefik:00000000000000000000000000000000"]}}), static=limits(digestNonces=10), metrics=True)
    nonces = {re.search(r'nonce="([^"]+)"', door.fetch().get("Www-Authenticate"))[1] for _ in range(50)}
    assert len(nonces) == 50
    assert door.scrape().value("weir_middleware_evicted_total", middleware="door@file") >= 40


def test_content_types_do_not_hold_back_what_streams(upstream, proxy):
    """A first piece too short to fill the window goes on before the second one is sent."""
    released = threading.Event()

    def trickle(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n")
        released.wait(60)
        connection.send(b"3\r\nabc\r\n0\r\n\r\n")

    server = upstream(trickle)
    guess = proxy(with_middlewares(server.url, guess={"contentType": {}}))
    with Client(guess.port) as client:
        client.send(request_bytes())
        assert b"Content-Type: text/html; charset=utf-8\r\n" in client.sock.recv(65536)
        released.set()


def test_requests_in_flight_are_counted_by_source(upstream, proxy):
    """Every one of them is counted until its response is out, whichever worker has it, and also if its client leaves."""
    released = threading.Event()

    def wait(connection, request):
        if request.target == "/slow":
            released.wait(60)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(wait)
    few = proxy(with_middlewares(server.url, few={"inFlightReq": {"amount": 3, "sourceCriterion": {"requestHeaderName": "X-Who"}}}))
    who = [("X-Who", "me")]
    busy = [Client(few.port) for _ in range(3)]
    for client in busy:
        client.send(request_bytes("GET", "/slow", who))
    wait_until(lambda: len(server.requests) == 3, "three requests have arrived")
    answer = few.fetch(headers=who)
    assert (answer.status, answer.body) == (429, b"max connections reached: 3")
    assert few.fetch(headers=[("X-Who", "you")]).status == 200
    assert few.fetch().status == 200
    busy.pop().close()
    wait_until(lambda: few.fetch(headers=who).status == 200, "the place of the one that left is free")
    released.set()
    assert [client.response().status for client in busy] == [200, 200]
    for client in busy:
        client.close()
    assert all(few.fetch(headers=who).status == 200 for _ in range(10))


@pytest.mark.differs("a reload forgets")
def test_requests_in_flight_stay_counted_over_a_reload(upstream, proxy):
    """What was begun under the old configuration counts in the new one, unless the options have changed."""
    released = threading.Event()

    def wait(connection, request):
        if request.target == "/slow":
            released.wait(60)
        connection.send(response_bytes(body=b"ok"))

    server = upstream(wait)

    def configured(amount, **router):
        dynamic = with_middlewares(server.url, few={"inFlightReq": {"amount": amount}})
        dynamic["http"]["routers"]["other"] = {"rule": "Path(`/other`)", "service": next(iter(dynamic["http"]["services"])), **router}
        return dynamic

    few = proxy(configured(2))
    busy = [Client(few.port) for _ in range(2)]
    for client in busy:
        client.send(request_bytes("GET", "/slow"))
    wait_until(lambda: len(server.requests) == 2, "two requests have arrived")
    for priority in (5, 6):
        few.apply(configured(2, priority=priority))
        assert few.fetch().status == 429
    few.apply(configured(3))
    assert few.fetch().status == 200
    few.apply(configured(2))
    assert few.fetch().status == 429
    released.set()
    assert [client.response().status for client in busy] == [200, 200]
    wait_until(lambda: few.fetch().status == 200, "both places are free")
    for client in busy:
        client.close()


def digest_answer(challenge, count, user="me", secret="0" * 32):
    """The Authorization line that answers a challenge for GET /."""
    realm, nonce, opaque = (re.search(f'{name}="([^"]+)"', challenge)[1] for name in ("realm", "nonce", "opaque"))
    second = hashlib.md5(b"GET:/").hexdigest()
    response = hashlib.md5(f"{secret}:{nonce}:{count:08x}:c:auth:{second}".encode()).hexdigest()
    return [("Authorization", f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="/", qop=auth, nc={count:08x}, cnonce="c", response="{response}", opaque="{opaque}"')]


@pytest.mark.differs("a reload forgets")
def test_nonces_outlive_a_reload(upstream, proxy):
    """And none can be used a second time because of it."""
    server = upstream()
    dynamic = with_middlewares(server.url, door={"digestAuth": {"users": [f"me:traefik:{'0' * 32}"]}})
    door = proxy(dynamic)
    challenge = door.fetch().get("Www-Authenticate")
    assert door.fetch(headers=digest_answer(challenge, 1)).status == 200
    dynamic["http"]["routers"]["other"] = {"rule": "Path(`/other`)", "service": next(iter(dynamic["http"]["services"]))}
    door.apply(dynamic)
    assert door.fetch(headers=digest_answer(challenge, 1)).status == 401
    assert door.fetch(headers=digest_answer(challenge, 2)).status == 200
    dynamic["http"]["middlewares"]["door"]["digestAuth"]["headerField"] = "X-User"
    door.apply(dynamic)
    assert door.fetch(headers=digest_answer(challenge, 3)).status == 401


RATE = {"average": 1, "period": "1h", "burst": 20, "sourceCriterion": {"requestHeaderName": "X-Who"}}


def rated(limited, who, count, threads=8):
    """Statuses of so many requests at once."""
    with ThreadPoolExecutor(threads) as pool:
        return sorted(pool.map(lambda _: limited.fetch(headers=[("X-Who", who)]).status, range(count)))


@pytest.mark.differs("a reload forgets")
def test_rates_are_shared_by_workers_and_outlive_a_reload(upstream, proxy):
    """A source gets what it is allowed and no request more, whichever worker it comes to; others are not touched."""
    server = upstream()
    dynamic = with_middlewares(server.url, slow={"rateLimit": RATE})
    limited = proxy(dynamic, static={"weir": {"workers": 4}})
    assert rated(limited, "me", 60) == [200] * 20 + [429] * 40
    assert rated(limited, "you", 10) == [200] * 10
    dynamic["http"]["routers"]["other"] = {"rule": "Path(`/other`)", "service": next(iter(dynamic["http"]["services"]))}
    limited.apply(dynamic)
    assert rated(limited, "me", 10) == [429] * 10
    assert rated(limited, "you", 20) == [200] * 10 + [429] * 10
    dynamic["http"]["middlewares"]["slow"]["rateLimit"] = {**RATE, "burst": 5}
    limited.apply(dynamic)
    assert rated(limited, "me", 10) == [200] * 5 + [429] * 5


def test_who_is_refused_learns_when_to_come_again(upstream, proxy):
    """In whole seconds, rounded up, and exactly, as Go writes durations."""
    limited = proxy(with_middlewares(upstream().url, slow={"rateLimit": {"average": 1, "period": "1h"}}))
    assert limited.fetch().status == 200
    answer = limited.fetch()
    assert (answer.status, answer.body) == (429, b"Too Many Requests")
    minutes, seconds = re.fullmatch(r"(\d+)m(\d+(?:\.\d{1,9})?)s", answer.get("X-Retry-In")).groups()
    left = int(minutes) * 60 + float(seconds)
    assert 3500 < left < 3600
    assert int(answer.get("Retry-After")) == math.ceil(left)


@pytest.mark.differs("limits of weir's own")
def test_sources_of_rates_are_limited(upstream, proxy):
    """The one that was not seen for the longest time is forgotten, whatever the names are."""
    server = upstream()
    limited = proxy(with_middlewares(server.url, slow={"rateLimit": {**RATE, "burst": 1}}), static=limits(rateLimitSources=10), metrics=True)

    def ask(who):
        return limited.fetch(headers=[("X-Who", who)]).status

    assert [ask(f"{i}{'x' * 1000}") for i in range(10)] == [200] * 10
    assert [ask(f"{i}{'x' * 1000}") for i in range(10)] == [429] * 10
    assert [ask("new"), ask("new")] == [200, 429]
    assert [ask(f"9{'x' * 1000}"), ask(f"0{'x' * 1000}")] == [429, 200]
    m = limited.scrape()
    assert [m.value(f"weir_middleware_{name}", middleware="slow@file") for name in ("sources", "evicted_total", "refused_total")] == [10, 2, 12]


def test_a_client_leaves_while_it_waits_for_its_turn(upstream, proxy):
    """Half a second is the longest wait; nothing is left of the exchange, and others go on."""
    server = upstream()
    limited = proxy(with_middlewares(server.url, slow={"rateLimit": {"average": 20, "period": "10s", "burst": 1}}))
    for _ in range(20):
        with Client(limited.port) as client:
            client.send(request_bytes() * 2)
    wait_until(lambda: limited.fetch().status == 200, "there is a token again")


@pytest.mark.differs("headers-invalid")
@pytest.mark.parametrize("host", ["a b", "a/b", "ä", "a@b", "a\tb"])
def test_a_host_that_is_none(upstream, proxy, host):
    server = upstream()
    http = {"routers": {"bad": {"rule": "Host(`bad.example`)", "service": "s", "middlewares": ["bad"]}, "good": {"rule": "Host(`good.example`)", "service": "s", "middlewares": ["good"]}},
            "middlewares": {"bad": {"headers": {"customRequestHeaders": {"host": host}}}, "good": {"headers": {"customRequestHeaders": {"Host": "[::1]:8_~%20"}}}}, "services": {"s": {"loadBalancer": {"servers": [{"url": server.url}]}}}}
    p = proxy({"http": http})
    assert p.fetch(host="good.example").status == 200
    assert server.last.get("Host") == "[::1]:8_~%20"
    assert p.fetch(host="bad.example").status == 404
    p.wait_log("is not a host")


@pytest.mark.parametrize(("coding", "kind"), [("gzip", "text/html; charset=utf-8"), ("br", None)])
def test_types_of_packed_bodies_are_guessed_before(upstream, proxy, coding, kind):
    server = upstream(lambda connection, request: connection.send(response_bytes(body=b"<html>" * 1000)))
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "middlewares": ["guess", "pack"]}, "off": {"rule": "Path(`/off`)", "priority": 100, "service": "s", "middlewares": ["off", "pack"]}},
                        "middlewares": {"guess": {"contentType": {}}, "off": {"contentType": {"autoDetect": False}}, "pack": {"compress": {}}}, "services": {"s": {"loadBalancer": {"servers": [{"url": server.url}]}}}}})
    answer = p.fetch(headers=[("Accept-Encoding", coding)])
    assert (answer.get("Content-Encoding"), answer.get("Content-Type")) == (coding, kind)
    assert p.fetch(target="/off", headers=[("Accept-Encoding", coding)]).get("Content-Type") is None


@pytest.mark.parametrize(("replacement", "url"), [("", "http%3A%2F%2Fh.example"), ("a", "http%3A%2F%2Fh.example%2Fa"), ("/a", "http%3A%2F%2Fh.example%2Fa")])
def test_urls_in_queries_of_pages(upstream, proxy, replacement, url):
    server = upstream(lambda connection, request: connection.send(response_bytes(404, reason="Not Found")))
    p = proxy({"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "middlewares": ["path", "page"]}},
                        "middlewares": {"path": {"replacePathRegex": {"regex": ".*", "replacement": replacement}}, "page": {"errors": {"status": ["404"], "service": "s", "query": "/{url}"}}},
                        "services": {"s": {"loadBalancer": {"servers": [{"url": server.url}]}}}}})
    p.fetch(target="/x", host="h.example")
    p.fetch(target="/x?q", host="h.example")
    assert [request.start_line for request in server.requests[1::2]] == [f"GET /{url}{query} HTTP/1.1" for query in ("", "%3Fq")]


HOSTILE = {
    "rate": {"rateLimit": {"average": 1000, "burst": 2, "sourceCriterion": {"ipStrategy": {"depth": 1}}}},
    "strip": {"stripPrefixRegex": {"regex": ["^/(a|aa)+", "^/[^/]*"]}}, "replace": {"replacePathRegex": {"regex": "(.*)(.*)(.*)", "replacement": "/$1$1$2$3x"}}, "add": {"addPrefix": {"prefix": "/%2F é?#"}},
    "list": {"ipAllowList": {"sourceRange": ["0.0.0.0/0", "::/0"], "ipStrategy": {"depth": 1}}}, "cors": {"headers": {"accessControlAllowOriginListRegex": ["(x+x+)+y"], "accessControlAllowCredentials": True, "addVaryHeader": True, "frameDeny": True,
                                                                                                     "customRequestHeaders": {"X-A": "", "Host": "h"}, "customResponseHeaders": {"X-B": "", "Vary": ""}}},
    "basic": {"basicAuth": {"users": ["me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", f"you:{CHEAP}"]}}, "digest": {"digestAuth": {"users": ["me:traefik:0"]}}, "scheme": {"redirectScheme": {"scheme": "https"}},
    "redirect": {"redirectRegex": {"regex": "(.*)", "replacement": "$1$1#$1"}}, "type": {"contentType": {}},
    "flight": {"inFlightReq": {"amount": 5, "sourceCriterion": {"ipStrategy": {"depth": 2, "ipv6Subnet": 64}}}},
}
PIECES = ["/", "%2f", "%00", "%0d%0a", "%", "..", "a" * 50, "aa", "x" * 200, "y", ";", "?", "&", "#", "\\", '"', "=", ",", ":", "@", "[", "]", " ", "\t", "é", "Basic ", "Digest ", 'nc=', 'uri="', "::", "%25", "{", "$1"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests(upstream, proxy, name):
    """Whatever is asked, there is an answer and the next request is served."""
    chance = random.Random(name)
    answer = response_bytes(headers=[("Vary", "x" * 1000), ("X-B", "1")], body=b"\0" * 600)
    server = upstream(lambda connection, request: connection.send(answer))
    one = proxy(with_middlewares(server.url, one=HOSTILE[name]), static={"entryPoints": {"web": {"forwardedHeaders": {"insecure": True}, "http": {"sanitizePath": False}}}})

    def some(most):
        return "".join(chance.choice(PIECES) for _ in range(chance.randint(0, most)))

    for _ in range(150):
        secret = base64.b64encode(some(6).encode()).decode()
        headers = [(header, some(8).replace("\n", "")) for header in ("Origin", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto", "Access-Control-Request-Method", "Access-Control-Request-Headers")]
        headers += [("Authorization", f"Basic {secret}")] if chance.random() < 0.5 else []
        chance.shuffle(headers)
        target = "/" + some(20).replace(" ", "").replace("\t", "").replace("é", "")
        with Client(one.port) as client:
            method = chance.choice(["GET", "OPTIONS", "HEAD", "POST"])
            client.send(request_bytes(method, target, headers))
            assert 200 <= client.response(method).status < 600
    assert one.running
