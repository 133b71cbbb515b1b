"""What guests see and can change: one test for each behaviour of the http-handler ABI that a client can observe."""

import json
import re

import pytest

from harness.load import together
from harness.message import Closed, head
from harness.proxy import ON_TRAEFIK, Plugin, merge, one_router, servers
from harness.upstream import response_bytes
from harness.yaml import Raw


def behind(proxy, server, guest, config=None, settings=None, **options):
    """A proxy whose only router goes through the guest."""
    return proxy(one_router(server.url, plugin={"guest": config or {}}), plugins={"guest": Plugin(guest, settings)}, **options)


# --- headers

def test_header_guest(upstream, proxy):
    server = upstream(lambda c, r: c.send(response_bytes(headers=[("X-Add", "upstream")], body=b"ok")))
    p = behind(proxy, server, "header", {"request": {"X-Req": "set", "X-Old": "replaced"}, "response": {"X-Resp": "yes"},
                                         "add": {"X-Add": "guest"}, "remove": {"X-Gone": ""}})
    response = p.fetch(headers=[("X-Old", "1"), ("X-Old", "2"), ("X-Gone", "1"), ("X-Stays", "1")])
    assert response.body == b"ok"
    assert response.all("X-Resp") == ["yes"]
    assert response.all("X-Add") == ["guest", "upstream"]
    request = server.last
    assert request.all("X-Req") == ["set"]
    assert request.all("X-Old") == ["replaced"]
    assert request.get("X-Gone") is None
    assert request.get("X-Stays") == "1"


def test_plugin_on_a_keep_alive_connection(upstream, proxy):
    p = behind(proxy, upstream(), "header", {"response": {"X-Resp": "yes"}})
    with p.connect() as client:
        for _ in range(50):
            response = client.exchange()
            assert (response.body, response.all("X-Resp")) == (b"ok", ["yes"])


def test_what_a_guest_reads_of_request_headers(upstream, proxy):
    p = behind(proxy, upstream(), "headers-probe")
    response = p.fetch(host="name.example:81", headers=[("X-Multi", "b"), ("x-multi", "a"), ("X-Empty", ""),
                                                        ("Cookie", "k=v"), ("Content-Length", "0")])
    lines = response.body.decode().splitlines()
    names = [line.split(":")[0] for line in lines]
    assert names == sorted(names)
    assert "host: name.example:81" in lines
    assert lines.count("x-multi: b") == 1 and lines.index("x-multi: b") + 1 == lines.index("x-multi: a")
    assert "x-empty: " in lines
    assert "cookie: k=v" in lines
    assert "content-length: 0" in lines
    assert "x-forwarded-proto: http" in lines
    assert not any(name in ("transfer-encoding", "connection") for name in names)


def test_transfer_encoding_is_hidden(upstream, proxy):
    p = behind(proxy, upstream(), "headers-probe")
    lines = p.fetch("POST", chunks=[b"x"]).body.decode().splitlines()
    assert not any(line.startswith(("transfer-encoding", "content-length")) for line in lines)


def test_x_forwarded_for_is_appended_after_the_plugin(upstream, proxy):
    server = upstream()
    lines = behind(proxy, server, "headers-probe").fetch().body.decode().splitlines()
    assert not any(line.startswith("x-forwarded-for") for line in lines)


def test_getters_respect_the_limit(upstream, proxy):
    body = behind(proxy, upstream(), "headers-probe").fetch(target="/limits").body.decode()
    assert re.fullmatch(r"7\? 7/ 7/ [0-9]+\?", body), body


def test_added_header_is_a_line_of_its_own(upstream, proxy):
    server = upstream()
    behind(proxy, server, "headers-probe").fetch(target="/add", headers=[("X-Multi", "first")])
    assert server.last.all("X-Multi") == ["first", "added"]


@pytest.mark.differs("in Traefik a guest cannot set the host, and lists it twice after trying")
def test_set_host(upstream, proxy):
    lines = behind(proxy, upstream(), "headers-probe").fetch(target="/set-host").body.decode().splitlines()
    assert len([line for line in lines if line.startswith("host: ")]) == 1


@pytest.mark.parametrize("target", ["/empty-name", "/kind"])
def test_header_calls_that_trap(upstream, proxy, target):
    p = behind(proxy, upstream(), "headers-probe")
    assert p.fetch(target=target).status == 500
    assert p.fetch().status == 200


@pytest.mark.differs("Traefik's host takes trailers for granted")
def test_trailers_are_refused(upstream, proxy):
    assert behind(proxy, upstream(), "headers-probe").fetch(target="/trailers").status == 500


def test_crlf_cannot_inject_a_response_header(upstream, proxy):
    response = behind(proxy, upstream(), "headers-probe").fetch(target="/crlf")
    assert response.get("X-Injected") is None
    if response.status == 200:
        assert response.get("X-Crlf").replace("  ", " ") == "a X-Injected: yes"
    else:
        assert response.status == 500


def test_crlf_cannot_inject_a_request_header(upstream, proxy):
    server = upstream()
    behind(proxy, server, "headers-probe").fetch(target="/crlf-request")
    assert not any(request.get("X-Injected") for request in server.requests)


def test_response_headers_are_readable_without_buffering(upstream, proxy):
    server = upstream(lambda c, r: c.send(response_bytes(headers=[("X-Up", "1")])))
    p = behind(proxy, server, "headers-probe")
    p.fetch(target="/response")
    p.wait_log("x-up: 1")


# --- request line

SHOWN = [
    ("GET", "/", "GET / HTTP/1.1"),
    ("PATCH", "/a%26b?x=%26", "PATCH /a%26b?x=%26 HTTP/1.1"),
    ("GET", "/a?", "GET /a? HTTP/1.1"),
    ("GET", "/%E4%BD%A0", "GET /%E4%BD%A0 HTTP/1.1"),
    ("GET", "http://test.example/abs?q=1", "GET /abs?q=1 HTTP/1.1"),
]


@pytest.mark.parametrize("method,target,expected", SHOWN)
def test_request_line_as_the_guest_sees_it(upstream, proxy, method, target, expected):
    body = behind(proxy, upstream(), "request-line").fetch(method, target, headers=[("X-Show", "1")]).body.decode()
    line, peer = body.rsplit(" ", 1)
    assert line == expected
    assert re.fullmatch(r"127\.0\.0\.1:[0-9]{1,5}", peer)


def test_http10_as_the_guest_sees_it(upstream, proxy):
    body = behind(proxy, upstream(), "request-line").fetch(headers=[("X-Show", "1")], version="1.0").body
    assert body.startswith(b"GET / HTTP/1.0 ")


SET = [
    ("<empty>", "/"),
    ("/v1.0/hello?name=teddy", "/v1.0/hello?name=teddy"),
    ("/simple%26clean", "/simple%26clean"),
    ("/a b", "/a%20b"),
    ("/a#b", "/a%23b"),
    ("//double", "//double"),
    ("/new", "/new"),
    ("http://other.example/p?q=1", "/p?q=1"),
]


@pytest.mark.parametrize("uri,expected", SET)
def test_set_uri(upstream, proxy, uri, expected):
    server = upstream()
    response = behind(proxy, server, "request-line").fetch(target="/old?query=1", headers=[("X-Set-Uri", uri)])
    assert response.status == 200
    assert server.last.target == expected
    assert server.last.get("Host") == "test.example"


@pytest.mark.parametrize("uri", ["relative", "/%zz", "/%"])
def test_set_uri_refuses(upstream, proxy, uri):
    server = upstream()
    p = behind(proxy, server, "request-line")
    assert p.fetch(headers=[("X-Set-Uri", uri)]).status == 500
    assert server.requests == []
    assert p.fetch().status == 200


@pytest.mark.differs("Traefik sends the space upstream")
def test_space_in_a_set_query_is_encoded(upstream, proxy):
    server = upstream()
    behind(proxy, server, "request-line").fetch(headers=[("X-Set-Uri", "/a?q=go language")])
    assert server.last.start_line == "GET /a?q=go%20language HTTP/1.1"


def test_set_uri_does_not_route_again(upstream, proxy):
    one, two = upstream(), upstream(lambda c, r: c.send(response_bytes(body=b"two")))
    dynamic = merge(one_router(one.url, rule="Path(`/one`)", plugin={"guest": {}}), {"http": {
        "routers": {"two": {"rule": "Path(`/two`)", "service": "two"}}, "services": {"two": servers(two.url)}}})
    p = proxy(dynamic, plugins={"guest": Plugin("request-line")})
    assert p.fetch(target="/one", headers=[("X-Set-Uri", "/two")]).body == b"ok"
    assert one.last.target == "/two"


def test_set_method(upstream, proxy):
    server = upstream()
    behind(proxy, server, "request-line").fetch("GET", headers=[("X-Set-Method", "PUT")])
    assert server.last.method == "PUT"


@pytest.mark.differs("Traefik was not asked; weir opens no tunnels")
def test_method_connect_goes_nowhere(upstream, proxy):
    """Only the entry point may be asked for a tunnel, and it refuses: a plugin cannot ask the upstream for one."""
    server = upstream()
    p = behind(proxy, server, "request-line")
    assert p.fetch(headers=[("X-Set-Method", "CONNECT")]).status == 501
    assert p.fetch().body == b"ok"
    assert server.last.method == "GET"


def test_empty_method_traps(upstream, proxy):
    assert behind(proxy, upstream(), "request-line").fetch(headers=[("X-Set-Method", "<empty>")]).status == 500


def test_method_that_is_no_token(upstream, proxy):
    server = upstream()
    assert behind(proxy, server, "request-line").fetch(headers=[("X-Set-Method", "A B")]).status in (500, 502)
    assert server.requests == []


def test_router_guest(upstream, proxy):
    server = upstream(lambda c, r: c.send(response_bytes(body=r.target.encode())))
    p = behind(proxy, server, "router")
    assert p.fetch(target="/host/a?b").body == b"/a?b"
    assert p.fetch(target="/host").body == b"/"
    response = p.fetch(target="/elsewhere")
    assert (response.status, response.body, response.get("Content-Type")) == (200, b"hello world", "text/plain")


# --- answers of the guest's own

def test_auth_guest(upstream, proxy):
    server = upstream()
    p = behind(proxy, server, "auth", {"token": "sesame"})
    with p.connect() as client:
        for given in ((), (("Authorization", "Bearer wrong"),), (("Authorization", "Bearer sesame2"),)):
            response = client.exchange(headers=given)
            assert (response.status, response.body) == (401, b"")
            assert response.get("WWW-Authenticate") == 'Bearer realm="test"'
        assert server.requests == []
        assert client.exchange(headers=[("Authorization", "Bearer sesame")]).body == b"ok"


@pytest.mark.differs("Traefik waits for up to 256 KiB of a body that nobody wants")
def test_refusal_does_not_wait_for_the_body(upstream, proxy):
    p = behind(proxy, upstream(), "auth", {"token": "sesame"})
    with p.connect() as client:
        client.send(head("POST / HTTP/1.1", [("Host", "a"), ("Content-Length", "50000")]))
        assert client.response().status == 401


def test_stopping_before_the_request_body_was_read(upstream, proxy):
    """A guest that refuses an upload: the connection must stay in step or be closed."""
    server = upstream()
    p = behind(proxy, server, "auth", {"token": "sesame"})
    with p.connect() as client:
        assert client.exchange("POST", body=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").status == 401
        try:
            assert client.exchange(headers=[("Authorization", "Bearer sesame")]).body == b"ok"
        except (Closed, OSError):
            pass  # closing is the other way to stay safe
    assert not any(r.target == "/smuggled" for r in server.requests)


@pytest.mark.parametrize("where", ["uri", "body", "large body"])
def test_waf_blocks_requests(upstream, proxy, where):
    server = upstream()
    p = behind(proxy, server, "waf")
    with p.connect() as client:
        if where == "uri":
            response = client.exchange(target="/attack")
        else:
            response = client.exchange("POST", body=b"x" * (100000 if where == "large body" else 10) + b"attack")
        assert (response.status, response.body) == (403, b"")
        assert server.requests == []
    assert p.fetch("POST", body=b"harmless").body == b"ok"


LEAKS = {
    "body with length": response_bytes(body=b"x" * 1000 + b"secret"),
    "chunked body": response_bytes(chunks=[b"x" * 1000, b"sec", b"ret"]),
    "large body": response_bytes(body=b"x" * 300000 + b"secret"),
    "header only": response_bytes(headers=[("X-Leak", "1")], body=b"body that must not pass"),
}


@pytest.mark.parametrize("case", LEAKS)
def test_waf_empties_responses(upstream, proxy, case):
    server = upstream(lambda c, r: c.send(LEAKS[case] if r.target == "/leak" else response_bytes(body=b"harmless")))
    p = behind(proxy, server, "waf")
    with p.connect() as client:
        client.send(b"GET /leak HTTP/1.1\r\nHost: a\r\n\r\n")
        raw_head = client.reader.head()
        assert raw_head.status == 403
        assert raw_head.all("Content-Length") == ["0"]
        assert raw_head.get("Transfer-Encoding") is None
        if ON_TRAEFIK:  # which closes the connection after it
            assert _rest(client) == b""
        else:
            assert client.exchange().body == b"harmless"


def _rest(client):
    try:
        return client.to_end()
    except Closed as closed:
        return closed.partial


# --- configuration

def probe(proxy, upstream, config):
    return behind(proxy, upstream(), "config-probe", config).fetch().body.decode()


TYPING = [
    ("hello", "hello"),
    (Raw("10"), "10"),
    (Raw("-3"), "-3"),
    (Raw("1.5"), "1.500000"),
    (Raw("2.0"), "2"),
    (Raw("true"), "true"),
    ("", ""),
    ("<a> & b", "<a> & b"),
    ({}, ""),
    ([], ""),
    ([1, 2], [1, 2]),
    ([True, False], [True, False]),
    ([1, Raw("2.6")], [1, 2.6]),
    ([1, "a", True], ["1", "a", "true"]),
    (["a", "b"], ["a", "b"]),
    ([{"n": 1, "s": "x"}, {"b": True}], [{"n": "1", "s": "x"}, {"b": "true"}]),
    ({"Inner-Key": 5, "deeper": {"Flag": False}}, {"Inner-Key": "5", "deeper": {"Flag": "false"}}),
    ("数 \\ \" \t", "数 \\ \" \t"),
]


@pytest.mark.parametrize("given,seen", TYPING, ids=[str(i) for i in range(len(TYPING))])
def test_configuration_typing(upstream, proxy, given, seen):
    assert json.loads(probe(proxy, upstream, {"key": given})) == {"key": seen}


def test_configuration_bytes(upstream, proxy):
    config = {"zeta": "<&>", "Alpha": 1, "beta": [1, 2]}
    assert probe(proxy, upstream, config) == '{"Alpha":"1","beta":[1,2],"zeta":"\\u003c\\u0026\\u003e"}'


def test_null_vanishes(upstream, proxy):
    assert probe(proxy, upstream, {"a": None, "b": "x"}) == '{"b":"x"}'


def test_empty_configuration(upstream, proxy):
    assert probe(proxy, upstream, {}) == "{}"


def test_large_configuration(upstream, proxy):
    config = {f"key{i:04}": "v" * 50 for i in range(500)}
    assert json.loads(probe(proxy, upstream, config)) == config


def test_two_middlewares_of_one_plugin(upstream, proxy):
    server = upstream()
    http = one_router(server.url)["http"]
    http["middlewares"] = {n: {"plugin": {"guest": {"response": {f"X-{n}": n}}}} for n in ("one", "two")}
    http["routers"]["r"]["middlewares"] = ["one", "two"]
    response = proxy({"http": http}, plugins={"guest": Plugin("header")}).fetch()
    assert (response.get("X-one"), response.get("X-two"), response.body) == ("one", "two", b"ok")


@pytest.mark.differs("in Traefik the response phase of the outer of two wasm plugins has no effect")
def test_chain_of_different_plugins(upstream, proxy):
    server = upstream(lambda c, r: c.send(response_bytes(body=r.target.encode() + b" " + r.body)))
    http = one_router(server.url)["http"]
    http["middlewares"] = {"outer": {"plugin": {"stream": {"tail": "!"}}}, "inner": {"plugin": {"router": {}}},
                           "innermost": {"plugin": {"body": {"features": 1, "request": "rewrite"}}}}
    http["routers"]["r"]["middlewares"] = ["outer", "inner", "innermost"]
    p = proxy({"http": http}, plugins={"stream": Plugin("rewrite-streaming"), "router": Plugin("router"),
                                       "body": Plugin("body")})
    response = p.fetch("POST", "/host/path", chunks=[b"abc"])
    assert response.body == b"/PATH BCD!"


# --- features and context

FEATURES = [(0, 0, 0, 0), (1, 2, 1, 3), (3, 0, 3, 3), (2, 1, 2, 3), (0, 3, 0, 3)]


@pytest.mark.parametrize("init,asked,init_result,request_result", FEATURES)
def test_enable_features(upstream, proxy, init, asked, init_result, request_result):
    p = behind(proxy, upstream(), "features", {"init": init})
    for _ in range(3):
        body = p.fetch(headers=[("X-Features", str(asked))]).body.decode()
        assert body == f"init={init_result} request={request_result}"
    assert p.fetch(headers=[("X-Features", "0")]).body.decode() == f"init={init_result} request={init_result}"


@pytest.mark.differs("Traefik's host grants every bit that is asked for, known or not")
def test_unsupported_features_are_not_granted(upstream, proxy):
    p = behind(proxy, upstream(), "features", {"init": 4})
    assert p.fetch(headers=[("X-Features", "255")]).body == b"init=0 request=3"


def test_context_comes_back_to_the_same_instance(upstream, proxy):
    server = upstream(lambda c, r: c.send(response_bytes(body=r.target.encode())))
    p = behind(proxy, server, "ctx")

    def work(i):
        with p.connect() as client:
            for j in range(20):
                response = client.exchange(target=f"/{i}-{j}")
                assert response.status == 200
                assert response.body == f"/{i}-{j}".encode()
                assert int(response.get("X-Ctx")) >= 42

    together(20, work)


def test_state_lives_in_the_instance(upstream, proxy):
    p = behind(proxy, upstream(), "counter", static={"weir": {"workers": 1}})
    with p.connect() as client:
        bodies = [client.exchange().body.decode() for _ in range(10)]
    for body in bodies:
        memory, in_global = re.fullmatch(r"memory=(\d+) global=(\d+)", body).groups()
        assert memory == in_global
    if not ON_TRAEFIK:  # whose pool drops instances when it collects garbage
        assert bodies == [f"memory={n} global={n}" for n in range(1, 11)]


# --- log

def test_log_levels(upstream, proxy):
    p = behind(proxy, upstream(), "logger", static={"log": {"level": "DEBUG"}})
    assert p.fetch().status == 200
    p.wait_log("guest says level 0 in response", "guest says level 3 in init", "guest says level 2 in request")


@pytest.mark.differs("Traefik prints the line breaks of guests as they are")
def test_guests_cannot_forge_log_lines(upstream, proxy):
    p = behind(proxy, upstream(), "logger")
    p.fetch()
    log = p.wait_log("FORGED", "red")
    assert not any(line.startswith("FORGED") for line in log.splitlines())
    assert "\x1b[31m" not in log


def test_log_level_filter(upstream, proxy):
    p = behind(proxy, upstream(), "logger", static={"log": {"level": "WARN"}})
    response = p.fetch()
    log = p.wait_log("guest says level 3 in response")
    assert "guest says level 0" not in log
    assert "guest says level 1" not in log
    assert "guest says level 2" in log
    if not ON_TRAEFIK:
        assert response.get("X-Enabled") == "00111"


@pytest.mark.differs("Traefik discards what guests print")
def test_standard_output_goes_to_the_log(upstream, proxy):
    p = behind(proxy, upstream(), "logger", static={"log": {"level": "DEBUG"}})
    p.fetch()
    p.wait_log("guest stdout in request", "guest stderr in response")


# --- WASI

def test_arguments(upstream, proxy):
    assert behind(proxy, upstream(), "wasi-probe").fetch(target="/args").body == b"args=0"


def test_environment(upstream, proxy):
    p = behind(proxy, upstream(), "wasi-probe", settings={"envs": ["GIVEN", "UNSET_ONE"]},
               environment={"GIVEN": "value", "SECRET": "hidden"})
    lines = p.fetch(target="/environ").body.decode().splitlines()
    assert "GIVEN=value" in lines
    assert not any("SECRET" in line or "PATH" in line for line in lines)
    assert set(lines) - {"UNSET_ONE="} == {"GIVEN=value"}


def test_clocks(upstream, proxy):
    import time

    p = behind(proxy, upstream(), "wasi-probe")
    realtime_ns, slept_ns = map(int, p.fetch(target="/clocks").body.split())
    assert abs(realtime_ns / 1e9 - time.time()) < 60
    if not ON_TRAEFIK:  # whose guests get a pretended monotonic clock
        assert 20e6 <= slept_ns < 10e9


@pytest.mark.differs("Traefik gives every instance the same fixed seed")
def test_random(upstream, proxy):
    p = behind(proxy, upstream(), "wasi-probe")
    values = {p.fetch(target="/random").body for _ in range(10)}
    assert len(values) == 10
    assert all(len(v) == 32 for v in values)


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mounted"
    (folder / "sub").mkdir(parents=True)
    (folder / "file.txt").write_text("content")
    (folder / "sub" / "deep.txt").write_text("deep")
    (folder / "escape").symlink_to("/etc")
    (tmp_path / "outside.txt").write_text("outside")
    return folder


def test_mount(upstream, proxy, mount):
    p = behind(proxy, upstream(), "wasi-probe", settings={"mounts": [f"{mount}:/data"]})
    ask = lambda target: p.fetch(target=target).body.decode()  # noqa: E731
    assert ask("/preopens").splitlines() == ["/data"]
    assert ask("/read/file.txt") == "content"
    assert ask("/read/sub/deep.txt") == "deep"
    assert ask("/write/new.txt") == "write errno=0"
    assert (mount / "new.txt").read_text() == "written by the guest"
    assert {"file.txt", "sub", "new.txt"} <= set(ask("/list").splitlines())
    assert ask("/unlink/new.txt") == "unlink errno=0"
    assert not (mount / "new.txt").exists()
    assert ask("/read/missing.txt") == "read errno=44"


def test_read_only_mount(upstream, proxy, mount):
    p = behind(proxy, upstream(), "wasi-probe", settings={"mounts": [f"{mount}:/data:ro"]})
    ask = lambda target: p.fetch(target=target).body.decode()  # noqa: E731
    assert ask("/read/file.txt") == "content"
    assert ask("/write/new.txt") != "write errno=0"
    assert ask("/unlink/file.txt") != "unlink errno=0"
    assert ask("/symlink/new") != "symlink errno=0"
    assert (mount / "file.txt").read_text() == "content"
    assert not (mount / "new.txt").exists()


@pytest.mark.differs("in Traefik a guest can leave its mount")
@pytest.mark.parametrize("path", ["../outside.txt", "sub/../../outside.txt", "escape/hostname", "/etc/hostname"])
def test_mount_cannot_be_left(upstream, proxy, mount, path):
    settings = {"mounts": [f"{mount}:/data"]}
    p = behind(proxy, upstream(), "wasi-probe", settings=settings, static={"entryPoints": {"web": {"http": {"sanitizePath": False}}}})
    body = p.fetch(target=f"/read/{path}").body
    assert body.startswith(b"read errno="), body


def test_no_mount_no_files(upstream, proxy):
    p = behind(proxy, upstream(), "wasi-probe")
    assert p.fetch(target="/preopens").body == b""
    assert p.fetch(target="/read/etc/hostname").body.startswith(b"read errno=")


def test_several_mounts(upstream, proxy, mount):
    p = behind(proxy, upstream(), "wasi-probe", settings={"mounts": [f"{mount}:/one", f"{mount}/sub:/two:ro"]})
    assert p.fetch(target="/preopens").body.decode().splitlines() == ["/one", "/two"]


# --- a guest of the Go toolchain

def test_go_guest(upstream, proxy):
    p = behind(proxy, upstream(), "go-header", {"headers": {"X-Go": "yes", "X-Two": "2"}})
    with p.connect() as client:
        for _ in range(20):
            response = client.exchange()
            assert (response.status, response.get("X-Go"), response.get("X-Two")) == (200, "yes", "2")
    p.wait_log("go guest initialised")


def test_go_guest_in_parallel(upstream, proxy):
    p = behind(proxy, upstream(), "go-header", {"headers": {"X-Go": "yes"}})

    def work(_):
        with p.connect() as client:
            for _ in range(10):
                assert client.exchange().get("X-Go") == "yes"

    together(10, work)


def test_go_guest_refuses_its_configuration(upstream, proxy):
    server = upstream()
    good = one_router(server.url, rule="Host(`good.example`)")
    bad = one_router(server.url, rule="Host(`bad.example`)", plugin={"guest": {"headers": ["not", "a", "map"]}})["http"]
    dynamic = merge(good, {"http": {"routers": {"bad": bad["routers"]["r"]}, "middlewares": bad["middlewares"]}})
    p = proxy(dynamic, plugins={"guest": Plugin("go-header")})
    assert p.fetch(host="good.example").body == b"ok"
    assert p.fetch(host="bad.example").status == 404
    p.wait_log("go guest cannot read its configuration")
