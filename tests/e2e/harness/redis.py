"""A redis-server of the test's own, and its protocol as far as tests need it."""

import shutil
import signal
import socket
import subprocess

from .ports import free_port
from .waiting import wait_until

PATIENCE_S = 60


class Failure(Exception):
    """What Redis answers with a minus sign in front."""


def read_reply(reader):
    line = reader.readline()
    assert line.endswith(b"\r\n"), f"cut off: {line!r}"
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise Failure(rest.decode())
    if kind == b"+":
        return rest.decode()
    if kind == b":":
        return int(rest)
    if kind == b"*":
        return [read_reply(reader) for _ in range(int(rest))]
    assert kind == b"$", line
    if rest == b"-1":
        return None
    return reader.read(int(rest) + 2)[:-2].decode()


class RedisServer:
    """`options` go to the command line; `port` 0 is for those that listen elsewhere."""

    def __init__(self, directory, *options, port=None, password=None):
        self.directory, self.options = directory, options
        self.port = free_port() if port is None else port
        self.password = password
        self.process = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed"
        with open(self.directory / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.directory), *self.options],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if wait and self.port != 0:
            wait_until(self.answers, lambda: f"Redis answers\n{self.log()}", PATIENCE_S)
        return self

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.command("PING") == "PONG"
        except (OSError, AssertionError):
            return False

    def log(self):
        return (self.directory / "redis.log").read_text(errors="replace")

    def command(self, *parts, db=None):
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection, connection.makefile("rb") as reader:
            if self.password:
                self._say(connection, reader, "AUTH", self.password)
            if db is not None:
                self._say(connection, reader, "SELECT", db)
            return self._say(connection, reader, *parts)

    @staticmethod
    def _say(connection, reader, *parts):
        encoded = [str(part).encode() for part in parts]
        connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in encoded))
        return read_reply(reader)

    def info(self, name):
        return next(int(line.split(":")[1]) for line in self.command("INFO").splitlines() if line.startswith(name + ":"))

    def bucket(self, key, db=None):
        fields = self.command("HGETALL", key, db=db)
        return dict(zip(fields[::2], fields[1::2]))

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(PATIENCE_S)
        self.process = None

    stop = kill
