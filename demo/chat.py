"""The chat formats of the two bases, in the style of the families they stand for.

Both templates take system, user and assistant turns in any order, and refuse other roles.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatFormat:
    """Special tokens around each part of a conversation, and the end of an answer."""

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]

    @property
    def end(self) -> str:
        """The token that ends an answer."""
        return self.assistant[1]

    @property
    def special_tokens(self) -> list[str]:
        """All tokens of the vocabulary with a meaning of their own, in the order of ids."""
        parts = [*self.system, *self.user, *self.assistant]
        return list(dict.fromkeys([*CONTROL_TOKENS, *(part for part in parts if part)]))

    def template(self) -> str:
        """Return the Jinja chat template."""
        start, stop = self.assistant
        return TEMPLATE.format(
            system=_jinja(*self.system),
            user=_jinja(*self.user),
            assistant=_jinja(start, stop),
            start=start,
        )

    def render(self, turns: list[tuple[str, str]]) -> str:
        """Return ``turns`` of (role, text) as the template would, ready for an answer."""
        parts = {"system": self.system, "user": self.user, "assistant": self.assistant}
        body = "".join(parts[role][0] + text + parts[role][1] for role, text in turns)
        return "<s>" + body + self.assistant[0]


CONTROL_TOKENS = ("<unk>", "<s>", "</s>", "<pad>")
TEMPLATE = (
    "{{{{ bos_token }}}}{{% for m in messages %}}"
    "{{% if m.role in ['system', 'developer'] %}}{system}"
    "{{% elif m.role == 'user' %}}{user}"
    "{{% elif m.role == 'assistant' %}}{assistant}"
    "{{% else %}}{{{{ raise_exception('unsupported role: ' ~ m.role) }}}}{{% endif %}}"
    "{{% endfor %}}{{% if add_generation_prompt %}}{start}{{% endif %}}"
)


def _jinja(start: str, stop: str) -> str:
    return f"{start}{{{{ m.content }}}}{stop}"


FORMATS = {
    "apertus": ChatFormat(
        system=("<|system_start|>", "<|system_end|>"),
        user=("<|user_start|>", "<|user_end|>"),
        assistant=("<|assistant_start|>", "<|assistant_end|>"),
    ),
    "devstral": ChatFormat(
        system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        user=("[INST]", "[/INST]"),
        assistant=("", "</s>"),
    ),
}
