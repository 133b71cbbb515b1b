"""Middlewares that answer by themselves: redirects and lists of addresses; and the one that guesses content types."""

import pytest

from rig.backend import reply, send
from rig.known import Either, keys, statuses, with_differences
from rig.messages import get, post, raw, service
from rig.observe import Case

REDIRECTS = {
    "scheme": {"redirectScheme": {"scheme": "https"}},
    "scheme-permanent": {"redirectScheme": {"scheme": "https", "permanent": True}},
    "scheme-port": {"redirectScheme": {"scheme": "https", "port": "8443"}},
    "scheme-443": {"redirectScheme": {"scheme": "https", "port": "443"}},
    "scheme-80": {"redirectScheme": {"scheme": "https", "port": "80"}},
    "scheme-http": {"redirectScheme": {"scheme": "http"}},
    "scheme-http-port": {"redirectScheme": {"scheme": "http", "port": "8080"}},
    "scheme-other": {"redirectScheme": {"scheme": "ftp"}},
    "scheme-upper": {"redirectScheme": {"scheme": "HTTPS"}},
    "scheme-word-port": {"redirectScheme": {"scheme": "https", "port": "x"}},
    "scheme-none": {"redirectScheme": {"port": "1"}},
    "regex": {"redirectRegex": {"regex": "^http://([^/]+)/old/(.*)", "replacement": "http://$1/new/${2}"}},
    "regex-permanent": {"redirectRegex": {"regex": "^http://([^/]+)/old/(.*)", "replacement": "https://other.example/$2", "permanent": True}},
    "regex-relative": {"redirectRegex": {"regex": "^http://[^/]+(/old.*)", "replacement": "/elsewhere$1"}},
    "regex-word": {"redirectRegex": {"regex": ".*", "replacement": "word"}},
    "regex-empty": {"redirectRegex": {"regex": ".*", "replacement": ""}},
    "regex-same": {"redirectRegex": {"regex": "(.*)", "replacement": "$1"}},
    "regex-part": {"redirectRegex": {"regex": "old", "replacement": "new"}},
    "regex-spaces": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://other.example/a b/é?q=a b#f g"}},
    "regex-fragment": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://other.example/#"}},
    "regex-user": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://user:pass@other.example:81/$1"}},
    "regex-upper": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "HTTP://Other.Example/$1"}},
    "regex-no-path": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "https://other.example"}},
    "regex-query-only": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "?a=b"}},
    "regex-network": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "//other.example/$1"}},
    "regex-three-slashes": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "///other.example/$1"}},
    "regex-opaque": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "mailto:a@example"}},
    "regex-bad-percent": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://other.example/%zz"}},
    "regex-bad-port": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://other.example:x/"}},
    "regex-bad-host": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://oth er/"}},
    "regex-bad-scheme": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": ":foo"}},
    "regex-colon": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "1a:b"}},
    "regex-v6": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://[::1]:80/$1"}},
    "regex-empty-port": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http://other.example:/$1"}},
    "regex-slash-host": {"redirectRegex": {"regex": "^http://[^/]+/old/(.*)", "replacement": "http:///$1"}},
    "regex-broken": {"redirectRegex": {"regex": "(", "replacement": "/"}},
    "regex-nothing": {"redirectRegex": {"permanent": True}},
}

ADDRESSES = {
    "peer": {"sourceRange": ["127.0.0.1"]},
    "peer-network": {"sourceRange": ["127.0.0.0/8"]},
    "peer-other": {"sourceRange": ["10.0.0.0/8"]},
    "peer-v6": {"sourceRange": ["::1", "fe80::/10"]},
    "peer-status": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 404},
    "peer-status-418": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 418},
    "peer-status-204": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 204},
    "peer-status-200": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 200},
    "peer-status-0": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 0},
    "peer-status-103": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 103},
    "peer-status-bad": {"sourceRange": ["10.0.0.0/8"], "rejectStatusCode": 299},
    "peer-subnet": {"sourceRange": ["127.0.0.1"], "ipStrategy": {"ipv6Subnet": 64}},
    "peer-empty-strategy": {"sourceRange": ["127.0.0.1"], "ipStrategy": {}},
    "depth-1": {"sourceRange": ["10.0.0.1", "2001:db8::1"], "ipStrategy": {"depth": 1}},
    "depth-2": {"sourceRange": ["10.0.0.0/8"], "ipStrategy": {"depth": 2}},
    "depth-subnet": {"sourceRange": ["2001:db8::"], "ipStrategy": {"depth": 1, "ipv6Subnet": 64}},
    "depth-subnet-1": {"sourceRange": ["::", "10.0.0.1"], "ipStrategy": {"depth": 1, "ipv6Subnet": 1}},
    "depth-excluded": {"sourceRange": ["10.0.0.1"], "ipStrategy": {"depth": 1, "excludedIPs": ["10.0.0.1"]}},
    "depth-negative": {"sourceRange": ["127.0.0.1"], "ipStrategy": {"depth": -1}},
    "excluded": {"sourceRange": ["10.0.0.1", "2001:db8::/32"], "ipStrategy": {"excludedIPs": ["192.168.0.0/16", "10.9.9.9"]}},
    "excluded-subnet": {"sourceRange": ["2001:db8::"], "ipStrategy": {"excludedIPs": ["192.168.0.0/16"], "ipv6Subnet": 64}},
    "excluded-subnet-bad": {"sourceRange": ["2001:db8::1"], "ipStrategy": {"excludedIPs": ["192.168.0.0/16"], "ipv6Subnet": 200}},
    "bad-empty": {"sourceRange": []},
    "bad-range": {"sourceRange": ["10.0.0.0/33"]},
    "bad-name": {"sourceRange": ["localhost"]},
    "bad-excluded": {"sourceRange": ["10.0.0.1"], "ipStrategy": {"excludedIPs": ["x"]}},
    "bad-subnet": {"sourceRange": ["10.0.0.1"], "ipStrategy": {"ipv6Subnet": 129}},
    "bad-subnet-0": {"sourceRange": ["10.0.0.1"], "ipStrategy": {"depth": 1, "ipv6Subnet": 0}},
}
FLIGHTS = {
    "one": {"amount": 1}, "zero": {"amount": 0}, "negative": {"amount": -1}, "none": {"sourceCriterion": {"requestHost": True}}, "zero-header": {"amount": 0, "sourceCriterion": {"requestHeaderName": "X-Who"}},
    "one-ip": {"amount": 1, "sourceCriterion": {"ipStrategy": {"depth": 1}}}, "two-criteria": {"amount": 1, "sourceCriterion": {"requestHost": True, "requestHeaderName": "X"}},
    "two-others": {"amount": 1, "sourceCriterion": {"requestHost": True, "ipStrategy": {"depth": 1}}}, "bad-subnet": {"amount": 1, "sourceCriterion": {"ipStrategy": {"ipv6Subnet": 500}}},
}
RATES = {
    "one": {"average": 1, "period": "1h"}, "three": {"average": 1, "period": "1h", "burst": 3}, "off": {"average": 0}, "no-average": {"burst": 1}, "negative": {"average": -5}, "burst-0": {"average": 1, "period": "1h", "burst": 0},
    "burst-negative": {"average": 1, "period": "1h", "burst": -3}, "bad-period": {"average": 1, "period": "-1s"}, "day": {"average": 2, "period": "24h"}, "host": {"average": 1, "period": "1h", "sourceCriterion": {"requestHost": True}},
    "header": {"average": 1, "period": "1h", "sourceCriterion": {"requestHeaderName": "X-Who"}}, "ip": {"average": 1, "period": "1h", "sourceCriterion": {"ipStrategy": {"depth": 1}}}, "subnet": {"average": 1, "period": "1h", "sourceCriterion": {"ipStrategy": {"depth": 1, "ipv6Subnet": 64}}},
    "excluded": {"average": 1, "period": "1h", "sourceCriterion": {"ipStrategy": {"excludedIPs": ["10.9.9.9"]}}}, "two-criteria": {"average": 1, "sourceCriterion": {"requestHost": True, "requestHeaderName": "X"}},
    "bad-subnet": {"average": 1, "sourceCriterion": {"ipStrategy": {"ipv6Subnet": 500}}},
}
# The time until there is a token again goes on between requests; tests/e2e looks at it.
MOMENT = tuple(f"answer{i}.header.{name}" for i in range(4) for name in ("retry-after", "x-retry-in"))
FORWARDED_FOR = ["", "10.0.0.1", "2001:db8::1", "1.1.1.1, 10.0.0.1", "10.0.0.1, 192.168.1.1", "10.0.0.1,192.168.1.1,, ", "10.0.0.1:80", "[2001:db8::1]:443", "2001:db8::1%eth0", "10.0.0.1, nonsense", "::ffff:10.0.0.1",
                 "010.0.0.1", "192.168.1.1", "10.0.0.1 ,10.0.0.2", " 10.0.0.1", ",", "10.0.0.1,", "2001:db8:0:0:5::1, 10.9.9.9"]

BODIES = {
    "text": b"plain text", "html": b"  <!doctype html><p>", "html-tag": b"<b>bold</b>", "html-no": b"<bold>", "html-comment": b"<!-- x", "xml": b"\n<?xml version", "pdf": b"%PDF-1.4", "ps": b"%!PS-Adobe-3", "gif": b"GIF89a..",
    "png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff\xe0", "webp": b"RIFF\1\2\3\4WEBPVP8 ", "bmp": b"BM...", "icon": b"\0\0\1\0x", "cursor": b"\0\0\2\0x", "aiff": b"FORM\1\2\3\4AIFF", "mp3": b"ID3\3", "ogg": b"OggS\0", "midi": b"MThd\0\0\0\6",
    "avi": b"RIFF\1\2\3\4AVI LIST", "wave": b"RIFF\1\2\3\4WAVEfmt", "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "mp4-brand": b"\0\0\0\x14ftypisom\0\0\0\0mp41", "mp4-version": b"\0\0\0\x10ftypisommp41", "mp4-short": b"\0\0\0\x28ftypmp42\0\0\0\0",
    "webm": b"\x1a\x45\xdf\xa3", "eot": b"\1" * 34 + b"LP", "ttf": b"\0\1\0\0", "otf": b"OTTO", "ttc": b"ttcf", "woff": b"wOFF", "woff2": b"wOF2", "gzip": b"\x1f\x8b\x08", "zip": b"PK\3\4", "rar": b"Rar!\x1a\7\0", "rar5": b"Rar!\x1a\7\1\0",
    "wasm": b"\0asm", "binary": b"abc\0def", "escape": b"abc\x1bdef", "utf8": "é".encode(), "utf8-bom": b"\xef\xbb\xbfabc", "utf16": b"\xfe\xff\0a", "utf16le": b"\xff\xfea\0", "utf16-short": b"\xfe\xff", "spaces": b"   \n\t ", "one": b"x",
    "late-binary": b"x" * 511 + b"\0", "later-binary": b"x" * 512 + b"\0", "long": b"y" * 100000, "json": b"{}", "high": b"\x80\x81",
}


def on(name, *requests, suffix="", **options):
    return Case(f"{name}{suffix}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], **options)


def redirect_cases():
    for name in REDIRECTS:
        for target in ("/old/x?a=b", "/", "/old/%2f%20"):
            yield on(name, get(target), suffix=f" {target}")
        yield on(name, post("/old/x"), suffix=" post")
        yield on(name, get("/old/x", method="HEAD"), suffix=" head")
    for name in ("scheme", "scheme-port", "scheme-http", "scheme-http-port", "scheme-443", "regex"):
        for port in ("80", "443", "8080", "8443"):
            yield on(name, get("/old/x", host=f"{name}.example:{port}"), suffix=f" port {port}")
        for proto in ("https", "http", "ws", "wss", "HTTPS", "nonsense", ""):
            yield on(name, get("/old/x", ("X-Forwarded-Proto", proto)), suffix=f" proto {proto}", entry_point="trusting")
            yield on(name, get("/old/x", ("X-Forwarded-Proto", proto)), suffix=f" untrusted {proto}")
        yield on(name, get("/old/x", method="OPTIONS"), suffix=" options")
        yield on(name, get("/old/x", version="1.0"), suffix=" 1.0", ending="read")
        yield on(name, get("/old/x?"), suffix=" empty query")
        yield on(name, raw(f"GET http://{name}.example:82/old/x HTTP/1.1", "Host: other.example"), suffix=" absolute")
        yield on(name, get("/old//x/../y"), suffix=" unsanitized", entry_point="plain")
        if name != "scheme-http":
            yield on(name, get("/old/x", ("Connection", "Upgrade"), ("Upgrade", "websocket")), suffix=" websocket")
        yield on(name, get("/old/x"), get("/other"), get("/old/y"), suffix=" kept alive")
    yield Case("scheme v6", [raw("GET /old/x HTTP/1.1", "Host: [::1]:8080")])
    yield Case("scheme v6 without port", [raw("GET /old/x HTTP/1.1", "Host: [::1]")])
    yield on("plugin-redirect", get("/old/x"))
    yield on("redirect-plugin", get("/old/x"))
    yield on("strip-redirect", get("/old/old/x"))
    yield on("redirect-strip", get("/old/old/x"))
    yield on("header-redirect", get("/old/x"))


def address_cases():
    for name in ADDRESSES:
        yield on(f"ip-{name}", get())
        if name.startswith(("depth", "excluded", "peer-empty")):
            for value in FORWARDED_FOR:
                yield on(f"ip-{name}", get("/", ("X-Forwarded-For", value)), suffix=f" for {value}", entry_point="trusting")
            yield on(f"ip-{name}", get("/", ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2")), suffix=" two lines", entry_point="trusting")
            yield on(f"ip-{name}", get("/", ("X-Forwarded-For", "10.0.0.1")), suffix=" untrusted")
    for name in ("white", "white-other", "white-depth"):
        yield on(name, get())
    yield on("ip-peer-other", get(method="HEAD"), suffix=" head")
    yield on("ip-peer-other", post(), suffix=" post")
    yield on("ip-plugin", get())
    for name in FLIGHTS:
        yield on(f"flight-{name}", get(), get(), suffix=" twice")
        yield on(f"flight-{name}", get(method="HEAD"), suffix=" head")
    yield on("plugin-ip", get())


def rate_cases():
    """Each once: the buckets are those of the case before."""
    for name in RATES:
        if name in ("header", "ip", "subnet", "excluded"):
            continue
        yield on(f"rate-{name}", get(), get(method="HEAD"), post(), get(), ignore=MOMENT)
    yield on("rate-header", get("/", ("X-Who", "a")), get("/", ("X-Who", "b")), get("/", ("x-who", "a")), get("/", ("X-Who", "A")), ignore=MOMENT)
    yield on("rate-header", get(), get("/", ("X-Who", "")), suffix=" without", ignore=MOMENT)
    for name, values in {"ip": ["10.0.0.1", "10.0.0.2", "10.0.0.1", "1.1.1.1, 10.0.0.2"], "subnet": ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "10.0.0.1"], "excluded": ["10.0.0.1", "10.0.0.1, 10.9.9.9", "10.0.0.2, 10.0.0.1", "nonsense"]}.items():
        yield on(f"rate-{name}", *(get("/", ("X-Forwarded-For", value)) for value in values), entry_point="trusting", ignore=MOMENT)
    yield on("rate-plugin", get(), get(), ignore=MOMENT)
    yield on("plugin-rate", get(), get(), ignore=MOMENT)


def type_cases():
    for name, body in BODIES.items():
        yield on("type", get(), script=reply(body=body), suffix=f" {name}")
    for name in ("type", "type-off", "type-on", "no-type"):
        yield on(name, get(), script=reply(body=b"<html>"), suffix=" plain")
        yield on(name, get(), script=reply(chunks=[b"<ht", b"ml>", b"x" * 600]), suffix=" chunked")
        yield on(name, get(), script=reply(headers=[("Content-Type", "x/y")], body=b"<html>"), suffix=" typed")
        yield on(name, get(), script=reply(headers=[("Content-Type", "")], body=b"<html>"), suffix=" empty type")
        yield on(name, get("/", ("Accept-Encoding", "gzip")), script=reply(headers=[("Content-Encoding", "gzip")], body=b"<html>"), suffix=" encoded")
        yield on(name, get(method="HEAD"), script=reply(headers=[("Content-Length", "6")], body=b""), suffix=" head")
        yield on(name, get(), script=reply(status=204, reason="No Content", body=b""), suffix=" 204")
        yield on(name, get(), script=reply(status=304, reason="Not Modified", body=b""), suffix=" 304")
        yield on(name, get(), script=reply(body=b""), suffix=" empty")
        yield on(name, get(), script=send(b"HTTP/1.1 200 OK\r\n\r\n<html>", close=True), suffix=" until close")
        yield on(name, get(), script=reply(status=500, reason="Internal Server Error", body=b"<html>"), suffix=" 500")
    for name in ("type-redirect", "redirect-type", "type-ip", "ip-type", "type-plugin", "plugin-type"):
        yield on(name, get("/old/x"))
    for name in ("type-packed", "packed-type"):
        for coding in ("gzip", "br", "zstd"):
            yield on(name, get("/", ("Accept-Encoding", coding)), script=reply(body=b"<html>" * 1000), suffix=f" {coding}", ignore=("answer0.body", "answer0.header.content-length", "answer0.header.transfer-encoding"))


HTML = ["text/html; charset=utf-8"]
RACES = {"differs": {"answer0.header.content-type": (Either(None, HTML), HTML)}, "why": "content-type-streams", "loosely": True}
DIFFERS = {
    **statuses("502 Bad Gateway", "302 Found", "redirect-v6", "scheme v6"),
    **statuses("200 OK", "404 Not Found", "reject-status", "ip-peer-status-103"),
    **keys("compress-type", "packed-type br", "packed-type zstd", answer0__header__content_type=(None, HTML)),
    **{f"{name} {how}": RACES for name in ("type", "type-on") for how in ("chunked", "until close")},
}


@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {**REDIRECTS, **{f"ip-{name}": {"ipAllowList": options} for name, options in ADDRESSES.items()},
                   **{f"flight-{name}": {"inFlightReq": options} for name, options in FLIGHTS.items()}, **{f"rate-{name}": {"rateLimit": options} for name, options in RATES.items()},
                   **{f"rate-order-{i}": {"rateLimit": RATES["one"]} for i in range(2)},
                   "white": {"ipWhiteList": {"sourceRange": ["127.0.0.1"]}}, "white-other": {"ipWhiteList": {"sourceRange": ["10.0.0.1"]}},
                   "white-depth": {"ipWhiteList": {"sourceRange": ["10.0.0.1"], "ipStrategy": {"depth": 1}}},
                   "type": {"contentType": {}}, "type-off": {"contentType": {"autoDetect": False}}, "type-on": {"contentType": {"autoDetect": True}},
                   "packed": {"compress": {}}, "strip": {"stripPrefix": {"prefixes": ["/old"]}}, "plugin": {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}}
    sequences = {"plugin-redirect": ["plugin", "regex"], "redirect-plugin": ["regex", "plugin"], "strip-redirect": ["strip", "regex"], "redirect-strip": ["regex-part", "strip"], "header-redirect": ["scheme-http", "plugin", "scheme"],
                 "ip-plugin": ["ip-peer-other", "plugin"], "plugin-ip": ["plugin", "ip-peer-other"], "rate-plugin": ["rate-order-0", "plugin"], "plugin-rate": ["plugin", "rate-order-1"], "no-type": [], "type-redirect": ["type", "regex"], "redirect-type": ["regex", "type"], "type-ip": ["type", "ip-peer-other"],
                 "ip-type": ["ip-peer-other", "type"], "type-plugin": ["type", "plugin"], "plugin-type": ["plugin", "type"], "type-packed": ["type", "packed"], "packed-type": ["packed", "type"]}
    routers = {name: {"middlewares": [name]} for name in middlewares} | {name: {"middlewares": names} for name, names in sequences.items()}
    for name, router in routers.items():
        routers[name] = {"rule": f"Host(`{name}.example`)", "service": "s", **router}
    routers["v6"] = {"rule": "Host(`::1`)", "service": "s", "middlewares": ["scheme"]}
    static = {"entryPoints": {"trusting": {"forwardedHeaders": {"insecure": True}}, "plain": {"http": {"sanitizePath": False}}}}
    return pairs(static=static, dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a")}}}, entry_points=("web", "trusting", "plain"), plugins={"header": "header"})


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in (*redirect_cases(), *address_cases(), *rate_cases(), *type_cases())], ids=str)
def test_answers(pair, case):
    pair.check(case)
