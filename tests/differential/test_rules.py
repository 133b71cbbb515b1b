"""Which router takes a request: each router's service is one backend, told apart by the host that it is given."""

import pytest

from rig.messages import get, raw
from rig.observe import Case

# name: (rule, other options). The name becomes the path's first element in what the backend sees: no two routers share
# a service, and each service's only server is named after its router by passHostHeader=false and a loopback address.
RULES = {
    "host": ("Host(`one.example`)", {}),
    "wildcard": ("Host(`*.wild.example`)", {}),
    "host-regexp": (r"HostRegexp(`^re-[0-9]+\.example$`)", {}),
    "host-regexp-part": ("HostRegexp(`part`) && Path(`/part`)", {}),
    "path": ("Host(`paths.example`) && Path(`/exact`)", {}),
    "path-slash": ("Host(`paths.example`) && Path(`/slash/`)", {}),
    "path-encoded": ("Host(`paths.example`) && Path(`/enc%2Foded`)", {}),
    "path-space": ("Host(`paths.example`) && Path(`/with space`)", {}),
    "path-percent": ("Host(`paths.example`) && Path(`/100%25`)", {}),
    "path-utf8": ("Host(`paths.example`) && Path(`/é`)", {}),
    "prefix": ("Host(`paths.example`) && PathPrefix(`/pre`)", {}),
    "path-regexp": ("Host(`paths.example`) && PathRegexp(`^/re/[a-c]+$`)", {}),
    "path-regexp-part": ("Host(`paths.example`) && PathRegexp(`inner`)", {}),
    "path-regexp-case": ("Host(`paths.example`) && PathRegexp(`(?i)^/ignorecase$`)", {}),
    "method": ("Host(`rest.example`) && Method(`PUT`)", {}),
    "method-lower": ("Host(`rest.example`) && Method(`patch`)", {}),
    "header": ("Host(`rest.example`) && Header(`X-Kind`, `blue`)", {}),
    "header-lower": ("Host(`rest.example`) && Header(`x-lower`, `yes`)", {}),
    "header-regexp": ("Host(`rest.example`) && HeaderRegexp(`X-Kind`, `^gr(e|a)y$`)", {}),
    "query": ("Host(`query.example`) && Query(`q`, `1`)", {}),
    "query-space": ("Host(`query.example`) && Query(`s`, `a b`)", {}),
    "query-regexp": ("Host(`query.example`) && QueryRegexp(`q`, `^x+$`)", {}),
    "query-bare": ("Host(`query.example`) && Query(`bare`)", {}),
    "query-regexp-bare": ("Host(`query.example`) && QueryRegexp(`rx`)", {}),
    "client-in": ("Host(`ip.example`) && ClientIP(`127.0.0.0/8`)", {}),
    "client-one": ("Host(`ip1.example`) && ClientIP(`127.0.0.1`)", {}),
    "client-out": ("Host(`noip.example`) && ClientIP(`10.0.0.1`)", {}),
    "logic": ("Host(`logic.example`) && (Path(`/a`) || Path(`/b`)) && !Method(`DELETE`)", {}),
    "binding": ("Host(`bind.example`) && Path(`/a`) || Host(`bind2.example`) && Path(`/b`)", {}),
    "not-paren": ("Host(`notp.example`) && !(Path(`/a`) || Path(`/b`))", {}),
    "double-not": ("Host(`nn.example`) && !!Path(`/a`)", {}),
    "double-quoted": ('Host("quoted.example") && Path("/\\x61")', {}),
    "lower-name": ("host(`lower.example`)", {}),
    "upper-name": ("HOST(`upper.example`)", {}),
    "mixed-name": ("Hostregexp(`^mixed\\.example$`)", {}),
    "newline": ("Host(`nl.example`) &&\n  Path(`/nl`)", {}),
    "long": ("Host(`prio.example`) && PathPrefix(`/some/long/prefix`)", {}),
    "short": ("Host(`prio.example`)", {}),
    "high": ("Host(`explicit.example`)", {"priority": 1000}),
    "low": ("Host(`explicit.example`) && PathPrefix(`/some/long/prefix/that/would/win`)", {}),
    "negative": ("Host(`explicit.example`) && PathPrefix(`/`) && Method(`GET`)", {"priority": -5}),
    "negative-only": ("Host(`neg.example`)", {"priority": -5}),
    "v2": ("Host(`v2.example`, `v2b.example`) && Path(`/v2/{id:[0-9]+}`)", {"ruleSyntax": "v2"}),
    "v2-prefix": ("Host(`v2.example`) && PathPrefix(`/pre/{name}`)", {"ruleSyntax": "v2"}),
    "v2-headers": ("Host(`v2.example`) && Headers(`X-V2`, `yes`)", {"ruleSyntax": "v2"}),
    "v2-query": ("Host(`v2.example`) && Query(`a=1`)", {"ruleSyntax": "v2"}),
    "v2-host-regexp": ("HostRegexp(`{sub:[a-z]+}.v2re.example`)", {"ruleSyntax": "v2"}),
    # Refused by both: the router is absent.
    "bad-single-quote": ("Host('bad1.example')", {}),
    "bad-two-hosts": ("Host(`bad2.example`, `bad2b.example`)", {}),
    "bad-path": ("Host(`bad3.example`) && Path(`no-slash`)", {}),
    "bad-regexp": ("HostRegexp(`bad4.example(`)", {}),
    "bad-lookahead": ("HostRegexp(`(?=bad5)bad5.example`)", {}),
    "bad-matcher": ("Hoost(`bad6.example`)", {}),
    "bad-empty-argument": ("Host(`bad7.example`) && Path(``)", {}),
    "bad-syntax": ("Host(`bad8.example`) &&", {}),
    "bad-ip": ("Host(`bad9.example`) && ClientIP(`300.1.1.1`)", {}),
    "bad-line-break": ("Host(`bad10.example`)\n && Path(`/`)", {}),
    "bad-host-unicode": ("Host(`bücher.example`)", {}),
    "bad-header-count": ("Host(`bad11.example`) && Header(`X`)", {}),
    "bad-empty": ("", {}),
    "bad-service": ("Host(`bad12.example`)", {"service": "nowhere"}),
    "bad-middleware": ("Host(`bad13.example`)", {"middlewares": ["nowhere"]}),
    "bad-entry-point": ("Host(`bad14.example`)", {"entryPoints": ["nowhere"]}),
    "some-entry-points": ("Host(`some.example`)", {"entryPoints": ["nowhere", "web"]}),
    "other-entry-point": ("Host(`other.example`)", {"entryPoints": ["other"]}),
    "no-service": ("Host(`bad15.example`)", {"service": None}),
    "qualified": ("Host(`qualified.example`)", {"service": "qualified@file"}),
    "bad-provider": ("Host(`bad16.example`)", {"service": "host@docker"}),
}

REQUESTS = [
    ("host", get(host="one.example")), ("host-upper", get("/x", host="ONE.Example")),
    ("host-port", get(host="one.example:8080")), ("host-dot", get(host="one.example.")),
    ("host-dot-port", get(host="one.example.:80")), ("host-other", get(host="two.example")),
    ("host-sub", get(host="sub.one.example")), ("host-empty", get(host="")),
    ("host-absolute", raw("GET http://one.example/abs HTTP/1.1", "Host: two.example")),
    ("host-absolute-port", raw("GET http://one.example:81/abs HTTP/1.1", "Host: two.example")),
    ("host-1.0-none", raw("GET / HTTP/1.0")),
    ("wild", get(host="a.wild.example")), ("wild-two", get(host="a.b.wild.example")), ("wild-none", get(host="wild.example")),
    ("wild-upper", get(host="A.WILD.example")), ("wild-dot", get(host="a.wild.example.")),
    ("regexp", get(host="re-42.example")), ("regexp-upper", get(host="RE-42.example")), ("regexp-miss", get(host="re-x.example")),
    ("regexp-port", get(host="re-42.example:99")), ("regexp-unanchored", get("/part", host="xxpartyy.example")),
    ("path", get("/exact", host="paths.example")), ("path-query", get("/exact?x=1", host="paths.example")),
    ("path-empty-query", get("/exact?", host="paths.example")), ("path-slash-miss", get("/exact/", host="paths.example")),
    ("path-case", get("/Exact", host="paths.example")), ("path-decoded", get("/%65xact", host="paths.example")),
    ("path-dots", get("/x/../exact", host="paths.example")), ("path-slashes", get("//exact", host="paths.example")),
    ("path-slash", get("/slash/", host="paths.example")), ("path-slash-none", get("/slash", host="paths.example")),
    ("path-encoded-slash", get("/enc%2Foded", host="paths.example")), ("path-encoded-lower", get("/enc%2foded", host="paths.example")),
    ("path-plain-slash", get("/enc/oded", host="paths.example")), ("path-space", get("/with%20space", host="paths.example")),
    ("path-percent", get("/100%25", host="paths.example")), ("path-utf8", get("/%C3%A9", host="paths.example")),
    ("prefix", get("/pre", host="paths.example")), ("prefix-longer", get("/prefix", host="paths.example")),
    ("prefix-below", get("/pre/a/b", host="paths.example")), ("prefix-case", get("/Pre", host="paths.example")),
    ("path-regexp", get("/re/abc", host="paths.example")), ("path-regexp-miss", get("/re/abd", host="paths.example")),
    ("path-regexp-inner", get("/x/inner/y", host="paths.example")), ("path-regexp-case", get("/IgnoreCase", host="paths.example")),
    ("method", get(host="rest.example", method="PUT")), ("method-other", get(host="rest.example", method="POST")),
    ("method-lower-rule", get(host="rest.example", method="PATCH")), ("method-lower-request", get(host="rest.example", method="put")),
    ("header", get("/", ("X-Kind", "blue"), host="rest.example")), ("header-name-case", get("/", ("x-kind", "blue"), host="rest.example")),
    ("header-value-case", get("/", ("X-Kind", "Blue"), host="rest.example")),
    ("header-second", get("/", ("X-Kind", "red"), ("X-Kind", "blue"), host="rest.example")),
    ("header-list", get("/", ("X-Kind", "red, blue"), host="rest.example")), ("header-lower", get("/", ("X-Lower", "yes"), host="rest.example")),
    ("header-regexp", get("/", ("X-Kind", "gray"), host="rest.example")), ("header-regexp-miss", get("/", ("X-Kind", "grey!"), host="rest.example")),
    ("query", get("/?q=1", host="query.example")), ("query-second", get("/?q=2&q=1", host="query.example")),
    ("query-miss", get("/?q=2", host="query.example")), ("query-key-case", get("/?Q=1", host="query.example")),
    ("query-encoded", get("/?%71=%31", host="query.example")), ("query-plus", get("/?s=a+b", host="query.example")),
    ("query-percent", get("/?s=a%20b", host="query.example")), ("query-semicolon", get("/?z=0;q=1", host="query.example")),
    ("query-bad-percent", get("/?q=%zz&q=1", host="query.example")), ("query-regexp", get("/?q=xxx", host="query.example")),
    ("query-regexp-miss", get("/?q=xxy", host="query.example")), ("query-bare", get("/?bare", host="query.example")),
    ("query-bare-equals", get("/?bare=", host="query.example")), ("query-bare-value", get("/?bare=1", host="query.example")),
    ("query-regexp-bare", get("/?rx", host="query.example")), ("query-regexp-bare-value", get("/?rx=1", host="query.example")),
    ("client-in", get(host="ip.example")), ("client-one", get(host="ip1.example")), ("client-out", get(host="noip.example")),
    ("client-forwarded", get("/", ("X-Forwarded-For", "10.0.0.1"), host="noip.example")),
    ("logic-a", get("/a", host="logic.example")), ("logic-b", get("/b", host="logic.example")), ("logic-c", get("/c", host="logic.example")),
    ("logic-delete", get("/a", host="logic.example", method="DELETE")), ("bind-1", get("/a", host="bind.example")),
    ("bind-2", get("/b", host="bind2.example")), ("bind-miss", get("/b", host="bind.example")),
    ("not-a", get("/a", host="notp.example")), ("not-c", get("/c", host="notp.example")), ("double-not", get("/a", host="nn.example")),
    ("quoted", get("/a", host="quoted.example")), ("lower", get(host="lower.example")), ("upper", get(host="upper.example")),
    ("mixed", get(host="mixed.example")), ("newline", get("/nl", host="nl.example")),
    ("priority-long", get("/some/long/prefix", host="prio.example")), ("priority-short", get("/some", host="prio.example")),
    ("priority-explicit", get("/some/long/prefix/that/would/win", host="explicit.example")),
    ("priority-negative", get("/", host="neg.example")),
    ("v2-template", get("/v2/12", host="v2.example")), ("v2-template-miss", get("/v2/x", host="v2.example")),
    ("v2-second-host", get("/v2/12", host="v2b.example")), ("v2-prefix", get("/pre/n/x", host="v2.example")),
    ("v2-prefix-miss", get("/pre/", host="v2.example")), ("v2-headers", get("/", ("X-V2", "yes"), host="v2.example")),
    ("v2-query", get("/?a=1", host="v2.example")), ("v2-host-regexp", get(host="abc.v2re.example")),
    ("v2-host-regexp-miss", get(host="ab1.v2re.example")),
    *((f"bad-{n}", get(host=f"bad{n}.example")) for n in range(1, 17)),
    ("bad-2b", get(host="bad2b.example")), ("bad-host-unicode", get(host="xn--bcher-kva.example")),
    ("some-entry-points", get(host="some.example")), ("other-entry-point", get(host="other.example")),
    ("qualified", get(host="qualified.example")),
]


def dynamic():
    routers, services = {}, {}
    for i, (name, (rule, options)) in enumerate(RULES.items()):
        router = {"rule": rule, "service": name, **options}
        routers[name] = {key: value for key, value in router.items() if value is not None}
        # All addresses of the loopback network lead to the one backend, which sees in Host which of them was meant.
        services[name] = {"loadBalancer": {"passHostHeader": False, "servers": [{"url": f"http://127.0.1.{i + 1}:<<a>>"}]}}
    return {"http": {"routers": routers, "services": services}}


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(dynamic=dynamic(), static={"core": {"defaultRuleSyntax": "v3"}}, entry_points=("web", "other"),
                 backend_host="0.0.0.0")


@pytest.mark.parametrize("case", [Case(name, [request]) for name, request in REQUESTS], ids=str)
def test_rules(pair, case):
    pair.check(case)


@pytest.mark.parametrize("syntax", ["v2", "v3"])
def test_default_syntax(pairs, syntax):
    routers = {"old": {"rule": "PathPrefix(`/a`, `/b/{id:[0-9]+}`)"}, "new": {"rule": "PathRegexp(`^/c[0-9]$`)"},
               "old-too": {"rule": "Path(`/d`, `/e`)", "ruleSyntax": "v2"}, "new-too": {"rule": "PathRegexp(`^/f[0-9]$`)", "ruleSyntax": "v3"}}
    pair = pairs(static={"core": {"defaultRuleSyntax": syntax}}, entry_points=("web", "other"), dynamic={"http": {
        "routers": {name: {"service": "s", **router} for name, router in routers.items()},
        "services": {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:<<a>>"}]}}}}})
    for entry_point in ("web", "other"):
        for target in ("/a", "/b/1", "/b/x", "/c1", "/d", "/e", "/f1", "/g"):
            pair.check(Case(f"{syntax}-{entry_point}-{target}", [get(target)], entry_point=entry_point))


def test_rules_on_the_other_entry_point(pair):
    pair.check(Case("other", [get(host="other.example"), get(host="one.example")], entry_point="other"))
