"""Load balancers: who gets how many requests, with which host and path; what a wrong service costs."""

from collections import Counter

import pytest

from rig.known import statuses, with_differences
from rig.messages import get, post
from rig.observe import Case
from harness.client import Client

URL = "http://127.0.0.1:<<{}>>"


def balancer(*servers, **options):
    return {"loadBalancer": {"servers": [{"url": URL.format(name), **more} for name, more in servers], **options}}


SERVICES = {
    "even": balancer(("a", {}), ("b", {}), ("c", {})),
    "weights": balancer(("a", {"weight": 1}), ("b", {"weight": 2}), ("c", {"weight": 5})),
    "zero": balancer(("a", {"weight": 0}), ("b", {"weight": 3})),
    "same-twice": balancer(("a", {}), ("a", {}), ("b", {})),
    "single": balancer(("c", {})),
    "wrr": balancer(("a", {}), ("b", {"weight": 3}), strategy="wrr"),
    "no-host": balancer(("a", {}), passHostHeader=False),
    "host": balancer(("a", {}), passHostHeader=True),
    "transport": balancer(("a", {}), serversTransport="own"),
    "flush": balancer(("a", {}), responseForwarding={"flushInterval": "1ms"}),
    "flush-now": balancer(("a", {}), responseForwarding={"flushInterval": "-1"}),
    # Of a server's URL only scheme, host and port count.
    "path": {"loadBalancer": {"servers": [{"url": URL.format("a") + "/base/path?x=y"}]}},
    "path-kept": {"loadBalancer": {"servers": [{"url": URL.format("a") + "/base/path", "preservePath": True}]}},
    "path-kept-slash": {"loadBalancer": {"servers": [{"url": URL.format("a") + "/base/", "preservePath": True}]}},
    "path-kept-root": {"loadBalancer": {"servers": [{"url": URL.format("a") + "/", "preservePath": True}]}},
    "path-kept-encoded": {"loadBalancer": {"servers": [{"url": URL.format("a") + "/a%2Fb", "preservePath": True}]}},
    "upper-scheme": {"loadBalancer": {"servers": [{"url": "HTTP://127.0.0.1:<<a>>"}]}},
    "localhost": {"loadBalancer": {"servers": [{"url": "http://localhost:<<a>>"}]}},
    "user": {"loadBalancer": {"servers": [{"url": "http://user:pass@127.0.0.1:<<a>>"}]}},
    # Wrong in one way or another.
    "bad-scheme": {"loadBalancer": {"servers": [{"url": "ftp://127.0.0.1:<<a>>"}]}},
    "bad-url": {"loadBalancer": {"servers": [{"url": "http://[::1"}]}},
    "bad-port": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:99999"}]}},
    "port-0": {"loadBalancer": {"servers": [{"url": "http://localhost:0"}]}},
    "no-scheme": {"loadBalancer": {"servers": [{"url": "127.0.0.1:<<a>>"}]}},
    "no-url": {"loadBalancer": {"servers": [{"weight": 1}]}},
    "bad-strategy": balancer(("a", {}), strategy="nothing"),
    "bad-transport": balancer(("a", {}), serversTransport="nowhere"),
    "no-kind": {},
    "no-servers-key": {"loadBalancer": {"passHostHeader": True}},
    "negative-weight": balancer(("a", {"weight": -1}), ("b", {})),
}


@pytest.fixture(scope="module")
def pair(pairs):
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": name} for name in SERVICES}
    transports = {"own": {"forwardingTimeouts": {"dialTimeout": "1s", "responseHeaderTimeout": "5s", "idleConnTimeout": "10s"}, "maxIdleConnsPerHost": 2}}
    return pairs(dynamic={"http": {"routers": routers, "services": SERVICES, "serversTransports": transports}}, backends=("a", "b", "c"))


TARGETS = ("/", "/x/y?z=1", "/a%2Fb", "/?q")

DIFFERS = {
    **statuses("500 Internal Server Error", "404 Not Found", "bad-server-url", *(f"{name} {target}" for name in ("bad-scheme", "no-url") for target in TARGETS)),
}


@pytest.mark.parametrize("case", [
    with_differences(case, DIFFERS) for case in
    [Case(f"{name} {target}", [get(target, host=f"{name}.example")]) for name in SERVICES if name not in ("even", "weights", "same-twice", "wrr", "negative-weight") for target in TARGETS]
    + [Case("post-flush", [post(host="flush.example")]), Case("host-port", [get(host="host.example:81"), get(host="no-host.example:81")]),
       Case("host-1.0", [get(host="no-host.example", version="1.0")], ending="read")]], ids=str)
def test_services(pair, case):
    pair.check(case)


def shares(pair, instance, host, count):
    """How many of `count` requests on one connection each backend got, as a multiset: which server is first is chance."""
    for backend in pair.backends:
        backend.begin(None)
    with Client(instance.ports["web"]) as client:
        statuses_ = Counter(client.exchange(host=host).status for _ in range(count))
    return sorted(len(backend.finish()) for backend in pair.backends), statuses_


@pytest.mark.parametrize("name, count", [("even", 3), ("even", 30), ("even", 31), ("weights", 8), ("weights", 80), ("zero", 9), ("same-twice", 30), ("wrr", 40), ("negative-weight", 4)])
def test_shares(pair, name, count):
    theirs, ours = (shares(pair, instance, f"{name}.example", count) for instance in (pair.traefik, pair.weir))
    assert theirs == ours
