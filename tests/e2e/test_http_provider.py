"""The dynamic configuration comes from a server that is polled. `E2E_PROXY=traefik` runs the same against Traefik."""

import base64
import contextlib
import json
import signal
import threading

import pytest

from harness.certificates import Authority
from harness.client import fetch
from harness.message import Closed
from harness.proxy import ON_TRAEFIK, merge, one_router, run_command, servers
from harness.tls import server_context
from harness.upstream import response_bytes
from harness.waiting import wait_until
from harness.yaml import to_yaml


class Source:
    """A server of configurations: answers with `body` and `status`, or does what `misbehave` says."""

    def __init__(self):
        self.body, self.status, self.misbehave = b"", 200, None
        self.arrived = threading.Condition()
        self.count = 0

    def __call__(self, connection, request):
        with self.arrived:
            self.count += 1
            self.arrived.notify_all()
        if self.misbehave is not None:
            self.misbehave(connection)
            return
        connection.send(response_bytes(self.status, body=self.body))

    def wait_polls(self, n=2):
        """One that was under way may have been answered before."""
        with self.arrived:
            until = self.count + n
            assert self.arrived.wait_for(lambda: self.count >= until, 60), f"{self.count} polls came"


def router(host, url, extra=None):
    return merge({"http": {"routers": {"r": {"rule": f"Host(`{host}`)", "service": "s"}}, "services": {"s": servers(url)}}}, extra or {})


@pytest.fixture
def source(upstream):
    s = Source()
    s.upstream = upstream(s)
    return s


@pytest.fixture
def polling(source, proxy):
    """Starts a proxy without a file; returns it when the first answer is in effect."""

    def make(first, wait=True, file=None, **options):
        source.body = first
        http = {"endpoint": source.upstream.url + "/traefik.yml?a=b", "pollInterval": "50ms", "pollTimeout": "5s", **options}
        p = proxy(file or {}, start=False, static={"providers": {"file": {"filename": "dynamic.yml"} if file else None, "http": http}})
        if file is None:
            p.wait_version = lambda version=None: None
        p.start()
        return p

    return make


def wait_status(p, host, status, timeout_s=60):
    wait_until(lambda: p.fetch(host=host).status == status, lambda: f"{host} gets {status}\n{p.log()}", timeout_s)


def encoded(configuration):
    return json.dumps(configuration).encode()


@pytest.mark.parametrize("text", [lambda c: json.dumps(c), to_yaml], ids=["JSON", "YAML"])
def test_answers_take_effect(source, polling, upstream, text):
    u = upstream()
    p = polling(text(router("a.test", u.url)).encode(), headers={"x-token": "secret", "Host": "config.test"})
    wait_status(p, "a.test", 200)
    asked = source.upstream.requests[0]
    assert (asked.method, asked.target, asked.get("Host"), asked.get("X-Token")) == ("GET", "/traefik.yml?a=b", "config.test", "secret")
    source.body = text(router("b.test", u.url)).encode()
    wait_status(p, "b.test", 200)
    assert p.fetch(host="a.test").status == 404


@pytest.mark.parametrize("user, pair", [("user:word", b"user:word"), ("us%40er:p%3Ass", b"us@er:p:ss"), ("user", b"user:")])
def test_names_and_user_information(source, proxy, upstream, user, pair):
    u = upstream()
    source.body = encoded(router("a.test", u.url))
    endpoint = source.upstream.url.replace("http://", f"http://{user}@")
    p = proxy({}, start=False, static={"accessLog": None, "log": {"level": "DEBUG"}, "providers": {"file": None, "http": {"endpoint": endpoint, "pollInterval": "50ms"}}})
    p.wait_version = lambda version=None: None
    p.start()
    wait_status(p, "a.test", 200)
    assert source.upstream.requests[0].get("Authorization") == "Basic " + base64.b64encode(pair).decode()


@pytest.mark.differs("Traefik has no such command")
def test_check_hides_headers(source, polling):
    """They carry tokens."""
    p = polling(b"{}", headers={"X-Token": "open-sesame"})
    _, output = run_command(p.directory, "check", "--configFile=static.yml")
    assert "X-Token: xxxx" in output and "open-sesame" not in output


def test_an_empty_answer_is_a_configuration_without_routers(source, polling, upstream):
    p = polling(encoded(router("a.test", upstream().url)))
    wait_status(p, "a.test", 200)
    source.body = b""
    wait_status(p, "a.test", 404)


FAILURES = {
    "status 500": lambda s: setattr(s, "status", 500),
    "status 201": lambda s: setattr(s, "status", 201),
    "broken YAML": lambda s: setattr(s, "body", b"http: [\n"),
    "TOML": lambda s: setattr(s, "body", b"[http.routers.r]\nrule = 'Host(`x`)'\n"),
    "unknown option": lambda s: setattr(s, "body", b"http:\n  routers:\n    r:\n      ruel: x\n"),
    "closed at once": lambda s: setattr(s, "misbehave", lambda c: c.close()),
    "broken off": lambda s: setattr(s, "misbehave", lambda c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhttp: {}\n"), c.close())),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_keeps_the_last_good_one(source, polling, upstream, failure):
    u = upstream()
    p = polling(encoded(router("a.test", u.url)))
    wait_status(p, "a.test", 200)
    FAILURES[failure](source)
    source.wait_polls()
    p.wait_log("Provider error, retrying in", "providerName=http")
    assert p.fetch(host="a.test").status == 200
    source.status, source.misbehave, source.body = 200, None, encoded(router("b.test", u.url))
    wait_status(p, "b.test", 200)


def drip(connection):
    """Byte by byte, each of which comes in time."""
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        connection.send(b"#")
        threading.Event().wait(0.02)


def endless(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.send(b"4000\r\n" + b"#" * 0x4000 + b"\r\n")


def until_gone(misbehave):
    def run(connection):
        with contextlib.suppress(OSError, Closed):
            misbehave(connection)
    return run


@pytest.mark.differs("Traefik says so in other words")
@pytest.mark.parametrize("misbehave,options,text", [
    (until_gone(drip), {"pollTimeout": "300ms"}, "no complete answer within pollTimeout"),
    (until_gone(endless), {"maxResponseBodySize": 1 << 20}, "too long (maxResponseBodySize)"),
    (lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"#" * 100), {"maxResponseBodySize": 99}, "too long (maxResponseBodySize)"),
    (lambda c: c.peer_closed(60), {"pollTimeout": "300ms"}, "no complete answer within pollTimeout"),
    (lambda c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n#"), c.peer_closed(60)), {"pollTimeout": "300ms"}, "no complete answer within pollTimeout"),
    (lambda c: c.send(b"nonsense\r\n\r\n"), {}, "Protocol error"),
])
def test_limits_of_an_answer(source, polling, upstream, misbehave, options, text):
    source.misbehave = misbehave
    p = polling(b"", **options)
    p.wait_log(text)
    source.misbehave, source.body = None, encoded(router("b.test", upstream().url))
    if "maxResponseBodySize" not in options:
        wait_status(p, "b.test", 200)


def redirect(status, location):
    return lambda c: c.send(b"HTTP/1.1 %d Found\r\nLocation: %s\r\nContent-Length: 3\r\n\r\nno\n" % (status, location.encode()))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(source, polling, upstream, status):
    """To a path of the same server and to another server, which gets no credentials but what else is configured."""
    asked = []
    body = encoded(router("a.test", upstream().url))

    def answer(connection, request):
        asked.append(request)
        if request.target == "/first/":
            redirect(status, "second?x=%20y")(connection)
        else:
            connection.send(response_bytes(200, body=body))

    other = upstream(answer)
    source.misbehave = redirect(status, f"http://localhost:{other.port}/first/")
    p = polling(b"", endpoint=f"http://me:secret@127.0.0.1:{source.upstream.port}/", headers={"X-Tenant": "t"})
    wait_status(p, "a.test", 200)
    assert [r.target for r in asked[:2]] == ["/first/", "/first/second?x=%20y"]
    for request in asked[:2]:
        assert request.get("host") == f"localhost:{other.port}" and request.get("x-tenant") == "t"
        assert request.get("authorization") is None


@pytest.mark.parametrize("location, user, kept", [
    ("/b", True, True), ("//127.0.0.1:{port}/b", True, False), ("http://127.0.0.1:{port}/b", False, True),
    ("http://localhost:{port}/b", False, False)])
def test_credentials_on_redirects(polling, upstream, location, user, kept):
    """User information goes along to another path, a configured header to the same host, nothing to another one."""
    asked = []
    body = encoded(router("a.test", upstream().url))

    def answer(connection, request):
        asked.append(request)
        connection.send(response_bytes(200, body=body))

    def first(connection, request):
        if request.target == "/":
            redirect(302, location.format(port=other.port))(connection)
        else:
            answer(connection, request)

    other = upstream(first)
    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    p = polling(b"", endpoint=f"http://{'me:secret@' if user else ''}127.0.0.1:{other.port}/",
                headers={"X-A": "b"} if user else {"Authorization": basic})
    wait_status(p, "a.test", 200)
    assert asked[0].target == "/b" and asked[0].get("authorization") == (basic if kept else None)


@pytest.mark.differs("Traefik says so in other words")
@pytest.mark.parametrize("location, text", [
    ("/again", "stopped after 10 redirects"), ("ftp://h/", "in the Location, expected http or https"), ("http://[", "Location"),
    ("http://h.invalid/", "http://h.invalid/")])
def test_redirects_that_lead_nowhere(source, polling, upstream, location, text):
    """The last good configuration stays, and good answers take effect again."""
    p = polling(encoded(router("a.test", upstream().url)))
    wait_status(p, "a.test", 200)
    source.misbehave = redirect(302, location)
    p.wait_log(text)
    assert p.fetch(host="a.test").status == 200
    source.misbehave, source.body = None, encoded(router("b.test", upstream().url))
    wait_status(p, "b.test", 200)


def test_the_timeout_is_for_all_redirects_together(source, polling):
    """Each answer would come in time by itself."""
    def late(connection):
        threading.Event().wait(0.2)
        redirect(302, "/again")(connection)

    source.misbehave = late
    p = polling(b"", pollTimeout="1s")
    wait_until(lambda: "pollTimeout" in p.log() or "deadline exceeded" in p.log() or "Client.Timeout" in p.log(), lambda: p.log(), 60)


@pytest.mark.differs("Traefik has no such metrics")
def test_unchanged_answers_do_nothing(source, polling, upstream, proxy):
    u = upstream()
    source.body = encoded(router("a.test", u.url))
    p = proxy({}, start=False, metrics=True, static={"providers": {"file": None, "http": {"endpoint": source.upstream.url, "pollInterval": "20ms"}}})
    p.wait_version = lambda version=None: None
    p.start()
    wait_status(p, "a.test", 200)
    before = p.scrape()
    source.wait_polls(10)
    after = p.scrape()
    assert after.value("weir_config_reloads_total") == before.value("weir_config_reloads_total")
    assert after.value("weir_provider_unchanged_total", provider="http") > before.value("weir_provider_unchanged_total", provider="http")
    # The same in another notation is compared by its values.
    source.body = to_yaml(router("a.test", u.url)).encode()
    source.wait_polls(3)
    assert p.scrape().value("weir_config_reloads_total") == before.value("weir_config_reloads_total")
    assert p.scrape().value("weir_provider_failures_total", provider="http") == 0


def test_a_server_that_comes_later(proxy, upstream):
    """The proxy serves meanwhile."""
    u = upstream()
    gone = upstream()
    port = gone.port
    gone.stop()
    p = proxy({}, start=False, static={"providers": {"file": None, "http": {"endpoint": f"http://127.0.0.1:{port}/", "pollInterval": "50ms"}}})
    p.wait_version = lambda version=None: None
    p.start()
    p.wait_log("Provider error, retrying in")
    assert p.fetch(host="a.test").status == 404
    source = Source()
    source.body = encoded(router("a.test", u.url))
    upstream(source, port=port)
    wait_status(p, "a.test", 200)


def test_beside_a_file(source, polling, upstream):
    """Names tell the providers apart, and references may cross."""
    one, two = (upstream(lambda c, r, name=name: c.send(response_bytes(body=name))) for name in (b"one", b"two"))
    file = one_router(one.url, rule="Host(`file.test`)")
    file["http"]["routers"]["cross"] = {"rule": "Host(`cross.test`)", "service": "s@http"}
    p = polling(encoded(router("http.test", two.url)), file=file)
    wait_status(p, "http.test", 200)
    wait_until(lambda: p.fetch(host="cross.test").body == b"two", p.log)
    assert [p.fetch(host=host).body for host in ("file.test", "http.test")] == [b"one", b"two"]
    # Each keeps what it has when the other changes.
    p.apply(one_router(one.url, rule="Host(`new.test`)"))
    assert p.fetch(host="http.test").body == b"two"
    source.body = encoded(router("other.test", two.url))
    wait_status(p, "other.test", 200)
    assert p.fetch(host="new.test").body == b"one"


@pytest.mark.parametrize("precedence,winner", [(["http", "file"], b"two"), (["file", "http"], b"one"), (["HTTP", "File"], b"two")])
def test_precedence_among_equal_priorities(source, upstream, proxy, precedence, winner):
    one, two = (upstream(lambda c, r, name=name: c.send(response_bytes(body=name))) for name in (b"one", b"two"))
    source.body = encoded(router("same.test", two.url, {"http": {"routers": {"extra": {"rule": "Host(`http.test`)", "service": "s"}}}}))
    p = proxy(one_router(one.url, rule="Host(`same.test`)"), static={"providers": {
        "precedence": precedence, "http": {"endpoint": source.upstream.url, "pollInterval": "50ms"}}})
    wait_status(p, "http.test", 200)
    assert p.fetch(host="same.test").body == winner


@pytest.mark.differs("Traefik has no such signal")
def test_sighup_asks_at_once(source, proxy, upstream):
    u = upstream()
    source.body = encoded(router("a.test", u.url))
    p = proxy({}, start=False, static={"providers": {"file": None, "http": {"endpoint": source.upstream.url, "pollInterval": "1h"}}})
    p.wait_version = lambda version=None: None
    p.start()
    # No connection was accepted before the first answer was in effect.
    assert p.fetch(host="a.test").status == 200
    source.body = encoded(router("b.test", u.url))
    p.process.send_signal(signal.SIGHUP)
    wait_status(p, "b.test", 200)


@pytest.mark.differs("Traefik goes on without the provider")
@pytest.mark.parametrize("options,text", [
    ({"pollInterval": "1s"}, "endpoint"),
    ({"endpoint": "config.test/x"}, "providers.http.endpoint"),
    ({"endpoint": "ftp://config.test/x"}, "scheme"),
    ({"endpoint": "http://127.0.0.1:1/", "headers": {"a b": "c"}}, "providers.http.headers"),
    ({"endpoint": "http://127.0.0.1:1/", "pollInterval": "0s"}, "pollInterval"),
])
def test_mistakes_in_the_options(proxy, options, text):
    p = proxy({}, start=False, static={"providers": {"file": None, "http": options}})
    p.expected_exit = 1
    p.start(wait=False)
    assert p.wait_exit() == 1
    assert text in p.log()


def test_a_source_that_floods(source, polling, upstream):
    """A new configuration in each answer, as fast as they are asked for: requests are answered, and the last one counts."""
    u = upstream()
    p = polling(encoded(router("a.test", u.url)), pollInterval="1ms")
    wait_status(p, "a.test", 200)
    for i in range(100):
        source.body = encoded(router("a.test", u.url, {"http": {"routers": {f"r{i}": {"rule": f"Host(`r{i}.test`)", "service": "s"}}}}))
        source.wait_polls(1)
        assert p.fetch(host="a.test").status == 200
    wait_status(p, "r99.test", 200)
    if not ON_TRAEFIK:
        assert fetch(p.port, host="r98.test").status == 404


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("strangers"), "strangers")


def secured(source, upstream, context):
    """Restarts the source of configurations as one with https."""
    source.upstream = upstream(source, tls=context)


@pytest.mark.parametrize("trust", ["ca", "insecureSkipVerify"])
def test_https(source, polling, upstream, ca, trust):
    secured(source, upstream, server_context(ca.issue("server", "IP:127.0.0.1")))
    u = upstream()
    p = polling(encoded(router("a.test", u.url)), headers={"X-Token": "secret"}, tls={"ca": str(ca.file)} if trust == "ca" else {"insecureSkipVerify": True})
    wait_status(p, "a.test", 200)
    source.body = encoded(router("b.test", u.url))
    wait_status(p, "b.test", 200)
    assert source.upstream.requests[-1].get("X-Token") == "secret"
    if not ON_TRAEFIK:
        assert source.upstream.accepted == 1, "connections are kept alive"


def test_https_shows_its_certificate(source, polling, upstream, ca, strangers):
    own = strangers.issue("weir", "DNS:weir")
    secured(source, upstream, server_context(ca.issue("server", "IP:127.0.0.1"), clients=strangers))
    p = polling(encoded(router("a.test", upstream().url)), tls={"ca": ca.file.read_text(), "cert": str(own.certificate), "key": str(own.key)})
    wait_status(p, "a.test", 200)


DISTRUSTED = {"unknown authority": lambda ca, other: other.issue("server", "IP:127.0.0.1"), "expired": lambda ca, other: ca.issue("server", "IP:127.0.0.1", days=-1),
              "another name": lambda ca, other: ca.issue("server", "DNS:other.test")}


@pytest.mark.parametrize("fault", DISTRUSTED)
def test_https_server_that_is_not_believed(source, polling, upstream, ca, strangers, fault):
    """Nothing is sent to it, the log says why, and what was there serves on; a good certificate ends that."""
    context = server_context(DISTRUSTED[fault](ca, strangers))
    secured(source, upstream, context)
    u = upstream()
    p = polling(encoded(router("a.test", u.url)), file=one_router(u.url, rule="Host(`file.test`)"), tls={"ca": str(ca.file)})
    p.wait_log("Provider error, retrying in", *(() if ON_TRAEFIK else ("certificate is not accepted",)))
    assert p.fetch(host="file.test").status == 200
    assert source.upstream.requests == []
    good = ca.issue("server", "IP:127.0.0.1")
    context.load_cert_chain(good.certificate, good.key)
    wait_status(p, "a.test", 200)


@pytest.mark.differs("Traefik reads them once")
def test_https_authority_that_is_replaced(source, polling, upstream, ca, strangers, tmp_path):
    """Files are read again after a failure."""
    authority = tmp_path / "authority.pem"
    authority.write_bytes(strangers.file.read_bytes())
    secured(source, upstream, server_context(ca.issue("server", "IP:127.0.0.1")))
    p = polling(encoded(router("a.test", upstream().url)), tls={"ca": str(authority)})
    p.wait_log("certificate is not accepted")
    authority.write_bytes(b"nothing of use")
    p.wait_log("Certificates cannot be read again")
    authority.write_bytes(ca.file.read_bytes())
    wait_status(p, "a.test", 200)


def test_https_server_that_stalls_in_the_handshake(polling, source, upstream, ca):
    """An attempt ends in time, the next one gets its answer."""
    u, stalled = upstream(), []

    def stall(connection):
        stalled.append(connection.sock.recv(4096))
        while connection.sock.recv(4096):
            pass

    source.upstream.url = f"https://127.0.0.1:{upstream(serve=stall).port}"
    p = polling(b"", file=one_router(u.url, rule="Host(`file.test`)"), pollTimeout="200ms", tls={"ca": str(ca.file)})
    wait_until(lambda: len(stalled) >= 2, lambda: f"it is tried again\n{p.log()}")
    if not ON_TRAEFIK:
        p.wait_log("no complete answer within pollTimeout")
    assert p.fetch(host="file.test").status == 200


@pytest.mark.differs("Traefik goes on without the provider")
@pytest.mark.parametrize("tls,text", [
    ({"ca": "/nowhere/ca.pem"}, "providers.http.tls.ca"),
    ({"cert": "/nowhere/cert.pem"}, "found one of cert and key"),
    ({"ca": "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n"}, "providers.http.tls"),
])
def test_mistakes_in_tls(proxy, tls, text):
    p = proxy({}, start=False, static={"providers": {"file": None, "http": {"endpoint": "https://127.0.0.1:1/", "tls": tls}}})
    p.expected_exit = 1
    p.start(wait=False)
    assert p.wait_exit() == 1
    assert text in p.log()
