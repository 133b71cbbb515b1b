"""Where requests begin and end: nginx and HAProxy beside weir. What either takes for something else than weir does is
listed, with the reason why weir's reading stands, in `framing.txt`; a row that is no longer true fails, too."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.smuggling import corpus, vectors
from rig import framing

TABLE = Path(__file__).parent / "framing.txt"
AT_ONCE = 6

ABSENT = framing.missing()
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {' and '.join(ABSENT)}")


def requests():
    cases = {f"vector: {name}": data for name, (data, _, _) in vectors().items()} | corpus()
    assert len(cases) > 170
    return cases


def justified():
    """{(request, peer): (theirs, a tuple of alternatives, and weir's)}"""
    found, reason = {}, ""
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        where = f"{TABLE.name}:{number}"
        if line.startswith("# ") or not line:
            continue
        if line.startswith("= "):
            reason = line[2:]
            assert len(reason) > 40, f"{where}: that is no reason"
            continue
        columns = re.split(r" \| ", line)
        assert len(columns) == 4 and reason, f"{where}: expected NAME | PEER | THEIRS | WEIR'S below a reason"
        name, peer, theirs, ours = columns
        assert (name, peer) not in found, f"{where}: {name!r} is there twice"
        found[name, peer] = (tuple(theirs.split(" or ")), ours)
    return found


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """{program: {request: what the server got}}"""
    base, cases = tmp_path_factory.mktemp("framing"), requests()
    with contextlib.ExitStack() as stack:
        peers = {}
        for name in ("weir", *framing.PEERS):
            peers[name] = framing.start(name, base / name)
            stack.callback(peers[name].stop)
        with ThreadPoolExecutor(AT_ONCE * len(peers)) as pool:
            work = {(name, case): pool.submit(framing.understood, peer, number, data)
                    for number, (case, data) in enumerate(cases.items()) for name, peer in peers.items()}
            return {name: {case: work[name, case].result(120) for case in cases} for name in peers}


@pytest.mark.parametrize("peer", framing.PEERS)
def test_differences_are_justified(readings, peer):
    known = {name: row for (name, of), row in justified().items() if of == peer}
    wrong, gone = [], []
    for name, ours in readings["weir"].items():
        theirs = readings[peer][name]
        alternatives, expected = known.get(name, ((ours,), ours))
        if theirs not in alternatives or ours != expected:
            (gone if theirs == ours else wrong).append(f"{name} | {peer} | {theirs} | {ours}")
    assert not wrong, "\n".join([f"not in {TABLE.name}, or otherwise:", *wrong])
    assert not gone, "\n".join([f"no differences any more, but in {TABLE.name}:", *gone])
    assert not set(known) - set(readings["weir"]), "rows for requests that there are not"


def test_weir_lets_nothing_ambiguous_pass(readings):
    assert [case for case, text in readings["weir"].items() if "ambiguous" in text] == []


def test_good_requests_are_understood(readings):
    """So that agreement is not that of three programs that answer nothing."""
    for name in ("weir", *framing.PEERS):
        assert readings[name]["vector: plain request"] == "GET /, GET /probe"
        assert readings[name]["vector: body with a length"] == "POST / 'abc', GET /probe"
        assert readings[name]["coding without a space"] == "POST /a, GET /smuggled, GET /probe"
