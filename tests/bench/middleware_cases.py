"""What is measured of middlewares: options, the request that they get, and the files of the proxies."""

import json
import random
import shutil
from dataclasses import dataclass, field

import peers

SOURCES = 100000
TEXT_BYTES = 100 * 1024
USER = "me:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"
AUTHORIZATION = "Authorization: Basic bWU6dGVzdA=="
MANY_SOURCES = {"average": 10**9, "burst": 10**9, "sourceCriterion": {"requestHeaderName": "X-Source"}}


@dataclass
class Case:
    """A router for the host NAME.test with these middlewares, in order; `target` leads to the file /128."""
    name: str
    middlewares: list
    target: str = "/128"
    headers: tuple = ()
    does: str = ""
    names: list = field(default_factory=list)


def one(kind, options, does, target="/128", headers=()):
    return Case(kind, [{kind: options}], target, headers, does)


# None of these touches a body; the path comes out as it was.
TEN = [
    {"addPrefix": {"prefix": "/p"}},
    {"stripPrefix": {"prefixes": ["/p"]}},
    {"replacePathRegex": {"regex": "^/nowhere/(.*)", "replacement": "/$1"}},
    {"headers": {"customRequestHeaders": {"X-A": "1"}, "customResponseHeaders": {"X-B": "2"}}},
    {"ipAllowList": {"sourceRange": ["10.0.0.0/8", "127.0.0.0/8"]}},
    {"inFlightReq": {"amount": 10000}},
    {"rateLimit": {"average": 10**9, "burst": 10**9}},
    {"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.9"}},
    {"redirectRegex": {"regex": "^http://nowhere/(.*)", "replacement": "http://elsewhere/$1"}},
    {"retry": {"attempts": 2}},
]


def cases(upstream):
    """The first one has no middleware; `digestAuth` is not there, because each of its requests must have a number of its own."""
    return [
        Case("none", [], does="nothing"),
        one("addPrefix", {"prefix": "/p"}, "adds a prefix"),
        one("stripPrefix", {"prefixes": ["/p"]}, "strips one", "/p/128"),
        one("stripPrefixRegex", {"regex": ["^/[a-z]+"]}, "strips one by expression", "/p/128"),
        one("replacePath", {"path": "/128"}, "replaces the path"),
        one("replacePathRegex", {"regex": "^/(.*)$", "replacement": "/p/$1"}, "replaces it by expression"),
        one("headers", TEN[3]["headers"] | {"frameDeny": True, "contentTypeNosniff": True, "stsSeconds": 1}, "sets five fields"),
        one("contentType", {}, "looks for a missing type"),
        one("redirectScheme", {"scheme": "http"}, "passes what has the scheme"),
        one("redirectRegex", TEN[8]["redirectRegex"], "passes what does not match"),
        one("ipAllowList", TEN[4]["ipAllowList"], "lets the client pass"),
        one("basicAuth", {"users": [USER]}, "knows the password already", headers=(AUTHORIZATION,)),
        one("forwardAuth", {"address": f"http://127.0.0.1:{upstream}/128"}, "asks another server"),
        one("inFlightReq", {"amount": 10000}, "counts"),
        one("rateLimit", TEN[6]["rateLimit"], "one source"),
        one("circuitBreaker", TEN[7]["circuitBreaker"], "closed"),
        one("retry", {"attempts": 2}, "nothing fails"),
        one("errors", {"status": ["500-599"], "service": "bench", "query": "/128"}, "nothing fails"),
        one("buffering", {"maxRequestBodyBytes": 2**20}, "keeps the response until it is complete"),
        one("compress", {}, "the client takes no coding"),
        one("passTLSClientCert", {"pem": True}, "no client certificate"),
        Case("ten", TEN, does="ten that touch no body"),
    ]


def special_cases():
    return [Case("text", []), Case("gzip", [{"compress": {"encodings": ["gzip"]}}]), Case("limited", [{"rateLimit": MANY_SOURCES}])]


def text_file():
    """Words, so that there is something to compress."""
    chosen = random.Random(1)
    words = ["".join(chosen.choices("etaoinshrdlu", k=chosen.randint(2, 9))) for _ in range(2000)]
    text = ""
    while len(text) < TEXT_BYTES:
        text += chosen.choice(words) + chosen.choice((" ", " ", " ", ", ", ".\n"))
    return text[:TEXT_BYTES]


def add_files(upstream):
    """What the upstream has beside its own files."""
    root = upstream.directory / "www"
    (root / "p").mkdir()
    shutil.copy(root / "128", root / "p" / "128")
    (root / "text").write_text(text_file())


def dynamic(upstream, all_cases):
    routers, middlewares = {"bench": {"rule": "PathPrefix(`/`)", "service": "bench"}}, {}
    for case in all_cases:
        case.names = [f"{case.name}-{number}" for number, _ in enumerate(case.middlewares)]
        middlewares |= dict(zip(case.names, case.middlewares))
        routers[case.name] = {"rule": f"Host(`{case.name.lower()}.test`)", "service": "bench", "middlewares": case.names}
    server = {"url": f"http://127.0.0.1:{upstream}"}
    return json.dumps({"http": {"routers": routers, "middlewares": middlewares, "services": {"bench": {"loadBalancer": {"servers": [server]}}}}})


def start_weir(peer, upstream, program, all_cases):
    options = json.dumps({"workers": 1, "limits": {"rateLimitSources": 2 * SOURCES}})
    (peer.directory / "dynamic.yml").write_text(dynamic(upstream, all_cases))
    (peer.directory / "static.yml").write_text(peers.STATIC.format(port=peer.port, weir=options, plugins=""))
    return peer.start(program, "--configFile=static.yml")


GZIP = """
            gzip on;
            gzip_comp_level 6;
            gzip_types *;
            gzip_proxied any;
            gzip_http_version 1.1;
"""


def start_nginx(peer, upstream):
    return peers.start_nginx_with(peer, peers.NGINX_PROXY.format(port=peer.port, upstream=upstream, headers=peers.NGINX_HEADERS + GZIP))
