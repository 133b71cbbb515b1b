"""A name server that answers as the test says, or does not, and a system that asks it: the C library's resolver knows port 53
only, so that it listens in a network namespace and the proxy gets files of its own in /etc."""

import contextlib
import select
import socket
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
NAMES = {number: name for name, number in TYPES.items()}
OK, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


class Query:
    """One question: the name and the type that are asked for."""

    def __init__(self, data):
        self.id, = struct.unpack_from("!H", data)
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1:at + 1 + length].decode())
            at += 1 + length
        self.name = ".".join(labels).lower()
        self.kind = NAMES.get(struct.unpack_from("!H", data, at + 1)[0], "other")
        self.question = data[12:at + 5]

    def reply(self, *records, code=OK, id=None, name=None, truncated=False, ttl=0):
        """Records as (type, value), or (type, value, owner); those of addresses of the type that was not asked for are left out.
        `id` and `name`: what it says to have been asked, if that is not what was."""
        records = [record for record in records if record[0] in (self.kind, "CNAME")]
        question = self.question if name is None else _name(name) + self.question[-4:]
        out = struct.pack("!HHHHHH", self.id if id is None else id, 0x8180 | (0x0200 if truncated else 0) | code, 1, len(records), 0, 0) + question
        for kind, value, *owner in records:
            data = _name(value) if kind == "CNAME" else socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
            out += _name(owner[0] if owner else name or self.name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data
        return out


class NameServer:
    """Listens on 127.0.0.1:53 of the namespace. `answer(query)` gives the bytes of a reply, or None; over TCP it is asked with
    `query.tcp` set."""

    def __init__(self, namespace, directory):
        self.answer = lambda query: query.reply(code=NXDOMAIN)
        self.queries = []
        self.failure = None
        with namespace:
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", 53))
            self._tcp = socket.create_server(("127.0.0.1", 53))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.files = {}
        for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n"), ("nsswitch.conf", "hosts: files dns\n")):
            (directory / name).write_text(text)
            self.files[f"/etc/{name}"] = directory / name

    def _run(self):
        poll = select.poll()
        for listener in (self._udp, self._tcp):
            poll.register(listener, select.POLLIN)
        while not self._stop.is_set():
            for descriptor, _ in poll.poll(100):
                try:
                    self._serve_udp() if descriptor == self._udp.fileno() else self._serve_tcp()
                except OSError:
                    pass  # whoever asked has gone
                except Exception as error:  # the test's own
                    self.failure = error

    def _ask(self, data, tcp):
        query = Query(data)
        query.tcp = tcp
        self.queries.append((query.name, query.kind))
        return self.answer(query)

    def _serve_udp(self):
        data, who = self._udp.recvfrom(4096)
        reply = self._ask(data, False)
        if reply is not None:
            self._udp.sendto(reply, who)

    def _serve_tcp(self):
        sock, _ = self._tcp.accept()
        threading.Thread(target=self._serve_connection, args=(sock,), daemon=True).start()

    def _serve_connection(self, sock):
        """Both questions of a lookup come on one."""
        with sock, contextlib.suppress(OSError):
            sock.settimeout(10)
            while size := sock.recv(2, socket.MSG_WAITALL):
                reply = self._ask(sock.recv(*struct.unpack("!H", size), socket.MSG_WAITALL), True)
                if reply is not None:
                    sock.sendall(struct.pack("!H", len(reply)) + reply)

    def asked(self, name):
        return sum(asked == name for asked, _ in self.queries)

    def close(self):
        self._stop.set()
        self._thread.join(30)
        self._udp.close()
        self._tcp.close()
        assert self.failure is None, f"the name server failed: {self.failure!r}"
