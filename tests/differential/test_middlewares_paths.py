"""Middlewares that change the path, alone, in chains, on entry points, and beside a plugin."""

import pytest

from rig.backend import reply
from rig.known import keys, statuses, with_differences
from rig.messages import get, post, raw, service
from rig.observe import Case

TARGETS = ["/", "/api", "/api/", "/api/users?a=b", "/apix", "/api%2Fusers", "/%61pi/users", "/a/api", "/api/a%20b", "/api/%c3%a9", "/api/a;b?c;d", "/api?", "/api/../x", "/api//x",
           "/API/x", "/api/a%3Fb", "/api/v1%2Fx/y", "/api/(a)!*'", "/api/%zz", "/api/%25"]

MIDDLEWARES = {
    "add": {"addPrefix": {"prefix": "/pre"}},
    "add-relative": {"addPrefix": {"prefix": "pre"}},
    "add-slash": {"addPrefix": {"prefix": "/pre/"}},
    "add-space": {"addPrefix": {"prefix": "/a b"}},
    "add-encoded": {"addPrefix": {"prefix": "/a%2Fb"}},
    "add-dots": {"addPrefix": {"prefix": "/a/../b"}},
    "add-unicode": {"addPrefix": {"prefix": "/é"}},
    "add-query": {"addPrefix": {"prefix": "/a?b"}},
    "strip": {"stripPrefix": {"prefixes": ["/api"]}},
    "strip-slash": {"stripPrefix": {"prefixes": ["/api/"]}},
    "strip-two": {"stripPrefix": {"prefixes": ["/api/users", "/api"]}},
    "strip-spaces": {"stripPrefix": {"prefixes": [" /api "]}},
    "strip-empty": {"stripPrefix": {"prefixes": [""]}},
    "strip-root": {"stripPrefix": {"prefixes": ["/"]}},
    "strip-none": {"stripPrefix": {"prefixes": ["/nothing"]}},
    "strip-encoded": {"stripPrefix": {"prefixes": ["/api%2Fusers"]}},
    "strip-decoded": {"stripPrefix": {"prefixes": ["/api/v1/"]}},
    "strip-force": {"stripPrefix": {"prefixes": ["/api"], "forceSlash": True}},
    "strip-no-force": {"stripPrefix": {"prefixes": ["/api"], "forceSlash": False}},
    "regex-strip": {"stripPrefixRegex": {"regex": ["^/[a-z]+"]}},
    "regex-strip-loose": {"stripPrefixRegex": {"regex": ["/api"]}},
    "regex-strip-two": {"stripPrefixRegex": {"regex": ["^/x/", "^/api/[a-z]+", " ^/api "]}},
    "regex-strip-empty": {"stripPrefixRegex": {"regex": ["", "x*"]}},
    "regex-strip-all": {"stripPrefixRegex": {"regex": [".*"]}},
    "regex-strip-dirty": {"stripPrefixRegex": {"regex": ["^/api/?"]}},
    "replace": {"replacePath": {"path": "/other"}},
    "replace-empty": {"replacePath": {"path": ""}},
    "replace-relative": {"replacePath": {"path": "other"}},
    "replace-encoded": {"replacePath": {"path": "/a%2Fb"}},
    "replace-space": {"replacePath": {"path": "/a b"}},
    "replace-dirty": {"replacePath": {"path": "/a/../b"}},
    "replace-query": {"replacePath": {"path": "/a?b=c"}},
    "replace-invalid": {"replacePath": {"path": "/a%zz"}},
    "regex-replace": {"replacePathRegex": {"regex": "^/api/(.*)", "replacement": "/new/$1"}},
    "regex-replace-brace": {"replacePathRegex": {"regex": "^/(?P<first>[^/]+)(.*)", "replacement": "${2}/${first}x"}},
    "regex-replace-run-on": {"replacePathRegex": {"regex": "^/api", "replacement": "/$1x"}},
    "regex-replace-everywhere": {"replacePathRegex": {"regex": "a", "replacement": "b"}},
    "regex-replace-spaces": {"replacePathRegex": {"regex": " ^/api ", "replacement": " /x "}},
    "regex-replace-encoded": {"replacePathRegex": {"regex": "^/api(.*)", "replacement": "/a%2Fb$1"}},
    "regex-replace-invalid": {"replacePathRegex": {"regex": "^/api(.*)", "replacement": "/a%$1"}},
    "regex-replace-dirty": {"replacePathRegex": {"regex": "^/api(.*)", "replacement": "/a/../b$1"}},
    "regex-replace-relative": {"replacePathRegex": {"regex": "^/api/?(.*)", "replacement": "$1"}},
    "regex-replace-empty": {"replacePathRegex": {"regex": "^/api.*", "replacement": ""}},
    "regex-replace-dollar": {"replacePathRegex": {"regex": "^/api", "replacement": "/$$1"}},
    "encoded-none": {"encodedCharacters": {"allowEncodedSlash": False}},
    "encoded-some": {"encodedCharacters": {"allowEncodedSlash": True, "allowEncodedQuestionMark": True}},
    "encoded-all": {"encodedCharacters": {f"allowEncoded{c}": True for c in ("Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash")}},
    "regex-replace-nothing": {"replacePathRegex": {"replacement": "/x"}},
}

CHAINS = {
    "chain": {"chain": {"middlewares": ["strip", "add"]}},
    "chain-nested": {"chain": {"middlewares": ["add-slash", "chain", "replace"]}},
    "chain-qualified": {"chain": {"middlewares": ["strip@file", "add@file"]}},
    "chain-empty": {"chain": {"middlewares": []}},
    "chain-twice": {"chain": {"middlewares": ["add", "add"]}},
    "loop": {"chain": {"middlewares": ["strip", "loop"]}},
    "loop-a": {"chain": {"middlewares": ["loop-b"]}},
    "loop-b": {"chain": {"middlewares": ["loop-a"]}},
    "chain-missing": {"chain": {"middlewares": ["strip", "nothing-of-that-name"]}},
    "chain-broken": {"chain": {"middlewares": ["broken-regex", "add"]}},
    "broken-regex": {"stripPrefixRegex": {"regex": ["("]}},
    "broken-replace": {"replacePathRegex": {"regex": "[", "replacement": "x"}},
    "broken-add": {"addPrefix": {"prefix": ""}},
    "plugin-header": {"plugin": {"header": {"request": {"X-Guest": "1"}}}},
    "plugin-line": {"plugin": {"request-line": {}}},
}

# Routers with several middlewares, by host.
SEQUENCES = {
    "strip-add": ["strip", "add"], "add-strip": ["add", "strip"], "twice-the-same": ["add", "add"], "strip-strip": ["strip", "strip-two", "strip"], "replace-regex": ["replace", "regex-replace"],
    "regex-then-strip": ["regex-replace", "strip"], "plugin-first": ["plugin-line", "strip", "add"], "plugin-last": ["strip", "add", "plugin-line"], "plugin-between": ["strip", "plugin-header", "add"],
    "qualified": ["strip@file", "add@file"], "other-provider": ["strip@docker"], "one-missing": ["strip", "nothing-of-that-name"], "one-broken": ["strip", "broken-regex"], "strip-to-nothing-add": ["strip", "add-relative"],
    "add-space-encoded": ["add-space", "strip"], "chain-and-more": ["chain", "add-slash"], "chain-loop-behind": ["add", "loop-a"], "replace-empty-then-add": ["replace-empty", "add"], "strip-nothing": ["strip", "replace"],
    "encoded-then-add": ["encoded-none", "add-encoded"], "add-then-encoded": ["add-encoded", "encoded-none"], "strip-then-encoded": ["strip", "encoded-some"],
}


def on(name, target, *headers, suffix="", **options):
    return Case(f"{name} {target}{suffix}", [get(target, *headers, host=f"{name}.example")], **options)


def cases():
    for name in MIDDLEWARES:
        for target in TARGETS if not name.endswith(("invalid", "nothing")) else ["/api", "/x"]:
            yield on(name, target)
    for name in CHAINS:
        for target in ("/api/x", "/", "/api?a=b"):
            yield on(name, target)
    for name in SEQUENCES:
        for target in ("/api/x", "/api", "/api%2Fx?a=b", "/other/api"):
            yield on(name, target)
    for name in ("strip", "add", "replace", "regex-replace", "regex-strip"):
        host = f"{name}.example"
        yield Case(f"{name} absolute", [raw(f"GET http://{host}/api/x?y HTTP/1.1", "Host: other.example")])
        yield Case(f"{name} head", [get("/api/x", host=host, method="HEAD")], script=reply(body=b""))
        yield Case(f"{name} options", [get("/api/x", host=host, method="OPTIONS")])
        yield Case(f"{name} post", [post("/api/x", b"body", host=host)])
        yield Case(f"{name} forwarded", [get("/api/x", ("X-Forwarded-Prefix", "/evil"), ("X-Replaced-Path", "/evil"), host=host)])
        yield Case(f"{name} trusted", [get("/api/x", ("X-Forwarded-Prefix", "/outer"), host=host)], entry_point="trusting")
        yield Case(f"{name} unsanitized", [get("/api//x/../y", host=host)], entry_point="plain")
        yield Case(f"{name} unsanitized-front", [get("//api/x", host=host)], entry_point="plain")
        yield Case(f"{name} on-entry-point", [get("/api/x", host=host)], entry_point="prefixing")
        yield Case(f"{name} kept-alive", [get("/api/x", host=host), get("/y", host=host), get("/api", host=host)])
    yield on("regex-strip-line", "/a%0d%0aX-Evil:%201/x")
    for code in ("%2f", "%5c", "%5C", "%00", "%3b", "%25", "%3f", "%23", "%41", "%2541", "%c3%af"):
        for name in ("encoded-none", "encoded-some", "encoded-all"):
            yield on(name, f"/a{code}b")
            yield on(name, f"/a?b={code}")
    yield on("regex-replace-relative", "/api/x?q=%zz")
    yield on("service-level", "/api/x")
    yield on("plugin-line", "/api/x", ("X-Set-Uri", "/api/set?q"))
    yield on("plugin-first", "/api/x", ("X-Set-Uri", "/api/set?q"))
    yield on("plugin-last", "/api/x", ("X-Set-Uri", "/api/set?q"))
    yield on("plugin-last", "/api/x?a=b", ("X-Show", "1"), suffix=" show", ignore=("answer0.body", "answer0.header.transfer-encoding", "answer0.header.content-length"))


INVALID = {"differs": {"answer0.body": (b'invalid URL escape "%"\n', b"Internal Server Error")}, "why": "path-invalid", "loosely": True}
DIFFERS = {
    **statuses("500 Internal Server Error", "404 Not Found", "path-invalid", "replace-invalid /api", "replace-invalid /x"),
    "regex-replace-invalid /api": INVALID,
    **statuses("500 Internal Server Error", "400 Bad Request", "path-line-breaks", "regex-strip-line /a%0d%0aX-Evil:%201/x"),
    **keys("path-relative", "regex-replace-relative /api/x?q=%zz", upstream0__line=("GET x HTTP/1.1", "GET x?q=%zz HTTP/1.1")),
}


@pytest.fixture(scope="module")
def pair(pairs):
    middlewares = MIDDLEWARES | CHAINS | {"regex-strip-line": {"stripPrefixRegex": {"regex": ["^/[^/]+"]}}}
    routers = {name: {"middlewares": [name]} for name in middlewares} | {name: {"middlewares": names} for name, names in SEQUENCES.items()}
    routers["service-level"] = {"middlewares": ["strip"], "service": "with-middlewares"}
    for name, router in routers.items():
        routers[name] = {"rule": f"Host(`{name}.example`)", "service": "s", **router}
    static = {"entryPoints": {"prefixing": {"http": {"middlewares": ["add-slash", "strip-none@file"]}}, "trusting": {"forwardedHeaders": {"insecure": True}}, "plain": {"http": {"sanitizePath": False}}}}
    services = {"s": service("a"), "with-middlewares": service("a") | {"middlewares": ["add"]}}
    return pairs(static=static, dynamic={"http": {"routers": routers, "middlewares": middlewares, "services": services}}, entry_points=("web", "prefixing", "trusting", "plain"),
                 plugins={name: name for name in ("header", "request-line")})


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_paths(pair, case):
    pair.check(case)
