"""count_tests.py SUITE LOGS BUILD STATUS: prints "PASSED FAILED SKIPPED" of a suite that scripts/test ran, then
a line for each test that failed, with the reason where it is known.

Each suite leaves its results in a form of its own. A suite that ended with a status other than 0 has at
least one failure, whatever it left.
"""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

REASON_LETTERS = 160


def with_reason(name, text):
    """The first line of `text` says why."""
    lines = (text or "").strip().splitlines()
    return f"{name}: {lines[0][:REASON_LETTERS]}" if lines else name


def unit(logs, build):
    """cmocka's lines, of each program; one that ended otherwise has a failure too."""
    results = []
    with open(build / "meson-logs/testlog.json", encoding="utf-8") as log:
        for line in log:
            program = json.loads(line)
            name, status = program["name"].split(" / ")[-1], program["returncode"]
            output = program.get("stdout", "") + program.get("stderr", "")
            bad = sorted(set(re.findall(r"^\[  FAILED  \] (?!\d+ test)(\w+)", output, re.M)))
            results += [("pass", name, "")] * len(re.findall(r"^\[       OK \]", output, re.M))
            results += [("skip", name, "")] * len(set(re.findall(r"^\[  SKIPPED \] (\w+)", output, re.M)))
            results += [("fail", f"{name} {test}", "") for test in bad]
            if status != 0 and not bad:
                last = program.get("stderr", "").strip().splitlines()[-1:]
                results.append(("fail", name, "".join([f"ended with {status}", *(f", {text}" for text in last)])))
    return results


def junit(path):
    results = []
    for test in ElementTree.parse(path).iter("testcase"):
        bad = [kind for kind in ("failure", "error") if test.find(kind) is not None]
        result = "fail" if bad else "skip" if test.find("skipped") is not None else "pass"
        name = ".".join(part for part in (test.get("classname", "").split(".")[-1], test.get("name")) if part)
        results.append((result, name, test.find(bad[0]).get("message") if bad else ""))
    return results


def tried_again(logs, suite):
    """Where failed tests ran once more, that result counts; one that did not run then has failed."""
    results = junit(logs / f"{suite}.xml")
    again = logs / f"{suite}-again.xml"
    if again.exists():
        now = {name: (result, name, reason) for result, name, reason in junit(again)}
        results = [now.get(row[1], row) if row[0] == "fail" else row for row in results]
    return results


def e2e(logs, build):
    return tried_again(logs, "e2e")


def long(logs, build):
    return unit(logs, build) + junit(logs / "long.xml")


def differential(logs, build):
    return tried_again(logs, "differential")


def conformance(logs, build):
    results = {}
    with open(logs / "conformance.json", encoding="utf-8") as log:
        for line in log:
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("Action") in ("pass", "fail", "skip") and "Test" in event:
                results[event["Package"].split("/")[-1] + " " + event["Test"]] = event["Action"]
    # A test with subtests only repeats what they say.
    return [(action, name, "") for name, action in results.items()
            if not any(other.startswith(name + "/") for other in results)]


def vtc(logs, build):
    text = (logs / "vtc.log").read_text(encoding="utf-8", errors="replace")
    actions = {"passed": "pass", "skipped": "skip"}
    return [(actions.get(word, "fail"), name.split("/")[-1], word)
            for name, word in re.findall(r"^#\s+top\s+TEST (\S+) (passed|FAILED|TIMED OUT|exited|skipped)", text, re.M)]


def main():
    suite, logs, build, status = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    try:
        results = globals()[suite](logs, build)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        results = [("fail", "no results", str(error))]
    if status != 0 and all(result != "fail" for result, _, _ in results):
        results.append(("fail", "all of it", f"ended with {status}"))
    print(*(sum(row[0] == result for row in results) for result in ("pass", "fail", "skip")))
    for result, name, reason in results:
        if result == "fail":
            print(with_reason(name, reason))


if __name__ == "__main__":
    main()
