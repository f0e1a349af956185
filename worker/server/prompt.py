"""Messages to tokens, by the base's own chat template.

Normalises what templates refuse: developer turns become system turns, consecutive turns of
one role are joined, and where the template takes no system turn its text opens the first
user turn. Nothing is left out.
"""

from collections.abc import Sequence
from typing import Any, cast

from jinja2 import TemplateError

from wire.errors import ContextTooLong, InvalidRequest
from wire.requests import ChatRequest, CompletionRequest, Message

Turn = dict[str, str]
_ROLES = {"developer": "system"}


def normalise(messages: Sequence[Message], *, system: bool) -> list[Turn]:
    """Alternating turns with text content; ``system``: the template takes a system turn."""
    turns: list[Turn] = []
    for message in messages:
        _join(turns, _ROLES.get(message.role, message.role), message.text())
    if not system:
        turns = _fold_system(turns)
    return turns


def _join(turns: list[Turn], role: str, text: str) -> None:
    if turns and turns[-1]["role"] == role:
        turns[-1] = {"role": role, "content": f"{turns[-1]['content']}\n\n{text}"}
    else:
        turns.append({"role": role, "content": text})


def _fold_system(turns: list[Turn]) -> list[Turn]:
    folded: list[Turn] = []
    for turn in turns:
        role = "user" if turn["role"] == "system" else turn["role"]
        _join(folded, role, turn["content"])
    return folded


class Prompter:
    """The base's tokenizer and chat template, and the limit of its context."""

    def __init__(self, tokenizer: Any, max_model_len: int) -> None:
        self.tokenizer = tokenizer
        self._limit = max_model_len
        self._takes_system = self._try_system()

    def chat(self, request: ChatRequest) -> list[int]:
        """Token ids of a chat. Raises InvalidRequest, ContextTooLong."""
        tokens = cast(list[int], self.render(request.messages))
        return self._checked(tokens, request.limit_tokens, "messages")

    def render(self, messages: Sequence[Message], **options: bool) -> Any:
        """Token ids of the messages, or with ``tokenize=False`` their text.

        ``options`` are those of ``apply_chat_template``. Raises InvalidRequest; any length.
        """
        turns = normalise(messages, system=self._takes_system)
        try:
            return self._render(turns, **options)
        except TemplateError as error:
            raise InvalidRequest(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from None

    def completion(self, request: CompletionRequest) -> list[int]:
        """Token ids of a plain prompt. Raises InvalidRequest, ContextTooLong."""
        prompt = request.prompt
        if isinstance(prompt, list) and isinstance(prompt[0], str):
            prompt = prompt[0]
        if isinstance(prompt, str):
            tokens = cast(list[int], self.tokenizer.encode(prompt))
        else:
            tokens = cast(list[int], prompt)
            self.check_ids(tokens, "prompt")
        return self._checked(tokens, request.limit_tokens, "prompt")

    def room(self, prompt_tokens: int) -> int:
        """Tokens that the context still has for an answer."""
        return self._limit - prompt_tokens

    def check_ids(self, tokens: Sequence[int], param: str) -> None:
        """Raises InvalidRequest where one is not in the vocabulary."""
        known = len(self.tokenizer)
        beyond = next((token for token in tokens if not 0 <= token < known), None)
        if beyond is not None:
            raise InvalidRequest(
                f"{param}: token id {beyond} is not in the vocabulary", param=param
            )

    def _render(self, turns: Sequence[Turn], **options: bool) -> Any:
        options = {"add_generation_prompt": True} | options
        return self.tokenizer.apply_chat_template(list(turns), **options)

    def _try_system(self) -> bool:
        try:
            self._render([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}])
        except TemplateError:
            return False
        return True

    def _checked(self, tokens: list[int], asked: int | None, param: str) -> list[int]:
        if not tokens:
            raise InvalidRequest("the prompt has no tokens", param=param)
        total = len(tokens) + (asked or 1)
        if total > self._limit:
            raise ContextTooLong(
                f"this model's context is {self._limit} tokens; the prompt has {len(tokens)} and "
                f"at least {asked or 1} are asked for; shorten one",
                param=param,
            )
        return tokens
