"""What scanners of TLS look for, with `openssl s_client`: versions, every cipher suite, renegotiation, compression, early
data, downgrades, tickets, and names that are none."""

import re
import shutil
import socket
import ssl
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.certificates import Authority
from harness.proxy import one_router
from harness.tls import TlsClient, context, failure, tls_fetch
from harness.upstream import response_bytes

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")

REQUEST = b"GET / HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n"
WEAK = "ALL:COMPLEMENTOFALL@SECLEVEL=0"


@pytest.fixture(scope="module")
def site(module_upstream, module_proxy, tmp_path_factory):
    """Both kinds of keys, so that suites of both can be found."""
    ca = Authority(tmp_path_factory.mktemp("ca"))
    pairs = [ca.issue("ec", "DNS:test.example").pair, ca.issue("rsa", "DNS:rsa.example", key=("rsa", "rsa_keygen_bits:2048")).pair]
    server = module_upstream(lambda c, r: c.send(response_bytes(body=(r.get("Early-Data") or "late").encode())))
    dynamic = one_router(server.url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    dynamic["tls"] = {"certificates": pairs, "options": {"no-tickets": {"disableSessionTickets": True}}}
    dynamic["http"]["routers"]["n"] = {"rule": "Host(`untold.example`)", "service": "s", "tls": {"options": "no-tickets"}}
    return module_proxy(dynamic)


def s_client(site, *options, said=REQUEST, name="test.example"):
    """All that it prints, its opinion and the answer."""
    named = [] if name is None else ["-servername", name]
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", *named, *options], input=said,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.stdout.decode("latin-1")


def answered(output):
    return "HTTP/1.1 200 OK" in output


@pytest.mark.parametrize("version,good", [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_versions(site, version, good):
    output = s_client(site, version, "-ign_eof", "-cipher", "DEFAULT@SECLEVEL=0")
    assert answered(output) == good, output
    assert good or "alert protocol version" in output, output


def hello(version, extensions=b""):
    """A client's hello of old versions, which openssl does not speak any more."""
    body = struct.pack("!H", version) + bytes(32) + b"\0" + struct.pack("!H", 4) + b"\xc0\x13\x00\x2f" + b"\1\0" + extensions
    handshake = b"\1" + struct.pack("!I", len(body))[1:] + body
    return b"\x16" + struct.pack("!HH", version, len(handshake)) + handshake


@pytest.mark.parametrize("data", [hello(0x300), hello(0x301), hello(0x302), b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)],
                         ids=["SSL 3", "TLS 1.0", "TLS 1.1", "SSL 2"])
def test_old_hellos(site, data):
    """Refused with an alert, or not understood; nothing of TLS goes on."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(4096):
            answer += part
    assert answer[:1] in (b"\x15", b"", b"H"), answer
    assert b"\x02\x28" in answer or b"\x02\x46" in answer or answer[:1] != b"\x15", answer


def suites():
    """All that OpenSSL knows, but those of TLS 1.3."""
    listed = subprocess.run(["openssl", "ciphers", "-v", WEAK], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if "TLSv1.3" not in line]


# What Go offers, and so Traefik: forward secrecy only.
ALLOWED = re.compile(r"ECDHE-(RSA|ECDSA)-(AES(128|256)-(GCM-SHA256|GCM-SHA384|SHA)|CHACHA20-POLY1305)")


def test_every_cipher_suite(site):
    """One connection for each that openssl knows."""
    def taken(suite):
        mine = context(maximum=ssl.TLSVersion.TLSv1_2, ciphers=f"{suite}:@SECLEVEL=0")
        return any(failure(lambda: TlsClient(site.port, name, mine).close()) is None for name in ("test.example", "rsa.example"))

    found = [suite for suite in suites() if taken(suite)]
    assert len(found) >= 6
    assert [suite for suite in found if not ALLOWED.fullmatch(suite)] == []


@pytest.mark.differs("Go closes the connection without a word")
def test_no_renegotiation(site):
    """At the client's wish, by the line R."""
    output = s_client(site, "-tls1_2", "-legacy_renegotiation", said=b"R\n")
    assert "RENEGOTIATING" in output and "no renegotiation" in output, output
    assert "Secure Renegotiation IS supported" in output, output


def test_no_compression(site):
    output = s_client(site, "-tls1_2", "-comp", "-ign_eof")
    assert answered(output) and "Compression: NONE" in output, output


def test_extended_master_secret(site):
    output = s_client(site, "-tls1_2", "-ign_eof")
    assert "Extended master secret: yes" in output, output


def test_downgrade_is_noticed(site):
    """A client that says that it comes with less than it can."""
    output = s_client(site, "-tls1_2", "-fallback_scsv", "-ign_eof")
    assert "inappropriate fallback" in output and not answered(output), output


def test_early_data_is_not_taken(site, tmp_path):
    """It could be sent twice by somebody who listens."""
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_bytes(REQUEST)
    assert answered(s_client(site, "-tls1_3", "-ign_eof", "-sess_out", str(session)))
    output = s_client(site, "-tls1_3", "-ign_eof", "-sess_in", str(session), "-early_data", str(early))
    assert "Max Early Data: 0" in output or "Early data was not sent" in output or "Early data was rejected" in output, output
    assert "Early data was accepted" not in output and answered(output), output


@pytest.mark.differs("Go does not ask for the name")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tickets(site, version, tmp_path):
    """Under their own name only; they were taken up under any that had the same options."""
    session = str(tmp_path / "session")
    assert answered(s_client(site, version, "-ign_eof", "-sess_out", session))
    output = s_client(site, version, "-ign_eof", "-sess_in", session)
    assert answered(output) and "Reused, TLSv1" in output, output
    for name in ("rsa.example", "test.example.com", None):
        other = s_client(site, version, "-ign_eof", "-sess_in", session, *(["-noservername"] if name is None else []), name=name)
        assert answered(other) and "Reused, TLSv1" not in other, f"a session of another name was taken up by {name}"
    # Letters make no difference. A ticket of TLS 1.3 is good once.
    assert answered(s_client(site, version, "-ign_eof", "-sess_out", session))
    other = s_client(site, version, "-ign_eof", "-sess_in", session, name="TEST.example")
    assert "Reused, TLSv1" in other, other


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_tickets_where_there_are_none(site, version, tmp_path):
    session = tmp_path / "session"
    s_client(site, version, "-ign_eof", "-sess_out", str(session), name="untold.example")
    if session.exists():
        output = s_client(site, version, "-ign_eof", "-sess_in", str(session), name="untold.example")
        assert "Reused, TLSv1" not in output, output


@pytest.mark.differs("Go's tickets have another form")
def test_unreadable_tickets(site, tmp_path):
    """One that others have made, or nobody: a full handshake."""
    session = tmp_path / "session"
    assert answered(s_client(site, "-tls1_2", "-ign_eof", "-sess_out", str(session)))
    der = subprocess.run(["openssl", "sess_id", "-in", session, "-outform", "DER"], capture_output=True, check=True).stdout
    ticket = re.search(rb"\xaa(?:\x81.|\x82..)\x04(?:\x81.|\x82..)", der, re.S)  # element 10 of the session
    assert ticket, "no ticket in the session"
    at = ticket.end()
    for change in (0, 16, 40, 120):  # the key's name, the start, what is encrypted
        broken = bytearray(der)
        broken[at + change] ^= 1
        (tmp_path / "der").write_bytes(broken)
        subprocess.run(["openssl", "sess_id", "-inform", "DER", "-in", tmp_path / "der", "-out", tmp_path / "broken"], check=True, capture_output=True)
        output = s_client(site, "-tls1_2", "-ign_eof", "-sess_in", str(tmp_path / "broken"))
        assert answered(output) and "New, TLSv1" in output, output


@pytest.mark.parametrize("offered,expected", [("http/1.1", "ALPN protocol: http/1.1"), ("h2", "ALPN protocol: h2"), ("http/1.0,http/1.1", "ALPN protocol: http/1.1"),
                                              ("spdy/3", "no application protocol"), ("spdy/3,imap", "no application protocol"), (None, "No ALPN negotiated")])
def test_protocols(site, offered, expected):
    output = s_client(site, *(["-alpn", offered] if offered else []), said=b"")
    assert expected in output, output


NAMES = [None, "TEST.EXAMPLE", "test.example.", "127.0.0.1", "::1", "localhost", "a" * 255, ".".join(["a" * 63] * 3), "a..b", ".", "*.example", "-", "a b",
         "a_b.example", "test.example:443", "b\xfccher.example", "xn--bcher-kva.example", "%00", "../../etc/passwd", "<script>", "a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_names(site, name):
    """Some are refused, none is believed to be another, and all is well afterwards."""
    output = s_client(site, "-ign_eof", name=name)
    subject = re.search(r"subject=(.*)", output)
    if answered(output):
        expected = "ec" if name and name.lower() == "test.example" else None
        assert expected is None or expected in subject[1], output
        assert "rsa" not in subject[1], output
    assert tls_fetch(site.port, "test.example").status == 200


def test_many_bad_handshakes_leave_nothing(site):
    with site.flat(memory_bytes=16 << 20):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: test_old_hellos(site, hello(0x300 + i % 3) + bytes(i)), range(300)))
    assert tls_fetch(site.port, "test.example").status == 200
