"""Networks that lose, delay, repeat and reorder packets: two network namespaces joined by TUN devices, whose packets the
test carries from one to the other. Needs Linux and the rights to make namespaces (root).

A socket belongs for ever to the namespace that its thread was in when it was made, and threads and processes begin in that of
who starts them; so `with namespace:` around what makes sockets is all there is to do."""

import contextlib
import ctypes
import fcntl
import functools
import heapq
import math
import os
import random
import select
import socket
import struct
import threading
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000
IFF_TUN, IFF_NO_PI, IFF_UP = 1, 0x1000, 1
TUNSETIFF, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x400454CA, 0x8914, 0x8916, 0x891C
PACKET_BYTES_MAX = 65536
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _own():
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _request(name, value):
    return struct.pack("16s24s", name.encode(), value)


def _ipv4(address):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


class Namespace:
    """A network of its own with a loopback; entered by threads, any number at a time and within each other."""

    def __init__(self):
        before = _own()
        try:
            _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
            self._file = _own()
            self.up("lo")
        finally:
            _check(_libc.setns(before, CLONE_NEWNET), "setns")
            os.close(before)
        self._entered = threading.local()

    def __enter__(self):
        before = _own()
        _check(_libc.setns(self._file, CLONE_NEWNET), "setns")
        self._entered.__dict__.setdefault("before", []).append(before)
        return self

    def __exit__(self, *_):
        before = self._entered.before.pop()
        _check(_libc.setns(before, CLONE_NEWNET), "setns")
        os.close(before)

    @staticmethod
    def up(device, address=None):
        """In the namespace that the thread is in."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            if address is not None:
                fcntl.ioctl(any_socket, SIOCSIFADDR, _request(device, _ipv4(address)))
                fcntl.ioctl(any_socket, SIOCSIFNETMASK, _request(device, _ipv4("255.255.255.0")))
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, _request(device, struct.pack("H", IFF_UP)))

    def set(self, name, value):
        """A variable below /proc/sys/net, if the kernel has it; returns whether it has."""
        path = Path("/proc/sys/net") / name
        with self:
            if path.exists():
                path.write_text(f"{value}\n")
                return True
        return False

    def close(self):
        os.close(self._file)


@functools.cache
def why_not(tun=True):
    """None, or why there can be no namespaces, or no TUN devices, here."""
    try:
        with contextlib.closing(Namespace()) as namespace:
            if tun:
                os.close(_tun(namespace, "probe"))
    except OSError as error:
        return f"no {'TUN devices in ' if tun else ''}network namespaces here: {error}"
    return None


def _tun(namespace, name, address=None):
    with namespace:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
            if address is not None:
                Namespace.up(name, address)
        except OSError:
            os.close(device)
            raise
    return device


class Weather:
    """What befalls packets in one direction, one after the other, as the seed has it: shares of those that are lost, come
    twice, and are late by up to `late_ms`, behind those that were sent after them."""

    def __init__(self, seed, loss=0.0, twice=0.0, late=0.0, delay_ms=0.0, late_ms=20.0):
        self.random = random.Random(seed)
        self.loss, self.twice, self.late, self.delay_ms, self.late_ms = loss, twice, late, delay_ms, late_ms
        self.counts = dict.fromkeys(("packets", "lost", "twice", "late"), 0)

    def delays_s(self):
        """For each copy of the next packet, how long it is under way."""
        draws = [self.random.random() for _ in range(4)]
        self.counts["packets"] += 1
        if draws[0] < self.loss:
            self.counts["lost"] += 1
            return []
        delay = self.delay_ms
        if draws[1] < self.late:
            self.counts["late"] += 1
            delay += draws[2] * self.late_ms
        if draws[3] < self.twice:
            self.counts["twice"] += 1
            return [delay / 1000, delay / 1000]
        return [delay / 1000]


class Link:
    """`near` and `far` with the addresses `near_address` and `far_address`. `to_far` and `to_near` are the weather on either
    way; `cut` loses everything until `mend`."""

    near_address, far_address = "10.77.0.1", "10.77.0.2"

    def __init__(self, seed, **weather):
        self.near, self.far = Namespace(), Namespace()
        self._devices = [_tun(self.near, "near", self.near_address), _tun(self.far, "far", self.far_address)]
        self.to_far, self.to_near = Weather(f"{seed} to far", **weather), Weather(f"{seed} to near", **weather)
        for namespace in (self.near, self.far):
            # Losses cost round trips instead of 200 ms each: the tests are about what arrives.
            namespace.set("ipv4/tcp_rto_min_us", 20000)
        self._cut = threading.Event()
        self._stop = threading.Event()
        self.failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._carry()
        except Exception as error:  # as a failure of the test, not as silence on the line
            self.failure = error

    def _carry(self):
        under_way, number = [], 0
        poll = select.poll()
        for device in self._devices:
            poll.register(device, select.POLLIN)
        ways = dict(zip(self._devices, ((self._devices[1], self.to_far), (self._devices[0], self.to_near))))
        while not self._stop.is_set():
            wait = 0.1 if not under_way else max(0, min(0.1, under_way[0][0] - time.monotonic()))
            for device, _ in poll.poll(math.ceil(wait * 1000)):
                to, weather = ways[device]
                with contextlib.suppress(BlockingIOError):
                    packet = os.read(device, PACKET_BYTES_MAX)
                    for delay in () if self._cut.is_set() else weather.delays_s():
                        number += 1
                        heapq.heappush(under_way, (time.monotonic() + delay, number, to, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(under_way)
                with contextlib.suppress(BlockingIOError):  # a full queue: one more that is lost
                    os.write(to, packet)

    def cut(self):
        self._cut.set()

    def mend(self):
        self._cut.clear()

    def count(self, name):
        return self.to_far.counts[name] + self.to_near.counts[name]

    def close(self):
        self._stop.set()
        self._thread.join(30)
        for device in self._devices:
            os.close(device)
        self.near.close()
        self.far.close()
        assert self.failure is None, f"the link failed: {self.failure!r}"
