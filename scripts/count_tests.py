"""count_tests.py SUITE LOGS BUILD STATUS: prints "PASSED FAILED SKIPPED" of a suite that scripts/test ran.

Each suite leaves its results in a form of its own. A suite that ended with a status other than 0 has at
least one failure, whatever it left.
"""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def unit(logs, build):
    passed = failed = skipped = 0
    with open(build / "meson-logs/testlog.json", encoding="utf-8") as log:
        for line in log:
            program = json.loads(line)
            output = program.get("stdout", "") + program.get("stderr", "")
            ok = len(re.findall(r"^\[       OK \]", output, re.M))
            skip = len(set(re.findall(r"^\[  SKIPPED \] (\w+)", output, re.M)))
            bad = len(set(re.findall(r"^\[  FAILED  \] (?!\d+ test)(\w+)", output, re.M)))
            passed += ok
            skipped += skip
            failed += max(bad, program["returncode"] != 0)
    return passed, failed, skipped


def junit(path):
    passed = failed = skipped = 0
    for suite in ElementTree.parse(path).iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        skip = int(suite.get("skipped"))
        passed += int(suite.get("tests")) - bad - skip
        failed += bad
        skipped += skip
    return passed, failed, skipped


def tried_again(logs, suite):
    """Where failed tests ran once more, that result counts; one that did not run then has failed."""
    passed, failed, skipped = junit(logs / f"{suite}.xml")
    again = logs / f"{suite}-again.xml"
    if failed and again.exists():
        now_passed, _, now_skipped = junit(again)
        passed, skipped, failed = passed + now_passed, skipped + now_skipped, failed - now_passed - now_skipped
    return passed, max(failed, 0), skipped


def e2e(logs, build):
    return tried_again(logs, "e2e")


def long(logs, build):
    return tuple(a + b for a, b in zip(unit(logs, build), junit(logs / "long.xml")))


def differential(logs, build):
    return tried_again(logs, "differential")


def conformance(logs, build):
    results = {}
    with open(logs / "conformance.json", encoding="utf-8") as log:
        for line in log:
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("Action") in ("pass", "fail", "skip") and "Test" in event:
                results[event["Package"] + " " + event["Test"]] = event["Action"]
    # A test with subtests only repeats what they say.
    leaves = [action for name, action in results.items()
              if not any(other.startswith(name + "/") for other in results)]
    return tuple(leaves.count(action) for action in ("pass", "fail", "skip"))


def vtc(logs, build):
    text = (logs / "vtc.log").read_text(encoding="utf-8", errors="replace")
    return tuple(len(re.findall(rf"^#\s+top\s+TEST \S+ {word}", text, re.M))
                 for word in ("passed", "(?:FAILED|TIMED OUT|exited)", "skipped"))


def main():
    suite, logs, build, status = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    try:
        passed, failed, skipped = globals()[suite](logs, build)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        print(f"{suite}: no results: {error}", file=sys.stderr)
        passed, failed, skipped = 0, 1, 0
    if status != 0 and failed == 0:
        failed = 1
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
