"""Free loopback ports. They lie below the range that the kernel gives to outgoing connections, so that no client of a
parallel test can sit on one between the moment it is chosen and the moment the proxy binds it."""

import errno
import itertools
import os
import random
import socket

FIRST, LAST = 10240, 32000
_PER_WORKER = 1200


def _worker_number():
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return int(name.removeprefix("gw") or 0)


def _candidates():
    blocks = (LAST - FIRST) // _PER_WORKER
    base = FIRST + (_worker_number() % blocks) * _PER_WORKER
    start = random.SystemRandom().randrange(_PER_WORKER)
    for i in itertools.count(start):
        yield base + i % _PER_WORKER


_next_candidate = _candidates()


def free_port(host="127.0.0.1"):
    for port in itertools.islice(_next_candidate, _PER_WORKER):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
    raise AssertionError("no free loopback port left")
