"""The API and the provider rest where weir has limits of its own, or more to say; the rest is compared with Traefik."""

import hashlib
import io
import json
import select
import tarfile
import threading

import pytest

from harness.client import Client, fetch, request_bytes
from harness.guests import guest
from harness.proxy import Plugin, merge, one_router, servers
from harness.unread import Unread
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("weir's own limits and objects")

API = {"api": {"insecure": True, "dashboard": False}}
REST = {"providers": {"rest": {"insecure": True}}}


def with_api(proxy, dynamic, static=None, **options):
    return proxy(dynamic, static=merge(API, static or {}), metrics=True, **options)


def get(p, target, **options):
    return fetch(p.ports["traefik"], target=target, **options)


def read(p, target):
    response = get(p, target)
    assert response.status == 200, response.body
    return json.loads(response.body)


def put(p, body, **options):
    return fetch(p.ports["traefik"], "PUT", "/api/providers/rest", body=json.dumps(body).encode(), **options)


def many(count):
    return {"http": {"routers": {f"r{i}": {"rule": f"Host(`h{i}.test`)", "service": "s"} for i in range(count)},
                     "services": {"s": servers("http://127.0.0.1:1")}}}


def test_what_only_weir_knows(upstream, proxy):
    server = upstream()
    p = with_api(proxy, one_router(server.url, plugin={"guest": {}}), plugins={"guest": Plugin("header")})
    assert p.fetch().status == 200
    name, middleware = next((name, each) for name, each in read(p, "/api/rawdata")["middlewares"].items() if "plugin" in each)
    known = middleware["weir"]
    assert known["content"] == hashlib.sha256(guest("header")).hexdigest()
    assert known["configurations"] == 1 and known["instances"] >= 1 and known["memoryBytes"] > 0
    assert read(p, f"/api/http/middlewares/{name}")["weir"]["content"] == known["content"]
    before = read(p, "/api/overview")["weir"]
    assert before["generation"] == read(p, "/api/rawdata")["weir"]["generation"] and before["workers"] >= 1
    p.apply(one_router(server.url, plugin={"guest": {"other": 1}}))
    after = read(p, "/api/overview")["weir"]
    assert after["generation"] == before["generation"] + 1 and after["version"] == before["version"]


def test_a_plugin_that_goes_on_as_it_was_is_a_warning(upstream, proxy):
    server = upstream()
    p = with_api(proxy, one_router(server.url, plugin={"trap": {"phase": "request"}}), plugins={"trap": Plugin("trap")})
    p.apply(one_router(server.url, plugin={"trap": {"phase": "init"}}))
    [middleware] = read(p, "/api/http/middlewares?status=warning")
    assert len(middleware["error"]) == 1 and "error instantiating guest" in middleware["error"][0]
    assert not read(p, "/api/http/routers?status=disabled")


def test_the_support_dump_tells_no_secrets(proxy):
    """It is made to be given away: hashes, keys, users in URLs and what plugins are told stay here."""
    dynamic = {"http": {
        "routers": {"r": {"rule": "Host(`a.test`)", "service": "s", "middlewares": ["basic", "guest"]}},
        "middlewares": {"basic": {"basicAuth": {"users": ["a:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]}},
                        "digest": {"digestAuth": {"users": ["a:traefik:a2688e031edb4be6a3797f3882655c05"]}},
                        "asked": {"forwardAuth": {"address": "http://me:open-sesame@127.0.0.1:1/auth?a=b"}},
                        "guest": {"plugin": {"guest": {"token": "open-sesame"}}}},
        "services": {"s": servers("http://you:open-sesame@127.0.0.1:1/x@y")}}}
    p = with_api(proxy, dynamic, plugins={"guest": Plugin("header")})
    with tarfile.open(fileobj=io.BytesIO(get(p, "/api/support-dump").body), mode="r:gz") as files:
        shown = {each.name: files.extractfile(each).read().decode() for each in files}
    runtime = json.loads(shown["runtime-config.json"])
    assert not [word for word in ("open-sesame", "IgXLP6ewTrSuBkTrqE8wj", "a2688e031edb4be6a3797f3882655c05") if word in "".join(shown.values())]
    assert runtime["middlewares"]["asked@file"]["forwardAuth"]["address"] == "http://xxxx@127.0.0.1:1/auth?a=b"
    assert runtime["middlewares"]["guest@file"]["plugin"] == {"guest": "xxxx"}
    assert runtime["services"]["s@file"]["loadBalancer"]["servers"] == [{"url": "http://xxxx@127.0.0.1:1/x@y"}]
    assert json.loads(shown["static-config.json"])["api"]["insecure"] is True
    assert json.loads(shown["version.json"])["version"] == read(p, "/api/version")["Version"]


@pytest.mark.parametrize("password", ["open&sesame", "-._:~!$&'()*+,;=%@sesame", "open/sesame", "open<sesame>", "open\"sesame"])
def test_the_support_dump_hides_users_whatever_json_does_with_them(proxy, password):
    """In configurations, in states of servers, in errors; in URLs that cannot be parsed as well."""
    p = with_api(proxy, {"http": {
        "routers": {name: {"rule": f"Path(`/{name}`)", "service": name, "middlewares": ["asked"]} for name in ("a", "b", "c")},
        "middlewares": {"asked": {"forwardAuth": {"address": f"ftp://me:{password}@h/auth"}}},
        "services": {"a": servers(f"http://me:{password}@127.0.0.1:1/"), "b": servers(f"ftp://me:{password}@127.0.0.1:1/"),
                     "c": {"loadBalancer": {"servers": [{"url": f"http://me:{password}@127.0.0.1:1/"}], "serversTransport": "none",
                                            "healthCheck": {"path": "/", "headers": {"X-Token": "sesame"}}}}}}},
                 {"providers": {"http": {"endpoint": "http://me:open&sesame@127.0.0.1:1/"}}})
    with tarfile.open(fileobj=io.BytesIO(get(p, "/api/support-dump").body), mode="r:gz") as files:
        shown = {each.name: json.loads(files.extractfile(each).read()) for each in files}
    runtime = shown["runtime-config.json"]
    for text in (json.dumps(shown, ensure_ascii=False), p.log()):
        assert "sesame" not in text and "me:" not in text.replace("name:", "")
    assert runtime["services"]["a@file"]["loadBalancer"]["servers"] == [{"url": "http://xxxx@127.0.0.1:1/"}]
    assert runtime["services"]["c@file"]["loadBalancer"]["healthCheck"]["headers"] == {"X-Token": "xxxx"}
    assert runtime["middlewares"]["asked@file"]["forwardAuth"]["address"] == "ftp://xxxx@h/auth"
    assert shown["static-config.json"]["providers"]["http"]["endpoint"] == "http://xxxx@127.0.0.1:1/"


def test_a_support_dump_beyond_the_limit_is_not_sent(proxy):
    p = with_api(proxy, many(500), {"weir": {"limits": {"apiAnswer": "64KiB"}}})
    assert get(p, "/api/support-dump").status == 500
    assert p.scrape().value("weir_api_failed_total") == 1


def test_there_is_no_dashboard(upstream, proxy):
    p = with_api(proxy, one_router(upstream().url), {"api": {"dashboard": True}})
    for target in ("/dashboard/", "/dashboard", "/dashboard/app.js"):
        response = get(p, target)
        assert response.status == 404
    assert p.log().count("weir has no dashboard") == 1


def test_no_dashboard_says_so_where_a_router_leads(proxy):
    dynamic = {"http": {"routers": {"d": {"rule": "PathPrefix(`/dashboard`)", "service": "dashboard@internal"},
                                    "a": {"rule": "Host(`api.test`)", "service": "api@internal"}}}}
    p = with_api(proxy, dynamic, {"api": {"dashboard": True}})
    for host in ("x.test", "api.test"):
        response = fetch(p.port, target="/dashboard/", host=host)
        assert response.status == 404 and response.body.startswith(b"weir has no dashboard")


def test_base_path(proxy):
    p = with_api(proxy, many(1), {"api": {"basePath": "/inner"}})
    assert read(p, "/inner/api/rawdata")["routers"]["api@internal"]["rule"] == "PathPrefix(`/inner/api`)"
    assert get(p, "/api/rawdata").status == 404


def test_an_answer_that_is_too_long(proxy):
    p = with_api(proxy, many(1000), {"weir": {"limits": {"apiAnswer": "64KiB"}}})
    assert get(p, "/api/rawdata").status == 500
    assert len(read(p, "/api/http/routers?per_page=50")) == 50
    assert p.scrape().value("weir_api_failed_total") == 1


def test_other_requests_do_not_wait_for_answers(upstream, proxy):
    """One worker, and more to write than it could between two requests: plain ones overtake."""
    dynamic = merge(many(10000), one_router(upstream().url))
    p = with_api(proxy, dynamic, {"weir": {"workers": 1, "limits": {"apiAnswer": "1GiB"}}})
    waiting = 40
    clients = [Client(p.ports["traefik"], timeout_s=120).__enter__() for _ in range(waiting)]
    try:
        for client in clients:
            client.send(request_bytes(target="/api/rawdata"))
        assert p.fetch().status == 200
        assert p.scrape().value("weir_api_answered_total") < waiting
        for client in clients:
            response = client.response()
            assert response.status == 200 and len(json.loads(response.body)["routers"]) >= 10001
    finally:
        for client in clients:
            client.__exit__(None, None, None)


def test_clients_that_leave(proxy):
    """While their answer waits, is written, is sent."""
    p = with_api(proxy, many(2000))
    for _ in range(50):
        with Client(p.ports["traefik"]) as client:
            client.send(request_bytes(target="/api/rawdata") * 2)
    wait_until(lambda: p.scrape().value("weir_exchanges_live") <= 1, "their exchanges have ended", 60)
    assert len(read(p, "/api/rawdata")["routers"]) >= 2000


def test_clients_that_do_not_read(proxy):
    """Their answers take memory: from a limit on others are refused, until they leave."""
    p = with_api(proxy, many(200), {"weir": {"limits": {"apiAnswer": "256KiB"}}})
    with Unread(p.ports["traefik"]) as client:
        for _ in range(30):
            client.ask("/api/rawdata")
        assert get(p, "/api/rawdata").status == 503
        assert p.scrape().value("weir_api_refused_total") >= 1
        p.apply(many(201))
        wait_until(lambda: p.scrape().value("weir_config_generations_live") == 1, "they hold no old configuration")
    wait_until(lambda: get(p, "/api/rawdata").status == 200, "they have gone")


def test_before_there_is_a_configuration(proxy):
    """The process's own routers serve without any, and rest brings one."""
    p = proxy(many(1), start=False, metrics=True,
              static={**API, "providers": {"rest": {"insecure": True}, "file": {"filename": "later.yml"}}})
    p.start(wait=False)
    p.wait_listening()
    wait_until(lambda: get(p, "/api/rawdata").status == 200, "the API is there")
    assert sorted(read(p, "/api/rawdata")["routers"]) == ["api@internal", "prometheus@internal", "rest@internal"]
    assert put(p, {"http": {"routers": {"put": {"rule": "Host(`put.test`)", "service": "s"}}, "services": {"s": servers()}}}).status == 200
    wait_until(lambda: fetch(p.port, host="put.test").status == 503, "it is served")


def test_rest_serves(upstream, proxy):
    server = upstream()
    p = with_api(proxy, many(1), REST)
    whole = {"http": {"routers": {"put": {"rule": "Host(`put.test`)", "service": "y"}}, "services": {"y": servers(server.url)}}}
    assert put(p, whole).status == 200
    wait_until(lambda: fetch(p.port, host="put.test").status == 200, "it is served")
    assert put(p, whole, host="other").status == 200
    assert fetch(p.ports["traefik"], "PUT", "/api/providers/rest", body=b"{").status == 400
    assert fetch(p.port, host="put.test").status == 200
    assert fetch(p.ports["traefik"], "PUT", "/api/providers/rest", chunks=[b'{"http": {"routers"', b': {"put": {"rule": "Host(`new.test`)", "service": "s@file"}}}}']).status == 200
    wait_until(lambda: fetch(p.port, host="new.test").status == 502 and fetch(p.port, host="put.test").status == 404, "the new one is")
    m = p.scrape()
    assert (m.value("weir_api_rest_taken_total"), m.value("weir_api_rest_refused_total")) == (3, 1)


def test_rest_is_strict_about_options(proxy):
    p = with_api(proxy, many(1), REST)
    for body, expected in (({"http": {"foo": {}}}, b"unknown option"), ({"http": {"routers": {"r": {"rules": "x"}}}}, b"did you mean"),
                           ({"http": {}}, b"found an empty object")):
        response = put(p, body)
        assert response.status == 400 and expected in response.body


def test_rest_bodies_have_limits(proxy):
    p = with_api(proxy, many(1), merge(REST, {"weir": {"limits": {"restBody": "64KiB"}}}))
    large = b'{"http": {"routers": {"' + b"x" * 70000
    assert fetch(p.ports["traefik"], "PUT", "/api/providers/rest", body=large).status == 413
    assert fetch(p.ports["traefik"], "PUT", "/api/providers/rest", chunks=[large[:40000], large[40000:]]).status == 413
    assert put(p, {}).status == 200


def test_rest_bodies_together_have_a_limit(proxy):
    """Sixty-four bodies of the longest kind would be a gigabyte."""
    p = with_api(proxy, many(1), merge(REST, {"weir": {"limits": {"restBody": "64KiB", "restBodies": "1KiB"}}}))
    half = b'{"http": {}' + b" " * 40000
    head = b"PUT /api/providers/rest HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
    with Client(p.ports["traefik"]) as first, Client(p.ports["traefik"]) as second:
        first.send(head + half)
        second.send(head + half)
        ready, _, _ = select.select([first.sock, second.sock], [], [], 60)
        refused, other = (first, second) if ready == [first.sock] else (second, first)
        assert refused.response().status == 503
        other.send(b" " * (50000 - len(half) - 1) + b"}")
        assert other.response().status == 400, "an empty object"
    assert p.scrape().value("weir_api_rest_refused_total") == 2
    assert put(p, many(1)).status == 200


def test_answers_that_are_not_taken_have_that_limit_too(proxy):
    """What was understood is as long as what was sent, and lies there until it has been read."""
    p = with_api(proxy, many(1), merge(REST, {"weir": {"limits": {"restBody": "16MiB", "restBodies": "16MiB"}}}))

    def long(mebibytes, one="x"):
        return {"http": {"middlewares": {"m": {"headers": {"customRequestHeaders": {"X-A": one * (mebibytes << 20)}}}}}}

    def refused():
        return p.scrape().value("weir_api_rest_refused_total")

    wait_until(lambda: put(p, many(1)).status == 200, "one that is small")
    text = json.dumps(long(12)).encode()
    with Client(p.ports["traefik"]) as idle:
        idle.send(request_bytes("PUT", "/api/providers/rest", body=text))
        wait_until(lambda: p.scrape().value("weir_api_rest_taken_total") == 2, "it is taken", 60)
        assert put(p, long(5)).status == 503 and refused() == 1, "the body is too long"
        version = read(p, "/api/overview")["weir"]["version"]
        assert put(p, long(1, "<")).status == 503 and refused() == 2, "the answer is, and nothing has changed"
        assert read(p, "/api/overview")["weir"]["version"] == version
        assert put(p, long(1)).status == 200
    wait_until(lambda: put(p, long(5)).status == 200, "there is room again", 60)


def test_rest_reads_from_slow_clients(proxy):
    """A few keep nobody out; too many are refused, and those whose client leaves make room."""
    p = with_api(proxy, many(1), REST)
    head = b"PUT /api/providers/rest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    clients = [Client(p.ports["traefik"]).__enter__() for _ in range(63)]
    for client in clients:
        client.send(head)
    wait_until(lambda: p.scrape().value("weir_exchanges_live") > 63, "all are read, and a scrape is answered")
    assert put(p, {}).status == 200

    def full():
        clients.append(Client(p.ports["traefik"]).__enter__())
        clients[-1].send(head)
        return put(p, {}).status == 503

    wait_until(full, "one more is read")
    for client in clients:
        client.__exit__(None, None, None)
    wait_until(lambda: put(p, {}).status == 200, "they have gone")


def test_rest_and_reloads_at_once(proxy):
    """Puts from many clients beside a file that changes: each is answered, the last one is in effect."""
    p = with_api(proxy, many(1), REST)
    failures = []

    def work(k):
        for i in range(10):
            response = put(p, {"http": {"routers": {f"k{k}-{i}": {"rule": "Host(`x`)", "service": "s@file"}}}})
            if response.status not in (200, 503):
                failures.append(response.status)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for i in range(5):
        p.apply(many(i + 2))
    for thread in threads:
        thread.join(60)
    assert not failures
    assert put(p, {"http": {"routers": {"last": {"rule": "Host(`x`)", "service": "s@file"}}}}).status == 200
    wait_until(lambda: get(p, "/api/http/routers/last@rest").status == 200, "the last one is in effect")
    assert [name for name in read(p, "/api/rawdata")["routers"] if name.endswith("@rest")] == ["last@rest"]
