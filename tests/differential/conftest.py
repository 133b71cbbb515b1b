"""Fixture `pairs` starts Traefik and weir on the same files; all are stopped at the end of the module."""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "e2e"))

from rig.pair import Pair  # noqa: E402
from rig.programs import missing  # noqa: E402

pytest_plugins = ["harness.time_limit"]


def pytest_collection_modifyitems(items):
    reason = missing()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    with contextlib.ExitStack() as stack:

        def make(**options):
            pair = Pair(tmp_path_factory.mktemp("pair"), **options)
            stack.callback(pair.stop)
            pair.start()
            return pair

        yield make
