"""TLS: who gets which certificate, protocol and version, whom options keep out, and which requests a connection may
carry."""

import ssl

import pytest

from harness.certificates import Authority
from rig.known import with_differences
from rig.messages import get, service
from rig.observe import Case

V = ssl.TLSVersion
MODES = ("NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
NAMES = ("a.example", "A.EXAMPLE", "x.wild.example", "a.b.wild.example", "wild.example", "nobody.example", "strict.example",
         "new.example", "both.example", "twice.example", "unknown.example", "bad-cipher.example", "bad-curve.example", "path.example", None)
HOSTS = ("a.example", "a.example.", "a.example:443", "new.example", "strict.example", "twice.example", "both.example", "plain.example", "nobody.example",
         "requireandverifyclientcert.example", "y.wild.example")
OPTIONS = {
    "new": {"minVersion": "VersionTLS13"},
    "old": {"minVersion": "VersionTLS10"},
    "middle": {"maxVersion": "VersionTLS12"},
    "strict": {"sniStrict": True},
    "cipher": {"maxVersion": "VersionTLS12", "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
    "curve": {"curvePreferences": ["CurveP384"]},
    "alpn": {"alpnProtocols": ["http/1.1"]},
    "alpn-two": {"alpnProtocols": ["other", "http/1.1"]},
    "alpn-h2": {"alpnProtocols": ["h2"]},
    "bad-cipher": {"cipherSuites": ["NO_SUCH_CIPHER"]},
    "bad-curve": {"curvePreferences": ["secp112r1"]},
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Authorities of servers and of clients, and what clients show."""
    servers, clients = Authority(tmp_path_factory.mktemp("servers")), Authority(tmp_path_factory.mktemp("clients"), "clients")
    return {"servers": servers, "clients": clients, "good": clients.issue("good"), "stranger": servers.issue("stranger"),
            "late": clients.issue("late", days=-1)}


@pytest.fixture(scope="module")
def pair(pairs, shown):
    issue = shown["servers"].issue
    options = dict(OPTIONS)
    for mode in MODES:
        options[mode.lower()] = {"clientAuth": {"clientAuthType": mode, "caFiles": [str(shown["clients"].file)]}}
    routers = {name: {"rule": f"Host(`{name}.example`)", "tls": {"options": name}} for name in options}
    routers |= {
        "a": {"rule": "Host(`a.example`)", "tls": {}}, "plain": {"rule": "Host(`plain.example`)"},
        "both": {"rule": "Host(`both.example`)"}, "both-tls": {"rule": "Host(`both.example`)", "tls": {"options": "default"}},
        "twice-1": {"rule": "Host(`twice.example`) && Path(`/1`)", "tls": {"options": "new"}},
        "twice-2": {"rule": "Host(`twice.example`) && Path(`/2`)", "tls": {"options": "strict"}},
        "unknown": {"rule": "Host(`unknown.example`)", "tls": {"options": "nobody"}},
        "path": {"rule": "Path(`/anywhere`)", "tls": {}},
        "wild": {"rule": "Host(`*.wild.example`)", "tls": {"options": "new"}},
    }
    names = [f"DNS:{name}.example" for name in options if name != "strict"] + ["DNS:a.example", "DNS:both.example", "DNS:twice.example"]
    certificates = [issue("all", *names).pair, issue("wild", "DNS:*.wild.example").pair]
    default = issue("default", "DNS:default.example")
    return pairs(dynamic={
        "http": {"routers": {name: {"service": "s"} | router for name, router in routers.items()}, "services": {"s": service("a")}},
        "tls": {"certificates": certificates, "options": options, "stores": {"default": {"defaultCertificate": default.pair}}}})


STRICT = {
    "a1": ("Host(`a.example`) && Path(`/1`)", "new"), "a2": ("Host(`a.example`) && Path(`/2`)", "strict"), "a3": ("Host(`a.example`) && Path(`/3`)", "default"),
    "b1": ("Host(`b.example`) && Path(`/1`)", "new"), "b2": ("Host(`B.example`) && Path(`/2`)", "new"),
    "c1": ("(Host(`b.example`) || Host(`a.example`)) && Path(`/3`)", "new"), "c2": ("(Host(`only-c.example`) || Host(`a.example`)) && Path(`/4`)", "new"),
    "d1": ("Host(`d.example`) && Path(`/1`)", "nobody"), "d2": ("Host(`d.example`) && Path(`/2`)", "new"),
    "e1": ("Host(`e.example`) && Path(`/1`)", "new"), "e2": ("Host(`e.example`) && Path(`/2`)", "strict"),
}


@pytest.fixture(scope="module")
def strict(pairs, shown):
    """Routers that want different options for one host are disabled on the entry point."""
    routers = {name: {"rule": rule, "service": "s", "tls": {"options": options}, "entryPoints": ["web"]} for name, (rule, options) in STRICT.items()}
    routers["a-plain"] = {"rule": "Host(`a.example`) && Path(`/1`)", "service": "s", "entryPoints": ["web"]}
    routers["e1"]["entryPoints"] = ["other"]
    made = shown["servers"].issue("strict", *(f"DNS:{name}.example" for name in "abcde")).pair
    return pairs(static={"core": {"strictTLSOptions": True}}, entry_points=("web", "other"), dynamic={
        "http": {"routers": routers, "services": {"s": service("a")}},
        "tls": {"stores": {"default": {"defaultCertificate": made}}, "options": OPTIONS}})


def strict_cases():
    for host in ("a", "b", "only-c", "d", "e", "nobody"):
        for version in (V.TLSv1_2, V.TLSv1_3):
            for entry_point in ("web", "other"):
                requests = [get(f"/{i}", host=f"{host}.example") for i in range(1, 5)]
                yield Case(f"{host}-{version.name}-{entry_point}", requests, entry_point=entry_point,
                           tls={"name": f"{host}.example", "minimum": version, "maximum": version})
    yield Case("a-plain", [get("/1", host="a.example")])


@pytest.mark.parametrize("case", list(strict_cases()), ids=str)
def test_strict_options(strict, case):
    strict.check(case)


def cases():
    for name in NAMES:
        yield Case(f"name-{name}", [get("/1", host=name or "a.example")], tls={"name": name})
    for host in HOSTS:
        yield Case(f"plain-{host}", [get(host=host)])
        for name in ("a.example", "new.example", None):
            yield Case(f"{name}-asks-for-{host}", [get("/1", host=host), get("/anywhere", host=host)], tls={"name": name})
    for name in ("a", "new", "old", "middle", "both"):
        for version in (V.TLSv1_1, V.TLSv1_2, V.TLSv1_3):
            yield Case(f"{name}-{version.name}", [get(host=f"{name}.example")],
                       tls={"name": f"{name}.example", "minimum": version, "maximum": version, "ciphers": "DEFAULT@SECLEVEL=0"})
    for name in ("a", "cipher"):
        for cipher in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256",
                       "ECDHE-ECDSA-CHACHA20-POLY1305"):
            yield Case(f"{name}-{cipher}", [get(host=f"{name}.example")],
                       tls={"name": f"{name}.example", "maximum": V.TLSv1_2, "ciphers": cipher})
    for name in ("a", "curve"):
        for curve in ("secp384r1", "prime256v1", "secp521r1"):
            yield Case(f"{name}-{curve}", [get(host=f"{name}.example")], tls={"name": f"{name}.example", "curve": curve})
    for name in ("alpn", "alpn-two", "alpn-h2"):
        for offered in (["http/1.1"], ["http/1.1", "other"], ["h3"], None):
            yield Case(f"{name}-{offered}", [get(host=f"{name}.example")], tls={"name": f"{name}.example", "alpn": offered})
    for mode in MODES:
        for who in ("nothing", "good", "stranger", "late"):
            for version in (V.TLSv1_2, V.TLSv1_3):
                yield Case(f"{mode}-{who}-{version.name}", [get(host=f"{mode.lower()}.example")],
                           tls={"name": f"{mode.lower()}.example", "certificate": who, "minimum": version, "maximum": version})


def closed(theirs, ours, *names):
    return {name: {"differs": {"handshake": (theirs, ours)}, "why": "tls-alerts"} for name in names}


DIFFERS = closed("UNEXPECTED_EOF_WHILE_READING", "TLSV1_UNRECOGNIZED_NAME",
                 "name-unknown.example", "name-bad-cipher.example", "name-bad-curve.example")


# Traefik agrees on a protocol that it then does not speak.
DIFFERS["alpn-two-['http/1.1', 'other']"] = {"differs": {"tls.protocol": ("other", "http/1.1")}, "why": "tls-protocols", "loosely": True}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("case", [with_differences(case, DIFFERS) for case in cases()], ids=str)
def test_tls(pair, shown, case):
    if case.tls and "certificate" in case.tls:
        case.tls["certificate"] = shown.get(case.tls["certificate"])
    pair.check(case)
