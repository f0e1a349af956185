"""Families with tokens of their own for calls and thoughts, each with what it is made to say.

The templates are written for these tests: their marks, and where those stand, are the families'.
"""

from dataclasses import dataclass

from tests.contract.native.scripted import Family

APERTUS_TEMPLATE = """{{ bos_token }}
{%- if messages[0].role == 'system' %}
{{- '<|system_start|>' + messages[0].content + '<|system_end|>' }}
{%- set messages = messages[1:] %}
{%- else %}{{- '<|system_start|>You are brief.<|system_end|>' }}{% endif %}
{{- '<|developer_start|>' }}
{%- if messages and messages[0].role == 'developer' %}{{- messages[0].content + '\\n' }}
{%- set messages = messages[1:] %}{% endif %}
{{- 'Thoughts: ' + ('on' if enable_thinking is defined and enable_thinking else 'off') }}
{%- for t in tools or [] %}{{- '\\n' + t.function.name + ' ' + (t.function | tojson) }}{% endfor %}
{{- '<|developer_end|>' }}
{%- set ns = namespace(open=false) %}
{%- for m in messages %}
{%- if m.role == 'user' %}
{%- if ns.open %}{{- '<|assistant_end|>' }}{% set ns.open = false %}{% endif %}
{{- '<|user_start|>' + m.content + '<|user_end|>' }}
{%- elif m.role == 'assistant' %}
{%- if not ns.open %}{{- '<|assistant_start|>' }}{% endif %}{% set ns.open = true %}
{%- if m.reasoning_content %}{{- '<|inner_prefix|>' + m.reasoning_content + '<|inner_suffix|>' }}
{%- endif %}
{{- m.content }}
{%- if m.tool_calls %}{{- '<|tools_prefix|>[' }}
{%- for c in m.tool_calls %}
{{- '{"' + c.function.name + '": ' + (c.function.arguments | tojson) + '}' }}
{{- '' if loop.last else ', ' }}{% endfor %}{{- ']<|tools_suffix|>' }}{% endif %}
{%- elif m.role == 'tool' %}{{- '[' + m.content + ']' }}
{%- else %}{{- raise_exception('no such role: ' + m.role) }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{% if not ns.open %}{{- '<|assistant_start|>' }}{% endif %}
{%- elif ns.open %}{{- '<|assistant_end|>' }}{% endif %}"""

MISTRAL_TEMPLATE = """{{ bos_token }}
{%- if messages[0].role == 'system' %}
{{- '[SYSTEM_PROMPT]' + messages[0].content + '[/SYSTEM_PROMPT]' }}
{%- set messages = messages[1:] %}{% endif %}
{%- if tools %}{{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}
{%- for m in messages %}
{%- if m.role == 'user' %}{{- '[INST]' + m.content + '[/INST]' }}
{%- elif m.role == 'assistant' %}
{%- if m.reasoning_content %}{{- '[THINK]' + m.reasoning_content + '[/THINK]' }}{% endif %}
{{- m.content }}
{%- for c in m.tool_calls or [] %}
{%- if c.id | length != 9 %}{{- raise_exception('ids of calls have nine characters') }}{% endif %}
{{- '[TOOL_CALLS]' + c.function.name + '[ARGS]' + (c.function.arguments | tojson) }}{% endfor %}
{{- eos_token }}
{%- elif m.role == 'tool' %}
{%- if m.tool_call_id | length != 9 %}{{- raise_exception('ids have nine characters') }}{% endif %}
{{- '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}
{%- else %}{{- raise_exception('no such role: ' + m.role) }}{% endif %}{% endfor %}"""

_CHATML = """
{%- if messages[0].role == 'system' or tools %}{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content }}{% endif %}
{%- if tools %}{{- '\\nFunctions:' }}{% for t in tools %}{{- '\\n' + (t | tojson) }}{% endfor %}
{{- '\\nA call: INSTRUCTION' }}{% endif %}
{{- '<|im_end|>\\n' }}{% endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- elif m.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}
{%- if m.reasoning_content %}{{- '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}
{%- endif %}
{{- m.content }}
{%- for tool_call in m.tool_calls or [] %}{% set tool_call = tool_call.function %}CALL{% endfor %}
{{- '<|im_end|>\\n' }}
{%- elif m.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif m.role != 'system' %}{{- raise_exception('no such role: ' + m.role) }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}THOUGHT{% endif %}"""

_HERMES_CALL = """
{{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}"""
_CODER_CALL = """
{{- '\\n<tool_call>\\n<function=' + tool_call.name + '>\\n' }}
{%- for name, value in tool_call.arguments.items() %}
{{- '<parameter=' + name + '>\\n' + (value | string) + '\\n</parameter>\\n' }}{% endfor %}
{{- '</function>\\n</tool_call>' }}"""
_GLM_CALL = """
{{- '\\n<tool_call>' + tool_call.name }}
{%- for name, value in tool_call.arguments.items() %}
{{- '<arg_key>' + name + '</arg_key><arg_value>' + (value | string) + '</arg_value>' }}{% endfor %}
{{- '</tool_call>' }}"""
_SWITCH = """
{%- if open_thought %}{{- '<think>\\n' }}
{%- elif enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}"""


def _chatml(instruction: str, call: str, thought: str) -> str:
    return (
        _CHATML.replace("INSTRUCTION", instruction)
        .replace("CALL", call)
        .replace("THOUGHT", thought)
    )


@dataclass(frozen=True)
class Said:
    """What a script is, as the server should tell it. ``calls``: name, arguments' text."""

    script: str
    content: str | None = None
    reasoning: str | None = None
    calls: tuple[tuple[str, str], ...] = ()


APERTUS = {
    "@one": Said(
        '<|tools_prefix|>[{"measure": {"unit": "V", "average": true}}]<|tools_suffix|>',
        calls=(("measure", '{"unit": "V", "average": true}'),),
    ),
    "@two": Said(
        '<|tools_prefix|>[{"measure": {"unit": "Ω", "average": false}}, {"set_range": {}}]'
        "<|tools_suffix|>",
        calls=(("measure", '{"unit": "Ω", "average": false}'), ("set_range", "{}")),
    ),
    "@tell": Said(
        'I look at it: ok ⚡<|tools_prefix|>[{"switch-off":{}}]<|tools_suffix|>',
        content="I look at it: ok ⚡",
        calls=(("switch-off", "{}"),),
    ),
    "@think": Said(
        "<|inner_prefix|>Größer als 3 Ω?<|inner_suffix|>Yes, it is 🙂.",
        content="Yes, it is 🙂.",
        reasoning="Größer als 3 Ω?",
    ),
    "@both": Said(
        '<|inner_prefix|>First look:<|tools_prefix|>[{"measure": {"unit":"A","average":true}}]'
        "<|tools_suffix|>",
        reasoning="First look:",
        calls=(("measure", '{"unit":"A","average":true}'),),
    ),
    "@odd": Said(
        "Well, <|tools_prefix|>[nothing useful]<|tools_suffix|>",
        # the end mark is an end token here, so not text
        content="Well, <|tools_prefix|>[nothing useful]",
    ),
}
MISTRAL = {
    "@one": Said(
        '[TOOL_CALLS]measure[ARGS]{"unit": "V", "average": true}',
        calls=(("measure", '{"unit": "V", "average": true}'),),
    ),
    "@two": Said(
        '[TOOL_CALLS]measure[ARGS]{"unit":"Ω", "average":false}[TOOL_CALLS]set_range[ARGS]{  }',
        calls=(("measure", '{"unit":"Ω", "average":false}'), ("set_range", "{  }")),
    ),
    "@tell": Said(
        "I look at it: ok ⚡[TOOL_CALLS]switch-off[ARGS]{\n }",
        content="I look at it: ok ⚡",
        calls=(("switch-off", "{\n }"),),
    ),
    "@think": Said(
        "[THINK]Größer als 3 Ω?[/THINK]Yes, it is 🙂.",
        content="Yes, it is 🙂.",
        reasoning="Größer als 3 Ω?",
    ),
    "@both": Said(
        '[THINK]First look:[/THINK][TOOL_CALLS]measure[ARGS]{"unit":"A","average":true}',
        reasoning="First look:",
        calls=(("measure", '{"unit":"A","average":true}'),),
    ),
    "@odd": Said(
        "Well, [TOOL_CALLS]nothing useful[ARGS]",
        content="Well, [TOOL_CALLS]nothing useful[ARGS]",
    ),
}
HERMES = {
    "@one": Said(
        '<tool_call>\n{"name": "measure", "arguments": {"unit": "V", "average": true}}\n'
        "</tool_call>",
        calls=(("measure", '{"unit": "V", "average": true}'),),
    ),
    "@two": Said(
        '<tool_call>\n{"name":"measure","arguments":{"unit":"Ω", "average":false}}\n</tool_call>\n'
        '<tool_call>\n{"name": "set_range", "arguments": {  }}\n</tool_call>',
        calls=(("measure", '{"unit":"Ω", "average":false}'), ("set_range", "{  }")),
    ),
    "@tell": Said(
        'I look at it: ok ⚡<tool_call>{"arguments": {}, "name": "switch-off"}</tool_call>',
        content="I look at it: ok ⚡",
        calls=(("switch-off", "{}"),),
    ),
    "@think": Said(
        "<think>Größer als 3 Ω?</think>Yes, it is 🙂.",
        content="Yes, it is 🙂.",
        reasoning="Größer als 3 Ω?",
    ),
    "@both": Said(
        '<think>First look:</think><tool_call>{ "name": "measure", "arguments": {"unit":"A",'
        '"average":true} }</tool_call>',
        reasoning="First look:",
        calls=(("measure", '{"unit":"A","average":true}'),),
    ),
    "@odd": Said(
        "Well, <tool_call>[nothing useful]</tool_call>",
        content="Well, <tool_call>[nothing useful]</tool_call>",
    ),
    # for a prompt that ends inside the thought
    "@go": Said(
        "It is quite easy.</think>Done so ✓", content="Done so ✓", reasoning="It is quite easy."
    ),
}
CODER = {
    "@one": Said(
        "<tool_call>\n<function=measure>\n<parameter=unit>\nV\n</parameter>\n"
        "<parameter=average>\ntrue\n</parameter>\n</function>\n</tool_call>",
        calls=(("measure", '{"unit": "V", "average": true}'),),
    ),
    "@odd": Said(
        "Well, <tool_call>[nothing useful]</tool_call>",
        content="Well, <tool_call>[nothing useful]</tool_call>",
    ),
}
GLM = {
    "@one": Said(
        "<tool_call>measure<arg_key>unit</arg_key><arg_value>V</arg_value>"
        "<arg_key>average</arg_key><arg_value>true</arg_value></tool_call>",
        calls=(("measure", '{"unit": "V", "average": true}'),),
    ),
    "@tell": Said(
        "I look at it: ok ⚡<tool_call>switch-off</tool_call>",
        content="I look at it: ok ⚡",
        calls=(("switch-off", "{}"),),
    ),
}
SAID = {"apertus": APERTUS, "mistral": MISTRAL, "hermes": HERMES, "coder": CODER, "glm": GLM}

_CALL_TAGS = ("<tool_call>", "</tool_call>")
_THINK_TAGS = ("<think>", "</think>")
_IM = ("<|im_start|>", "<|im_end|>")


def _scripts(name: str) -> dict[str, str]:
    return {word: said.script for word, said in SAID[name].items()}


FAMILIES = {
    "apertus": Family(
        parent="apertus",
        architecture="apertus",
        opener="<|assistant_start|>",
        eos=("<|assistant_end|>", "<|tools_suffix|>"),
        template=APERTUS_TEMPLATE,
        scripts=_scripts("apertus"),
        special=(
            *("<|developer_start|>", "<|developer_end|>", "<|inner_prefix|>", "<|inner_suffix|>"),
            *("<|tools_prefix|>", "<|tools_suffix|>"),
        ),
        added=_THINK_TAGS,  # in its vocabulary, and unused
    ),
    "mistral": Family(
        parent="devstral",
        architecture="ministral3",
        opener="[/INST]",
        eos=("</s>",),
        template=MISTRAL_TEMPLATE,
        scripts=_scripts("mistral"),
        special=(
            *("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[AVAILABLE_TOOLS]"),
            *("[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
        ),
    ),
    "hermes": Family(
        parent="devstral",
        architecture="qwen3",
        opener="\n",
        eos=("<|im_end|>",),
        template=_chatml('<tool_call>{"name": ..., "arguments": ...}', _HERMES_CALL, _SWITCH),
        scripts=_scripts("hermes"),
        special=_IM,
        added=(*_CALL_TAGS, *_THINK_TAGS),
    ),
    "coder": Family(
        parent="devstral",
        architecture="qwen3",
        opener="\n",
        eos=("<|im_end|>",),
        template=_chatml("<tool_call>\\n<function=name>...", _CODER_CALL, ""),
        scripts=_scripts("coder"),
        special=_IM,
        added=_CALL_TAGS,
    ),
    "glm": Family(
        parent="devstral",
        architecture="qwen3",
        opener="\n",
        eos=("<|im_end|>",),
        template=_chatml("<tool_call>name<arg_key>...", _GLM_CALL, ""),
        scripts=_scripts("glm"),
        special=_IM,
        added=(*_CALL_TAGS, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    ),
}
