"""tidy.py BUILD: clang-tidy over every file of src/ that the build in BUILD compiles.

A file that passed is not looked at again until its text, what it includes or .clang-tidy changes. A file
of src/ that the build does not compile is an error too: nothing else would notice.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PASSED = TOP / "build/tidy"


def key(entry, source):
    command = shlex.split(entry["command"])
    for flag in ("-o", "-MF", "-MQ"):
        at = command.index(flag)
        del command[at:at + 2]
    command = [word for word in command if word not in ("-c", "-MD")]
    text = subprocess.run(command + ["-E"], cwd=entry["directory"], check=True, stdout=subprocess.PIPE).stdout
    parts = (text, source.read_bytes(), (TOP / ".clang-tidy").read_bytes(), entry["command"].encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def tidy(build, entry, source):
    """The findings, as text; empty if there are none."""
    stamp = PASSED / key(entry, source)
    if stamp.exists():
        return ""
    run = subprocess.run(["clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option", "-p", build, str(source)], cwd=TOP, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode == 0:
        stamp.touch()
        return ""
    found = run.stdout or run.stderr
    return re.sub(r"^\S*/((?:src|include)/\S+:\d+)", r"\1", found, flags=re.M)


def main():
    build = sys.argv[1]
    PASSED.mkdir(parents=True, exist_ok=True)
    entries = {}
    for entry in json.loads((TOP / build / "compile_commands.json").read_text(encoding="utf-8")):
        path = Path(os.path.normpath(Path(entry["directory"]) / entry["file"]))
        entries[path] = entry
    failed = False
    sources = sorted(p for p in (TOP / "src").rglob("*") if p.suffix in (".c", ".cc"))
    for source in sources:
        if source not in entries:
            failed = True
            print(f"{source.relative_to(TOP)}:1: is not compiled; name it in its folder's meson.build")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(tidy, build, entries[s], s) for s in sources if s in entries]
        for job in jobs:
            if job.result():
                failed = True
                print(job.result(), end="")
    return failed


if __name__ == "__main__":
    sys.exit(main())
