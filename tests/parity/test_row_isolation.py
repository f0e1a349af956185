"""A row's tokens are its own: whoever shares its batch, leaves it, or came before it."""

import random
from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import pytest

from tests.parity.rows import (
    QUESTIONS,
    Alone,
    Asked,
    Greedy,
    adapters_of,
    assert_same,
    chat_prompt,
    long_prompt,
    run,
)
from tests.worker.lora.tiny import (
    ALL,
    VOCABULARY,
    greedy_alone,
    paths_of,
    random_adapter,
    tiny_model,
)
from worker.engine.observer import Silent
from worker.engine.prefixes import PrefixStore
from worker.engine.request import Finished, SamplingParams
from worker.engine.scheduler import PREFILL_STEP_TOKENS, Scheduler
from worker.load import Loaded
from worker.lora.files import AdapterFiles
from worker.lora.model import AdapterModel
from worker.lora.probe import Probe
from worker.residency.adapters import Registry
from worker.residency.hosting import HostCopies
from worker.residency.loader import Loader
from worker.residency.paging import Memory, Paging
from worker.residency.policy import Budget


def check(asked: Sequence[Asked], alone: Alone) -> None:
    for one in asked:
        if one.cancel_step is not None and not one.tokens:
            continue
        expected = alone.tokens(one.adapter, one.prompt, one.max_tokens)
        if one.cancel_step is None or one.events:
            assert_same(one.tokens, expected, one.adapter)
        else:
            so_far = len(one.tokens)
            assert_same(one.tokens, Greedy(expected.tokens[:so_far], expected.leads), one.adapter)


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_gives_each_row_what_it_gets_alone(
    seed: int, apertus: Loaded, apertus_alone: Alone
) -> None:
    """Random adapters, prompts, joins and cancels; the prefix store fills as they go."""
    pick = random.Random(seed)
    adapters = [None, *adapters_of("apertus")[:4]]
    asked = []
    for _ in range(14):
        join = pick.randrange(20)
        leaves = pick.random() < 0.3
        asked.append(
            Asked(
                adapter=pick.choice(adapters),
                prompt=chat_prompt(apertus.tokenizer, pick.choice(QUESTIONS[:5])),
                max_tokens=16,
                join_step=join,
                cancel_step=join + pick.randrange(14) if leaves else None,
            )
        )
    run(apertus.scheduler, asked)
    check(asked, apertus_alone)


def test_cancelled_rows_do_not_disturb(apertus: Loaded, apertus_alone: Alone) -> None:
    """Rows cancelled while waiting, in prefill and in decode; the others go on unchanged."""
    prompts = [chat_prompt(apertus.tokenizer, question) for question in QUESTIONS]
    one, other, third = adapters_of("apertus")[:3]
    long = long_prompt(apertus.tokenizer, 2 * PREFILL_STEP_TOKENS + 40)
    stays = [Asked(one, prompts[0]), Asked(None, prompts[3]), Asked(other, prompts[5], 24, 3)]
    goes = [
        Asked(third, prompts[1], join_step=0, cancel_step=9),  # in decode
        Asked(other, long, join_step=2, cancel_step=4),  # between two prefill steps
        Asked(third, prompts[2], join_step=5, cancel_step=5),  # not yet admitted
        Asked(one, prompts[7], join_step=6, cancel_step=11),
    ]
    seen = run(apertus.scheduler, [goes[0], stays[0], goes[1], stays[1], *goes[2:], stays[2]])
    assert {"waiting", "prefill", "decode"} <= set(seen.states_at_cancel)
    assert not any(isinstance(event, Finished) for gone in goes for event in gone.events)
    check([*stays, *goes], apertus_alone)
    assert not apertus.scheduler.running


def test_seeded_row_draws_the_same_alone_and_in_a_mix(apertus: Loaded) -> None:
    prompts = [chat_prompt(apertus.tokenizer, question) for question in QUESTIONS]
    one, other = adapters_of("apertus")[:2]
    drawn = SamplingParams(temperature=0.8, top_p=0.9, seed=42)
    alone = Asked(one, prompts[8], sampling=drawn)
    run(apertus.scheduler, [alone])
    mixed = Asked(one, prompts[8], sampling=drawn, join_step=2)
    free = SamplingParams(temperature=1.0)
    others = [Asked(a, prompts[i], sampling=free) for i, a in enumerate([other, None, one])]
    run(apertus.scheduler, [*others, mixed])
    assert mixed.tokens == alone.tokens


def test_second_request_is_served_from_the_stored_prefix(
    apertus: Loaded, apertus_alone: Alone
) -> None:
    prompt = chat_prompt(apertus.tokenizer, "Where is the stored prefix of this question?")
    adapter = adapters_of("apertus")[3]
    first, again = Asked(adapter, prompt), Asked(adapter, prompt)
    run(apertus.scheduler, [first])
    run(apertus.scheduler, [again])
    assert first.usage.cached_tokens < len(prompt) - 2
    assert again.usage.cached_tokens == len(prompt) - 1
    assert again.usage.prompt_tokens == len(prompt)
    check([first, again], apertus_alone)


def test_a_longer_conversation_goes_on_from_its_prefix(
    apertus: Loaded, apertus_alone: Alone
) -> None:
    tokenizer = apertus.tokenizer
    prompt = chat_prompt(tokenizer, "This is the first turn of a conversation.")
    adapter = adapters_of("apertus")[4]
    first = Asked(adapter, prompt, max_tokens=10)
    run(apertus.scheduler, [first])
    further = [*prompt, *first.tokens, *tokenizer.encode("and the second turn")]
    second = Asked(adapter, further)
    run(apertus.scheduler, [second])
    # the last token of the first answer was never fed to the model
    assert second.usage.cached_tokens >= len(prompt) + 9
    check([second], apertus_alone)


def test_another_adapter_shares_no_prefix(apertus: Loaded, apertus_alone: Alone) -> None:
    """The same prompt with every adapter and the bare base, after one of them has stored it."""
    # it differs from every other prompt of this module at its first token
    prompt = [400, *chat_prompt(apertus.tokenizer, "One prompt for all adapters")]
    first, *rest = adapters_of("apertus")
    run(apertus.scheduler, [Asked(first, prompt)])
    for adapter in [*rest, None]:
        asked = Asked(adapter, prompt, max_tokens=8)
        run(apertus.scheduler, [asked])
        assert asked.usage.cached_tokens == 0
        check([asked], apertus_alone)
    again = Asked(first, prompt)
    run(apertus.scheduler, [again])
    assert again.usage.cached_tokens == len(prompt) - 1
    check([again], apertus_alone)


def test_one_adapter_twice_and_another_with_one_prompt_in_one_batch(
    apertus: Loaded, apertus_alone: Alone
) -> None:
    """A row served from a prefix beside rows in full prefill of the same prompt."""
    prompt = [401, *chat_prompt(apertus.tokenizer, "Rows with and without a prefix")]
    one, other = adapters_of("apertus")[5:7]
    run(apertus.scheduler, [Asked(one, prompt)])
    asked = [Asked(other, prompt), Asked(one, prompt), Asked(None, prompt), Asked(one, prompt)]
    run(apertus.scheduler, asked)
    assert [row.usage.cached_tokens > 0 for row in asked] == [False, True, False, True]
    check(asked, apertus_alone)


def tiny_scheduler(adapters: Sequence[AdapterFiles], prefixes: PrefixStore) -> Scheduler:
    model = AdapterModel(tiny_model(), len(adapters) + 1, mx.float32)
    registry, loader = Registry(), Loader()
    host = HostCopies(loader, lambda version: pytest.fail(f"{version.name} was read"))
    memory = Memory(model, len(adapters), host, Budget(float("inf"), 0, 0))
    prove = Probe(model, VOCABULARY).proving
    paging = Paging(memory, registry.versions, prove, Silent())
    for adapter in adapters:
        registry.put(paging.load(adapter))
    return Scheduler(model, [], VOCABULARY, "base", paging, prefixes, 4, Silent())


def test_prefix_of_an_adapter_replaced_under_its_name_is_never_served() -> None:
    """Regression of vLLM #30931: identity is the digest of the content, not the name."""
    old = random_adapter("same-name", paths_of(ALL), seed=1)
    new = replace(random_adapter("same-name", paths_of(ALL), seed=2), digest="another")
    prefixes = PrefixStore(8, 1 << 24)
    prompt = list(range(3, 15))
    for adapter in (old, new):
        asked = Asked("same-name", prompt, max_tokens=8)
        run(tiny_scheduler([adapter], prefixes), [asked])
        assert asked.usage.cached_tokens == 0
        assert asked.tokens == greedy_alone(adapter, prompt, 8)


def test_prefix_of_an_adapter_that_moved_to_another_slot_goes_on_with_it() -> None:
    one, other = (random_adapter(name, paths_of(ALL), seed=i) for i, name in enumerate("ab"))
    prefixes = PrefixStore(8, 1 << 24)
    prompt = list(range(3, 15))
    cached = []
    for order in ([one, other], [other, one]):
        asked = Asked("a", prompt, max_tokens=8)
        run(tiny_scheduler(order, prefixes), [asked])
        cached.append(asked.usage.cached_tokens)
        assert asked.tokens == greedy_alone(one, prompt, 8)
    assert cached == [0, len(prompt) - 1]
