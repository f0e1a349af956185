"""Nearest exemplars: the same as by brute force, one index per router, gone with it."""

import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from router import Router
from router.explaining.nearest import NEAREST, Index, Indexes
from router.reading import features
from tests.router.explaining.tiny import EXEMPLARS, blank, random_weights


def dense(text: str, idf: np.ndarray) -> np.ndarray:
    grams = features.extract(features.excerpt(text))
    row = features.row(grams, idf)
    vector = np.zeros(features.WIDTH)
    np.add.at(vector, row.columns, row.values)
    vector[features.BUCKETS :] = 0.0
    return vector / np.linalg.norm(vector)


def test_likeness_is_the_cosine() -> None:
    weights = random_weights()
    text = "which buck converter has conducted emissions on an esp32?"
    expected = [float(dense(each, weights.idf) @ dense(text, weights.idf)) for _, each in EXEMPLARS]
    found = Index(weights).nearest(text)
    assert len(found) == NEAREST
    assert [each.likeness for each in found] == pytest.approx(
        sorted(expected, reverse=True)[:NEAREST], rel=1e-4
    )
    labels = {text: label for label, text in EXEMPLARS}
    assert all(labels[each.text] == each.label for each in found)


def test_an_exemplar_is_nearest_to_itself() -> None:
    found = Index(blank()).nearest("Buck converter RINGS")
    assert (found[0].label, found[0].text) == ("power", "buck converter rings")
    assert found[0].likeness == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("text", ["", "\0", "你好", "esp32"])
def test_what_shares_nothing_is_left_out(text: str) -> None:
    assert Index(blank()).nearest(text) == []


def test_no_exemplars_no_neighbours() -> None:
    assert Index(replace(blank(), exemplars=())).nearest("buck converter") == []


def test_a_long_exemplar_is_cut_where_it_is_shown() -> None:
    weights = replace(blank(), exemplars=(("emc", "LISN\n" + "x " * 500),))
    (found,) = Index(weights).nearest("LISN")
    assert found.text.startswith("LISN x x")
    assert len(found.text) <= 160


def test_threads_share_one_index() -> None:
    indexes, router = Indexes(), Router(random_weights())
    found: list[Index] = []
    threads = [threading.Thread(target=lambda: found.append(indexes.of(router))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert indexes.of(Router(random_weights())) is not found[0]


def test_an_index_goes_with_its_router() -> None:
    indexes, router = Indexes(), Router(blank())
    index = weakref.ref(indexes.of(router))
    assert index() is not None
    del router
    gc.collect()
    assert index() is None
