"""The API: the same files give the same JSON, field by field, but for the object `weir` and what stands in KNOWN."""

import io
import json
import re
import tarfile
import threading
from http import server as http_server

import pytest

from harness.certificates import Authority
from harness.client import fetch
from harness.waiting import wait_until
from rig.messages import service

ENTRY_POINTS = ("web", "other", "traefik")
API = {"api": {"insecure": True, "dashboard": False}}


def call(instance, target, method="GET", entry_point="traefik", headers=(), body=None):
    return fetch(instance.ports[entry_point], method, target, headers=headers, body=body)


def anonymous(instance, text):
    """Ports are each program's own."""
    for name, port in instance.ports.items():
        text = text.replace(f":{port}", f":<{name}>").replace(f'"port":"{port}"', f'"port":"<{name}>"')
    return text


def without_weir(value):
    if isinstance(value, dict):
        return {key: without_weir(item) for key, item in value.items() if key != "weir"}
    return [without_weir(item) for item in value] if isinstance(value, list) else value


def seen(instance, target, **options):
    """Status, the fields that matter, and the body: as values if it is JSON."""
    response = call(instance, target, **options)
    text = anonymous(instance, response.body.decode())
    is_json = any(value.startswith("application/json") for value in response.all("Content-Type"))
    return {"status": response.status,
            **{name: response.all(name) for name in ("Content-Type", "X-Next-Page", "X-Content-Type-Options", "Allow",
                                                        "Access-Control-Allow-Origin")},
            "body": without_weir(json.loads(text)) if is_json else text}


def flat(value, path=""):
    if isinstance(value, dict) and value:
        return {key: leaf for name, item in value.items() for key, leaf in flat(item, f"{path}/{name}").items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {key: leaf for at, item in enumerate(value)
                for key, leaf in flat(item, f"{path}/{item.get('name', at) if isinstance(item, dict) else at}").items()}
    return {path: value}


def differences(theirs, ours):
    theirs, ours = flat(theirs), flat(ours)
    return {key: (theirs.get(key), ours.get(key)) for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)}


class Known:
    """Differences that are meant: paths by expression, and the row of docs/compatibility.md."""

    def __init__(self, why, *paths):
        self.why, self.paths = why, [re.compile(path) for path in paths]

    def explains(self, path):
        return any(pattern.search(path) for pattern in self.paths)


def compare(pair, target, known=(), **options):
    found = differences(seen(pair.traefik, target, **options), seen(pair.weir, target, **options))
    found = {f"{target} {path}": values for path, values in found.items()}
    unknown = {path: values for path, values in found.items() if not any(row.explains(path) for row in known)}
    assert not unknown, f"{target}: (Traefik, weir)\n" + "\n".join(f"  {path}: {values}" for path, values in unknown.items())
    return found


def settled(pair):
    """Both have the same routers: each applies its configuration when it likes."""
    def names(instance):
        body = json.loads(call(instance, "/api/rawdata").body)
        return {kind: sorted(body.get(kind, {})) for kind in ("routers", "services", "middlewares")}

    wait_until(lambda: names(pair.traefik) == names(pair.weir),
               lambda: f"the same objects\n{names(pair.traefik)}\n{names(pair.weir)}", 30)


LISTS = [f"/api/http/{kind}" for kind in ("routers", "services", "middlewares")]
PAGES = ["/api/overview", *LISTS, "/api/entrypoints", "/api/entrypoints/web", "/api/entrypoints/traefik",
         *(f"/api/{protocol}/{kind}" for protocol, kinds in (("tcp", ("routers", "services", "middlewares")),
                                                             ("udp", ("routers", "services"))) for kind in kinds)]


def compare_all(pair, known=()):
    """Raw data first: Traefik's lists change what it shows afterwards."""
    settled(pair)
    found = compare(pair, "/api/rawdata", known)
    for page in PAGES:
        found.update(compare(pair, page, known))
    data = json.loads(call(pair.weir, "/api/rawdata").body)
    for kind in ("routers", "services", "middlewares"):
        for name in data.get(kind, {}):
            compare(pair, f"/api/http/{kind}/{name.replace('/', '%2F')}", known)
    unused = [row for row in known if not any(row.explains(path) for path in found)]
    assert not unused, f"no longer differs: {[[path.pattern for path in row.paths] for row in unused]}"


ROUTERS = {
    "plain": {"rule": "Host(`plain`)", "service": "s"},
    "ordered": {"rule": "Host(`a`) && PathPrefix(`/x`)", "service": "s@file", "entryPoints": ["web", "other"],
                "middlewares": ["strip", "all@file"], "priority": 7},
    "negative": {"rule": "Host(`n`)", "service": "s", "priority": -5},
    "observed": {"rule": "Host(`o`)", "service": "s", "observability": {"accessLogs": False, "metrics": True}},
    "old": {"rule": "Host(`a`, `b`)", "service": "s", "ruleSyntax": "v2"},
    "twice": {"rule": "Host(`t`)", "service": "s", "entryPoints": ["other", "web", "other"]},
    "internal": {"rule": "Host(`i`)", "service": "api@internal"},
    "strânge/name <&>\"": {"rule": "Host(`é`) || Path(`/<&>`)", "service": "s"},
}
MIDDLEWARES = {
    "strip": {"stripPrefix": {"prefixes": ["/x", "/y"]}},
    "all": {"chain": {"middlewares": ["strip", "prefix@file"]}},
    "prefix": {"addPrefix": {"prefix": "/p"}},
}
SERVICES = {"s": service("a"), "unused": service("a")}


def http(routers=None, middlewares=None, services=None):
    return {"http": {"routers": routers or {}, "middlewares": middlewares or {}, "services": {**SERVICES, **(services or {})}}}


def start(pairs, dynamic, static=None, entry_points=ENTRY_POINTS, **options):
    from rig.pair import merge
    return pairs(static=merge(API, static or {}), dynamic=dynamic, entry_points=entry_points, **options)


def test_objects(pairs):
    pair = start(pairs, http(ROUTERS, MIDDLEWARES))
    compare_all(pair)


def test_entry_points(pairs):
    """What entry points add makes routers of their own."""
    static = {
        "entryPoints": {
            "web": {"http": {"middlewares": ["prefix@file"]}, "observability": {"metrics": False}},
            "other": {"asDefault": True, "reusePort": True,
                      "transport": {"keepAliveMaxTime": 5, "keepAliveMaxRequests": 3, "lifeCycle": {"graceTimeOut": "1m"},
                                    "respondingTimeouts": {"readTimeout": 0}},
                      "forwardedHeaders": {"trustedIPs": ["127.0.0.1"], "connection": ["Foo"]},
                      "http": {"encodeQuerySemicolons": True, "maxHeaderBytes": 5000, "sanitizePath": False,
                               "encodedCharacters": {"allowEncodedSlash": False}}},
            "traefik": {"http": {"middlewares": ["prefix2@file"]}},
        },
        "ping": {}, "metrics": {"prometheus": {}},
    }
    middlewares = {**MIDDLEWARES, "prefix2": {"headers": {"customResponseHeaders": {"X-Added": "1"}}}}
    pair = start(pairs, http(ROUTERS, middlewares), static, ready=ready)
    compare_all(pair)
    for instance in (pair.traefik, pair.weir):
        assert call(instance, "/ping").all("X-Added") == call(instance, "/api/version").all("X-Added") == ["1"]


def ready(instance):
    return "marker" in call(instance, "/api/rawdata").body.decode()


EVERY_MIDDLEWARE = {
    "addPrefix": {"addPrefix": {"prefix": "/a"}},
    "stripPrefixRegex": {"stripPrefixRegex": {"regex": ["^/a", "^/b"]}},
    "replacePath": {"replacePath": {"path": "/a"}},
    "replacePathRegex": {"replacePathRegex": {"regex": "^/a(.*)", "replacement": "/b$1"}},
    "ipWhiteList": {"ipWhiteList": {"sourceRange": ["127.0.0.1/8"]}},
    "ipAllowList": {"ipAllowList": {"sourceRange": ["127.0.0.1"], "ipStrategy": {}}},
    "ipAllowList2": {"ipAllowList": {"sourceRange": ["127.0.0.1"], "rejectStatusCode": 403,
                                     "ipStrategy": {"depth": 1, "excludedIPs": ["::1"], "ipv6Subnet": 64}}},
    "headers": {"headers": {"customRequestHeaders": {"X-B": "1", "X-A": ""}, "customResponseHeaders": {"X": "<&>"},
                            "accessControlAllowOriginList": ["*"], "accessControlMaxAge": 0, "stsSeconds": 0,
                            "addVaryHeader": True, "frameDeny": False, "contentSecurityPolicy": "default-src 'self'",
                            "sslProxyHeaders": {"X-Forwarded-Proto": "https"}, "allowedHosts": ["a", "b"]}},
    "headers2": {"headers": {"accessControlMaxAge": 5, "stsSeconds": 9, "stsPreload": True, "permissionsPolicy": "x"}},
    "errors": {"errors": {"status": ["500-599"], "service": "s", "query": "/{status}", "statusRewrites": {"500": 404}}},
    "rateLimit": {"rateLimit": {"average": 5}},
    "rateLimit2": {"rateLimit": {"average": 0, "burst": 0, "period": "1m30s",
                                 "sourceCriterion": {"requestHeaderName": "X", "requestHost": False}}},
    "rateLimit3": {"rateLimit": {"average": 5, "redis": {"db": 1}}},
    "rateLimit4": {"rateLimit": {"average": 5, "redis": {"endpoints": ["127.0.0.1:1"], "username": "me", "password": "open-sesame", "db": 2, "poolSize": 3, "minIdleConns": 1,
                                                         "maxActiveConns": 4, "readTimeout": "1s", "dialTimeout": "3s", "tls": {"insecureSkipVerify": True}}}},
    "redirectRegex": {"redirectRegex": {"regex": "a", "replacement": "b", "permanent": True}},
    "redirectScheme": {"redirectScheme": {"scheme": "https", "port": "8443"}},
    "basicAuth": {"basicAuth": {"users": ["a:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]}},
    "basicAuth2": {"basicAuth": {"users": ["a:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"], "realm": "traefik",
                                 "headerField": "X-User", "removeHeader": True}},
    "digestAuth": {"digestAuth": {"users": ["a:traefik:a2688e031edb4be6a3797f3882655c05"]}},
    "forwardAuth": {"forwardAuth": {"address": "http://127.0.0.1:<<a>>/auth", "authResponseHeaders": ["X-A"]}},
    "forwardAuth2": {"forwardAuth": {"address": "http://127.0.0.1:<<a>>/auth", "trustForwardHeader": False, "maxBodySize": 0,
                                     "maxResponseBodySize": -1, "forwardBody": True}},
    "inFlightReq": {"inFlightReq": {"amount": 4}},
    "inFlightReq2": {"inFlightReq": {"amount": 4, "sourceCriterion": {"ipStrategy": {"depth": 2}}}},
    "buffering": {"buffering": {"maxRequestBodyBytes": 5}},
    "buffering2": {"buffering": {"memRequestBodyBytes": 1048576, "retryExpression": "IsNetworkError() && Attempts() < 2"}},
    "circuitBreaker": {"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.5"}},
    "circuitBreaker2": {"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.5", "checkPeriod": 7, "responseCode": 500}},
    "compress": {"compress": {}},
    "compress2": {"compress": {"minResponseBodyBytes": 1024, "encodings": ["br"], "excludedContentTypes": ["text/x"]}},
    "passTLSClientCert": {"passTLSClientCert": {"pem": True, "info": {"subject": {"country": True}, "sans": True}}},
    "retry": {"retry": {"attempts": 3}},
    "retry2": {"retry": {"attempts": 3, "initialInterval": "250ms", "maxRequestBodyBytes": 1}},
    "contentType": {"contentType": {}},
    "contentType2": {"contentType": {"autoDetect": False}},
    "grpcWeb": {"grpcWeb": {"allowOrigins": ["*"]}},
    "encodedCharacters": {"encodedCharacters": {"allowEncodedSlash": True}},
}


def test_every_middleware(pairs):
    """What is written, as it is written, and Traefik's defaults; whether it is served is compared only where both do."""
    pair = start(pairs, http({"used": {"rule": "Host(`u`)", "service": "s", "middlewares": ["addPrefix", "headers2"]}},
                             EVERY_MIDDLEWARE))
    settled(pair)
    theirs, ours = (json.loads(call(instance, "/api/rawdata").body)["middlewares"] for instance in (pair.traefik, pair.weir))
    for middleware in ours.values():
        if any("is not supported by weir" in text for text in middleware.get("error", [])):
            assert middleware.pop("error") and middleware["status"] == "disabled"
            middleware["status"] = "enabled"
    found = differences(*(json.loads(anonymous(instance, json.dumps(data)))
                          for instance, data in ((pair.traefik, theirs), (pair.weir, ours))))
    assert not found


def test_services(pairs):
    """Services that weir does not serve yet are shown as they are written, too."""
    services = {
        "weighted": {"weighted": {"services": [{"name": "s", "weight": 0}, {"name": "unused@file"}]}},
        "mirroring": {"mirroring": {"service": "s", "mirrorBody": False, "mirrors": [{"name": "s", "percent": 5}]}},
        "failover": {"failover": {"service": "s", "fallback": "unused", "healthCheck": {}, "errors": {"status": ["500"]}}},
        "options": {"loadBalancer": {
            "servers": [{"url": "http://127.0.0.1:<<a>>", "weight": 0}, {"url": "http://127.0.0.1:<<a>>", "weight": 1},
                        {"url": "http://localhost:<<a>>", "preservePath": True}],
            "passHostHeader": False, "responseForwarding": {"flushInterval": "5ms"}}},
        "none": {"loadBalancer": {"servers": []}},
        "fronted": {"middlewares": ["prefix"], "loadBalancer": {"servers": [{"url": "http://127.0.0.1:<<a>>"}]}},
    }
    routers = {"options": {"rule": "Host(`o`)", "service": "options"}, "none": {"rule": "Host(`n`)", "service": "none@file"},
               "fronted": {"rule": "Host(`f`)", "service": "fronted"}}
    pair = start(pairs, http(routers, MIDDLEWARES, services))
    settled(pair)
    compare(pair, "/api/http/middlewares", [UNUSED_CHAINS])
    theirs, ours = (json.loads(call(instance, "/api/rawdata").body)["services"] for instance in (pair.traefik, pair.weir))
    for each in ours.values():
        if any("is not supported by weir" in text for text in each.get("error", [])):
            assert each.pop("error") and each["status"] == "disabled"
            each["status"] = "enabled"
    assert not differences(theirs, ours)


WRONG = {
    "no-service": {"rule": "Host(`x`)"},
    "unknown-service": {"rule": "Host(`x`)", "service": "nowhere"},
    "unknown-middleware": {"rule": "Host(`x`)", "service": "s", "middlewares": ["prefix", "nowhere", "other"]},
    "unknown-provider": {"rule": "Host(`x`)", "service": "s@other", "middlewares": ["prefix@other"]},
    "unknown-entry-point": {"rule": "Host(`x`)", "service": "s", "entryPoints": ["nowhere"]},
    "unknown-and-known-entry-point": {"rule": "Host(`x`)", "service": "s", "entryPoints": ["nowhere", "web"]},
    "unknown-internal": {"rule": "Host(`x`)", "service": "foo@internal"},
    "disabled-internal": {"rule": "Host(`x`)", "service": "ping@internal"},
    "disabled-dashboard": {"rule": "Host(`x`)", "service": "dashboard@internal"},
    "disabled-rest": {"rule": "Host(`x`)", "service": "rest@internal"},
    "syntax": {"rule": "Host(`x`", "service": "s"},
    "function": {"rule": "Foo(`x`)", "service": "s"},
    "no-rule": {"rule": "", "service": "s"},
    "priority": {"rule": "Host(`x`)", "service": "s", "priority": 9223372036854775807},
    "path": {"rule": "Path(`x`)", "service": "s"},
    "arguments": {"rule": "Host(`a`, `b`)", "service": "s"},
    "name": {"rule": "Host(`a`) || b", "service": "s"},
    "old-syntax": {"rule": "PathRegexp(`a`)", "service": "s", "ruleSyntax": "v2"},
    "expression": {"rule": "Host(`x`)", "service": "s", "middlewares": ["expression"]},
    "two-types": {"rule": "Host(`x`)", "service": "s", "middlewares": ["two-types"]},
    "loop": {"rule": "Host(`x`)", "service": "s", "middlewares": ["loop"]},
    "broken-chain": {"rule": "Host(`x`)", "service": "s", "middlewares": ["broken-chain"]},
    "plugin": {"rule": "Host(`x`)", "service": "s", "middlewares": ["plugin"]},
    "addresses": {"rule": "Host(`x`)", "service": "s", "middlewares": ["addresses"]},
    "two-services": {"rule": "Host(`x`)", "service": "two"},
    "strategy": {"rule": "Host(`x`)", "service": "strategy"},
    "transport": {"rule": "Host(`x`)", "service": "transport"},
    "no-kind": {"rule": "Host(`x`)", "service": "no-kind"},
    "url": {"rule": "Host(`x`)", "service": "url"},
    "service-first": {"rule": "Host(`x`)", "service": "url", "middlewares": ["untried"]},
}
BROKEN = {
    "prefix": {"addPrefix": {"prefix": "/p"}},
    "expression": {"replacePathRegex": {"regex": "(", "replacement": "x"}},
    "untried": {"replacePathRegex": {"regex": "((", "replacement": "x"}},
    "two-types": {"addPrefix": {"prefix": "/p"}, "replacePath": {"path": "/x"}},
    "loop": {"chain": {"middlewares": ["loop-inner"]}},
    "loop-inner": {"chain": {"middlewares": ["loop"]}},
    "broken-chain": {"chain": {"middlewares": ["prefix", "nowhere"]}},
    "plugin": {"plugin": {"nowhere": {"a": 1}}},
    "addresses": {"ipAllowList": {"sourceRange": ["x"]}},
}
BROKEN_SERVICES = {
    "two": {"loadBalancer": {"servers": []}, "weighted": {"services": []}},
    "strategy": {"loadBalancer": {"strategy": "foo", "servers": []}},
    "transport": {"loadBalancer": {"serversTransport": "nowhere", "servers": [{"url": "http://127.0.0.1:<<a>>"}]}},
    "no-kind": {},
    "url": {"loadBalancer": {"servers": [{"url": "http://a b"}]}},
}
UNUSED_CHAINS = Known("api-references", r"/all@(file|http).*/chain/middlewares")
IN_OTHER_WORDS = Known("api-errors", r"(expression|addresses|plugin|url|service-first)@file.*/error$")


def test_errors(pairs):
    """What is wrong, in Traefik's words; other programs' parsers have their own."""
    pair = start(pairs, http(WRONG, BROKEN, BROKEN_SERVICES))
    compare_all(pair, [IN_OTHER_WORDS])
    ours = json.loads(call(pair.weir, "/api/rawdata").body)
    assert all(ours["routers"][f"{name}@file"]["status"] == ("warning" if "and-known" in name else "disabled") for name in WRONG)


def test_loops(pairs):
    """Ways through errors middlewares and the middlewares of services that lead to where they began, and what lies on them."""
    middlewares = {name: {"errors": {"status": ["404"], "service": to}} for name, to in
                   {"own": "own", "by-chain": "by-chain", "served": "served", "far": "near", "near": "far-off", "off": "off", "wrong": "wrong", "missing": "missing", "fine": "fine", "finer": "finer"}.items()}
    middlewares |= {"links": {"chain": {"middlewares": ["by-chain"]}}, "bad": {"errors": {"status": ["x"], "service": "s"}}, "strip": {"stripPrefix": {"prefixes": ["/x"]}}}
    inside = {"own": "own", "by-chain": "links", "served": "served", "near": "near", "far-off": "off", "off": "far", "wrong": "bad", "missing": "nowhere", "fine": "finer", "finer": "strip"}
    services = {name: {**service("a"), "middlewares": [middleware]} for name, middleware in inside.items()}
    routers = {name: {"rule": f"Host(`{name}`)", "service": "s", "middlewares": [name]} for name in ("own", "by-chain", "far", "wrong", "missing", "fine")}
    routers["served"] = {"rule": "Host(`served`)", "service": "served"}
    pair = start(pairs, http(routers, middlewares, services))
    compare_all(pair, [Known("errors-status", r"/(bad|wrong)@file.*/error$")])


CERTIFICATE_QUERIES = ["", "sortBy=name&direction=desc", "sortBy=status", "sortBy=status&direction=desc", "sortBy=issuer", "sortBy=validUntil",
                       "sortBy=validUntil&direction=desc", "sortBy=notAfter", "search=RSA.ex", "search=127.0", "search=2001:db8", "search=some",
                       "search=authority", "search=1001", "status=warning", "status=EXPIRED", "status=enabled", "status=disabled",
                       "status=enabled&search=www", "per_page=2", "per_page=2&page=2", "page=9", "page=0", "serviceName=x"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Keys and names of many kinds, that are valid, soon not, and no longer."""
    made = Authority(tmp_path_factory.mktemp("authority"), subject="/C=DE/O=Somebody/O=Else/CN=authority")
    plain = Authority(tmp_path_factory.mktemp("plain"), "another")
    rsa = ("rsa", "rsa_keygen_bits:2048")
    return {
        "rsa": made.issue("rsa.example", "DNS:rsa.example", "DNS:www.rsa.example", "IP:127.0.0.1", "IP:2001:db8::1", days=300, key=rsa,
                          subject="/C=FR/O=First/O=Second/OU=Unit/CN=not.example/CN=rsa.example"),
        "soon": plain.issue("soon.example", days=10),
        "late": made.issue("late.example", days=-1),
        "p384": made.issue("p384.example", "DNS:*.p384.example", days=300, key=("ec", "ec_paramgen_curve:P-384")),
        "ed25519": plain.issue("ed.example", days=300, key=("ed25519", "")),
        "nameless": made.issue("", "DNS:nameless.example", "email:a@b.example", "URI:http://u.example", days=300, subject="/O=Only"),
        "umlaut": made.issue("umlaut.example", days=300, subject="/O=<Ümläut> & \"Söhne\"/CN=umlaut.example"),
        "default": made.issue("default.example", days=300, key=("rsa", "rsa_keygen_bits:3072")),
    }


def test_certificates(pairs, certificates):
    pairs_of = [each.pair for name, each in certificates.items() if name != "default"]
    tls = {"certificates": [*pairs_of, pairs_of[0], {**pairs_of[1], "stores": ["nowhere", "default"]}],
           "stores": {"default": {"defaultCertificate": certificates["default"].pair}}}
    pair = start(pairs, {**http(ROUTERS, MIDDLEWARES), "tls": tls}, {"metrics": {"prometheus": {}}})
    settled(pair)
    for instance in (pair.traefik, pair.weir):
        wait_until(lambda instance=instance: len(json.loads(call(instance, "/api/certificates").body)) == 8, "all are there")
    for query in CERTIFICATE_QUERIES:
        compare(pair, f"/api/certificates?{query}")
    assert json.loads(call(pair.weir, "/api/overview").body)["certificates"] == {"total": 8, "warnings": 1, "errors": 1}
    for each in json.loads(call(pair.weir, "/api/certificates").body):
        compare(pair, f"/api/certificates/{each['name']}")
    for target in ("/api/overview", "/api/certificates/nobody", "/api/certificates/", "/api/certificates/a/b"):
        compare(pair, target)

    def series(instance):
        return sorted(line for line in call(instance, "/metrics").body.decode().splitlines() if "tls_certs_not_after{" in line)

    assert [line.split("}")[0] for line in series(pair.weir)] == [line.split("}")[0] for line in series(pair.traefik)] != []


def test_conflicting_options(pairs):
    """Every router of a host that loses its options says so; the row "api-conflicts" has the names."""
    routers = {"a1": ("a.example", "new"), "a2": ("a.example", "default"), "a3": ("a.example", "new"), "b1": ("b.example", "new"),
               "b2": ("b.example", "nobody"), "c1": ("c.example", "new"), "c2": ("c.example", "newer"), "d1": ("d.example", "new"), "d2": ("d.example", "new")}
    pair = start(pairs, {**http({name: {"rule": f"Host(`{host}`) && Path(`/{name}`)", "service": "s", "tls": {"options": options}} for name, (host, options) in routers.items()}, MIDDLEWARES),
                         "tls": {"options": {"new": {"minVersion": "VersionTLS13"}, "newer": {"minVersion": "VersionTLS13"}}}})

    def states(instance):
        body = json.loads(call(instance, "/api/rawdata").body)["routers"]
        return {name.split("@")[0].removeprefix("web-conflicted-"): (router["status"], router.get("error")) for name, router in body.items() if name.endswith("@file")}

    wait_until(lambda: routers.keys() <= states(pair.traefik).keys() and routers.keys() <= states(pair.weir).keys(), "both have the routers", 30)
    for name in routers:
        assert states(pair.weir)[name] == states(pair.traefik)[name], name


def test_no_certificates(pairs):
    """The one that nobody has configured is no one's business."""
    pair = start(pairs, {**http(ROUTERS, MIDDLEWARES), "tls": {"certificates": []}})
    settled(pair)
    compare(pair, "/api/certificates")
    compare(pair, "/api/overview")


def archive(instance):
    response = call(instance, "/api/support-dump")
    with tarfile.open(fileobj=io.BytesIO(response.body), mode="r:gz") as files:
        return ({name: response.all(name) for name in ("Content-Type", "Content-Disposition")},
                {each.name: (each.mode, each.uid, json.loads(anonymous(instance, files.extractfile(each).read().decode()))) for each in files})


WITH_STATES = Known("api-support-dump", r"/serverStatus/")


def test_support_dump(pairs):
    """The same files; what is in them is what the other paths show, and the options by the same names."""
    pair = start(pairs, http(ROUTERS, MIDDLEWARES))
    settled(pair)
    (their_fields, theirs), (our_fields, ours) = archive(pair.traefik), archive(pair.weir)
    assert our_fields == their_fields and list(ours) == list(theirs)
    assert all(ours[name][:2] == theirs[name][:2] for name in theirs)
    assert list(ours["version.json"][2]) == list(theirs["version.json"][2])
    found = differences(theirs["runtime-config.json"][2], without_weir(ours["runtime-config.json"][2]))
    assert found and all(WITH_STATES.explains(path) for path in found), found
    their_static, our_static = (flat(files["static-config.json"][2]) for files in (theirs, ours))
    missing = {path for path, value in their_static.items() if value not in ("xxxx", {}) and our_static.get(path) != value}
    assert not {path for path in missing if not path.endswith("/filename")}


QUERIES = ["page=2&per_page=7", "per_page=1000", "page=12&per_page=100", "page=10&per_page=101", "page=0", "page=-1", "page=x", "per_page=0",
           "per_page=x&page=y", "page=99999", "page=", "page=2&page=3", "per_page=99999999999999999999",
           "search=R1", "search=%60h1", "search=none", "search=R99&page=2&per_page=5", "status=enabled&per_page=3", "status=DISABLED",
           "status=foo", "serviceName=s@file&per_page=2", "serviceName=s@other&per_page=2", "serviceName=s", "serviceName=bad@file",
           "serviceName=nowhere", "middlewareName=prefix@file&per_page=2", "middlewareName=prefix", "sortBy=priority&per_page=5",
           "sortBy=priority&direction=desc&per_page=5", "sortBy=name&direction=desc&per_page=5", "sortBy=name&direction=foo&per_page=5",
           "sortBy=rule&per_page=9", "sortBy=service&direction=desc&per_page=9", "sortBy=entryPoints&direction=desc&per_page=9",
           "sortBy=provider&per_page=5", "sortBy=status&per_page=9", "sortBy=type&per_page=9", "sortBy=servers&direction=desc&per_page=9",
           "sortBy=foo&per_page=5", "search=a%zz", "search=a;b", "search=R1+R2", "Search=R1&per_page=2", "foo=bar&per_page=2"]


def test_lists(pairs):
    """1,000 routers: paging, search, filters, order."""
    routers = {f"r{i}": {"rule": f"Host(`h{i * 7919 % 1000}`)", "service": "s" if i % 3 else "s@file", "priority": i % 11,
                         **({"middlewares": ["prefix"]} if i % 50 == 0 else {}),
                         **({"entryPoints": ["web"]} if i % 4 == 0 else {})} for i in range(1000)}
    routers["broken"] = {"rule": "Host(", "service": "bad"}
    services = {f"v{i}": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{k + 1}"} for k in range(i % 4)]}} for i in range(120)}
    pair = start(pairs, http(routers, {**MIDDLEWARES, **{f"m{i}": {"addPrefix": {"prefix": f"/{i}"}} for i in range(120)}}, services))
    settled(pair)
    for page in LISTS:
        for query in QUERIES:
            compare(pair, f"{page}?{query}", [UNUSED_CHAINS])
        theirs, ours = (seen(instance, f"{page}?page=4611686018427387904&per_page=4") for instance in (pair.traefik, pair.weir))
        assert (theirs["status"], ours["status"]) == (500, 400), "row api-pages"


def test_messages(pairs):
    """Paths that there are not, methods, other origins."""
    pair = start(pairs, http(ROUTERS, MIDDLEWARES))
    settled(pair)
    for target in ("/api", "/api/", "/api/foo", "/api/http", "/api/http/routers/", "/api/http/foo", "/api/rawdata/", "//api/entrypoints",
                   "/apirawdata", "/api/./entrypoints", "/api/http/routers/a/b", "/api/http/routers/nowhere", "/api/http/services/a%2Fb",
                   "/api/http/middlewares/%C3%A9", "/api/entrypoints/nowhere", "/api/entrypoints/WEB", "/api/tcp/routers/x@y", "/api/udp/services/x",
                   "/api/tcp/middlewares/x", "/api/udp/middlewares", "/api/entrypoints?page=2", "/api/tcp/routers?page=7", "/api/HTTP/routers",
                   "/", "/dashboard", "/dashboard/", "/debug/vars", "/api/providers/rest", "/ping"):
        compare(pair, target)
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"):
        for target in ("/api/version", "/api/rawdata", "/api/http/routers/plain@file", "/api/foo"):
            compare(pair, target, method=method)
    compare(pair, "/api/entrypoints", headers=[("Origin", "http://example.org"), ("Accept-Encoding", "gzip")])


def test_version(pairs):
    pair = start(pairs, http(ROUTERS, MIDDLEWARES), {"api": {"disableDashboardAd": True, "dashboardName": "née <x>"}})
    theirs, ours = (seen(instance, "/api/version") for instance in (pair.traefik, pair.weir))
    for answer in (theirs, ours):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", answer["body"].pop("startDate"))
        assert answer["body"].pop("Version") and answer["body"].pop("Codename")
    assert ours == theirs


def test_routers_of_the_user(pairs):
    """Without `insecure` a router leads there, with a base path and middlewares in front."""
    routers = {"api": {"rule": "PathPrefix(`/outer/inner/api`)", "service": "api@internal", "middlewares": ["outer"], "entryPoints": ["web"]}}
    pair = start(pairs, http(routers, {"outer": {"stripPrefix": {"prefixes": ["/outer"]}}}),
                 {"api": {"insecure": False, "basePath": "/inner/"}}, ("web",))
    for target in ("/outer/inner/api/rawdata", "/outer/inner/api/http/routers", "/inner/api/rawdata", "/outer/api/rawdata", "/api/rawdata"):
        compare(pair, target, entry_point="web")


def test_off_by_default(pairs):
    pair = pairs(static={"ping": {}}, dynamic=http(ROUTERS, MIDDLEWARES), entry_points=("web", "traefik"))
    for target in ("/api/rawdata", "/api/version", "/dashboard/", "/ping"):
        compare(pair, target)


REST = {"providers": {"rest": {"insecure": True}}}
WHOLE = {"http": {
    "routers": {"put": {"rule": "Host(`put`)", "service": "y", "middlewares": ["limit"]}},
    "services": {"y": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}},
                 "z": {"loadBalancer": {"servers": [], "passHostHeader": False, "healthCheck": {"interval": "5s", "followRedirects": False}}}},
    "middlewares": {"limit": {"rateLimit": {"average": 1, "period": "1m"}}, "plain": {"addPrefix": {"prefix": "/<&>é"}},
                    "list": {"ipAllowList": {"sourceRange": ["127.0.0.1"]}}}}}


def put(instance, body, target="/api/providers/rest", method="PUT", entry_point="traefik"):
    return seen(instance, target, method=method, entry_point=entry_point, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def taken(theirs):
    """Traefik's answer while another of its threads fills in what was not given."""
    theirs["body"] = {key: value for key, value in theirs["body"].items() if value != {}}
    return without_nulls(theirs)


def without_nulls(value):
    """Traefik shows what has no default and was not given as null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_rest(pairs):
    """What is put is answered, shown, and served; what is wrong changes nothing."""
    pair = start(pairs, http(ROUTERS, MIDDLEWARES), REST)
    settled(pair)
    for body in (WHOLE, {"http": {"routers": {"other": {"rule": "Host(`other`)", "service": "s@file", "middlewares": ["prefix@file"]}}}}):
        theirs, ours = (put(instance, body) for instance in (pair.traefik, pair.weir))
        assert ours["status"] == 200
        assert not differences(taken(theirs), ours)
        name = next(iter(body["http"]["routers"])) + "@rest"
        for instance in (pair.traefik, pair.weir):
            wait_until(lambda instance=instance: call(instance, f"/api/http/routers/{name}").status == 200, f"{name} is there")
        settled(pair)
        theirs, ours = (seen(instance, "/api/rawdata") for instance in (pair.traefik, pair.weir))
        assert not differences(without_nulls(theirs), without_nulls(ours))
        compare(pair, "/api/overview")
    for body in ({}, {"foo": {}}, b"null", b" {} "):
        theirs, ours = (put(instance, body) for instance in (pair.traefik, pair.weir))
        assert not differences(taken(theirs), ours)
        assert call(pair.weir, "/api/http/routers/other@rest").status == 200
    for body in (b"", b"{", b"[]", b"5", b'{"http": 5}', b"http: {}", b'{"http": {"routers": 7}}', b"\xff"):
        theirs, ours = (put(instance, body) for instance in (pair.traefik, pair.weir))
        assert ours.pop("body").endswith("\n") and theirs.pop("body").endswith("\n")
        assert ours["status"] == 400 and ours == theirs, body
        assert call(pair.weir, "/api/http/routers/other@rest").status == 200


def test_rest_durations(pairs):
    """Numbers without a unit are seconds, as in files."""
    pair = start(pairs, http(ROUTERS, MIDDLEWARES), REST)
    settled(pair)
    body = {"http": {"routers": {"timed": {"rule": "Host(`timed`)", "service": "s@file"}},
                     "middlewares": {"again": {"retry": {"attempts": 2, "initialInterval": 7}},
                                     "limit": {"rateLimit": {"average": 1, "period": 90}}}}}
    theirs, ours = (put(instance, body) for instance in (pair.traefik, pair.weir))
    assert ours["status"] == 200 and not differences(taken(theirs), ours)
    for name, option in (("again", "retry"), ("limit", "rateLimit")):
        for instance in (pair.traefik, pair.weir):
            wait_until(lambda instance=instance: call(instance, f"/api/http/middlewares/{name}@rest").status == 200, f"{name} is there")
        theirs, ours = (json.loads(call(instance, f"/api/http/middlewares/{name}@rest").body)[option] for instance in (pair.traefik, pair.weir))
        for key in ("initialInterval", "period"):
            assert ours.get(key) == theirs.get(key)


def test_rest_messages(pairs):
    pair = start(pairs, http({"put": {"rule": "PathPrefix(`/api/providers`)", "service": "rest@internal", "entryPoints": ["web"]}}, MIDDLEWARES),
                 {"providers": {"rest": {}}})
    compare_all(pair, [UNUSED_CHAINS])
    body = json.dumps(WHOLE).encode()
    for target, method in (("/api/providers/foo", "PUT"), ("/api/providers/", "PUT"), ("/api/providers", "PUT"), ("/api/providers/a/b", "PUT"),
                           ("/api/providers/rest/", "PUT"), ("/api/providers/rest", "POST"), ("/api/providers/rest", "GET"),
                           ("/api/providers/rest", "HEAD"), ("/api/providers/rest?foo", "PUT")):
        for entry_point in ("web", "traefik"):
            theirs, ours = (seen(instance, target, method=method, entry_point=entry_point, body=body) for instance in (pair.traefik, pair.weir))
            assert ours == (taken(theirs) if isinstance(theirs["body"], dict) else theirs), (target, method, entry_point)


GUESTS = {
    "plain": {"plugin": {"header": {"request": {"X-A": "1"}, "response": {"X-B": "<&>é"}}}},
    "empty": {"plugin": {"header": {}}},
    "odd": {"plugin": {"header": {"list": [1, "two", True, 2.5], "nested": {"a": {"b": "c"}}, "text": "1", "number": 7}}},
    "upper": {"plugin": {"HEADER": {"a": "b"}}},
    "unused": {"plugin": {"header": {"a": "b"}}},
    "two": {"plugin": {"header": {}, "other": {}}},
    "fine": {"chain": {"middlewares": ["plain", "prefix"]}},
}


def test_plugins(pairs):
    """What guests are told is shown as it is written; a plugin that there is not disables whoever names it."""
    routers = {name: {"rule": f"Host(`{name}`)", "service": "s", "middlewares": [name]} for name in GUESTS if name != "unused"}
    routers["in-front"] = {"rule": "Host(`in-front`)", "service": "fronted"}
    services = {"fronted": {**service("a"), "middlewares": ["odd", "fine"]}}
    pair = start(pairs, http(routers, {**MIDDLEWARES, **GUESTS}, services), plugins={"header": "header"})
    compare_all(pair, [UNUSED_CHAINS, Known("api-errors", r"/upper@file.*/error$")])


REDIRECTIONS = [
    {"web": {"http": {"redirections": {"entryPoint": {"to": "other"}}}}},
    {"web": {"http": {"redirections": {"entryPoint": {"to": "other", "scheme": "http", "permanent": False, "priority": 5}}}}},
    {"web": {"http": {"redirections": {"entryPoint": {"to": ":8443", "priority": -1}}, "middlewares": ["prefix@file"], "tls": {}}}, "other": {"http": {"redirections": {"entryPoint": {"to": "web", "scheme": "http"}}}}},
]


@pytest.mark.parametrize("entry_points", REDIRECTIONS, ids=range(len(REDIRECTIONS)))
def test_redirections(pairs, entry_points):
    """Entry points that lead to others have routers and middlewares of their own."""
    compare_all(start(pairs, http(ROUTERS, MIDDLEWARES), {"entryPoints": entry_points}, ready=ready))


def test_tls_routers(pairs):
    """Options, resolvers and domains of routers, and what the entry point says for those that say nothing."""
    options = {"default": {"minVersion": "VersionTLS12"}, "strict": {"minVersion": "VersionTLS13", "sniStrict": True}, "protocols": {"alpnProtocols": ["http/1.1"]}}
    routers = {
        "plain": {"rule": "Host(`plain`)", "service": "s", "tls": {}}, "strict": {"rule": "Host(`strict`)", "service": "s", "tls": {"options": "strict"}},
        "elsewhere": {"rule": "Host(`elsewhere`)", "service": "s", "tls": {"options": "strict@file"}}, "nowhere": {"rule": "Host(`nowhere`)", "service": "s", "tls": {"options": "nowhere"}},
        "other-provider": {"rule": "Host(`other`)", "service": "s", "tls": {"options": "strict@rest"}},
        "domains": {"rule": "Host(`a.example`)", "service": "s", "tls": {"domains": [{"main": "a.example", "sans": ["b.example", "*.c.example"]}, {"main": "d.example"}]}},
        "both": {"rule": "Host(`both`)", "service": "s", "tls": {"options": "protocols"}, "entryPoints": ["web", "other"], "middlewares": ["strip"]}, "no-tls": {"rule": "Host(`no`)", "service": "s"},
        "default": {"rule": "Host(`default`)", "service": "s", "tls": {"options": "default"}},
    }
    pair = start(pairs, {**http(routers, MIDDLEWARES), "tls": {"options": options}}, {"entryPoints": {"other": {"http": {"tls": {"options": "strict@file"}}}}})
    compare_all(pair, [UNUSED_CHAINS])


FROM_ELSEWHERE = {"http": {
    "routers": {"far": {"rule": "Host(`far`)", "service": "far", "middlewares": ["far", "prefix@file"]}, "mine": {"rule": "Host(`mine`)", "service": "s@file"}, "lost": {"rule": "Host(`lost`)", "service": "s"},
                "plain": {"rule": "Host(`the same name`)", "service": "far"}, "guarded": {"rule": "Host(`guarded`)", "service": "far", "middlewares": ["strip"]}},
    "services": {"far": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}], "passHostHeader": False}}, "near": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}},
    "middlewares": {"far": {"addPrefix": {"prefix": "/far"}}, "all": {"chain": {"middlewares": ["far", "strip@file"]}}}}}


@pytest.fixture
def elsewhere():
    """A server of configurations."""
    class Handler(http_server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(FROM_ELSEWHERE).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_other_providers(pairs, elsewhere):
    """Objects of several providers under the same names, and references between them."""
    routers = {**ROUTERS, "across": {"rule": "Host(`across`)", "service": "far@http", "middlewares": ["far@http", "far@rest"]}, "near": {"rule": "Host(`near`)", "service": "near@http"}}
    pair = start(pairs, http(routers, MIDDLEWARES), {"providers": {"http": {"endpoint": elsewhere, "pollInterval": "1s"}, "rest": {"insecure": True}}})
    for instance in (pair.traefik, pair.weir):
        assert put(instance, {"http": {"routers": {"far": {"rule": "Host(`rest`)", "service": "far@http"}}, "middlewares": {"far": {"addPrefix": {"prefix": "/rest"}}}}})["status"] == 200
        for name in ("far@http", "far@rest"):
            wait_until(lambda instance=instance, name=name: call(instance, f"/api/http/routers/{name}").status == 200, f"{name} is there")
    settled(pair)
    found = {}
    for page in PAGES:
        found.update(compare(pair, page, [UNUSED_CHAINS]))
    for query in ("search=far", "search=@rest", "sortBy=provider", "sortBy=provider&direction=desc", "status=disabled", "status=warning", "status=enabled&per_page=3", "serviceName=far@http", "serviceName=far", "middlewareName=far@http", "middlewareName=far@rest",
                  "page=2&per_page=3", "page=3&per_page=5&search=a", "per_page=1&page=1", "per_page=13", "page=1&per_page=9223372036854775807"):
        for page in LISTS:
            compare(pair, f"{page}?{query}", [UNUSED_CHAINS])
