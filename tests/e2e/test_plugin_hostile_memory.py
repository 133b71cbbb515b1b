"""Guests that are hostile to memory: that take all they can get in each request, hide data where nobody looks, or fail
while they initialise. Under every isolation, and each method of putting memory back."""

import pytest

from harness.load import together
from harness.proxy import Plugin, one_router
from harness.siege import assert_plain_error, check_innocent, hostile, siege
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("Traefik has neither isolation nor limits")

ISOLATIONS = ["reuse", "reset", "fresh"]
METHODS = ["scan", "pagemap", "drop"]
LIMIT_PAGES = 512  # the siege's 32 MiB
MIB = 1 << 20


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_grows_to_its_limit_on_every_request(upstream, proxy, isolation):
    """Each request gets as much as it may have, whoever was there before, and all of it is given back."""
    p = hostile(proxy, upstream(), "grower", defaults={"isolation": isolation, "idleTimeout": "1s"})

    def grow(_):
        response = p.fetch()
        check_innocent(response)
        return response.get("X-Pages").split(" of ")

    first, total = map(int, grow(0))
    assert total == LIMIT_PAGES and 0 < first < LIMIT_PAGES
    with p.flat(memory_bytes=24 * MIB, descriptors=60, timeout_s=60):
        for _ in range(3):
            for got, pages in together(10, grow):
                assert int(pages) == LIMIT_PAGES
                assert int(got) == first or (isolation == "reuse" and int(got) == 0)
    siege(p, ["/x"] * 3, innocents=10, check=check_innocent)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_changes_every_page(upstream, proxy, method, isolation):
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), plugins={"guest": Plugin("dirtier")},
              static={"weir": {"plugins": {"restore": method, "defaults": {"isolation": isolation, "idleTimeout": "1s"}}}})

    def change(_):
        with p.connect() as client:
            responses = [client.exchange() for _ in range(10)]
        for response in responses:
            check_innocent(response)
        return [int(response.get("X-Before")) for response in responses]

    with p.flat(memory_bytes=24 * MIB, descriptors=60, timeout_s=60):
        counts = [count for counts in together(6, change) for count in counts]
    if isolation == "reuse":
        assert max(counts) > 0 and counts.count(0) <= 6
    else:
        assert counts == [0] * 60


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_leaves_its_stack_dirty(upstream, proxy, isolation):
    """Each request takes 2 KiB of the guest's stack. With `reuse` its instance fails one day, and is replaced."""
    p = hostile(proxy, upstream(), "dirty-stack", defaults={"isolation": isolation})
    with p.connect() as client:
        first = client.exchange()
        check_innocent(first)
        depth = int(first.get("X-Depth"))
        for _ in range(80):
            response = client.exchange()
            if response.status == 200:
                now = int(response.get("X-Depth"))
                assert now == depth if isolation != "reuse" else now < 62000
            else:
                assert isolation == "reuse"
                assert_plain_error(response)
    failures = p.log().count("unreachable")
    assert failures >= 2 if isolation == "reuse" else failures == 0


def secrets(p, client, number, count):
    """What the guest found in the requests of one connection, and what it was told to keep."""
    found, told = [], []
    with p.connect() as connection:
        for i in range(count):
            secret = f"{client:02d}{number}{i:03d}" + ("7" if i % 5 == 3 else "x")
            response = connection.exchange(target="/" + secret)
            assert response.status == 200, response.start_line
            found.append(response.body.decode())
            told.append(secret)
    return found, told


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_hides_secrets(upstream, proxy, method, isolation):
    """In data, zeros, below its stack, in a global, and beyond its initial memory: a secret is found once at most, by
    the next request of the same instance, and never but with `reuse`."""
    p = proxy(one_router(upstream().url, plugin={"guest": {}}), plugins={"guest": Plugin("secret")},
              static={"weir": {"workers": 4, "plugins": {"restore": method, "defaults": {"isolation": isolation}}}})
    results = together(8, lambda i: secrets(p, i, "00", 60))
    found = [text for texts, _ in results for text in texts]
    told = {text for _, texts in results for text in texts}
    assert len(told) == len(found) == 480
    if isolation == "reuse":
        again = [text for text in found if text != "none"]
        assert set(again) <= told and len(set(again)) == len(again)
        assert 1 <= found.count("none") <= 4 * 8
    else:
        assert found == ["none"] * 480


@pytest.mark.parametrize("isolation", ["reuse", "fresh"])
def test_traps_while_a_later_instance_initialises(upstream, proxy, tmp_path, isolation):
    """The first instance is well. Those after it fail for as long as there is a file; then all is well again."""
    trap = tmp_path / "mounted" / "trap"
    trap.parent.mkdir()
    p = hostile(proxy, upstream(), "trap-later", settings={"mounts": [f"{trap.parent}:/m"]},
                defaults={"init": "own", "isolation": isolation, "maxRequests": 1})
    check_innocent(p.fetch())
    with p.flat(descriptors=60):
        trap.write_text("")
        wait_until(lambda: p.fetch().status != 200, "the instances that were there are used up")
        for response in together(20, lambda i: p.fetch(timeout_s=60)):
            assert_plain_error(response, (500, 503))
        trap.unlink()
        wait_until(lambda: p.fetch().status == 200, lambda: f"it recovers\n{p.log()}", 60)
        wait_until(lambda: all(r.status == 200 for r in together(20, lambda i: p.fetch(timeout_s=60))),
                   lambda: f"all requests are served again\n{p.log()}", 60)
    assert "cannot start" in p.log()
