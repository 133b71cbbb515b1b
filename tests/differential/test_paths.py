"""What becomes of request targets, by the entry point's options."""

import pytest

from rig.known import statuses, with_differences
from rig.messages import everything, get, raw
from rig.observe import Case, refused

ENTRY_POINTS = {
    "web": {},
    "plain": {"sanitizePath": False},
    "semicolons": {"encodeQuerySemicolons": True},
    "denied": {"encodedCharacters": {f"allowEncoded{c}": False for c in (
        "Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash")}},
}

TARGETS = [
    "/", "//", "//a", "/a//b", "/a/./b", "/a/../b", "/../a", "/a/..", "/a/../", "/a/.", "/..", "/...", "/a/b/../../..",
    "/%41", "/%61%2f", "/%2F", "/%2F%2F", "/%2e%2e/a", "/a/%2e%2E/b", "/%2e", "/a%2f..%2fb", "/a%2f../b", "/%7e", "/%20", "/%zz",
    "/%", "/%2", '/"', '/a%2Fb"c', "/%c3%a9", "/%25", "/%2525", "/%2541", "/%3f", "/%23", "/a#b", "/?a#b", "/#", "/a;b", "/a%3bb",
    "/?a;b", "/?a=1;b=2&c", "/?a%3bb", "/?", "/??", "/?a?b", "/a?", "/%00", "/%5c", "/\\", "/a\\..\\b", "/[x]", "/%5bx%5d", "/{x}",
    "/|", "/^", "/`", "/<>", "/!$&'()*+,;=:@", "/%21%24%26%27%28%29%2a%2b%2c%3b%3d%3a%40", "/a%2F/b", "/%2F../a", "/a/%2F..",
    "a", "*", "*a", "/*", "///a", "/a///b////", "/a/.//", "/%0a", "/%7f", "/?%zz", "/?a=b=c", "/?a&&b", "/?a+b%20c", "/?\\\"<>|^`{}",
    "/a:b", "/:", "/a@b:c", "/?x=/../y//z", "/%2e%2e%2f%2e%2e", "/..;/a", "/a/..;/b", "/a%00b", "?a", "http:/x", "/~user/", "/+", "/a b",
]

ABSOLUTE = [
    ("absolute", "http://site.example/a?b"), ("absolute-no-path", "http://site.example"), ("absolute-query-only", "http://site.example?q"),
    ("absolute-port", "http://site.example:81/a"), ("absolute-upper", "HTTP://SITE.example/a"), ("absolute-https", "https://site.example/a"),
    ("absolute-dots", "http://site.example/a/../b//c"), ("absolute-user", "http://u:p@site.example/a"), ("absolute-empty-host", "http:///a"),
    ("absolute-ftp", "ftp://site.example/a"), ("absolute-fragment", "http://site.example/a#b"), ("absolute-bad-port", "http://site.example:x/a"),
    ("absolute-v6", "http://[::1]:80/a"), ("absolute-opaque", "mailto:a@b"), ("absolute-scheme-only", "http:"),
    ("absolute-bad-host", "http://si te/a"), ("absolute-percent-host", "http://%41.example/"), ("network-path", "//other.example/a"),
]

DIFFERS = {
    **statuses("404 Not Found", "400 Bad Request", "target-forms", *(f"{name} *" for name in ENTRY_POINTS)),
    **statuses("200 OK", "400 Bad Request", "target-forms", *(f"{name} http:/x" for name in ENTRY_POINTS), "absolute-user", "absolute-empty-host", "absolute-ftp",
               "absolute-scheme-only"),
    **statuses("400 Bad Request", "400 Bad Request", "target-forms", "absolute-opaque"),
}


def cases():
    for entry_point in ENTRY_POINTS:
        for target in TARGETS:
            name = f"{entry_point} {target}"
            yield Case(name, [get(target)], entry_point=entry_point)
    for name, target in ABSOLUTE:
        yield Case(name, [raw(f"GET {target} HTTP/1.1", "Host: host.example")])
    yield refused("high-byte", [b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"])
    yield refused("high-byte-in-query", [b"GET /?\xff HTTP/1.1\r\nHost: a\r\n\r\n"])
    yield Case("options-star", [raw("OPTIONS * HTTP/1.1", "Host: a")])
    yield Case("delete-in-path", [b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"])
    yield Case("long-target", [get("/" + "a" * 8000 + "?" + "b" * 8000)])


@pytest.fixture(scope="module")
def pair(pairs):
    static = {"entryPoints": {name: {"http": http} for name, http in ENTRY_POINTS.items() if http}}
    return pairs(static=static, dynamic=everything(), entry_points=tuple(ENTRY_POINTS))


@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_paths(pair, case):
    pair.check(case)
