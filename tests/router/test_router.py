"""The shipped router: the contract, hard inputs, and figures on prompts by another author.

The floors stand a little under the figures of docs/router.md; unseen.yaml is never trained on
and no threshold was chosen on it.
"""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml

from router import DEFAULT_WEIGHTS, Decision, Router, RouterError, Turn
from router.exemplars import Exemplar

UNSEEN = Path(__file__).parent / "data" / "unseen.yaml"
ACCURACY_FLOOR, F1_FLOOR, OOD_FLOOR, LANGUAGE_GAP, TYPO_COST = 0.92, 0.925, 0.90, 0.03, 0.04


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.load(DEFAULT_WEIGHTS)


@pytest.fixture(scope="module")
def unseen() -> list[Exemplar]:
    rows = yaml.safe_load(UNSEEN.read_text(encoding="utf-8"))["examples"]
    return [Exemplar(row["text"], row["domain"], row["lang"], "") for row in rows]


def ask(router: Router, *texts: str) -> Decision:
    return router.classify([Turn("user", text) for text in texts])


def labels(router: Router, texts: list[str]) -> list[str]:
    return [ask(router, text).domain or "general" for text in texts]


def accuracy(router: Router, rows: list[Exemplar]) -> float:
    found = labels(router, [row.text for row in rows])
    return sum(a == row.label for a, row in zip(found, rows, strict=True)) / len(rows)


def test_contract(router: Router) -> None:
    decision = ask(router, "EN 55032 class B conducted emissions fail at 180 kHz, LISN setup")
    assert decision.domain == "emc"
    assert decision.reason == "classified"
    assert set(decision.scores) == {*router.domains, "general"}
    assert sum(decision.scores.values()) == pytest.approx(1.0, abs=1e-4)
    assert decision.confidence == max(decision.scores[name] for name in router.domains)
    assert len(router.domains) == 12


def test_two_loads_and_two_calls_agree(router: Router) -> None:
    other = Router.load(DEFAULT_WEIGHTS)
    for text in ("my PLL won't lock", "bonjour", "std::move de quoi ?"):
        assert ask(router, text) == ask(router, text) == ask(other, text)


def test_threads_agree(router: Router) -> None:
    texts = [f"buck converter {number} rings" for number in range(50)]
    expected = [ask(router, text) for text in texts]
    fresh, wrong = Router.load(DEFAULT_WEIGHTS), []

    def work() -> None:
        wrong.extend(t for t, e in zip(texts, expected, strict=True) if ask(fresh, t) != e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "\0" * 100,
        "🎉🎉🎉",
        "?!",
        "مرحبا كيف حالك",
        "你好,今天天气怎么样",
        "\ud800\udfff",
        "x" * 1_000_000,
        "lorem ipsum dolor " * 60_000,
        bytes(range(256)).decode("latin-1") * 40,
        "\x1b[31m\u202e\u200b",
        "qzxv wkjq pfft zzgh",
    ],
    ids=range(13),
)
def test_junk_goes_to_the_base(router: Router, text: str) -> None:
    decision = ask(router, text)
    assert decision.domain is None
    assert decision.reason in {"out_of_domain", "low_confidence", "ambiguous"}
    assert 0.0 <= decision.confidence <= 1.0


@pytest.mark.parametrize("turns", [[], [("assistant", "hello")], [("system", "You know KiCad")]])
def test_no_question_no_domain(router: Router, turns: list[tuple[str, str]]) -> None:
    decision = router.classify(turns)
    assert (decision.domain, decision.reason) == (None, "out_of_domain")


@pytest.mark.parametrize("text", ["Bonjour", "hello!", "merci beaucoup", "thanks, bye"])
def test_small_talk_is_not_sure_of_a_domain(router: Router, text: str) -> None:
    decision = ask(router, text)
    assert (decision.domain, decision.reason) == (None, "out_of_domain")
    assert decision.confidence < 0.3


def test_short_follow_up_keeps_the_domain(router: Router) -> None:
    first = "compute the LED series resistor and the transistor base resistor for a 12 V supply"
    assert ask(router, first).domain == "electronics"
    assert ask(router, first, "and at 5 V?").domain == "electronics"
    assert ask(router, first, "ok merci, et en 5 V ?").domain == "electronics"


def test_full_question_changes_the_domain(router: Router) -> None:
    first = "EN 55032 conducted emissions fail, which common mode choke?"
    second = "my pytest fixture with monkeypatch fails in asyncio code, python 3.12"
    assert ask(router, first, second).domain == "python"


def test_housekeeping_goes_to_the_base(router: Router) -> None:
    text = (
        "### Task:\nGenerate a concise title.\n### Chat History:\n<chat_history>\n"
        "USER: my buck converter fails EN 55032\n</chat_history>"
    )
    assert ask(router, "my buck converter fails EN 55032", text).reason == "out_of_domain"


def test_missing_and_broken_weights_name_the_mend(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match=r"no such file; make it with .*router\.fit"):
        Router.load(tmp_path / "none.npz")
    broken = tmp_path / "broken.npz"
    for content in (b"", b"not a zip", DEFAULT_WEIGHTS.read_bytes()[:5000]):
        broken.write_bytes(content)
        with pytest.raises(RouterError, match=r"router\.fit"):
            Router.load(broken)


def test_weights_are_small() -> None:
    assert DEFAULT_WEIGHTS.stat().st_size <= 8 * 1024 * 1024


def test_unseen_accuracy_and_macro_f1(router: Router, unseen: list[Exemplar]) -> None:
    found = labels(router, [row.text for row in unseen])
    truth = [row.label for row in unseen]
    right = Counter(t for t, f in zip(truth, found, strict=True) if t == f)
    sizes = Counter(truth) + Counter(found)
    macro_f1 = sum(2 * right[label] / sizes[label] for label in set(truth)) / len(set(truth))
    assert sum(right.values()) / len(truth) >= ACCURACY_FLOOR
    assert macro_f1 >= F1_FLOOR


def test_language_is_not_a_domain(router: Router, unseen: list[Exemplar]) -> None:
    english, french = ([row for row in unseen if row.lang == lang] for lang in ("en", "fr"))
    assert abs(accuracy(router, english) - accuracy(router, french)) <= LANGUAGE_GAP


def test_out_of_domain_recall(router: Router, unseen: list[Exemplar]) -> None:
    assert accuracy(router, [row for row in unseen if row.label == "general"]) >= OOD_FLOOR


def test_typo_in_every_fourth_word(router: Router, unseen: list[Exemplar]) -> None:
    chance = random.Random(11)

    def swap(word: str) -> str:
        if len(word) < 4:
            return word
        at = chance.randrange(1, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

    typed = [
        Exemplar(
            " ".join(swap(w) if n % 4 == 1 else w for n, w in enumerate(row.text.split(" "))),
            row.label,
            row.lang,
            "",
        )
        for row in unseen
    ]
    assert accuracy(router, unseen) - accuracy(router, typed) <= TYPO_COST
