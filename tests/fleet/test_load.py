"""A fleet file: every fault is named with its line and the mend."""

from pathlib import Path

import pytest

from fleet.errors import FleetError
from fleet.load import load_fleet, parse_fleet
from fleet.schema import is_hub_id
from tests.fleet.files import SOUND, changed, fault, line_with, parse

ROOT = Path(__file__).resolve().parents[2]


def test_the_file_of_the_repository_loads():
    fleet = load_fleet(ROOT / "adapters.yaml")
    assert set(fleet.bases) == {"apertus", "devstral"}
    assert len(fleet.adapters) == 12
    assert {a.domain for a in fleet.adapters.values()} == set(fleet.domains)


def test_a_sound_file_with_its_defaults():
    fleet = parse(SOUND)
    base = fleet.bases["apertus"]
    assert (base.slots, base.dtype, base.max_rows, base.max_queue) == (16, "auto", 32, 256)
    assert base.max_model_len is None
    assert fleet.adapters["power"].status == "active"
    assert fleet.fallback_base == "apertus"
    assert parse(SOUND + "default_base: devstral\n").fallback_base == "devstral"
    smallest = parse('version: 1\nbases:\n  a: {engine: openai, url: "http://a", model: m}\n')
    assert smallest.prefix == "ailiance"
    assert smallest.bases["a"].engine == "openai"


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        # a key that nothing reads
        ("aliases:", "aliasses:", "aliasses", ("'aliasses'", "did you mean 'aliases'?")),
        ("source: power-lora", "sorce: x", "power:", ("'adapters.power.sorce'", "'source'?")),
        ('url: "http://a", model', 'url: "http://a", modle', "http://a", ("modle", "'model'?")),
        ("aliases:", "qqq: 1\naliases:", "qqq", ("unknown key 'qqq'", "known here: version")),
        ("aliases:", "folder: .\naliases:", "folder", ("unknown key 'folder'",)),
        ("aliases:", "<<: {a: b}\naliases:", "<<", ("unknown key '<<'",)),
        ("aliases:", "[a]: b\naliases:", "[a]", ("a key must be text",)),
        # one key, two values
        ("  python:", "  power:", "python-lora", ("'power' stands twice", "first at line 7")),
        ("aliases:", "prefix: b\naliases:", "prefix: b", ("'prefix' stands twice",)),
        # things that name each other
        ("base: devstral", "base: devstrall", "devstrall", ("unknown base 'devstrall'", "known:")),
        (
            "  python:",
            "  devstral:",
            "python-lora",
            ("adapter and base are both named 'devstral'",),
        ),
        ("aliases:", "default_base: x\naliases:", "default_base", ("'x' is no base", "apertus")),
        ("power-lora", "power-lora, domain: law", "law", ("domain 'law'", "'domains' lacks")),
        # one public name, two things
        ("  power:", "  auto:", "auto", ("both served as 'ai-apertus-auto'", "rename one")),
        ("gpt-4o: ai", "ai-apertus: ai", "ai-apertus:", ("aliases.ai-apertus", "rename one")),
        ("gpt-4o: ai", "ai: ai-apertus", "ai: ai-apertus", ("aliases.ai and prefix",)),
        ("gpt-4o: ai", "gpt-4o: ai-law", "gpt-4o", ("'ai-law'", "nothing is served as", "one of")),
        # values
        ("version: 1", "version: 2", "version", ("version: Input should be 1",)),
        ("prefix: ai", "prefix: AI", "prefix", ("'AI' is not a usable name", "lower-case")),
        ("  power:", "  p q:", "p q", ("'p q' is not a usable name",)),
        ('engine: openai, url: "http://a", ', "engine: openai, ", "apertus:", ("needs 'url'",)),
        ('engine: openai, url: "http://a", ', "url: x, ", "apertus:", ("'url' goes with engine",)),
        ('engine: openai, url: "http://a"', "engine: vllm, url: x", "vllm", ("'mlx' or 'openai'",)),
        ("model: org/apertus", "model: m, slots: 0", "slots", ("bases.apertus.slots", "1")),
        ("model: org/apertus", "model: m, max_rows: 1000", "max_rows", ("512",)),
        ("model: org/apertus", "model: m, dtype: int8", "dtype", ("bfloat16",)),
        ("power-lora", "power-lora, status: broken", "broken", ("quarantined",)),
        ("power-lora", "power-lora, status: quarantined", "quarantined", ("needs a 'reason'",)),
        ("gpt-4o: ai", "gpt-4o: 5", "gpt-4o", ("aliases.gpt-4o", "string")),
        (
            "aliases:",
            "domains: []\naliases:",
            "domains",
            ("domains: Input should be a valid dict",),
        ),
        # YAML itself
        ("gpt-4o: ai", "gpt-4o: ai: b", "gpt-4o", ("not valid YAML",)),
        ("  python:", "\tpython:", "python-lora", ("not valid YAML",)),
        ("gpt-4o: ai", "gpt-4o: *x", "gpt-4o", ("not valid YAML", "undefined alias")),
        ("gpt-4o: ai", "gpt-4o: 2026-02-30", "gpt-4o", ("2026-02-30", "put it in quotes")),
        ("version: 1", "version: !!int one", "version", ("'one'", "put it in quotes")),
        ("version: 1", "version: !!python/name:os.system", "version", ("not valid YAML",)),
        ("aliases:", "---\naliases:", "---", ("not valid YAML", "another document")),
    ],
)
def test_a_fault_is_named_with_its_line(old, new, at, words):
    text = changed(old, new)
    error = fault(text)
    for word in words:
        assert word in error.message
    assert error.line == line_with(text, at)
    assert str(error) == f"adapters.yaml:{error.line}: {error.message}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty; it needs at least 'version: 1' and 'bases:'"),
        ("# nothing but a comment\n", "empty"),
        ("[]\n", "not a mapping"),
        ("just words\n", "not a mapping"),
        ("a: &a [*a]\n", "nested without end"),
        ("[" * 5000, "nested without end"),
        ("version: \x00\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_at_all(text, words):
    error = fault(text)
    assert error.line is None
    assert words in error.message


def test_what_is_missing_is_named():
    assert "'bases' is missing; add it" in fault("version: 1\n").message
    assert "'version' is missing; add it" in fault("bases: {a: {model: m}}\n").message
    error = fault(changed(", source: power-lora", ""))
    assert "'adapters.power.source' is missing; add it" in error.message
    assert error.line == 7
    assert fault("version: 1\nbases: {}\n").line == 2


DOMAINS = """\
domains:
  energy: {description: e, examples: EXAMPLES}
"""


def with_domain(status: str = "") -> str:
    """Two adapters that serve one domain on one base."""
    text = changed("power-lora", "power-lora, domain: energy")
    text = text.replace("aliases:", DOMAINS + "aliases:").replace("EXAMPLES", __file__)
    other = f"  battery: {{base: apertus, source: battery-lora, domain: energy{status}}}\n"
    return text.replace("  python:", f"{other}  python:")


def test_two_adapters_of_one_base_cannot_serve_one_domain():
    text = with_domain()
    error = fault(text)
    assert error.line == line_with(text, "battery:")
    assert "'power' and 'battery' both serve domain 'energy' on base 'apertus'" in error.message


def test_a_quarantined_adapter_does_not_take_its_domain():
    assert len(parse(with_domain(", status: quarantined, reason: loops")).adapters) == 3


def test_two_bases_may_serve_one_domain():
    text = with_domain().replace("battery: {base: apertus", "battery: {base: devstral")
    assert len(parse(text).adapters) == 3


@pytest.fixture
def folder(tmp_path):
    for name in ("model", "adapter"):
        (tmp_path / name).mkdir()
    (tmp_path / "examples.yaml").touch()
    return tmp_path


LOCAL = """\
version: 1
bases:
  a: {model: model}
adapters:
  x: {base: a, source: adapter, domain: d}
domains:
  d: {description: d, examples: examples.yaml}
"""


def test_paths_start_at_the_folder_of_the_file(folder, monkeypatch):
    monkeypatch.chdir("/")
    (folder / "adapters.yaml").write_text(LOCAL)
    fleet = load_fleet(folder / "adapters.yaml")
    assert fleet.resolve(fleet.bases["a"].model) == folder / "model"
    assert fleet.resolve("/other/place") == Path("/other/place")


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("model: model", "bases.a.model"),
        ("source: adapter", "adapters.x.source"),
        ("examples: examples.yaml", "domains.d.examples"),
    ],
)
def test_a_path_that_is_not_there(folder, missing, key):
    text = LOCAL.replace(missing, missing.split(":")[0] + ": nowhere")
    error = fault(text, folder / "adapters.yaml")
    assert error.message == f"{key}: no file or folder '{folder / 'nowhere'}'; correct the path"
    assert error.line == line_with(text, "nowhere")


def test_a_hub_id_is_not_looked_for_on_disk(folder):
    text = LOCAL.replace("model: model", "model: org/name@abc").replace("adapter,", "o/n@1,")
    assert parse(text, folder / "adapters.yaml").bases["a"].model == "org/name@abc"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("org/name@revision", True),
        ("org/name", False),
        ("name@revision", False),
        ("./org/name@1", False),
        ("../name@1", False),
        ("/org/name@1", False),
        ("~/name@1", False),
        ("a/b/c@1", False),
    ],
)
def test_a_hub_id_states_its_revision(source, expected):
    assert is_hub_id(source) is expected


def test_more_adapters_than_slots(folder):
    text = LOCAL.replace("model: model", "model: model, slots: 1")
    text = text.replace("domains:", "  y: {base: a, source: adapter}\ndomains:")
    fleet = parse_fleet(text, folder / "adapters.yaml")
    assert (len(fleet.adapters), fleet.bases["a"].slots) == (2, 1)


def test_pins_leave_a_slot_for_those_that_take_turns(folder):
    text = LOCAL.replace("model: model", "model: model, slots: 1")
    text = text.replace("domains:", "  y: {base: a, source: adapter, pinned: true}\ndomains:")
    error = fault(text, folder / "adapters.yaml")
    assert "base 'a' has 2 adapters and 1 slots, 1 of them pinned" in error.message
    assert error.line == line_with(text, "pinned")
    assert parse_fleet(text.replace("slots: 1", "slots: 2"), folder / "adapters.yaml")


def test_slots_do_not_concern_another_engine():
    text = changed("model: org/apertus", "model: m, slots: 1")
    text = text.replace("  python:", "  battery: {base: apertus, source: b}\n  python:")
    assert len(parse(text).adapters) == 3


def test_a_file_that_cannot_be_read(tmp_path):
    for path, words in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "can't be read")):
        with pytest.raises(FleetError, match=words) as caught:
            load_fleet(path)
        assert caught.value.line is None
        assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_utf8(tmp_path):
    (tmp_path / "adapters.yaml").write_bytes(b"prefix: \xff\n")
    with pytest.raises(FleetError, match="can't be read"):
        load_fleet(tmp_path / "adapters.yaml")


def test_a_fleet_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse(SOUND).prefix = "other"


QUIET = ", status: quarantined, reason: r"


@pytest.mark.parametrize("examples", ["[]", "{a: b}", "[x, 3]", "[how to: y]"])
def test_examples_that_are_no_texts_name_the_mend(examples):
    text = with_domain(QUIET).replace("examples: " + __file__, f"examples: {examples}")
    error = fault(text)
    assert error.line == line_with(text, "energy: {")
    assert "domains.energy.examples: a path, or a list of texts" in error.message


@pytest.mark.parametrize("source", ["~nobody-here/x", "a" * 5000])
def test_a_text_that_can_be_no_path_is_refused(source):
    text = with_domain(QUIET).replace("examples: " + __file__, f"examples: '{source}'")
    assert "correct the path" in fault(text).message
    assert "router.weights" in fault(with_domain(QUIET) + f"router: '{source}'\n").message


def test_router_files_are_a_path_or_both_parts():
    assert "a path of weights, or {weights" in fault(with_domain(QUIET) + "router: 3\n").message
