"""The system refuses what plugins' memory needs: a request gets the right answer or a plain error, never another one's
state; nothing is lost, and all is well again when the system is."""

import errno
import resource

import pytest

from faults import EVERY, ONCE
from harness.load import together
from harness.proxy import Plugin, one_router
from harness.siege import assert_plain_error
from harness.waiting import wait_until

POINTS = 12
FRESH_ANSWER = b"memory=1 global=1"
# Changes more pages, each apart from the others, than are remembered from one request to the next.
SCATTERED = {"mib": 2, "dirty": 40, "spread": 3}

# The call, the error, the method of putting memory back that makes it, and the isolation.
REFUSALS = [
    ("mmap", errno.ENOMEM, "auto", "fresh"),
    ("mmap", errno.EPERM, "auto", "fresh"),
    ("mprotect", errno.ENOMEM, "auto", "fresh"),
    ("mprotect", errno.EPERM, "auto", "fresh"),
    ("ioctl", errno.EPERM, "scan", "reset"),
    ("ioctl", errno.ENOMEM, "scan", "reset"),
    ("ioctl", errno.ENOTTY, "scan", "reset"),
    ("pread", errno.EPERM, "pagemap", "reset"),
    ("pread", errno.EIO, "pagemap", "reset"),
    ("madvise", errno.ENOMEM, "drop", "reset"),
    ("madvise", errno.EPERM, "drop", "reset"),
]


def run_proxy(upstream, proxy, guest, isolation, faults=None, restore="auto", config=None, **options):
    static = {"weir": {"workers": 1, "plugins": {"restore": restore, "defaults": {
        "isolation": isolation, "idleTimeout": "200ms", "memory": "8MiB"}}}}
    environment = faults.environment() if faults else {}
    return proxy(one_router(upstream().url, plugin={"guest": config or {}}), plugins={"guest": Plugin(guest)},
                 static=static, environment=environment, **options)


def attempt(p):
    """Whether the request was served; it was served right, or refused in plain words."""
    response = p.fetch(timeout_s=20)
    if response.status == 200:
        assert response.body == (b"ok" if response.get("X-Ballast") else FRESH_ANSWER)
        return True
    assert_plain_error(response, (500, 503))
    return False


def served_again(p):
    wait_until(lambda: attempt(p), lambda: f"requests are served again\n{p.log()}", 30)
    wait_until(lambda: all(together(8, lambda _: attempt(p))), lambda: f"all of them\n{p.log()}", 30)


@pytest.mark.parametrize("kind,error,restore,isolation", REFUSALS)
def test_one_call_refused(upstream, proxy, faults, kind, error, restore, isolation):
    """One call of some requests at once: the first one, the second, and so on."""
    guest, config = ("counter", {}) if isolation == "fresh" else ("ballast", SCATTERED)
    p = run_proxy(upstream, proxy, guest, isolation, faults, restore, config)
    served_again(p)
    struck = 0
    with p.flat(descriptors=8):
        for n in range(1, POINTS + 1):
            faults.arm(kind, n, ONCE, error)
            together(6, lambda _: attempt(p))
            struck += faults.disarm()
            assert p.running, f"{kind} {n} ended the proxy, at {faults.where}\n{p.log()}"
            served_again(p)
    if kind != "mprotect":  # stacks and memories are used again
        assert struck > 0


@pytest.mark.parametrize("kind,error,restore,isolation", REFUSALS + [("munmap", errno.ENOMEM, "auto", "fresh")])
def test_all_calls_refused_for_a_while(upstream, proxy, faults, kind, error, restore, isolation):
    p = run_proxy(upstream, proxy, "counter", isolation, faults, restore)
    served_again(p)
    with p.flat(descriptors=8):
        # What was kept for later goes meanwhile, so that all has to be made anew.
        faults.arm(kind, 1, EVERY, error)
        wait_until(lambda: together(8, lambda _: attempt(p)) and faults.hits > 0 or kind == "mprotect", "it strikes", 30)
        for _ in range(10):
            together(8, lambda _: attempt(p))
        assert p.running, p.log()
        faults.disarm()
        served_again(p)


def test_no_growth(upstream, proxy, faults):
    """A guest whose memory cannot grow is told so."""
    p = run_proxy(upstream, proxy, "grower", "reset", faults)
    total = p.fetch().get("X-Pages")
    with p.flat(memory_bytes=24 << 20):
        faults.arm("mprotect", 1, EVERY)
        pages = [p.fetch().get("X-Pages") for _ in range(5)]
        assert faults.disarm() > 0
        assert any(text is None or text.startswith("0 of ") for text in pages), pages
        wait_until(lambda: p.fetch().get("X-Pages") == total, lambda: f"it grows again\n{p.log()}", 30)


def test_no_descriptors(upstream, proxy):
    """Connections wait or are refused; instances need no descriptors, and so requests go on."""
    p = run_proxy(upstream, proxy, "counter", "fresh", limits={resource.RLIMIT_NOFILE: 64})
    with p.connect() as client, p.flat(descriptors=8):
        idle = []
        try:
            while len(idle) < 80:
                idle.append(p.connect())
            for _ in range(20):
                response = client.exchange()
                assert (response.status, response.body) == (200, FRESH_ANSWER)
        finally:
            for connection in idle:
                connection.close()
        wait_until(lambda: attempt(p), "new connections are served again", 30)
        # The first one was not given up for it.
        assert client.exchange().body == FRESH_ANSWER
