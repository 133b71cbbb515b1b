"""hold.py PORT COUNT [tls]: opens kept-alive connections to 127.0.0.1, makes one request on each, and holds them.

Prints "held N" when all are open and idle. When its input ends it prints "left N", how many the server has not
closed meanwhile, and resets them, so that no port stays in TIME_WAIT.
"""

import resource
import select
import socket
import ssl
import struct
import sys

REQUEST = b"GET /128 HTTP/1.1\r\nHost: bench.test\r\n\r\n"


def open_one(port, context):
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if context:
        sock = context.wrap_socket(sock)
    sock.sendall(REQUEST)
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(sock)
    head, body = data.split(b"\r\n\r\n", 1)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if not head.startswith(b"HTTP/1.1 200") or fields.get(b"connection") == b"close":
        raise SystemExit(f"expected a kept-alive 200, found {head!r}")
    while len(body) < int(fields[b"content-length"]):
        body += receive(sock)
    return sock


def receive(sock):
    data = sock.recv(4096)
    if not data:
        raise SystemExit("the server closed a connection in the middle of a response")
    return data


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    context = tls_context() if sys.argv[3:] == ["tls"] else None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [open_one(port, context) for _ in range(count)]
    print(f"held {len(held)}", flush=True)
    sys.stdin.read()
    poll = select.poll()
    for sock in held:
        poll.register(sock, select.POLLIN)
    print(f"left {len(held) - len(poll.poll(0))}", flush=True)


if __name__ == "__main__":
    main()
