"""Two ways of computing the same vectors, compared."""

import numpy as np
import pytest
from pocketrank.export.check.parity import compare, require_exact, spread_texts
from pocketrank.runtime.errors import VerificationError


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def vectors():
    return unit(np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32))


def test_equal_vectors_are_equal(vectors):
    parity = compare("a", vectors, "b", vectors)
    assert (parity.cosine_min, parity.max_difference, parity.score_change_max) == (1.0, 0.0, 0.0)
    require_exact(parity)


def test_one_wrong_vector_shows_in_the_minimum_and_in_the_scores(vectors):
    changed = vectors.copy()
    changed[7] = -changed[7]
    parity = compare("a", changed, "b", vectors)
    assert parity.cosine_min == pytest.approx(-1)
    assert parity.cosine_mean == pytest.approx(28 / 30, abs=1e-5)
    assert parity.score_change_max > 0.5
    assert parity.max_difference == pytest.approx(2 * np.abs(vectors[7]).max(), rel=1e-5)
    with pytest.raises(VerificationError, match="a differs from b"):
        require_exact(parity)


def test_a_rotation_keeps_scores_though_vectors_change(vectors):
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))
    parity = compare("a", vectors @ rotation, "b", vectors)
    assert parity.max_difference > 0.1
    assert parity.score_change_max < 1e-6


def test_other_shapes_and_vectors_that_are_not_finite_never_pass(vectors):
    with pytest.raises(VerificationError, match="shape"):
        compare("a", vectors[:3], "b", vectors)
    broken = vectors.copy()
    broken[0, 0] = np.nan
    with pytest.raises(VerificationError):
        require_exact(compare("a", broken, "b", vectors))


def test_texts_are_spread_over_the_whole():
    texts = [str(number) for number in range(100)]
    assert spread_texts(texts, 4) == ["0", "25", "50", "75"]
    assert spread_texts(texts[:3], 4) == texts[:3]
