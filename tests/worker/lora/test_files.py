"""Every way in which an adapter's files can be wrong, on small real files."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.errors import SourceError
from tests.worker.lora.tiny import tiny_model
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import linear_layers

RANK, WIDE, LOW = 2, 8, 4
LAYERS = {
    "model.layers.0.self_attn.q_proj": (WIDE, WIDE),
    "model.layers.0.self_attn.v_proj": (WIDE, LOW),
    "model.layers.1.self_attn.q_proj": (WIDE, WIDE),
    "model.layers.1.self_attn.v_proj": (WIDE, LOW),
}
SQUARE = "model.layers.0.self_attn.q_proj"
FLAT = "model.layers.1.self_attn.v_proj"
Tensors = dict[str, mx.array]
MLX_CONFIG: dict[str, Any] = {
    "fine_tune_type": "lora",
    "num_layers": 2,
    "lora_parameters": {"rank": RANK, "scale": 2.0, "dropout": 0.0},
}
PEFT_CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": RANK,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"],
    "modules_to_save": None,
    "bias": "none",
    "use_dora": False,
    "use_rslora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
}


def mlx_tensors(prefix: str = "") -> Tensors:
    """A (in, rank) and B (rank, out) of two layers."""
    tensors: Tensors = {}
    for number, path in enumerate((SQUARE, FLAT)):
        wide_in, wide_out = LAYERS[path]
        a, b = mx.random.key(2 * number), mx.random.key(2 * number + 1)
        tensors[f"{prefix}{path}.lora_a"] = mx.random.normal((wide_in, RANK), key=a)
        tensors[f"{prefix}{path}.lora_b"] = mx.random.normal((RANK, wide_out), key=b)
    return tensors


def peft_tensors(prefix: str = "base_model.model.", middle: str = "") -> Tensors:
    """The same factors as PEFT stores them: A (rank, in), B (out, rank)."""
    return {
        prefix
        + key.replace(".lora_a", f".lora_A{middle}.weight").replace(
            ".lora_b", f".lora_B{middle}.weight"
        ): mx.contiguous(value.T)
        for key, value in mlx_tensors().items()
    }


def write(folder: Path, tensors: Mapping[str, mx.array], config: Any, form: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    name = {"mlx": "adapters.safetensors", "peft": "adapter_model.safetensors"}[form]
    mx.save_safetensors(str(folder / name), dict(tensors))
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def read_mlx(folder: Path, tensors: Tensors | None = None, config: Any = None) -> AdapterFiles:
    config = MLX_CONFIG if config is None else config
    tensors = mlx_tensors() if tensors is None else tensors
    return read_adapter("mine", write(folder, tensors, config, "mlx"), LAYERS)


def read_peft(folder: Path, tensors: Tensors | None = None, **changes: Any) -> AdapterFiles:
    tensors = peft_tensors() if tensors is None else tensors
    return read_adapter("mine", write(folder, tensors, PEFT_CONFIG | changes, "peft"), LAYERS)


def without(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k != key}


def check_factors(found: AdapterFiles, scale: float) -> None:
    """The factors are those of ``mlx_tensors``, in MLX's orientation."""
    expected = mlx_tensors()
    assert set(found.factors) == {SQUARE, FLAT}
    for path, factors in found.factors.items():
        assert mx.array_equal(factors.a, expected[f"{path}.lora_a"])
        assert mx.array_equal(factors.b, expected[f"{path}.lora_b"])
        assert factors.scale == pytest.approx(scale)
        assert factors.a.dtype == factors.b.dtype == mx.float32


class TestRead:
    def test_mlx_format(self, tmp_path: Path) -> None:
        found = read_mlx(tmp_path)
        check_factors(found, 2.0)
        assert (found.name, found.format, found.rank) == ("mine", "mlx", RANK)
        assert found.nbytes == sum(value.nbytes for value in mlx_tensors().values())

    def test_peft_format_is_turned_also_where_square_layers_would_load_unturned(
        self, tmp_path: Path
    ) -> None:
        found = read_peft(tmp_path)
        check_factors(found, 4.0)
        assert found.format == "peft"

    @pytest.mark.parametrize("middle", ["", ".default"])
    def test_peft_adapter_name_in_the_keys(self, tmp_path: Path, middle: str) -> None:
        check_factors(read_peft(tmp_path, peft_tensors(middle=middle)), 4.0)

    @pytest.mark.parametrize(
        "prefix", ["", "base_model.model.", "base_model.model.language_model.", "language_model."]
    )
    def test_prefixes_of_other_pipelines(self, tmp_path: Path, prefix: str) -> None:
        check_factors(read_peft(tmp_path / "peft", peft_tensors(prefix)), 4.0)
        check_factors(read_mlx(tmp_path / "mlx", mlx_tensors(prefix)), 2.0)

    def test_keys_without_model_in_front(self, tmp_path: Path) -> None:
        tensors = {key.removeprefix("model."): value for key, value in mlx_tensors().items()}
        check_factors(read_mlx(tmp_path, tensors), 2.0)

    @pytest.mark.parametrize("prefix", ["language_model.", "model.language_model."])
    def test_base_with_a_prefix_of_its_own(self, tmp_path: Path, prefix: str) -> None:
        """mistral3: the layers sit under ``language_model.``."""
        layers = {prefix + path: shape for path, shape in LAYERS.items()}
        folder = write(tmp_path, peft_tensors(), PEFT_CONFIG, "peft")
        found = read_adapter("mine", folder, layers)
        assert set(found.factors) == {prefix + SQUARE, prefix + FLAT}

    @pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32], ids=str)
    def test_floating_dtypes(self, tmp_path: Path, dtype: mx.Dtype) -> None:
        tensors = {key: value.astype(dtype) for key, value in mlx_tensors().items()}
        found = read_mlx(tmp_path, tensors)
        a = found.factors[SQUARE].a
        assert a.dtype == mx.float32
        assert mx.allclose(a, mlx_tensors()[f"{SQUARE}.lora_a"], atol=2e-2)

    def test_rank_is_read_from_the_tensors(self, tmp_path: Path) -> None:
        config = {"lora_parameters": {"rank": 64, "scale": 2.0}}
        assert read_mlx(tmp_path, config=config).rank == RANK


class TestDigest:
    def test_is_of_the_content(self, tmp_path: Path) -> None:
        one = read_mlx(tmp_path / "one").digest
        assert read_mlx(tmp_path / "same").digest == one
        doubled = {key: value * 2 for key, value in mlx_tensors().items()}
        assert read_mlx(tmp_path / "other", doubled).digest != one

    def test_covers_the_config(self, tmp_path: Path) -> None:
        config = MLX_CONFIG | {"lora_parameters": {"scale": 3.0}}
        one = read_mlx(tmp_path / "one").digest
        assert read_mlx(tmp_path / "other", config=config).digest != one
        assert len(one) == hashlib.sha256().digest_size * 2


class TestScale:
    @pytest.mark.parametrize(
        ("parameters", "scale"),
        [
            ({"rank": RANK, "scale": 20.0}, 20.0),
            ({"rank": RANK, "scale": 2.0, "alpha": 99}, 2.0),
            ({"rank": RANK, "alpha": 32}, 32 / RANK),  # KeyError in mlx-lm 0.32
        ],
    )
    def test_mlx(self, tmp_path: Path, parameters: dict[str, Any], scale: float) -> None:
        found = read_mlx(tmp_path, config={"lora_parameters": parameters})
        assert found.factors[SQUARE].scale == pytest.approx(scale)

    @pytest.mark.parametrize(
        ("changes", "scale"),
        [
            ({}, 8 / RANK),
            ({"use_rslora": True}, 8 / math.sqrt(RANK)),
            ({"lora_alpha": 0.5}, 0.5 / RANK),
        ],
    )
    def test_peft(self, tmp_path: Path, changes: dict[str, Any], scale: float) -> None:
        assert read_peft(tmp_path, **changes).factors[FLAT].scale == pytest.approx(scale)

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"lora_parameters": {}},
            {"lora_parameters": None},
            {"lora_parameters": {"rank": RANK}},
            {"lora_parameters": {"alpha": 32}},
        ],
        ids=str,
    )
    def test_mlx_without_a_scale_is_refused_not_guessed(self, tmp_path: Path, config: Any) -> None:
        with pytest.raises(SourceError, match="nor alpha and rank"):
            read_mlx(tmp_path, config=config)

    @pytest.mark.parametrize("key", ["lora_alpha", "r"])
    def test_peft_without_a_scale_is_refused_not_guessed(self, tmp_path: Path, key: str) -> None:
        folder = write(tmp_path, peft_tensors(), without(PEFT_CONFIG, key), "peft")
        with pytest.raises(SourceError, match="the scale is unknown"):
            read_adapter("mine", folder, LAYERS)

    @pytest.mark.parametrize("value", [0, -1, "2", None, True, math.nan, math.inf], ids=str)
    def test_scale_that_is_no_positive_number(self, tmp_path: Path, value: Any) -> None:
        with pytest.raises(SourceError, match=r"lora_parameters\.scale must be above 0"):
            read_mlx(tmp_path / "mlx", config={"lora_parameters": {"scale": value}})
        with pytest.raises(SourceError, match="lora_alpha must be above 0"):
            read_peft(tmp_path / "peft", lora_alpha=value)

    def test_peft_rank_other_than_that_of_the_tensors(self, tmp_path: Path) -> None:
        """alpha / r with an r that is not the tensors' would be a guessed scale."""
        with pytest.raises(SourceError, match="rank"):
            read_peft(tmp_path, r=2 * RANK)

    def test_mlx_rank_other_than_that_of_the_tensors(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="rank"):
            read_mlx(tmp_path, config={"lora_parameters": {"rank": 2 * RANK, "alpha": 8}})


class TestPatterns:
    """Other ranks and alphas for some layers, as PEFT's config states them."""

    def read(self, folder: Path, **changes: Any) -> dict[str, float]:
        found = read_peft(folder, **changes)
        return {path: factors.scale for path, factors in found.factors.items()}

    @pytest.mark.parametrize(
        "pattern", ["q_proj", SQUARE, r"layers\.0\.self_attn\..*", "^" + SQUARE]
    )
    def test_alpha(self, tmp_path: Path, pattern: str) -> None:
        scales = self.read(tmp_path, alpha_pattern={pattern: 3})
        assert scales == {SQUARE: 3 / RANK, FLAT: 8 / RANK}

    def test_rank_is_that_of_the_tensors(self, tmp_path: Path) -> None:
        tensors = peft_tensors()
        head = f"base_model.model.{SQUARE}.lora_"
        tensors[f"{head}A.weight"] = mx.random.normal((5, WIDE))
        tensors[f"{head}B.weight"] = mx.random.normal((WIDE, 5))
        found = read_peft(tmp_path / "ok", tensors, rank_pattern={"q_proj": 5})
        assert found.rank == 5
        assert {p: (f.a.shape[1], f.scale) for p, f in found.factors.items()} == {
            SQUARE: (5, 8 / 5),
            FLAT: (RANK, 8 / RANK),
        }
        rooted = read_peft(
            tmp_path / "rooted",
            tensors,
            rank_pattern={"q_proj": 5},
            alpha_pattern={"v_proj": 6},
            use_rslora=True,
        )
        assert rooted.factors[SQUARE].scale == pytest.approx(8 / math.sqrt(5))
        assert rooted.factors[FLAT].scale == pytest.approx(6 / math.sqrt(RANK))

    def test_rank_other_than_that_of_the_tensors(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"q_proj has 2, stated 5"):
            read_peft(tmp_path, rank_pattern={"q_proj": 5})

    def test_of_several_ranks_that_fit_the_tensors_tell_which_it_was(self, tmp_path: Path) -> None:
        """PEFT trains with the first, and sorts them when it saves."""
        found = read_peft(tmp_path, rank_pattern={".*q_proj": 5, "self_attn.q_proj": 2})
        assert found.factors[SQUARE].scale == 8 / RANK

    def test_of_several_alphas_that_fit_nobody_can_tell(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"alpha_pattern gives .*q_proj both 3 and 4"):
            read_peft(tmp_path, alpha_pattern={".*q_proj": 3, "q_proj": 4})

    @pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
    @pytest.mark.parametrize(
        "value", [{"q_proj": 0}, {"q_proj": "8"}, {"(": 8}, {"": 8}, ["q_proj"], "q_proj"], ids=str
    )
    def test_unusable(self, tmp_path: Path, key: str, value: Any) -> None:
        with pytest.raises(SourceError, match=key):
            read_peft(tmp_path, **{key: value})


class TestDora:
    MAGNITUDE = {SQUARE: mx.arange(1.0, WIDE + 1), FLAT: mx.arange(1.0, LOW + 1)}

    def peft(self, suffix: str = "") -> Tensors:
        return peft_tensors() | {
            f"base_model.model.{path}.lora_magnitude_vector{suffix}": value
            for path, value in self.MAGNITUDE.items()
        }

    def mlx(self) -> Tensors:
        return mlx_tensors() | {f"{path}.m": value for path, value in self.MAGNITUDE.items()}

    @pytest.mark.parametrize("suffix", ["", ".default", ".weight", ".default.weight"])
    def test_peft(self, tmp_path: Path, suffix: str) -> None:
        self.check(read_peft(tmp_path, self.peft(suffix), use_dora=True), 4.0)

    def test_mlx(self, tmp_path: Path) -> None:
        self.check(read_mlx(tmp_path, self.mlx(), MLX_CONFIG | {"fine_tune_type": "dora"}), 2.0)

    def check(self, found: AdapterFiles, scale: float) -> None:
        check_factors(found, scale)
        assert found.dora
        for path, value in self.MAGNITUDE.items():
            assert mx.array_equal(found.factors[path].magnitude, value)
        assert found.nbytes == sum(value.nbytes for value in self.mlx().values())

    def test_plain_lora_has_none(self, tmp_path: Path) -> None:
        found = read_mlx(tmp_path)
        assert not found.dora
        assert all(factors.magnitude is None for factors in found.factors.values())

    def test_magnitudes_that_the_config_does_not_state(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"not state use_dora: .*magnitude_vector"):
            read_peft(tmp_path / "peft", self.peft())
        with pytest.raises(SourceError, match=r"not state fine_tune_type 'dora': .*q_proj\.m"):
            read_mlx(tmp_path / "mlx", self.mlx())

    def test_a_layer_without_its_magnitude(self, tmp_path: Path) -> None:
        tensors = without(self.peft(), f"base_model.model.{FLAT}.lora_magnitude_vector")
        with pytest.raises(SourceError, match=r"use_dora, but no magnitude for: .*1\.self_attn"):
            read_peft(tmp_path / "some", tensors, use_dora=True)
        with pytest.raises(SourceError, match="use_dora, but no magnitude"):
            read_peft(tmp_path / "none", use_dora=True)

    def test_a_magnitude_of_another_length(self, tmp_path: Path) -> None:
        tensors = self.mlx() | {f"{FLAT}.m": mx.ones((LOW + 1,))}
        with pytest.raises(SourceError, match=r"v_proj\.m \(5,\): the base's layer is out 4"):
            read_mlx(tmp_path, tensors, MLX_CONFIG | {"fine_tune_type": "dora"})


VOCABULARY = 12
EMBED, HEAD = "model.embed_tokens", "lm_head"


class TestEnds:
    """Embeddings and the output layer, where the base's list of layers has them."""

    ENDS = LAYERS | {EMBED: (VOCABULARY, WIDE), HEAD: (WIDE, VOCABULARY)}
    A, B = mx.random.normal((VOCABULARY, RANK)), mx.random.normal((RANK, WIDE))

    def peft(self, prefix: str = "base_model.model.") -> Tensors:
        return peft_tensors(prefix) | {
            f"{prefix}{EMBED}.lora_embedding_A": mx.contiguous(self.A.T),
            f"{prefix}{EMBED}.lora_embedding_B": mx.contiguous(self.B.T),
            f"{prefix}{HEAD}.lora_A.weight": mx.contiguous(self.B),
            f"{prefix}{HEAD}.lora_B.weight": mx.contiguous(self.A),
        }

    def mlx(self) -> Tensors:
        return mlx_tensors() | {
            f"{EMBED}.lora_a": self.A,
            f"{EMBED}.lora_b": self.B,
            f"{HEAD}.lora_a": mx.contiguous(self.B.T),
            f"{HEAD}.lora_b": mx.contiguous(self.A.T),
        }

    @pytest.mark.parametrize("form", ["peft", "mlx"])
    def test_both(self, tmp_path: Path, form: str) -> None:
        tensors = self.peft() if form == "peft" else self.mlx()
        config = PEFT_CONFIG if form == "peft" else MLX_CONFIG
        found = read_adapter("mine", write(tmp_path, tensors, config, form), self.ENDS)
        assert {EMBED, HEAD} <= set(found.factors)
        assert found.targets == ("embed_tokens", "lm_head", "q_proj", "v_proj")
        assert mx.array_equal(found.factors[EMBED].a, self.A)
        assert mx.array_equal(found.factors[EMBED].b, self.B)
        # only mlx-lm's change the logits of a base that makes them with its embeddings
        tied = found.factors[EMBED].tied
        assert tied is None if form == "peft" else tied is found.factors[EMBED].b
        assert found.factors[EMBED].nbytes == self.A.nbytes + self.B.nbytes
        assert all(f.tied is None for path, f in found.factors.items() if path != EMBED)
        assert mx.array_equal(found.factors[HEAD].a, self.B.T)
        assert mx.array_equal(found.factors[HEAD].b, self.A.T)

    def test_patterns_fit_embeddings_too(self, tmp_path: Path) -> None:
        patterns = {"r": RANK + 1, "rank_pattern": {"embed_tokens|lm_head|._proj": RANK}}
        config = PEFT_CONFIG | patterns | {"alpha_pattern": {"embed_tokens": 3 * RANK}}
        found = read_adapter("mine", write(tmp_path, self.peft(), config, "peft"), self.ENDS)
        assert found.factors[EMBED].scale == 3
        assert found.factors[HEAD].scale == PEFT_CONFIG["lora_alpha"] / RANK
        wrong = config | {"rank_pattern": {"lm_head|._proj": RANK}}
        with pytest.raises(SourceError, match=rf"embed_tokens has {RANK}, stated {RANK + 1}"):
            read_adapter("mine", write(tmp_path / "2", self.peft(), wrong, "peft"), self.ENDS)

    def test_a_base_with_a_prefix_of_its_own(self, tmp_path: Path) -> None:
        layers = {f"language_model.{path}": shape for path, shape in self.ENDS.items()}
        found = read_adapter("mine", write(tmp_path, self.peft(), PEFT_CONFIG, "peft"), layers)
        assert {f"language_model.{EMBED}", f"language_model.{HEAD}"} <= set(found.factors)

    def test_embeddings_that_this_base_has_not(self, tmp_path: Path) -> None:
        folder = write(tmp_path, self.peft(), PEFT_CONFIG, "peft")
        with pytest.raises(SourceError, match=r"embed_tokens; this base has no embeddings of"):
            read_adapter("mine", folder, without(self.ENDS, EMBED))

    def test_an_output_layer_that_this_base_has_not(self, tmp_path: Path) -> None:
        folder = write(tmp_path, self.mlx(), MLX_CONFIG, "mlx")
        with pytest.raises(SourceError, match=r"lm_head; .*tied to the embeddings"):
            read_adapter("mine", folder, without(self.ENDS, HEAD))

    def test_dora_of_embeddings(self, tmp_path: Path) -> None:
        tensors = {f"{EMBED}.lora_a": self.A, f"{EMBED}.lora_b": self.B}
        tensors[f"{EMBED}.m"] = mx.ones((VOCABULARY,))
        folder = write(tmp_path, tensors, MLX_CONFIG | {"fine_tune_type": "dora"}, "mlx")
        with pytest.raises(SourceError, match=r"embed_tokens\.m: DoRA on embeddings"):
            read_adapter("mine", folder, self.ENDS)

    def test_experts_stored_one_by_one(self, tmp_path: Path) -> None:
        expert = "model.layers.0.mlp.experts.3.up_proj"
        tensors = {
            f"{expert}.lora_a": mx.ones((WIDE, RANK)),
            f"{expert}.lora_b": mx.ones((RANK, 4)),
        }
        with pytest.raises(SourceError, match=r"experts\.3\.up_proj; adapters of MoE experts"):
            read_mlx(tmp_path, tensors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [*PEFT_CONFIG, *MLX_CONFIG, "init_lora_weights", "lora_bias", "bias", "anything"]
)


class TestAnyConfig:
    @settings(deadline=None, max_examples=200)
    @given(st.dictionaries(KEYS, JSON, max_size=4), st.sampled_from(["mlx", "peft"]))
    def test_is_read_or_refused_with_one_line(
        self, tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], form: str
    ) -> None:
        folder = tmp_path_factory.getbasetemp() / f"fuzzed-{form}"
        mlx = form == "mlx"
        config = (MLX_CONFIG if mlx else PEFT_CONFIG) | changes
        write(folder, mlx_tensors() if mlx else peft_tensors(), config, form)
        said = ""
        try:
            found = read_adapter("mine", folder, LAYERS)
            assert all(math.isfinite(f.scale) and f.scale > 0 for f in found.factors.values())
        except SourceError as error:
            said = str(error)
        assert said.isprintable()


class TestOptions:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("target_parameters", ["experts.w"]),
            ("monteclora_config", {"x": 1}),
            ("ensure_weight_tying", True),
            ("an_option_of_next_year", True),
            ("modules_to_save", ["lm_head"]),
            ("bias", "all"),
            ("lora_bias", True),
            ("fan_in_fan_out", True),
            ("layer_replication", [[0, 1], [0, 1]]),
            ("trainable_token_indices", [1, 2]),
            ("alora_invocation_tokens", [7, 8]),
            ("use_qalora", True),
            ("use_bdlora", {"nblocks": 2}),
            ("arrow_config", {"top_k": 2}),
            ("kasa_config", {"beta": 1e-4}),
            ("init_lora_weights", "pissa_niter_4"),
            ("init_lora_weights", "olora"),
        ],
    )
    def test_peft_option_is_refused_by_name(self, tmp_path: Path, key: str, value: Any) -> None:
        with pytest.raises(SourceError, match=f"PEFT option {key}="):
            read_peft(tmp_path, **{key: value})

    @pytest.mark.parametrize("kind", ["IA3", "LOHA"])
    def test_other_peft_types(self, tmp_path: Path, kind: str) -> None:
        with pytest.raises(SourceError, match=f"peft_type '{kind}'"):
            read_peft(tmp_path, peft_type=kind)

    @pytest.mark.parametrize("kind", ["full", "qlora", 3])
    def test_other_mlx_types(self, tmp_path: Path, kind: Any) -> None:
        with pytest.raises(SourceError, match=f"fine_tune_type {kind!r}"):
            read_mlx(tmp_path, config=MLX_CONFIG | {"fine_tune_type": kind})


class TestTensors:
    """Every tensor is applied or named; none is left out without a word."""

    @pytest.mark.parametrize(
        "key",
        [
            "base_model.model.model.embed_tokens.weight",
            "base_model.model.model.embed_tokens.base_layer.weight",
            "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
            "base_model.model.lm_head.modules_to_save.weight",
            f"base_model.model.{SQUARE}.lora_B.bias",
        ],
    )
    def test_stranger_in_a_peft_file(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(SourceError, match="not LoRA A or B factors") as refused:
            read_peft(tmp_path, peft_tensors() | {key: mx.ones((4, 4))})
        assert key in str(refused.value)

    @pytest.mark.parametrize("key", [f"{SQUARE}.mm", f"{SQUARE}.lora_c", "model.norm.weight"])
    def test_stranger_in_an_mlx_file(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(SourceError, match="not LoRA A or B factors") as refused:
            read_mlx(tmp_path, mlx_tensors() | {key: mx.ones((4,))})
        assert key in str(refused.value)

    def test_moe_factors(self, tmp_path: Path) -> None:
        """mlx-lm's LoRASwitchLinear has three dimensions."""
        with pytest.raises(SourceError, match=r"not LoRA A or B factors.*MoE experts"):
            read_mlx(tmp_path, mlx_tensors() | {f"{SQUARE}.lora_a": mx.ones((3, WIDE, RANK))})

    def test_names_of_the_other_format(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="not LoRA A or B factors"):
            read_mlx(tmp_path, peft_tensors())

    @pytest.mark.parametrize("half", ["lora_a", "lora_b"])
    def test_one_sided_pair(self, tmp_path: Path, half: str) -> None:
        with pytest.raises(SourceError, match="only one of A and B") as refused:
            read_mlx(tmp_path, without(mlx_tensors(), f"{FLAT}.{half}"))
        assert FLAT in str(refused.value)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
    def test_not_finite(self, tmp_path: Path, value: float) -> None:
        tensors = mlx_tensors()
        tensors[f"{SQUARE}.lora_b"][1, 1] = value
        with pytest.raises(SourceError, match="NaN or infinity") as refused:
            read_mlx(tmp_path, tensors)
        assert f"{SQUARE}.lora_b" in str(refused.value)

    @pytest.mark.parametrize("dtype", [mx.int8, mx.uint8, mx.int32, mx.bool_], ids=str)
    def test_integers_are_no_factors(self, tmp_path: Path, dtype: mx.Dtype) -> None:
        """Quantised factors stored without their scales would load as huge numbers."""
        tensors = mlx_tensors()
        tensors[f"{SQUARE}.lora_a"] = mx.ones((WIDE, RANK)).astype(dtype)
        with pytest.raises(SourceError, match="dtype") as refused:
            read_mlx(tmp_path, tensors)
        assert f"{SQUARE}.lora_a" in str(refused.value)

    def test_no_tensor_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="holds no tensor"):
            read_mlx(tmp_path, {})

    @pytest.mark.parametrize(
        "again",
        [
            {f"base_model.model.{SQUARE}.lora_A.default.weight": mx.ones((RANK, WIDE))},
            {
                f"base_model.model.language_model.{SQUARE}.lora_A.weight": mx.ones((RANK, WIDE)),
                f"base_model.model.language_model.{SQUARE}.lora_B.weight": mx.ones((WIDE, RANK)),
            },
        ],
        ids=["same factor", "same layer"],
    )
    def test_two_tensors_for_one_place(self, tmp_path: Path, again: Tensors) -> None:
        """Of two keys that mean one layer, neither may silently win."""
        with pytest.raises(SourceError, match="twice"):
            read_peft(tmp_path, peft_tensors() | again)


def _transposed(tensors: Tensors, path: str) -> Tensors:
    changed = dict(tensors)
    for half in ("lora_a", "lora_b"):
        changed[f"{path}.{half}"] = mx.contiguous(tensors[f"{path}.{half}"].T)
    return changed


SHAPES: dict[str, Callable[[], Tensors]] = {
    "PEFT orientation in an MLX file, square layer": lambda: _transposed(mlx_tensors(), SQUARE),
    "PEFT orientation in an MLX file": lambda: _transposed(mlx_tensors(), FLAT),
    "other input": lambda: mlx_tensors() | {f"{SQUARE}.lora_a": mx.ones((WIDE + 1, RANK))},
    "other output": lambda: mlx_tensors() | {f"{FLAT}.lora_b": mx.ones((RANK, WIDE))},
    "A and B of other ranks": lambda: mlx_tensors() | {f"{FLAT}.lora_a": mx.ones((WIDE, 3))},
    "A and B exchanged": lambda: (
        mlx_tensors()
        | {f"{SQUARE}.lora_a": mx.ones((RANK, WIDE)), f"{SQUARE}.lora_b": mx.ones((WIDE, RANK))}
    ),
}


class TestFit:
    @pytest.mark.parametrize("tensors", SHAPES.values(), ids=SHAPES)
    def test_shapes_that_do_not_fit(self, tmp_path: Path, tensors: Callable[[], Tensors]) -> None:
        with pytest.raises(SourceError, match="but the base's layer is in 8, out"):
            read_mlx(tmp_path, tensors())

    def test_peft_file_in_mlx_orientation(self, tmp_path: Path) -> None:
        turned = {key: mx.contiguous(value.T) for key, value in peft_tensors().items()}
        with pytest.raises(SourceError, match="but the base's layer is in 8, out 8"):
            read_peft(tmp_path, turned)

    def test_a_full_rank_square_pair_is_turned_by_its_format(self, tmp_path: Path) -> None:
        """rank = in = out: only the format says which way round the factors are."""
        keys = (f"{SQUARE}.lora_a", f"{SQUARE}.lora_b")
        a, b = (mx.random.normal((WIDE, WIDE)) for _ in keys)
        in_mlx = read_mlx(tmp_path / "mlx", dict(zip(keys, (a, b), strict=True)))
        head = f"base_model.model.{SQUARE}"
        pair = {
            f"{head}.lora_A.weight": mx.contiguous(a.T),
            f"{head}.lora_B.weight": mx.contiguous(b.T),
        }
        in_peft = read_peft(tmp_path / "peft", pair, r=WIDE)
        for found in (in_mlx, in_peft):
            assert mx.array_equal(found.factors[SQUARE].a, a)
            assert mx.array_equal(found.factors[SQUARE].b, b)

    @pytest.mark.parametrize(
        ("old", "new"), [("layers.1.", "layers.9."), ("v_proj", "wv"), ("self_attn", "mixer")]
    )
    def test_adapter_of_another_base_names_what_is_missing(
        self, tmp_path: Path, old: str, new: str
    ) -> None:
        tensors = {key.replace(old, new): value for key, value in mlx_tensors().items()}
        with pytest.raises(SourceError, match="is it an adapter of another base") as refused:
            read_mlx(tmp_path, tensors)
        assert new in str(refused.value)

    def test_a_vision_tower_with_the_same_names_takes_none_of_the_factors(
        self, tmp_path: Path
    ) -> None:
        layers = LAYERS | {path.replace("model.", "vision_tower."): s for path, s in LAYERS.items()}
        folder = write(tmp_path, peft_tensors(), PEFT_CONFIG, "peft")
        assert set(read_adapter("mine", folder, layers).factors) <= set(LAYERS)

    def test_vision_tower_of_the_base_does_not_take_the_language_models_factors(
        self, tmp_path: Path
    ) -> None:
        layers = LAYERS | {path.replace("model.", "vision_tower."): s for path, s in LAYERS.items()}
        folder = write(tmp_path, peft_tensors(), PEFT_CONFIG, "peft")
        check_factors(read_adapter("mine", folder, layers), 4.0)

    def test_ambiguous_layer_is_refused(self, tmp_path: Path) -> None:
        layers = LAYERS | {f"language_model.{path}": shape for path, shape in LAYERS.items()}
        folder = write(tmp_path, peft_tensors(), PEFT_CONFIG, "peft")
        with pytest.raises(SourceError, match="not layers of this base"):
            read_adapter("mine", folder, layers)

    def test_factors_of_a_vision_tower_are_not_put_into_the_language_model(
        self, tmp_path: Path
    ) -> None:
        tensors = {key.replace("model.", "vision_tower.", 1): v for key, v in mlx_tensors().items()}
        with pytest.raises(SourceError, match="not layers of this base"):
            read_mlx(tmp_path, tensors)


class TestFolder:
    def test_both_formats(self, tmp_path: Path) -> None:
        write(tmp_path, peft_tensors(), PEFT_CONFIG, "peft")
        with pytest.raises(SourceError, match="holds both formats"):
            read_mlx(tmp_path)

    def test_neither_format(self, tmp_path: Path) -> None:
        (tmp_path / "adapter_config.json").write_text("{}")
        (tmp_path / "adapter_model.bin").write_bytes(b"a pickle is never opened")
        with pytest.raises(SourceError, match=r"neither .*bin, which is never opened; save"):
            read_adapter("mine", tmp_path, LAYERS)

    @pytest.mark.parametrize("file", ["pytorch_lora.pt", "a.pickle", "adapters.npz", "x.ckpt"])
    def test_only_files_that_are_never_opened(self, tmp_path: Path, file: str) -> None:
        (tmp_path / file).write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
        with pytest.raises(SourceError, match=f"{file}, which is never opened"):
            read_adapter("mine", tmp_path, LAYERS)

    @pytest.mark.parametrize("file", ["adapters.safetensors", "adapter_config.json"])
    def test_link_that_leaves_the_folder(self, tmp_path: Path, file: str) -> None:
        folder = write(tmp_path / "adapter", mlx_tensors(), MLX_CONFIG, "mlx")
        (folder / file).rename(tmp_path / file)
        (folder / file).symlink_to(tmp_path / file)
        with pytest.raises(SourceError, match="link that leaves its folder"):
            read_adapter("mine", folder, LAYERS)

    def test_links_of_the_hubs_cache_are_followed(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "snapshots" / "1234", mlx_tensors(), MLX_CONFIG, "mlx")
        (tmp_path / "blobs").mkdir()
        for file in list(folder.iterdir()):
            blob = tmp_path / "blobs" / file.name.upper()
            file.rename(blob)
            file.symlink_to(f"../../blobs/{blob.name}")
        check_factors(read_adapter("mine", folder, LAYERS), 2.0)

    def test_a_link_to_the_folder_itself_is_no_matter(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "adapter", mlx_tensors(), MLX_CONFIG, "mlx")
        (tmp_path / "linked").symlink_to(folder)
        check_factors(read_adapter("mine", tmp_path / "linked", LAYERS), 2.0)

    def test_a_huge_config(self, tmp_path: Path) -> None:
        folder = write(tmp_path, mlx_tensors(), MLX_CONFIG | {"pad": "x" * (1 << 20)}, "mlx")
        with pytest.raises(SourceError, match="longer than"):
            read_adapter("mine", folder, LAYERS)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="does not exist; correct 'source'"):
            read_adapter("mine", tmp_path / "nowhere", LAYERS)

    def test_no_config(self, tmp_path: Path) -> None:
        folder = write(tmp_path, mlx_tensors(), None, "mlx")
        with pytest.raises(SourceError, match=r"adapter_config\.json' is missing"):
            read_adapter("mine", folder, LAYERS)

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", '"scale"', "[" * 100_000])
    def test_broken_config(self, tmp_path: Path, text: str) -> None:
        folder = write(tmp_path, mlx_tensors(), None, "mlx")
        (folder / "adapter_config.json").write_text(text)
        with pytest.raises(SourceError, match=r"can't be read|not a JSON object"):
            read_adapter("mine", folder, LAYERS)

    @pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 64])
    def test_broken_weights(self, tmp_path: Path, content: bytes) -> None:
        folder = write(tmp_path, mlx_tensors(), MLX_CONFIG, "mlx")
        (folder / "adapters.safetensors").write_bytes(content)
        with pytest.raises(SourceError, match="can't be read"):
            read_adapter("mine", folder, LAYERS)

    def test_truncated_weights(self, tmp_path: Path) -> None:
        folder = write(tmp_path, mlx_tensors(), MLX_CONFIG, "mlx")
        file = folder / "adapters.safetensors"
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(SourceError, match="can't be read"):
            read_adapter("mine", folder, LAYERS)

    def test_a_header_that_lies(self, tmp_path: Path) -> None:
        folder = write(tmp_path, mlx_tensors(), MLX_CONFIG, "mlx")
        file = folder / "adapters.safetensors"
        file.write_bytes(file.read_bytes()[:-4])
        with pytest.raises(SourceError, match=r"adapters\.safetensors' can't be read: its header"):
            read_adapter("mine", folder, LAYERS)

    def test_names_of_tensors_can_not_forge_a_line_of_the_log(self, tmp_path: Path) -> None:
        tensors = mlx_tensors() | {"x\nerror: fine\x1b[2J": mx.ones((2, 2))}
        with pytest.raises(SourceError) as refused:
            read_mlx(tmp_path, tensors)
        assert str(refused.value).isprintable()

    def test_the_data_are_not_read_of_an_adapter_whose_shapes_do_not_fit(
        self, tmp_path: Path
    ) -> None:
        """NaN in the data would be found first if they were."""
        tensors = mlx_tensors() | {f"{SQUARE}.lora_a": mx.full((WIDE + 1, RANK), math.nan)}
        with pytest.raises(SourceError, match="but the base's layer is in 8"):
            read_mlx(tmp_path, tensors)


class TestThreads:
    """A loader thread reads while the engine thread computes."""

    def test_what_another_thread_read_is_computed_with_here(self, tmp_path: Path) -> None:
        """An array that MLX has not yet computed can't be evaluated in another thread."""
        with ThreadPoolExecutor(1) as pool:
            for form, read in (("mlx", read_mlx), ("peft", read_peft)):
                found = pool.submit(read, tmp_path / form).result()
                for factors in found.factors.values():
                    mx.eval(factors.a.astype(mx.bfloat16) @ factors.b.astype(mx.bfloat16))
                check_factors(found, 2.0 if form == "mlx" else 4.0)

    def test_reading_while_a_model_runs(self, tmp_path: Path) -> None:
        model = tiny_model()
        wide = {p: s for p, s in linear_layers(model).items() if "layers." in p}
        tensors: Tensors = {}
        for number, (path, (wide_in, wide_out)) in enumerate(wide.items()):
            key = mx.random.key(number)
            tensors[f"{path}.lora_a"] = mx.random.normal((wide_in, 8), key=key)
            tensors[f"{path}.lora_b"] = mx.random.normal((8, wide_out), key=key)
        folder = write(tmp_path, tensors, MLX_CONFIG, "mlx")
        tokens = mx.array([[1, 2, 3, 4]])
        alone = model(tokens)
        mx.eval(alone)
        with ThreadPoolExecutor(2) as pool:
            reads = [pool.submit(read_adapter, "mine", folder, wide) for _ in range(40)]
            while not all(read.done() for read in reads):
                assert mx.array_equal(model(tokens), alone)
        for read in reads:
            for path, factors in read.result().factors.items():
                assert mx.array_equal(factors.a, tensors[f"{path}.lora_a"])
                assert mx.array_equal(factors.b, tensors[f"{path}.lora_b"])
