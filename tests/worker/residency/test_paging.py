"""More adapters than slots, on the embedded base: what is paged answers as what is resident."""

from pathlib import Path

import pytest
from mlx.utils import tree_flatten

from fleet.schema import Fleet
from tests.worker.conftest import Bench, Watch
from tests.worker.residency.adapter_files import random_fleet, write_adapter, write_adapters
from wire.errors import EngineFailed, InvalidRequest, Overloaded
from worker.engine import scheduler
from worker.engine.request import Failed, GenerationRequest
from worker.load import load_worker
from worker.residency.adapters import compose


def bench_over(fleet: Fleet) -> Bench:
    watch = Watch()
    return Bench(load_worker(fleet, "apertus", "test", watch), watch)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_adapters(tmp_path_factory.mktemp("adapters"), 40)


@pytest.fixture(scope="module")
def resident(sources: dict[str, Path]) -> Bench:
    return bench_over(random_fleet(sources, 40))


def test_sixty_rows_of_forty_adapters_on_four_slots(
    sources: dict[str, Path], resident: Bench
) -> None:
    paged = bench_over(random_fleet(sources, 4))
    names = list(sources)
    answers: list[list[str]] = []
    for bench in (resident, paged):
        rows = [
            bench.submit(f"What is part {n}?", names[(n * 7) % 40], max_tokens=8) for n in range(60)
        ]
        bench.run()
        answers.append([bench.text(row) for row in rows])
        assert all(bench.finished(row).usage.completion_tokens == 8 for row in rows)
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 30
    assert max(distinct for _, distinct in paged.watch.steps) <= 4
    assert paged.watch.slot_loads > 40


def test_what_was_evicted_to_disk_is_read_again(sources: dict[str, Path], resident: Bench) -> None:
    few = dict(list(sources.items())[:4])
    paged = bench_over(random_fleet(few, 2))
    name = list(few)[3]
    version = paged.loaded.resident.adapters[name]
    paged.loaded.paging._host.drop(version.digest)
    assert paged.loaded.paging.tier_of(version.digest) == "disk"
    text = "Which resistor is this?"
    rows = [bench.submit(text, name) for bench in (resident, paged)]
    resident.run()
    beside = paged.submit(text, None)
    paged.run()
    assert paged.text(rows[1]) == resident.text(rows[0])
    assert paged.finished(beside).reason == "length"
    assert paged.loaded.paging.tier_of(version.digest) == "slot"


def test_a_row_whose_adapter_is_gone_from_disk_fails_alone(tmp_path: Path) -> None:
    sources = {name: write_adapter(tmp_path / name, n) for n, name in enumerate("abc")}
    paged = bench_over(random_fleet(sources, 2))
    version = paged.loaded.resident.adapters["c"]
    paged.loaded.paging._host.drop(version.digest)
    (sources["c"] / "adapters.safetensors").unlink()
    lost, beside = paged.submit(adapter="c"), paged.submit(adapter="a")
    paged.run()
    end = paged.end(lost)
    assert isinstance(end, Failed)
    assert isinstance(end.error, EngineFailed)
    assert "'c' can't be read again" in end.error.message
    assert paged.finished(beside).reason == "length"


def test_a_cancelled_row_does_not_wait_for_its_adapter(tmp_path: Path) -> None:
    sources = {name: write_adapter(tmp_path / name, n) for n, name in enumerate("abc")}
    paged = bench_over(random_fleet(sources, 2))
    version = paged.loaded.resident.adapters["c"]
    paged.loaded.paging._host.drop(version.digest)
    row = paged.submit(adapter="c")
    paged.scheduler.cancel(row)
    assert paged.watch.cancelled == [(row, "waiting")]
    after = paged.submit(adapter="c")
    paged.run()
    assert paged.finished(after).reason == "length"
    assert paged.events[row] == []


def test_a_pinned_adapter_stays_in_its_slot(sources: dict[str, Path]) -> None:
    few = dict(list(sources.items())[:5])
    fleet = random_fleet(few, 2)
    last = list(few)[4]
    pinned = fleet.adapters[last].model_copy(update={"pinned": True})
    fleet = fleet.model_copy(update={"adapters": {**fleet.adapters, last: pinned}})
    bench = bench_over(fleet)
    for name in few:
        bench.submit(adapter=name, max_tokens=3)
    bench.run()
    tiers = {
        n: bench.loaded.paging.tier_of(v.digest) for n, v in bench.loaded.resident.adapters.items()
    }
    assert tiers[last] == "slot"
    assert list(tiers.values()).count("slot") == 2


def test_a_sum_of_two_shares_a_batch_with_others_and_is_their_sum(resident: Bench) -> None:
    versions = resident.loaded.resident.adapters
    one, two = list(versions.values())[:2]
    both = compose([(one, 0.5), (two, 0.25)])
    half = compose([(one, 1.0), (two, -0.0001)])
    alone = resident.submit("What is a fuse?", one.name, logprobs=3)
    resident.run()
    row = resident.submit("What is a fuse?", both.name, version=both, logprobs=3)
    near = resident.submit("What is a fuse?", half.name, version=half, logprobs=3)
    beside = [resident.submit("What is a fuse?", version.name) for version in (one, two)]
    resident.run()
    # a scale near to nothing changes next to nothing
    found, known = resident.reports(near)[0], resident.reports(alone)[0]
    assert found.logprob == pytest.approx(known.logprob, abs=0.02)
    assert resident.reports(row)[0].top != known.top
    assert resident.text(beside[0]) == resident.text(alone)
    assert compose([(two, 0.25), (one, 0.5)]).digest == both.digest


def test_one_budget_in_bytes(sources: dict[str, Path]) -> None:
    few = dict(list(sources.items())[:6])
    free = bench_over(random_fleet(few, 2))
    sizes = [v.nbytes for v in free.loaded.resident.adapters.values()]
    paging = free.loaded.paging
    weights = weights_of(free)
    per_token = paging._budget.kv_token_bytes
    # room for the slots, two copies and the keys and values of about two rows
    total = weights + paging._stack_bytes + 2 * max(sizes) + 100 * per_token
    total += total // 7
    tight = bench_over(random_fleet(few, 2, memory_bytes=total))
    rows = [tight.submit(f"What is {n}?", list(few)[n % 6], max_tokens=8) for n in range(24)]
    while tight.scheduler.busy or tight.scheduler.waiting:
        tight.run_one()
        assert tight.loaded.paging._room_bytes() >= 0
    same = [free.submit(f"What is {n}?", list(few)[n % 6], max_tokens=8) for n in range(24)]
    free.run()
    assert [tight.text(row) for row in rows] == [free.text(row) for row in same]
    big = GenerationRequest([1] * 100, None, 10**6)
    with pytest.raises(InvalidRequest, match="bytes of keys and values"):
        tight.loaded.paging.check_fits([big])
    free.loaded.paging.check_fits([big])
    row = tight.submit(max_tokens=10**6)
    tight.run()
    end = tight.end(row)
    assert isinstance(end, Failed)
    assert isinstance(end.error, Overloaded)


def weights_of(bench: Bench) -> int:
    return sum(leaf.nbytes for _, leaf in tree_flatten(bench.base.model.parameters()))


class TestPlacing:
    """A row whose adapter is put into its slot while others decode."""

    @pytest.fixture
    def paged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
        # no time at all beside a step: one piece
        monkeypatch.setattr(scheduler, "SPARE_PART", 0.0)
        sources = {name: write_adapter(tmp_path / name, n) for n, name in enumerate("abc")}
        return bench_over(random_fleet(sources, 2))

    def test_waits_some_steps_and_says_what_it_says_alone(self, paged: Bench) -> None:
        alone = paged.submit(adapter="c")
        paged.run()
        for name in "ab":
            paged.submit(adapter=name, max_tokens=1)
        paged.run()
        beside = paged.submit(adapter=None, max_tokens=60)
        while not paged.rows[beside].generated_tokens:
            paged.run_one()
        row = paged.submit(adapter="c")
        digest = paged.loaded.resident.adapters["c"].digest
        waited = 0
        while not paged.rows[row].generated_tokens:
            before = paged.rows[beside].generated_tokens
            paged.run_one()
            assert paged.rows[beside].generated_tokens == before + 1
            waited += paged.loaded.paging.tier_of(digest) == "resident"
        assert waited > 3
        assert paged.rows[row].state == "decode"
        paged.run()
        assert paged.text(row) == paged.text(alone)

    def test_cancelled_meanwhile(self, paged: Bench) -> None:
        beside = paged.submit(adapter=None, max_tokens=80)
        paged.run_one()
        gone = paged.submit(adapter="c")
        paged.run_one()
        paged.run_one()
        assert [row.id for row in paged.scheduler.running] == [gone, beside]
        paged.scheduler.cancel(gone)
        # one takes the slot of what is on its way, another asks for it again
        rows = [paged.submit(adapter=name) for name in "abcab"]
        paged.run()
        assert paged.events[gone] == []
        assert all(paged.finished(row).reason == "length" for row in (*rows, beside))
        assert paged.text(rows[0]) == paged.text(rows[3])
        assert paged.text(rows[0]) != paged.text(rows[1]) != paged.text(rows[2])
