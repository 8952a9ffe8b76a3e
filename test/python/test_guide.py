"""The guide's own Python programs (seed.txt), their habits kept, with httpx and with sseclient-py."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sseclient
from conftest import SHAPES, Relay
from judge import judge

# They take the first choice of each event without asking if there is one: an error of their own, and a loud one.
WITHOUT_FIRST_CHOICE = {"no-choices-first", "s-azure-first"}
one_choice = [shape for shape in SHAPES if shape["choicesAsked"] == 1]
every_shape = pytest.mark.parametrize("shape", one_choice, ids=[shape["row"] for shape in one_choice])


def headers(relay: Relay) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {relay.key.strip()}",
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
    }


def payload(model: str) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": "You are a helpful AI assistant."},
        {"role": "user", "content": "Explain quantum computing in simple terms."},
    ]
    return {"model": model, "messages": messages, "max_tokens": 1500, "temperature": 0.7, "stream": True}


def content_of(data: str) -> str:
    try:
        event = json.loads(data)
    except json.JSONDecodeError:
        return ""
    return event.get("choices", [{}])[0].get("delta", {}).get("content", "") or ""


def by_lines(relay: Relay, model: str) -> Iterator[str]:
    """Lines that begin with `data: ` count, all others are passed over."""
    url = f"{relay.url}/v1/chat/completions"
    with httpx.Client(timeout=httpx.Timeout(60.0, connect=10.0), trust_env=False) as client:
        with client.stream("POST", url, headers=headers(relay), json=payload(model)) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if not line.startswith("data: "):
                    continue
                data = line[6:]
                if data == "[DONE]":
                    break
                yield content_of(data)


def by_buffered_lines(relay: Relay, model: str) -> Iterator[str]:
    """The guide's cure for half events: lines are gathered until they make JSON."""
    url = f"{relay.url}/v1/chat/completions"
    waiting = ""
    with httpx.Client(timeout=httpx.Timeout(120.0, connect=15.0), trust_env=False) as client:
        with client.stream("POST", url, headers=headers(relay), json=payload(model)) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if not line:
                    continue
                line = line.removeprefix("data: ")
                if line == "[DONE]":
                    break
                waiting += line
                try:
                    json.loads(waiting)
                except json.JSONDecodeError:
                    continue
                yield content_of(waiting)
                waiting = ""


def by_sseclient(relay: Relay, model: str) -> Iterator[str]:
    url = f"{relay.url}/v1/chat/completions"
    with httpx.Client(timeout=60, trust_env=False) as client:
        with client.stream("POST", url, headers=headers(relay), json=payload(model)) as response:
            response.raise_for_status()
            for event in sseclient.SSEClient(response.iter_bytes()).events():
                if event.data == "[DONE]":
                    break
                yield content_of(event.data)


programs = pytest.mark.parametrize("program", [by_lines, by_buffered_lines, by_sseclient])


@programs
def test_the_guides_program_gets_the_whole_text(relay: Relay, program: Any) -> None:
    assert "".join(program(relay, "hello")) == "Héllo wörld, 你好 🙂"


@programs
@every_shape
def test_the_guides_program_gets_all_or_an_error(relay: Relay, program: Any, shape: dict[str, Any]) -> None:
    def read() -> list[dict[str, Any]]:
        # It reads text and nothing else, so the rest of the answer is taken as given.
        text = "".join(program(relay, shape["name"]))
        return [{**shape["answer"][0], "text": text}]

    expectation = "either" if shape["name"] in WITHOUT_FIRST_CHOICE else shape["expect"]
    judge(shape, read, expectation, keeps_code=False)


def test_the_guides_check_of_a_key_tells_a_good_one_from_a_bad_one(relay: Relay) -> None:
    def is_good(key: str) -> bool:
        return httpx.get(f"{relay.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False).is_success

    assert is_good(relay.key)
    assert not is_good(relay.key[:-1] + "0")
