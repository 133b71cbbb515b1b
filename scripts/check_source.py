"""check_source.py: the house rules that no other tool knows. CONTRIBUTING.md explains them.

Prints `file:line: what is wrong; how to mend it` for each finding and exits with 1 if there is one.
"""
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

# A folder may include from itself and from the folders after it.
FOLDERS = ["cli", "api", "observe", "provider", "proxy", "middleware", "config", "plugin", "http", "redis", "net", "core"]
# The plugin host knows nothing of the proxy around it; http is above net only by its position.
ONLY = {"plugin": {"core"}}
# Public headers are for the plugin host and up, but for the types that all share.
PUBLIC_FROM = "plugin"
PUBLIC_TYPES = "weir/types.h"

FUNCTION_LINES = 70
FILE_LINES = 600
TEST_FILE_LINES = 1000
LINE_COLUMNS = 100
TAB = 8

# Near the top of a file: /* exception: <function or "file"> <lines> lines: <reason> */
EXCEPTION = re.compile(r"/\* exception: (\w+) (\d+) lines: \S.*")

CODE = (".c", ".h", ".cc", ".hh")


class Findings:
    def __init__(self):
        self.count = 0

    def add(self, path, line, text):
        self.count += 1
        print(f"{path}:{line}: {text}")


def tracked_files():
    """What is committed or would be: no ignored files."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP,
                            check=True, stdout=subprocess.PIPE).stdout
    names = sorted(set(name for name in listed.decode().split("\0") if name))
    return [Path(name) for name in names if (TOP / name).is_file()]


def check_dependencies(path, lines, findings):
    """Includes of src/ point downwards."""
    if path.parts[0] != "src" or len(path.parts) < 3 or path.suffix not in CODE:
        return
    folder = path.parts[1]
    if folder not in FOLDERS:
        findings.add(path, 1, f"unknown folder src/{folder}; give it a place in FOLDERS of scripts/check_source.py")
        return
    allowed = ONLY.get(folder, set(FOLDERS[FOLDERS.index(folder) + 1:])) | {folder}
    for number, line in enumerate(lines, 1):
        include = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not include:
            continue
        target = include[1].split("/")[0]
        if "/" not in include[1]:
            findings.add(path, number, f'"{include[1]}" lacks its folder; write "{folder}/{include[1]}"')
        elif target == "weir":
            if include[1] != PUBLIC_TYPES and FOLDERS.index(folder) > FOLDERS.index(PUBLIC_FROM):
                findings.add(path, number, f"src/{folder} may not use {include[1]}; only {PUBLIC_TYPES}, or move the "
                             f"code to src/{PUBLIC_FROM} or above")
        elif target not in allowed:
            findings.add(path, number, f"src/{folder} may not use src/{target} (only {', '.join(sorted(allowed))}); "
                         f"move the interface down or turn the call around")


def functions(lines):
    """(name, first line, last line) of each function: its braces stand in column 1."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number - 1
            while start > 1 and lines[start - 1][:1] in ("\t", " "):
                start -= 1
            if re.match(r"(namespace|extern)\b", lines[start - 1]):
                start = None
        elif line == "}" and start:
            name = re.search(r"(\w+)\(", " ".join(lines[start - 1:start + 1]))
            yield (name[1] if name else "?"), start, number
            start = None


def exceptions(lines):
    return {found[1]: int(found[2]) for found in map(EXCEPTION.search, lines[:40]) if found}


def check_sizes(path, lines, findings):
    if path.suffix not in CODE:
        return
    allowed = exceptions(lines)
    mend = "split it, or state '/* exception: {} {} lines: <reason> */' at the top of the file"
    limit = allowed.pop("file", TEST_FILE_LINES if path.parts[0] == "tests" else FILE_LINES)
    if len(lines) > limit:
        findings.add(path, limit, f"the file has {len(lines)} lines, expected at most {limit}; "
                     + mend.format("file", len(lines)))
    for name, first, last in functions(lines):
        size = last - first + 1
        limit = allowed.pop(name, FUNCTION_LINES)
        if size > limit:
            findings.add(path, first, f"{name} has {size} lines, expected at most {limit}; " + mend.format(name, size))
    for name in allowed:
        findings.add(path, 1, f"the exception for {name} names no function of this file; remove it")


WORDS = [
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "an intention is not code; do it or file an issue"),
    (re.compile(r"(^|[\s\"'=(`])/(home/\w|root/|work/\w|tmp/\w+/build)"), "a path of one machine; find it at run time"),
]
CODE_WORDS = [
    (re.compile(r"^\s*typedef\s+(struct|union|enum)\b(?!.*\bslice;)"), "a typedef hides what it is; write struct x"),
    (re.compile(r"^\s*(/\*|\*|//).*([-=*#~/_+])\2{4}"), "a banner; a plain sentence or another file says it"),
    (re.compile(r"^\s*(/\*|//)\s*(end of|end)\s+\w+\s*(\*/)?$", re.I), "a comment that repeats the code; remove it"),
]


def check_words(path, lines, findings):
    if path.name == Path(__file__).name or path.name == "LICENSE":
        return
    patterns = (WORDS if path.suffix != ".md" else []) + (CODE_WORDS if path.suffix in CODE else [])
    for number, line in enumerate(lines, 1):
        for pattern, why in patterns:
            found = pattern.search(line)
            if found:
                findings.add(path, number, f"found '{found[0].strip()}': {why}")
        if line != line.rstrip() and path.suffix not in (".md", ".vtc"):
            findings.add(path, number, "white space at the end of the line; scripts/format removes it")
        if path.suffix in CODE and len(line.expandtabs(TAB)) > LINE_COLUMNS:
            findings.add(path, number, f"{len(line.expandtabs(TAB))} columns, expected at most {LINE_COLUMNS}; "
                         "break the line")


PROTOTYPE = re.compile(r"^(?!typedef|static|_Static_assert|extern \"|return|#|struct \w+;|enum \w+;|union \w+;)[A-Za-z_].*\w\(")


def check_documentation(path, lines, findings):
    """Each exported function, or group of them without blank lines, has a comment above."""
    if path.suffix not in (".h", ".hh") or path.parts[0] not in ("src", "include"):
        return
    depth = 0
    covered = False
    for number, line in enumerate(lines, 1):
        outside, depth = depth == 0, depth + line.count("{") - line.count("}")
        if line.startswith('extern "C" {'):
            depth -= 1
        if line.rstrip().endswith("*/") or line == "":
            covered = line != ""
        elif outside and PROTOTYPE.match(line) and not covered:
            if "{" not in " ".join(lines[number - 1:]).split(";")[0]:
                name = re.search(r"(\w+)\(", line)[1]
                findings.add(path, number, f"{name} has no comment; say above it what it does, who owns what, errors")


def check_file(path, findings):
    data = (TOP / path).read_bytes()
    if b"\0" in data:
        if path.suffix not in (".png", ".ico", ".woff2") and "corpus" not in path.parts:
            findings.add(path, 1, "a binary file; build it from its source instead")
        return
    if "corpus" in path.parts:
        return
    text = data.decode("utf-8", errors="replace")
    lines = text.split("\n")
    if text and lines.pop() != "":
        findings.add(path, len(lines) + 1, "the last line does not end; add a newline")
    for check in (check_dependencies, check_sizes, check_words, check_documentation):
        check(path, lines, findings)


LIMITS_TABLE, LIMITS_PAGE = Path("docs/reference/weir.md"), Path("docs/operations.md")


def check_limits(reference, page, findings):
    """The operators' list of limits names each option, and none that is not there."""
    there, named = (set(re.findall(r"weir\.limits\.\w+", text)) for text in (reference, page))
    for name in sorted(there - named):
        findings.add(LIMITS_PAGE, 1, f"{name} is missing; add a row to the table of limits")
    for name in sorted(named - there):
        findings.add(LIMITS_PAGE, 1, f"{name} is no option; docs/reference/weir.md lists them")


def main():
    findings = Findings()
    check_limits((TOP / LIMITS_TABLE).read_text(encoding="utf-8"), (TOP / LIMITS_PAGE).read_text(encoding="utf-8"), findings)
    for path in tracked_files():
        check_file(path, findings)
    return findings.count > 0


if __name__ == "__main__":
    sys.exit(main())
