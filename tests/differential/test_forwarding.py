"""X-Forwarded headers by trust, hop-by-hop fields, Host, names with underscores, and fields in general."""

import pytest

from harness.client import fetch
from rig.backend import reply
from rig.known import statuses, with_differences
from rig.messages import everything, get, raw
from rig.observe import Case

ENTRY_POINTS = {
    "web": {},
    "insecure": {"forwardedHeaders": {"insecure": True}},
    "trusted": {"forwardedHeaders": {"trustedIPs": ["127.0.0.0/8"]}},
    "others": {"forwardedHeaders": {"trustedIPs": ["10.0.0.0/8", "192.168.1.1"]}},
    "allowed": {"forwardedHeaders": {"connection": ["X-Custom", "x-lower"]}},
    "unappended": {"forwardedHeaders": {"insecure": True, "notAppendXForwardedFor": True}},
    "aliasdelete": {"http": {"aliasHeadersStrategy": "delete"}},
    "aliasreject": {"http": {"aliasHeadersStrategy": "reject"}},
    "aliaskeep": {"http": {"aliasHeadersStrategy": "keep"}},
    "underscoredelete": {"http": {"underscoreHeadersStrategy": "delete"}},
    "underscorereject": {"http": {"underscoreHeadersStrategy": "reject"}},
}

FORWARDED = (
    ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "444"),
    ("X-Forwarded-Server", "evil"), ("X-Forwarded-Uri", "/evil"), ("X-Forwarded-Method", "EVIL"), ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-Tls-Client-Cert", "cert"), ("X-Forwarded-Tls-Client-Cert-Info", "info"), ("X-Forwarded-Scheme", "https"),
    ("X-Scheme", "https"), ("X-Real-Ip", "4.3.2.1"), ("Forwarded", "for=1.2.3.4"), ("X-Forwarded-User", "root"), ("X-Forwarded-Ssl", "on"),
    ("X-Original-Url", "/o"), ("X-Rewrite-Url", "/r"), ("Via", "1.1 x"),
)
UNDERSCORES = tuple((name.replace("-", "_"), value) for name, value in FORWARDED) + (("X_Other", "o"), ("X-Forwarded_For", "9.9.9.9"))

# Name: header lines.
FIELDS = {
    "none": (), "all": FORWARDED, "underscores": UNDERSCORES,
    "for-two-lines": (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2, 3.3.3.3")),
    "for-empty": (("X-Forwarded-For", ""),), "for-garbage": (("X-Forwarded-For", "<script>"),),
    "proto-two": (("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "https")), "proto-empty": (("X-Forwarded-Proto", ""),),
    "real-ip-two": (("X-Real-Ip", "1.1.1.1"), ("X-Real-Ip", "2.2.2.2")), "host-two": (("X-Forwarded-Host", "a"), ("X-Forwarded-Host", "b")),
    "port-only": (("X-Forwarded-Port", "8443"),), "proto-https": (("X-Forwarded-Proto", "https"),), "proto-wss": (("X-Forwarded-Proto", "wss"),),
    "connection-for": (("Connection", "X-Forwarded-For, X-Real-Ip, X-Forwarded-Host"),) + FORWARDED,
}

CONNECTION = {
    "close": ("close", (), "read"), "keep-alive": ("keep-alive", (("Keep-Alive", "timeout=5"),), "probe"), "empty": ("", (), "probe"),
    "listed": ("X-Custom", (("X-Custom", "1"), ("X-Kept", "2")), "probe"), "listed-lower": ("x-custom, X-LOWER", (("X-Custom", "1"), ("X-Lower", "2")), "probe"),
    "listed-spaces": (" , X-Custom ,, x-kept ", (("X-Custom", "1"), ("X-Kept", "2")), "probe"),
    "listed-close": ("close, X-Custom", (("X-Custom", "1"),), "read"), "listed-host": ("Host", (), "probe"), "listed-absent": ("X-Absent", (), "probe"),
    "listed-te": ("TE", (("TE", "trailers"),), "probe"), "listed-te-list": ("te", (("Te", "gzip, trailers;q=0.5"),), "probe"),
    "te-gzip": ("te", (("Te", "gzip"),), "probe"), "te-unlisted": ("keep-alive", (("Te", "trailers"),), "probe"),
    "standard": ("keep-alive", (("Proxy-Connection", "x"), ("Proxy-Authenticate", "x"), ("Proxy-Authorization", "x"), ("Trailer", "X-T"),
                                ("Keep-Alive", "x")), "probe"),
    "listed-cookie": ("cookie, authorization", (("Cookie", "a=b"), ("Authorization", "Basic x")), "probe"),
    "upgrade-alone": ("keep-alive", (("Upgrade", "websocket"),), "probe"),
}

ORDINARY = {
    "cookies-two": (("Cookie", "a=1"), ("Cookie", "b=2")), "accept-two": (("Accept", "a"), ("Accept", "b")), "empty-value": (("X-Empty", ""),),
    "spaces": (("X-Spaces", "  a  b  "),), "tab": (("X-Tab", "a\tb"),), "latin": (("X-Latin", "caf\xe9"),), "no-agent": (),
    "agent": (("User-Agent", "test/1"),), "agent-empty": (("User-Agent", ""),), "odd-name": (("x!#$%&'*+-.^_`|~9", "odd"),), "colon": (("X-Colon", "a:b:c"),),
    "coding": (("Accept-Encoding", "br"),), "coding-gzip": (("Accept-Encoding", "gzip"),), "coding-identity": (("Accept-Encoding", "identity"),),
    "range": (("Range", "bytes=0-1"),), "content-type-get": (("Content-Type", "text/plain"),), "expect-other": (("Expect", "200-ok"),),
    "date": (("Date", "now"),), "authorization": (("Authorization", "Bearer x"),), "long": (("X-Long", "v" * 5000),), "many": tuple((f"X-{i}", str(i)) for i in range(200)),
    "x-http-method": (("X-HTTP-Method-Override", "PUT"),), "origin": (("Origin", "http://a"), ("Referer", "http://b/")), "lower": (("x-lower-case", "a"),),
    "dup-lines": (("X-Dup", "1"), ("x-dup", "2"), ("X-DUP", "3")), "traefik-router": (("X-Traefik-Router", "x"),), "if-none": (("If-None-Match", '"x"'),),
    "max-forwards": (("Max-Forwards", "0"),), "warning": (("Warning", "110 x"),), "http2-settings": (("HTTP2-Settings", "AAA"),),
}

HOSTS = {
    "upper": "SITE.Example", "port": "site.example:8080", "port-80": "site.example:80", "port-443": "site.example:443", "dot": "site.example.",
    "v4": "127.0.0.1", "v4-port": "127.0.0.1:99", "v6": "[::1]", "v6-port": "[::1]:8080", "v6-bare": "::1", "v6-zone": "[fe80::1%25eth0]:80",
    "empty": "", "port-empty": "site.example:", "port-only": ":80", "port-bad": "site.example:x", "port-huge": "site.example:99999", "underscore": "my_site.example",
    "space-around": "  site.example  ", "comma": "a.example,b.example", "percent": "a%20b", "user": "u@site.example", "slash": "site.example/x",
    "space": "a b", "quote": 'a"b', "angle": "a<b", "backslash": "a\\b", "hash": "a#b", "question": "a?b", "star": "*", "latin": "caf\xe9.example",
    "brackets": "[site]", "bracket-open": "[::1", "long": "a" * 300 + ".example", "semicolon": "a;b", "plus": "a+b", "tilde": "a~b", "bang": "a!$&'()b",
}

RESPONSES = {
    "plain": (200, (("X-A", "1"),)), "hop-by-hop": (200, (("Connection", "X-Gone"), ("X-Gone", "1"), ("Keep-Alive", "timeout=1"), ("X-Kept", "1"),
                                                   ("Proxy-Authenticate", "x"), ("Proxy-Connection", "x"), ("Te", "x"), ("Upgrade", "x"))),
    "server": (200, (("Server", "backend/1"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"), ("Via", "1.1 b"))), "cookies": (200, (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))),
    "lower": (200, (("x-lower", "1"),)), "empty-value": (200, (("X-Empty", ""),)), "latin": (200, (("X-L", "caf\xe9"),)), "tab": (200, (("X-T", "a\tb"),)),
    "type": (200, (("Content-Type", "text/html"),)), "location": (302, (("Location", "/x"),), "Found"), "location-absolute": (301, (("Location", "http://127.0.0.1/x"),), "Moved Permanently"),
    "forwarded": (200, (("X-Forwarded-For", "1"), ("X-Real-Ip", "2"))), "alt-svc": (200, (("Alt-Svc", 'h3=":443"'),)), "coding": (200, (("Content-Encoding", "gzip"),)),
    "connection-close": (200, (("Connection", "close"),)), "dup": (200, (("X-D", "1"), ("X-D", "2"), ("x-d", "3"))), "authenticate": (401, (("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Digest x")), "Unauthorized"),
    "refresh": (200, (("Refresh", "1"), ("Trailer", "X-None"))), "huge-value": (200, (("X-Huge", "h" * 20000),)), "many": (200, tuple((f"X-{i}", "v") for i in range(300))),
    "bad-date": (200, (("Date", "x"),)), "underscore": (200, (("X_U", "1"),)), "transport": (200, (("Strict-Transport-Security", "max-age=1"),)),
}

MALFORMED = ("400 Bad Request: malformed Host header", "400 Bad Request", "error-texts")
DIFFERS = {
    **statuses(*MALFORMED, *(f"host-{name}" for name in ("user", "slash", "space", "quote", "angle", "backslash", "hash", "question", "latin"))),
    **statuses("400 Bad Request: missing required Host header", "400 Bad Request", "error-texts", "host-missing"),
    "fields-agent-empty": {"differs": {"upstream0.header.user-agent": (None, [""])}, "why": "empty-user-agent"},
    "host-v6-zone": {"differs": {"upstream0.header.host": (["[fe80::1]:80"], ["[fe80::1%25eth0]:80"])}, "why": "host-zone"},
    "response-coding": {"differs": {"ending": ("closed", "kept, 503")}, "why": "accept-encoding", "loosely": True},
}


def cases():
    for entry_point in ENTRY_POINTS:
        for name, fields in FIELDS.items():
            yield Case(f"{entry_point}-{name}", [get("/", *fields)], entry_point=entry_point)
    for entry_point in ("web", "allowed"):
        for name, (value, fields, ending) in CONNECTION.items():
            yield Case(f"{entry_point}-connection-{name}", [get("/", ("Connection", value), *fields)], entry_point=entry_point, ending=ending)
    for name, fields in ORDINARY.items():
        yield Case(f"fields-{name}", [get("/", *fields)])
    for name, host in HOSTS.items():
        yield Case(f"host-{name}", [get(host=host)])
    for name, (status, fields, *reason) in RESPONSES.items():
        yield Case(f"response-{name}", [get()], script=reply(status, fields, reason=reason[0] if reason else "OK"))
    yield Case("host-missing", [raw("GET / HTTP/1.1", "X-A: b")])
    yield Case("host-two", [raw("GET / HTTP/1.1", "Host: a", "Host: b")])
    yield Case("host-two-same", [raw("GET / HTTP/1.1", "Host: a", "Host: a")])
    yield Case("host-1.0-missing", [raw("GET / HTTP/1.0")], ending="read")
    yield Case("host-1.0", [raw("GET / HTTP/1.0", "Host: a.example:81")], ending="read")
    yield Case("connection-two-lines", [get("/", ("Connection", "X-A"), ("Connection", "X-B"), ("X-A", "1"), ("X-B", "2"), ("X-C", "3"))])


@pytest.fixture(scope="module")
def pair(pairs):
    static = {"entryPoints": {name: options for name, options in ENTRY_POINTS.items() if options}}
    return pairs(static=static, dynamic=everything(), entry_points=tuple(ENTRY_POINTS))


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_forwarding(pair, case):
    pair.check(case)


def test_no_coding_is_invented(pair):
    """What `forget_invented_coding` hides from all other cases."""
    for instance, expected in ((pair.traefik, ["gzip"]), (pair.weir, [])):
        backend = pair.backends[0]
        backend.begin(None)
        assert fetch(next(iter(instance.ports.values()))).status == 200
        assert backend.finish()[0].all("Accept-Encoding") == expected, instance.name


def test_pass_host_header_off(pairs):
    pair = pairs(dynamic=everything({"passHostHeader": False}))
    for host in ("site.example", "SITE.example:8080"):
        pair.check(Case("passHostHeader", [get(host=host)]))
