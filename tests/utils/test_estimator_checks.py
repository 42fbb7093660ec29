"""The public checks catch generators that break the contract, and pass those that keep it."""

import random
from functools import partial
from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.validation import check_is_fitted

from synth_estimators._validation import check_rows
from synth_estimators.base import BaseGenerator, ClassConditionalMixin, LatentMixin
from synth_estimators.utils import estimator_checks, show_versions
from synth_estimators.utils.estimator_checks import (
    check_generator,
    generator_checks,
    parametrize_generators,
)


class Normal(BaseGenerator):
    """Independent normal columns: a third-party generator in 15 lines."""

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        data, _ = self._start_fit(X)
        self.mean_, self.sd_ = data.mean(axis=0), data.std(axis=0)
        return self

    def _sample(self, n_samples, rng):
        return rng.normal(self.mean_, self.sd_, size=(n_samples, len(self.mean_)))


class NormalPerClass(ClassConditionalMixin, Normal):
    """The same for each class."""

    def fit(self, X, y=None):
        data, _ = self._start_fit(X)
        label_idx = self._fit_labels(y, len(data))
        groups = [data[label_idx == k] for k in range(len(self.classes_))]
        self.mean_ = np.stack([group.mean(axis=0) for group in groups])
        self.sd_ = np.stack([group.std(axis=0) for group in groups])
        return self

    def _sample(self, n_samples, rng, *, y=None):
        label_idx = self._wanted_labels(y, n_samples, rng)
        noise = rng.standard_normal((n_samples, self.n_features_in_))
        return self.mean_[label_idx] + noise * self.sd_[label_idx]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class LatentNormal(LatentMixin, Normal):
    """The same with standardised rows as codes and a density."""

    score_kind = "loglik"

    def fit(self, X, y=None):
        super().fit(X)
        self._n_features_out = self.n_features_in_
        return self

    def _encode(self, rows):
        return (rows - self.mean_) / self.sd_

    def _decode(self, codes):
        return codes * self.sd_ + self.mean_

    def score_samples(self, X):
        check_is_fitted(self)
        codes = self._encode(check_rows(self, X, reset=False))
        return (-0.5 * codes**2 - np.log(self.sd_ * np.sqrt(2 * np.pi))).sum(axis=1)


# Processes cannot import a class defined in a test module.
SERIAL_ONLY = {"check_generator_parallel": "the class lives in a test module"}


@parametrize_generators([Normal(), NormalPerClass(), LatentNormal()])
def test_good_generators_pass(estimator, check):
    if check.func is estimator_checks.check_generator_parallel:
        pytest.skip(SERIAL_ONLY["check_generator_parallel"])
    check(estimator)


# One fault each.


class TouchesNumpy(Normal):
    def _sample(self, n_samples, rng):
        np.random.random_sample()  # noqa: NPY002
        return super()._sample(n_samples, rng)


class TouchesPython(Normal):
    def fit(self, X, y=None):
        random.random()
        return super().fit(X)


class TouchesTorch(Normal):
    def _sample(self, n_samples, rng):
        import torch

        return self.mean_ + self.sd_ * torch.randn(n_samples, len(self.mean_)).numpy()


class IgnoresSeedOfSample(Normal):
    def _sample(self, n_samples, rng):
        return super()._sample(n_samples, np.random.default_rng(0))


class IgnoresSeed(Normal):
    def fit(self, X, y=None):
        super().fit(X)
        self._sample_seed = 0
        return self


class FreshEntropy(Normal):
    def fit(self, X, y=None):
        super().fit(X)
        self._sample_seed = int(np.random.default_rng().integers(2**31))
        return self


class PermutesColumns(Normal):
    def _sample(self, n_samples, rng):
        return super()._sample(n_samples, rng)[:, ::-1]


class DropsColumn(Normal):
    def sample(self, n_samples=1, *, random_state=None):
        return super().sample(n_samples, random_state=random_state)[:, 1:]


class CountsCalls(Normal):
    def fit(self, X, y=None):
        super().fit(X)
        self._calls = []
        return self

    def _sample(self, n_samples, rng):
        self._calls.append(n_samples)
        return super()._sample(n_samples, rng)


class MovesOn(Normal):
    def _sample(self, n_samples, rng):
        self._sample_seed += 1
        return super()._sample(n_samples, rng)


class AlwaysArray(Normal):
    def _wrap(self, rows):
        return rows


class NotFinite(Normal):
    def _sample(self, n_samples, rng):
        rows = super()._sample(n_samples, rng)
        rows[150:, 0] = np.nan
        return rows


class AcceptsNaN(Normal):
    def fit(self, X, y=None):
        self._start_fit(X, allow_nan=True)
        self.mean_, self.sd_ = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        return self


class RoundsNumberOfRows(Normal):
    def sample(self, n_samples=1, *, random_state=None):
        return super().sample(int(n_samples), random_state=random_state)


class KeepsOldRows(Normal):
    def fit(self, X, y=None):
        old = getattr(self, "mean_", None)
        super().fit(X)
        self.mean_ = self.mean_ if old is None else (self.mean_ + old) / 2
        return self


class PublicScratch(Normal):
    def fit(self, X, y=None):
        self.scratch = 1
        return super().fit(X)


class ChangesTable(Normal):
    def fit(self, X, y=None):
        super().fit(X)
        if isinstance(X, np.ndarray):
            X -= self.mean_
        return self


class LossAsScore(LatentNormal):
    def score_samples(self, X):
        return -super().score_samples(X)


class IgnoresWeights(LatentNormal):
    def score(self, X, y=None, sample_weight=None):
        return super().score(X)


class UsesLabels(Normal):
    def fit(self, X, y=None):
        return super().fit(X if y is None else np.asarray(X) + 1.0)


class SameChunk(Normal):
    def _iterate(self, n_samples, chunk_size, random_state, request):
        for start in range(0, n_samples, chunk_size):
            yield self.sample(chunk_size)[: n_samples - start]


class LosesRowsInChunks(Normal):
    def _iterate(self, n_samples, chunk_size, random_state, request):
        return super()._iterate(
            n_samples - n_samples % chunk_size, chunk_size, random_state, request
        )


class Unpicklable(Normal):
    def __getstate__(self):
        return {**super().__getstate__(), "_sample_seed": 1}


class WrongLabels(NormalPerClass):
    def _wanted_labels(self, y, n_samples, rng):
        return self._draw_labels(n_samples, rng)


class EqualProportions(NormalPerClass):
    def _draw_labels(self, n_samples, rng, *, stratified=False):
        return rng.choice(len(self.classes_), size=n_samples)


class ForgivesUnknownLabel(NormalPerClass):
    def _wanted_labels(self, y, n_samples, rng):
        if y is not None:
            y = np.where(np.isin(y, self.classes_), y, self.classes_[0])
            y = y if y.ndim else y.item()
        return super()._wanted_labels(y, n_samples, rng)


class NoisyCodes(LatentNormal):
    def _encode(self, rows):
        return super()._encode(rows) + np.random.default_rng().normal(size=rows.shape)


class ShufflesRows(LatentNormal):
    def reconstruct(self, X):
        rows = super().reconstruct(X)
        return rows.iloc[::-1].reset_index(drop=True)


@pytest.mark.parametrize(
    ("broken", "check_name", "message"),
    [
        (TouchesNumpy, "global_rng", "sample changed the global random state of numpy"),
        (TouchesPython, "global_rng", "fit changed the global random state of python"),
        (TouchesTorch, "global_rng", "sample changed the global random state of torch"),
        (IgnoresSeedOfSample, "repeats", "ignores its random_state"),
        (IgnoresSeed, "seeds", "ignores random_state"),
        (FreshEntropy, "seeds", "must sample the same rows"),
        (FreshEntropy, "refit", "must forget the first fit"),
        (PermutesColumns, "column_order", "are the columns permuted"),
        (DropsColumn, "shapes", "must be an ndarray of shape"),
        (CountsCalls, "state_unchanged", r"changed attributes of the estimator: \['_calls'\]"),
        (MovesOn, "repeats", "two calls of sample must give the same rows"),
        (AlwaysArray, "container", "must return a DataFrame after fit on one"),
        (AlwaysArray, "set_output", "sample returned ndarray"),
        (AlwaysArray, "set_output_polars", "sample returned ndarray"),
        (NotFinite, "finite", "returned 50 NaN or infinite cells"),
        (AcceptsNaN, "bad_values", "must refuse nan"),
        (RoundsNumberOfRows, "n_samples", r"sample\(True\) must raise TypeError"),
        (KeepsOldRows, "refit", "must forget the first fit"),
        (PublicScratch, "fitted_attributes", r"without trailing underscore: \['scratch'\]"),
        (ChangesTable, "input_unchanged", "changed the table"),
        (LossAsScore, "score", "higher must be better"),
        (IgnoresWeights, "score", "rows of weight zero must not count"),
        (UsesLabels, "ignores_labels", "fit must ignore y"),
        (SameChunk, "sample_iter", "the same chunk again"),
        (LosesRowsInChunks, "sample_iter", "gave chunks of"),
        (Unpicklable, "pickle", "other rows after pickle"),
        (WrongLabels, "labels_aligned", "lie nearest to the mean of their class"),
        (WrongLabels, "sample_labeled", "lie nearest to the mean of their class"),
        (EqualProportions, "sample_labeled", "of the training rows but"),
        (ForgivesUnknownLabel, "labels_refused", "must raise a ValueError that names the label"),
        (NoisyCodes, "latent", "must be deterministic"),
        (ShufflesRows, "reconstruct", "not aligned"),
    ],
)
def test_each_fault_is_caught(broken, check_name, message):
    check = getattr(estimator_checks, f"check_generator_{check_name}")
    with pytest.raises(AssertionError, match=message):
        check(broken.__name__, broken())
    assert check in [pair[1].func for pair in generator_checks(broken())]


def test_check_generator_raises_the_first_failure():
    with pytest.raises(AssertionError, match="ignores its random_state"):
        check_generator(IgnoresSeedOfSample())


def test_check_generator_records_all_failures():
    results = check_generator(PermutesColumns(), on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] == "failed"]
    assert "check_generator_column_order" in failed
    assert {r["status"] for r in results} >= {"failed", "passed"}
    assert [r["check_name"] for r in results] == [
        pair[1].func.__name__ for pair in generator_checks(PermutesColumns())
    ]


@pytest.mark.filterwarnings("ignore:check_generator")
def test_check_generator_can_warn():
    with pytest.warns(UserWarning, match="check_generator_column_order failed"):
        check_generator(PermutesColumns(), on_fail="warn")
    with pytest.raises(ValueError, match="on_fail must be 'raise', 'warn' or None, got 'no'"):
        check_generator(Normal(), on_fail="no")


def test_expected_failures_do_not_raise():
    expected = {"check_generator_finite": "on purpose", **SERIAL_ONLY}
    results = check_generator(NotFinite(), on_fail=None, expected_failed_checks=expected)
    by_name = {result["check_name"]: result for result in results}
    assert by_name["check_generator_finite"]["status"] == "xfail"
    assert by_name["check_generator_finite"]["expected_to_fail_reason"] == "on purpose"


def test_misspelt_expected_failure_is_refused():
    with pytest.raises(ValueError, match=r"unknown checks: \['check_generator_finit'\]"):
        check_generator(Normal(), expected_failed_checks={"check_generator_finit": "typo"})


def test_class_instead_of_instance_is_refused():
    with pytest.raises(TypeError, match="Pass an instance, not the class: Normal"):
        list(generator_checks(Normal))


def test_parametrize_marks_expected_failures_strictly():
    decorated = parametrize_generators(
        [Normal(), NotFinite()],
        expected_failed_checks=lambda estimator: (
            {"check_generator_finite": "why"} if isinstance(estimator, NotFinite) else {}
        ),
    )
    cases = decorated.args[1]
    marked = [case for case in cases if case.marks]
    assert len(marked) == 1
    assert isinstance(marked[0].values[0], NotFinite)
    assert marked[0].marks[0].kwargs == {"reason": "why", "strict": True}
    assert len(cases) == 2 * len(list(generator_checks(Normal())))
    assert all(isinstance(case.values[1], partial) for case in cases)


def test_checks_that_do_not_apply_are_left_out():
    names = {pair[1].func.__name__ for pair in generator_checks(Normal())}
    assert "check_generator_ignores_labels" in names
    assert not names & {"check_generator_labels_aligned", "check_generator_latent"}
    with pytest.raises(SkipTest, match="not conditional"):
        estimator_checks.check_generator_labels_aligned("Normal", Normal())


def test_every_check_is_in_the_list():
    written = {name for name in dir(estimator_checks) if name.startswith("check_generator_")}
    # This one checks a scorer.
    written.remove("check_generator_scorer_pure")
    assert written == {check.__name__ for check in estimator_checks._CHECKS}


def test_checks_leave_the_given_estimator_unfitted():
    estimator = Normal()
    estimator_checks.check_generator_shapes("Normal", estimator)
    assert not hasattr(estimator, "mean_")
    assert estimator.random_state is None


def test_show_versions_lists_packages(capsys):
    show_versions()
    printed = capsys.readouterr().out
    assert f"pandas: {pd.__version__}" in printed
    assert "python: 3." in printed
    assert "synth-estimators: None" not in printed
