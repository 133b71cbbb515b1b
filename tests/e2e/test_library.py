"""libweir-plugin as others use it: installed below a directory, found by pkg-config, linked to a program of theirs."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.guests import REPOSITORY, guests_directory
from harness.proxy import sanitized

pytestmark = pytest.mark.skipif(sanitized(), reason="the library is not built with sanitizers")

BUILD = Path(os.environ.get("WEIR_BUILD", REPOSITORY / "build" / "release")).resolve()
PREFIX = "/opt/weir"
HEADERS = sorted((REPOSITORY / "include" / "weir").glob("*.h"))
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
# How a program can be linked: what becomes of the flags that pkg-config gives.
STATIC = {"shared": None, "static": "-l:libweir-plugin.a", "all-static": "-static -lweir-plugin"}


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("installed")
    run("make", "-s", "-C", REPOSITORY, "install", env={**os.environ, "BUILD": str(BUILD), "DESTDIR": str(root),
                                                        "PREFIX": PREFIX})
    return root


@pytest.fixture(scope="module")
def example(installed, tmp_path_factory):
    """The example, linked as asked: "shared", "static" or "all-static"."""
    directory = tmp_path_factory.mktemp("example")
    made = {}

    def make(linkage):
        if linkage not in made:
            made[linkage] = compile_with_library(installed, directory / linkage, linkage,
                                                 REPOSITORY / "examples" / "blocking_server.c", *STRICT)
        return made[linkage]

    return make


def library(installed):
    return installed / PREFIX[1:] / "lib"


def pkg_config(installed, *arguments):
    return run("pkg-config", *arguments, "weir-plugin",
               env={**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(installed),
                    "PKG_CONFIG_PATH": str(library(installed) / "pkgconfig")}).split()


def compile_with_library(installed, out, linkage, *arguments):
    flags = pkg_config(installed, "--cflags", "--libs", *(["--static"] if STATIC[linkage] else []))
    if STATIC[linkage]:
        at = flags.index("-lweir-plugin")
        flags[at:at + 1] = STATIC[linkage].split()
    run("cc", *arguments, "-o", out, *flags)
    return out


def prototypes():
    """The functions that the public headers declare."""
    text = "".join(header.read_text() for header in HEADERS)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"^[a-z][\w *]*\b(weir_\w+)\(", text, re.M))


def globals_of(file, *options):
    """Names of defined global symbols with their type letters."""
    lines = [line.split() for line in run("nm", "--defined-only", "--extern-only", *options, file).splitlines()]
    return {words[2]: words[1] for words in lines if len(words) == 3}


def test_prototypes_are_found():
    assert {"weir_host_create", "weir_cause_text", "weir_exchange_begin", "weir_version"} <= prototypes()
    assert "weir_exchange_step" in prototypes() and len(prototypes()) >= 30


def test_shared_library_exports_what_the_headers_declare(installed):
    names = globals_of(library(installed) / "libweir-plugin.so.0", "--dynamic")
    assert names.pop("WEIR_0.1") == "A"
    assert names == {f"{name}@@WEIR_0.1": "T" for name in prototypes()}


def test_static_library_defines_what_the_headers_declare(installed):
    assert globals_of(library(installed) / "libweir-plugin.a") == dict.fromkeys(prototypes(), "T")


def test_shared_library_needs_the_system_only(installed):
    dynamic = run("readelf", "--dynamic", "--wide", library(installed) / "libweir-plugin.so")
    assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) == ["libweir-plugin.so.0"]
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert {name for name in needed if not name.startswith("ld-linux")} <= {"libc.so.6", "libgcc_s.so.1", "libm.so.6"}


def test_installed_files(installed):
    version = pkg_config(installed, "--modversion")[0]
    assert f'#define WEIR_VERSION "{version}"' in (installed / PREFIX[1:] / "include/weir/plugin.h").read_text()
    assert os.readlink(library(installed) / "libweir-plugin.so") == "libweir-plugin.so.0"
    assert os.readlink(library(installed) / "libweir-plugin.so.0") == f"libweir-plugin.so.{version}"
    assert "-lm" not in pkg_config(installed, "--libs")
    assert {"-lweir-plugin", "-lm", "-ldl", "-lpthread"} <= set(pkg_config(installed, "--libs", "--static"))


def test_another_place_for_libraries(tmp_path):
    run("make", "-s", "-C", REPOSITORY, "install", "LIBDIR=/usr/lib64",
        env={**os.environ, "BUILD": str(BUILD), "DESTDIR": str(tmp_path), "PREFIX": "/usr"})
    description = (tmp_path / "usr/lib64/pkgconfig/weir-plugin.pc").read_text()
    assert "libdir=/usr/lib64\n" in description and "prefix=/usr\n" in description
    assert (tmp_path / "usr/lib64/libweir-plugin.so.0").exists() and (tmp_path / "usr/include/weir/types.h").exists()


def test_nothing_is_installed_that_was_not_built(tmp_path):
    done = subprocess.run(["make", "-s", "-C", str(REPOSITORY), "install"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "BUILD": str(tmp_path / "none"), "DESTDIR": str(tmp_path / "root")})
    assert done.returncode != 0 and "run make first" in done.stderr
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("compiler, standard", [
    (compiler, standard) for compilers, standards in [
        (("gcc", "clang"), ("c99", "c11", "c17", "gnu17")), (("g++", "clang++"), ("c++17", "c++20"))]
    for compiler in compilers for standard in standards])
def test_headers_compile_alone(installed, tmp_path, compiler, standard):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    for header in HEADERS:
        source = tmp_path / ("only.cc" if "++" in compiler else "only.c")
        source.write_text(f"#include <weir/{header.name}>\nint main(void) {{ return 0; }}\n")
        run(compiler, f"-std={standard}", *STRICT, "-fsyntax-only", f"-I{installed}{PREFIX}/include", source)


def calm_addresses():
    command = ["setarch", "-R"]
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else []


class Server:
    """A running example. Leaving the `with` stops it and checks that nothing is left of its instances."""

    def __init__(self, installed, program, guest, configuration="", calm=False):
        """`calm`: for AddressSanitizer, which finds no room for its shadow when addresses are very random."""
        self.process = subprocess.Popen(
            [*(calm_addresses() if calm else []), program, "0", guests_directory() / f"{guest}.wasm", configuration],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={
                **os.environ, "LD_LIBRARY_PATH": str(library(installed)),
                "ASAN_OPTIONS": "allow_user_segv_handler=1:detect_stack_use_after_return=0"})
        self.line = self.process.stdout.readline()

    def __enter__(self):
        if not self.line.startswith("http://"):
            pytest.fail(f"the example did not start: {self.process.communicate(timeout=60)}")
        self.address = self.line.strip().removeprefix("http://")
        return self

    def request(self, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    def __exit__(self, kind, *rest):
        self.process.send_signal(signal.SIGTERM)
        self.output, self.errors = self.process.communicate(timeout=60)
        if kind is None:
            assert self.process.returncode == 0, self.errors
            created, destroyed = re.search(r"(\d+) instances created, (\d+) destroyed", self.output).groups()
            assert created == destroyed and int(created) > 0


@pytest.mark.parametrize("linkage", STATIC)
def test_example_serves(installed, example, linkage):
    with Server(installed, example(linkage), "rewrite-buffered", '{"from":"cat","to":"mouse"}') as server:
        status, headers, body = server.request("POST", "/cats", b"a cat and a cat", {"X-A": "b"})
        assert (status, body) == (200, b"POST /mouses\na mouse and a mouse")
        assert headers["Content-Length"] == str(len(body))
        large = b"x" * 700_000 + b"cat"
        assert server.request("PUT", "/", large)[2] == b"PUT /\n" + large.replace(b"cat", b"mouse")
        assert server.request("HEAD", "/cat")[::2] == (200, b"")
    assert server.output.splitlines()[-1].startswith("3 exchanges, ")


def test_example_stops_where_the_plugin_does(installed, example):
    with Server(installed, example("shared"), "auth", '{"token":"secret"}') as server:
        status, headers, body = server.request("GET", "/", headers={"Authorization": "Bearer wrong"})
        assert (status, headers["WWW-Authenticate"], body) == (401, 'Bearer realm="test"', b"")
        status, headers, body = server.request("GET", "/a", headers={"Authorization": "Bearer secret"})
        assert (status, body) == (200, b"GET /a\n")


def test_example_survives_a_trap(installed, example):
    with Server(installed, example("shared"), "trap", '{"phase":"request"}') as server:
        for _ in range(3):
            status, headers, body = server.request("GET", "/evil")
            assert (status, headers["X-Guest-Secret"], body) == (500, None, b"")
        assert server.request("GET", "/")[0] == 200
    assert server.errors.count("failed: ") == 3


def test_example_hears_of_a_client_that_leaves(installed, example):
    """The plugin waits for a body that never comes to an end: its exchange fails, and the next one is served."""
    with Server(installed, example("shared"), "rewrite-buffered", '{"from":"cat","to":"mouse"}') as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\ncat")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(4096).startswith(b"HTTP/1.1 502 ")
        assert server.request("POST", "/", b"cat")[2] == b"POST /\nmouse"
    assert "failed: " in server.errors


def test_example_answers_bad_requests(installed, example):
    with Server(installed, example("shared"), "header", "{}") as server:
        assert server.request("POST", "/", headers={"Content-Length": "1048577"})[0] == 413
        assert server.request("GET", "/", headers={f"X-{n}": "" for n in range(101)})[0] == 431
        assert server.request("GET", "/", headers={"Transfer-Encoding": "chunked"})[0] == 501
        assert server.request("GET", "/", headers={"Content-Length": "-1"})[0] == 400
        assert server.request("GET", "/")[0] == 200


def test_example_says_why_a_plugin_does_not_start(installed, example):
    done = subprocess.run([example("shared"), "0", REPOSITORY / "README.md"], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "LD_LIBRARY_PATH": str(library(installed))})
    assert done.returncode == 1 and done.stderr.startswith('plugin "plugin": '), done.stderr


@pytest.mark.parametrize("linkage", STATIC)
def test_names_of_the_program_do_not_clash(installed, tmp_path, linkage):
    """The program defines functions with the names of those inside of the library, which must not call them."""
    names = {"wasm_engine_new_with_config", "wasm_config_new", "wasmtime_store_new", "wasmtime_func_call_async",
             "rust_eh_personality"}
    for archive in ["core/libcore.a", "plugin/libplugin.a"]:
        names |= set(globals_of(BUILD / "src" / archive)) - prototypes()
    assert {"slice_trim", "arena_init", "engine_create"} <= names
    source = tmp_path / "clash.c"
    source.write_text("#include <stdlib.h>\n" + "".join(f"void {n}(void); void {n}(void) {{ abort(); }}\n"
                                                        for n in sorted(names)))
    program = compile_with_library(installed, tmp_path / "clash", linkage, "-rdynamic", source,
                                   REPOSITORY / "examples" / "blocking_server.c")
    with Server(installed, program, "auth", '{"token":"secret"}') as server:
        assert server.request("GET", "/")[0] == 401


def test_example_has_no_undefined_behaviour(installed, tmp_path):
    """The example itself with sanitizers, whose functions run on the stacks of plugins."""
    program = compile_with_library(installed, tmp_path / "sanitized", "static", "-g", "-fsanitize=address,undefined",
                                   "-fno-sanitize-recover=all", REPOSITORY / "examples" / "blocking_server.c")
    with Server(installed, program, "rewrite-buffered", '{"from":"cat","to":"mouse"}', calm=True) as server:
        assert server.request("POST", "/cats", b"a cat" * 1000)[2] == b"POST /mouses\n" + b"a mouse" * 1000
        host, port = server.address.split(":")
        for head in [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n: a\r\n\r\n", b"GET / HTTP/1.1\r\nA:\r\n\r\n",
                     b"GET / HTTP/1.1\r\nA\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000 + b"\r\n", b"G\0T / H\r\n\r\n"]:
            with socket.create_connection((host, int(port)), timeout=60) as client:
                client.sendall(head)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 431"), head
    assert "ERROR" not in server.errors and "runtime error" not in server.errors


@pytest.fixture(scope="module")
def embedder(installed, tmp_path_factory):
    """Runs tests/e2e/library/embedder.c with a guest and arguments."""
    program = compile_with_library(installed, tmp_path_factory.mktemp("embedder") / "embedder", "static", *STRICT,
                                   Path(__file__).parent / "library" / "embedder.c")
    return lambda guest, *arguments: subprocess.run(
        [program, guests_directory() / f"{guest}.wasm", *arguments], capture_output=True, text=True, timeout=120)


def test_program_is_its_own_compiler(embedder, tmp_path):
    first, second = (embedder("counter", "compile", tmp_path / "cache") for _ in range(2))
    assert (first.stdout, second.stdout) == ("compiled 1, from the cache 0\n", "compiled 0, from the cache 1\n"), first


def test_faults_of_the_program_reach_its_handler(embedder):
    assert embedder("counter", "fault").returncode == 42


def test_program_may_fork(embedder):
    done = embedder("counter", "fork")
    assert done.returncode == 0, done.stderr


def test_library_is_loaded_at_run_time(installed):
    script = f"""
import ctypes
weir = ctypes.CDLL({str(library(installed) / "libweir-plugin.so.0")!r})
weir.weir_version.restype = ctypes.c_char_p
host = ctypes.c_void_p()
assert weir.weir_host_create(ctypes.byref(host), None, None) == 0
weir.weir_host_destroy(ctypes.byref(host))
print(weir.weir_version().decode(), host.value)
"""
    assert run(sys.executable, "-c", script) == f"{pkg_config(installed, '--modversion')[0]} None\n"


def test_documentation_names_what_there_is():
    text = (REPOSITORY / "docs" / "embedding.md").read_text()
    known = "".join(header.read_text() for header in HEADERS) + (REPOSITORY / "src" / "plugin" / "weir-plugin.map").read_text()
    words = set(re.findall(r"\b(?:weir|WEIR)_\w+", text)) - {"weir_", "WEIR_"}
    steps = {f"WEIR_{name}" for name in re.findall(r"^\tX\((\w+), \"", known, re.M)}
    causes = {f"WEIR_CAUSE_{name}" for name in re.findall(r"^\tX\((\w+), \"", known, re.M)}
    assert len(words) > 30
    assert {word for word in words - steps - causes if not re.search(rf"\b{word}\b", known)} == set()
