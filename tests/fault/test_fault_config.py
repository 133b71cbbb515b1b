"""What fails while weir starts, checks or reloads."""

import os
import subprocess

import pytest

from harness.ports import free_port
from harness.proxy import Plugin, merge, one_router, program
from harness.waiting import wait_until

LONG = "WEIR_LONG" in os.environ
EVERY_CALL = 100000 if LONG else 0


def rich(url, name):
    """A configuration with something of everything, that says `name` through a plugin."""
    dynamic = one_router(url, plugin={"header": {"name": "X-Version", "value": name}})
    return merge(dynamic, {"http": {
        "routers": {"other": {"rule": "Host(`other.example`) && (PathRegexp(`^/[a-z]+$`) || HeaderRegexp(`A`, `b.*`))",
                              "service": "w", "priority": 5}},
        "services": {"w": {"weighted": {"services": [{"name": "s", "weight": 2}]}}},
        "serversTransports": {"t": {"forwardingTimeouts": {"dialTimeout": "3s"}}}}})


def plan(faults, kind, action, most, part=0, parts=1):
    """What is to fail: {"n": the call's number} and {"only": its place}. Every place once; with WEIR_LONG also every call.
    Of several parts, which run at once, each has its share."""
    for place in sorted(faults.places(kind, action))[part::parts]:
        yield {"only": place}
    for n in range(1 + part, most + 1, parts):
        yield {"n": n}


@pytest.mark.parametrize("kind", ["malloc", "open", "read", "epoll_ctl", "mmap", "mprotect", "memfd"])
def test_reload(upstream, proxy, faults, kind):
    """The old configuration stays or the new one comes, whole; and the next one comes in any case."""
    server = upstream()
    p = proxy(rich(server.url, "0"), plugins={"header": Plugin("header")}, environment=faults.environment(),
              static={"weir": {"workers": 2}, "providers": {"providersThrottleDuration": "1ms"}})
    first = p.fetch(timeout_s=20)
    assert first.status == 200

    def apply():
        p.write_dynamic(rich(server.url, "recorded"))
        p.wait_version()

    hits = 0
    for number, what in enumerate(plan(faults, kind, apply, EVERY_CALL)):
        faults.arm(kind, **what)
        version = p.write_dynamic(rich(server.url, str(number)))
        wait_until(lambda: faults.hits > 0 or answers(p, version),
                   lambda: f"{kind} {what} fails or the new configuration comes\n{p.log()}", 30)
        struck = faults.disarm()
        place = faults.where
        assert p.running, f"{kind} {what} ended the proxy, at {place}\n{p.log()}"
        hits += struck
        version = p.write_dynamic(rich(server.url, str(number)))
        wait_until(lambda: answers(p, version), lambda: f"{kind} {what} at {place}: the next one comes\n{p.log()}", 20)
        assert p.fetch(timeout_s=20).status == 200, f"after {kind} {what}, at {place}"
        if not struck and "n" in what:
            break
    print(f"{kind}: {hits} times something failed")
    if kind in ("malloc", "open", "read"):
        assert hits > 0


def answers(p, version):
    try:
        response = p.fetch(host=f"version-{version}.test", timeout_s=20)
        return response.status == 503
    except Exception:
        return False


@pytest.mark.parametrize("kind", ["malloc", "open", "read", "socket", "epoll_ctl"])
def test_check(upstream, proxy, faults, kind):
    """A command that fails says so and ends with a status; nothing crashes, nothing hangs."""
    server = upstream()
    p = proxy(rich(server.url, "0"), start=False, plugins={"header": Plugin("header")})
    p.ports = {name: free_port() for name in p.entry_point_names()}
    p.write_files()
    arguments = [program(), "check", "--configFile=static.yml"]

    def run():
        return subprocess.run(arguments, cwd=p.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=120, env=dict(os.environ, **faults.environment()))

    failed = 0
    for what in plan(faults, kind, run, EVERY_CALL):
        faults.arm(kind, **what)
        done = run()
        struck = faults.disarm()
        output, where = done.stdout + done.stderr, f"{kind} {what} at {faults.where}"
        assert done.returncode in (0, 1), f"{where}: {done.returncode}\n{output}"
        assert "broken invariant" not in output and "Sanitizer" not in output, f"{where}\n{output}"
        if not struck and "n" in what:
            break
        failed += struck
        if done.returncode != 0:
            assert output.strip(), f"{where}: ended with {done.returncode} and no word"
    print(f"check, {kind}: {failed} times something failed")


MALLOC_PARTS = 6


@pytest.mark.parametrize("kind, part, parts", [
    *[("malloc", part, MALLOC_PARTS) for part in range(MALLOC_PARTS)],
    *[(kind, 0, 1) for kind in ("open", "read", "socket", "bind", "listen", "epoll_ctl", "thread", "mmap", "mprotect", "memfd", "ioctl")]])
def test_start(upstream, proxy, faults, kind, part, parts):
    """weir serves in the end, or says why it does not and ends."""
    server = upstream()
    p = proxy(rich(server.url, "0"), start=False, plugins={"header": Plugin("header")}, environment=faults.environment(),
              static={"weir": {"workers": 2}})

    def run():
        p.ports = {name: free_port() for name in p.entry_point_names()}
        p.write_files()
        p.spawn()

    def record():
        run()
        p.wait_version()
        p.terminate()
        p.wait_exit(60)

    failed = 0
    for what in plan(faults, kind, record, EVERY_CALL, part, parts):
        faults.arm(kind, **what)
        run()
        wait_until(lambda: not p.running or faults.hits > 0 or "is running" in p.log() and answers(p, p.version),
                   lambda: f"{kind} {what}: weir serves, or ends\n{p.log()}", 60)
        struck = faults.disarm()
        where = f"{kind} {what} at {faults.where}"
        # The line itself may be what there was no memory for.
        wait_until(lambda: not p.running or "is running" in p.log() or answers(p, p.version),
                   lambda: f"{where}: it starts or ends\n{p.log()}", 60)
        if p.running:
            version = p.write_dynamic(rich(server.url, "1"))
            wait_until(lambda: answers(p, version), lambda: f"{where}: the next one comes\n{p.log()}", 20)
            p.terminate()
        code, log = p.wait_exit(60), p.log()
        assert code in (0, 1) and log.strip(), f"{where}: {code}\n{log}"
        assert "broken invariant" not in log and "Sanitizer" not in log, f"{where}\n{log}"
        p.process = None
        if not struck and "n" in what:
            break
        failed += struck
    print(f"run, {kind}: {failed} times something failed")
    assert failed > 0
