"""The access log: the same requests give the same lines, but for times, ports and numbers of requests."""

import base64
import re

import pytest

from harness.client import Client, fetch
from harness.message import Closed
from harness.waiting import wait_until
from rig.backend import drop, reply, send
from rig.messages import get, post, raw, service

HASH = "$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"  # of "test"

DYNAMIC = {"http": {
    "routers": {
        "all": {"rule": "Host(`site.example`)", "service": "s", "middlewares": ["h"]},
        "none": {"rule": "Host(`none.example`)", "service": "none"},
        "refused": {"rule": "Host(`refused.example`)", "service": "refused"},
        "auth": {"rule": "Host(`auth.example`)", "service": "s", "middlewares": ["auth"]},
        "digest": {"rule": "Host(`digest.example`)", "service": "s", "middlewares": ["digest"]},
        "quiet": {"rule": "Host(`quiet.example`)", "service": "s", "observability": {"accessLogs": False}},
        "loud": {"rule": "Host(`loud.example`)", "service": "s", "entryPoints": ["silent"], "observability": {"accessLogs": True}},
        "strict": {"rule": "Host(`strict.example`)", "service": "s", "entryPoints": ["strict"]},
        "redirect": {"rule": "Host(`redirect.example`)", "service": "s", "middlewares": ["redirect"]},
        "prefix": {"rule": "Host(`prefix.example`)", "service": "s", "middlewares": ["prefix"]},
        "base": {"rule": "Host(`base.example`)", "service": "base"},
        "pong": {"rule": "Host(`pong.example`)", "service": "ping@internal"},
    },
    "middlewares": {
        "h": {"headers": {"customRequestHeaders": {"X-Add": "1"}, "customResponseHeaders": {"X-Resp": "2"}}},
        "auth": {"basicAuth": {"users": [f"test:{HASH}"]}},
        "digest": {"digestAuth": {"users": ["test:traefik:a2688e031edb4be6a3797f3882655c05"]}},
        "redirect": {"redirectScheme": {"scheme": "https"}},
        "prefix": {"addPrefix": {"prefix": "/p"}},
    },
    "services": {
        "s": service("a"), "none": service(),
        "refused": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}},
        "base": {"loadBalancer": {"servers": [{"url": "http://localhost:<<a>>/base/?q=1"}]}},
    },
}}


def basic(text):
    return ("Authorization", "Basic " + base64.b64encode(text).decode())


def whole(*lines, body=b""):
    return send("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + body)


# Name: request, or (request, script of the backend).
CASES = {
    "get": get(),
    "query": get("/a%2Fb?x=1;y&z=%20"),
    "empty-query": get("/?"),
    "escapes": get("/a%22b%3C%20%7e"),
    "dots": get("/a/../b//c"),
    "post": post("/p", b"hello"),
    "chunked": post("/p", chunks=(b"abc", b"d")),
    "head": (get(method="HEAD"), None),
    "options": get(method="OPTIONS"),
    "other-method": get(method="PROPFIND"),
    "version-1.0": get("/", ("Connection", "close, X-Foo"), ("X-Foo", "1"), version="1.0"),
    "agent": get("/", ("Referer", 'http://x/"q\\'), ("User-Agent", "ag\te\u00e9nt".encode().decode("latin-1"))),
    "bytes": get("/", ("User-Agent", "\xff<&>x"), ("Referer", "\u2028\u0085\U0001f600".encode().decode("latin-1"))),
    "empty-agent": get("/", ("User-Agent", "")),
    "two-lines": get("/", ("X-Many", "1"), ("x-many", "2"), ("X_Under", "3"), ("Cookie", "a=b")),
    "hop-by-hop": get("/", ("Te", "trailers"), ("Connection", "keep-alive, Te"), ("Keep-Alive", "x"), ("Proxy-Authorization", "x")),
    "forwarded": get("/", ("X-Forwarded-For", "1.2.3.4")),
    "host-with-port": get(host="site.example:8080"),
    "ipv6-host": get(host="[::1]:99"),
    "no-router": get(host="unknown.example"),
    "no-server": get(host="none.example"),
    "refused": get(host="refused.example"),
    "auth-right": get("/", basic(b"test:test"), host="auth.example"),
    "auth-wrong": get("/", basic(b"bad:test"), host="auth.example"),
    "auth-none": get(host="auth.example"),
    "digest-none": get(host="digest.example"),
    "router-off": get(host="quiet.example"),
    "redirect": get(host="redirect.example"),
    "prefix": get("/bar", host="prefix.example"),
    "server-with-path": get(host="base.example"),
    "internal": get(host="pong.example"),
    "ping": get("/ping", host="x.example"),
    "dropped": (get(), drop),
    "cut": (get(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", reset=True)),
    "not-modified": (get(), send(b"HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n")),
    "no-content": (get(), send(b"HTTP/1.1 204 No Content\r\n\r\n")),
    "error": (get(), reply(500, body=b"oops")),
    "headers": (get(), whole("Content-Length: 3", "Content-Type: text/x", "Date: Mon, 01 Jan 2024 00:00:00 GMT", "Set-Cookie: a=1",
                             "Set-Cookie: b=2", "x-lower: v", "Connection: X-Hop", "X-Hop: 1", body=b"abc")),
    "trailer": (get(), whole("Transfer-Encoding: chunked", "Trailer: X-T", body=b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")),
    "untold-trailer": (get(), whole("Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX-U: 1\r\n\r\n")),
    "options-star": raw("OPTIONS * HTTP/1.1", "Host: site.example"),
    "bad-field": raw("GET / HTTP/1.1", "Host: site.example", "X: a\x01b"),
    "bad-escape": get("/%zz"),
    "encoded-slash-denied": (get("/a%2Fb", host="strict.example"), None, "strict"),
    "underscore-refused": (get("/", ("X_Y", "1"), host="strict.example"), None, "strict"),
    "entry-point-off": (get(), None, "silent"),
    "entry-point-off-router-on": (get(host="loud.example"), None, "silent"),
    "entry-point-off-no-router": (get(host="unknown.example"), None, "silent"),
}

STATIC = {
    "ping": {"entryPoint": "web"},
    "entryPoints": {"strict": {"http": {"aliasHeadersStrategy": "reject", "encodedCharacters": {"allowEncodedSlash": False}}},
                    "silent": {"observability": {"accessLogs": False}}},
}

LOGS = {
    "json": {"format": "json", "fields": {"headers": {"defaultMode": "keep", "names": {"x-many": "drop", "COOKIE": "redact"}}}},
    "common": {"fields": {"headers": {"names": {"Referer": "keep", "user-agent": "keep"}}}},
    "generic": {"format": "genericCLF", "fields": {"headers": {"names": {"Referer": "redact", "user-agent": "keep"}}}},
    "dropped": {"fields": {"names": {"startutc": "drop", "ServiceURL": "drop", "RequestCount": "redact", "clienthost": "drop"},
                           "queryParameters": {"defaultMode": "drop"}}},
    "nothing": {"format": "json", "fields": {"defaultMode": "drop", "names": {"DownstreamStatus": "keep", "entrypointname": "keep"}}},
    "internals": {"addInternals": True},
    "filtered": {"filters": {"statusCodes": ["404", "500-599"]}},
    "unknown-words": {"format": "nonsense", "fields": {"defaultMode": "x", "headers": {"defaultMode": "y"}}, "filters": {"statusCodes": ["abc"]}},
}

MARKER = "/marker-of-the-case"


@pytest.fixture(scope="module", params=LOGS)
def pair(pairs, request):
    static = {**STATIC, "accessLog": {"filePath": "logs/access.log", **LOGS[request.param]}}
    pair = pairs(static=static, dynamic=DYNAMIC, entry_points=("web", "strict", "silent"))
    pair.log = request.param
    return pair


def lines_of(instance):
    path = instance.directory / "logs" / "access.log"
    return path.read_bytes().decode("latin-1").splitlines() if path.exists() else []


def plain(line, ports):
    """Without what no two runs have in common."""
    for port in ports:
        line = re.sub(rf"(?<=[\w\].]):{port}\b", ":(port)", line)
    line = re.sub(r'("(?:ClientAddr|ServiceAddr|ServiceURL)":"[^"]*?):\d{2,5}', r"\1:(port)", line)
    line = re.sub(r'"ClientPort":"\d+"', '"ClientPort":"(port)"', line)
    line = re.sub(r'"(StartLocal|StartUTC|time)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"', r'"\1":"(time)"', line)
    line = re.sub(r'"(Duration|Overhead|OriginDuration|RequestCount)":[1-9]\d*', r'"\1":(number)', line)
    line = re.sub(r'(nonce|opaque)=\\"[^"]+\\"', r"\1=(random)", line)
    line = re.sub(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]", "[(time)]", line)
    return re.sub(r'(?<=") \d+ ("[^"]*" "[^"]*") \d+ms$', r" (number) \1 (number)ms", line)


def written(pair, instance, message, script, entry_point):
    for backend in pair.backends:
        backend.begin(script)
    before = len(lines_of(instance))
    with Client(instance.ports[entry_point]) as client:
        client.send(message)
        try:
            client.response("HEAD" if message.startswith(b"HEAD") else "GET")
        except Closed:
            pass

    # What comes later on another connection may be written earlier: wait for a number of lines that settles.
    def marked():
        fetch(instance.ports["web"], "PUT", target=MARKER, host="unknown.example")
        found = lines_of(instance)[before:]
        return [found] if sum(1 for line in found if is_marker(line)) >= 2 else None

    def is_marker(line):
        return MARKER in line or (pair.log == "nothing" and line.startswith('{"DownstreamStatus":404,"entryPointName":"web"'))

    found = wait_until(marked, lambda: f"{instance.name} writes lines\n{instance.log()}")[0]
    ports = [*instance.ports.values(), *(backend.port for backend in pair.backends)]
    return sorted({plain(line, ports) for line in found if not is_marker(line)})


@pytest.mark.parametrize("name", CASES)
def test_line(pair, name):
    case = CASES[name] if isinstance(CASES[name], tuple) else (CASES[name],)
    message, script, entry_point = (*case, *(None, None, "web")[len(case):])
    theirs, ours = (written(pair, instance, message, script, entry_point) for instance in (pair.traefik, pair.weir))
    assert ours == theirs, f"\n{theirs}\n{ours}"


def test_client_that_leaves(pair):
    """Before its answer: 499, whoever asks."""
    def leave(instance):
        for backend in pair.backends:
            backend.begin(lambda connection, request: connection.peer_closed())
        with Client(instance.ports["web"]) as client:
            client.send(get("/leaves"))
            wait_until(lambda: pair.backends[0].seen, "the request is there")
        pair.backends[0].finish()
        found = []
        if pair.log != "filtered":
            found = wait_until(lambda: [line for line in lines_of(instance) if re.search(r'" 499 |Status":499', line)], "the line is there")
        ports = [*instance.ports.values(), *(backend.port for backend in pair.backends)]
        # Traefik has the answer that nobody gets pass through its middlewares.
        return [re.sub(r',"(downstream|origin)_X-Resp":"2"', "", plain(line, ports)) for line in found]

    assert leave(pair.weir) == leave(pair.traefik)
