"""TLS on entry points, with Python's client: certificates by name, options, routers, and files that are replaced."""

import json
import os
import re
import socket
import ssl
import subprocess

import pytest

from harness.certificates import Authority
from harness.client import fetch
from harness.proxy import ON_TRAEFIK, merge, run_command, servers
from harness.tls import TlsClient, context, failure, tls_fetch
from harness.waiting import wait_until

V = ssl.TLSVersion


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Who signs clients."""
    return Authority(tmp_path_factory.mktemp("clients"), "clients")


def site(url, routers, **tls):
    return {"http": {"routers": {name: {"service": "s"} | router for name, router in routers.items()},
                     "services": {"s": servers(url)}}} | ({"tls": tls} if tls else {})


def certificate_of(port, name):
    with TlsClient(port, name) as client:
        return client.certificate


@pytest.fixture(scope="module")
def many(module_upstream, module_proxy, ca):
    """Certificates for several names, and routers on both sides."""
    made = {
        "a": ca.issue("a.example"),
        "wild": ca.issue("wild", "DNS:*.wild.example"),
        "own": ca.issue("own", "DNS:own.wild.example", "DNS:other.example"),
        "address": ca.issue("address", "IP:127.0.0.1"),
        "rsa": ca.issue("rsa.example", key=("rsa", "rsa_keygen_bits:2048")),
        "default": ca.issue("default.example"),
    }
    routers = {"tls": {"rule": "PathPrefix(`/`)", "tls": {}}, "plain": {"rule": "Host(`plain.example`)"},
               "both": {"rule": "Host(`both.example`)"}, "both-tls": {"rule": "Host(`both.example`)", "tls": True}}
    tls = {"certificates": [made[name].pair for name in ("a", "wild", "own", "address")] + [made["rsa"].inline],
           "stores": {"default": {"defaultCertificate": made["default"].pair}}}
    return module_proxy(site(module_upstream().url, routers, **tls)), made


@pytest.mark.parametrize("name,expected", [
    ("a.example", "a"), ("A.Example", "a"), ("x.wild.example", "wild"), ("own.wild.example", "own"),
    ("other.example", "own"), ("a.b.wild.example", "default"), ("wild.example", "default"), ("nobody.example", "default"),
    ("rsa.example", "rsa"), (None, "address"),
])
def test_certificate_by_name(many, name, expected):
    proxy, made = many
    assert certificate_of(proxy.port, name) == made[expected].der


def test_chain_is_believed(many, ca):
    proxy, _ = many
    assert tls_fetch(proxy.port, "a.example", context_=context(ca)).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_fetch(proxy.port, "nobody.example", context_=context(ca))


def test_routers_of_one_side_only(many):
    proxy, _ = many
    assert fetch(proxy.port, host="plain.example").status == 200
    assert fetch(proxy.port, host="a.example").status == 404
    assert fetch(proxy.port, host="both.example").status == 200
    assert tls_fetch(proxy.port, "both.example").status == 200
    assert tls_fetch(proxy.port, "a.example").status == 200


def test_plain_router_is_not_there_over_tls(upstream, proxy, ca):
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)"}}))
    assert fetch(p.port).status == 200
    response = tls_fetch(p.port, "a.example")
    assert (response.status, response.body) == (404, b"404 page not found\n")


def test_without_a_certificate_one_is_made(upstream, proxy, tmp_path):
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}))
    text = ssl.DER_cert_to_PEM_cert(certificate_of(p.port, "a.example"))
    (tmp_path / "made.pem").write_text(text)
    # It signs itself and says so; nobody else would.
    believing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believing.check_hostname = False
    believing.load_verify_locations(tmp_path / "made.pem")
    if not ON_TRAEFIK:
        assert tls_fetch(p.port, "a.example", context_=believing).status == 200
    assert certificate_of(p.port, "b.example") == certificate_of(p.port, "a.example")


def test_upstream_hears_of_it(upstream, proxy):
    server = upstream()
    p = proxy(site(server.url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}))
    tls_fetch(p.port, "a.example", headers=(("X-Forwarded-Proto", "http"),))
    request = server.last
    assert request.get("X-Forwarded-Proto") == "https"
    assert request.get("X-Forwarded-Port") == "443"


def test_entry_point_makes_its_routers_tls(upstream, proxy, ca):
    old = {"minVersion": "VersionTLS13"}
    p = proxy(site(upstream().url, {"r": {"rule": "Host(`a.example`)"}, "d": {"rule": "Host(`d.example`)", "tls": {"options": "default"}}},
                   options={"new": old}, certificates=[ca.issue("a.example").pair]),
              static={"entryPoints": {"secure": {"http": {"tls": {"options": "new@file"}}}}})
    port = p.ports["secure"]
    assert fetch(port, host="a.example").status == 404
    assert tls_fetch(port, "a.example", context_=context(ca)).status == 200
    assert failure(lambda: tls_fetch(port, "a.example", context_=context(maximum=V.TLSv1_2))) == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert tls_fetch(port, "d.example", context_=context(maximum=V.TLSv1_2)).status == 200
    assert fetch(p.port, host="a.example").status == 200
    assert tls_fetch(p.port, "a.example").status == 404


OPTIONS = {
    "default": {},
    "old": {"minVersion": "VersionTLS10", "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"]},
    "new": {"minVersion": "VersionTLS13"},
    "middle": {"maxVersion": "VersionTLS12"},
    "cipher": {"maxVersion": "VersionTLS12", "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
    "curve": {"curvePreferences": ["CurveP384"]},
    "strict": {"sniStrict": True},
    "no-tickets": {"disableSessionTickets": True},
    "alpn": {"alpnProtocols": ["http/1.1"]},
    "alpn-h2": {"alpnProtocols": ["h2"]},
    "alpn-own": {"alpnProtocols": ["weir/1", "http/1.1"]},
    "curve-unknown": {"curvePreferences": ["P-256"]},
    "cipher-unknown": {"cipherSuites": ["ECDHE-ECDSA-AES256-GCM-SHA384"]},
    "no-ca": {"clientAuth": {"clientAuthType": "RequireAndVerifyClientCert"}},
}
MODES = ("NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")


@pytest.fixture(scope="module")
def optional(module_upstream, module_proxy, ca, clients):
    """A router and a host for each of the options: those of "old" at old.example."""
    options = dict(OPTIONS)
    for mode in MODES:
        options[mode.lower()] = {"clientAuth": {"clientAuthType": mode, "caFiles": [str(clients.file)]}}
    options["ca-alone"] = {"clientAuth": {"caFiles": [clients.file.read_text()]}}
    routers = {name: {"rule": f"Host(`{name}.example`)", "tls": {"options": name}} for name in options}
    routers["unknown"] = {"rule": "Host(`unknown.example`)", "tls": {"options": "nobody"}}
    routers["below"] = {"rule": "Host(`*.below.example`)", "tls": {"options": "new"}}
    routers["pathless"] = {"rule": "Host(`default.example`) && Path(`/second`)", "tls": {}}
    names = [f"DNS:{name}.example" for name in options if name != "strict"]
    return module_proxy(site(module_upstream().url, routers, options=options, certificates=[ca.issue("all", *names).pair]))


def status_or_failure(port, name, **options):
    result = []
    why = failure(lambda: result.append(tls_fetch(port, name, context_=context(**options)).status))
    return why or result[0]


VERSIONS = [
    ("default", V.TLSv1_2, 200), ("default", V.TLSv1_3, 200), ("new", V.TLSv1_3, 200), ("middle", V.TLSv1_2, 200),
    ("default", V.TLSv1_1, "refused"), ("new", V.TLSv1_2, "refused"), ("middle", V.TLSv1_3, "refused"),
    ("old", V.TLSv1_1, 200), ("old", V.TLSv1, 200), ("x.below", V.TLSv1_2, "refused"), ("x.below", V.TLSv1_3, 200),
]


@pytest.mark.parametrize("name,version,expected", VERSIONS)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_versions(optional, name, version, expected):
    ciphers = "DEFAULT@SECLEVEL=0" if version in (V.TLSv1, V.TLSv1_1) else None
    found = status_or_failure(optional.port, f"{name}.example", minimum=version, maximum=version, ciphers=ciphers)
    assert found == (200 if expected == 200 else "TLSV1_ALERT_PROTOCOL_VERSION")


@pytest.mark.parametrize("name,ciphers,expected", [
    ("cipher", "ECDHE-ECDSA-AES256-GCM-SHA384", 200), ("cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "failure"),
    ("default", "ECDHE-ECDSA-AES128-GCM-SHA256", 200), ("default", "ECDHE-ECDSA-CHACHA20-POLY1305", 200),
    ("default", "ECDHE-ECDSA-AES128-SHA256", "failure"),
])
def test_cipher_suites(optional, name, ciphers, expected):
    found = status_or_failure(optional.port, f"{name}.example", maximum=V.TLSv1_2, ciphers=ciphers)
    assert found == (200 if expected == 200 else "SSLV3_ALERT_HANDSHAKE_FAILURE")


def test_order_of_cipher_suites_is_the_servers(optional):
    """The client offers the one with longer keys first."""
    with TlsClient(optional.port, "default.example") as client:
        assert client.sock.cipher()[0] == "TLS_AES_128_GCM_SHA256"


@pytest.mark.parametrize("name,curve,expected", [
    ("curve", "secp384r1", True), ("curve", "prime256v1", False), ("default", "prime256v1", True),
    ("default", "secp384r1", True), ("default", "secp521r1", True),
])
def test_curves(optional, name, curve, expected):
    found = status_or_failure(optional.port, f"{name}.example", curve=curve)
    assert found == (200 if expected else "SSLV3_ALERT_HANDSHAKE_FAILURE")


def test_second_hello(optional):
    """The first one brings no key share for the only curve that the server takes."""
    with TlsClient(optional.port, "curve.example") as client:
        assert client.exchange(host="curve.example").status == 200


# What becomes of a client without a certificate, with a good one, and with one that a stranger has signed.
AUTHENTICATION = {
    "noclientcert": (200, 200, 200),
    "requestclientcert": (200, 200, 200),
    "requireanyclientcert": ("none", 200, 200),
    "verifyclientcertifgiven": (200, 200, "bad"),
    "requireandverifyclientcert": ("none", 200, "bad"),
    "ca-alone": ("none", 200, "bad"),
}
REFUSALS = {
    ("none", V.TLSv1_3): {"TLSV13_ALERT_CERTIFICATE_REQUIRED"}, ("none", V.TLSv1_2): {"SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_BAD_CERTIFICATE"},
    ("bad", V.TLSv1_3): {"TLSV1_ALERT_UNKNOWN_CA"}, ("bad", V.TLSv1_2): {"TLSV1_ALERT_UNKNOWN_CA"},
}


@pytest.fixture(scope="module")
def shown(ca, clients):
    return (None, clients.issue("client"), ca.issue("stranger"))


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
@pytest.mark.parametrize("who", range(3), ids=["none", "good", "stranger"])
@pytest.mark.parametrize("mode", AUTHENTICATION)
def test_client_authentication(optional, shown, mode, who, version):
    expected = AUTHENTICATION[mode][who]
    found = status_or_failure(optional.port, f"{mode}.example", certificate=shown[who], minimum=version, maximum=version)
    if expected == 200:
        assert found == 200
    else:
        assert found in REFUSALS[expected, version]


def test_expired_client_certificate(optional, clients):
    expired = clients.issue("late", days=-1)
    assert status_or_failure(optional.port, "verifyclientcertifgiven.example", certificate=expired) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
def test_length_of_what_a_client_shows(optional, tmp_path, clients, version):
    """Up to 32 KiB, which also fit into the ticket that the session is resumed by."""
    name, host = "middle", "requestclientcert.example"
    middle = Authority(tmp_path, name, above=clients)
    long = context(certificate=middle.issue("long", chain=(middle,) * 50), minimum=version, maximum=version)
    session = None
    for reused in (False, True, True):
        with TlsClient(optional.port, host, long, session) as client:
            assert client.exchange(host=host).status == 200
            session = client.sock.session
            assert client.sock.session_reused == reused
    too_long = middle.issue("too-long", chain=(middle,) * 100)
    assert status_or_failure(optional.port, host, certificate=too_long, minimum=version, maximum=version) == "SSLV3_ALERT_ILLEGAL_PARAMETER"
    assert status_or_failure(optional.port, host) == 200


def test_strict_names(optional):
    assert status_or_failure(optional.port, "strict.example") == "TLSV1_UNRECOGNIZED_NAME"
    assert status_or_failure(optional.port, "no-tickets.example") == 200


@pytest.mark.parametrize("name", ["unknown", "curve-unknown", "cipher-unknown", "no-ca"])
def test_options_that_cannot_be(optional, name):
    """Traefik closes the connection, weir says why before."""
    assert status_or_failure(optional.port, f"{name}.example") in ("TLSV1_UNRECOGNIZED_NAME", "closed")


@pytest.mark.differs("the words are weir's")
def test_options_that_cannot_be_are_named(optional):
    log = optional.log()
    for expected in ("unknown TLS options: nobody@file", "invalid CurveID in curvePreferences: P-256",
                     "invalid CipherSuite: ECDHE-ECDSA-AES256-GCM-SHA384",
                     "invalid clientAuthType: RequireAndVerifyClientCert, CAFiles is required"):
        assert expected in log, log


@pytest.mark.parametrize("name,offered,expected", [
    ("alpn", ["h2", "http/1.1"], "http/1.1"), ("default", ["http/1.1", "h2"], "h2"), ("alpn-h2", ["h2"], "h2"), ("alpn", ["http/1.1"], "http/1.1"), ("alpn", None, None),
    ("alpn", ["h3"], "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"), ("alpn-own", ["http/1.1"], "http/1.1"),
    ("alpn-h2", ["http/1.1"], None), ("default", ["http/1.1"], "http/1.1"),
])
def test_protocol(optional, name, offered, expected):
    found = []

    def connect():
        with TlsClient(optional.port, f"{name}.example", context(alpn=offered)) as client:
            found.append(client.sock.selected_alpn_protocol())

    assert (failure(connect) or found[0]) == expected


@pytest.mark.parametrize("sni,host,expected", [
    ("default.example", "new.example", 421), ("new.example", "default.example", 421),
    ("new.example", "NEW.example.", 200), ("default.example", "default.example:443", 200),
    ("x.below.example", "y.below.example", 200), ("nobody.example", "default.example", 200),
    ("default.example", "requireandverifyclientcert.example", 421), ("default.example", "nobody.example", 404),
    (None, "default.example", 200), (None, "new.example", 421),
])
def test_misdirected(optional, sni, host, expected):
    response = tls_fetch(optional.port, sni, host=host)
    assert response.status == expected
    if expected == 421:
        assert response.body == b"Misdirected Request\n"


@pytest.mark.parametrize("name", ["requireandverifyclientcert.example.", "default.example.", "REQUIREANDVERIFYCLIENTCERT.example."])
def test_name_with_a_dot_at_its_end_is_none(optional, name):
    """Options are chosen by it, and routers would take it for the name without the dot."""
    assert failure(lambda: TlsClient(optional.port, name).close()) is not None


def test_misdirected_request_leaves_the_connection(optional):
    with TlsClient(optional.port, "default.example") as client:
        assert client.exchange(host="new.example").status == 421
        assert client.exchange(host="default.example").status == 200
        assert client.exchange(target="/second", host="default.example").status == 200


def session_of(port, name, context_, session=None):
    with TlsClient(port, name, context_, session) as client:
        assert client.exchange(host=name).status == 200
        return client.sock.session, client.sock.session_reused


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
def test_sessions_are_resumed(optional, version):
    mine = context(maximum=version)
    session, reused = session_of(optional.port, "default.example", mine)
    assert not reused
    assert session_of(optional.port, "default.example", mine, session)[1]
    mine = context(maximum=version)
    session, _ = session_of(optional.port, "no-tickets.example", mine)
    assert session is None or not session_of(optional.port, "no-tickets.example", mine, session)[1]


def test_sessions_outlive_a_reload(upstream, proxy, ca):
    """On whichever worker: their keys are those of the process."""
    dynamic = site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}, certificates=[ca.issue("a.example").pair])
    p = proxy(dynamic, static=None if ON_TRAEFIK else {"weir": {"workers": 2}})
    mine = context(maximum=V.TLSv1_2)
    session, _ = session_of(p.port, "a.example", mine)
    p.apply(merge(dynamic, {"http": {"routers": {"other": {"rule": "Host(`x`)", "service": "s"}}}}))
    for _ in range(8):
        session, reused = session_of(p.port, "a.example", mine, session)
        assert reused or ON_TRAEFIK


def test_session_does_not_pass_to_other_options(optional, clients):
    """A client that never showed a certificate must not get in by a session of another host."""
    mine = context(maximum=V.TLSv1_2)
    session, _ = session_of(optional.port, "default.example", mine)
    assert failure(lambda: session_of(optional.port, "requireandverifyclientcert.example", mine, session)) is not None


def test_conflicting_options_are_the_default_ones(upstream, proxy, ca):
    p = proxy(site(upstream().url, {"one": {"rule": "Host(`a.example`) && Path(`/1`)", "tls": {"options": "new"}},
                                    "two": {"rule": "Host(`a.example`) && Path(`/2`)", "tls": {"options": "strict"}}},
                   options={"new": {"minVersion": "VersionTLS13"}, "strict": {"sniStrict": True}}))
    for target in ("/1", "/2"):
        assert tls_fetch(p.port, "a.example", target=target, context_=context(maximum=V.TLSv1_2)).status == 200
    if not ON_TRAEFIK:
        p.wait_log("found different TLS options for routers on the same host a.example")


@pytest.mark.skipif(ON_TRAEFIK, reason="weir's messages")
def test_conflicting_options_disable_routers_when_strict(upstream, proxy, ca):
    conflict = "found different TLS options for routers on the same host a.example, which core.strictTLSOptions forbids"
    p = proxy(site(upstream().url, {"one": {"rule": "Host(`a.example`) && Path(`/1`)", "tls": {"options": "new"}},
                                    "two": {"rule": "Host(`a.example`) && Path(`/2`)", "tls": {"options": "strict"}},
                                    "three": {"rule": "Host(`b.example`)", "tls": {"options": "new"}}},
                   options={"new": {"minVersion": "VersionTLS13"}, "strict": {"sniStrict": True}}), static={"core": {"strictTLSOptions": True}})
    for target in ("/1", "/2"):
        assert tls_fetch(p.port, "a.example", target=target, context_=context(maximum=V.TLSv1_2)).status == 404
    assert tls_fetch(p.port, "b.example").status == 200
    p.wait_log(conflict)


# --- files

def replace(path, text, in_place=False):
    if in_place:
        path.write_text(text)
    else:
        new = path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, path)


def put(certificate, place, in_place=False):
    """Copies a certificate and its key to `place`.pem and `place`.key."""
    replace(place.with_suffix(".key"), certificate.key.read_text(), in_place)
    replace(place.with_suffix(".pem"), certificate.certificate.read_text(), in_place)


@pytest.fixture
def replaceable(upstream, proxy, ca, tmp_path):
    place = tmp_path / "files" / "a"
    place.parent.mkdir()
    first = ca.issue("a.example")
    put(first, place)
    pair = {"certFile": f"{place}.pem", "keyFile": f"{place}.key"}
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}},
                   certificates=[pair, ca.issue("b.example").pair]))
    return p, place, first


def wait_certificate(p, name, expected):
    wait_until(lambda: certificate_of(p.port, name) == expected.der, lambda: f"the new certificate is served\n{p.log()}", 30)


@pytest.mark.differs("Traefik reads certificates when something else changes")
@pytest.mark.parametrize("in_place", [False, True])
def test_replaced_certificate_is_served(replaceable, ca, in_place):
    p, place, first = replaceable
    assert certificate_of(p.port, "a.example") == first.der
    with TlsClient(p.port, "a.example") as kept:
        for _ in range(3):
            new = ca.issue("a.example")
            put(new, place, in_place)
            wait_certificate(p, "a.example", new)
        assert kept.exchange().status == 200


@pytest.mark.differs("Traefik reads certificates when something else changes")
def test_replaced_by_a_link(upstream, proxy, ca, tmp_path):
    """As orchestrators do: a link in the way to the file is turned to another directory."""
    first, second = ca.issue("a.example"), ca.issue("a.example")
    for number, certificate in enumerate((first, second)):
        (tmp_path / f"..{number}").mkdir()
        put(certificate, tmp_path / f"..{number}" / "tls")
    (tmp_path / "..data").symlink_to("..0")
    for name in ("tls.pem", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}},
                   certificates=[{"certFile": str(tmp_path / "tls.pem"), "keyFile": str(tmp_path / "tls.key")}]))
    assert certificate_of(p.port, "a.example") == first.der
    (tmp_path / "..next").symlink_to("..1")
    os.replace(tmp_path / "..next", tmp_path / "..data")
    wait_certificate(p, "a.example", second)


@pytest.mark.differs("Traefik drops it")
@pytest.mark.parametrize("how", ["broken", "gone", "other-key", "empty"])
def test_last_good_certificate_stays(replaceable, ca, how):
    p, place, first = replaceable
    if how == "broken":
        replace(place.with_suffix(".pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif how == "gone":
        place.with_suffix(".pem").unlink()
    elif how == "other-key":
        replace(place.with_suffix(".key"), ca.issue("x").key.read_text())
    else:
        replace(place.with_suffix(".key"), "")
    p.wait_log("Certificate goes on as it was", timeout_s=30)
    assert certificate_of(p.port, "a.example") == first.der
    assert tls_fetch(p.port, "b.example", context_=context(ca)).status == 200
    new = ca.issue("a.example")
    put(new, place)
    wait_certificate(p, "a.example", new)


@pytest.mark.differs("Traefik reads certificates when something else changes")
def test_replaced_authority_counts(upstream, proxy, ca, clients, tmp_path):
    other = Authority(tmp_path / "other", "other")
    file = tmp_path / "clients.pem"
    file.write_text(clients.file.read_text())
    p = proxy(site(upstream().url, {"r": {"rule": "Host(`a.example`)", "tls": {"options": "mtls"}}},
                   options={"mtls": {"clientAuth": {"caFiles": [str(file)]}}}))
    mine, theirs = clients.issue("mine"), other.issue("theirs")
    assert status_or_failure(p.port, "a.example", certificate=mine) == 200
    replace(file, other.file.read_text())
    wait_until(lambda: status_or_failure(p.port, "a.example", certificate=theirs) == 200, lambda: p.log(), 30)
    wait_until(lambda: status_or_failure(p.port, "a.example", certificate=mine) == "TLSV1_ALERT_UNKNOWN_CA", lambda: p.log(), 30)


def test_bad_certificate_costs_itself(upstream, proxy, ca, tmp_path):
    good, other = ca.issue("a.example"), ca.issue("b.example")
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}},
                   certificates=[{"certFile": str(other.certificate), "keyFile": str(good.key)},
                                 {"certFile": str(tmp_path / "nowhere.pem"), "keyFile": str(good.key)}, good.pair]))
    assert certificate_of(p.port, "a.example") == good.der
    assert certificate_of(p.port, "b.example") not in (good.der, other.der)
    if not ON_TRAEFIK:
        p.wait_log("the private key is not that of the certificate", f"{tmp_path}/nowhere.pem: No such file or directory")


@pytest.mark.differs("the words are weir's")
def test_expiry_is_warned_of(upstream, proxy, ca):
    expired, soon, fine = ca.issue("late.example", days=-1), ca.issue("soon.example", days=3), ca.issue("fine.example", days=20)
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}, certificates=[c.pair for c in (expired, soon, fine)]))
    log = p.wait_log("Certificate has expired", "Certificate expires within a week")
    assert (log.count("has expired"), log.count("within a week")) == (1, 1)
    assert certificate_of(p.port, "late.example") == expired.der


@pytest.mark.differs("Traefik has no such command")
def test_check_names_certificates_and_hides_keys(proxy, ca, upstream):
    good, other = ca.issue("a.example"), ca.issue("b.example")
    bad = {"certFile": str(other.certificate), "keyFile": str(good.key)}
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}, certificates=[good.inline]))
    code, output = run_command(p.directory, "check", "--configFile=static.yml")
    assert code == 0, output
    assert "PRIVATE KEY" not in output and "keyFile: xxxx" in output
    inline = {"cert": good.inline["certFile"], "key": good.inline["keyFile"]}
    guarded = site("http://127.0.0.1:1", {})
    guarded["http"]["middlewares"] = {"door": {"forwardAuth": {"address": "https://127.0.0.1:1", "tls": inline}}}
    p.write_dynamic(guarded)
    code, output = run_command(p.directory, "check", "--configFile=static.yml")
    assert code == 0, output
    assert "PRIVATE KEY" not in output and "key: xxxx" in output
    p.write_dynamic(site("http://127.0.0.1:1", {}, certificates=[good.pair, bad]))
    code, output = run_command(p.directory, "check", "--configFile=static.yml")
    assert code == 1, output
    assert re.search(rf"dynamic.yml:\d+:\d+: certificate {re.escape(bad['certFile'])}: the private key is not that of the certificate", output), output


@pytest.mark.differs("Traefik reads certificates when something else changes")
def test_replaced_during_handshakes(replaceable, ca):
    """Every handshake gets one of the certificates, and its requests are answered."""
    p, place, first = replaceable
    known = {first.der}
    new = [ca.issue("a.example") for _ in range(4)]
    for certificate in new:
        known.add(certificate.der)
        put(certificate, place)
        for _ in range(20):
            with TlsClient(p.port, "a.example") as client:
                assert client.certificate in known
                assert client.exchange().status == 200
    wait_certificate(p, "a.example", new[-1])


@pytest.mark.differs("the reader of metrics knows no summaries, which Go has")
def test_metrics(upstream, proxy, ca):
    """Requests by version and cipher suite, and when certificates expire, under Traefik's names."""
    good, other = ca.issue("a.example", "DNS:a.example", "DNS:b.example"), ca.issue("c.example")
    dynamic = site(upstream().url, {"r": {"rule": "Host(`a.example`)", "tls": {}}}, certificates=[good.pair, other.pair])
    p = proxy(dynamic, static={"entryPoints": {"traefik": {}}, "metrics": {"prometheus": {"addRoutersLabels": True}}}, metrics=True)
    version12 = context(maximum=V.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    for _ in range(3):
        assert tls_fetch(p.port, "a.example", context_=version12).status == 200
    assert tls_fetch(p.port, "a.example", host="nobody.example", context_=version12).status == 404
    cipher = {"tls_cipher": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "tls_version": "1.2"}

    def counted():
        m = p.scrape()
        return (m.value("traefik_entrypoint_requests_tls_total", 0, entrypoint="web", **cipher),
                m.value("traefik_router_requests_tls_total", 0, router="r@file", service="s@file", **cipher),
                m.value("traefik_service_requests_tls_total", 0, service="s@file", **cipher))

    wait_until(lambda: counted() == (4, 3, 3), lambda: f"{counted()}")
    m = p.scrape()
    expires = ssl.cert_time_to_seconds(subprocess.run(["openssl", "x509", "-in", str(good.certificate), "-noout", "-enddate"],
                                                      check=True, stdout=subprocess.PIPE).stdout.decode().strip().split("=")[1])
    assert m.value("traefik_tls_certs_not_after", cn="a.example", sans="a.example,b.example", serial=good.serial) == expires
    assert m.labels("traefik_tls_certs_not_after", "cn") == {"a.example", "c.example"}
    p.apply(merge(dynamic, {"tls": {"certificates": [other.pair]}}))
    wait_until(lambda: p.scrape().labels("traefik_tls_certs_not_after", "cn") == {"c.example"}, lambda: p.log())


@pytest.mark.differs("Traefik makes lines of another order")
def test_access_log(upstream, proxy, ca):
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}), static={"accessLog": {"format": "json", "filePath": "access.log"}})
    tls_fetch(p.port, "a.example", context_=context(maximum=V.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    file = p.directory / "access.log"
    wait_until(lambda: file.exists() and "a.example" in file.read_text(), lambda: p.log())
    line = json.loads([text for text in file.read_text().splitlines() if "a.example" in text][0])
    assert (line["TLSVersion"], line["TLSCipher"], line["RequestScheme"]) == ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "https")


def curl(p, name, *options, host=None):
    """One request over HTTP/2: (status, version)."""
    out = subprocess.run(["curl", "-sk", "--http2", "--max-time", "30", "-o", os.devnull, "-w", "%{http_code} %{http_version}",
                          "--connect-to", f"::127.0.0.1:{p.port}", "-H", f"Host: {host or name}", f"https://{name}/", *options],
                         check=True, stdout=subprocess.PIPE, timeout=60).stdout.decode()
    return tuple(out.split())


def test_misdirected_over_http2(optional):
    """Clients send requests for other hosts on a connection whose certificate has their names, too."""
    assert curl(optional, "default.example") == ("200", "2")
    assert curl(optional, "default.example", host="new.example") == ("421", "2")
    assert curl(optional, "default.example", host="requireandverifyclientcert.example") == ("421", "2")


@pytest.mark.differs("the reader of metrics knows no summaries, which Go has")
def test_http2_is_counted(upstream, proxy, ca):
    """Once requests over HTTP/2 had no version and cipher suite, or those of another connection."""
    p = proxy(site(upstream().url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}, certificates=[ca.issue("a.example").pair]), metrics=True,
              static={"accessLog": {"format": "json", "filePath": "access.log"}})
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert curl(p, "a.example", "--tls-max", "1.2", "--ciphers", cipher) == ("200", "2")
    wait_until(lambda: p.scrape().all("traefik_entrypoint_requests_tls_total"), lambda: "it is counted")
    samples = p.scrape().all("traefik_entrypoint_requests_tls_total")
    assert [dict(labels)["tls_version"] for labels in samples] == ["1.2"]
    file = p.directory / "access.log"
    wait_until(lambda: file.exists() and '"a.example"' in file.read_text(), lambda: p.log())
    assert '"TLSVersion":"1.2"' in file.read_text()


class SlowHandshake:
    """A client whose bytes the test carries, one message at a time."""

    def __init__(self, port, name):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context().wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._try()

    def _try(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def send(self, count=None):
        """Sends so many of the bytes that wait, or all."""
        self.sock.sendall(self.outgoing.read() if count is None else self.outgoing.read(count))

    def finish(self):
        while not self._try():
            self.send()
            data = self.sock.recv(65536)
            assert data, "the proxy has closed the connection"
            self.incoming.write(data)
        self.send()
        return self.tls.getpeercert(binary_form=True)


@pytest.mark.differs("Traefik reads certificates when something else changes")
@pytest.mark.parametrize("at", ["nothing sent", "half of the hello", "hello sent"])
def test_replaced_in_the_middle_of_a_handshake(replaceable, ca, at):
    """Which of the two certificates it is depends on whether it had been chosen."""
    p, place, first = replaceable
    client = SlowHandshake(p.port, "a.example")
    if at == "half of the hello":
        client.send(100)
    elif at == "hello sent":
        client.send()
        client.incoming.write(client.sock.recv(65536))
    new = ca.issue("a.example")
    put(new, place)
    wait_certificate(p, "a.example", new)
    assert client.finish() in ((first.der,) if at == "hello sent" else (first.der, new.der))
    client.sock.close()
