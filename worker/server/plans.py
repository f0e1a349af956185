"""A request of the wire to the rows and choices that answer it. No engine, no HTTP.

Slow where a grammar is compiled or a long text is tokenised: then not for the event loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wire.errors import InvalidRequest
from wire.requests import ChatRequest, CompletionRequest
from worker.engine.request import GenerationRequest, Guide
from worker.guidance.compiler import Compiler
from worker.guidance.errors import GrammarError
from worker.guidance.grammars import grammar_of
from worker.prompt.prompter import Prompter
from worker.server.choices import ChatChoice, Choice, Echo, PlainReader, Reads, TextChoice
from worker.server.defaults import SamplingDefaults
from worker.server.resident import Served
from worker.server.speech import Speech
from worker.server.token_ids import check_token_ids
from worker.server.token_text import TokenTexts
from worker.tools.reader import Reader

# OpenAI's default for plain completions; a chat may go on to the end of its context
COMPLETION_TOKENS = 16


@dataclass(frozen=True)
class Plan:
    """``choices[i]`` is fed with the events of ``requests[i]``."""

    requests: Sequence[GenerationRequest]
    choices: Sequence[Choice]
    rows_per_prompt: int
    folded: tuple[str, ...] = ()


class Planner:
    """Plans for one base. Safe from any thread."""

    def __init__(
        self,
        prompter: Prompter,
        defaults: SamplingDefaults,
        compiler: Compiler,
        vocabulary: int,
        most_rows: int,
    ) -> None:
        self.prompter = prompter
        self.texts = TokenTexts(prompter.tokenizer)
        self._defaults = defaults
        self._compiler = compiler
        self._vocabulary = vocabulary
        self._most_rows = most_rows
        self._speech = Speech(prompter.tokenizer)

    def chat(self, request: ChatRequest, served: Served) -> Plan:
        """The plan of a chat. Raises InvalidRequest, ContextTooLong."""
        prompt = self.prompter.chat(request)
        heard = self._speech.plan(request, in_reasoning=prompt.in_reasoning)
        row = self._row(request, served, prompt.tokens)
        row = replace(
            row,
            max_tokens=request.limit_tokens or self.prompter.room(len(prompt.tokens)),
            guide=self._guide(heard.grammar, heard.param),
            visible=heard.visible,
            continues=request.continue_final_message,
        )

        def reader() -> Reads:
            if not heard.reads:
                return PlainReader()
            return Reader(heard.marks, heard.format, heard.tools, in_reasoning=prompt.in_reasoning)

        texts = self.texts if request.logprobs else None
        opening = prompt.continued if request.echo else ""
        choices = [ChatChoice(i, reader(), texts, opening) for i in range(request.choices)]
        rows = self._repeated([row], request)
        # the prompt is the same for all: scored once
        rows = [rows[0], *(replace(other, prompt_logprobs=None) for other in rows[1:])]
        return Plan(rows, choices, request.choices, prompt.folded)

    def completion(self, request: CompletionRequest, served: Served) -> Plan:
        """The plan of plain completions. Raises InvalidRequest, ContextTooLong."""
        constraint = request.constraint()
        grammar = grammar_of(constraint) if constraint else None
        guide = self._guide(grammar, constraint.param if constraint else "")
        rows: list[GenerationRequest] = []
        echoes: list[Echo | None] = []
        for prompt, tokens in zip(request.prompts, self.prompter.completions(request), strict=True):
            row = replace(self._row(request, served, tokens), guide=guide, continues=True)
            room = self.prompter.room(len(tokens))
            asked = request.max_tokens
            most = min(COMPLETION_TOKENS, room) if asked is None else asked
            rows.append(replace(row, max_tokens=most, prompt_logprobs=_scored(request)))
            echoes.append(self._echo(prompt, tokens) if request.echo else None)
        choices = [
            TextChoice(
                index,
                self.texts,
                echo=echoes[index // request.choices],
                shows_logprobs=request.logprobs is not None,
                shows_prompt=request.prompt_logprobs is not None,
            )
            for index in range(len(rows) * request.choices)
        ]
        return Plan(self._repeated(rows, request), choices, request.choices)

    def _row(
        self, request: ChatRequest | CompletionRequest, served: Served, prompt: list[int]
    ) -> GenerationRequest:
        check_token_ids(request, self._vocabulary)
        return GenerationRequest(
            prompt=prompt,
            adapter=served.adapter,
            version=served.version,
            max_tokens=0,
            sampling=self._defaults.params(request),
            stop=tuple(request.stop or ()),
            ignore_eos=request.ignore_eos,
            stop_token_ids=tuple(request.stop_token_ids or ()),
            logprobs=request.shown_logprobs,
            prompt_logprobs=request.prompt_logprobs,
        )

    def _repeated(
        self, rows: list[GenerationRequest], request: ChatRequest | CompletionRequest
    ) -> list[GenerationRequest]:
        """Each row once for each choice; a seed gives each choice its own draws, as in vLLM."""
        if len(rows) * request.choices > self._most_rows:
            raise InvalidRequest(
                f"{len(rows)} prompts times n {request.choices} is more than the "
                f"{self._most_rows} answers that this server takes on at once; ask in parts",
                param="n" if request.choices > 1 else "prompt",
            )
        return [_seeded(row, choice) for row in rows for choice in range(request.choices)]

    def _guide(self, grammar: str | None, param: str) -> Guide | None:
        if grammar is None:
            return None
        try:
            return self._compiler.compile(grammar)
        except GrammarError as error:
            raise InvalidRequest(f"{param}: {error}", param=param) from None

    def _echo(self, prompt: str | list[int], tokens: list[int]) -> Echo:
        joined = b"".join(self.texts.raw(token) for token in tokens).decode("utf-8", "replace")
        if not isinstance(prompt, str):
            return Echo(tokens, joined)
        return Echo(tokens, prompt, max(0, len(joined) - len(prompt)))


def _seeded(row: GenerationRequest, choice: int) -> GenerationRequest:
    seed = row.sampling.seed
    if seed is None or choice == 0:
        return row
    return replace(row, sampling=replace(row.sampling, seed=seed + choice))


def _scored(request: CompletionRequest) -> int | None:
    """An echo shows log-probabilities of the prompt too; without an answer nothing else is done."""
    asked = request.prompt_logprobs
    if request.echo and request.logprobs is not None:
        return max(asked or 0, request.logprobs)
    return 0 if asked is None and request.max_tokens == 0 else asked
