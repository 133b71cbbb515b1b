"""What the upstream gets of a request and the client of a response: request line, headers, path and query."""

import socket

import pytest

from harness.proxy import ON_TRAEFIK, merge, one_router, servers
from harness.upstream import response_bytes


def test_request_as_the_upstream_sees_it(relay):
    proxy, upstream = relay
    response = proxy.fetch("GET", "/path?query=1", host="name.example:8080", headers=[("X-One", "1"), ("x-one", "2")])
    assert (response.status, response.body, response.version) == (200, b"ok", "HTTP/1.1")
    request = upstream.last
    assert request.start_line == "GET /path?query=1 HTTP/1.1"
    assert request.all("Host") == ["name.example:8080"]
    assert request.all("X-One") == ["1", "2"]
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Real-Ip") == "127.0.0.1"
    assert request.get("X-Forwarded-Host") == "name.example:8080"
    assert request.get("X-Forwarded-Port") == "8080"
    assert request.get("X-Forwarded-Proto") == "http"
    assert request.get("X-Forwarded-Server") == socket.gethostname()
    assert request.get("Connection") is None
    assert request.get("Via") is None
    assert request.get("User-Agent") is None


@pytest.mark.differs("Go's client asks upstreams for gzip on behalf of clients that did not")
def test_no_accept_encoding_is_invented(relay):
    proxy, upstream = relay
    proxy.fetch()
    assert upstream.last.get("Accept-Encoding") is None


def test_forwarded_port_without_port_in_host(relay):
    proxy, upstream = relay
    proxy.fetch(host="name.example")
    assert upstream.last.get("X-Forwarded-Port") == "80"


SPOOFED = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
           ("X-Forwarded-Port", "1"), ("X-Forwarded-Server", "evil"), ("X-Forwarded-Uri", "/evil"),
           ("X-Forwarded-Method", "EVIL"), ("X-Forwarded-Prefix", "/evil"), ("X-Real-Ip", "1.1.1.1"),
           ("X-Forwarded-Tls-Client-Cert", "evil"), ("X-Forwarded-Tls-Client-Cert-Info", "evil")]


@pytest.mark.parametrize("spelling", ["as documented", "underscores", "lower case"])
def test_untrusted_forwarding_headers_are_dropped(relay, spelling):
    proxy, upstream = relay
    spell = {"as documented": str, "underscores": lambda n: n.replace("-", "_"), "lower case": str.lower}[spelling]
    proxy.fetch(headers=[(spell(name), value) for name, value in SPOOFED])
    request = upstream.last
    assert request.all("X-Forwarded-For") == ["127.0.0.1"]
    assert request.all("X-Real-Ip") == ["127.0.0.1"]
    assert request.all("X-Forwarded-Proto") == ["http"]
    values = [value.lower() for _, value in request.headers]
    assert not any("evil" in value or value == "1.1.1.1" for value in values), request.headers


@pytest.mark.parametrize("trust", [{"insecure": True}, {"trustedIPs": ["127.0.0.0/8"]}], ids=["insecure", "trustedIPs"])
def test_trusted_forwarding_headers_are_kept(upstream, proxy, trust):
    server = upstream()
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"forwardedHeaders": trust}}})
    p.fetch(headers=SPOOFED + [("X-Forwarded-For", "2.2.2.2")])
    request = server.last
    assert request.all("X-Forwarded-For") == ["1.1.1.1, 2.2.2.2, 127.0.0.1"]
    assert request.get("X-Real-Ip") == "1.1.1.1"
    assert request.get("X-Forwarded-Proto") == "https"
    assert request.get("X-Forwarded-Host") == "evil.example"
    assert request.get("X-Forwarded-Port") == "1"
    assert request.get("X-Forwarded-Uri") == "/evil"
    assert request.get("X-Forwarded-Server") == socket.gethostname()


def test_not_append_x_forwarded_for(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"forwardedHeaders": {"notAppendXForwardedFor": True}}}})
    p.fetch()
    assert server.last.get("X-Forwarded-For") is None


def test_hop_by_hop_request_headers_are_dropped(relay):
    proxy, upstream = relay
    proxy.fetch(headers=[("Connection", "X-Drop, keep-alive, X-Forwarded-For"), ("X-Drop", "1"), ("Keep-Alive", "9"),
                         ("Proxy-Connection", "keep-alive"), ("TE", "trailers, deflate"), ("X-Keep", "1"),
                         ("Proxy-Authorization", "Basic x"), ("Proxy-Authenticate", "x")])
    request = upstream.last
    for name in ("X-Drop", "Keep-Alive", "Proxy-Connection", "Connection", "Proxy-Authorization", "Proxy-Authenticate"):
        assert request.get(name) is None, name
    assert request.get("TE") in (None, "trailers")
    assert request.get("X-Keep") == "1"
    assert request.get("X-Forwarded-For") == "127.0.0.1"


def test_hop_by_hop_response_headers_are_dropped(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(
        headers=[("Connection", "X-Drop"), ("X-Drop", "1"), ("Keep-Alive", "timeout=5"), ("X-Keep", "1"),
                 ("Server", "upstream"), ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Set-Cookie", "a=1"),
                 ("Set-Cookie", "b=2")], body=b"body")))
    response = proxy(one_router(server.url)).fetch()
    for name in ("X-Drop", "Keep-Alive", "Connection", "Via"):
        assert response.get(name) is None, name
    assert response.get("X-Keep") == "1"
    assert response.all("Server") == ["upstream"]
    assert response.all("Date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert response.all("Set-Cookie") == ["a=1", "b=2"]


def test_pass_host_header_off(upstream, proxy):
    server = upstream()
    dynamic = merge(one_router(server.url), {"http": {"services": {"s": {"loadBalancer": {"passHostHeader": False}}}}})
    proxy(dynamic).fetch(host="name.example")
    assert server.last.all("Host") == [f"127.0.0.1:{server.port}"]
    assert server.last.get("X-Forwarded-Host") == "name.example"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "M-SEARCH"])
def test_methods_pass(relay, method):
    proxy, upstream = relay
    assert proxy.fetch(method).status == 200
    assert upstream.last.method == method


TARGETS = [
    ("/", "/"),
    ("/a/b/c", "/a/b/c"),
    ("/%41%7E%2d", "/A~-"),
    ("/a%2Fb", "/a%2Fb"),
    ("/a%2fb", "/a%2Fb"),
    ("/a%20b", "/a%20b"),
    ("/a%25b", "/a%25b"),
    ("/a//b", "/a/b"),
    ("/a/./b", "/a/b"),
    ("/a/../b", "/b"),
    ("/a/%2e%2e/b", "/b"),
    ("/../../x", "/x"),
    ("/a/", "/a/"),
    ("/a/..", "/"),
    ("/a;b", "/a;b"),
    ("/a%3Bb", "/a%3Bb"),
    ("/a?x=1;y=2", "/a?x=1&y=2"),
    ("/a?x=%3B", "/a?x=%3B"),
    ("/a?", "/a?"),
    ("/a??b", "/a??b"),
    ("/a?x=%41", "/a?x=%41"),
    ("/a?x=/../y", "/a?x=/../y"),
    ("/%E4%BD%A0", "/%E4%BD%A0"),
    ("http://test.example/abs?q", "/abs?q"),
    ("/:@!$&'()*+,=", "/:@!$&'()*+,="),
]


@pytest.mark.parametrize("sent,expected", TARGETS)
def test_request_target(relay, sent, expected):
    proxy, upstream = relay
    response = proxy.fetch(target=sent)
    assert response.status == 200
    assert upstream.last.target == expected


def test_options_asterisk(relay):
    proxy, upstream = relay
    response = proxy.fetch("OPTIONS", "*")
    if response.status == 200 and upstream.requests:
        assert upstream.last.target in ("*", "/*")
    else:
        assert response.status in (200, 400, 404)


@pytest.mark.parametrize("target", ["/a#b", "/a%zz", "/a%2", "/%", "noslash", "/a b"])
def test_malformed_target_is_refused(relay, target):
    proxy, upstream = relay
    assert proxy.fetch(target=target).status == 400
    assert upstream.requests == []


ENCODED = {"Slash": "%2F", "BackSlash": "%5C", "NullCharacter": "%00", "Semicolon": "%3B", "Percent": "%25",
           "QuestionMark": "%3F", "Hash": "%23"}


@pytest.mark.parametrize("name", ENCODED)
def test_encoded_character_refused(upstream, proxy, name):
    server = upstream()
    option = {"http": {"encodedCharacters": {f"allowEncoded{name}": False}}}
    p = proxy(one_router(server.url), static={"entryPoints": {"web": option}})
    assert p.fetch(target=f"/a{ENCODED[name]}b").status == 400
    assert p.fetch(target=f"/a{ENCODED[name].lower()}b").status == 400
    assert server.requests == []
    assert p.fetch(target=f"/a?x={ENCODED[name]}").status == 200


def test_middleware_refuses_what_it_does_not_allow(upstream, proxy):
    """Each router allows one of them, and gets the others answered without a body."""
    server = upstream()
    routers = {name: {"rule": f"Host(`{name.lower()}.test`)", "service": "app", "middlewares": [name]} for name in ENCODED}
    middlewares = {name: {"encodedCharacters": {f"allowEncoded{name}": True}} for name in ENCODED}
    p = proxy({"http": {"routers": routers, "services": {"app": servers(server.url)}, "middlewares": middlewares}})
    for allowed in ENCODED:
        for name, code in ENCODED.items():
            answer = p.fetch(host=f"{allowed.lower()}.test", target=f"/a{code}b?x={code}")
            assert (answer.status, answer.body == b"") == ((200, False) if name == allowed else (400, True)), (allowed, name)
    assert len(server.requests) == len(ENCODED)


@pytest.mark.parametrize("name", ENCODED)
def test_encoded_character_allowed_by_default(relay, name):
    proxy, upstream = relay
    assert proxy.fetch(target=f"/a{ENCODED[name]}b").status == 200
    assert upstream.last.target == f"/a{ENCODED[name]}b"


def test_sanitize_path_off(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"http": {"sanitizePath": False}}}})
    p.fetch(target="/a//b/../c")
    assert server.last.target == "/a//b/../c"


def test_encode_query_semicolons(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"http": {"encodeQuerySemicolons": True}}}})
    p.fetch(target="/a?x=1;y=2")
    assert server.last.target == "/a?x=1%3By=2"


@pytest.mark.parametrize("preserve,expected", [(False, "/a?q=1"), (True, "/base/a?q=1")])
def test_server_url_path(upstream, proxy, preserve, expected):
    server = upstream()
    service = {"loadBalancer": {"servers": [{"url": server.url + "/base/", "preservePath": preserve}]}}
    proxy(merge(one_router(server.url), {"http": {"services": {"s": service}}})).fetch(target="/a?q=1")
    assert server.last.target == expected


def test_response_status_line_and_headers_pass(upstream, proxy):
    server = upstream(lambda connection, request: connection.send(response_bytes(
        418, [("X-A", "1"), ("X-A", "2"), ("x-lower", "v"), ("Content-Type", "text/x")], b"tea", reason="Teapot")))
    response = proxy(one_router(server.url)).fetch()
    assert (response.status, response.body) == (418, b"tea")
    assert response.all("X-A") == ["1", "2"]
    assert response.get("X-Lower") == "v"
    assert response.all("Content-Type") == ["text/x"]


def test_no_content_type_is_invented(relay):
    proxy, _ = relay
    assert proxy.fetch().get("Content-Type") is None


@pytest.mark.parametrize("strategy,expected", [("keep", "1"), ("delete", None)])
@pytest.mark.differs("Traefik 3.7.15 renamed the option to aliasHeadersStrategy")
def test_underscore_headers(upstream, proxy, strategy, expected):
    server = upstream()
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"http": {"underscoreHeadersStrategy": strategy}}}})
    assert p.fetch(headers=[("X_Custom", "1")]).status == 200
    assert server.last.get("X_Custom") == expected


@pytest.mark.differs("Traefik 3.7.15 renamed the option to aliasHeadersStrategy")
def test_underscore_headers_rejected(upstream, proxy):
    server = upstream()
    p = proxy(one_router(server.url), static={"entryPoints": {"web": {"http": {"underscoreHeadersStrategy": "reject"}}}})
    assert p.fetch(headers=[("X_Custom", "1")]).status == 400
    assert server.requests == []
