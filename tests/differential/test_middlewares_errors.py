"""errors: which responses are replaced, what the service of pages is asked, and what the client gets. Backend `a` serves, `pages` has pages."""

from http import HTTPStatus

import pytest

from harness.upstream import response_bytes
from rig.backend import reply, send
from rig.known import keys, statuses, with_differences
from rig.messages import get, post, service
from rig.observe import Case

PAGES = {"status": ["404", "500-599"], "service": "pages", "query": "/{status}.html"}
OPTIONS = {
    "plain": {}, "no-query": {"query": None}, "slash": {"query": "/"}, "bare": {"query": "page?code={status}&twice={status}"}, "original": {"query": "/{status}/{originalStatus}?u={url}"}, "url": {"query": "/e?url={url}#frag"}, "spaces": {"query": "/a b/ä?q=c d"},
    "dots": {"query": "/a/../b/./c"}, "bad": {"query": "/%zz"}, "double": {"query": "//host/x"}, "encoded": {"query": "/%41%2f?%41"},
    "commas": {"status": ["404,410", "500-502,599"]}, "everything": {"status": ["100-999"]}, "fine": {"status": ["200"]}, "no-status": {"status": None}, "empty-status": {"status": []},
    "rewrite": {"statusRewrites": {"404": 200, "500-503": 404, "504": 599}, "query": "/{status}/{originalStatus}"}, "rewrite-more": {"statusRewrites": {"410": 200}}, "rewrite-204": {"statusRewrites": {"404": 204, "500": 304}},
    "no-headers": {"errorRequestHeaders": []}, "some-headers": {"errorRequestHeaders": ["x-One", "X-Forwarded-For", "Host", "Cookie"]}, "dead": {"service": "dead"}, "nobody": {"service": "nobody"}, "host": {"service": "hosted"},
    "missing": {"service": "nowhere"}, "no-service": {"service": None}, "bad-status": {"status": ["x"]}, "bad-range": {"status": ["500-"]}, "three": {"status": ["500-502-504"]}, "backwards": {"status": ["599-500"]}, "bad-rewrite": {"statusRewrites": {"x": 200}},
    "url-all": {"status": ["400-599"], "query": "/?{url}"}, "outer": {"status": ["404", "418"], "query": "/outer/{status}"}, "with-middlewares": {"service": "wrapped"}, "self": {"service": "self"},
    **{f"through-{name}": {"service": f"through-{name}"} for name in ("give", "plugin", "compress", "strip", "auth", "limit", "again", "kept", "errors", "cors", "moved", "rate", "chain")},
    "loop": {"service": "loop"}, "loop-2": {"service": "loop-3"}, "loop-3": {"service": "loop-2"}, "loop-by-chain": {"service": "loop-by-chain"}, "bad-inside": {"service": "bad-inside"}, "missing-inside": {"service": "missing-inside"},
}
# The middlewares of the services that pages come from.
THROUGH = {"give": ["give"], "plugin": ["plugin"], "compress": ["compress"], "strip": ["strip-status"], "auth": ["basic"], "limit": ["limit"], "again": ["again"], "kept": ["kept"], "errors": ["second"], "cors": ["cors"], "moved": ["moved"], "rate": ["rate"],
           "chain": ["links", "plugin2", "compress"]}
LOOPS = {"loop": ["loop"], "loop-2": ["loop-2"], "loop-3": ["loop-3"], "loop-by-chain": ["loop-link"], "bad-inside": ["bad-status"], "missing-inside": ["nowhere"]}
SEQUENCES = {"two": ["outer", "plain"], "errors-then-plugin": ["plain", "plugin"], "plugin-then-errors": ["plugin", "plain"], "strip-then-errors": ["strip", "url"], "bare-then-errors": ["bare-path", "url"], "errors-then-strip": ["url", "strip"], "errors-then-basic": ["everything", "basic"],
             "cors-then-errors": ["cors", "plain"], "errors-then-cors": ["plain", "cors"], "errors-then-give": ["plain", "give"], "errors-then-replace": ["url", "replace"], "errors-then-limit": ["url-all", "limit"], "two-plugins": ["plugin", "plain", "plugin2"],
             "plugins-everywhere": ["plugin", "through-plugin", "plugin2"], "compress-twice": ["compress", "through-compress", "compress"], "pages-of-pages": ["outer", "through-errors", "through-chain"], "retry-through": ["again", "through-again"]}


def reason(status):
    if status == 418:
        return "I'm a teapot"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"


def failing(status=404, headers=(("X-Why", "1"), ("Content-Type", "text/why"), ("Set-Cookie", "a=b")), body=b"original", script=None, page=None):
    """Answers of the service; pages are found."""
    fail = script or reply(status, headers, b"" if status in (204, 304) else body, reason=reason(status))
    page = page or reply(headers=[("X-Page", "1"), ("Content-Type", "text/page")], body=b"a page")

    def both(connection, request):
        return (page if request.backend == "pages" else fail)(connection, request)

    return both


def on(name, *requests, suffix="", script=None, **options):
    return Case(f"{name}{suffix}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], script or failing(), **options)


MANY = [("X-One", "1"), ("Cookie", "a=b"), ("User-Agent", "t"), ("Authorization", "Bearer x"), ("Te", "trailers"), ("Keep-Alive", "5"), ("If-None-Match", "x"), ("Range", "bytes=0-1")]


def caught():
    for name in OPTIONS:
        for status in (200, 204, 301, 404, 500, 503, 599):
            yield on(name, get("/x/y?q=1&r=%20", ("User-Agent", "t")), suffix=f" {status}", script=failing(status))
    for name in ("plain", "commas", "everything"):
        for status in (304, 400, 401, 403, 410, 418, 499, 501, 502, 505, 600, 999):
            yield on(name, get("/", ("User-Agent", "t")), suffix=f" {status}", script=failing(status))


def asked():
    for name in ("plain", "no-headers", "some-headers", "url", "original", "host"):
        yield on(name, get("/x?y", *MANY), suffix=" many")
        yield on(name, get("/x?y", ("Connection", "X-One"), *MANY), suffix=" connection")
        yield on(name, get("/", ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("User-Agent", "t")), suffix=" forwarded", entry_point="trusting")
        yield on(name, post("/", b"hello", ("User-Agent", "t"), ("Content-Type", "text/x")), suffix=" post")
        yield on(name, post("/", None, ("User-Agent", "t"), chunks=[b"a", b"b"]), suffix=" chunked")
        yield on(name, post("/", b"x" * 200000, ("User-Agent", "t")), suffix=" big post")
        yield on(name, get("/", ("User-Agent", "t"), method="HEAD"), suffix=" head")
        yield on(name, get("/", ("User-Agent", "t"), host="site.example:8080"), suffix=" port")
        yield on(name, get("/", ("User-Agent", "t"), version="1.0"), suffix=" 1.0", ending="read")
        yield on(name, get("/"), get("/two"), get("/three"), suffix=" kept alive")
    for target in ("/old", "/old?c=d", "/old?"):
        yield on("strip-then-errors", get(target, ("User-Agent", "t")), suffix=f" {target}")
        yield on("bare-then-errors", get(target, ("User-Agent", "t")), suffix=f" {target}")
    for target in ("/", "/a/b?c=d&e=f", "/%41%2F%20?%41", "/a+b?c+d", "/?", "/*~!'()?;/@"):
        yield on("url", get(target, ("User-Agent", "t")), suffix=f" {target!r}")
    yield on("plain", get("/", method="OPTIONS"), suffix=" options")


def pages():
    for status in (200, 201, 204, 301, 304, 404, 500, 503):
        yield on("plain", get("/", ("User-Agent", "t")), suffix=f" page {status}", script=failing(page=reply(status, [("X-Page", "1"), ("Location", "/elsewhere"), ("Etag", "x")], b"" if status in (204, 304) else b"page")))
    for name, page in {"chunks": send(response_bytes(chunks=[b"a" * 1000, b"b"])), "empty": reply(body=b""), "big": reply(body=b"x" * 1000000), "garbage": send(b"garbage\r\n\r\n", close=True), "trailers": send(response_bytes(chunks=[b"a"], trailers=[("X-Trailer", "1")])),
                       "to-end": send(b"HTTP/1.1 200 OK\r\n\r\nto the end", close=True), "hops": send(b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nContent-Length: 1\r\n\r\na"), "no-type": reply(headers=[]), "cookies": reply(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
                       "truncated": send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", close=True)}.items():
        yield on("plain", get("/", ("User-Agent", "t")), suffix=f" page {name}", script=failing(page=page))
        yield on("plain", get("/", ("User-Agent", "t"), method="HEAD"), suffix=f" head page {name}", script=failing(page=page)) if name not in ("chunks", "big", "trailers", "to-end", "truncated") else None
    for name, script in {"garbage": send(b"garbage\r\n\r\n", close=True), "chunks": send(response_bytes(500, chunks=[b"a" * 1000, b"b"], reason="Internal Server Error")), "interim": send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response_bytes(404, body=b"no", reason="Not Found")),
                         "truncated": send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nabc", close=True), "trailers": send(response_bytes(404, chunks=[b"a"], trailers=[("X-Trailer", "1")], reason="Not Found"))}.items():
        yield on("plain", get("/", ("User-Agent", "t")), suffix=f" original {name}", script=failing(script=script))


def through():
    """Pages of services that have middlewares of their own."""
    packed = [("User-Agent", "t"), ("Accept-Encoding", "gzip")]
    # What compress makes of a body is the business of its own tests.
    packing = tuple(f"answer{i}.{what}" for i in (0, 1) for what in ("body", "header.content-length", "header.transfer-encoding"))
    for name in THROUGH:
        ignore = packing if "compress" in THROUGH[name] else ()
        yield on(f"through-{name}", get("/x?y", ("User-Agent", "t")), suffix=" page 404", script=failing(503, page=reply(404, [("X-Page", "1")], b"none")))
        yield on(f"through-{name}", post("/x", b"x" * 100000, *packed), suffix=" post", script=failing(page=reply(headers=[("Content-Type", "text/page")], body=b"x" * 20000)), ignore=ignore)
        yield on(f"through-{name}", get("/x", *packed), get("/y", *packed), suffix=" kept alive", script=failing(page=reply(headers=[("Content-Type", "text/page"), ("X-Page", "1")], body=b"y" * 4000)), ignore=ignore)
        yield on(f"through-{name}", get("/", ("User-Agent", "t"), method="HEAD"), suffix=" head")
    for name in LOOPS:
        yield on(name, get("/x?y", ("User-Agent", "t")), suffix=" loop")


def sequences():
    for name in SEQUENCES:
        for status in (200, 404, 503):
            yield on(name, get("/old/x?y", *MANY), suffix=f" {status}", script=failing(status))
        yield on(name, get("/old/x?y", ("User-Agent", "t"), ("Origin", "http://o")), suffix=" page 404", script=failing(404, page=reply(404, [("X-Page", "1")], b"none")))
        yield on(name, post("/old/x", b"hello"), suffix=" post")


STATUSES = {200: "200 OK", 204: "204 No Content", 301: "301 Moved Permanently", 404: "404 Not Found", 500: "500 Internal Server Error", 503: "503 Service Unavailable", 599: "599 status code 599"}


def disabled(why, name, served=404):
    """Rows for a middleware that Traefik makes and weir does not."""
    rows = {}
    for status, text in STATUSES.items():
        if status != served:
            rows |= statuses(text, "404 Not Found", why, f"{name} {status}")
        else:
            rows |= keys(why, f"{name} {status}", loosely=True, upstream__count=(1 if name == "three" else 2, 0))
    return rows


def unbuffered(status):
    text = "404 Not Found" if status in (404, "head", "post", "kept alive") else STATUSES[503 if status == "page 404" else status]
    return statuses("500 Internal Server Error", text, "errors-buffering", f"through-kept {status}")


DIFFERS = {
    **{name: row for status in (404, 503, 599, "page 404", "head", "post", "kept alive") for name, row in unbuffered(status).items()},
    **keys("errors-buffering", "through-kept 500", loosely=True, upstream__count=(1, 2)),
    **disabled("errors-status", "three"),
    **keys("length-of-304", "plain 304", answer0__header__content_type=(None, ["text/why"])),
    **statuses(None, "204 No Content", "errors-no-body", "everything 204", "rewrite-204 404"),
    **statuses(None, "304 Not Modified", "errors-no-body", "everything 304", "rewrite-204 500"),
    **keys("answer-malformed", "plain page garbage", answer0__body=(b"Internal Server Error", b"Bad Gateway"), answer0__header__content_length=(["21"], ["11"])),
    **keys("answer-malformed", "plain head page garbage", answer0__header__content_length=(["21"], ["11"])),
    **statuses("500 Internal Server Error", "502 Bad Gateway", "answer-malformed", "plain original garbage"),
    **keys("answer-truncated", "plain page truncated", loosely=True, answer0__partial=(None, b"abc")),
    **statuses("500 Internal Server Error", "404 Not Found", "errors-truncated", "plain original truncated"),
    **keys("interim", "plain original interim", answer0__header__link=(["x"], None)),
}



@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {name: {"errors": {key: value for key, value in {**PAGES, **options}.items() if value is not None}} for name, options in OPTIONS.items()}
    middlewares |= {"plugin": {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}, "plugin2": {"plugin": {"header": {"request": {"X-Guest2": "1"}, "response": {"X-Answer2": "2"}}}},
                    "bare-path": {"replacePathRegex": {"regex": "^/", "replacement": ""}}, "strip": {"stripPrefix": {"prefixes": ["/old"]}}, "cors": {"headers": {"customResponseHeaders": {"X-New": "1", "X-Why": ""}}}, "give": {"headers": {"customRequestHeaders": {"X-Given": "1"}}}, "replace": {"replacePath": {"path": "/new"}},
                    "compress": {"compress": {"encodings": ["gzip"]}}, "strip-status": {"replacePathRegex": {"regex": "^/([0-9]+)", "replacement": "/was/$1"}}, "again": {"retry": {"attempts": 3, "status": ["500-599"]}}, "kept": {"buffering": {"maxResponseBodyBytes": 10000}},
                    "second": {"errors": {"status": ["404"], "service": "through-cors", "query": "/second/{status}"}}, "moved": {"redirectRegex": {"regex": ".*", "replacement": "http://elsewhere.example/"}}, "rate": {"rateLimit": {"average": 1, "period": "1h", "burst": 100}},
                    "links": {"chain": {"middlewares": ["strip-status", "give"]}}, "loop-link": {"chain": {"middlewares": ["give", "loop-by-chain"]}},
                    "basic": {"basicAuth": {"users": ["me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="]}}, "limit": {"inFlightReq": {"amount": 0}}}
    routers = {name: {"middlewares": [name]} for name in OPTIONS} | {name: {"middlewares": names} for name, names in SEQUENCES.items()}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", **router} for name, router in routers.items()}
    services = {"s": service("a"), "pages": service("pages"), "hosted": service("pages", passHostHeader=False), "dead": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}, "nobody": {"loadBalancer": {"servers": []}},
                "wrapped": {**service("pages"), "middlewares": ["give"]}, "self": {**service("pages"), "middlewares": ["self"]},
                **{f"through-{name}": {**service("pages"), "middlewares": names} for name, names in THROUGH.items()}, **{name: {**service("pages"), "middlewares": names} for name, names in LOOPS.items()}}
    return pairs(static={"entryPoints": {"trusting": {"forwardedHeaders": {"insecure": True}}}}, dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": services}}, plugins={"header": "header"}, backends=("a", "pages"),
                 entry_points=("web", "trusting"))


@pytest.mark.parametrize("case", [case for case in [*caught(), *asked(), *pages(), *through(), *sequences()] if case], ids=str)
def test_errors(pair, case):
    pair.check(with_differences(case, DIFFERS))
