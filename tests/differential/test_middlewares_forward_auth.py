"""forwardAuth: what the other server is asked, and what becomes of its answer. Backend `a` serves, `auth` decides."""

from http import HTTPStatus

import pytest

from harness.upstream import response_bytes
from rig.backend import drop, reply, send
from rig.known import keys, statuses, with_differences
from rig import messages
from rig.messages import service
from rig.observe import Case

AUTH = "http://127.0.0.1:<<auth>>"

OPTIONS = {
    "plain": {}, "path": {"address": AUTH + "/check/me?a=b&c"}, "user": {"address": "http://me:se%20cret@127.0.0.1:<<auth>>/"}, "user-only": {"address": "http://me@127.0.0.1:<<auth>>"},
    "trust": {"trustForwardHeader": True}, "distrust": {"trustForwardHeader": False},
    "some": {"authRequestHeaders": ["x-One", "Cookie", "X-Forwarded-Prefix", "user-agent"]}, "some-trust": {"authRequestHeaders": ["X-One", "User-Agent"], "trustForwardHeader": True}, "some-distrust": {"authRequestHeaders": ["X-One", "X-Forwarded-For", "User-Agent"], "trustForwardHeader": False},
    "one": {"authRequestHeaders": ["X-One"]},
    "take": {"authResponseHeaders": ["X-User", "x-groups", "Host", "Content-Length", "X-Forwarded-For"]}, "take-regex": {"authResponseHeadersRegex": "^X-(User|Group)"}, "take-both": {"authResponseHeaders": ["X-User"], "authResponseHeadersRegex": "^X-G"},
    "take-all": {"authResponseHeadersRegex": "X-"}, "take-lower": {"authResponseHeadersRegex": "^x-"},
    "cookies": {"addAuthCookiesToResponse": ["session", "other"]}, "field": {"headerField": "X-User"},
    "body": {"forwardBody": True}, "body-5": {"forwardBody": True, "maxBodySize": 5}, "body-0": {"forwardBody": True, "maxBodySize": 0}, "body-method": {"forwardBody": True, "preserveRequestMethod": True},
    "answer-5": {"maxResponseBodySize": 5}, "answer-0": {"maxResponseBodySize": 0},
    "location": {"address": AUTH + "/one/two?q"}, "location-kept": {"address": AUTH + "/one/two?q", "preserveLocationHeader": True},
    "method": {"preserveRequestMethod": True}, "signin": {"authSigninURL": "https://sign.in/here?a=b&c='d'"}, "signin-path": {"authSigninURL": "/signin"},
    "dead": {"address": "http://127.0.0.1:1"}, "https": {"address": "https://127.0.0.1:<<auth>>"}, "no-address": {"address": ""}, "bad-address": {"address": "nonsense"}, "other-scheme": {"address": "ftp://127.0.0.1:<<auth>>"},
    "bad-regex": {"authResponseHeadersRegex": "("},
}
SEQUENCES = {"auth-then-plugin": ["take", "plugin"], "plugin-then-auth": ["plugin", "take"], "strip-then-auth": ["strip", "plain"], "auth-then-strip": ["plain", "strip"], "cors-then-auth": ["cors", "plain"], "auth-then-cors": ["cookies", "cors"],
             "give-then-auth": ["give", "trust"], "auth-twice": ["take", "body"], "body-twice": ["body", "body"], "auth-then-basic": ["cookies", "basic"]}


def with_agent(headers):
    """Go's client names itself where the client does not; the cases "no agent" show it."""
    return headers if any(name.lower() == "user-agent" for name, _ in headers) else [("User-Agent", "t"), *headers]


def get(target="/", *headers, **options):
    return messages.get(target, *with_agent(headers), **options)


def post(target="/", body=b"hello", *headers, **options):
    return messages.post(target, body, *with_agent(headers), **options)


def decided(*auth_pieces, script=None, then=None):
    """Answers of the server that decides; the one that serves answers as ever."""
    auth, serve = script or send(*auth_pieces), then or reply(headers=[("X-Backend", "a")], body=b"a")

    def both(connection, request):
        return (auth if request.backend == "auth" else serve)(connection, request)

    return both


def reason(status):
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"


def yes(*headers, body=b"", status=200, **options):
    return decided(response_bytes(status, headers, body, reason=reason(status)), **options)


def on(name, *requests, suffix="", **options):
    return Case(f"{name}{suffix}", [request.replace(b"site.example", f"{name}.example".encode()) for request in requests], **options)


FORWARDED = [("X-Real-Ip", "192.0.2.9"), ("X-Scheme", "wss")] + [(f"X-Forwarded-{name}", value) for name, value in (("For", "192.0.2.1"), ("Proto", "https"), ("Host", "other.example"), ("Port", "8443"), ("Uri", "/elsewhere"), ("Method", "PUT"), ("Server", "s"), ("Prefix", "/p"), ("Scheme", "https"),
                                                               ("Tls-Client-Cert", "c"), ("Tls-Client-Cert-Info", "i"))]
MANY = [("X-One", "1"), ("x-one", "2"), ("Cookie", "a=b"), ("Authorization", "Bearer x"), ("Proxy-Authorization", "Basic y"), ("Proxy-Authenticate", "z"), ("Accept", "*/*"), ("Te", "trailers"), ("Keep-Alive", "5"), ("Trailers", "X-T"),
        ("X-User", "forged"), ("X-Groups", "forged"), ("Upgrade", "h2c"), ("X-Drop", "1")]
SET = [("X-User", "me"), ("X-Groups", "a"), ("X-Groups", "b"), ("X-Forwarded-For", "10.0.0.1"), ("X-Other", "o"), ("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "third=3")]


def asked():
    """What the other server sees."""
    for name in ("plain", "path", "user", "user-only", "trust", "distrust", "some", "some-trust", "some-distrust", "method"):
        yield on(name, get("/x/%41b?q=%20&r"))
        yield on(name, get("/x", *MANY), suffix=" many")
        yield on(name, get("/x", ("Connection", "X-Drop, close"), *MANY), suffix=" connection", ending="read")
        yield on(name, get("/", *MANY, *FORWARDED), suffix=" forwarded")
        yield on(name, get("/", *MANY, *FORWARDED), suffix=" forwarded trusted", entry_point="trusting")
        yield on(name, get("/", ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2")), suffix=" two for", entry_point="trusting")
        yield on(name, post("/", b"hello"), suffix=" post")
        yield on(name, post("/", chunks=[b"hello", b"world"], body=None), suffix=" chunked")
    for method in ("HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "odd"):
        yield on("plain", get(method=method), suffix=f" {method}")
        yield on("method", get(method=method), suffix=f" {method}")
    for name in ("plain", "trust", "method"):
        yield on(name, messages.get("/"), suffix=" no agent")
        yield on(name, get("/", ("User-Agent", "")), suffix=" empty agent")
        yield on(name, get("/", version="1.0"), suffix=" 1.0", ending="read")
        yield on(name, get("/", host="site.example:8080"), suffix=" port")
        yield on(name, get("/"), get("/two"), post("/three", b"x"), suffix=" kept alive")
        yield on(name, get("/", ("Accept-Encoding", "gzip")), suffix=" encoding")
    yield on("one", get("/", *MANY))
    yield on("plain", post("/", b"hello", ("Expect", "100-continue")), suffix=" expect")


def bodies():
    for name in ("body", "body-5", "body-0", "body-method", "method"):
        for n in (0, 1, 5, 6, 70000, 2000000):
            yield on(name, post("/", b"x" * n), suffix=f" {n}")
        for chunks in ([], [b"12345"], [b"123", b"456"], [b"y" * 70000] * 3):
            if len(chunks) == 3 and name in ("body-5", "body-0"):
                continue  # whether the rest of a long body is waited for is another matter
            yield on(name, post("/", None, chunks=chunks), suffix=f" chunks {len(b''.join(chunks))}")
        yield on(name, get("/"), suffix=" get")
        yield on(name, post("/", b"hello", method="GET"), suffix=" get with body")
        yield on(name, post("/", b"hello"), suffix=" refused", script=yes(status=403, body=b"no"))
        yield on(name, post("/", b"hello"), post("/", b"hi"), suffix=" twice")


def passed():
    """What the request gets of an answer that lets it pass."""
    for name in ("plain", "take", "take-regex", "take-both", "take-all", "take-lower", "cookies", "field", "path"):
        for status in (200, 201, 204, 206, 299):
            yield on(name, get("/", *MANY), suffix=f" {status}", script=yes(*SET, status=status))
        yield on(name, get("/", ("X-User", "forged"), ("x-group", "g"), ("X_User", "alias")), suffix=" without")
        yield on(name, get("/"), suffix=" body", script=yes(*SET, body=b"ignored" * 10000))
        yield on(name, post("/", b"hello" * 1000), suffix=" post", script=yes(*SET))
    theirs = reply(headers=[("Set-Cookie", "session=0; Path=/"), ("Set-Cookie", "kept=1; Path=/"), ("X-Backend", "a")])
    for cookies in (["session=1; Path=/"], ["session=1; Path=/", "other=2; Path=/"], ["third=3"], [" session=1"], []):
        yield on("cookies", get(), suffix=f" {cookies}", script=yes(*(("Set-Cookie", cookie) for cookie in cookies), then=theirs))
    yield on("cookies", get(method="HEAD"), suffix=" head", script=yes(("Set-Cookie", "session=1; Path=/"), then=theirs))
    yield on("cookies", get(), suffix=" refused", script=yes(("Set-Cookie", "session=1; Path=/"), status=401, body=b"no"))
    for n in (0, 5, 6, 1000):
        yield on("answer-5", get(), suffix=f" {n}", script=yes(body=b"x" * n))
        yield on("answer-0", get(), suffix=f" {n}", script=yes(body=b"x" * n))
        yield on("answer-5", get(), suffix=f" {n} refused", script=yes(body=b"x" * n, status=403))
        yield on("answer-5", get(), suffix=f" {n} chunked", script=decided(response_bytes(chunks=[b"x" * n] if n else [])))


LOCATIONS = ["/x", "x", "../x", "./x", "../../../x/..", "?a=b", "#f", "", "//other/x", "http://other/a/../b", "https://other", "http://other:80/%41 b", "mailto:me", "/a b", "/ä", "/x/./y//z/", "..", ".", "http://other/%zz", "/%zz", ":x", "HTTP://OTHER/X",
             "http://u:p@other/", "x?y#z", "/a?b c", "/a/..//b", "http://other/a/..//b", "http:/.//b"]


def refused():
    """What the client gets of an answer that does not."""
    for name in ("plain", "take", "cookies", "location", "location-kept", "method", "signin", "signin-path", "body"):
        for status in (300, 302, 304, 400, 401, 403, 404, 429, 500, 503, 599):
            yield on(name, get(), suffix=f" {status}", script=yes(("X-Why", "1"), ("X-Why", "2"), ("Content-Type", "text/x"), ("Www-Authenticate", "Basic"), ("Set-Cookie", "a=b"), status=status, body=b"no" if status != 304 else b""))
        yield on(name, get(method="HEAD"), suffix=" head", script=yes(("X-Why", "1"), status=401, body=b"" if name == "method" else b"no"))
        yield on(name, post(), suffix=" post", script=yes(("X-Why", "1"), status=401, body=b"no"))
        yield on(name, get(), suffix=" hops", script=decided(b"HTTP/1.1 403 Forbidden\r\nConnection: X-Why\r\nX-Why: 1\r\nKeep-Alive: 5\r\nTe: x\r\nTrailers: z\r\nUpgrade: y\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno"))
        yield on(name, get(), suffix=" chunked", script=decided(response_bytes(403, chunks=[b"n", b"o"], reason="Forbidden")))
        yield on(name, get(), suffix=" to the end", script=decided(b"HTTP/1.1 403 Forbidden\r\n\r\nno", script=send(b"HTTP/1.1 403 Forbidden\r\n\r\nno", close=True)))
        yield on(name, get(), get(), suffix=" twice", script=yes(status=403, body=b"no"))
    for name in ("location", "location-kept", "plain"):
        for i, location in enumerate(LOCATIONS):
            yield on(name, get("/here"), suffix=f" to {i} {location}", script=decided(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()))
    yield on("plain", get(), suffix=" big", script=yes(status=403, body=b"x" * 3000000))
    yield on("plain", get(), suffix=" interim", script=decided(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    yield on("plain", get(), suffix=" date", script=yes(("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "auth"), status=403))


def failed():
    for name in ("dead", "https", "no-address", "bad-address", "other-scheme", "bad-regex"):
        yield on(name, get())
        yield on(name, post())
    for name, script in {"drop": drop, "garbage": send(b"garbage\r\n\r\n", close=True), "truncated": send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", close=True), "truncated-refusal": send(b"HTTP/1.1 403 OK\r\nContent-Length: 10\r\n\r\nabc", close=True),
                         "cut-chunks": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", close=True), "bad-chunks": send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", close=True),
                         "switching": send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", close=True), "reset": send(reset=True)}.items():
        yield on("plain", get(), suffix=f" {name}", script=decided(script=script))
        yield on("body", post(), suffix=f" {name}", script=decided(script=script))


def sequences():
    for name in SEQUENCES:
        yield on(name, get("/old/x", *MANY), script=yes(*SET))
        yield on(name, post("/old/x", b"hello", *MANY), suffix=" post", script=yes(*SET))
        yield on(name, get("/old/x", ("Origin", "http://o")), suffix=" refused", script=yes(("X-Why", "1"), status=403, body=b"no"))


NO_URL = statuses("500 Internal Server Error", "404 Not Found", "auth-address", "no-address", "bad-address", "other-scheme")
DIFFERS = {
    **NO_URL,
    **keys("auth-agent", "plain no agent", "method no agent", "one", upstream1__header__user_agent=(["Go-http-client/1.1"], None)),
    **keys("empty-user-agent", *(f"{name} empty agent" for name in ("plain", "trust", "method")), upstream0__header__user_agent=(None, [""]), upstream1__header__user_agent=(None, [""])),
    **keys("length-of-304", *(f"{name} 304" for name in ("plain", "take", "cookies", "location", "location-kept", "method", "signin", "signin-path", "body")), answer0__header__content_type=(None, ["text/x"])),
    **keys("redirect-encoding", *(f"{name} to 11 http://other:80/%41 b" for name in ("location", "location-kept", "plain")), answer0__header__location=(["http://other:80/A%20b"], ["http://other:80/%41%20b"])),
    **keys("auth-location", *(f"{name} to 27 http:/.//b" for name in ("location", "plain")), answer0__header__location=(["http://b"], ["http:/.//b"])),
    **statuses("101 Switching Protocols", "500 Internal Server Error", "auth-answers", "plain switching", "body switching"),
    **statuses("500 Internal Server Error", "200 OK", "auth-bodies", "body-5 chunks 0", "body-0 chunks 0"),
    **keys("auth-bodies", "body-method 0", upstream1__header__transfer_encoding=(["chunked"], None), upstream1__header__content_length=(None, ["0"])),
}


def test_the_password_of_the_address_stays_here(pair):
    """The row auth-userinfo: Traefik puts it into the Location that clients get."""
    case = on("user", get("/here"), script=decided(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"))
    theirs, ours = pair.run(case)
    host = f"127.0.0.1:{pair.backends[1].port}/x"
    assert theirs["answer0.header.location"] == [f"http://me:se%20cret@{host}"] and ours["answer0.header.location"] == [f"http://{host}"]
    assert theirs["upstream0.header.authorization"] == ours["upstream0.header.authorization"]



@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = {name: {"forwardAuth": {"address": AUTH, **options}} for name, options in OPTIONS.items()}
    middlewares |= {"plugin": {"plugin": {"header": {"request": {"X-Guest": "1"}, "response": {"X-Answer": "2"}}}}, "strip": {"stripPrefix": {"prefixes": ["/old"]}}, "give": {"headers": {"customRequestHeaders": {"X-Given": "1", "X-Forwarded-For": "3.3.3.3"}}},
                    "cors": {"headers": {"customResponseHeaders": {"X-New": "1"}, "accessControlAllowOriginList": ["*"]}}, "basic": {"basicAuth": {"users": ["me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="]}}}
    routers = {name: {"middlewares": [name]} for name in OPTIONS} | {name: {"middlewares": names} for name, names in SEQUENCES.items()}
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", **router} for name, router in routers.items()}
    return pairs(static={"entryPoints": {"trusting": {"forwardedHeaders": {"insecure": True}}}}, dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": {"s": service("a")}}},
                 plugins={"header": "header"}, backends=("a", "auth"), entry_points=("web", "trusting"))


@pytest.mark.parametrize("case", [*asked(), *bodies(), *passed(), *refused(), *failed(), *sequences()], ids=str)
def test_forward_auth(pair, case):
    pair.check(with_differences(case, DIFFERS))
