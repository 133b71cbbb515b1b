"""The middleware `passTLSClientCert`: what servers are told of the certificate that a client has shown."""

import ssl

import pytest

from harness.certificates import Authority
from harness.tls import TlsClient, context
from rig.messages import get, service
from rig.observe import Case

PARTS = ("country", "province", "locality", "organization", "organizationalUnit", "commonName", "serialNumber", "domainComponent")
DATES = ("notAfter", "notBefore", "sans", "serialNumber")
SUBJECT = dict.fromkeys(PARTS, True)
ISSUER = {part: True for part in PARTS if part != "organizationalUnit"}

OPTIONS = {
    "pem": {"pem": True},
    "not-pem": {"pem": False},
    "subject": {"info": {"subject": SUBJECT}},
    "issuer": {"info": {"issuer": ISSUER}},
    "all": {"pem": True, "info": {**dict.fromkeys(DATES, True), "subject": SUBJECT, "issuer": ISSUER}},
    "nothing": {"info": {"subject": dict.fromkeys(PARTS, False), "issuer": {"country": False}, "sans": False}},
    **{f"info-{name}": {"info": {name: True}} for name in DATES},
    **{f"subject-{part}": {"info": {"subject": {part: True}}} for part in PARTS},
    **{f"issuer-{part}": {"info": {"issuer": {part: True}}} for part in ISSUER},
}

FULL = ("/C=DE/ST=Nord & Süd/L=Köln;Deutz/O=One, Inc./O=Two \"quoted\"/OU=a=b+c/OU=~-_.%/serialNumber=77/serialNumber=78"
        "/DC=example/DC=org/CN=first/CN=second \U0001f600")
ALTERNATIVES = ("DNS:a.example", "URI:spiffe://a.example/x?y=z", "email:me@a.example", "IP:192.0.2.7", "DNS:*.b.example",
                "IP:2001:db8:0:0:0:0:0:7", "IP:::ffff:192.0.2.8", "URI:urn:x:y", "IP:0:0:0:0:1:0:0:1", "RID:1.2.3", "email:you@a.example")

WHO = ("nothing", "full", "plain", "chain", "no-names", "pairs", "late", "nul", "nul-alternative")


def with_nul(issued):
    """The same with a NUL for each "!". Its signature is wrong then, which nobody checks with RequestClientCert."""
    der = issued.der
    assert b"!" in der
    issued.certificate.write_text(ssl.DER_cert_to_PEM_cert(der.replace(b"!", b"\0")))
    return issued


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    clients = Authority(tmp_path_factory.mktemp("clients"), "clients", "/C=US/O=Root, Ltd/OU=unseen/DC=root/serialNumber=1/ST=NY/L=NYC/CN=the root")
    middle = Authority(tmp_path_factory.mktemp("middle"), "middle", "/O=Middle/CN=middle", above=clients)
    return {"clients": clients, "servers": Authority(tmp_path_factory.mktemp("servers")),
            "full": clients.issue("full", *ALTERNATIVES, subject=FULL), "plain": clients.issue("plain"),
            "chain": middle.issue("chained", chain=(middle,)), "no-names": clients.issue("no-names", "RID:1.2.3", subject="/"),
            "pairs": clients.issue("pairs", subject="/CN=one+O=two/OU=three+OU=four"), "late": clients.issue("late", days=-1),
            "nul": with_nul(clients.issue("nul", "DNS:a.example", subject="/O=one!/CN=admin!.evil.example")),
            "nul-alternative": with_nul(clients.issue("plain", "DNS:admin!.evil.example"))}


def routers(names):
    return {name: {"rule": f"Path(`/{name}`)", "service": "s", "middlewares": [name], "tls": {}} for name in names}


@pytest.fixture(scope="module")
def pair(pairs, shown):
    plain = {f"{name}-plain": {"rule": f"Path(`/{name}`)", "service": "s", "middlewares": [name]} for name in ("all", "pem")}
    return pairs(static={"entryPoints": {"web": {"forwardedHeaders": {"insecure": True}}}}, dynamic={
        "http": {"routers": routers(OPTIONS) | plain, "services": {"s": service("a")},
                 "middlewares": {name: {"passTLSClientCert": options} for name, options in OPTIONS.items()}},
        "tls": {"certificates": [shown["servers"].issue("site.example").pair],
                "options": {"default": {"clientAuth": {"clientAuthType": "RequestClientCert"}}}}})


FORGED = (("X-Forwarded-Tls-Client-Cert", "forged"), ("X-Forwarded-Tls-Client-Cert-Info", "forged"), ("X-Forwarded-Tls-Client-Cert", "twice"))


def cases():
    for who in WHO:
        for name in OPTIONS:
            yield Case(f"{name}-{who}", [get(f"/{name}"), get(f"/{name}", *FORGED)], tls={"name": "site.example", "certificate": who})
    for name in ("all", "pem"):
        yield Case(f"{name}-without-tls", [get(f"/{name}"), get(f"/{name}", *FORGED)])


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_client_certificate(pair, shown, case):
    if case.tls:
        case.tls["certificate"] = shown.get(case.tls["certificate"])
    pair.check(case)


@pytest.mark.parametrize("who", ("plain", "chain"))
def test_resumed_sessions_know_the_certificates(pair, shown, who):
    """In both versions of TLS, and when a session that was resumed is resumed again. The server sees the same."""
    found = []
    for instance in (pair.traefik, pair.weir):
        for version in ("TLSv1_2", "TLSv1_3"):
            found.append(resumed(instance, pair.backends[0], shown[who], version))
    assert len(set(map(tuple, found))) == 1 and len(found[0]) == 3 and len(set(found[0])) == 1


def resumed(instance, backend, certificate, version):
    version = getattr(ssl.TLSVersion, version)
    mine, session, seen = context(certificate=certificate, minimum=version, maximum=version), None, []
    backend.begin(None)
    for i in range(3):
        with TlsClient(instance.ports["web"], "site.example", mine, session) as client:
            client.send(get("/all"))
            assert client.response().status == 200
            assert client.sock.session_reused == (i > 0)
            session = client.sock.session
    for request in backend.finish():
        seen.append(tuple(sorted(value for name, value in request.headers if "tls-client" in name.lower())))
    return seen
