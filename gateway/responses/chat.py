"""A Responses request as a chat request. Pure; stored items come in as arguments.

Thoughts, text and calls that follow each other are one assistant turn in a chat. A call without
its output, and an output without its call, are refused: no model could go on from there.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from wire.errors import InvalidRequest
from wire.parsing import validate
from wire.requests import ChatRequest
from wire.responses_api import AllowedChoice, FunctionTool, NamedChoice, ResponsesRequest
from wire.responses_items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    MessageItem,
    Part,
    ReasoningItem,
    Refusal,
)

Turn = dict[str, Any]

# fields of one name and one meaning in both APIs
SAME = (
    *("model", "temperature", "top_p", "user", "safety_identifier", "prompt_cache_key"),
    *("service_tier", "adapters"),
)


def chat_of(request: ResponsesRequest, items: Sequence[Item]) -> ChatRequest:
    """What to ask for; ``items`` is the whole conversation. Only what the client set is set."""
    check_calls(items)
    found: dict[str, Any] = {"messages": messages_of(request.instructions, items)}
    found |= {name: getattr(request, name) for name in SAME}
    found |= _tools(request) | _text(request)
    found["max_completion_tokens"] = request.max_output_tokens
    found["reasoning_effort"] = request.reasoning.effort if request.reasoning else None
    if request.wants_logprobs:
        found |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.stream:
        found["stream"] = True
    return validate(ChatRequest, {k: v for k, v in found.items() if v is not None})


def messages_of(instructions: str | None, items: Iterable[Item]) -> list[Turn]:
    """The turns of a chat; instructions come first, as a system turn."""
    turns: list[Turn] = []
    if instructions is not None:
        turns.append({"role": "system", "content": instructions})
    answer: Turn | None = None  # the assistant turn that may still grow
    for item in items:
        if _is_answers(item):
            if answer is None or not _fits(answer, item):
                answer = {"role": "assistant"}
                turns.append(answer)
            _grow(answer, item)
            continue
        answer = None
        turns.append(_turn(item))
    for turn in turns:
        if "tool_calls" not in turn:
            turn.setdefault("content", "")
    return turns


def check_calls(items: Iterable[Item]) -> None:
    """Raises InvalidRequest for a call or an output that stands alone."""
    waiting: list[str] = []
    known: set[str] = set()
    for item in items:
        if isinstance(item, FunctionCallItem):
            waiting.append(item.call_id)
            known.add(item.call_id)
        elif isinstance(item, FunctionCallOutputItem):
            if item.call_id not in known:
                raise InvalidRequest(
                    f"No tool call found for function call output with call_id {item.call_id}; "
                    "send the call as well, or previous_response_id",
                    param="input",
                )
            waiting = [call_id for call_id in waiting if call_id != item.call_id]
    if waiting:
        raise InvalidRequest(
            f"No tool output found for function call {waiting[0]}; send a function_call_output",
            param="input",
        )


def _is_answers(item: Item) -> bool:
    if isinstance(item, MessageItem):
        return item.role == "assistant"
    return isinstance(item, FunctionCallItem | ReasoningItem)


def _fits(answer: Turn, item: Item) -> bool:
    """Within a turn: thoughts, then text, then calls."""
    if isinstance(item, FunctionCallItem):
        return True
    if isinstance(item, MessageItem):
        return "content" not in answer and "tool_calls" not in answer
    return answer.keys() <= {"role", "reasoning_content"}


def _grow(answer: Turn, item: Item) -> None:
    if isinstance(item, ReasoningItem):
        answer["reasoning_content"] = answer.get("reasoning_content", "") + item.text
    elif isinstance(item, MessageItem):
        answer["content"] = _content(item.parts)
    elif isinstance(item, FunctionCallItem):
        call = {"name": item.name, "arguments": item.arguments}
        calls = answer.setdefault("tool_calls", [])
        calls.append({"id": item.call_id, "type": "function", "function": call})


def _turn(item: Item) -> Turn:
    if isinstance(item, FunctionCallOutputItem):
        return {"role": "tool", "tool_call_id": item.call_id, "content": item.text}
    assert isinstance(item, MessageItem)
    return {"role": item.role, "content": _content(item.parts)}


def _content(parts: Sequence[Part]) -> str | list[dict[str, str]]:
    """One text as text: every template and server takes that."""
    if not parts:
        return ""
    if len(parts) == 1 and not isinstance(parts[0], Refusal):
        return parts[0].text
    return [
        {"type": "refusal", "refusal": part.refusal}
        if isinstance(part, Refusal)
        else {"type": "text", "text": part.text}
        for part in parts
    ]


def _tools(request: ResponsesRequest) -> dict[str, Any]:
    if not request.tools:
        # without tools there is nothing to do in parallel; a choice is checked against none
        return {"tool_choice": _choice(request.tool_choice)}
    return {
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": _choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _tool(tool: FunctionTool) -> dict[str, Any]:
    return {
        "type": "function",
        "function": tool.model_dump(exclude_unset=True, exclude={"type"}),
    }


def _choice(choice: Any) -> Any:
    if isinstance(choice, NamedChoice):
        return {"type": "function", "function": {"name": choice.name}}
    if isinstance(choice, AllowedChoice):
        allowed = {"mode": choice.mode, "tools": [_choice(tool) for tool in choice.tools]}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    return choice


def _text(request: ResponsesRequest) -> dict[str, Any]:
    given = request.text.format if request.text else None
    if given is None or given.type == "text":
        return {}
    if given.type == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = given.model_dump(exclude_unset=True, exclude={"type"})
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
