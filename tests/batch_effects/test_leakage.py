"""Correction inside the fold must not let the classes of held-out rows through.

The simulation: the batch follows the class with probability 0.85 and shifts every gene; no gene
differs between the classes (noise), or twenty do (signal). On noise there is nothing to find:
what a classifier finds there comes from the batches, or from a correction that saw held-out rows.
Bounds are for the mean over twenty studies, whose standard error is below 0.02.
"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from synth_estimators.batch_effects import (
    BatchStandardizer,
    ComBat,
    CovBat,
    LimmaBatchRemover,
    attach_batch,
)

pytestmark = pytest.mark.slow

N_STUDIES = 20
N_SAMPLES, N_GENES, N_INFORMATIVE = 80, 400, 20


class Study:
    """Genes, classes and batches, and the genes as they were before the batches shifted them."""

    def __init__(self, seed, *, effect, confounding=0.85):
        rng = np.random.default_rng(seed)
        self.y = np.arange(N_SAMPLES) % 2
        follows = rng.random(N_SAMPLES) < confounding
        self.batch = np.where(follows, self.y, 1 - self.y)
        self.clean = rng.normal(size=(N_SAMPLES, N_GENES))
        self.clean[:, :N_INFORMATIVE] += effect * self.y[:, None]
        self.genes = self.clean + rng.normal(0.0, 1.0, (2, N_GENES))[self.batch]
        self.table = attach_batch(self.genes, self.batch)
        self.cv = StratifiedKFold(5, shuffle=True, random_state=seed)

    def auc(self, table, corrector=None):
        """Area under the curve over five folds, the corrector fitted inside each."""
        steps = [] if corrector is None else [corrector]
        model = make_pipeline(*steps, LogisticRegression(max_iter=2000))
        scores = cross_val_score(
            model, table, self.y, cv=self.cv, scoring="roc_auc", error_score="raise"
        )
        return scores.mean()


def mean_auc(score, *, effect=0.0, **options):
    """Mean over the studies."""
    return np.mean([score(Study(seed, effect=effect, **options)) for seed in range(N_STUDIES)])


def in_fold(corrector):
    return lambda study: study.auc(study.table, corrector)


def all_rows_with_classes(study):
    """The leaky use: every row corrected at once, with the class as a covariate."""
    adjusted = ComBat().fit_transform(study.genes, batch=study.batch, covariates={"class": study.y})
    return study.auc(adjusted)


def clean(study):
    return study.auc(study.clean)


@pytest.fixture(scope="module")
def without_batches():
    """What can be found in the signal where no batch has shifted it."""
    return mean_auc(clean, effect=1.0)


@pytest.mark.parametrize(
    "corrector",
    [
        ComBat(),
        ComBat(parametric=False),
        ComBat(shrink=False),
        CovBat(),
        LimmaBatchRemover(),
        BatchStandardizer(),
    ],
    ids=["parametric", "non-parametric", "without shrinkage", "CovBat", "limma", "standardizer"],
)
def test_noise_stays_noise_inside_the_fold(corrector):
    assert 0.40 < mean_auc(in_fold(corrector)) < 0.70


def test_batches_alone_predict_the_class():
    # what the other bounds are measured against
    assert mean_auc(lambda study: study.auc(study.genes)) > 0.75


def test_correction_of_all_rows_with_their_classes_invents_a_difference():
    assert mean_auc(all_rows_with_classes) > 0.90


def test_correction_of_all_rows_without_classes_is_biased_downwards():
    # batch means are taken over test rows too, which pushes them to the other class
    found = mean_auc(lambda study: study.auc(ComBat().fit_transform(study.table)))
    assert found < 0.30


def test_correction_without_classes_loses_part_of_a_confounded_difference(without_batches):
    assert mean_auc(in_fold(ComBat()), effect=1.0) < without_batches - 0.10


@pytest.mark.parametrize("method", [ComBat, LimmaBatchRemover])
@pytest.mark.parametrize("confounding", [0.5, 0.85], ids=["random", "confounded"])
def test_preserved_difference_is_found_as_without_batches(without_batches, confounding, method):
    found = mean_auc(in_fold(method(preserve_y="fit_only")), effect=1.0, confounding=confounding)
    assert abs(found - without_batches) <= 0.02


@pytest.mark.parametrize("method", [ComBat, LimmaBatchRemover])
def test_preserving_the_classes_leaves_noise_noise(method):
    assert 0.40 < mean_auc(in_fold(method(preserve_y="fit_only"))) < 0.70


def test_preserving_the_classes_costs_nothing_where_batches_are_random():
    plain, preserved = (
        mean_auc(in_fold(ComBat(preserve_y=choice)), confounding=0.5)
        for choice in (None, "fit_only")
    )
    assert preserved <= plain + 0.02


def test_classes_of_the_rows_to_predict_are_not_asked_for():
    study = Study(0, effect=1.0)
    combat = ComBat(preserve_y="fit_only").fit(study.table.iloc[:60], study.y[:60])
    alone = combat.transform(study.table.iloc[[70]])
    np.testing.assert_allclose(alone, combat.transform(study.table.iloc[60:]).iloc[[10]])
