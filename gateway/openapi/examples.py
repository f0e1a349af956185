"""Requests that work in any fleet, and answers of the shape that comes back."""

import json
from typing import Any

from gateway.openapi.operation import Served

QUESTION = "Which pull-up resistors for I2C at 400 kHz and 3.3 V?"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
Examples = dict[str, Any]


def _ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chat(served: Served) -> Examples:
    body: Examples = {"model": served.auto, "messages": _ask(QUESTION), "max_tokens": 64}
    schema = {
        "type": "object",
        "properties": {"ohms": {"type": "integer"}},
        "required": ["ohms"],
        "additionalProperties": False,
    }
    return {
        "A question": body,
        "As a stream": body | {"stream": True, "stream_options": {"include_usage": True}},
        "An answer as JSON": body
        | {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "resistor", "schema": schema},
            }
        },
        "With a function": body | {"tools": [_tool()], "tool_choice": "auto"},
    }


def _tool() -> Examples:
    parameters = {
        "type": "object",
        "properties": {"part": {"type": "string"}},
        "required": ["part"],
    }
    function = {"name": "datasheet", "description": "Looks a part up.", "parameters": parameters}
    return {"type": "function", "function": function}


def completion(served: Served) -> Examples:
    body = {"model": served.auto, "prompt": "A pull-up resistor is", "max_tokens": 32}
    return {"A text": body, "Two texts": body | {"prompt": ["An inductor is", "A diode is"]}}


def embedding(served: Served) -> Examples:
    return {"Two texts": {"model": served.embedder, "input": ["A diode", "An inductor"]}}


def route(served: Served) -> Examples:
    body = {"model": served.auto, "messages": _ask(QUESTION)}
    return {"A question": body, "And why": body | {"explain": True}}


def tokenize(served: Served) -> Examples:
    return {
        "A text": {"model": served.base, "prompt": "A pull-up resistor"},
        "A conversation": {"model": served.base, "messages": _ask(QUESTION)},
    }


def detokenize(served: Served) -> Examples:
    return {"Three tokens": {"model": served.base, "tokens": [35, 36, 37]}}


def load_adapter(served: Served) -> Examples:
    body = {"lora_name": "mine", "lora_path": "demo/adapters/dsp", "base": served.base_id}
    return {"A folder": body, "Another content": body | {"load_inplace": True}}


def unload_adapter() -> Examples:
    return {"By name": {"lora_name": "mine"}}


def _ailiance(served: Served) -> Examples:
    return {
        "ai_generated": True,
        "model": served.base,
        "base": served.base_id,
        "adapter": None,
        "adapter_digest": None,
        "base_digest": DIGEST,
        "folded": [],
        "domain": None,
        "confidence": 0.31,
        "reason": "low_confidence",
        "evidence": None,
        "warning": None,
    }


def _head(served: Served, kind: str, prefix: str) -> Examples:
    return {
        "id": f"{prefix}-5b0f6a2c9d3e4f7a8b1c2d3e",
        "object": kind,
        "created": 1767225600,
        "model": served.base,
        "system_fingerprint": "fp_9f86d081884c",
    }


USAGE = {
    "prompt_tokens": 26,
    "completion_tokens": 9,
    "total_tokens": 35,
    "prompt_tokens_details": {"cached_tokens": 0},
}


def chat_answer(served: Served) -> Examples:
    message = {"role": "assistant", "content": "About 2.2 kilohms each.", "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "stop",
        "stop_reason": None,
    }
    head = _head(served, "chat.completion", "chatcmpl")
    return head | {"choices": [choice], "usage": USAGE, "ailiance": _ailiance(served)}


def chat_stream(served: Served) -> str:
    head = _head(served, "chat.completion.chunk", "chatcmpl")
    deltas: list[Examples] = [{"role": "assistant", "content": ""}, {"content": "About"}, {}]
    chunks = [
        head | {"choices": [{"index": 0, "delta": d, "logprobs": None, "finish_reason": end}]}
        for d, end in zip(deltas, (None, None, "stop"), strict=True)
    ]
    return _framed(chunks, served)


def text_answer(served: Served) -> Examples:
    choice = {
        "index": 0,
        "text": " what keeps a line high.",
        "logprobs": None,
        "finish_reason": "stop",
        "stop_reason": None,
    }
    head = _head(served, "text_completion", "cmpl")
    return head | {"choices": [choice], "usage": USAGE, "ailiance": _ailiance(served)}


def text_stream(served: Served) -> str:
    head = _head(served, "text_completion", "cmpl")
    ends = ((" what keeps", None), ("", "stop"))
    chunks = [
        head | {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": end}]}
        for text, end in ends
    ]
    return _framed(chunks, served)


def _framed(chunks: list[Examples], served: Served) -> str:
    chunks[0] |= {"ailiance": _ailiance(served)}
    frames = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    return "".join(f"data: {frame}\n\n" for frame in frames)


def responses(served: Served) -> Examples:
    body: Examples = {"model": served.auto, "input": QUESTION, "max_output_tokens": 64}
    items = [{"role": "developer", "content": "Be brief."}, *_ask(QUESTION)]
    return {
        "A question": body,
        "Items": body | {"input": items, "store": False},
        "As a stream": body | {"stream": True},
    }


def response(served: Served) -> Examples:
    part: Examples = {
        "type": "output_text",
        "text": "About 2.2 kilohms each.",
        "annotations": [],
        "logprobs": [],
    }
    item: Examples = {
        "id": "msg_5b0f6a2c9d3e4f7a0000",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    return _ASKED | {
        "id": "resp_5b0f6a2c9d3e4f7a",
        "object": "response",
        "created_at": 1767225600,
        "status": "completed",
        "completed_at": 1767225601,
        "error": None,
        "incomplete_details": None,
        "model": served.base,
        "output": [item],
        "usage": {
            "input_tokens": 26,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 35,
        },
        "ailiance": _ailiance(served),
    }


def embedding_answer(served: Served) -> Examples:
    vectors = ([0.12, -0.53, 0.08], [-0.31, 0.02, 0.44])
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)
        ],
        "model": served.base,
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
        "ailiance": _ailiance(served)
        | {"ai_generated": None, "reason": "explicit", "confidence": None},
    }


def route_answer(served: Served) -> Examples:
    return {
        "model": served.base,
        "base": served.base_id,
        "adapter": None,
        "domain": None,
        "confidence": 0.31,
        "reason": "low_confidence",
        "evidence": None,
        "warning": None,
        "scores": {"electronics": 0.31, "embedded": 0.28, "general": 0.41},
        "router": DIGEST,
    }


TOKENS = {"count": 3, "max_model_len": 512, "tokens": [35, 36, 37], "token_strs": None}
TEXT = {"prompt": "ABC"}
MODEL = {
    "id": "ailiance-apertus-dsp",
    "object": "model",
    "created": 1767225600,
    "owned_by": "ailiance",
    "name": "ailiance-apertus-dsp",
    "root": "demo/adapters/dsp",
    "parent": "ailiance-apertus",
    "max_model_len": 512,
}
ADAPTER: Examples = {
    "name": "dsp",
    "object": "adapter",
    "model": "ailiance-apertus-dsp",
    "base": "apertus",
    "source": "demo/adapters/dsp",
    "origin": "file",
    "domain": "dsp",
    "status": "active",
    "reason": None,
    "evidence": None,
    "evaluation": [],
    "state": "loaded",
    "format": "peft",
    "rank": 16,
    "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "layers": 42,
    "bytes": 1327104,
    "digest": DIGEST,
    "effect": 6.53,
    "tier": "slot",
    "pinned": False,
    "check": None,
}
ADAPTERS = {"object": "list", "data": [ADAPTER]}
ADDED = "Success: LoRA adapter 'mine' added successfully."
REMOVED = "Success: LoRA adapter 'mine' removed successfully."
MODEL_DETAILS: Examples = MODEL | {
    "license": "apache-2.0",
    "base_model": "demo/models/apertus",
    "revision": None,
    "digest": DIGEST,
    "evaluation": {
        "card": {
            "text": "Greedy answers that are exact to the character, in per cent.",
            "results": [
                {"benchmark": "dsp", "base": [0.0], "adapter": [96.2], "delta": None},
            ],
        },
        "fleet": [],
    },
    "risk_class": None,
}
MODEL_CARD: Examples = {
    "id": "ailiance-apertus-dsp",
    "object": "model.card",
    "license": "apache-2.0",
    "base_model": "demo/models/apertus",
    "languages": ["en"],
    "training": {"rank": 16, "alpha": 32.0, "layers": 6, "targets": ["q_proj", "v_proj"]},
}
MODELS = {"object": "list", "data": [MODEL]}
HEALTHY = {"status": "ok", "bases": {"apertus": "ready", "devstral": "ready"}}
STARTING = {"status": "starting", "bases": {"apertus": "ready", "devstral": "starting"}}
_ASKED: Examples = {
    "background": False,
    "instructions": None,
    "max_output_tokens": 64,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
DELETED = {"id": "resp_5b0f6a2c9d3e4f7a", "object": "response", "deleted": True}
ITEMS: Examples = {
    "object": "list",
    "data": [
        {
            "id": "msg_5b0f6a2c9d3e4f7a0001",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": QUESTION}],
        }
    ],
    "has_more": False,
    "first_id": "msg_5b0f6a2c9d3e4f7a0001",
    "last_id": "msg_5b0f6a2c9d3e4f7a0001",
}
