"""A redis-server of the test's own, and its protocol as far as tests need it."""

import shutil
import signal
import socket
import socketserver
import subprocess
import threading

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


class ScriptedRedis:
    """A server that gives every command the same answer: an array of these texts."""

    def __init__(self, texts):
        answer = b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text.encode()) for text in texts)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.rfile.peek(1):
                    read_reply(self.rfile)
                    self.wfile.write(answer)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.block_on_close = True, False
        self.port = self.server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class RedisCluster:
    """`masters` servers that share the slots, and behind the first one a replica that takes its place."""

    SLOTS = 16384

    def __init__(self, directory, masters=3):
        self.nodes = []
        for number in range(masters + 1):
            bus = str(free_port())
            self.nodes.append(RedisServer(directory / f"node{number}", "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
                                          "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"))
            self.nodes[-1].bus = bus

    def start(self):
        for node in self.nodes:
            node.start()
        masters = self.nodes[:-1]
        for number, node in enumerate(masters):
            first, last = (self.SLOTS * at // len(masters) for at in (number, number + 1))
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus)
        wait_until(lambda: all(self._state(node) == ("ok", len(self.nodes)) for node in self.nodes), "the cluster is one", PATIENCE_S)
        self.nodes[-1].command("CLUSTER", "REPLICATE", masters[0].command("CLUSTER", "MYID"))
        wait_until(lambda: "master_link_status:up" in self.nodes[-1].command("INFO"), "the replica has a master", PATIENCE_S)
        # All must know of it before they can let it take over.
        wait_until(lambda: all(node.command("CLUSTER", "NODES").count(" slave ") + node.command("CLUSTER", "NODES").count(",slave ") == 1
                               for node in self.nodes), "all know of the replica", PATIENCE_S)
        return self

    @staticmethod
    def _state(node):
        facts = dict(line.split(":") for line in node.command("CLUSTER", "INFO").splitlines() if ":" in line)
        return facts["cluster_state"], int(facts["cluster_known_nodes"])

    def endpoints(self, *numbers):
        return [self.nodes[number].address for number in numbers]

    def owner(self, key):
        """The number of the master that has the key at first."""
        return self.nodes[0].command("CLUSTER", "KEYSLOT", key) * (len(self.nodes) - 1) // self.SLOTS

    def stop(self):
        for node in self.nodes:
            node.stop()
