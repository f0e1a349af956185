"""Tokens counted before are tokens counted after: /tokenize beside real generations."""

import pytest

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What does a Nyquist frequency mean for an ADC?"},
]


@pytest.mark.parametrize("model", ["ailiance-apertus-dsp", "ailiance-devstral"])
def test_tokens_of_a_chat_are_its_prompt_tokens(http, model):
    body = {"model": model, "messages": MESSAGES}
    told = http.post("/tokenize", json=body).raise_for_status().json()
    answer = http.post("/v1/chat/completions", json=body | {"max_tokens": 1}).raise_for_status()
    assert told["count"] == len(told["tokens"]) == answer.json()["usage"]["prompt_tokens"]
    lengths = {e["id"]: e["max_model_len"] for e in http.get("/v1/models").json()["data"]}
    assert told["max_model_len"] == lengths[model]


@pytest.mark.parametrize("text", ["Ohm's law , é日本 🙂\n\n  u = r * i", ""])
@pytest.mark.parametrize("model", ["ailiance-apertus-auto", "ailiance-devstral-cpp"])
def test_detokenize_gives_the_text_back(http, model, text):
    body = {"model": model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
    told = http.post("/tokenize", json=body).raise_for_status().json()
    assert len(told["token_strs"]) == told["count"]
    back = http.post("/detokenize", json={"model": model, "tokens": told["tokens"]})
    assert back.raise_for_status().json() == {"prompt": text}


def test_an_id_outside_the_vocabulary_is_the_clients_error(http):
    response = http.post("/detokenize", json={"model": "ailiance-apertus", "tokens": [10**6]})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tokens"
