"""OCSP stapling, with answers that the program openssl signs, seen by `openssl s_client -status`."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.certificates import Authority
from harness.proxy import ON_TRAEFIK, one_router
from harness.tls import tls_fetch
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="its log and metrics are others")

LONG_S = 60


class Responder:
    """Answers for one authority. `how(self, request)` makes the answer's body; None: status 500."""

    def __init__(self, directory, authority):
        self.directory, self.authority = directory, authority
        self.index = directory / "index.txt"
        self.index.write_text("")
        self.how, self.asked, self.valid_minutes = Responder.sign, 0, 60
        self.signer = authority.file, authority.key
        responder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = self.rfile.read(int(self.headers["Content-Length"]))
                responder.asked += 1
                assert self.headers["Content-Type"] == "application/ocsp-request"
                answer = responder.how(responder, request)
                self.send_response(200 if answer is not None else 500)
                self.send_header("Content-Length", str(len(answer or b"")))
                self.end_headers()
                self.wfile.write(answer or b"")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/ocsp"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def set(self, certificate, state):
        """`state`: "V" for valid, "R" for revoked; others are unknown."""
        revoked = "251101000000Z,keyCompromise" if state == "R" else ""
        self.index.write_text(f"{state}\t991231235959Z\t{revoked}\t{int(certificate.serial):04X}\tunknown\t/CN=x\n")

    def sign(self, request, extra=()):
        name = self.directory / f"request-{threading.get_ident()}"
        name.write_bytes(request)
        answer = name.with_suffix(".answer")
        subprocess.run(["openssl", "ocsp", "-index", str(self.index), "-CA", str(self.authority.file), "-rsigner", str(self.signer[0]), "-rkey",
                        str(self.signer[1]), "-reqin", str(name), "-respout", str(answer), "-nmin", str(self.valid_minutes), *extra],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LONG_S)
        return answer.read_bytes()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world(tmp_path):
    """An authority, its responder, and a certificate of it with its chain."""
    authority = Authority(tmp_path / "authority")
    responder = Responder(tmp_path, authority)
    certificate = authority.issue("a.example", extra=(f"authorityInfoAccess=OCSP;URI:{responder.url}",), chain=(authority,))
    responder.set(certificate, "V")
    yield authority, responder, certificate
    responder.stop()


def serve(proxy, upstream, certificates, ocsp=None):
    dynamic = one_router(upstream().url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    dynamic["tls"] = {"certificates": [c.pair for c in certificates]}
    return proxy(dynamic, static={"ocsp": ocsp if ocsp is not None else {}}, metrics=True)


def status(p, name="a.example", version="-tls1_3"):
    """What s_client says of the staple."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{p.port}", "-servername", name, "-status", version], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=LONG_S)
    out = done.stdout.decode("latin-1")
    if "OCSP response: no response sent" in out:
        return None
    assert "OCSP Response Status: successful" in out
    return out.split("Cert Status: ")[1].split("\n")[0].strip()


def counts(p):
    metrics = p.scrape()
    return {name: metrics.value(f"weir_config_ocsp_{name}") for name in ("staples", "requests_total", "failures_total")}


def no_staple_because(p, responder, why):
    wait_until(lambda: counts(p)["failures_total"] >= 1, "the answer is refused", LONG_S)
    p.wait_log(why)
    assert responder.asked >= 1 and counts(p)["staples"] == 0
    assert status(p) is None
    assert tls_fetch(p.port, "a.example").status == 200


def test_the_log_tells_no_user_of_a_responder(world, proxy, upstream):
    _, responder, certificate = world
    p = serve(proxy, upstream, [certificate], {"responderOverrides": {responder.url: "http://me:open-sesame@127.0.0.1:1/x"}})
    p.wait_log("OCSP: no answer")
    assert "http://xxxx@127.0.0.1:1/x" in p.log() and "open-sesame" not in p.log()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_good_answer_is_shown(world, proxy, upstream, version):
    authority, _, certificate = world
    p = serve(proxy, upstream, [certificate, authority.issue("b.example")])
    wait_until(lambda: status(p, version=version) == "good", "the answer is shown", LONG_S)
    assert status(p, "b.example", version) is None
    assert counts(p) == {"staples": 1, "requests_total": 1, "failures_total": 0}
    assert tls_fetch(p.port, "a.example").status == 200


def test_delegated_signer_is_believed(world, proxy, upstream):
    authority, responder, certificate = world
    signer = authority.issue("signer", extra=("extendedKeyUsage=OCSPSigning",))
    responder.signer = signer.certificate, signer.key
    p = serve(proxy, upstream, [certificate])
    wait_until(lambda: status(p) == "good", "the answer is shown", LONG_S)


def test_stranger_is_not_believed(world, proxy, upstream, tmp_path):
    _, responder, certificate = world
    stranger = Authority(tmp_path / "stranger", "stranger")
    responder.signer = stranger.file, stranger.key
    no_staple_because(serve(proxy, upstream, [certificate]), responder, "found a signature that is not accepted")


def test_signer_that_was_not_named_for_it_is_not_believed(world, proxy, upstream):
    authority, responder, certificate = world
    other = authority.issue("other")
    responder.signer = other.certificate, other.key
    no_staple_because(serve(proxy, upstream, [certificate]), responder, "found a signature that is not accepted")


def test_revoked(world, proxy, upstream):
    _, responder, certificate = world
    responder.set(certificate, "R")
    no_staple_because(serve(proxy, upstream, [certificate]), responder, "the certificate has been revoked")


def test_unknown(world, proxy, upstream):
    _, responder, certificate = world
    responder.index.write_text("")
    no_staple_because(serve(proxy, upstream, [certificate]), responder, "the responder does not know the certificate")


def test_answer_about_another_certificate(world, proxy, upstream):
    authority, responder, certificate = world
    other = authority.issue("other", chain=(authority,))
    request = responder.directory / "other.request"
    subprocess.run(["openssl", "ocsp", "-issuer", str(authority.file), "-cert", str(other.certificate), "-reqout", str(request), "-no_nonce"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LONG_S)
    responder.how = lambda r, _: r.sign(request.read_bytes())
    no_staple_because(serve(proxy, upstream, [certificate]), responder, "found nothing about the certificate")


@pytest.mark.parametrize("answer,why", [
    (b"nonsense", "found no OCSP response"), (b"", "found no OCSP response"), (b"\x30\x03\x0a\x01\x03", "the responder says: trylater"),
    (b"\x30" * 20000, "found more than 16384 bytes"), (None, "found status 500"),
])
def test_answers_that_are_none(world, proxy, upstream, answer, why):
    _, responder, certificate = world
    responder.how = lambda *_: answer
    no_staple_because(serve(proxy, upstream, [certificate]), responder, why)


def test_nobody_answers(world, proxy, upstream):
    _, responder, certificate = world
    responder.asked = 1
    responder.stop()
    no_staple_because(serve(proxy, upstream, [certificate]), responder, "Connection refused")


def test_silent_responder_costs_no_handshake(world, proxy, upstream):
    _, responder, certificate = world
    release = threading.Event()
    responder.how = lambda r, request: r.sign(request) if release.wait(LONG_S) else None
    p = serve(proxy, upstream, [certificate])
    wait_until(lambda: responder.asked == 1, "it is asked", LONG_S)
    assert status(p) is None
    assert tls_fetch(p.port, "a.example").status == 200
    release.set()
    wait_until(lambda: counts(p)["staples"] == 1 or counts(p)["failures_total"] == 1, "it has answered, or too late", LONG_S)


def test_responder_can_be_another_one(world, proxy, upstream):
    authority, responder, _ = world
    named = "http://ocsp.invalid/x"
    certificate = authority.issue("a.example", extra=(f"authorityInfoAccess=OCSP;URI:{named}",), chain=(authority,))
    responder.set(certificate, "V")
    p = serve(proxy, upstream, [certificate], {"responderOverrides": {named: responder.url}})
    wait_until(lambda: status(p) == "good", "the answer is shown", LONG_S)


def test_answer_stays_over_a_reload_and_goes_with_its_certificate(world, proxy, upstream):
    authority, _, certificate = world
    p = serve(proxy, upstream, [certificate])
    wait_until(lambda: status(p) == "good", "the answer is shown", LONG_S)
    plain = authority.issue("a.example")
    dynamic = one_router(upstream().url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    p.apply(dynamic | {"tls": {"certificates": [certificate.pair, authority.issue("b.example").pair]}})
    assert status(p) == "good" and counts(p)["requests_total"] == 1
    p.apply(dynamic | {"tls": {"certificates": [plain.pair]}})
    assert status(p) is None
    wait_until(lambda: counts(p)["staples"] == 0, "nothing is kept for it", LONG_S)


def test_default_certificate_that_is_listed_too_is_asked_for_once(world, proxy, upstream):
    """Reloads find the certificate again, twice."""
    _, responder, certificate = world
    dynamic = one_router(upstream().url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    dynamic["tls"] = {"certificates": [certificate.pair] * 2, "stores": {"default": {"defaultCertificate": certificate.pair}}}
    p = proxy(dynamic, static={"ocsp": {}}, metrics=True)
    wait_until(lambda: status(p) == "good", "the answer is shown", LONG_S)
    for rule in ("Path(`/1`)", "Path(`/2`)", "PathPrefix(`/`)"):
        dynamic["http"]["routers"]["r"]["rule"] = rule
        p.apply(dynamic)
    assert status(p, "a.example") == "good" and status(p, "elsewhere.example") == "good"
    assert counts(p) == {"staples": 1, "requests_total": 1, "failures_total": 0}
    assert responder.asked == 1


def test_off_unless_asked_for(world, proxy, upstream):
    _, responder, certificate = world
    dynamic = one_router(upstream().url)
    dynamic["http"]["routers"]["r"]["tls"] = {}
    p = proxy(dynamic | {"tls": {"certificates": [certificate.pair]}}, metrics=True)
    assert status(p) is None
    assert responder.asked == 0


def test_chain_without_issuer_is_not_asked_for(world, proxy, upstream):
    authority, responder, _ = world
    alone = authority.issue("a.example", extra=(f"authorityInfoAccess=OCSP;URI:{responder.url}",))
    p = serve(proxy, upstream, [alone])
    assert status(p) is None
    assert responder.asked == 0
