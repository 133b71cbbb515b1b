"""rateLimit over Redis: replicas of Traefik and of weir that name the same Redis share one limit."""

import contextlib
import shlex
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.client import fetch
from harness.redis import PATIENCE_S, RedisCluster, RedisServer
from harness.ports import free_port

WHO = {"requestHeaderName": "X-Who"}

# Rates above and below one a second, odd ones, and bursts.
RATES = [{"average": 1}, {"average": 2, "burst": 3}, {"average": 7, "period": "3s", "burst": 5}, {"average": 100, "burst": 1000},
         {"average": 1, "period": "1m"}, {"average": 3, "period": "1h", "burst": 2}, {"average": 1000000, "burst": 1}, {"average": 333333, "period": "7m"},
         {"average": 5, "burst": 0}, {"average": 5, "period": "0s"}, {"average": 1, "period": "1500ms", "burst": -1}]


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


def site(**middlewares):
    """A router for each middleware, which has its name as its host."""
    routers = {name: {"rule": f"Host(`{name}.example`)", "service": "s", "middlewares": [name]} for name in middlewares}
    services = {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:<<a>>"}]}}}
    return {"http": {"routers": routers, "services": services, "middlewares": {name: {"rateLimit": options} for name, options in middlewares.items()}}}


@pytest.fixture(scope="module")
def pair(pairs, redis):
    at = {"redis": {"endpoints": [redis.address]}}
    nobody = {"redis": {"endpoints": [f"127.0.0.1:{free_port()}"]}}
    hour = {"average": 1, "period": "1h", "burst": 20, "sourceCriterion": WHO}
    return pairs(dynamic=site(
        shared={**hour, **at}, base={**hour, "redis": {**at["redis"], "db": 4}}, one={"average": 1, "period": "1h", **at}, soon={"average": 2, **at},
        absent={**hour, **nobody}, zero={"average": 0, **at}, nameless={**hour, "redis": {**at["redis"], "username": "nobody"}}, **{f"rate{i}": {**rate, **at} for i, rate in enumerate(RATES)},
        host={**hour, "sourceCriterion": {"requestHost": True}, **at}))


def ask(instance, name, who=None):
    return fetch(instance.ports["web"], host=f"{name}.example", headers=[("X-Who", who)] if who is not None else [])


def both(pair):
    return pair.traefik, pair.weir


@contextlib.contextmanager
def watched(redis):
    """What scripts are called with while this is entered: calls() gives [key, rate, burst, ttl, now, patience] each."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=PATIENCE_S) as connection, connection.makefile("r") as lines:
        connection.sendall(b"MONITOR\r\n")
        assert lines.readline().strip() == "+OK"

        def calls():
            redis.command("ECHO", "that is all")
            found = []
            for line in lines:
                if '"that is all"' in line:
                    return found
                words = shlex.split(line.split("] ", 1)[1])
                if words[0].lower() == "evalsha":
                    found.append(words[3:])

        yield calls


@pytest.mark.parametrize("name,db", [("shared", 0), ("base", 4)])
def test_there_is_one_limit(pair, redis, name, db):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: ask(both(pair)[i % 2], name, "all").status, range(60)))
    assert sorted(found) == [200] * 20 + [429] * 40
    assert set(redis.bucket(f"rate:{name}@file:all", db=db)) == {"last", "tokens"}


def test_what_one_has_taken_the_other_lacks(pair):
    for who, first, second in (("t", pair.traefik, pair.weir), ("w", pair.weir, pair.traefik)):
        assert [ask(first, "shared", who).status for _ in range(15)] == [200] * 15
        assert [ask(second, "shared", who).status for _ in range(10)] == [200] * 5 + [429] * 5
        assert ask(first, "shared", who).status == 429


def test_refusals_are_alike(pair):
    """The time to come again is the other's, too; of the exact one only the fraction of a second differs."""
    for instance in both(pair):
        ask(instance, "one")
    theirs, ours = (ask(instance, "one") for instance in both(pair))
    for answer in (theirs, ours):
        assert (answer.status, answer.body, answer.get("Content-Type")) == (429, b"Too Many Requests", None)
        assert answer.get("X-Retry-In").startswith("59m5") and 3590 < int(answer.get("Retry-After")) <= 3600


@pytest.mark.parametrize("at", range(len(RATES)))
def test_the_script_gets_the_same_arguments(pair, redis, at):
    with watched(redis) as calls:
        for instance in both(pair):
            ask(instance, f"rate{at}")
        found = calls()
    theirs, ours = ([key, float(rate), burst, ttl, patience] for key, rate, burst, ttl, _, patience in found)
    assert theirs == ours
    assert abs(int(found[0][4]) - int(found[1][4])) < PATIENCE_S * 1000000


def test_sources_have_the_same_names(pair, redis):
    with watched(redis) as calls:
        for who in (None, "a:b", "with space", "ü", "x" * 1000, "%41", '"'):
            for instance in both(pair):
                ask(instance, "shared", who)
        for name in ("host", "one"):
            for instance in both(pair):
                ask(instance, name)
        found = [call[0] for call in calls()]
    assert len(found) == 18 and found[::2] == found[1::2]


def test_failures_are_alike(pair, redis):
    redis.command("SET", "rate:shared@file:wrong", "mine")
    for name, who in (("absent", "me"), ("shared", "wrong")):
        theirs, ours = (ask(instance, name, who) for instance in both(pair))
        assert theirs.status == ours.status == 500
        for part in ("Content-Type", "X-Content-Type-Options", "Content-Length"):
            assert theirs.get(part) == ours.get(part)
        assert theirs.body == ours.body == b"Could not insert/update bucket\n"


def test_where_weir_differs(pair):
    """The rows redis-zero and redis-login of docs/compatibility.md."""
    theirs, ours = (ask(instance, "zero") for instance in both(pair))
    assert (theirs.status, theirs.body, ours.status) == (429, b"No bursty traffic allowed\n", 200)
    theirs, ours = (ask(instance, "nameless") for instance in both(pair))
    assert (theirs.status, ours.status) == (200, 500)


def test_forgotten_scripts_are_sent_again(pair, redis):
    for instance in both(pair):
        redis.command("SCRIPT", "FLUSH")
        assert [ask(instance, "shared", "flushed").status for _ in range(3)] == [200] * 3


def test_a_cluster_is_shared(pairs, tmp_path):
    """Keys of all servers of it; the database is not asked for."""
    cluster = RedisCluster(tmp_path)
    try:
        cluster.start()
        options = {"average": 1, "period": "1h", "burst": 20, "sourceCriterion": WHO, "redis": {"endpoints": cluster.endpoints(0, 1, 2), "db": 2}}
        pair = pairs(dynamic=site(wide=options))
        for who in [f"s{i}" for i in range(12)] + ["{a}b", "a{}b", "{"]:
            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda i, who=who: ask(both(pair)[i % 2], "wide", who).status, range(30)))
            assert sorted(found) == [200] * 20 + [429] * 10
    finally:
        cluster.stop()
