"""What fails while weir starts, checks or reloads."""

import os
import subprocess

import pytest

from faults import ONCE
from harness.ports import free_port
from harness.proxy import Plugin, merge, one_router, program
from harness.upstream import response_bytes
from harness.waiting import wait_until

LONG = "WEIR_LONG" in os.environ
RELOAD_POINTS, START_POINTS = (100000, 100000) if LONG else (40, 150)


def rich(url, name):
    """A configuration with something of everything, that says `name` through a plugin."""
    dynamic = one_router(url, plugin={"header": {"name": "X-Version", "value": name}})
    return merge(dynamic, {"http": {
        "routers": {"other": {"rule": "Host(`other.example`) && (PathRegexp(`^/[a-z]+$`) || HeaderRegexp(`A`, `b.*`))",
                              "service": "w", "priority": 5}},
        "services": {"w": {"weighted": {"services": [{"name": "s", "weight": 2}]}}},
        "serversTransports": {"t": {"forwardingTimeouts": {"dialTimeout": "3s"}}}}})


def points(limit, most):
    """`most` numbers between 1 and `limit`, the first ones all, then ever fewer."""
    n, step = 1, 1.0
    growth = 1 + 8 / most
    while n <= limit:
        yield int(n)
        n += step
        step = 1.0 if LONG else step * growth


@pytest.mark.parametrize("kind", ["malloc", "open", "read", "mmap", "epoll_ctl"])
def test_reload(upstream, proxy, faults, kind):
    """The old configuration stays or the new one comes, whole; and the next one comes in any case."""
    server = upstream()
    p = proxy(rich(server.url, "0"), plugins={"header": Plugin("header")}, environment=faults.environment(),
              static={"weir": {"workers": 2}, "providers": {"providersThrottleDuration": "1ms"}})
    first = p.fetch(timeout_s=20)
    assert first.status == 200
    hits = 0
    for number, n in enumerate(points(20000 if kind == "malloc" else 50, RELOAD_POINTS)):
        faults.arm(kind, n)
        version = p.write_dynamic(rich(server.url, str(number)))
        wait_until(lambda: faults.hits > 0 or p.log().count(f"version-{version}") or answers(p, version),
                   lambda: f"{kind} {n} fails or the new configuration comes\n{p.log()}", 30)
        struck = faults.disarm()
        place = faults.where
        assert p.running, f"{kind} {n} ended the proxy, at {place}\n{p.log()}"
        hits += struck
        p.write_dynamic(rich(server.url, str(number)))
        p.wait_version()
        assert p.fetch(timeout_s=20).status == 200, f"after {kind} {n}, at {place}"
        if not struck:
            break
    print(f"{kind}: {hits} of the points were hit, the last at call {n}")
    if kind in ("malloc", "open", "read"):
        assert hits > 0


def answers(p, version):
    try:
        response = p.fetch(host=f"version-{version}.test", timeout_s=20)
        return response.status == 503
    except Exception:
        return False


@pytest.mark.parametrize("kind", ["malloc", "open", "read", "socket", "epoll_ctl", "mmap"])
def test_check(upstream, proxy, faults, kind):
    """A command that fails says so and ends with a status; nothing crashes, nothing hangs."""
    server = upstream()
    p = proxy(rich(server.url, "0"), start=False, plugins={"header": Plugin("header")})
    p.ports = {"web": free_port()}
    p.write_files()
    arguments = [program(), "check", "--configFile=static.yml"]
    failed = 0
    for n in points(200000, START_POINTS):
        faults.arm(kind, n)
        done = subprocess.run(arguments, cwd=p.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=120, env=dict(os.environ, **faults.environment()))
        struck = faults.disarm()
        output = done.stdout + done.stderr
        assert done.returncode >= 0 and done.returncode not in (134, 139), \
            f"{kind} {n} at {faults.where}: {done.returncode}\n{output}"
        assert "broken invariant" not in output and "Sanitizer" not in output, f"{kind} {n} at {faults.where}\n{output}"
        if not struck:
            break
        failed += 1
        if done.returncode != 0:
            assert output.strip(), f"{kind} {n} at {faults.where}: ended with {done.returncode} and no word"
    print(f"check, {kind}: {failed} points were hit, the last at call {n}")


@pytest.mark.parametrize("kind", ["malloc", "open", "read", "socket", "epoll_ctl", "mmap"])
def test_start(upstream, proxy, faults, kind):
    """weir serves in the end, or says why it does not and ends."""
    server = upstream()
    p = proxy(rich(server.url, "0"), start=False, plugins={"header": Plugin("header")}, environment=faults.environment(),
              static={"weir": {"workers": 2}})
    failed = 0
    for n in points(200000, START_POINTS // 3):
        p.ports = {"web": free_port()}
        p.write_files()
        faults.arm(kind, n)
        p.spawn()
        wait_until(lambda: not p.running or faults.hits > 0 or "is running" in p.log() and answers(p, p.version),
                   lambda: f"{kind} {n}: weir serves, or ends\n{p.log()}", 60)
        struck = faults.disarm()
        where = f"{kind} {n} at {faults.where}"
        # The line itself may be what there was no memory for.
        wait_until(lambda: not p.running or "is running" in p.log() or answers(p, p.version), lambda: f"{where}: it starts or ends\n{p.log()}", 60)
        if p.running:
            p.write_dynamic(rich(server.url, "1"))
            p.wait_version()
            p.terminate()
        code, log = p.wait_exit(60), p.log()
        assert code in (0, 1) and log.strip(), f"{where}: {code}\n{log}"
        assert "broken invariant" not in log and "Sanitizer" not in log, f"{where}\n{log}"
        p.process = None
        if not struck:
            break
        failed += 1
    print(f"run, {kind}: {failed} points were hit, the last at call {n}")
    if kind != "mmap":
        assert failed > 0
