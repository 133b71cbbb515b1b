"""Plugins are compiled by a child process with limits of its own, and the result is kept for the next start."""

import os
import signal
from pathlib import Path

import pytest

from harness import process
from harness.guests import large_module
from harness.proxy import ON_TRAEFIK, Plugin, memory_tells, merge, one_router
from harness.upstream import response_bytes
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(ON_TRAEFIK, reason="Traefik compiles in its own process")

LOADED, COMPILED = "taken from the cache", " compiled in "


def answering(upstream):
    return upstream(lambda c, r: c.send(response_bytes(body=b"ok")))


def with_plugin(dynamic, config=None):
    """A second router, for the host plugin.test, that goes through the plugin."""
    router = {"rule": "Host(`plugin.test`)", "service": "s", "middlewares": ["m"]}
    return merge(dynamic, {"http": {"routers": {"plugin": router}, "middlewares": {"m": {"plugin": {"p": config or {}}}}}})


def options(**plugins):
    return {"log": {"level": "DEBUG"}} | ({"weir": {"plugins": plugins}} if plugins else {})


def compilers(p):
    """The children of the proxy that compile."""
    found = []
    for pid in process.process_tree(p.pid)[1:]:
        try:
            if b"compile-module" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            pass
    return found


def stop_compiler(p):
    """Waits until something is being compiled, within its limits, and stops that for now."""
    pid = wait_until(lambda: [pid for pid in compilers(p) if is_settled(pid)],
                     lambda: f"a module is being compiled\n{p.log()}", 30, 0.002)[0]
    os.kill(pid, signal.SIGSTOP)
    return pid


def is_settled(pid):
    try:
        return Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
    except OSError:
        return False


def state(pid):
    """(one letter, nice value)"""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "gone", 0
    return fields[0], int(fields[16])


def files(cache):
    return sorted((cache / "plugins").glob("*.weircode"))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def plugged(upstream, proxy, cache):
    """A running proxy whose plugin is not in use yet, with a cache of its own."""

    def make(dynamic=None, wasm=None, start=True, **plugins):
        url = answering(upstream).url
        p = proxy((dynamic or one_router)(url), plugins={"p": Plugin(wasm or large_module())}, static=options(**plugins),
                  environment={"CACHE_DIRECTORY": str(cache)}, start=start)
        p.base = one_router(url)
        return p

    return make


def whole(url):
    return with_plugin(one_router(url))


def test_second_start_takes_it_from_the_cache(plugged, cache):
    p = plugged(whole, "header")
    assert p.fetch(host="plugin.test").status == 200
    assert COMPILED in p.log() and LOADED not in p.log()
    assert len(files(cache)) == 1
    assert (cache / "plugins").stat().st_mode & 0o777 == 0o700
    assert files(cache)[0].stat().st_mode & 0o777 == 0o600
    p.stop()
    p.start()
    assert p.fetch(host="plugin.test").status == 200
    assert LOADED in p.log() and COMPILED not in p.log()


def test_damaged_file_is_replaced(plugged, cache):
    p = plugged(whole, "header")
    p.stop()
    good = files(cache)[0].read_bytes()
    files(cache)[0].write_bytes(good[:5000] + b"\x01" + good[5001:])
    p.start()
    assert p.fetch(host="plugin.test").status == 200
    assert p.log().count("is of no use and will be made anew") == 1
    assert COMPILED in p.log() and LOADED not in p.log()
    p.stop()
    p.start()
    assert LOADED in p.log() and "of no use" not in p.log()


def test_without_cache(plugged, cache):
    p = plugged(whole, "header", cacheDirectory="none")
    assert p.fetch(host="plugin.test").status == 200
    assert COMPILED in p.log()
    assert not cache.exists()


def test_directory_that_others_may_write_is_not_used(plugged, cache, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    p = plugged(whole, "header", cacheDirectory=str(shared))
    assert p.fetch(host="plugin.test").status == 200
    assert p.log().count("compiled modules are not kept") == 1
    assert not list(shared.iterdir()) and not cache.exists()


def test_requests_are_answered_while_a_module_is_compiled(plugged):
    p = plugged()
    version = p.write_dynamic(with_plugin(p.base))
    child = stop_compiler(p)
    wait_until(lambda: state(child)[0] == "T", "the compiler has stopped")
    for _ in range(200):
        assert p.fetch().body == b"ok"
    assert compilers(p) == [child], "it was compiled meanwhile"
    os.kill(child, signal.SIGCONT)
    while compilers(p):
        assert p.fetch().body == b"ok"
    p.wait_version(version)
    assert p.fetch(host="plugin.test").status == 200


def test_compiler_has_limits(plugged):
    p = plugged(compileMemory="700MiB")
    p.write_dynamic(with_plugin(p.base))
    child = wait_until(lambda: compilers(p), "a module is being compiled", 30, 0.002)[0]
    of = Path(f"/proc/{child}")

    def settled():
        limits = {line[:26].strip(): line[26:].split()[0] for line in of.joinpath("limits").read_text().splitlines()}
        return (is_settled(child) and limits["Max core file size"] == "0" and
                limits["Max file size"] == str(700 << 20) and (not memory_tells() or limits["Max data size"] == str(700 << 20)))

    wait_until(settled, "the compiler limits itself", interval_s=0.002)
    assert state(child)[1] == min(state(p.pid)[1] + 10, 19)
    os.kill(child, signal.SIGSTOP)
    targets = {fd: os.readlink(of / "fd" / fd) for fd in os.listdir(of / "fd")}
    os.kill(child, signal.SIGCONT)
    known = [target for target in targets.values() if not target.startswith(("/dev/null", "/memfd:weir-code", "pipe:"))]
    # An epoll or event descriptor of a library of its own, perhaps; nothing that was opened by the proxy.
    assert not [target for target in known if target.startswith(("socket:", "/"))], targets
    p.wait_version()


def fails_with(p, text):
    """The routers of the plugin are disabled, nothing else is affected, and a repaired limit is all that it takes."""
    p.wait_version()
    assert text in p.log()
    assert p.fetch(host="plugin.test").body == b"ok", "the router without the plugin takes over"
    assert p.fetch().body == b"ok"
    assert not compilers(p)


def test_killed(plugged, cache):
    p = plugged()
    p.write_dynamic(with_plugin(p.base))
    os.kill(stop_compiler(p), signal.SIGKILL)
    fails_with(p, "the compiler was ended by signal 9 (SIGKILL)")
    assert not files(cache)
    p.apply(with_plugin(p.base, {"again": "1"}))
    assert len(files(cache)) == 1


def test_signals_to_all_processes_do_not_end_it(plugged, cache):
    """Those that a service manager sends to each process of a service, to open log files or to stop."""
    p = plugged()
    p.write_dynamic(with_plugin(p.base))
    child = stop_compiler(p)
    for signum in [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGCONT]:
        os.kill(child, signum)
    p.wait_version()
    assert len(files(cache)) == 1


def test_hanging(plugged):
    p = plugged(compileTimeout="1s")
    p.write_dynamic(with_plugin(p.base))
    stop_compiler(p)
    fails_with(p, "takes more than 1000 ms to compile")


@pytest.mark.skipif(not memory_tells(), reason="a sanitizer needs more memory than the limit")
def test_out_of_memory(plugged):
    p = plugged(wasm=large_module(functions=1, statements=100000), compileMemory="50MiB")
    p.write_dynamic(with_plugin(p.base))
    fails_with(p, f"needs more than {50 << 20} bytes of memory to compile")


def test_compiler_ends_with_the_proxy(plugged):
    p = plugged()
    p.write_dynamic(with_plugin(p.base))
    child = stop_compiler(p)
    p.kill()
    p.expected_exit = -signal.SIGKILL
    wait_until(lambda: state(child)[0] in ("gone", "Z"), lambda: f"the stopped compiler has ended, found {state(child)}")


def test_sigterm_does_not_wait_for_a_compiler(plugged):
    p = plugged()
    p.write_dynamic(with_plugin(p.base))
    stop_compiler(p)
    p.stop()
