"""A strict reader of HTTP/1 messages: what the tests trust must not be lenient."""

from dataclasses import dataclass, field


class ProtocolError(AssertionError):
    pass


class Closed(Exception):
    """The peer ended the connection; `partial` is what came before."""

    def __init__(self, partial=b"", reset=False):
        super().__init__(f"connection {'reset' if reset else 'closed'} after {partial[:200]!r}")
        self.partial = partial
        self.reset = reset


@dataclass
class Message:
    start_line: str
    headers: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    head: bytes = b""
    interim: list = field(default_factory=list)
    chunked: bool = False

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    @property
    def status(self):
        return int(self.start_line.split(" ", 2)[1])

    @property
    def version(self):
        first, last = self.start_line.split(" ", 1)[0], self.start_line.rsplit(" ", 1)[-1]
        return first if first.startswith("HTTP/") else last

    @property
    def method(self):
        return self.start_line.split(" ", 1)[0]

    @property
    def target(self):
        return self.start_line.split(" ")[1]


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip() or b"\r" in value or b"\n" in value:
            raise ProtocolError(f"malformed field line {line!r}")
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return fields


class Reader:
    """Reads messages from a socket whose timeout is the longest silence that is accepted."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def _fill(self):
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            raise Closed(self.buffer, reset=True) from None
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def until(self, end):
        while end not in self.buffer:
            self._fill()
        taken, self.buffer = self.buffer.split(end, 1)
        return taken

    def exactly(self, n):
        parts, have = [self.buffer[:n]], min(n, len(self.buffer))
        self.buffer = self.buffer[n:]
        while have < n:
            try:
                self._fill()
            except Closed as closed:
                raise Closed(b"".join(parts), closed.reset) from None
            parts.append(self.buffer[: n - have])
            self.buffer = self.buffer[n - have :]
            have += len(parts[-1])
        return b"".join(parts)

    def to_end(self):
        """Everything up to the end of the connection."""
        parts = [self.buffer]
        self.buffer = b""
        while True:
            try:
                self._fill()
            except Closed as closed:
                if closed.reset:
                    raise Closed(b"".join(parts), reset=True) from None
                return b"".join(parts)
            parts.append(self.buffer)
            self.buffer = b""

    def head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw.split(b"\r\n")
        if any(b"\n" in line or b"\r" in line for line in lines):
            raise ProtocolError(f"bare CR or LF in {raw!r}")
        return Message(lines[0].decode("latin-1"), parse_fields(lines[1:]), head=raw + b"\r\n\r\n")

    def chunks(self):
        """Yields the chunks of a chunked body and stores the trailers in self.trailers."""
        self.trailers = []
        while True:
            size = self.until(b"\r\n").split(b";")[0]
            if not size or size.strip(b"0123456789abcdefABCDEF"):
                raise ProtocolError(f"malformed chunk size {size!r}")
            n = int(size, 16)
            if n == 0:
                break
            yield self.exactly(n)
            if self.exactly(2) != b"\r\n":
                raise ProtocolError("chunk without CRLF at its end")
        while True:
            line = self.until(b"\r\n")
            if not line:
                return
            self.trailers += parse_fields([line])

    def body(self, message, is_response, request_method=None):
        codings, lengths = message.all("Transfer-Encoding"), message.all("Content-Length")
        if codings and lengths:
            raise ProtocolError(f"Transfer-Encoding and Content-Length in {message.head!r}")
        if len(set(lengths)) > 1:
            raise ProtocolError(f"several Content-Length in {message.head!r}")
        if is_response and (request_method == "HEAD" or message.status in (204, 304) or message.status < 200):
            return
        if codings:
            if [c.lower() for c in codings] != ["chunked"]:
                raise ProtocolError(f"unexpected Transfer-Encoding {codings}")
            message.chunked = True
            parts = []
            try:
                for chunk in self.chunks():
                    parts.append(chunk)
            except Closed as closed:
                message.body = b"".join(parts) + closed.partial
                closed.message = message
                raise
            message.body, message.trailers = b"".join(parts), self.trailers
        elif lengths:
            message.body = self.exactly(int(lengths[0]))
        elif is_response:
            message.body = self.to_end()

    def request(self):
        message = self.head()
        self.body(message, is_response=False)
        return message

    def response(self, method="GET"):
        interim = []
        while True:
            message = self.head()
            if message.status >= 200 or message.status == 101:
                break
            interim.append(message)
        message.interim = interim
        if message.status != 101:
            self.body(message, is_response=True, request_method=method)
        return message


def chunked(*parts, trailers=()):
    """The bytes of a chunked body."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts if p)
    return out + b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in trailers) + b"\r\n"


def head(start_line, headers=()):
    lines = [start_line] + [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
