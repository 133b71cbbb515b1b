"""Clients that speak TLS, by way of Python's own."""

import ssl

from .client import TIMEOUT_S, Client
from .message import Reader


def context(ca=None, certificate=None, minimum=None, maximum=None, ciphers=None, curve=None, alpn=None):
    """`ca`: an Authority whose certificates are believed; without one any is."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = ca is not None
    made.verify_mode = ssl.CERT_REQUIRED if ca is not None else ssl.CERT_NONE
    if ca is not None:
        made.load_verify_locations(ca.file)
    if certificate is not None:
        made.load_cert_chain(certificate.certificate, certificate.key)
    if minimum is not None:
        made.minimum_version = minimum
    if maximum is not None:
        made.maximum_version = maximum
    if ciphers is not None:
        made.set_ciphers(ciphers)
    if curve is not None:
        made.set_ecdh_curve(curve)
    if alpn is not None:
        made.set_alpn_protocols(alpn)
    return made


def server_context(certificate, clients=None, minimum=None, maximum=None):
    """`clients`: the Authority that signs clients, which must show a certificate then."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.certificate, certificate.key)
    if clients is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(clients.file)
    if minimum is not None:
        made.minimum_version = minimum
    if maximum is not None:
        made.maximum_version = maximum
    return made


class TlsClient(Client):
    """One connection; `name` is what it asks for (None: nothing)."""

    def __init__(self, port, name=None, context_=None, session=None, timeout_s=TIMEOUT_S, **options):
        super().__init__(port, timeout_s=timeout_s, **options)
        try:
            self.sock = (context_ or context()).wrap_socket(self.sock, server_hostname=name, session=session)
        except BaseException:
            self.sock.close()
            raise
        self.reader = Reader(self.sock)

    @property
    def certificate(self):
        """Of the server, as DER."""
        return self.sock.getpeercert(binary_form=True)


def tls_fetch(port, name, method="GET", target="/", host=None, context_=None, **request):
    """One request on a connection of its own, for the host that the connection asks for unless another is given."""
    with TlsClient(port, name, context_) as client:
        return client.exchange(method, target, host=host or name, **request)


def failure(call):
    """Why a connection fails: the reason of OpenSSL, or "closed"; None if it does not."""
    try:
        call()
    except ssl.SSLEOFError:
        return "closed"
    except ssl.SSLError as error:
        # Python's list of reasons is older than OpenSSL's.
        return error.reason or str(error).split('] ')[-1].split(' (')[0].upper().replace(' ', '_')
    except ConnectionError:
        return "closed"
    return None
