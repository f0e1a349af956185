"""Requests to tokens: the template's turns, its options, the limit of the context.

Knows nothing of the answer. Safe from any thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from wire.errors import ContextTooLong, InvalidRequest
from wire.requests import ChatRequest, CompletionRequest
from wire.tokenize import TokenizeChatRequest
from wire.tools import Tool
from worker.prompt.fold import Folded, fold
from worker.prompt.options import template_kwargs
from worker.prompt.plain import Broken, PlainText, without
from worker.prompt.render import TemplateRefusal, render
from worker.prompt.template import Capabilities, check_template, plainest, probe
from worker.tools.choose import marks_of
from worker.tools.formats.base import ToolFormat


@dataclass(frozen=True)
class ChatPrompt:
    """A chat for the engine."""

    tokens: list[int]
    folded: tuple[str, ...]
    """What was changed to suit the template: some of fold.FOLDS, in that order."""
    in_reasoning: bool
    """The prompt ends inside an opened thought."""
    continued: str
    """The text of the final message that is being continued, else ""."""


@dataclass(frozen=True)
class Rendered:
    """A chat as the template wrote it; ``separator`` as in ``plain.py``."""

    marked: str
    folded: tuple[str, ...]
    separator: str

    @property
    def text(self) -> str:
        return without(self.marked, self.separator)


class Prompter:
    """The base's tokenizer and chat template, and the limit of its context.

    ``format`` writes calls and tools as text for templates that can't; without one such a
    request is refused. Raises ValueError where the template can't render one user turn.
    """

    def __init__(
        self, tokenizer: Any, max_model_len: int, format: ToolFormat | None = None
    ) -> None:
        check_template(tokenizer)
        self.tokenizer = tokenizer
        self.accepts = probe(tokenizer)
        self._limit = max_model_len
        self._format = format
        marks = marks_of(tokenizer, format)
        self._think = (marks.think_start, marks.think_end)
        calls = (marks.tool_start, marks.tool_end, *(format.inner if format else ()))
        self._plain = PlainText(tokenizer, (*self._think, *calls))

    def chat(self, request: ChatRequest) -> ChatPrompt:
        """A chat's tokens. Raises InvalidRequest, ContextTooLong."""
        rendered = self.render(request)
        tokens = self._plain.tokens(rendered.marked, rendered.separator)
        continued = request.messages[-1].text() if request.continue_final_message else ""
        return ChatPrompt(
            self._checked(tokens, request.limit_tokens, "messages"),
            rendered.folded,
            self._in_reasoning(rendered.marked, continued),
            continued,
        )

    def render(self, request: ChatRequest | TokenizeChatRequest) -> Rendered:
        """A chat as text, of any length. Raises InvalidRequest."""
        self._check_final(request)
        offered = _offered(request)
        options = self._options(request)
        broken = self._plain.broken(request.messages, offered, options)
        switches: dict[str, Any] = {"add_generation_prompt": request.add_generation_prompt}
        if request.continue_final_message:
            switches["continue_final_message"] = True
        text, folded = self._first_that_fits(broken, broken.kwargs | switches)
        return Rendered(text, folded, broken.separator)

    def tokenize(self, request: TokenizeChatRequest) -> list[int]:
        """A chat's tokens, any number of them. Raises InvalidRequest."""
        rendered = self.render(request)
        tokens = self._plain.tokens(rendered.marked, rendered.separator)
        if not request.add_special_tokens:
            return tokens
        before, after = self._around()
        return [*before, *tokens, *after]

    def completions(self, request: CompletionRequest) -> list[list[int]]:
        """The tokens of each prompt, in order. Raises InvalidRequest, ContextTooLong."""
        prompts = request.prompts
        params = ["prompt"] if len(prompts) == 1 else [f"prompt[{i}]" for i in range(len(prompts))]
        return [
            self._completion(request, prompt, param)
            for prompt, param in zip(prompts, params, strict=True)
        ]

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text; ``special``: with those that open or close one."""
        return cast(list[int], self.tokenizer.encode(text, add_special_tokens=special))

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

    def _completion(
        self, request: CompletionRequest, prompt: str | list[int], param: str
    ) -> list[int]:
        if isinstance(prompt, str):
            tokens = self.encode(prompt, special=request.add_special_tokens)
        else:
            tokens = prompt
            self.check_ids(tokens, param)
        return self._checked(tokens, request.limit_tokens, param)

    def _options(self, request: ChatRequest | TokenizeChatRequest) -> dict[str, Any]:
        effort = request.reasoning_effort if isinstance(request, ChatRequest) else None
        thinking = self.accepts.thinking
        given = request.chat_template_kwargs
        return template_kwargs(given, effort, thinking, thinks=bool(self._think[0]))

    @staticmethod
    def _check_final(request: ChatRequest | TokenizeChatRequest) -> None:
        final = request.messages[-1]
        if request.continue_final_message and (final.role == "tool" or final.tool_calls):
            raise InvalidRequest(
                "continue_final_message needs a final message of text, not a tool's or a call",
                param="messages",
            )

    def _first_that_fits(
        self, broken: Broken, options: dict[str, Any]
    ) -> tuple[str, tuple[str, ...]]:
        """Folded as the probe has it; where that is refused after all, ever more plainly."""
        refusal = ""
        for known in _ever_plainer(self.accepts, can_write=self._format is not None):
            folded = fold(broken.messages, broken.tools, known, self._format)
            try:
                text = render(self.tokenizer, folded.turns, folded.tools, **options)
            except TemplateRefusal as error:
                refusal = refusal or str(error)
                continue
            left_out = _left_out(text, folded)
            if not left_out:
                return text, folded.changes
            refusal = refusal or f"it leaves out {left_out}"
        raise InvalidRequest(
            f"the model's chat template refuses these messages: "
            f"{without(refusal, broken.separator)}",
            param="messages",
        )

    def _in_reasoning(self, text: str, continued: str) -> bool:
        start, end = self._think
        if not start:
            return False
        opened = continued.rfind(start)
        return text.rstrip().endswith(start) or (opened >= 0 and continued.rfind(end) < opened)

    def _around(self) -> tuple[list[int], list[int]]:
        """The tokens that the tokenizer puts before and after a text."""
        bare, whole = self.encode("a", special=False), self.encode("a", special=True)
        starts = range(len(whole) - len(bare) + 1)
        at = next((i for i in starts if whole[i : i + len(bare)] == bare), 0)
        return whole[:at], whole[at + len(bare) :]

    def _checked(self, tokens: list[int], asked: int | None, param: str) -> list[int]:
        if not tokens:
            raise InvalidRequest(f"{param}: the prompt has no tokens", param=param)
        least = 1 if asked is None else asked
        if len(tokens) + least > self._limit:
            raise ContextTooLong(
                f"this model's context is {self._limit} tokens; {_which(param)} has "
                f"{len(tokens)} and at least {least} are asked for; shorten one",
                param=param,
            )
        return tokens


def _which(param: str) -> str:
    return param if param.endswith("]") else "the prompt"


def _offered(request: ChatRequest | TokenizeChatRequest) -> list[Tool]:
    """With ``tool_choice`` none no call may come, so the model is shown no tool."""
    if isinstance(request, ChatRequest) and request.tool_choice == "none":
        return []
    return list(request.tools or [])


def _ever_plainer(known: Capabilities, *, can_write: bool) -> Iterator[Capabilities]:
    """Some templates refuse a combination whose parts they accept.

    ``can_write``: tools and calls can be written as text.
    """
    joined = replace(
        known,
        system_twice=False,
        system_later=False,
        developer=False,
        repeats=False,
        assistant_first=False,
    )
    steps = [known, joined, replace(joined, system=False)]
    if can_write:
        plain = plainest(known)
        steps += [replace(plain, system=known.system), plain]
    yield from dict.fromkeys(steps)


def _left_out(text: str, folded: Folded) -> str:
    """Some templates write system turns or tools only with a user turn after them, or none.

    Other turns may be written in another way, such as JSON, and are not looked for.
    """
    systems = (turn["content"] for turn in folded.turns if turn["role"] in ("system", "developer"))
    if not all(content.strip() in text for content in systems):
        return "a system turn"
    if not all(tool["function"]["name"] in text for tool in folded.tools):
        return "tools"
    return ""
