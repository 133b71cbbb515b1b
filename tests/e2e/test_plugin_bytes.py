"""What the memory of plugins promises, in bytes: shared by all instances, within one budget, given back."""

import contextlib
import os

import pytest

from harness.flight import Flight, HoldingUpstream
from harness.process import Peak
from harness.proxy import Plugin, memory_tells, one_router
from harness.waiting import wait_until

pytestmark = [pytest.mark.differs("Traefik's instances share nothing, and nothing limits them"),
              pytest.mark.skipif(not memory_tells(), reason="under a sanitizer memory says nothing about the program")]

MIB = 1 << 20
IDLE_TIMEOUT_S = 1
LONG = "WEIR_LONG" in os.environ


class Rig:
    """A proxy with one plugin before a server that holds requests, warmed up and idle."""

    def __init__(self, proxy, guest, config, defaults=None, budget=None):
        self.server = HoldingUpstream()
        plugins = {"defaults": {"instances": 2000, "queue": 2000, "idleTimeout": f"{IDLE_TIMEOUT_S}s"} | (defaults or {})}
        if budget:
            plugins["memoryBudget"] = budget
        self.proxy = proxy(one_router(self.server.url, plugin={"guest": config}), plugins={"guest": Plugin(guest)},
                           static={"weir": {"workers": 1, "plugins": plugins}})
        self.warm()
        self.idle = self.proxy.pss_bytes

    def warm(self):
        """Buffers and tables that grow once and stay are not the plugin's: they are made here."""
        flight = Flight(self.proxy.port, 20)
        self.server.wait_held(20)
        self.server.release()
        assert flight.finish() == {200: 20}
        self.server.hold()
        wait_until(self.settled, lambda: "memory settles", 30, IDLE_TIMEOUT_S * 1.5)

    def settled(self):
        before, self.last = getattr(self, "last", None), self.proxy.pss_bytes
        return before is not None and abs(self.last - before) < 64 << 10

    @property
    def above(self):
        return self.proxy.pss_bytes - self.idle

    def wait_idle(self):
        wait_until(lambda: self.above <= 4 * MIB, lambda: f"{self.above} bytes above idle go back", 30, 0.1)


@contextlib.contextmanager
def rigged(*arguments, **options):
    rig = Rig(*arguments, **options)
    try:
        yield rig
    finally:
        rig.server.release()
        rig.server.stop()


def fly(rig, count):
    """All of them held at once; returns what that takes."""
    flight = Flight(rig.proxy.port, count)
    rig.server.wait_held(count)
    taken = rig.above
    rig.server.release()
    assert flight.finish() == {200: count}
    return taken


def test_a_thousand_in_flight_share_what_was_initialised(proxy):
    with rigged(proxy, "ballast", {"mib": 20}) as rig:
        assert fly(rig, 1000) <= 64 * MIB
        rig.wait_idle()


def test_a_thousand_instances_of_a_go_guest(proxy):
    dirties = 32 << 10  # at most, in one request
    with rigged(proxy, "go-header", {"headers": {"X-Go": "yes"}}) as rig:
        assert fly(rig, 1000) <= 1000 * dirties + 64 * MIB
        rig.wait_idle()


def test_instances_of_a_heavy_guest(proxy):
    """75 MiB each, but for what they change: 2 MiB."""
    count = 1000 if LONG else 100
    with rigged(proxy, "rules", {"work": 1000}) as rig:
        assert fly(rig, count) <= count * 2560 << 10
        rig.wait_idle()


@pytest.mark.parametrize("isolation", ["reuse", "reset"])
def test_never_above_the_budget(proxy, isolation):
    """Each request changes 2 MiB. As many as fit are with the upstream; the others wait, and give up."""
    count = 1000 if LONG else 300
    budget = 512 * MIB if LONG else 128 * MIB
    with rigged(proxy, "ballast", {"mib": 20, "dirty": 512}, budget=str(budget),
                defaults={"isolation": isolation, "queueTimeout": "2s"}) as rig:
        with Peak(rig.proxy.pid, rig.idle) as peak:
            flight = Flight(rig.proxy.port, count)
            wait_until(lambda: flight.answered + rig.server.held >= count,
                       lambda: f"{flight.answered} are answered, {rig.server.held} held", 60)
            served = rig.server.held
            rig.server.release()
            statuses = flight.finish()
        assert statuses == {200: served, 503: count - served}
        assert served >= budget // (4 * MIB)
        assert peak.bytes <= budget + 16 * MIB
        rig.wait_idle()
