"""Every wire shape, through the relay, to openai-python."""

import asyncio
from typing import Any

import pytest
from conftest import SHAPES, Relay
from judge import ChunkFold, Choice, folded_message, judge
from openai import AsyncOpenAI, OpenAI

MESSAGES: Any = [{"role": "user", "content": "Say something."}]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=[shape["row"] for shape in SHAPES])


def asked(shape: dict[str, Any], model: str = "") -> dict[str, Any]:
    n = {} if shape["choicesAsked"] == 1 else {"n": shape["choicesAsked"]}
    return {"model": model or shape["name"], "messages": MESSAGES, **n}


@pytest.fixture(scope="module")
def client(relay: Relay) -> OpenAI:
    return OpenAI(base_url=f"{relay.url}/v1", api_key=relay.key, max_retries=0, timeout=10)


def read_chunks(client: OpenAI, request: dict[str, Any]) -> list[Choice]:
    fold = ChunkFold()
    for chunk in client.chat.completions.create(**request, stream=True):
        fold.push(chunk)
    return fold.choices


@every_shape
def test_chunk_by_chunk_it_is_the_whole_answer_or_an_error(client: OpenAI, shape: dict[str, Any]) -> None:
    judge(shape, lambda: read_chunks(client, asked(shape)), shape["expect"])


@every_shape
def test_so_it_is_when_the_model_is_addressed_at_its_upstream(client: OpenAI, shape: dict[str, Any]) -> None:
    judge(shape, lambda: read_chunks(client, asked(shape, f"shapes/{shape['name']}")), shape["expect"])


@every_shape
def test_so_it_is_for_the_asynchronous_client(relay: Relay, shape: dict[str, Any]) -> None:
    async def read() -> list[Choice]:
        fold = ChunkFold()
        async with AsyncOpenAI(base_url=f"{relay.url}/v1", api_key=relay.key, max_retries=0, timeout=10) as client:
            async for chunk in await client.chat.completions.create(**asked(shape), stream=True):
                fold.push(chunk)
        return fold.choices

    judge(shape, lambda: asyncio.run(read()), shape["expect"])


@every_shape
def test_so_it_is_for_the_helper_and_the_role_is_said_once(client: OpenAI, shape: dict[str, Any]) -> None:
    def read() -> list[Choice]:
        with client.chat.completions.stream(**asked(shape)) as stream:
            whole = stream.get_final_completion()
        assert {choice.message.role for choice in whole.choices} <= {"assistant", None}
        return [folded_message(choice) for choice in whole.choices]

    judge(shape, read, shape["helperExpect"])


@every_shape
def test_so_it_is_for_the_asynchronous_helper(relay: Relay, shape: dict[str, Any]) -> None:
    async def read() -> list[Choice]:
        async with AsyncOpenAI(base_url=f"{relay.url}/v1", api_key=relay.key, max_retries=0, timeout=10) as client:
            async with client.chat.completions.stream(**asked(shape)) as stream:
                whole = await stream.get_final_completion()
        return [folded_message(choice) for choice in whole.choices]

    judge(shape, lambda: asyncio.run(read()), shape["helperExpect"])
