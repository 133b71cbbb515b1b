"""handshakes.py PORT COUNT full|resumed: so many TLS connections one after the other, with one request on each.

Prints "done N", how many of them were resumed.
"""

import socket
import ssl
import sys

REQUEST = b"GET /128 HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"


def one(context, port, session):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="bench.test", session=session) as tls:
            tls.sendall(REQUEST)
            data = b""
            while part := tls.recv(4096):
                data += part
            if not data.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"expected 200, found {data[:100]!r}")
            return tls.session, tls.session_reused


def main():
    port, count, resumed = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "resumed"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    session, reused = None, 0
    if resumed:
        session, _ = one(context, port, None)
    for _ in range(count):
        newer, was = one(context, port, session)
        reused += was
        session = newer if resumed else None
    if reused != (count if resumed else 0):
        raise SystemExit(f"{reused} of {count} connections were resumed")
    print(f"done {reused}")


if __name__ == "__main__":
    main()
