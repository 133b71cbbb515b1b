"""Sends a case's bytes through a proxy and flattens all that can be seen into one dictionary."""

import hashlib
import ssl
from dataclasses import dataclass, field

from harness.client import Client, request_bytes
from harness.message import Closed, ProtocolError
from harness.tls import TlsClient, context
from rig.known import Either

SHOWN_BODY = 300
PROBE = request_bytes(host="probe.differential")


@dataclass
class Case:
    """Requests are sent one after another on one connection, each after the answer to the one before; `pipelined` sends
    all at once. `ending` says how the fate of the connection is found out: "probe" sends one more request, "read" waits
    for the end, "half-close" ends our side first, "none" does not look. `differs` maps keys of the observation to
    (Traefik's value, weir's value), None for absent; `loosely`: other keys may differ too. `why` is the row of
    docs/compatibility.md that says why."""

    name: str
    requests: list
    script: object = None
    entry_point: str = "web"
    ending: str = "probe"
    pipelined: bool = False
    answers: int = None
    differs: dict = field(default_factory=dict)
    why: str = None
    loosely: bool = False
    ignore: tuple = ()
    tls: dict = None  # of `name` and of what harness.tls.context takes; None: a plain connection

    def __str__(self):
        return self.name

    @property
    def races(self):
        return any(isinstance(theirs, Either) for theirs, _ in self.differs.values())

    @property
    def asked_for_coding(self):
        return any(b"accept-encoding:" in request.lower() for request in self.requests)


def refused(name, requests, status="200 OK", why="strict-http1", **options):
    """A case that Traefik serves and weir answers 400."""
    differs = {"answer0.status": (f"HTTP/1.1 {status}", "HTTP/1.1 400 Bad Request")}
    return Case(name, requests, differs=differs, why=why, loosely=True, **options)


def shown(body):
    if len(body) <= SHOWN_BODY:
        return body
    return f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()[:16]}"


def _fields(flat, prefix, fields):
    for name, value in fields:
        flat.setdefault(f"{prefix}.{name.lower()}", []).append("(date)" if name.lower() == "date" else value)


def _answer(flat, prefix, message):
    flat[f"{prefix}.status"] = message.start_line
    _fields(flat, f"{prefix}.header", message.headers)
    flat[f"{prefix}.body"] = shown(message.body)
    _fields(flat, f"{prefix}.trailer", message.trailers)
    for i, interim in enumerate(message.interim):
        flat[f"{prefix}.interim{i}"] = [interim.start_line] + sorted(f"{n.lower()}: {v}" for n, v in interim.headers)


def _read_answers(client, case, flat):
    """Returns whether the connection may go on."""
    methods = [request.split(b" ", 1)[0].decode("latin-1") for request in case.requests]
    count = len(methods) if case.answers is None else case.answers
    if case.pipelined:
        client.send(b"".join(case.requests))
    for i in range(max(count, len(methods))):
        if not case.pipelined and i < len(methods):
            client.send(case.requests[i])
        if i >= count:
            continue
        try:
            _answer(flat, f"answer{i}", client.response(methods[min(i, len(methods) - 1)]))
        except Closed as closed:
            _broken(flat, f"answer{i}", closed)
            return False
        except ProtocolError as error:
            flat[f"answer{i}.malformed"] = str(error)
            return False
        except TimeoutError:
            flat[f"answer{i}.silent"] = True
            return False
        except ssl.SSLError as error:
            flat[f"answer{i}.alert"] = error.reason
            return False
    return True


def _broken(flat, prefix, closed):
    message = getattr(closed, "message", None)
    if message is not None:
        _answer(flat, prefix, message)
        flat[f"{prefix}.truncated"] = True
        return
    flat[f"{prefix}.closed"] = True
    if closed.partial:
        flat[f"{prefix}.partial"] = shown(closed.partial)


def _ending(client, how):
    try:
        if how == "half-close":
            client.end_of_input()
        if how in ("read", "half-close"):
            rest = client.to_end()
            return "closed" if not rest else f"closed after {rest[:200]!r}"
        client.send(PROBE)
        return f"kept, {client.response().status}"
    except Closed as closed:
        return "closed" if not closed.partial else f"closed after {closed.partial[:200]!r}"
    except TimeoutError:
        return "open"
    except ProtocolError as error:
        return f"malformed: {error}"
    except OSError:
        return "closed"


def _connect(port, case, timeout_s, flat):
    if case.tls is None:
        return Client(port, timeout_s=timeout_s)
    options = dict(case.tls)
    client = TlsClient(port, options.pop("name", None), context(**options), timeout_s=timeout_s)
    flat["tls.version"], flat["tls.protocol"] = client.sock.version(), client.sock.selected_alpn_protocol()
    subject = client.certificate
    flat["tls.certificate"] = hashlib.sha256(subject).hexdigest()[:16]
    return client


def observe(instance, backends, case, timeout_s):
    """One run of a case; returns the flat dictionary."""
    flat = {}
    for backend in backends:
        backend.begin(case.script)
    try:
        client = _connect(instance.ports[case.entry_point], case, timeout_s, flat)
    except (OSError, ssl.SSLError) as error:
        flat["handshake"] = getattr(error, "reason", None) or "closed"
        return flat
    with client:
        try:
            alive = _read_answers(client, case, flat)
        except OSError:
            flat["send"], alive = "refused", False
        if case.ending != "none":
            flat["ending"] = _ending(client, case.ending) if alive else "closed"
    # A request that a proxy gave up half-way may arrive when it likes, even during the next case.
    seen = [request for backend in backends for request in backend.finish() if not request.cut]
    flat["upstream.count"] = len(seen)
    for i, request in enumerate(seen):
        _seen(flat, f"upstream{i}", request, len(backends) > 1)
    return flat


def _seen(flat, prefix, request, named):
    flat[f"{prefix}.line"] = request.start_line
    _fields(flat, f"{prefix}.header", request.headers)
    flat[f"{prefix}.body"] = shown(request.body)
    _fields(flat, f"{prefix}.trailer", request.trailers)
    if named:
        flat[f"{prefix}.backend"] = request.backend
