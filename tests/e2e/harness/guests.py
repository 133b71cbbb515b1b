"""The test guests that the build made, and modules that are broken on purpose."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def guests_directory():
    if "WEIR_GUESTS" in os.environ:
        return Path(os.environ["WEIR_GUESTS"])
    proxy = Path(os.environ.get("WEIR", REPOSITORY / "build" / "weir")).resolve()
    found = [parent / "guests" for parent in proxy.parents if (parent / "guests" / "header.wasm").exists()]
    return found[0] if found else proxy.parent / "guests"


def guest(name):
    path = guests_directory() / f"{name}.wasm"
    if name == "go-header" and not path.exists():
        pytest.skip("the Go guest was not built: no Go >= 1.24")
    assert path.exists(), f"{path} is missing: build the guests"
    return path.read_bytes()


def _number(value):
    """Unsigned LEB128."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def _section(number, content):
    return bytes([number]) + _number(len(content)) + content


def module_without_memory():
    """Exports handle_request and handle_response but no memory."""
    types = b"\x02\x60\x00\x01\x7e\x60\x02\x7f\x7f\x00"
    functions = b"\x02\x00\x01"
    exports = b"\x02\x0ehandle_request\x00\x00\x0fhandle_response\x00\x01"
    code = b"\x02\x04\x00\x42\x01\x0b\x02\x00\x0b"
    return b"\0asm\x01\0\0\0" + _section(1, types) + _section(3, functions) + _section(7, exports) + _section(10, code)


def module_that_changes_tables():
    """A handler whose handle_request sets an element of its table: its state cannot be copied."""
    types = b"\x02\x60\x00\x01\x7e\x60\x02\x7f\x7f\x00"
    functions = b"\x02\x00\x01"
    table = b"\x01\x70\x00\x02"
    memory = b"\x01\x00\x01"
    exports = b"\x03\x06memory\x02\x00\x0ehandle_request\x00\x00\x0fhandle_response\x00\x01"
    code = b"\x02\x0a\x00\x41\x00\xd0\x70\x26\x00\x42\x01\x0b\x02\x00\x0b"
    sections = ((1, types), (3, functions), (4, table), (5, memory), (7, exports), (10, code))
    return b"\0asm\x01\0\0\0" + b"".join(_section(number, content) for number, content in sections)


def large_module(functions=1000, statements=250):
    """A plugin that passes every request on, with this much code that nobody calls: 3 MB."""
    types = b"\x03\x60\x00\x01\x7e\x60\x02\x7f\x7f\x00\x60\x01\x7f\x01\x7f"
    exports = b"\x03\x06memory\x02\x00\x0ehandle_request\x00\x00\x0fhandle_response\x00\x01"
    # local 0 = load32(local 0 + offset) * factor
    body = b"\x00" + b"".join(b"\x20\x00\x28\x02" + _number(i % 1000) + b"\x41" + bytes([i % 60]) + b"\x6c\x21\x00"
                             for i in range(statements)) + b"\x20\x00\x0b"
    code = b"\x04\x00\x42\x01\x0b\x02\x00\x0b" + functions * (_number(len(body)) + body)
    return (b"\0asm\x01\0\0\0" + _section(1, types) + _section(3, _number(functions + 2) + b"\x00\x01" + b"\x02" * functions) +
            _section(5, b"\x01\x00\x01") + _section(7, exports) + _section(10, _number(functions + 2) + code))


BURNING, CALLER = "burn_the_processor", "guest_with_names"


def burner(rounds=30_000_000):
    """Spends CPU time at each request, in a function whose name it tells (as compilers do unless told otherwise)."""
    def function(body):
        return _number(len(body)) + body

    def signed(value):
        out = bytearray()
        while not -64 <= value < 64:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes(out) + bytes([value & 127])

    def named(name):
        return _number(len(name)) + name.encode()

    types = b"\x03" + b"\x60\x00\x00" + b"\x60\x00\x01\x7e" + b"\x60\x02\x7f\x7f\x00"
    exports = b"\x03" + named("memory") + b"\x02\x00" + named("handle_request") + b"\x00\x01" + named("handle_response") + b"\x00\x02"
    burn = b"\x01\x01\x7f" + b"\x41" + signed(rounds) + b"\x21\x00" + b"\x03\x40" + b"\x20\x00\x41\x01\x6b\x22\x00\x0d\x00" + b"\x0b\x0b"
    codes = b"\x03" + function(burn) + function(b"\x00\x10\x00\x42\x01\x0b") + function(b"\x00\x0b")
    functions = b"\x02\x00" + named(BURNING) + b"\x01" + named(CALLER)
    names = named("name") + b"\x01" + _number(len(functions)) + functions
    return (b"\0asm\1\0\0\0" + _section(1, types) + _section(3, b"\x03\x00\x01\x02") + _section(5, b"\x01\x00\x01")
            + _section(7, exports) + _section(10, codes) + _section(0, names))
