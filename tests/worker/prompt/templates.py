"""Small templates that behave like the known families, and a tokenizer around each.

One token a character, special tokens one each, as transformers' renderer has it.
"""

import re
from collections.abc import Sequence
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from wire.tools import FunctionSpec, ToolCall

STRICT_NO_SYSTEM = """{{ bos_token }}{% for m in messages %}
{%- if m.role not in ['user', 'assistant'] %}{{ raise_exception('no role ' ~ m.role) }}{% endif %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}
{%- endif %}<|turn|>{{ m.role }}
{{ m.content | trim }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|turn|>model
{% endif %}"""

SYSTEM_FIRST = """{% for m in messages %}
{%- if m.role == 'system' and not loop.first %}{{ raise_exception('system comes first') }}
{%- endif %}
{%- if m.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('no role') }}{% endif -%}
<|turn|>{{ m.role }}:{{ m.content }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|turn|>assistant:{% endif %}"""

# system text and tools stand in the last user turn, ids have nine characters
STRICT_TOOLS = """
{%- set ns = namespace(system='', n=0, user=none) %}
{%- if messages[0].role == 'system' %}{% set ns.system = messages[0].content %}
{%- set messages = messages[1:] %}{% endif %}
{%- for m in messages if m.role == 'user' %}{% set ns.user = m %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}
{%- if (m.role == 'user') != (ns.n % 2 == 0) %}{{ raise_exception('must alternate') }}{% endif %}
{%- set ns.n = ns.n + 1 %}{% endif %}
{%- if m.role == 'user' %}
{%- if m == ns.user and tools %}[TOOLS]{{ tools | tojson }}[/TOOLS]{% endif -%}
[INST]{% if m == ns.user and ns.system %}{{ ns.system }}

{% endif %}{{ m.content }}[/INST]
{%- elif m.tool_calls %}{{ m.content }}[CALLS][
{%- for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif -%}
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}, "id": "{{
c.id }}"}
{%- endfor %}]{{ eos_token }}
{%- elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}
{%- elif m.role == 'tool' %}
{%- if m.tool_call_id | length != 9 %}{{ raise_exception('nine') }}{% endif -%}
[RESULT]{{ m.tool_call_id }}:{{ m.content }}[/RESULT]
{%- else %}{{ raise_exception('no role ' ~ m.role) }}{% endif %}{% endfor %}"""

CHATML_TOOLS = """
{%- if tools %}<|turn|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}{% for t in tools %}{{ t | tojson }}
{% endfor %}<|end|>
{%- elif messages[0].role == 'system' %}<|turn|>system
{{ messages[0].content }}<|end|>{% endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}<|turn|>{{ m.role }}
{{ m.content }}<|end|>
{%- elif m.role == 'assistant' %}<|turn|>assistant
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}
{%- for c in m.tool_calls %}<tool_call>{"name": "{{ c.function.name }}", "arguments": {% if
c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{
c.function.arguments | tojson }}{% endif %}}</tool_call>{% endfor %}<|end|>
{%- elif m.role == 'tool' %}<|turn|>user
<tool_response>{{ m.content }}</tool_response><|end|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|turn|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>{% else %}<think>
{% endif %}{% endif %}"""

DEVELOPER = """{{ bos_token }}
{%- if messages[0].role == 'system' %}<|sys|>{{ messages[0].content }}<|end|>
{%- set messages = messages[1:] %}{% else %}<|sys|>default<|end|>{% endif %}
{%- if messages and messages[0].role == 'developer' %}<|dev|>{{ messages[0].content }}
{%- set messages = messages[1:] %}{% else %}<|dev|>{% endif %}
{%- if tools %}{% for t in tools %}
{{ t.function.name }}: {{ t.function.description }} {{ t.function.parameters | tojson }}
{%- endfor %}{% endif %}<|end|>
{%- for m in messages %}
{%- if m.role == 'user' %}<|user|>{{ m.content }}<|end|>
{%- elif m.role == 'assistant' %}<|asst|>{{ m.content }}
{%- if m.tool_calls %}<|calls|>[{% for c in m.tool_calls %}{"{{ c.function.name }}": {{
c.function.arguments }}}{% if not loop.last %}, {% endif %}{% endfor %}]{% endif %}<|end|>
{%- elif m.role == 'tool' %}[{{ m.content }}]
{%- else %}{{ raise_exception('Invalid role') }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|asst|>{% endif %}"""

IPYTHON = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'tool' or m.role == 'ipython' %}<|head|>ipython<|/head|>{{ m.content }}<|end|>
{%- elif m.tool_calls %}
{%- if m.tool_calls | length != 1 %}{{ raise_exception('single calls only') }}{% endif -%}
<|head|>assistant<|/head|>{{ m.content }}{"name": "{{
m.tool_calls[0].function.name }}", "parameters": {{
m.tool_calls[0].function.arguments | tojson }}}<|end|>
{%- else %}<|head|>{{ m.role }}<|/head|>
{%- if loop.first and tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}
{{- m.content }}<|end|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|head|>assistant<|/head|>{% endif %}"""

# writes any role, ignores tools
PLAIN = """{% for m in messages %}<|turn|>{{ m.role }}
{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|turn|>assistant
{% endif %}"""

TEMPLATES = {
    "strict_no_system": STRICT_NO_SYSTEM,
    "system_first": SYSTEM_FIRST,
    "strict_tools": STRICT_TOOLS,
    "chatml_tools": CHATML_TOOLS,
    "developer": DEVELOPER,
    "ipython": IPYTHON,
    "plain": PLAIN,
}
THINKS = {"chatml_tools"}
SPECIAL = re.compile(r"<\|/?\w+\|>|\[/?(?:INST|TOOLS|RESULT|CALLS)\]|</?(?:s|think|tool_call)>")


class Added:
    def __init__(self, content: str) -> None:
        self.content = content
        self.special = True


class Tokenizer:
    """Characters are their code points; a special token is a number above them."""

    def __init__(self, template: str, *, thinks: bool = False) -> None:
        self.chat_template = template
        self.think_start = "<think>" if thinks else None
        self.think_end = "</think>" if thinks else None
        found = sorted({*SPECIAL.findall(template), "<s>", "</s>"})
        self.added_tokens_decoder = {0x110000 + i: Added(text) for i, text in enumerate(found)}
        self._ids = {text: 0x110000 + i for i, text in enumerate(found)}
        self.special_ids = frozenset(self._ids.values())
        self.has_thinking = thinks
        self.structural_markers = ()

    def get_vocab(self) -> dict[str, int]:
        return self._ids

    get_added_vocab = get_vocab

    def apply_chat_template(
        self, turns: Sequence[Any], /, tokenize: bool = True, **options: Any
    ) -> Any:
        options = {"bos_token": "<s>", "eos_token": "</s>"} | options
        rendered, _ = render_jinja_template([turns], chat_template=self.chat_template, **options)
        return self.encode(rendered[0], add_special_tokens=False) if tokenize else rendered[0]

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        tokens = [self._ids["<s>"]] if add_special_tokens else []
        for part in re.split(f"({SPECIAL.pattern})", text):
            tokens += [self._ids[part]] if part in self._ids else [ord(c) for c in part]
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        texts = {number: text for text, number in self._ids.items()}
        return "".join(texts.get(token) or chr(token) for token in tokens)

    def __len__(self) -> int:
        return 0x110000 + len(self._ids)


def tokenizer(name: str) -> Tokenizer:
    return Tokenizer(TEMPLATES[name], thinks=name in THINKS)


class Format:
    """Calls and tools in words."""

    start = end = ""
    inner = ()

    def render(self, calls: Sequence[ToolCall]) -> str:
        return "\n".join(f"CALL {c.function.name} {c.function.arguments}" for c in calls)

    def instructions(self, tools: Sequence[FunctionSpec]) -> str:
        return "\n".join(f"TOOL {t.name} {t.description} {t.schema_of_arguments}" for t in tools)
