"""What a client made of a shape, and whether that is right: the whole answer or an error, never a part as the whole."""

from collections.abc import Callable
from typing import Any

Choice = dict[str, Any]


class ChunkFold:
    """Joins chunks the way programs without a helper do: nothing is forgiven."""

    def __init__(self) -> None:
        self.choices: list[Choice] = []

    def push(self, chunk: Any) -> None:
        for each in chunk.choices:
            while len(self.choices) <= each.index:
                self.choices.append({"text": "", "reasoning": "", "tools": [], "finish": None})
            choice = self.choices[each.index]
            choice["text"] += each.delta.content or ""
            choice["reasoning"] += getattr(each.delta, "reasoning_content", None) or ""
            for piece in each.delta.tool_calls or []:
                while len(choice["tools"]) <= piece.index:
                    choice["tools"].append({"id": "", "name": "", "arguments": ""})
                call = choice["tools"][piece.index]
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
            choice["finish"] = each.finish_reason or choice["finish"]


def folded_message(choice: Any) -> Choice:
    message = choice.message
    calls = message.tool_calls or []
    return {
        "text": message.content or "",
        "reasoning": getattr(message, "reasoning_content", None) or "",
        "tools": [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in calls],
        "finish": choice.finish_reason,
    }


def judge(shape: dict[str, Any], run: Callable[[], list[Choice]], expectation: str, keeps_code: bool = True) -> None:
    try:
        choices = run()
    except AssertionError:
        raise
    except Exception as error:
        assert expectation != "whole", f"an error instead of the answer: {error!r}"
        if keeps_code and shape["code"] is not None:
            assert getattr(error, "code", None) == shape["code"], repr(error)
        return
    assert expectation != "error", f"a part of the answer as if it were all of it: {choices}"
    assert choices == shape["answer"]
