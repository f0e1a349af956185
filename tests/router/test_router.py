"""The shipped router: its contract, hard inputs, conversations, sessions."""

import threading
from pathlib import Path

import pytest

from router import DEFAULT_WEIGHTS, Decision, Router, RouterError, Topic, Turn


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.load(DEFAULT_WEIGHTS)


def ask(router: Router, *texts: str) -> Decision:
    return router.classify([Turn("user", text) for text in texts])


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


def test_housekeeping_leaves_the_topic_of_the_session_alone(router: Router) -> None:
    topic = Topic("emc", 0.9)
    title = "Generate a concise title for this conversation: my buck fails"
    assert router.classify([("user", title)], topic).topic == topic


def test_a_session_lends_its_topic_to_a_follow_up_only(router: Router) -> None:
    topic = Topic("emc", 0.9)
    follow_up = router.classify([("user", "and in the other direction?")], topic)
    assert (follow_up.domain, follow_up.reason, follow_up.confidence) == ("emc", "sticky", 0.9)
    other = router.classify(
        [("user", "pytest fixture scope session and monkeypatch, python 3.12, asyncio")], topic
    )
    assert (other.domain, other.reason) == ("python", "classified")
    recipe = router.classify([("user", "a recipe for pancakes with buckwheat flour, eggs")], topic)
    assert (recipe.domain, recipe.reason, recipe.topic) == (None, "out_of_domain", None)


def test_a_mistyped_word_is_read_as_the_known_one(router: Router) -> None:
    assert router.read_as("my snubbr on the convertre") == "my snubber on the converter"


def test_missing_and_broken_weights_name_the_mend(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="no such file; make it with 'ailiance router fit'"):
        Router.load(tmp_path / "none.npz")
    broken = tmp_path / "broken.npz"
    for content in (b"", b"not a zip", DEFAULT_WEIGHTS.read_bytes()[:5000]):
        broken.write_bytes(content)
        with pytest.raises(RouterError, match="ailiance router fit"):
            Router.load(broken)


def test_weights_are_small() -> None:
    assert DEFAULT_WEIGHTS.stat().st_size <= 8 * 1024 * 1024
