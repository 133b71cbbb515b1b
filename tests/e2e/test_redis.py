"""rateLimit over Redis: what tests/differential cannot show. Replicas, reloads, failures of the server, logging in."""

import contextlib
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.certificates import Authority
from harness.client import Client, request_bytes
from harness.message import Closed
from harness.proxy import one_router, run_command
from harness.redis import RedisCluster, RedisServer, ScriptedRedis
from harness.waiting import wait_until

HOUR = {"average": 1, "period": "1h", "burst": 20, "sourceCriterion": {"requestHeaderName": "X-Who"}}
FAILED = b"Could not insert/update bucket\n"
pytestmark = pytest.mark.differs("weir's own connections, limits and metrics")


@pytest.fixture
def redis(tmp_path):
    with contextlib.ExitStack() as stack:
        def make(*options, start=True, **more):
            server = RedisServer(tmp_path / f"redis{len(made)}", *options, **more)
            made.append(server)
            stack.callback(server.stop)
            return server.start() if start else server

        made = []
        yield make


def limited(url, server, **options):
    options, redis = {**HOUR, **options}, {"endpoints": [server.address], **options.pop("redis", {})}
    dynamic = one_router(url, middlewares=["slow"])
    dynamic["http"]["middlewares"] = {"slow": {"rateLimit": {**options, "redis": redis}}}
    return dynamic


def ask(proxy, who="me"):
    return proxy.fetch(headers=[("X-Who", who)])


def statuses(proxies, count, who="me", threads=8):
    """Of so many requests at once, to one proxy after the other."""
    with ThreadPoolExecutor(threads) as pool:
        return sorted(pool.map(lambda i: ask(proxies[i % len(proxies)], who).status, range(count)))


def counted(proxy, name):
    return proxy.scrape().value(f"weir_redis_{name}")


def workers(count=2, **limits):
    return {"weir": {"workers": count, **({"limits": limits} if limits else {})}}


def test_replicas_share_one_limit(upstream, proxy, redis):
    """A source gets what it is allowed from all replicas and workers together, and no request more."""
    server, store = upstream(), redis()
    replicas = [proxy(limited(server.url, store), static=workers()) for _ in range(2)]
    assert statuses(replicas, 60) == [200] * 20 + [429] * 40
    assert statuses(replicas, 20, "you") == [200] * 20
    bucket = store.bucket("rate:slow@file:me")
    assert set(bucket) == {"last", "tokens"} and 0 <= float(bucket["tokens"]) < 1
    assert 3500 < store.command("TTL", "rate:slow@file:me") <= 3601


def test_a_reload_keeps_the_counts_and_the_connections(upstream, proxy, redis):
    server, store = upstream(), redis()
    dynamic = limited(server.url, store)
    door = proxy(dynamic, static=workers(1), metrics=True)
    assert statuses([door], 15) == [200] * 15
    dynamic["http"]["routers"]["other"] = {"rule": "Path(`/other`)", "service": "s"}
    door.apply(dynamic)
    assert statuses([door], 10) == [200] * 5 + [429] * 5
    assert [counted(door, name) for name in ("connections_total", "open", "in_flight", "waiting")] == [1, 1, 0, 0]
    dynamic["http"]["middlewares"]["slow"]["rateLimit"]["redis"]["db"] = 3
    door.apply(dynamic)
    assert ask(door).status == 200
    assert store.bucket("rate:slow@file:me", db=3)
    wait_until(lambda: counted(door, "open") == 1, "the old connection is closed", 60)


def test_who_is_refused_learns_when_to_come_again(upstream, proxy, redis):
    door = proxy(limited(upstream().url, redis(), burst=1))
    assert ask(door).status == 200
    answer = ask(door)
    assert (answer.status, answer.body) == (429, b"Too Many Requests")
    assert re.fullmatch(r"59m5\d(\.\d{1,9})?s|1h0m0s", answer.get("X-Retry-In"))
    assert 3500 < int(answer.get("Retry-After")) <= 3600


def test_those_who_can_wait_wait(upstream, proxy, redis):
    """A token each half second: the second request comes within the time that one waits."""
    store = redis()
    door = proxy(limited(upstream().url, store, average=2, period="1s", burst=1), metrics=True)
    found = statuses([door], 6, threads=1)
    assert set(found) <= {200, 429} and 200 in found
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(Client(door.port))
            client.send(request_bytes(headers=[("X-Who", "me")]))
    wait_until(lambda: counted(door, "in_flight") == 0, "nothing is left of those that have gone", 60)
    wait_until(lambda: ask(door, "other").status == 200, "others are served")


@pytest.mark.parametrize("wait_us", ["0", "0.0000001", "0.0005", "0.5"])
def test_a_wait_of_next_to_nothing_ends(upstream, proxy, wait_us):
    """What is left of a token may be a rounding error: Redis then says so many microseconds, less than a nanosecond."""
    server = ScriptedRedis(["true", wait_us, "-0"])
    try:
        door = proxy(limited(upstream().url, server))
        assert [ask(door).status for _ in range(3)] == [200] * 3
    finally:
        server.stop()


def test_logging_in(upstream, proxy, redis):
    """With a password, as a user of the access list, and with a wrong password, which nobody gets to read."""
    server = upstream()
    store = redis("--requirepass", "open-sesame", password="open-sesame")
    store.command("ACL", "SETUSER", "edge", "on", ">its-own", "~rate:*", "+evalsha", "+eval", "+hgetall", "+hset", "+expire", "+select")
    for options in ({"password": "open-sesame"}, {"username": "edge", "password": "its-own", "db": 5}):
        door = proxy(limited(server.url, store, redis=options))
        assert statuses([door], 30, options.get("username", "me")) == [200] * 20 + [429] * 10
    assert store.bucket("rate:slow@file:edge", db=5)
    for options, why in (({"password": "wrong-sesame"}, "WRONGPASS"), ({}, "NOAUTH"), ({"username": "nobody", "password": "wrong-sesame"}, "WRONGPASS")):
        door = proxy(limited(server.url, store, redis=options))
        answer = ask(door)
        assert (answer.status, answer.body) == (500, FAILED)
        door.wait_log(why)
        assert "wrong-sesame" not in door.log()


def test_the_password_is_masked(upstream, proxy, redis):
    door = proxy(limited(upstream().url, redis(start=False), redis={"password": "open-sesame"}))
    code, output = run_command(door.directory, "check", "--configFile=static.yml")
    assert code == 0, output
    assert "password: xxxx" in output and "open-sesame" not in output


@pytest.mark.parametrize("trusted", [True, False])
def test_tls(upstream, proxy, redis, tmp_path, trusted):
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "other")
    mine, theirs = authority.issue("client"), authority.issue("127.0.0.1", "IP:127.0.0.1")
    plain = redis(start=False)
    store = redis("--tls-port", str(plain.port), "--tls-cert-file", str(theirs.certificate), "--tls-key-file", str(theirs.key),
                  "--tls-ca-cert-file", str(authority.file), port=0)
    wait_until(lambda: "Ready to accept connections" in store.log(), "Redis listens", 60)
    tls = {"ca": str((authority if trusted else other).file), "cert": str(mine.certificate), "key": str(mine.key)}
    door = proxy(limited(upstream().url, plain, redis={"tls": tls}), metrics=True)
    if trusted:
        assert statuses([door], 60) == [200] * 20 + [429] * 40
        assert counted(door, "connect_failures_total") == 0
    else:
        assert (ask(door).status, ask(door).body) == (500, FAILED)
        door.wait_log("No connection to Redis", "certificate")


def test_a_socket_of_the_file_system(upstream, proxy, redis, tmp_path):
    path = tmp_path / "redis.sock"
    redis("--unixsocket", str(path))
    dynamic = limited(upstream().url, redis(start=False), redis={"endpoints": [str(path)]})
    assert statuses([proxy(dynamic)], 30) == [200] * 20 + [429] * 10


def test_a_name_is_looked_up(upstream, proxy, redis):
    """It may have an address of either kind, of which Redis has one."""
    store = redis()
    dynamic = limited(upstream().url, store, redis={"endpoints": [f"localhost:{store.port}"]})
    assert statuses([proxy(dynamic)], 30) == [200] * 20 + [429] * 10


def test_nobody_is_there(upstream, proxy, redis):
    """Requests fail at once, are served once Redis is there, and others are not touched."""
    server, store = upstream(), redis(start=False)
    dynamic = limited(server.url, store)
    dynamic["http"]["routers"]["free"] = {"rule": "Path(`/free`)", "service": "s", "priority": 1000}
    door = proxy(dynamic, metrics=True)
    answer = ask(door)
    assert (answer.status, answer.body, answer.get("Content-Type"), answer.get("X-Content-Type-Options")) == (500, FAILED, "text/plain; charset=utf-8", "nosniff")
    assert statuses([door], 50) == [500] * 50
    assert door.fetch(target="/free").status == 200
    door.wait_log("No connection to Redis", "Connection refused")
    # Connecting has pauses: fifty requests are not fifty attempts.
    assert counted(door, "connect_failures_total") < 20
    assert door.scrape().value("weir_middleware_failed_total", middleware="slow@file") == 51
    store.start()
    wait_until(lambda: ask(door).status == 200, "Redis is found", 60)


def test_a_restart_in_the_middle_of_load(upstream, proxy, redis):
    server, store = upstream(), redis()
    door = proxy(limited(server.url, store, burst=1000000), static=workers(), metrics=True)
    seen, stop = [], threading.Event()

    def work(who):
        while not stop.is_set():
            seen.append(ask(door, who).status)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = len(seen)
            wait_until(lambda before=before: seen[before:].count(200) > 100, "requests pass", 60)
            store.kill()
            before = len(seen)
            wait_until(lambda before=before: seen[before:].count(500) > 20, "requests fail", 60)
            store.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    wait_until(lambda: ask(door).status == 200, "requests pass again", 60)
    assert set(seen) == {200, 500} and server.last is not None
    assert [counted(door, name) for name in ("waiting", "in_flight")] == [0, 0]
    assert door.scrape().value("weir_middleware_asking", middleware="slow@file") == 0


def test_redis_says_nothing(upstream, proxy, redis):
    """Who waits is told after the time-out; nobody else waits for that, clients that leave take their question along,
    and what goes on keeps no configuration from ending."""
    server, store = upstream(), redis()
    dynamic = limited(server.url, store, redis={"readTimeout": "2s"})
    dynamic["http"]["routers"]["free"] = {"rule": "Path(`/free`)", "service": "s", "priority": 1000}
    door = proxy(dynamic, static=workers(1), metrics=True)
    assert ask(door).status == 200
    store.pause()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(Client(door.port))
            client.send(request_bytes(headers=[("X-Who", "me")]))
        wait_until(lambda: counted(door, "queries_total") > 200, "all ask", 60)
        assert door.fetch(target="/free").status == 200
        last = stack.enter_context(Client(door.port))
        last.send(request_bytes(headers=[("X-Who", "me")]))
        del dynamic["http"]["middlewares"]["slow"]["rateLimit"]["redis"]["readTimeout"]
        door.apply(dynamic)
        assert last.response().status == 500
    assert counted(door, "timeouts_total") > 0
    wait_until(lambda: door.scrape().value("weir_middleware_asking", middleware="slow@file", default=0) == 0, "nobody asks any more", 60)
    wait_until(lambda: door.scrape().value("weir_config_generations_live") == 1, "the old configuration has gone", 60)
    store.resume()
    wait_until(lambda: ask(door, "new").status == 200, "Redis answers again", 60)


@pytest.mark.slow
def test_clients_configurations_and_redis_come_and_go(upstream, proxy, redis):
    """In any order, with questions in progress: nothing is left of them, and requests pass in the end."""
    server, store = upstream(), redis()
    dynamic = limited(server.url, store, burst=1000000, redis={"readTimeout": "1s"})
    door = proxy(dynamic, static=workers(), metrics=True)
    stop = threading.Event()

    def leave_early(seed):
        chance = random.Random(seed)
        while not stop.is_set():
            with contextlib.suppress(OSError, Closed), Client(door.port) as client:
                client.send(request_bytes(headers=[("X-Who", f"w{seed}")]) * chance.randrange(1, 5))
                if chance.random() < 0.5:
                    client.response()

    threads = [threading.Thread(target=leave_early, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    try:
        for number in range(12):
            if number % 4 == 1:
                store.pause()
            if number % 4 == 2:
                store.resume()
            if number % 4 == 3:
                store.kill()
                store.start()
            dynamic["http"]["middlewares"]["slow"]["rateLimit"]["redis"]["db"] = number % 3
            door.apply(dynamic)
    finally:
        store.resume()
        stop.set()
        for thread in threads:
            thread.join(60)
    wait_until(lambda: ask(door).status == 200, "requests pass", 60)
    wait_until(lambda: door.scrape().value("weir_config_generations_live") == 1, "old configurations have gone", 60)
    wait_until(lambda: [counted(door, name) for name in ("waiting", "in_flight")] == [0, 0], "no question is left", 60)
    assert door.scrape().value("weir_middleware_asking", middleware="slow@file") == 0


def test_queries_are_limited(upstream, proxy, redis):
    store = redis()
    door = proxy(limited(upstream().url, store, redis={"readTimeout": "60s"}), static=workers(1, redisQueries=3), metrics=True)
    assert ask(door).status == 200
    store.pause()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(door.port)) for _ in range(3)]
        for client in clients:
            client.send(request_bytes(headers=[("X-Who", "me")]))
        wait_until(lambda: counted(door, "in_flight") == 3, "all ask", 60)
        assert (ask(door).status, counted(door, "refused_total")) == (500, 1)
        store.resume()
        assert [client.response().status for client in clients] == [200] * 3


def test_connections_are_limited_and_kept(upstream, proxy, redis):
    """Of all workers together, at least one for each."""
    store = redis()
    own = 1  # the connection that asks
    door = proxy(limited(upstream().url, store, burst=100000, redis={"poolSize": 4, "minIdleConns": 2}), static=workers(2), metrics=True)
    wait_until(lambda: store.info("connected_clients") - own == 2, "there are connections before there is a request", 60)
    assert set(statuses([door], 400, threads=32)) == {200}
    assert 2 <= store.info("connected_clients") - own <= 4
    store.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: store.info("connected_clients") - own >= 2, "closed ones are opened again", 60)
    assert ask(door).status == 200


def test_forgotten_scripts_are_sent_again(upstream, proxy, redis):
    store = redis()
    door = proxy(limited(upstream().url, store))
    for _ in range(3):
        assert statuses([door], 5) == [200] * 5
        store.command("SCRIPT", "FLUSH")


def test_errors_of_redis(upstream, proxy, redis):
    """A key of another kind, a script that may not run: 500, with Redis' own words in the log."""
    store = redis()
    door = proxy(limited(upstream().url, store), metrics=True)
    store.command("SET", "rate:slow@file:me", "mine")
    assert (ask(door).status, ask(door).body) == (500, FAILED)
    door.wait_log("WRONGTYPE")
    assert ask(door, "you").status == 200
    assert counted(door, "errors_total") >= 2
    store.command("ACL", "SETUSER", "default", "-eval", "-evalsha")
    assert ask(door, "you").status == 500


@pytest.mark.parametrize("options,why", [
    ({"endpoints": ["127.0.0.1:1", "127.0.0.1"]}, "redis.endpoints:"),
    ({"endpoints": ["127.0.0.1"]}, "redis.endpoints:"),
    ({"endpoints": ["127.0.0.1:0"]}, "expected a host and a port"),
    ({"db": -1}, "redis.db: found -1"),
    ({"readTimeout": "-1s"}, "redis.readTimeout: found a negative time"),
    ({"tls": {"ca": "missing.pem"}}, "redis.tls.ca"),
])
def test_what_cannot_work_disables_the_router(upstream, proxy, redis, options, why):
    server = upstream()
    dynamic = limited(server.url, redis(start=False), redis=options)
    dynamic["http"]["routers"]["free"] = {"rule": "Path(`/free`)", "service": "s"}
    door = proxy(dynamic)
    door.wait_log(why)
    assert (ask(door).status, door.fetch(target="/free").status) == (404, 200)


@pytest.fixture
def cluster(tmp_path):
    made = RedisCluster(tmp_path / "cluster")
    try:
        yield made.start()
    finally:
        made.stop()


def test_a_cluster(upstream, proxy, cluster):
    """Sources are with whom the slots say; who is asked first need not have them, and one that was not configured may."""
    server = upstream()
    names = [next(f"s{i}" for i in range(1000) if cluster.owner(f"rate:slow@file:s{i}") == number) for number in range(3)]
    replicas = [proxy(limited(server.url, cluster.nodes[0], redis={"endpoints": cluster.endpoints(*at), "db": 7}), static=workers(2), metrics=True) for at in ((0, 1), (2, 1))]
    for name in names:
        assert statuses(replicas, 40, name) == [200] * 20 + [429] * 20
    for number, name in enumerate(names):
        assert cluster.nodes[number].command("EXISTS", f"rate:slow@file:{name}") == 1
    # What was learned is kept: no more detours.
    before = [counted(door, "errors_total") for door in replicas]
    for name in names:
        assert statuses(replicas, 20, name) == [429] * 20
    assert [counted(door, "errors_total") for door in replicas] == before
    # The replica takes over from the first, as soon as the others agree; sources of the others go on.
    cluster.nodes[0].kill()
    assert statuses(replicas, 10, names[1]) == [429] * 10
    wait_until(lambda: ask(replicas[0], names[0]).status in (200, 429), "the replica has taken over", 60)
    wait_until(lambda: ask(replicas[1], names[0]).status in (200, 429), "the other proxy has found it, too", 60)
    assert statuses(replicas, 10, names[2]) == [429] * 10


def test_a_slot_on_its_way(upstream, proxy, cluster):
    """While a slot moves, what is still there is asked for there and what is new where it goes; then it has moved. Nobody is refused who should not be."""
    server = upstream()
    door = proxy(limited(server.url, cluster.nodes[0], redis={"endpoints": cluster.endpoints(2, 1)}), static=workers(2), metrics=True)
    tag = next(f"t{i}" for i in range(1000) if cluster.owner(f"rate:slow@file:{{t{i}}}") == 0)
    old, new, newer = (f"{{{tag}}}{name}" for name in ("old", "new", "newer"))
    slot = cluster.nodes[0].command("CLUSTER", "KEYSLOT", f"rate:slow@file:{old}")
    source, target = cluster.nodes[0], cluster.nodes[1]
    ids = {node: node.command("CLUSTER", "MYID") for node in (source, target)}
    assert statuses([door], 5, old) == [200] * 5
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    # Other sources beside them on the same connections: the permission to ask is for one query only.
    other = next(f"s{i}" for i in range(1000) if cluster.owner(f"rate:slow@file:s{i}") == 1)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda who: statuses([door], 40, who), (new, other, old))) == [[200] * 20 + [429] * 20] * 2 + [[200] * 15 + [429] * 25]
    assert [node.command("CLUSTER", "COUNTKEYSINSLOT", slot) for node in (source, target)] == [1, 1]
    # What is taken along goes on as it was.
    assert source.command("MIGRATE", "127.0.0.1", target.port, f"rate:slow@file:{old}", 0, 5000) == "OK"
    assert statuses([door], 40, old) == [429] * 40
    assert statuses([door], 40, newer) == [200] * 20 + [429] * 20
    for node in (target, source):
        node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
    for who in (old, new, newer):
        assert statuses([door], 20, who) == [429] * 20
    assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 3
