"""The middleware `headers`: custom headers, cross-origin requests, security headers."""

import pytest

from rig.backend import reply, send
from rig.known import keys, statuses, with_differences
from rig.messages import get, post, raw, service
from rig.observe import Case

CUSTOM = {
    "request": {"customRequestHeaders": {"X-New": "1", "x-lower": "2", "X-Old": "new", "X-Gone": "", "Cookie": ""}},
    "response": {"customResponseHeaders": {"X-New": "1", "x-lower": "2", "X-Old": "new", "X-Gone": "", "Server": "", "Date": "today"}},
    "both": {"customRequestHeaders": {"X-A": "1"}, "customResponseHeaders": {"X-B": "2"}},
    "host": {"customRequestHeaders": {"Host": "other.example:81"}},
    "host-lower": {"customRequestHeaders": {"host": "other.example"}},
    "host-empty": {"customRequestHeaders": {"Host": ""}},
    "no-forwarded-for": {"customRequestHeaders": {"X-Forwarded-For": ""}},
    "no-forwarded-for-lower": {"customRequestHeaders": {"x-forwarded-for": ""}},
    "set-forwarded-for": {"customRequestHeaders": {"X-Forwarded-For": "6.6.6.6"}},
    "no-forwarded": {"customRequestHeaders": {"X-Forwarded-Host": "", "X-Forwarded-Proto": "", "X-Forwarded-Port": "", "X-Forwarded-Server": "", "X-Real-Ip": ""}},
    "framing": {"customRequestHeaders": {"Content-Length": "3", "Transfer-Encoding": "chunked", "Trailer": "X-T"}},
    "no-framing": {"customRequestHeaders": {"Content-Length": "", "Transfer-Encoding": ""}},
    "hop": {"customRequestHeaders": {"Connection": "X-Old", "Te": "trailers", "Keep-Alive": "x", "Proxy-Authorization": "y", "Upgrade": "z"}},
    "agent": {"customRequestHeaders": {"User-Agent": "me", "Referer": "", "Authorization": "Basic eDp5", "Accept-Encoding": "identity"}},
    "no-agent": {"customRequestHeaders": {"User-Agent": ""}},
    "type": {"customResponseHeaders": {"Content-Type": "x/y"}},
    "no-type": {"customResponseHeaders": {"Content-Type": ""}},
    "response-length": {"customResponseHeaders": {"Content-Length": ""}},
    "response-hop": {"customResponseHeaders": {"Keep-Alive": "", "Transfer-Encoding": ""}},
    "cookies": {"customResponseHeaders": {"Set-Cookie": "a=b; Path=/"}},
    "spaces": {"customRequestHeaders": {"X-A": " padded "}, "customResponseHeaders": {"X-B": " padded "}},
    "unicode": {"customRequestHeaders": {"X-A": "é"}, "customResponseHeaders": {"X-B": "é"}},
    "underscore": {"customRequestHeaders": {"x_y-z": "1"}, "customResponseHeaders": {"x_y-z": "1"}},
    "bad-name": {"customRequestHeaders": {"X A": "1"}},
    "bad-response-name": {"customResponseHeaders": {"X A": "1", "X-B": "2"}},
    "bad-value": {"customRequestHeaders": {"X-A": "a\nb"}},
    "bad-host": {"customRequestHeaders": {"Host": "a b"}},
    "all-off": {"frameDeny": False, "customFrameOptionsValue": ""},
}

ORIGINS = {"accessControlAllowOriginList": ["https://a.example", "https://b.example"]}
CORS = {
    "origins": ORIGINS,
    "any": {"accessControlAllowOriginList": ["*"]},
    "any-credentials": {"accessControlAllowOriginList": ["*"], "accessControlAllowCredentials": True},
    "origins-any": {"accessControlAllowOriginList": ["https://a.example", "*"]},
    "regex": {"accessControlAllowOriginListRegex": [r"^https://[a-z]\.example$", "nothing"]},
    "regex-loose": {"accessControlAllowOriginListRegex": ["a"]},
    "regex-and-list": {"accessControlAllowOriginListRegex": ["b"], "accessControlAllowOriginList": ["https://a.example"]},
    "regex-bad": {"accessControlAllowOriginListRegex": ["("]},
    "full": {**ORIGINS, "accessControlAllowCredentials": True, "accessControlAllowHeaders": ["X-A", "X-B"], "accessControlAllowMethods": ["GET", "PUT"], "accessControlExposeHeaders": ["X-C", "X-D"], "accessControlMaxAge": 100, "addVaryHeader": True},
    "full-custom": {**ORIGINS, "accessControlAllowMethods": ["GET"], "customResponseHeaders": {"X-New": "1", "Access-Control-Allow-Origin": "x"}, "customRequestHeaders": {"X-New": "1"}, "frameDeny": True},
    "stars": {**ORIGINS, "accessControlAllowHeaders": ["*"], "accessControlAllowMethods": ["*"], "accessControlExposeHeaders": ["*"]},
    "stars-credentials": {**ORIGINS, "accessControlAllowCredentials": True, "accessControlAllowHeaders": ["X-A", "*"], "accessControlAllowMethods": ["*", "GET"], "accessControlExposeHeaders": ["*", "X-C"]},
    "vary": {"addVaryHeader": True},
    "vary-origins": {**ORIGINS, "addVaryHeader": True},
    "age-0": {"accessControlMaxAge": 0},
    "age-negative": {"accessControlMaxAge": -1},
    "expose": {"accessControlExposeHeaders": ["X-C"]},
    "methods": {"accessControlAllowMethods": ["GET", "OPTIONS", "PUT"]},
    "headers-only": {"accessControlAllowHeaders": ["X-A"]},
    "credentials": {"accessControlAllowCredentials": True},
}

SECURE = {
    "hosts": {"allowedHosts": ["hosts.example", "Other.Example"]},
    "hosts-other": {"allowedHosts": ["x.example"]},
    "hosts-other-custom": {"allowedHosts": ["x.example"], "customResponseHeaders": {"X-New": "1"}, "accessControlAllowOriginList": ["*"], "frameDeny": True},
    "hosts-after-custom": {"allowedHosts": ["x.example"], "customRequestHeaders": {"Host": "x.example"}},
    "hosts-development": {"allowedHosts": ["x.example"], "isDevelopment": True},
    "hosts-proxy": {"allowedHosts": ["x.example"], "hostsProxyHeaders": ["X-Original-Host", "X-Other-Host"]},
    "hosts-proxy-only": {"hostsProxyHeaders": ["X-Original-Host"]},
    "sts": {"stsSeconds": 100},
    "sts-forced": {"stsSeconds": 100, "forceSTSHeader": True},
    "sts-all": {"stsSeconds": 31536000, "stsIncludeSubdomains": True, "stsPreload": True, "forceSTSHeader": True},
    "sts-preload": {"stsSeconds": 1, "stsPreload": True, "forceSTSHeader": True},
    "sts-development": {"stsSeconds": 100, "forceSTSHeader": True, "isDevelopment": True},
    "sts-0": {"stsSeconds": 0, "forceSTSHeader": True},
    "sts-negative": {"stsSeconds": -1, "forceSTSHeader": True},
    "sts-proxy": {"stsSeconds": 100, "sslProxyHeaders": {"X-Forwarded-Proto": "https"}},
    "sts-proxy-http": {"stsSeconds": 100, "sslProxyHeaders": {"X-Forwarded-Proto": "http"}},
    "sts-proxy-empty": {"stsSeconds": 100, "sslProxyHeaders": {"X-Missing": ""}},
    "sts-proxy-custom": {"stsSeconds": 100, "sslProxyHeaders": {"X-Secure": "1"}, "customRequestHeaders": {"X-Secure": "1"}},
    "frame": {"frameDeny": True},
    "frame-custom": {"frameDeny": True, "customFrameOptionsValue": "SAMEORIGIN"},
    "nosniff": {"contentTypeNosniff": True},
    "xss": {"browserXssFilter": True},
    "xss-custom": {"browserXssFilter": True, "customBrowserXSSValue": "1; report=x"},
    "csp": {"contentSecurityPolicy": "default-src 'self'"},
    "csp-report": {"contentSecurityPolicyReportOnly": "default-src 'self'; report-uri /r"},
    "csp-percent": {"contentSecurityPolicy": "default-src 100% %s %d"},
    "key": {"publicKey": "pin-sha256=x"},
    "key-tls": {"publicKey": "pin-sha256=x", "sslProxyHeaders": {"X-Forwarded-Proto": "http"}},
    "key-development": {"publicKey": "pin-sha256=x", "sslProxyHeaders": {"X-Forwarded-Proto": "http"}, "isDevelopment": True},
    "referrer": {"referrerPolicy": "same-origin"},
    "permissions": {"permissionsPolicy": "camera=()"},
    "development": {"isDevelopment": True},
    "everything": {"frameDeny": True, "contentTypeNosniff": True, "browserXssFilter": True, "contentSecurityPolicy": "a", "contentSecurityPolicyReportOnly": "b", "referrerPolicy": "c", "permissionsPolicy": "d", "stsSeconds": 5, "forceSTSHeader": True,
                   "customResponseHeaders": {"X-Frame-Options": "", "Referrer-Policy": "e"}},
    "deprecated": {"sslRedirect": True, "sslTemporaryRedirect": True, "sslHost": "x.example", "sslForceHost": True, "featurePolicy": "x"},
}

RICH = reply(headers=[("X-Old", "a"), ("X-Old", "b"), ("X-Gone", "c"), ("Server", "d"), ("Vary", "Accept"), ("Vary", "Cookie"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Set-Cookie", "x=y"), ("Set-Cookie", "z=w"), ("Content-Type", "text/plain"),
                      ("X-Frame-Options", "ALLOW"), ("Access-Control-Allow-Origin", "backend"), ("Location", "http://x.example/y")])


def on(name, *requests, suffix="", **options):
    return Case(f"{name}{suffix}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], **options)


def preflight(origin="https://a.example", *headers, method="OPTIONS"):
    return get("/x", *([("Origin", origin)] if origin is not None else []), ("Access-Control-Request-Method", "PUT"), *headers, method=method)


def cases():
    sent = (("X-Old", "old"), ("X-Old", "older"), ("X-Gone", "1"), ("Cookie", "a=b"), ("User-Agent", "them"), ("Referer", "r"), ("X_Y-Z", "0"))
    for name in (*CUSTOM, *SECURE):
        yield on(name, get("/", *sent), script=RICH)
        yield on(name, post("/", b"hello"), suffix=" post")
        yield on(name, get(method="HEAD"), script=reply(headers=[("Content-Length", "5")], body=b""), suffix=" head")
    for name in CORS:
        for origin in ("https://a.example", "https://b.example", "https://c.example", "https://A.example", "null", "", None):
            yield on(name, preflight(origin), suffix=f" preflight {origin}")
            yield on(name, get("/", *([("Origin", origin)] if origin is not None else [])), script=RICH, suffix=f" {origin}")
        yield on(name, preflight("https://a.example", ("Access-Control-Request-Headers", "x-q, x-r")), suffix=" asks for headers")
        yield on(name, preflight("https://a.example", method="GET"), suffix=" not options")
        yield on(name, get("/", ("Origin", "https://a.example"), method="OPTIONS"), suffix=" options only")
        yield on(name, get("/", ("Origin", "https://a.example"), ("Access-Control-Request-Method", ""), method="OPTIONS"), suffix=" empty method")
        yield on(name, get("/", ("Origin", "https://a.example")), script=reply(headers=[("Vary", "Origin")]), suffix=" vary")
        yield on(name, get("/", ("Origin", "https://a.example")), script=reply(status=500, reason="Internal Server Error"), suffix=" 500")
        yield on(name, preflight(), get("/", ("Origin", "https://a.example")), suffix=" kept alive")
    for name in ("hosts", "hosts-other"):
        yield Case(f"{name} port", [get("/", host=f"{name}.example:80")])
        yield Case(f"{name} upper", [get("/", host=f"{name.upper()}.EXAMPLE")])
        yield Case(f"{name} absolute", [raw(f"GET http://{name}.example/ HTTP/1.1", "Host: x.example")])
    for value in ("x.example", "X.EXAMPLE", "y.example", ""):
        yield on("hosts-proxy", get("/", ("X-Original-Host", value)), suffix=f" {value}")
        yield on("hosts-proxy", get("/", ("X-Other-Host", value)), suffix=f" other {value}")
    yield Case("sts absolute", [raw("GET https://sts.example/ HTTP/1.1", "Host: sts.example")])
    for proto in ("https", "http", "HTTPS"):
        yield on("sts-proxy", get("/", ("X-Forwarded-Proto", proto)), suffix=f" {proto}", entry_point="trusting")
    yield on("no-forwarded-for", get("/", ("X-Forwarded-For", "1.1.1.1")), suffix=" trusted", entry_point="trusting")
    yield on("set-forwarded-for", get("/", ("X-Forwarded-For", "1.1.1.1")), suffix=" trusted", entry_point="trusting")
    yield on("host", get(), suffix=" not passed", entry_point="web")
    yield on("host-not-passed", get())
    yield on("response", get(), script=send(b"HTTP/1.1 103 Early Hints\r\nX-Old: early\r\n\r\nHTTP/1.1 200 OK\r\nX-Old: a\r\nContent-Length: 0\r\n\r\n"), suffix=" interim")
    yield on("frame", get(), script=send(b"nonsense\r\n\r\n", close=True), suffix=" broken backend")
    for name in ("twice", "inner-outer", "with-plugin", "plugin-before", "answered-inside", "answered-outside", "on-service", "removed-again", "redirect-inside", "xff-then-plugin",
                 "early-then-two", "early-refused", "early-redirected", "early-twice", "early-packed", "early-retried", "early-between"):
        yield on(name, get("/", ("Origin", "https://a.example"), ("X-Old", "old")), script=RICH)
        yield on(name, preflight(), suffix=" preflight")
    yield on("packed-vary", get("/", ("Origin", "https://a.example"), ("Accept-Encoding", "gzip")), script=reply(headers=[("X-Old", "a")]))
    yield on("packed-vary", get("/", ("Origin", "https://a.example"), ("Accept-Encoding", "gzip")), script=reply(headers=[("Vary", "Accept")]), suffix=" upstream")
    yield on("vary-packed", get("/", ("Origin", "https://a.example"), ("Accept-Encoding", "gzip")), script=reply(headers=[("Vary", "Accept")]))


DIFFERS = {
    **keys("headers-content-type", "no-type", "no-type post", answer0__header__content_type=(["text/plain; charset=utf-8"], None)),
    **keys("headers-framing", "response-length head", answer0__header__content_length=(None, ["5"])),
    **statuses("500 Internal Server Error", "404 Not Found", "headers-invalid", *(f"bad-{what}{suffix}" for what in ("name", "value") for suffix in ("", " post", " head"))),
    **statuses("200 OK", "404 Not Found", "headers-invalid", *(f"bad-host{suffix}" for suffix in ("", " post", " head"))),
    **keys("compress-vary", "packed-vary", answer0__header__vary=(["Accept-Encoding,Origin"], ["Accept-Encoding", "Origin"])),
    **keys("compress-vary", "packed-vary upstream", answer0__header__vary=(["Accept-Encoding,Origin"], ["Accept-Encoding", "Accept,Origin"])),
    **statuses("200 OK", "404 Not Found", "headers-invalid", *(f"bad-response-name{suffix}" for suffix in ("", " post", " head"))),
    **statuses("500 Internal Server Error", "502 Bad Gateway", "answer-malformed", "frame broken backend"),
}


@pytest.fixture(scope="module")
def pair(pairs):
    everything = CUSTOM | CORS | SECURE
    middlewares = {name: {"headers": options} for name, options in everything.items()}
    middlewares |= {"plugin": {"plugin": {"header": {"request": {"X-New": "guest"}, "response": {"X-New": "guest"}}}}, "compress": {"compress": {}}, "again": {"retry": {"attempts": 2, "status": ["200-599"]}}, "refuse": {"ipAllowList": {"sourceRange": ["10.0.0.1"]}}, "redirect": {"redirectRegex": {"regex": ".*", "replacement": "/x"}}}
    sequences = {"twice": ["response", "response"], "inner-outer": ["full", "vary", "stars"], "with-plugin": ["both", "response", "plugin"], "plugin-before": ["plugin", "both", "response"], "answered-inside": ["full-custom", "refuse"],
                 "answered-outside": ["refuse", "full-custom"], "removed-again": ["both", "request"], "redirect-inside": ["full-custom", "redirect"], "xff-then-plugin": ["no-forwarded-for", "plugin"], "early-then-two": ["plugin", "response", "response"], "early-refused": ["plugin", "both", "refuse"], "early-redirected": ["plugin", "redirect"],
                 "early-twice": ["plugin", "response", "plugin", "both"], "early-packed": ["plugin", "compress", "response"], "early-retried": ["plugin", "again", "response"], "early-between": ["both", "plugin", "response"],
                 "packed-vary": ["compress", "vary-origins"], "vary-packed": ["vary-origins", "compress"]}
    routers = {name: {"middlewares": [name]} for name in everything} | {name: {"middlewares": names} for name, names in sequences.items()}
    routers |= {"on-service": {"service": "with"}, "host-not-passed": {"middlewares": ["host"], "service": "not-passed"}}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", **router} for name, router in routers.items()}
    services = {"s": service("a"), "with": service("a") | {"middlewares": ["full-custom"]}, "not-passed": service("a", passHostHeader=False)}
    return pairs(static={"entryPoints": {"trusting": {"forwardedHeaders": {"insecure": True}}}}, dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": services}}, entry_points=("web", "trusting"),
                 plugins={"header": "header"})


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_headers(pair, case):
    pair.check(case)
