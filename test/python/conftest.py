"""A relay process of its own, with a scripted upstream behind it."""

import json
import os
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHAPES = json.loads((ROOT / "fixtures" / "shapes.json").read_text(encoding="utf-8"))
KEY = "sk-python-tests-0123456789abcdefghij"
START_SECONDS = 20


class Relay(NamedTuple):
    url: str
    key: str


def free_port() -> int:
    """A port below those that the system gives to outgoing connections."""
    while True:
        port = random.randint(20_000, 31_999)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def process(arguments: list[str], **settings: object) -> Iterator[str]:
    """Runs a program of the checkout until the block ends; tells what it said after `listening on `."""
    running = subprocess.Popen(
        ["node", *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **settings
    )
    try:
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            found = re.search(r"listening on (\S+)", line)
            if found is not None:
                yield found[1]
                return
        pytest.fail(f"{arguments[0]} ended before it listened:\n{said}")
    finally:
        running.terminate()
        # Reads what is still in the pipe, so that the process cannot hang on it.
        running.communicate(timeout=START_SECONDS)


def config(port: int) -> dict[str, object]:
    upstream = {
        "provider": "openai-compatible",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "api_key": "sk-upstream-secret",
    }
    names = [shape["name"] for shape in SHAPES] + ["hello", "line-separators", "tools", "bad-request", "broken", "endless"]
    models = {name: {"upstreams": [{"upstream": "shapes"}]} for name in names}
    # An upstream of its own: while one that asked for patience rests, its other models rest too.
    models["throttled"] = {"upstreams": [{"upstream": "throttled"}]}
    return {"upstreams": {"shapes": upstream, "throttled": upstream}, "models": models}


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("relay")
    with process(["packages/relay/test/sdk/shape-upstream.ts"]) as upstream_port:
        file = folder / "millrace.json"
        file.write_text(json.dumps(config(int(upstream_port))), encoding="utf-8")
        serve = ["packages/relay/bin/millrace.js", "serve", "--config", str(file), "--data", str(folder / "data")]
        environment = {**os.environ, "MILLRACE_KEY": KEY, "MILLRACE_LOG_LEVEL": "error"}
        with process([*serve, "--port", str(free_port())], env=environment) as url:
            yield Relay(url, KEY)
