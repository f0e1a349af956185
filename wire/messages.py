"""The turns of a conversation, as clients send them."""

from typing import Any, Literal, cast

from pydantic import model_validator

from wire.parsing import WireModel
from wire.tools import ToolCall

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Part(WireModel):
    """A piece of content. Images, audio and files are refused: no base here takes them."""

    type: Literal["text", "refusal"]
    text: str | None = None
    refusal: str | None = None

    @model_validator(mode="after")
    def _holds_its_type(self) -> "Part":
        if (self.text is None) == (self.type == "text") or (self.refusal is None) == (
            self.type == "refusal"
        ):
            raise ValueError(f"a {self.type} part holds '{self.type}', and nothing else")
        return self

    def said(self) -> str:
        return self.text or self.refusal or ""


class Message(WireModel):
    """One turn. ``content`` may be text or a list of parts, as clients send both.

    ``reasoning_content`` (also sent as ``reasoning``) is what the model thought in an earlier
    turn; only templates that render it see it.
    """

    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    annotations: list[Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_clients_send_it_back(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        turn = dict(cast(dict[str, Any], data))
        # openai's parse() puts the content, parsed, beside it
        turn.pop("parsed", None)
        reasoning = turn.pop("reasoning", None)
        if reasoning is not None and turn.get("reasoning_content") in (None, reasoning):
            turn["reasoning_content"] = reasoning
        elif reasoning is not None:
            raise ValueError("reasoning and reasoning_content differ; send one")
        return turn

    @model_validator(mode="after")
    def _fits_role(self) -> "Message":
        if self.role != "assistant":
            for name in ("tool_calls", "refusal", "reasoning_content", "annotations"):
                if getattr(self, name):
                    raise ValueError(f"{name} belongs in an assistant message")
            if self.content is None:
                raise ValueError(f"a {self.role} message needs content")
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a tool message needs tool_call_id, the id of the call it answers")
        if self.role != "tool" and self.tool_call_id:
            raise ValueError("tool_call_id belongs in a tool message")
        return self

    def text(self) -> str:
        """The content as one string; parts are joined without a separator."""
        if self.content is None:
            return self.refusal or ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.said() for part in self.content)
