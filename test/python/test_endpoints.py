"""What openai-python does besides streams, and what it makes of refusals."""

import asyncio
import time
from typing import Any

import openai
import pytest
from conftest import Relay
from openai import AsyncOpenAI, OpenAI

MESSAGES: Any = [{"role": "user", "content": "Say something."}]
TEXT = "Héllo wörld, 你好 🙂"


def make(relay: Relay, key: str = "", max_retries: int = 0) -> OpenAI:
    return OpenAI(base_url=f"{relay.url}/v1", api_key=key or relay.key, max_retries=max_retries, timeout=10)


def test_the_text_is_the_same_streamed_and_plain(relay: Relay) -> None:
    client = make(relay)
    plain = client.chat.completions.create(model="hello", messages=MESSAGES)
    streamed = client.chat.completions.create(model="hello", messages=MESSAGES, stream=True)
    assert plain.choices[0].message.content == TEXT
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == TEXT
    assert plain.usage is not None and plain.usage.total_tokens > 1
    assert plain._request_id


def test_characters_that_end_lines_elsewhere_arrive_as_they_are(relay: Relay) -> None:
    streamed = make(relay).chat.completions.create(model="line-separators", messages=MESSAGES, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "a\u2028b\u2029c\u0085d"


def test_usage_comes_as_a_chunk_without_choices_when_it_is_asked_for(relay: Relay) -> None:
    options: Any = {"include_usage": True}
    chunks = list(make(relay).chat.completions.create(model="hello", messages=MESSAGES, stream=True, stream_options=options))
    assert chunks[-1].choices == [] and chunks[-1].usage is not None


def test_tool_calls_arrive_whole(relay: Relay) -> None:
    client = make(relay)
    with client.chat.completions.stream(model="tools", messages=MESSAGES) as stream:
        streamed = stream.get_final_completion()
    plain = client.chat.completions.create(model="tools", messages=MESSAGES)
    for whole in (streamed, plain):
        (call,) = whole.choices[0].message.tool_calls or []
        assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", '{"city":"Bern"}')


def test_embeddings_are_vectors(relay: Relay) -> None:
    answer = make(relay).embeddings.create(model="hello", input=["a", "b"])
    assert [each.index for each in answer.data] == [0, 1]
    assert sum(x * x for x in answer.data[0].embedding) == pytest.approx(1, abs=1e-4)


def test_models_are_listed_and_found(relay: Relay) -> None:
    client = make(relay)
    assert "hello" in [model.id for model in client.models.list()]
    assert client.models.retrieve("hello").id == "hello"


def test_a_wrong_key_is_an_authentication_error(relay: Relay) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        make(relay, key="sk-" + "0" * 40).chat.completions.create(model="hello", messages=MESSAGES, stream=True)
    assert raised.value.code == "key_invalid"


def test_an_unknown_model_is_not_found_and_close_names_are_told(relay: Relay) -> None:
    with pytest.raises(openai.NotFoundError, match="hello") as raised:
        make(relay).chat.completions.create(model="helo", messages=MESSAGES)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


def test_a_refused_request_is_a_bad_request(relay: Relay) -> None:
    with pytest.raises(openai.BadRequestError):
        make(relay, max_retries=2).chat.completions.create(model="bad-request", messages=MESSAGES)


def test_a_throttled_upstream_is_a_rate_limit_error_that_says_how_long(relay: Relay) -> None:
    for is_stream in (True, False):
        with pytest.raises(openai.RateLimitError) as raised:
            make(relay).chat.completions.create(model="throttled", messages=MESSAGES, stream=is_stream)
        assert raised.value.code == "rate_limited"
        assert raised.value.response.headers["retry-after"] == "1"


def test_a_client_that_retries_waits_as_long_as_it_is_told(relay: Relay) -> None:
    started = time.monotonic()
    with pytest.raises(openai.RateLimitError):
        make(relay, max_retries=1).chat.completions.create(model="throttled", messages=MESSAGES)
    assert time.monotonic() - started > 0.9


def test_a_broken_upstream_is_a_server_error(relay: Relay) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        make(relay).chat.completions.create(model="broken", messages=MESSAGES)
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_failed")


def test_leaving_a_stream_leaves_the_client_usable(relay: Relay) -> None:
    client = make(relay)
    for _ in range(3):
        with client.chat.completions.create(model="endless", messages=MESSAGES, stream=True) as stream:
            assert next(iter(stream)).choices
    assert client.chat.completions.create(model="hello", messages=MESSAGES).choices[0].message.content == TEXT


def test_twenty_streams_at_once_keep_their_own_answers(relay: Relay) -> None:
    async def read(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="hello", messages=MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def read_all() -> list[str]:
        async with AsyncOpenAI(base_url=f"{relay.url}/v1", api_key=relay.key, max_retries=0) as client:
            return await asyncio.gather(*(read(client) for _ in range(20)))

    assert asyncio.run(read_all()) == [TEXT] * 20
