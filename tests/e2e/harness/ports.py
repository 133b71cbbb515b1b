"""Free loopback ports. They lie below the range that the kernel gives to outgoing connections, so that no client of a
parallel test can sit on one between the moment it is chosen and the moment the proxy binds it; and each is locked by
the process that chose it, so that other runs of the tests on the same machine take others."""

import errno
import fcntl
import os
import random
import socket
import tempfile

FIRST, LAST = 10240, 32000
_locks = []


def _claim(port):
    """Takes the port's lock for the rest of this process, unless somebody has it."""
    directory = os.path.join(tempfile.gettempdir(), f"weir-test-ports-{os.getuid()}")
    os.makedirs(directory, exist_ok=True)
    lock = open(os.path.join(directory, str(port)), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    _locks.append(lock)
    return True


def _is_free(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            return False
    return True


def free_port(host="127.0.0.1"):
    for port in random.SystemRandom().sample(range(FIRST, LAST), 2000):
        if _claim(port) and _is_free(host, port):
            return port
    raise AssertionError("no free loopback port left")
