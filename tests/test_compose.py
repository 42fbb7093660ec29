"""TransformedGenerator and ClassConditionalGenerator."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted

from synth_estimators._validation import check_rows
from synth_estimators.base import BaseGenerator, LatentMixin
from synth_estimators.baselines import GaussianCopula, IndependentColumns
from synth_estimators.compose import ClassConditionalGenerator, TransformedGenerator


class Gaussian(BaseGenerator):
    """Multivariate normal distribution, the smallest generator with a density."""

    score_kind = "loglik"

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None, *, conditions=None):
        data, _ = self._start_fit(X)
        self.mean_ = data.mean(axis=0)
        self.covariance_ = np.atleast_2d(np.cov(data.T)) + 1e-12 * np.eye(data.shape[1])
        self.conditions_ = conditions
        return self

    def _sample(self, n_samples, rng, *, stratified=False):
        self.last_request_ = stratified
        return rng.multivariate_normal(self.mean_, self.covariance_, size=n_samples)

    def sample(self, n_samples=1, *, stratified=False, random_state=None):
        return self._sample_rows(n_samples, random_state, stratified=stratified)

    def score_samples(self, X):
        check_is_fitted(self)
        data = check_rows(self, X, reset=False)
        return np.atleast_1d(multivariate_normal(self.mean_, self.covariance_).logpdf(data))


class Unscored(BaseGenerator):
    """A generator without a density: normal columns."""

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        data, _ = self._start_fit(X)
        self.mean_, self.sd_ = data.mean(axis=0), data.std(axis=0)
        return self

    def _sample(self, n_samples, rng):
        return rng.normal(self.mean_, self.sd_, size=(n_samples, len(self.mean_)))


class Halves(LatentMixin, Gaussian):
    """Latent generator whose codes are the centred rows divided by two."""

    def fit(self, X, y=None):
        super().fit(X)
        self._n_features_out = self.n_features_in_
        return self

    def _encode(self, rows):
        return (rows - self.mean_) / 2

    def _decode(self, codes):
        return codes * 2 + self.mean_


class Cubes(TransformerMixin, BaseEstimator):
    """Invertible transformer with a Jacobian of its own that depends on the row."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.asarray(X) ** 3

    def inverse_transform(self, X):
        return np.cbrt(np.asarray(X))

    def log_abs_det_jacobian(self, X):
        return np.log(3 * np.asarray(X) ** 2).sum(axis=1)


@pytest.fixture
def positive(small_table):
    return small_table - small_table.min(axis=0) + 1.0


def log1p():
    return FunctionTransformer(np.log1p, np.expm1, check_inverse=False)


# TransformedGenerator


def test_parts_are_cloned_and_left_unfitted(small_table):
    generator, transformer = Gaussian(), StandardScaler()
    model = TransformedGenerator(generator, transformer=transformer).fit(small_table)
    assert not hasattr(generator, "mean_")
    assert not hasattr(transformer, "scale_")
    assert_allclose(model.transformer_.mean_, small_table.mean(axis=0))
    assert_allclose(model.generator_.mean_, 0, atol=1e-9)


def test_rows_return_to_data_units(positive):
    model = TransformedGenerator(Gaussian(random_state=0), transformer=log1p()).fit(positive)
    rows = model.sample(400)
    assert_array_equal(
        rows, np.expm1(model.generator_.sample(400)), err_msg="rows must pass through the inverse"
    )
    # Five standard errors of the mean of a log-normal column of this spread.
    assert np.all(abs(np.log1p(rows).mean(0) - np.log1p(positive).mean(0)) < 5 * 1.0 / np.sqrt(400))


def test_frame_dtypes_are_restored(mixed_frame):
    model = TransformedGenerator(Gaussian(random_state=0), transformer=StandardScaler())
    rows = model.fit(mixed_frame).sample(5)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    assert rows.index.tolist() == [0, 1, 2, 3, 4]


def test_without_transformer_it_is_the_generator(small_table):
    model = TransformedGenerator(Gaussian(random_state=0)).fit(small_table)
    plain = Gaussian(random_state=0).fit(small_table)
    assert_array_equal(model.sample(4), plain.sample(4))
    assert_allclose(model.score(small_table), plain.score(small_table))


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        StandardScaler(with_std=False),
        MinMaxScaler(),
        MaxAbsScaler(),
        RobustScaler(),
        make_pipeline(StandardScaler(), "passthrough", MinMaxScaler((1, 2))),
        FunctionTransformer(),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_density_does_not_depend_on_affine_transformer(small_table, transformer):
    plain = Gaussian().fit(small_table)
    model = TransformedGenerator(Gaussian(), transformer=transformer).fit(small_table)
    assert model.score_kind == "loglik"
    # A Gaussian fitted after an affine map is the same Gaussian (up to the ridge of 1e-12).
    assert_allclose(model.score_samples(small_table), plain.score_samples(small_table), atol=1e-4)
    weight = np.arange(80.0)
    assert_allclose(
        model.score(small_table, sample_weight=weight),
        plain.score(small_table, sample_weight=weight),
        atol=1e-4,
    )


def test_jacobian_offered_by_transformer_is_added(positive):
    model = TransformedGenerator(Gaussian(), transformer=Cubes()).fit(positive)
    inner = Gaussian().fit(positive**3)
    expected = inner.score_samples(positive**3) + np.log(3 * positive**2).sum(axis=1)
    assert_allclose(model.score_samples(positive), expected)
    pipeline = make_pipeline(MinMaxScaler((1, 2)), Cubes())
    chained = TransformedGenerator(Gaussian(), transformer=pipeline).fit(positive)
    scaler = MinMaxScaler((1, 2)).fit(positive)
    scaled = scaler.transform(positive)
    expected = (
        Gaussian().fit(scaled**3).score_samples(scaled**3)
        + np.log(3 * scaled**2).sum(axis=1)
        + np.log(scaler.scale_).sum()
    )
    assert_allclose(chained.score_samples(positive), expected)


def test_density_integrates_to_one_behind_a_transformer():
    x = np.random.default_rng(0).uniform(1, 3, size=(60, 1))
    model = TransformedGenerator(Gaussian(), transformer=Cubes()).fit(x)
    grid = np.linspace(-3, 4.5, 20_001)[:, None]
    grid = grid[grid[:, 0] != 0]
    mass = np.trapezoid(np.exp(model.score_samples(grid)), grid[:, 0])
    assert mass == pytest.approx(1, abs=1e-2)


def test_unknown_jacobian_is_scored_by_energy_in_data_space(positive):
    model = TransformedGenerator(Gaussian(random_state=0), transformer=log1p()).fit(positive)
    assert model.score_kind == "neg_energy"
    assert not hasattr(model, "score_samples")
    score = model.score(positive)
    assert -0.5 < score < 0
    assert model.score(positive * 4) < score
    assert score == model.score(positive)


def test_clipping_scaler_has_no_density(small_table):
    model = TransformedGenerator(Gaussian(), transformer=MinMaxScaler(clip=True)).fit(small_table)
    assert model.score_kind == "neg_energy"


def test_generator_without_density_has_no_score_samples(small_table):
    model = TransformedGenerator(Unscored(random_state=0), transformer=StandardScaler())
    model.fit(small_table)
    assert model.score_kind == "neg_energy"
    assert not hasattr(model, "score_samples")
    assert model.score(small_table) < 0


def test_latent_methods_work_in_data_units(mixed_frame):
    model = TransformedGenerator(Halves(), transformer=StandardScaler()).fit(mixed_frame)
    codes = model.transform(mixed_frame)
    assert_allclose(codes, StandardScaler().fit_transform(mixed_frame) / 2, atol=1e-6)
    assert_allclose(model.inverse_transform(codes), mixed_frame, rtol=1e-5, atol=1e-5)
    rows = model.reconstruct(mixed_frame)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    assert_allclose(rows, mixed_frame, rtol=1e-5, atol=1e-5)
    assert_array_equal(model.fit_transform(mixed_frame), codes)
    named = model.set_output(transform="pandas").transform(mixed_frame)
    assert named.columns.tolist() == model.get_feature_names_out().tolist()
    assert clone(model).fit_transform(mixed_frame).shape == (80, 6)


def test_generator_without_codes_has_no_transform(small_table):
    model = TransformedGenerator(Gaussian(), transformer=StandardScaler()).fit(small_table)
    for name in ("transform", "fit_transform", "inverse_transform", "reconstruct", "classes_"):
        assert not hasattr(model, name), name


def test_labels_pass_through(small_table, small_labels):
    model = TransformedGenerator(
        ClassConditionalGenerator(Gaussian(), random_state=0), transformer=StandardScaler()
    )
    shifted = small_table + 100.0 * (small_labels == "case")[:, None]
    model.fit(shifted, small_labels)
    assert_array_equal(model.classes_, ["case", "control"])
    assert_allclose(model.class_prior_, [0.6, 0.4])
    assert (model.sample(20, y="case")[:, 0] > 50).all()
    X_gen, y_gen = model.sample_labeled(30)
    assert_array_equal(X_gen[:, 0] > 50, y_gen == "case")
    assert model.sample_labeled(0)[0].shape == (0, 6)
    wrong = np.where(small_labels == "case", "control", "case")
    assert model.score(shifted, small_labels) > model.score(shifted, wrong) + 10


def test_energy_score_draws_the_labels_given(positive, small_labels):
    shifted = positive + 100.0 * (small_labels == "case")[:, None]
    model = TransformedGenerator(
        ClassConditionalGenerator(Gaussian(), random_state=0), transformer=log1p()
    ).fit(shifted, small_labels)
    only_cases = shifted[small_labels == "case"]
    assert model.score(only_cases, ["case"] * 48) > model.score(only_cases) + 0.2


def test_sample_keywords_are_forwarded(small_table):
    model = TransformedGenerator(Gaussian(random_state=0)).fit(small_table)
    model.sample(3, stratified=True)
    assert model.generator_.last_request_ is True


def test_unknown_sample_keyword_is_named(small_table):
    model = TransformedGenerator(Gaussian()).fit(small_table)
    with pytest.raises(TypeError, match=r"Gaussian.sample takes no keyword 'y'; it takes"):
        model.sample(3, y=1)


def test_fit_keywords_reach_the_generator(small_table, small_conditions):
    model = TransformedGenerator(Gaussian(), transformer=StandardScaler())
    model.fit(small_table, conditions=small_conditions)
    assert model.generator_.conditions_ is small_conditions
    with pytest.raises(TypeError, match=r"Gaussian.fit takes no keyword 'colour'"):
        model.fit(small_table, colour=1)


def test_fit_keywords_are_routed(small_table, small_conditions):
    with sklearn.config_context(enable_metadata_routing=True):
        generator = Gaussian().set_fit_request(conditions=True)
        model = TransformedGenerator(generator, transformer=StandardScaler())
        model.fit(small_table, conditions=small_conditions)
        assert model.generator_.conditions_ is small_conditions
        silent = TransformedGenerator(Gaussian(), transformer=StandardScaler())
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            silent.fit(small_table, conditions=small_conditions)
        assert np.isfinite(model.score(small_table))


def test_sample_iter_is_inverted_chunk_by_chunk(mixed_frame):
    model = TransformedGenerator(Gaussian(random_state=0), transformer=StandardScaler())
    chunks = list(model.fit(mixed_frame).sample_iter(7, chunk_size=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert all((chunk.dtypes == mixed_frame.dtypes).all() for chunk in chunks)
    assert abs(pd.concat(chunks)["count"].mean() - 30) < 30


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"generator": StandardScaler()}, "The 'generator' parameter of TransformedGenerator"),
        ({"transformer": "log"}, "The 'transformer' parameter of TransformedGenerator"),
        ({"transformer": Gaussian()}, "implementing 'fit', 'transform' and 'inverse_transform'"),
    ],
)
def test_impossible_parts_are_refused(small_table, params, message):
    model = TransformedGenerator(**{"generator": Gaussian(), **params})
    with pytest.raises(ValueError, match=message):
        model.fit(small_table)


def test_nan_is_refused_with_the_users_column_name(mixed_frame):
    mixed_frame.loc[mixed_frame.index[4], "dose"] = np.nan
    with pytest.raises(ValueError, match=r"NaN in column 'dose' \(first in row 4\)"):
        TransformedGenerator(Gaussian(), transformer=StandardScaler()).fit(mixed_frame)


def test_search_reaches_both_parts(positive):
    model = TransformedGenerator(Gaussian(random_state=0), transformer=StandardScaler())
    grid = {"transformer": [None, StandardScaler(), Cubes()], "generator__random_state": [0, 1]}
    search = GridSearchCV(model, grid, cv=3).fit(positive)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    # In data units an affine transformer changes nothing.
    assert_allclose(scores[0], scores[1], atol=1e-3)
    assert search.best_estimator_.sample(2).shape == (2, 6)


# ClassConditionalGenerator


@pytest.fixture
def shifted(small_table, small_labels):
    return small_table + 100.0 * (small_labels == "case")[:, None]


def test_one_clone_per_class_with_seeds_of_its_own(shifted, small_labels):
    generator = Gaussian(random_state=7)
    model = ClassConditionalGenerator(generator, random_state=0).fit(shifted, small_labels)
    assert generator.random_state == 7
    assert not hasattr(generator, "mean_")
    assert_array_equal(model.classes_, ["case", "control"])
    assert_allclose(model.class_prior_, [0.6, 0.4])
    for label, part in zip(model.classes_, model.generators_, strict=True):
        assert_allclose(part.mean_, shifted[small_labels == label].mean(axis=0))
    assert model.generators_[0].random_state != model.generators_[1].random_state


def test_nested_random_states_are_seeded(shifted, small_labels):
    inner = TransformedGenerator(Gaussian(), transformer=StandardScaler())
    model = ClassConditionalGenerator(inner, random_state=0).fit(shifted, small_labels)
    seeds = {part.generator_.random_state for part in model.generators_}
    assert len(seeds) == 2
    assert None not in seeds


def test_rows_belong_to_their_labels(shifted, small_labels):
    model = ClassConditionalGenerator(Gaussian(), random_state=0).fit(shifted, small_labels)
    wanted = np.array(["control", "case", "case", "control"])
    assert_array_equal(model.sample(4, y=wanted)[:, 0] > 50, wanted == "case")
    X_gen, y_gen = model.sample_labeled(None, class_counts={"case": 3, "control": 8})
    assert_array_equal(X_gen[:, 0] > 50, y_gen == "case")
    assert (y_gen == "case").sum() == 3


def test_stratified_draws_the_training_proportions(shifted, small_labels):
    model = ClassConditionalGenerator(Gaussian(), random_state=0).fit(shifted, small_labels)
    X_gen, y_gen = model.sample_labeled(50, stratified=True)
    assert_array_equal(X_gen[:, 0] > 50, y_gen == "case")
    assert (y_gen == "case").sum() == 30
    assert ((model.sample(50, stratified=True)[:, 0] > 50).sum()) == 30
    assert ((model.sample(7, stratified=True)[:, 0] > 50).sum()) == 4
    assert all(part.last_request_ for part in model.generators_)


def test_keyword_the_generator_lacks_is_refused(shifted, small_labels):
    model = ClassConditionalGenerator(Unscored(), random_state=0).fit(shifted, small_labels)
    with pytest.raises(TypeError, match="takes no keyword 'stratified'"):
        model.sample(3, stratified=True)


def test_density_is_the_mixture_of_classes(shifted, small_labels):
    model = ClassConditionalGenerator(Gaussian()).fit(shifted, small_labels)
    parts = [part.score_samples(shifted) for part in model.generators_]
    expected = logsumexp(np.stack(parts, axis=1), b=[0.6, 0.4], axis=1)
    assert_allclose(model.score_samples(shifted), expected)
    assert model.score(shifted) == pytest.approx(expected.mean())
    own = np.where(small_labels == "case", parts[0], parts[1])
    weight = np.arange(80.0)
    assert model.score_kind == "loglik"
    assert model.score(shifted, small_labels) == pytest.approx(own.mean())
    assert model.score(shifted, small_labels, sample_weight=weight) == pytest.approx(
        np.average(own, weights=weight)
    )


def test_energy_score_uses_the_labels(shifted, small_labels):
    model = ClassConditionalGenerator(Unscored(), random_state=0).fit(shifted, small_labels)
    assert not hasattr(model, "score_samples")
    cases = shifted[small_labels == "case"]
    assert model.score(cases, ["case"] * 48) > model.score(cases) + 0.2


def test_score_refuses_an_unknown_label(shifted, small_labels):
    model = ClassConditionalGenerator(Gaussian()).fit(shifted, small_labels)
    with pytest.raises(ValueError, match="Unknown label 'other' in y"):
        model.score(shifted, np.where(small_labels == "case", "case", "other"))


def test_one_class_is_enough(small_table):
    model = ClassConditionalGenerator(Gaussian(), random_state=0).fit(small_table, [3] * 80)
    X_gen, y_gen = model.sample_labeled(4)
    assert X_gen.shape == (4, 6)
    assert y_gen.tolist() == [3, 3, 3, 3]


def test_small_class_is_named_with_its_count(small_table, small_labels):
    labels = small_labels.astype(object)
    labels[5] = "rare"
    with pytest.raises(
        ValueError, match=r"Class 'rare' has 1 sample, but Gaussian needs at least 2"
    ):
        ClassConditionalGenerator(Gaussian()).fit(small_table, labels)


class Picky(Gaussian):
    def fit(self, X, y=None):
        if len(X) < 40:
            raise ValueError("too few rows for me")
        return super().fit(X)


def test_failure_of_one_class_names_it(small_table, small_labels):
    message = r"Picky could not be fitted on the 32 rows of class 'control': too few rows for me"
    with pytest.raises(ValueError, match=message):
        ClassConditionalGenerator(Picky()).fit(small_table, small_labels)


def test_missing_y_says_what_to_do(small_table):
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        ClassConditionalGenerator(Gaussian()).fit(small_table)


def test_metadata_is_split_with_the_rows(small_table, small_labels, small_conditions):
    model = ClassConditionalGenerator(Gaussian())
    model.fit(small_table, small_labels, conditions=small_conditions)
    pd.testing.assert_frame_equal(
        model.generators_[1].conditions_, small_conditions[small_labels == "control"]
    )
    with sklearn.config_context(enable_metadata_routing=True):
        routed = ClassConditionalGenerator(Gaussian().set_fit_request(conditions=True))
        routed.fit(small_table, small_labels, conditions=small_conditions)
        assert len(routed.generators_[0].conditions_) == 48
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            model.fit(small_table, small_labels, conditions=small_conditions)


def test_frame_with_labels_as_series(mixed_frame, small_labels):
    labels = pd.Series(small_labels, index=mixed_frame.index, dtype="category")
    model = ClassConditionalGenerator(Gaussian(), random_state=0).fit(mixed_frame, labels)
    rows = model.sample(6)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    assert model.sample(0).shape == (0, 6)


def mixed_frame(n_rows=80):
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(n_rows) % 4, "well", "ill")
    frame = pd.DataFrame(
        {
            "town": np.where(labels == "ill", "Rome", rng.choice(["Oslo", "Bonn"], n_rows)),
            "dose": np.where(rng.random(n_rows) < 0.2, np.nan, rng.normal(size=n_rows)),
            "visit": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, n_rows), "D"),
            "stage": pd.Categorical(rng.choice(["I", "II"], n_rows), ["I", "II", "III"]),
        }
    )
    return frame, labels


@pytest.mark.parametrize("inner", [IndependentColumns(), GaussianCopula()])
def test_classes_of_mixed_tables(inner):
    frame, labels = mixed_frame()
    model = ClassConditionalGenerator(inner, random_state=0).fit(frame, labels)
    rows, drawn = model.sample_labeled(60, class_counts={"ill": 20, "well": 40})
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    pd.testing.assert_index_equal(rows.index, pd.RangeIndex(60))
    assert ((rows["town"] == "Rome") == (drawn == "ill")).all()
    pd.testing.assert_series_equal(model.sample(0).dtypes, frame.dtypes)
    wanted = np.array(["well", "ill", "well"])
    np.testing.assert_array_equal(model.sample(3, y=wanted)["town"] == "Rome", wanted == "ill")


def test_energy_score_of_mixed_classes_prefers_the_right_labels():
    frame, labels = mixed_frame()
    model = ClassConditionalGenerator(IndependentColumns(), random_state=0).fit(frame, labels)
    swapped = np.where(labels == "ill", "well", "ill")
    assert model.score(frame, labels) > model.score(frame, swapped)
