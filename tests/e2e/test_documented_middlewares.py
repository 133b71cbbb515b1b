"""Each middleware has its page, and what the page shows is what weir takes."""

import json
import re
from pathlib import Path

import pytest

from harness.certificates import Authority
from harness.ports import free_port
from harness.proxy import run_command, servers

pytestmark = pytest.mark.differs("weir's own pages")

TOP = Path(__file__).resolve().parents[2]
PAGES = TOP / "docs" / "middlewares"
# Plugins have a page of their own; the other one is the old name of ipAllowList.
ELSEWHERE = {"plugin", "ipWhiteList"}


def examples():
    for page in sorted(PAGES.glob("*.md")):
        if page.stem != "index":
            for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)):
                yield pytest.param(page.stem, text, id=f"{page.stem}-{number}")


def test_each_has_a_page_and_a_row():
    classes = set(re.findall(r'^\s*X\("(\w+)"', (TOP / "src/middleware/classes.h").read_text(), re.M)) - ELSEWHERE | {"chain"}
    assert {page.stem for page in PAGES.glob("*.md")} == classes | {"index"}
    assert set(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \|", (PAGES / "index.md").read_text(), re.M)) == classes


@pytest.mark.parametrize("kind, text", list(examples()))
def test_examples(tmp_path, kind, text):
    """`weir check` takes the example, with a router for each of its middlewares, so that all of them are made."""
    directory = tmp_path / "dynamic"
    directory.mkdir()
    Authority(tmp_path / "weir", "redis-ca")
    (tmp_path / "weir" / "htpasswd").write_text("me:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\n")
    (tmp_path / "weir" / "htdigest").write_text("me:traefik:a2688e031edb4be6a3797f3882655c05\n")
    # There is no plugin here.
    text = text.replace("/etc/weir", str(tmp_path / "weir")).replace("{ plugin: { demo: {} } }", "{ headers: { frameDeny: true } }")
    names = re.findall(r"^    ([\w-]+):", text.partition("  middlewares:\n")[2], re.M)
    assert names and re.search(rf"\b{kind}\b", text)
    (directory / "example.yml").write_text(text)
    routers = {f"uses-{name}": {"rule": f"Host(`{name}.test`)", "service": "doc", "middlewares": [name]} for name in names}
    (directory / "rest.yml").write_text(json.dumps({"http": {"routers": routers, "services": {
        name: servers("http://127.0.0.1:1") for name in ("doc", "pages", "api")}}}))
    (tmp_path / "static.yml").write_text(json.dumps({
        "entryPoints": {"web": {"address": f"127.0.0.1:{free_port()}"}}, "providers": {"file": {"directory": str(directory)}}}))
    code, output = run_command(tmp_path, "check", "--configFile=static.yml")
    assert code == 0 and kind in output, output
