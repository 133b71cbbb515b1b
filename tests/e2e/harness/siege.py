"""Sieges: hostile requests to a guest while many innocent ones go through the same plugin."""

from .load import Innocents
from .message import Closed
from .proxy import ON_TRAEFIK, Plugin, merge, one_router
from .waiting import wait_until

NEVER_SHOWN = (b"guest", b"wasm", b"unreachable", b"trap", b"exit", b"secret", b"handle_request")
BUDGET = {"weir": {"plugins": {"defaults": {"callCPU": "300ms", "exchangeTime": "2s", "memory": "32MiB",
                                            "bodyBuffer": "8MiB"}}}}


def check_innocent(response):
    assert (response.status, response.body) == (200, b"ok")
    assert response.get("X-Guest-Secret") is None


def assert_plain_error(response, statuses=(500,)):
    """A fixed answer: no text, header or status of the guest."""
    assert response.status in statuses, response.start_line
    assert response.get("X-Guest-Secret") is None
    assert response.all("X-Huge-0") == []
    if not ON_TRAEFIK:  # which shows the client the error with its stack
        lowered = response.body.lower()
        assert not any(word in lowered for word in NEVER_SHOWN), response.body
        assert len(response.body) < 200


def attack(proxy, target="/evil"):
    """One hostile request; its answer, or None when the connection ended without one."""
    try:
        return proxy.fetch(target=target, timeout_s=60)
    except Closed:
        return None


def siege(proxy, targets, innocents=50, check=assert_plain_error):
    for target in targets[:2]:
        attack(proxy, target)
    with proxy.flat(memory_bytes=24 << 20, descriptors=60, timeout_s=60):
        with Innocents(proxy.port, check_innocent, innocents) as load:
            wait_until(lambda: load.answered > innocents or load.failures, "the innocents get going")
            for target in targets:
                response = attack(proxy, target)
                if response is not None:
                    check(response)
                else:
                    assert ON_TRAEFIK, "the connection ended without an answer"
            done = load.answered
            wait_until(lambda: load.answered > done + innocents or load.failures, "innocents after the attack", 60)
    assert proxy.running
    check_innocent(proxy.fetch(target="/innocent"))


def hostile(proxy, server, guest, config=None, settings=None, defaults=None, **options):
    static = merge(BUDGET, {"weir": {"plugins": {"defaults": defaults}}}) if defaults else BUDGET
    return proxy(one_router(server.url, plugin={"guest": config or {}}), plugins={"guest": Plugin(guest, settings)},
                 static=static, **options)
