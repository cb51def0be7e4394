"""Reduction of the teacher's dimension."""

from pathlib import Path

import numpy as np
import pytest
from pocketrank.pipeline.teacher.vectors.pca import fit_reduction, read_reduction, write_reduction
from pocketrank.runtime.errors import InputError


@pytest.fixture
def vectors() -> np.ndarray:
    source = np.random.default_rng(0)
    values = source.standard_normal((500, 24)) * np.linspace(2, 0.1, 24) @ source.standard_normal((24, 24)) + 0.7
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("centre", [False, True])
def test_axes_are_those_of_the_singular_values(vectors: np.ndarray, centre: bool) -> None:
    reduction = fit_reduction([vectors[:200], vectors[200:]], 6, centre)
    data = vectors.astype(np.float64) - (vectors.astype(np.float64).mean(0) if centre else 0)
    _, sizes, axes = np.linalg.svd(data, full_matrices=False)
    overlap = np.abs(np.sum(axes[:6].T * reduction.matrix, axis=0))
    assert np.allclose(overlap, 1, atol=1e-5)
    assert np.allclose(reduction.matrix.T @ reduction.matrix, np.eye(6), atol=1e-5)
    assert reduction.explained == pytest.approx((sizes[:6] ** 2).sum() / (sizes**2).sum(), abs=1e-6)
    assert np.allclose(reduction.mean, vectors.mean(0) if centre else 0, atol=1e-6)


def test_signs_are_canonical_and_bytes_repeat(vectors: np.ndarray, tmp_path: Path) -> None:
    reduction = fit_reduction([vectors], 6)
    largest = np.abs(reduction.matrix).argmax(0)
    assert (reduction.matrix[largest, np.arange(6)] > 0).all()
    for name in ("a", "b"):
        write_reduction(tmp_path / name, fit_reduction([vectors], 6))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert np.array_equal(read_reduction(tmp_path / "a").matrix, reduction.matrix)


def test_all_axes_keep_every_similarity(vectors: np.ndarray) -> None:
    for dimension in (0, 24):
        reduced = fit_reduction([vectors], dimension).apply(vectors)
        assert np.allclose(reduced @ reduced.T, vectors @ vectors.T, atol=1e-5)
    assert np.allclose(np.linalg.norm(fit_reduction([vectors], 3).apply(vectors), axis=1), 1, atol=1e-5)


def test_impossible_sizes_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"5 training texts cannot carry 6 axes.*lower teacher\.dimension"):
        fit_reduction([vectors[:5]], 6)
    with pytest.raises(InputError, match="more than the teacher's own 24"):
        fit_reduction([vectors], 25)
    with pytest.raises(InputError, match="0 training texts"):
        fit_reduction([], 6)
