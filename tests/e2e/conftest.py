"""Fixtures: `upstream` and `proxy` make servers that are stopped and checked at the end of the test."""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.proxy import ON_TRAEFIK, Proxy, one_router  # noqa: E402
from harness.upstream import Upstream  # noqa: E402

pytest_plugins = ["harness.time_limit"]


def pytest_configure(config):
    config.addinivalue_line("markers", "differs(reason): weir deliberately differs from Traefik here, or goes further")
    config.addinivalue_line("markers", "slow: takes more than ten seconds")


def pytest_collection_modifyitems(items):
    for item in items:
        marker = item.get_closest_marker("differs")
        if marker and ON_TRAEFIK:
            item.add_marker(pytest.mark.skip(reason=f"weir differs: {marker.args[0]}"))


def _make_upstream(stack):
    def make(*arguments, **options):
        server = Upstream(*arguments, **options)
        stack.callback(server.stop)
        return server

    return make


def _make_proxy(stack, next_directory):
    def make(dynamic, start=True, **options):
        proxy = Proxy(next_directory(), dynamic, **options)
        stack.callback(proxy.stop)
        if start:
            proxy.start()
        return proxy

    return make


def _directories(base):
    numbers = iter(range(1000))
    return lambda: base / f"proxy{next(numbers)}"


@pytest.fixture
def upstream():
    with contextlib.ExitStack() as stack:
        yield _make_upstream(stack)


@pytest.fixture
def proxy(tmp_path):
    with contextlib.ExitStack() as stack:
        yield _make_proxy(stack, _directories(tmp_path))


@pytest.fixture(scope="module")
def module_upstream():
    with contextlib.ExitStack() as stack:
        yield _make_upstream(stack)


@pytest.fixture(scope="module")
def module_proxy(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield _make_proxy(stack, _directories(tmp_path_factory.mktemp("module")))


@pytest.fixture
def relay(upstream, proxy):
    """An upstream that answers "ok" behind a proxy with one router: (proxy, upstream)."""
    server = upstream()
    return proxy(one_router(server.url)), server
