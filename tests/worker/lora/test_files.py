"""Every way in which an adapter's files can be wrong, on small real files."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from fleet.errors import SourceError
from worker.lora.files import AdapterFiles, read_adapter

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


class TestOptions:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("use_dora", True),
            ("rank_pattern", {"q_proj": 8}),
            ("alpha_pattern", {"q_proj": 8}),
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

    @pytest.mark.parametrize("kind", ["dora", "full"])
    def test_other_mlx_types(self, tmp_path: Path, kind: str) -> None:
        with pytest.raises(SourceError, match=f"fine_tune_type '{kind}'"):
            read_mlx(tmp_path, config=MLX_CONFIG | {"fine_tune_type": kind})


class TestTensors:
    """Every tensor is applied or named; none is left out without a word."""

    @pytest.mark.parametrize(
        "key",
        [
            f"base_model.model.{SQUARE}.lora_magnitude_vector",
            "base_model.model.model.embed_tokens.weight",
            "base_model.model.lm_head.modules_to_save.weight",
            f"base_model.model.{SQUARE}.lora_embedding_A",
            f"base_model.model.{SQUARE}.lora_B.bias",
        ],
    )
    def test_stranger_in_a_peft_file(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(SourceError, match="not LoRA A or B factors") as refused:
            read_peft(tmp_path, peft_tensors() | {key: mx.ones((4, 4))})
        assert key in str(refused.value)

    @pytest.mark.parametrize("key", [f"{SQUARE}.m", f"{SQUARE}.lora_c", "model.norm.weight"])
    def test_stranger_in_an_mlx_file(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(SourceError, match="not LoRA A or B factors") as refused:
            read_mlx(tmp_path, mlx_tensors() | {key: mx.ones((4,))})
        assert key in str(refused.value)

    def test_moe_factors(self, tmp_path: Path) -> None:
        """mlx-lm's LoRASwitchLinear has three dimensions."""
        with pytest.raises(SourceError, match="not LoRA A or B factors"):
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
        with pytest.raises(SourceError, match="not linear layers of this base"):
            read_adapter("mine", folder, layers)

    def test_factors_of_a_vision_tower_are_not_put_into_the_language_model(
        self, tmp_path: Path
    ) -> None:
        tensors = {key.replace("model.", "vision_tower.", 1): v for key, v in mlx_tensors().items()}
        with pytest.raises(SourceError, match="not linear layers of this base"):
            read_mlx(tmp_path, tensors)


class TestFolder:
    def test_both_formats(self, tmp_path: Path) -> None:
        write(tmp_path, peft_tensors(), PEFT_CONFIG, "peft")
        with pytest.raises(SourceError, match="holds both formats"):
            read_mlx(tmp_path)

    def test_neither_format(self, tmp_path: Path) -> None:
        (tmp_path / "adapter_config.json").write_text("{}")
        (tmp_path / "adapter_model.bin").write_bytes(b"a pickle is never opened")
        with pytest.raises(SourceError, match="holds neither"):
            read_adapter("mine", tmp_path, LAYERS)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="does not exist; correct 'source'"):
            read_adapter("mine", tmp_path / "nowhere", LAYERS)

    def test_no_config(self, tmp_path: Path) -> None:
        folder = write(tmp_path, mlx_tensors(), None, "mlx")
        with pytest.raises(SourceError, match=r"adapter_config\.json' is missing"):
            read_adapter("mine", folder, LAYERS)

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", '"scale"'])
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
