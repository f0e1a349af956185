"""``/tokenize`` and ``/detokenize``: the base's own tokenizer and chat template, to look at.

Bytes in, bytes out, so that a large body is one job for another thread. Knows no limit of
the context: what is too long is to be counted, too.
"""

from wire.sse import dumps
from wire.tokenize import (
    TokenizeChatRequest,
    TokenizeRequest,
    detokenize_body,
    parse_detokenize,
    parse_tokenize,
    tokenize_body,
)
from worker.prompt.prompter import Prompter
from worker.server.resident import Resident


class Tokens:
    """Answers for one base; its adapters share its tokenizer. Safe from any thread."""

    def __init__(self, prompter: Prompter, resident: Resident) -> None:
        self._prompter = prompter
        self._resident = resident
        self._tokenizer = prompter.tokenizer

    def tokenize(self, raw: bytes) -> bytes:
        """The answer to a prompt or a chat. Raises InvalidRequest, ModelNotFound."""
        request = parse_tokenize(raw)
        self._check_model(request.model)
        tokens = self._tokens(request)
        strings: list[str] | None = None
        if request.return_token_strs:
            strings = self._tokenizer.convert_ids_to_tokens(tokens)
        return dumps(tokenize_body(tokens, self._resident.max_model_len, strings)).encode()

    def detokenize(self, raw: bytes) -> bytes:
        """The text of token ids. Raises InvalidRequest, ModelNotFound."""
        request = parse_detokenize(raw)
        self._check_model(request.model)
        self._prompter.check_ids(request.tokens, "tokens")
        # no clean-up: the text is to be what was tokenized, its spaces included
        text = self._tokenizer.decode(request.tokens, clean_up_tokenization_spaces=False)
        return dumps(detokenize_body(text)).encode()

    def _check_model(self, model: str | None) -> None:
        # there is one base here: it need not be named
        if model is not None:
            self._resident.served(model, None)

    def _tokens(self, request: TokenizeRequest) -> list[int]:
        if isinstance(request, TokenizeChatRequest):
            return self._prompter.tokenize(request)
        return self._prompter.encode(request.prompt, special=request.add_special_tokens)
