"""Frames of HTTP/2 (RFC 9113) as bytes, for peers that break off or stall anywhere. Heads are written without
compression; of those that come only the status is read."""

import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _integer(value, bits):
    """RFC 7541 5.1; the bits above are 0."""
    if value < (1 << bits) - 1:
        return bytes([value])
    out, value = [(1 << bits) - 1], value - ((1 << bits) - 1)
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def fields(*pairs):
    """Literal, without indexing, with new names."""
    out = b""
    for name, value in pairs:
        out += b"\0" + _integer(len(name), 7) + name.encode() + _integer(len(value), 7) + value.encode()
    return out


def _message(stream, head, pieces, trailers):
    if not pieces and not trailers:
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(*head))
    out = frame(HEADERS, END_HEADERS, stream, fields(*head))
    for i, piece in enumerate(pieces):
        out += frame(DATA, END_STREAM if i == len(pieces) - 1 and not trailers else 0, stream, piece)
    return out + (frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(*trailers)) if trailers else b"")


def request(target, method="GET", headers=(), pieces=(), trailers=(), stream=1, host="test.example"):
    return _message(stream, [(":method", method), (":scheme", "http"), (":authority", host), (":path", target), *headers], pieces, trailers)


def response(status=200, headers=(), pieces=(), trailers=(), stream=1):
    return _message(stream, [(":status", str(status)), *headers], pieces, trailers)


def status_of(block):
    """Of a block of fields that begins with a status, as nghttp2 writes it."""
    if block[0] & 0x80:
        return {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}[block[0] & 0x7F]
    assert block[0] & 0x0F == 8 and not block[1] & 0x80, block[:8]
    return int(block[2:2 + block[1]])


def read_frame(reader):
    """(kind, flags, stream, payload)"""
    head = reader.exactly(9)
    return head[3], head[4], struct.unpack("!I", head[5:])[0] & 0x7FFFFFFF, reader.exactly(int.from_bytes(head[:3], "big"))


def answer(reader, stream=1):
    """What comes on a stream: (status or None, bytes of the body, "ended", "reset" or "open" when the connection ended)."""
    status, body = None, b""
    try:
        while True:
            kind, flags, of, payload = read_frame(reader)
            if of != stream:
                continue
            if kind == HEADERS and status is None:
                status = status_of(payload)
            elif kind == DATA:
                body += payload
            elif kind == RST_STREAM:
                return status, body, "reset"
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return status, body, "ended"
    except Exception as error:
        if isinstance(error, TimeoutError):
            raise
        return status, body, "open"
