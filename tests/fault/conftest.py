"""Fixtures of the end-to-end tests, and `faults`."""

import importlib.util
import sys
from pathlib import Path

import pytest

_E2E = Path(__file__).resolve().parents[1] / "e2e"
sys.path[:0] = [str(_E2E), str(Path(__file__).parent)]

_spec = importlib.util.spec_from_file_location("e2e_conftest", _E2E / "conftest.py")
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)

pytest_plugins = _e2e.pytest_plugins
pytest_configure = _e2e.pytest_configure
upstream, proxy = _e2e.upstream, _e2e.proxy


@pytest.fixture
def faults(tmp_path):
    from faults import Faults
    from harness.proxy import program

    binary = Path(program()).read_bytes()
    if b"__tsan_init" in binary or b"__asan_init" in binary:
        pytest.skip("sanitizers take the same calls for themselves")

    page = Faults(tmp_path)
    yield page
    page.close()
