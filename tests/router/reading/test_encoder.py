"""The sentence encoder, on a tiny model that onnxruntime really runs."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router import Router, RouterError
from router.decision import GENERAL
from router.learning.exemplars import Exemplar, labels_of
from router.learning.extraction import remembering
from router.learning.fit import sample_all, sentence_head, train
from router.policy import Thresholds
from router.reading import weights
from router.reading.encoder import INSTALL, MODELS, Encoder, load_extra, load_for
from router.reading.features import Floats, extract
from router.reading.head import SentenceHead, read, softmax

onnxruntime = pytest.importorskip("onnxruntime", reason="comes with the extra 'encoder'")

FIXTURE = Path(__file__).parent / "encoder"
FRUIT = ["apple", "pear", "plum", "cherry", "grape", "melon", "lemon", "peach"]
TOOLS = ["hammer", "saw", "drill", "wrench", "pliers", "chisel", "clamp", "screwdriver"]
CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(str(FIXTURE))


def folder_of(folder: Path, **models: str) -> Path:
    """A folder with the tokenizer and the fixture's models under other names."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    shutil.copy(FIXTURE / "tokenizer.json", folder)
    for name, made in models.items():
        shutil.copy(FIXTURE / f"{made}.onnx", folder / f"{name.replace('__', '/')}.onnx")
    return folder


def digest_of(model: str) -> str:
    content = (FIXTURE / f"{model}.onnx").read_bytes() + (FIXTURE / "tokenizer.json").read_bytes()
    return sha256(content).hexdigest()


def run_padded(batch: list[list[int]]) -> tuple[Floats, Floats]:
    """``last_hidden_state`` of a padded batch, and its mask."""
    session: Any = onnxruntime.InferenceSession(
        FIXTURE / "model.onnx", providers=["CPUExecutionProvider"]
    )
    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (hidden,) = session.run(["last_hidden_state"], feed)
    return hidden, mask.astype(np.float32)


TEXTS = ["a ripe apple", "how do i clamp the steel?", "plum", "my saw is in the drill " * 9]


def test_rows_are_the_masked_mean_of_the_tokens(encoder: Encoder) -> None:
    hidden, mask = run_padded([encoder.token_ids(text) for text in TEXTS])
    means = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (4, encoder.dimension)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_ready_sentence_vector_is_used_as_it_is(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model="pooled")
    session: Any = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    made = Encoder.load(str(folder))
    ids = np.array([made.token_ids("a ripe apple")], np.int64)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    ((expected,),) = session.run(["sentence_embedding"], feed)
    (found,) = made.encode(["a ripe apple"])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("model", ["model", "int8", "pooled"])
def test_a_row_has_unit_length_and_does_not_depend_on_its_neighbours(
    tmp_path: Path, model: str
) -> None:
    made = Encoder.load(str(folder_of(tmp_path, model=model)))
    together = made.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for row, text in zip(together, TEXTS, strict=True):
        assert np.array_equal(row, made.encode([text])[0])


def test_int8_is_near_the_model_that_it_was_made_of(encoder: Encoder, tmp_path: Path) -> None:
    made = Encoder.load(str(folder_of(tmp_path, model_int8="int8")))
    assert made.digest == digest_of("int8")
    assert ((made.encode(TEXTS) * encoder.encode(TEXTS)).sum(axis=1) > 0.99).all()


def test_a_long_text_is_its_first_96_and_last_32_tokens(encoder: Encoder) -> None:
    words = [(FRUIT + TOOLS)[n % 16] for n in range(300)]
    known = encoder.token_ids(" ".join(FRUIT + TOOLS))[1:-1]
    tokens = [known[n % 16] for n in range(300)]
    assert encoder.token_ids(" ".join(words)) == [CLS, *tokens[:95], *tokens[-31:], SEP]
    assert encoder.token_ids(" ".join(words[:126])) == [CLS, *tokens[:126], SEP]


def test_all_of_a_short_text_is_read_whatever_the_tokenizers_file_says(encoder: Encoder) -> None:
    """The fixture's file cuts at 64 tokens and pads to 64, as published ones do at 128."""
    assert encoder.token_ids("apple") == [CLS, 4, SEP]
    assert len(encoder.token_ids("apple " * 100)) == 102


@pytest.mark.parametrize("text", ["", " \n\t", "\0", "\0\0\0"])
def test_a_text_without_a_token_is_a_zero_row(encoder: Encoder, text: str) -> None:
    found = encoder.encode([text, "apple"])
    assert not found[0].any()
    assert np.array_equal(found[1], encoder.encode(["apple"])[0])


@pytest.mark.parametrize(
    "text",
    [
        *("\ud800", "apple \udfff pear", "\ud83d", "\ufffe\uffff", "\u202e\u0000a", "[SEP][PAD]"),
        *("🙂" * 5000, "x" * 1_000_000, "apple " * 170_000, "\n" * 1_000_000, "\ud800" * 9000),
        *("عربي 中文 हिन्दी", "a\u0300" * 4000, "".join(map(chr, range(0x3000)))),
    ],
    ids=range(14),
)
def test_no_text_raises(encoder: Encoder, text: str) -> None:
    (row,) = encoder.encode([text])
    assert np.isfinite(row).all()
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5) or not row.any()


def test_a_surrogate_pair_is_its_character(encoder: Encoder) -> None:
    assert encoder.token_ids("a \ud83d\ude42 b") == encoder.token_ids("a 🙂 b")
    assert encoder.token_ids("apple\ud800 pear") == encoder.token_ids("apple\ufffd pear")


def test_no_texts_are_no_rows(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_a_tokenizer_without_an_unknown_token_does_not_raise(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model="model")
    (folder / "tokenizer.json").write_text(
        dumps(
            {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}}
        )
    )
    found = Encoder.load(str(folder)).encode(["unknown", "a"])
    assert not found[0].any()
    assert found[1].any()


def test_threads_read_the_same(encoder: Encoder) -> None:
    alone = encoder.encode(TEXTS)
    found: list[Floats] = []

    def work() -> None:
        found.extend(encoder.encode(TEXTS) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(np.array_equal(each, alone) for each in found)


# Files


def test_digest_is_of_the_model_and_the_tokenizer(encoder: Encoder) -> None:
    assert encoder.digest == digest_of("model")
    assert encoder.source == str(FIXTURE)


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        ({"model": "model", "onnx__model": "pooled"}, "model"),
        ({"model": "model", "onnx__model_quantized": "int8"}, "int8"),
        ({"model": "model", "onnx__model_qint8_avx512_vnni": "int8"}, "int8"),
        ({"onnx__model_qint8_avx512_vnni": "model", "onnx__model_qint8_arm64": "int8"}, "int8"),
        ({"onnx__model_qint8_arm64": "model", "onnx__model_quint8_avx2": "int8"}, "int8"),
        ({"model_qint8_of_mine": "int8", "onnx__model": "model"}, "int8"),
    ],
)
def test_int8_before_float_and_portable_before_special(
    tmp_path: Path, models: dict[str, str], taken: str
) -> None:
    assert Encoder.load(str(folder_of(tmp_path, **models))).digest == digest_of(taken)


def test_missing_files_are_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="no such folder; name a folder, or a hub id"):
        Encoder.load(str(tmp_path / "none"))
    with pytest.raises(RouterError, match=r"no model\.onnx .* name a folder with tokenizer\.json"):
        Encoder.load(str(folder_of(tmp_path)))
    folder = folder_of(tmp_path, model="model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(RouterError, match=r"no tokenizer\.json; name a folder"):
        Encoder.load(str(folder))


@pytest.mark.parametrize("name", ["tokenizer.json", "model.onnx"])
@pytest.mark.parametrize("junk", [b"", b"{}", b"\xff\xfe\x00"])
def test_broken_files_are_refused(tmp_path: Path, name: str, junk: bytes) -> None:
    folder = folder_of(tmp_path, model="model")
    (folder / name).write_bytes(junk)
    with pytest.raises(RouterError, match=r"docs/encoder\.md"):
        Encoder.load(str(folder))


def test_a_tokenizer_with_more_words_than_the_model_is_refused_at_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model="model")
    content = (folder / "tokenizer.json").read_text()
    assert '"apple"' in content
    (folder / "tokenizer.json").write_text(content.replace('"apple": 4,', '"apple": 99999,'))
    with pytest.raises(RouterError, match="ids up to 99999"):
        Encoder.load(str(folder))


def test_weights_in_a_second_file_are_refused_because_no_digest_covers_them(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="second file; save the model as one"):
        Encoder.load(str(folder_of(tmp_path, model="parted")))


@pytest.mark.parametrize("source", ["org/name", "org/name@"])
def test_a_hub_id_without_its_revision_is_refused(source: str) -> None:
    with pytest.raises(RouterError, match="pin"):
        Encoder.load(source)


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(RouterError) as caught:
        load_extra("no_such_module_here", "org/name@main")
    assert INSTALL in str(caught.value)


# A hub


COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = {
    "config.json": "tokenizer.json",
    "tokenizer.json": "tokenizer.json",
    "onnx/model_quantized.onnx": "int8.onnx",
    "onnx/model.onnx": "model.onnx",
}


class Hub(BaseHTTPRequestHandler):
    """A model hub with one repository, org/tiny; keeps the files that were asked for."""

    sent: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/org/tiny/revision/"):
            files = [{"rfilename": name} for name in REPOSITORY]
            self._send(dumps({"id": "org/tiny", "sha": COMMIT, "siblings": files}).encode())
        elif path == f"/api/models/org/tiny/tree/{COMMIT}":
            self._send(dumps([self._entry(name) for name in REPOSITORY]).encode())
        elif path.startswith(f"/org/tiny/resolve/{COMMIT}/"):
            name = path.removeprefix(f"/org/tiny/resolve/{COMMIT}/")
            self.sent.append(name)
            self._send((FIXTURE / REPOSITORY[name]).read_bytes())
        else:
            self.send_error(404)

    def _entry(self, name: str) -> dict[str, Any]:
        content = (FIXTURE / REPOSITORY[name]).read_bytes()
        return {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": sha1(content).hexdigest(),
        }

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[ThreadingHTTPServer, list[str]]]:
    sent: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OurHub", (Hub,), {"sent": sent}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server, sent
    server.shutdown()
    server.server_close()
    thread.join()


CHILD = """
import sys
from router import RouterError
from router.reading.encoder import Encoder
for source in sys.argv[1:]:
    try:
        print(Encoder.load(source).digest)
    except RouterError as error:
        print("refused", " ".join(str(error).split()))
"""


def loaded_by_a_child(port: int, home: Path, *sources: str) -> list[str]:
    """What another process loads: huggingface_hub reads its settings once, at import."""
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *sources],
        env=os.environ | settings,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("revision", [COMMIT, "v1"])
def test_the_best_model_alone_comes_from_the_hub_and_without_one_from_the_cache(
    hub: tuple[ThreadingHTTPServer, list[str]], tmp_path: Path, revision: str
) -> None:
    server, sent = hub
    port, source = server.server_port, f"org/tiny@{revision}"
    assert loaded_by_a_child(port, tmp_path, source) == [digest_of("int8")]
    assert set(sent) == {"tokenizer.json", "onnx/model_quantized.onnx"}
    server.shutdown()
    server.server_close()
    assert loaded_by_a_child(port, tmp_path, source) == [digest_of("int8")]


def test_what_the_hub_lacks_or_nobody_can_reach_is_refused(
    hub: tuple[ThreadingHTTPServer, list[str]], tmp_path: Path
) -> None:
    server, _ = hub
    refusal = "refused org/other@v1: can't be fetched from the hub: "
    for _ in range(2):
        (said,) = loaded_by_a_child(server.server_port, tmp_path, "org/other@v1")
        assert said.startswith(refusal)
        assert said.endswith("or name a local folder")
        server.shutdown()
        server.server_close()


# With the router


def exemplars() -> list[Exemplar]:
    named = [("fruit", word) for word in FRUIT] + [(GENERAL, word) for word in TOOLS]
    return [
        Exemplar(form.format(word), label, theme=word)
        for label, word in named
        for form in ("the {}", "how do i {}?")
    ]


def test_the_router_takes_the_mean_of_both_heads(encoder: Encoder, tmp_path: Path) -> None:
    learned = exemplars()
    labels = labels_of(learned)
    plain = train(sample_all(learned, [], remembering()), labels, lambda _what, _part: None)
    head = sentence_head(learned, learned[::3], labels, encoder)
    path = tmp_path / "router.npz"
    weights.save(replace(plain, sentence=head, thresholds=Thresholds(2.0, 0.0, 0.0)), path)
    router = Router.load(path)
    text = "which ripe plum and pear?"
    found = router.classify([("user", text)])

    words = softmax(read(replace(router.weights, sentence=None), extract(text)).logits)
    embedding = encoder.encode([text])[0]
    sentences = softmax((embedding @ head.matrix + head.bias) / np.float32(head.temperature))
    assert list(found.scores) == list(labels)
    np.testing.assert_allclose(list(found.scores.values()), (words + sentences) / 2, atol=1e-5)
    assert found.domain == "fruit"
    assert not router.is_fast
    assert sum(found.scores.values()) == pytest.approx(1.0, abs=1e-5)


def test_the_weights_ask_for_the_encoder_that_they_were_fitted_with(tmp_path: Path) -> None:
    other = folder_of(tmp_path / "other", model="pooled")
    moved = folder_of(tmp_path / "moved", model="model")
    head = SentenceHead(str(tmp_path / "gone"), digest_of("model"), *[np.zeros((16, 2))] * 2, 1.0)
    assert load_for(head, str(moved)).source == str(moved)
    assert load_for(replace(head, source=str(moved)), None).digest == head.digest
    with pytest.raises(RouterError, match="no such folder"):
        load_for(head, None)
    with pytest.raises(RouterError, match=r"fitted with another encoder.*router fit --encoder"):
        load_for(head, str(other))


def test_every_known_name_is_of_an_onnx_file() -> None:
    assert all(name.endswith(".onnx") for name in MODELS)
    assert MODELS[-1] == "model.onnx"
