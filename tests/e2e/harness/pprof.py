"""Reads profiles in pprof's format (profile.proto), all fields that weir writes, strictly."""

import gzip
import os
import shutil
import subprocess

from .guests import REPOSITORY

VARINT, BYTES = 0, 2
GO_TIMEOUT_S = 300


def _varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data):
    at, fields = 0, []
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == VARINT:
            value, at = _varint(data, at)
        else:
            assert key & 7 == BYTES, f"wire type {key & 7}"
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "cut off"
        fields.append((key >> 3, value))
    return fields


def _packed(data):
    at, values = 0, []
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


class Sample:
    """`stack` is of names of functions, the innermost first."""

    def __init__(self, stack, values, labels):
        self.stack, self.values, self.labels = stack, values, labels


class Profile:
    def __init__(self, body):
        fields = _fields(gzip.decompress(body))
        texts = [value.decode() for field, value in fields if field == 6]
        assert texts[0] == ""
        of = lambda number: [dict(_fields(value)) for field, value in fields if field == number]
        self.types = [(texts[each[1]], texts[each[2]]) for each in of(1)]
        functions = {each[1]: (texts[each[2]], texts[each.get(4, 0)]) for each in of(5)}
        locations = {}
        for each in of(4):
            assert each[2] == 1 and each[1] not in locations
            locations[each[1]] = functions[dict(_fields(each[4]))[1]]
        self.files = dict(locations.values())
        numbers = {field: value for field, value in fields if field in (9, 10, 12)}
        self.time_ns, self.duration_ns, self.period = (numbers.get(field, 0) for field in (9, 10, 12))
        self.samples = []
        for value in (value for field, value in fields if field == 2):
            labels = {}
            for field, inner in _fields(value):
                if field == 3:
                    label = dict(_fields(inner))
                    labels[texts[label[1]]] = texts[label[2]]
            parts = dict((field, inner) for field, inner in _fields(value) if field != 3)
            sample = Sample([locations[number][0] for number in _packed(parts[1])], _packed(parts[2]), labels)
            assert len(sample.values) == len(self.types)
            self.samples.append(sample)

    def total(self, value, keep=lambda sample: True):
        return sum(sample.values[value] for sample in self.samples if keep(sample))


def go_pprof(directory, body, *arguments):
    """What `go tool pprof` makes of it, or None where there is no Go."""
    go = os.environ.get("GO") or shutil.which("go") or str(REPOSITORY / "build/venv/bin/go")
    if not os.path.exists(go):
        return None
    path = directory / "profile.pb.gz"
    path.write_bytes(body)
    done = subprocess.run([go, "tool", "pprof", *arguments, str(path)], capture_output=True, text=True, timeout=GO_TIMEOUT_S,
                          env=os.environ | {"PPROF_TMPDIR": str(directory)})
    assert done.returncode == 0, done.stderr
    return done.stdout
