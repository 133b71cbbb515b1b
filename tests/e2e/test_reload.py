"""The dynamic configuration changes while requests run: none is lost, and a broken file changes nothing."""

import os
import signal
import threading

import pytest

from harness.client import fetch
from harness.guests import guest
from harness.load import Innocents
from harness.proxy import Plugin, merge, one_router, servers
from harness.upstream import response_bytes
from harness.waiting import wait_until
from harness.yaml import to_yaml


WAYS_TO_WRITE = [
    pytest.param(False, id="rename"),
    pytest.param(True, id="truncate and write", marks=pytest.mark.differs("Traefik applies the empty file in between")),
]


def naming(upstream, name):
    return upstream(lambda c, r: c.send(response_bytes(body=name.encode())))


def check_one_or_two(response):
    assert response.status == 200, response.start_line
    assert response.body in (b"one", b"two")


@pytest.mark.parametrize("in_place", WAYS_TO_WRITE)
def test_changes_lose_no_request(upstream, proxy, in_place):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url))
    with Innocents(p.port, check_one_or_two, 20):
        for i in range(10):
            target = (two, one)[i % 2]
            p.apply(one_router(target.url), in_place)
            assert p.fetch().body == (b"two", b"one")[i % 2]


@pytest.mark.differs("Traefik applies the empty file in between")
def test_burst_of_writes_ends_with_the_last(upstream, proxy):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url))
    with Innocents(p.port, check_one_or_two, 10):
        for i in range(200):
            p.write_dynamic(one_router((one if i % 2 else two).url), in_place=i % 3 == 0)
        p.apply(one_router(two.url))
    assert p.fetch().body == b"two"


BROKEN = {
    "not YAML": "http:\n  routers: [unclosed\n",
    "wrong type": "http:\n  routers:\n    r:\n      rule: Host(`a`)\n      priority: high\n",
    "unknown key": "http:\n  routers:\n    r:\n      ruel: Host(`a`)\n",
    "tab": "http:\n\trouters: {}\n",
}


@pytest.mark.parametrize("in_place", WAYS_TO_WRITE)
@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_keeps_the_last_good_one(upstream, proxy, case, in_place):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url))
    before = len(p.log())
    with Innocents(p.port, check_one_or_two, 10):
        p.write_dynamic(BROKEN[case], in_place)
        wait_until(lambda: "ERR" in p.log()[before:], lambda: f"an error is logged\n{p.log()}")
        assert p.fetch().body == b"one"
        p.apply(one_router(two.url), in_place)
        assert p.fetch().body == b"two"


def test_file_removed_and_written_again(upstream, proxy):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url))
    with Innocents(p.port, check_one_or_two, 10):
        (p.directory / "dynamic.yml").unlink()
        assert p.fetch().body == b"one"
        p.apply(one_router(two.url))
        assert p.fetch().body == b"two"


@pytest.mark.differs("Traefik misses the change when filename names the file")
def test_symlinked_mount_of_an_orchestrator(upstream, proxy):
    """dynamic.yml -> ..data/dynamic.yml, ..data -> a directory that is replaced as a whole."""
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url), start=False, static={"providers": {"file": {"filename": "mounted/dynamic.yml"}}})
    mounted = p.directory / "mounted"
    mounted.mkdir(parents=True)

    def publish(server):
        text = to_yaml(p.with_marker(one_router(server.url)))
        folder = mounted / f"..{p.version}"
        folder.mkdir()
        (folder / "dynamic.yml").write_text(text)
        (mounted / "..new").symlink_to(folder.name)
        os.replace(mounted / "..new", mounted / "..data")

    p.write_dynamic = lambda dynamic, in_place=False: None
    publish(one)
    (mounted / "dynamic.yml").symlink_to("..data/dynamic.yml")
    p.start()
    assert p.fetch().body == b"one"
    with Innocents(p.port, check_one_or_two, 10):
        publish(two)
        p.wait_version()
        assert p.fetch().body == b"two"


def test_directory(upstream, proxy):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url, rule="Host(`one.example`)"), start=False,
              static={"providers": {"file": {"filename": None, "directory": "conf"}}})
    conf = p.directory / "conf"
    conf.mkdir(parents=True)
    p.write_dynamic = lambda dynamic, in_place=False: (conf / "a.yml").write_text(to_yaml(p.with_marker(dynamic)))
    p.start()
    assert p.fetch(host="one.example").body == b"one"
    assert p.fetch(host="two.example").status == 404
    (conf / "b.toml").write_text(
        '[http.routers.t]\nrule = "Host(`two.example`)"\nservice = "t"\n'
        f'[[http.services.t.loadBalancer.servers]]\nurl = "{two.url}"\n')
    wait_until(lambda: p.fetch(host="two.example").status == 200, lambda: f"the second file is in effect\n{p.log()}")
    assert p.fetch(host="one.example").body == b"one"
    (conf / "b.toml").unlink()
    wait_until(lambda: p.fetch(host="two.example").status == 404, "the removed file is no longer in effect")


def test_router_added_and_removed(upstream, proxy):
    server = naming(upstream, "one")
    base = one_router(server.url, rule="Host(`base.example`)")
    more = merge(base, {"http": {"routers": {"extra": {"rule": "Host(`extra.example`)", "service": "s"}}}})
    p = proxy(base)
    for _ in range(3):
        assert p.fetch(host="extra.example").status == 404
        p.apply(more)
        assert p.fetch(host="extra.example").body == b"one"
        p.apply(base)


def test_keep_alive_connection_follows_the_change(upstream, proxy):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    p = proxy(one_router(one.url))
    with p.connect() as client:
        assert client.exchange().body == b"one"
        p.apply(one_router(two.url))
        assert client.exchange().body == b"two"


def test_request_keeps_the_configuration_it_began_with(upstream, proxy):
    import threading

    release = threading.Event()
    slow = upstream(lambda c, r: (release.wait(15), c.send(response_bytes(body=b"slow"))))
    fast = naming(upstream, "fast")
    p = proxy(one_router(slow.url))
    with p.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.wait_requests()
        p.apply(one_router(fast.url))
        assert p.fetch().body == b"fast"
        release.set()
        assert client.response().body == b"slow"


def test_plugin_configuration_changes(upstream, proxy):
    server = naming(upstream, "one")

    def dynamic(value):
        return one_router(server.url, plugin={"header": {"response": {"X-Value": value}}})

    def check(response):
        assert response.status == 200
        assert response.get("X-Value") in ("first", "second")

    p = proxy(dynamic("first"), plugins={"header": Plugin("header")})
    with Innocents(p.port, check, 10):
        for i in range(6):
            value = ("second", "first")[i % 2]
            p.apply(dynamic(value))
            assert p.fetch().get("X-Value") == value


def test_many_reloads_leave_nothing_behind(upstream, proxy):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    routers = {f"r{i}": {"rule": f"Host(`r{i}.example`)", "service": "s", "middlewares": ["m"]} for i in range(20)}

    def dynamic(i):
        base = one_router((one, two)[i % 2].url, plugin={"header": {"response": {"X-I": "v"}}})
        return merge(base, {"http": {"routers": routers}})

    p = proxy(dynamic(0), plugins={"header": Plugin("header")})
    for i in range(5):
        p.apply(dynamic(i))
        p.fetch()
    with p.flat(memory_bytes=6 << 20, descriptors=20):
        for i in range(40):
            p.apply(dynamic(i))
            assert p.fetch().get("X-I") == "v"


def test_formats_of_the_dynamic_file(upstream, proxy):
    server = naming(upstream, "toml")
    p = proxy(one_router(server.url), start=False, static={"providers": {"file": {"filename": "dynamic.toml"}}})
    p.directory.mkdir(parents=True)
    p.version = 1
    p.write_dynamic = lambda dynamic, in_place=False: (p.directory / "dynamic.toml").write_text(
        '[http.routers.r]\nrule = "Host(`toml.example`)"\nservice = "s"\n'
        '[http.routers.version-1]\nrule = "Host(`version-1.test`)"\nservice = "none"\n'
        "[http.services.none.loadBalancer]\nservers = []\n"
        f'[[http.services.s.loadBalancer.servers]]\nurl = "{server.url}"\n')
    p.start()
    assert p.fetch(host="toml.example").body == b"toml"


def test_service_middleware_names_are_per_generation(upstream, proxy):
    """A service that disappears takes its routers with it, and they come back with it."""
    server = naming(upstream, "one")
    good = one_router(server.url, rule="Host(`x.example`)")
    without = {"http": {"routers": good["http"]["routers"], "services": {"other": servers(server.url)}}}
    p = proxy(good)
    assert p.fetch(host="x.example").body == b"one"
    p.apply(without)
    assert p.fetch(host="x.example").status == 404
    p.apply(good)
    assert p.fetch(host="x.example").body == b"one"


@pytest.mark.differs("Traefik initialises every plugin of every router again at each change")
def test_an_unchanged_plugin_is_not_initialised_again(upstream, proxy):
    one, two = naming(upstream, "one"), naming(upstream, "two")
    routers = {f"r{i}": {"rule": f"Host(`r{i}.example`)", "service": "s", "middlewares": ["m"]} for i in range(50)}

    def dynamic(i):
        base = one_router((one, two)[i % 2].url, plugin={"header": {"response": {"X-I": "v"}}})
        return merge(base, {"http": {"routers": routers}})

    p = proxy(dynamic(0), plugins={"header": Plugin("header")}, static={"weir": {"workers": 1}})
    assert p.fetch(host="r7.example").get("X-I") == "v"
    assert p.log().count("header guest initialised") == 1
    for i in range(1, 11):
        p.apply(dynamic(i))
        assert p.fetch(host=f"r{i}.example").get("X-I") == "v"
    assert p.log().count("header guest initialised") == 1


@pytest.mark.differs("Traefik begins with the first server after each change")
def test_load_balancers_go_on_where_they_were(upstream, proxy):
    """However often the configuration changes, and whatever the service is called: its servers take turns."""
    urls = [naming(upstream, name).url for name in ("one", "two")]

    def dynamic(i):
        name = f"s{i % 3}"
        return {"http": {"routers": {"r": {"rule": "Host(`turns.example`)", "service": name, "priority": i}},
                         "services": {name: {"loadBalancer": {"servers": [{"url": url} for url in urls]}}}}}

    p = proxy(dynamic(1))
    seen = []
    for i in range(2, 8):
        seen.append(p.fetch(host="turns.example").body)
        p.apply(dynamic(i))
    assert seen in ([b"one", b"two"] * 3, [b"two", b"one"] * 3)


def test_middlewares_of_a_service(upstream, proxy):
    server = naming(upstream, "one")
    dynamic = one_router(server.url, plugin={"header": {"response": {"X-I": "service"}}})
    del dynamic["http"]["routers"]["r"]["middlewares"]
    dynamic["http"]["services"]["s"]["middlewares"] = ["m"]
    response = proxy(dynamic, plugins={"header": Plugin("header")}).fetch()
    assert (response.get("X-I"), response.body) == ("service", b"one")


@pytest.mark.differs("Traefik disables the router")
def test_a_plugin_that_no_longer_starts_goes_on_as_it_was(upstream, proxy):
    """Also through reloads that change other things; until a configuration works again."""
    u = upstream()

    def configuration(phase, more=None):
        return merge(one_router(u.url, plugin={"trap": {"phase": phase}}), more or {})

    another = {"http": {"routers": {"fresh": {"rule": "Path(`/fresh`)", "service": "s", "middlewares": ["broken"]}},
                        "middlewares": {"broken": {"plugin": {"trap": {"phase": "init"}}}}}}
    p = proxy(configuration("request"), plugins={"trap": Plugin("trap")})
    assert [p.fetch(target=target).status for target in ("/", "/evil/")] == [200, 500]
    p.apply(configuration("init"))
    log = p.wait_log("Middleware goes on as it was: its new configuration does not work")
    assert "middlewareName=m@file" in log and "error instantiating guest" in log
    assert [p.fetch(target=target).status for target in ("/", "/evil/")] == [200, 500]
    # One that never worked disables its router, which leaves the path to another one.
    p.apply(configuration("init", another))
    assert "routerName=fresh@file" in p.wait_log("Router is disabled")
    assert [p.fetch(target=target).status for target in ("/", "/evil/")] == [200, 500]
    p.apply(configuration("none"))
    assert [p.fetch(target=target).status for target in ("/", "/evil/")] == [200, 200]


def held_when(upstream, target):
    """An upstream that answers requests for `target` when released, others at once: (upstream, event)."""
    release = threading.Event()

    def answer(connection, request):
        if request.target == target:
            release.wait(60)
        connection.send(response_bytes(body=b"ok"))

    return upstream(answer), release


def wasm_file(p, alias):
    return p.directory / "plugins-local" / "src" / "example.org" / alias / "plugin.wasm"


def replace_by_rename(path, content):
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def replace_in_two_writes(path, content):
    """As a slow copy does: the first half is no module."""
    with open(path, "wb") as f:
        f.write(content[:len(content) // 2])
        f.flush()
        os.fsync(f.fileno())
        f.write(content[len(content) // 2:])


@pytest.mark.differs("Traefik reads plugins when it starts only")
@pytest.mark.parametrize("replace", [replace_by_rename, replace_in_two_writes])
def test_a_new_plugin_file_takes_over(upstream, proxy, replace):
    """auth refuses requests without a token; header lets all pass. None is lost meanwhile."""
    u = upstream()
    p = proxy(one_router(u.url, plugin={"p": {"token": "sesame"}}), plugins={"p": Plugin("header")})

    def check(response):
        assert response.status in (200, 401), response.start_line

    assert p.fetch().status == 200
    with Innocents(p.port, check, 10):
        for name, status in (("auth", 401), ("header", 200)):
            replace(wasm_file(p, "p"), guest(name))
            wait_until(lambda status=status: p.fetch().status == status, lambda: f"{name} takes over\n{p.log()}", 60)
    assert p.log().count("Plugin has a new file") == 2


@pytest.mark.differs("Traefik reads plugins when it starts only")
def test_a_broken_plugin_file_changes_nothing(upstream, proxy):
    u = upstream()
    p = proxy(one_router(u.url, plugin={"p": {"token": "sesame"}}), plugins={"p": Plugin("auth")})
    good = wasm_file(p, "p").read_bytes()
    for broken, text in ((b"no module at all", "its new file does not work"), (good[:len(good) // 2], "its new file does not work"),
                         (guest("missing-request"), "handle_request")):
        before = p.log().count("its new file does not work")
        replace_by_rename(wasm_file(p, "p"), broken)
        wait_until(lambda before=before: p.log().count("its new file does not work") > before, p.log, 60)
        assert text in p.log()
        assert p.fetch().status == 401
    # Nor does a reload of something else, nor that it is gone.
    p.apply(one_router(u.url, rule="PathPrefix(`/`) && !Path(`/never`)", plugin={"p": {"token": "sesame"}}))
    assert p.fetch().status == 401
    wasm_file(p, "p").unlink()
    p.wait_log("its files cannot be read")
    assert p.fetch().status == 401
    replace_by_rename(wasm_file(p, "p"), guest("header"))
    wait_until(lambda: p.fetch().status == 200, p.log, 60)


@pytest.mark.differs("Traefik reads plugins when it starts only")
def test_a_broken_plugin_file_does_not_bring_back_what_was_replaced(upstream, proxy):
    """auth, header and auth again, all held by requests: header, the newest file that was made ready, is not current."""
    u, release = held_when(upstream, "/slow")
    configuration = one_router(u.url, plugin={"p": {"token": "sesame"}})
    p = proxy(configuration, plugins={"p": Plugin("auth")})
    slow = []

    def hold():
        slow.append(threading.Thread(target=fetch, args=(p.port,), kwargs={
            "target": "/slow", "headers": [("Authorization", "Bearer sesame")], "timeout_s": 60}))
        slow[-1].start()
        wait_until(lambda: [q.target for q in u.requests].count("/slow") == len(slow), "the request is held")

    try:
        for name, status in (("header", 200), ("auth", 401)):
            hold()
            replace_by_rename(wasm_file(p, "p"), guest(name))
            wait_until(lambda status=status: p.fetch().status == status, p.log, 60)
        replace_by_rename(wasm_file(p, "p"), b"no module at all")
        p.wait_log("its new file does not work")
        p.apply(configuration)
        assert p.fetch().status == 401
    finally:
        release.set()
        for thread in slow:
            thread.join()


@pytest.mark.differs("Traefik reads plugins when it starts only")
def test_a_reload_signal_reads_plugin_files_that_nobody_watches(upstream, proxy):
    u = upstream()
    p = proxy(one_router(u.url, plugin={"p": {"token": "sesame"}}), plugins={"p": Plugin("header")}, static={"weir": {"plugins": {"watch": False}}})
    replace_by_rename(wasm_file(p, "p"), guest("auth"))
    assert p.fetch().status == 200
    p.process.send_signal(signal.SIGHUP)
    wait_until(lambda: p.fetch().status == 401, p.log, 60)


@pytest.mark.differs("Traefik reads plugins when it starts only")
def test_a_plugin_that_was_missing_is_found_when_it_comes(upstream, proxy):
    u = upstream()
    p = proxy(one_router(u.url, plugin={"p": {"token": "sesame"}}), plugins={"p": Plugin(b"")}, check_output=False)
    assert p.fetch().status == 404
    replace_by_rename(wasm_file(p, "p"), guest("auth"))
    wait_until(lambda: p.fetch().status == 401, p.log, 60)
