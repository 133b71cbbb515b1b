"""`proxyProtocol` of entry points: who the client is when a load balancer says so, and who may say it."""

import pytest

from rig.messages import everything, get
from rig.observe import Case

ENTRY_POINTS = {
    "web": {},
    "any": {"proxyProtocol": {"insecure": True}},
    "trusted": {"proxyProtocol": {"trustedIPs": ["127.0.0.0/8"]}},
    "others": {"proxyProtocol": {"trustedIPs": ["10.0.0.0/8"]}},
}
V2 = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 0, 80])
V6 = bytes.fromhex("20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "12340050")
HEADERS = {
    "none": b"",
    "v1-tcp4": b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 80\r\n",
    "v1-tcp6": b"PROXY TCP6 2001:db8::1 2001:db8::2 4660 80\r\n",
    "v1-unknown": b"PROXY UNKNOWN\r\n",
    "v2-tcp4": V2 + b"\x21\x11\0\x0c" + V4,
    "v2-tcp6": V2 + b"\x21\x21\0\x24" + V6,
    "v2-local": V2 + b"\x20\0\0\0",
    "v2-tlv": V2 + b"\x21\x11\0\x10" + V4 + b"\x04\0\x01z",
}


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs(static={"entryPoints": {name: options for name, options in ENTRY_POINTS.items() if options}}, dynamic=everything(),
                 entry_points=tuple(ENTRY_POINTS))


@pytest.mark.parametrize("case", [Case(f"{entry}-{name}", [header + get("/")], entry_point=entry)
                                  for entry in list(ENTRY_POINTS)[1:] for name, header in HEADERS.items()], ids=str)
def test_headers(pair, case):
    pair.check(case, timeout_s=5)
