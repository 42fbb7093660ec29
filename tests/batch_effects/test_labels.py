"""How batch labels reach a corrector inside scikit-learn's tools.

Labels in a column of the table work in every tool, with metadata routing on and off. Labels given
by keyword work where scikit-learn hands keywords on, and must fail with a clear error elsewhere.
"""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from synth_estimators.batch_effects import (
    BatchStandardizer,
    ComBat,
    ComBatGAM,
    ComBatSeq,
    CovBat,
    HarmonyEmbedding,
    LimmaBatchRemover,
    LongitudinalComBat,
    NestedComBat,
    QuantileAligner,
    attach_batch,
)

GENES = [f"g{j}" for j in range(12)]
CV = StratifiedKFold(3, shuffle=True, random_state=0)
GRID = {"combat__mean_only": [False, True]}
SCORINGS = [None, "roc_auc", ["roc_auc", "neg_log_loss"], {"a": "accuracy", "b": "roc_auc"}]
# the words of the error of a corrector that was fitted with labels and gets none
NO_LABELS = r"was fitted with .*, so it needs them here too: pass batch="


class Study:
    """A table of genes with its classes, batches, and an age that acts on the genes."""

    def __init__(self, n_samples=90, seed=0):
        rng = np.random.default_rng(seed)
        self.y = np.arange(n_samples) % 2
        codes = np.arange(n_samples) // 2 % 3
        self.batch = np.array(["lab c", "lab a", "lab b"])[codes]
        self.age = rng.uniform(20.0, 80.0, n_samples)
        X = rng.normal(size=(n_samples, len(GENES))) + rng.normal(0.0, 3.0, (3, len(GENES)))[codes]
        X[:, :4] += 1.5 * self.y[:, None]
        X[:, 4:8] += 0.05 * self.age[:, None]
        self.genes = pd.DataFrame(X, columns=GENES, index=[f"s{i}" for i in range(n_samples)])
        self.labelled = attach_batch(self.genes, self.batch)

    def one_batch_out(self):
        """Splits that hold out one batch each."""
        return list(LeaveOneGroupOut().split(self.genes, groups=self.batch))

    def take(self, rows):
        """The labelled table, the classes and the labels of some rows."""
        return self.labelled.iloc[rows], self.y[rows], self.batch[rows]


@pytest.fixture(scope="module")
def study():
    return Study()


@pytest.fixture
def pipe():
    return make_pipeline(ComBat(), LogisticRegression())


@pytest.fixture(params=[True, False], ids=["routing on", "routing off"])
def routing(request):
    with config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.fixture
def routing_on():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def routing_off():
    with config_context(enable_metadata_routing=False):
        yield


def by_hand(study, pipe, method="predict_proba"):
    """Out-of-fold predictions by plain calls: the truth for every tool that splits rows."""
    found = None
    for train, test in CV.split(study.labelled, study.y):
        X, y, _ = study.take(train)
        out = getattr(clone(pipe).fit(X, y), method)(study.labelled.iloc[test])
        found = np.empty((len(study.y), *out.shape[1:]), out.dtype) if found is None else found
        found[test] = out
    return found


@pytest.mark.usefixtures("routing")
class TestColumn:
    """Labels in a column of X, the documented default."""

    def test_pipeline_fits_predicts_and_scores(self, study, pipe):
        pipe.fit(study.labelled, study.y)
        proba = pipe.predict_proba(study.labelled)
        assert proba.shape == (90, 2)
        np.testing.assert_array_equal(pipe.predict(study.labelled), proba.argmax(axis=1))
        assert pipe.score(study.labelled, study.y) > 0.8
        assert pipe.named_steps["logisticregression"].n_features_in_ == len(GENES)

    def test_one_row_is_predicted_as_in_the_table(self, study, pipe):
        pipe.fit(study.labelled, study.y)
        whole = pipe.decision_function(study.labelled)
        single = [pipe.decision_function(study.labelled.iloc[[i]])[0] for i in (0, 7, 20)]
        np.testing.assert_allclose(single, whole[[0, 7, 20]], rtol=1e-12)

    @pytest.mark.parametrize("scoring", SCORINGS, ids=["default", "name", "list", "dict"])
    def test_cross_validate_with_any_scoring(self, study, pipe, scoring):
        results = cross_validate(
            pipe, study.labelled, study.y, cv=CV, scoring=scoring, error_score="raise"
        )
        scores = [values for name, values in results.items() if name.startswith("test_")]
        assert len(scores) == (1 if scoring is None or isinstance(scoring, str) else 2)
        assert np.isfinite(scores).all()

    def test_cross_validate_fits_the_corrector_on_the_training_rows(self, study, pipe):
        results = cross_validate(
            pipe, study.labelled, study.y, cv=CV, return_estimator=True, return_indices=True
        )
        for fitted, train in zip(results["estimator"], results["indices"]["train"], strict=True):
            counts = pd.Series(study.batch[train]).value_counts().sort_index()
            combat = fitted.named_steps["combat"]
            assert list(combat.batches_) == list(counts.index)
            np.testing.assert_array_equal(combat.n_per_batch_, counts)
            alone = ComBat().fit(study.labelled.iloc[train])
            np.testing.assert_array_equal(combat.gamma_star_, alone.gamma_star_)

    @pytest.mark.parametrize("scoring", SCORINGS[:3], ids=["default", "name", "list"])
    def test_grid_search_with_any_scoring(self, study, pipe, scoring):
        refit = "roc_auc" if isinstance(scoring, list) else True
        search = GridSearchCV(
            pipe, GRID, cv=CV, scoring=scoring, refit=refit, error_score="raise"
        ).fit(study.labelled, study.y)
        assert search.predict(study.labelled).shape == (90,)
        assert search.predict_proba(study.labelled).shape == (90, 2)
        assert search.score(study.labelled, study.y) > 0.8
        name = "mean_test_roc_auc" if isinstance(scoring, list) else "mean_test_score"
        assert np.isfinite(search.cv_results_[name]).all()

    def test_randomized_search(self, study, pipe):
        search = RandomizedSearchCV(
            pipe, GRID, n_iter=2, cv=CV, scoring="roc_auc", random_state=0, error_score="raise"
        ).fit(study.labelled, study.y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()

    @pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
    def test_cross_val_predict_equals_plain_calls(self, study, pipe, method):
        found = cross_val_predict(pipe, study.labelled, study.y, cv=CV, method=method)
        np.testing.assert_array_equal(found, by_hand(study, pipe, method))

    @pytest.mark.parametrize("ensemble", [True, False])
    def test_calibration(self, study, pipe, ensemble):
        model = CalibratedClassifierCV(pipe, cv=CV, ensemble=ensemble)
        proba = model.fit(study.labelled, study.y).predict_proba(study.labelled)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
        assert np.mean(proba.argmax(axis=1) == study.y) > 0.8

    @pytest.mark.parametrize("scoring", [None, "roc_auc"])
    def test_permutation_importance_names_the_informative_columns(self, study, pipe, scoring):
        pipe.fit(study.labelled, study.y)
        result = permutation_importance(
            pipe, study.labelled, study.y, scoring=scoring, n_repeats=3, random_state=0
        )
        importance = pd.Series(result.importances_mean, index=study.labelled.columns)
        assert set(importance.index) == {*GENES, "batch"}
        assert importance[GENES[:4]].mean() > importance[GENES[4:]].max()

    def test_learning_curve(self, study, pipe):
        sizes, train, test = learning_curve(
            pipe,
            study.labelled,
            study.y,
            cv=CV,
            train_sizes=[0.5, 1.0],
            scoring="roc_auc",
            error_score="raise",
        )
        np.testing.assert_array_equal(sizes, [30, 60])
        assert np.isfinite([train, test]).all()

    def test_column_transformer_hands_the_column_on(self, study):
        table = study.labelled.assign(site=study.batch)
        columns = ColumnTransformer(
            [
                ("genes", make_pipeline(ComBat(), StandardScaler()), [*GENES, "batch"]),
                ("site", OneHotEncoder(), ["site"]),
            ]
        )
        found = columns.fit_transform(table)
        assert found.shape == (90, len(GENES) + 3)
        scaled = StandardScaler().fit_transform(ComBat().fit_transform(study.labelled))
        np.testing.assert_allclose(found[:, : len(GENES)], scaled)
        names = columns.get_feature_names_out()
        assert list(names[: len(GENES)]) == [f"genes__{gene}" for gene in GENES]
        scores = cross_val_score(
            make_pipeline(columns, LogisticRegression()),
            table,
            study.y,
            cv=CV,
            scoring="roc_auc",
            error_score="raise",
        )
        assert np.isfinite(scores).all()

    def test_feature_union(self, study):
        union = make_union(ComBat(), ComBat(mean_only=True))
        found = union.fit_transform(study.labelled)
        assert found.shape == (90, 2 * len(GENES))
        np.testing.assert_array_equal(
            found[:, : len(GENES)], ComBat().fit_transform(study.labelled)
        )
        np.testing.assert_array_equal(union.transform(study.labelled), found)

    def test_later_steps_see_the_genes_alone(self, study):
        pipe = make_pipeline(ComBat(), SelectKBest(k=4)).set_output(transform="pandas")
        found = pipe.fit_transform(study.labelled, study.y)
        assert list(found.columns) == GENES[:4]
        assert found.index.equals(study.labelled.index)
        assert list(pipe.get_feature_names_out()) == GENES[:4]

    def test_column_of_an_array_by_position(self, study):
        codes = pd.factorize(study.batch, sort=True)[0]
        X = np.column_stack([study.genes.to_numpy()[:, :5], codes, study.genes.to_numpy()[:, 5:]])
        pipe = make_pipeline(ComBat(batch=5), LogisticRegression())
        labelled = make_pipeline(ComBat(), LogisticRegression())
        scores, named = (
            cross_val_score(p, table, study.y, cv=CV, scoring="roc_auc", error_score="raise")
            for p, table in ((pipe, X), (labelled, study.labelled))
        )
        np.testing.assert_array_equal(scores, named)

    def test_column_of_a_polars_table(self, study, pipe):
        polars = pytest.importorskip("polars")
        table = polars.from_pandas(study.labelled)
        scores, expected = (
            cross_val_score(pipe, X, study.y, cv=CV, scoring="roc_auc", error_score="raise")
            for X in (table, study.labelled)
        )
        np.testing.assert_array_equal(scores, expected)

    def test_covariate_columns(self, study):
        table = attach_batch(study.genes, study.batch, pd.DataFrame({"age": study.age}))
        pipe = make_pipeline(ComBat(covariates=["age"]), LogisticRegression())
        scores = cross_val_score(
            pipe, table, study.y, cv=CV, scoring="roc_auc", error_score="raise"
        )
        assert np.isfinite(scores).all()
        fitted = pipe.fit(table, study.y).named_steps["combat"]
        # the slope of 0.05 a year of four genes, and none of the others
        np.testing.assert_allclose(np.ravel(fitted.coef_)[4:8], 0.05, atol=0.02)
        np.testing.assert_allclose(np.ravel(fitted.coef_)[:4], 0.0, atol=0.02)

    def test_held_out_batch_is_an_error_that_names_it(self, study, pipe):
        with pytest.raises(ValueError, match="lab a"):
            cross_val_score(
                pipe,
                study.labelled,
                study.y,
                cv=study.one_batch_out(),
                error_score="raise",
            )

    def test_held_out_batch_is_estimated(self, study):
        pipe = make_pipeline(ComBat(unseen="estimate"), LogisticRegression())
        auc, uncorrected = (
            cross_val_score(
                model,
                table,
                study.y,
                cv=study.one_batch_out(),
                scoring="roc_auc",
                error_score="raise",
            )
            for model, table in ((pipe, study.labelled), (LogisticRegression(), study.genes))
        )
        assert len(auc) == 3
        assert auc.min() > 0.8
        assert auc.mean() > uncorrected.mean()


@pytest.mark.usefixtures("routing_on")
class TestKeywordWithRouting:
    """Labels by keyword, where scikit-learn hands keywords on."""

    def test_same_rows_as_the_column(self, study):
        by_keyword, by_column = ComBat(), ComBat()
        found = by_keyword.fit_transform(study.genes, batch=study.batch)
        expected = by_column.fit_transform(study.labelled)
        np.testing.assert_array_equal(found, expected)
        rows = [3, 50, 4]
        np.testing.assert_array_equal(
            by_keyword.transform(study.genes.iloc[rows], batch=study.batch[rows]),
            by_column.transform(study.labelled.iloc[rows]),
        )

    def test_pipeline_fits_predicts_and_scores(self, study, pipe):
        pipe.fit(study.genes, study.y, batch=study.batch)
        expected = clone(pipe).fit(study.labelled, study.y)
        rows = [3, 50, 4]
        genes, batch = study.genes.iloc[rows], study.batch[rows]
        for method in ("predict", "predict_proba", "decision_function"):
            np.testing.assert_array_equal(
                getattr(pipe, method)(genes, batch=batch),
                getattr(expected, method)(study.labelled.iloc[rows]),
            )
        assert pipe.score(study.genes, study.y, batch=study.batch) == expected.score(
            study.labelled, study.y
        )

    def test_cross_validate_with_the_default_score(self, study, pipe):
        found, expected = (
            cross_validate(pipe, X, study.y, cv=CV, params=params, error_score="raise")
            for X, params in ((study.genes, {"batch": study.batch}), (study.labelled, None))
        )
        np.testing.assert_array_equal(found["test_score"], expected["test_score"])

    def test_threads_hand_the_labels_on(self, study, pipe):
        params = {"batch": study.batch}
        with parallel_config("threading", n_jobs=2):
            found = cross_val_score(
                pipe, study.genes, study.y, cv=CV, params=params, error_score="raise"
            )
        np.testing.assert_array_equal(found, cross_val_score(pipe, study.labelled, study.y, cv=CV))

    def test_grid_search_with_the_default_score(self, study, pipe):
        search = GridSearchCV(pipe, GRID, cv=CV, error_score="raise")
        search.fit(study.genes, study.y, batch=study.batch)
        expected = GridSearchCV(pipe, GRID, cv=CV).fit(study.labelled, study.y)
        np.testing.assert_array_equal(
            search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
        )
        score = search.score(study.genes, study.y, batch=study.batch)
        assert score == expected.score(study.labelled, study.y)
        np.testing.assert_array_equal(
            search.best_estimator_.predict(study.genes, batch=study.batch),
            expected.predict(study.labelled),
        )

    def test_learning_curve(self, study, pipe):
        options = {"cv": CV, "train_sizes": [0.5, 1.0], "error_score": "raise"}
        params = {"batch": study.batch}
        _, _, found = learning_curve(pipe, study.genes, study.y, params=params, **options)
        _, _, expected = learning_curve(pipe, study.labelled, study.y, **options)
        np.testing.assert_array_equal(found, expected)

    def test_column_transformer(self, study):
        columns = ColumnTransformer(
            [("genes", ComBat(), GENES[:6]), ("rest", "passthrough", GENES[6:])]
        )
        found = columns.fit_transform(study.genes, batch=study.batch)
        np.testing.assert_array_equal(
            found[:, :6], ComBat().fit_transform(study.genes[GENES[:6]], batch=study.batch)
        )
        np.testing.assert_allclose(columns.transform(study.genes, batch=study.batch), found)

    def test_covariates_by_keyword(self, study):
        age = pd.DataFrame({"age": study.age}, index=study.genes.index)
        pipe = make_pipeline(ComBat(covariates=["age"]), LogisticRegression())
        more = {"batch": study.batch, "covariates": age}
        found = cross_val_score(pipe, study.genes, study.y, cv=CV, params=more, error_score="raise")
        table = attach_batch(study.genes, study.batch, age)
        np.testing.assert_array_equal(found, cross_val_score(pipe, table, study.y, cv=CV))

    def test_keyword_goes_before_the_column(self, study):
        other = study.batch[::-1]
        found = ComBat().fit_transform(study.labelled, batch=other)
        expected = ComBat().fit_transform(study.genes, batch=other)
        np.testing.assert_array_equal(found[GENES], expected)

    @pytest.mark.parametrize("scoring", SCORINGS[1:], ids=["name", "list", "dict"])
    def test_scorers_pass_nothing_on(self, study, pipe, scoring):
        with pytest.raises(ValueError, match=NO_LABELS):
            cross_validate(
                pipe,
                study.genes,
                study.y,
                cv=CV,
                scoring=scoring,
                params={"batch": study.batch},
                error_score="raise",
            )
        search = GridSearchCV(pipe, GRID, cv=CV, scoring=scoring, refit=False, error_score="raise")
        with pytest.raises(ValueError, match=NO_LABELS):
            search.fit(study.genes, study.y, batch=study.batch)

    def test_grid_search_predict_takes_no_labels(self, study, pipe):
        search = GridSearchCV(pipe, GRID, cv=CV).fit(study.genes, study.y, batch=study.batch)
        with pytest.raises(TypeError, match="'batch'"):
            search.predict(study.genes, batch=study.batch)
        with pytest.raises(ValueError, match=NO_LABELS):
            search.predict(study.genes)

    def test_cross_val_predict_fails(self, study, pipe):
        with pytest.raises(ValueError, match=NO_LABELS):
            cross_val_predict(pipe, study.genes, study.y, cv=CV, params={"batch": study.batch})

    def test_calibration_fails(self, study, pipe):
        model = CalibratedClassifierCV(pipe, cv=CV)
        with pytest.raises(ValueError, match=NO_LABELS):
            model.fit(study.genes, study.y, batch=study.batch)

    def test_permutation_importance_fails(self, study, pipe):
        pipe.fit(study.genes, study.y, batch=study.batch)
        with pytest.raises(ValueError, match=NO_LABELS):
            permutation_importance(pipe, study.genes, study.y, n_repeats=1, random_state=0)

    def test_requests_are_switched_on_in_the_class(self):
        requests = ComBat().get_metadata_routing()
        assert requests.fit.requests == {"batch": True, "covariates": True}
        assert requests.transform.requests == {"batch": True, "covariates": True}


@pytest.mark.usefixtures("routing_off")
class TestKeywordWithoutRouting:
    """Labels by keyword with routing off: fit takes them by the name of the step, no more."""

    def test_alone_works(self, study):
        found = ComBat().fit(study.genes, batch=study.batch)
        np.testing.assert_array_equal(
            found.transform(study.genes, batch=study.batch),
            ComBat().fit_transform(study.labelled),
        )

    def test_fit_takes_the_labels_of_a_step(self, study, pipe):
        pipe.fit(study.genes, study.y, combat__batch=study.batch)
        expected = clone(pipe).fit(study.labelled, study.y)
        np.testing.assert_array_equal(pipe[-1].coef_, expected[-1].coef_)

    def test_transform_gets_nothing(self, study, pipe):
        pipe.fit(study.genes, study.y, combat__batch=study.batch)
        for method in ("predict", "predict_proba"):
            with pytest.raises(ValueError, match=NO_LABELS):
                getattr(pipe, method)(study.genes)
        with pytest.raises(ValueError, match=NO_LABELS):
            pipe.score(study.genes, study.y)

    def test_cross_validation_fails_at_the_score(self, study, pipe):
        with pytest.raises(ValueError, match=NO_LABELS):
            cross_val_score(
                pipe,
                study.genes,
                study.y,
                cv=CV,
                params={"combat__batch": study.batch},
                error_score="raise",
            )

    def test_grid_search_and_cross_val_predict_fail(self, study, pipe):
        with pytest.raises(ValueError, match=NO_LABELS):
            GridSearchCV(pipe, GRID, cv=CV, error_score="raise").fit(
                study.genes, study.y, combat__batch=study.batch
            )
        with pytest.raises(ValueError, match=NO_LABELS):
            cross_val_predict(
                pipe, study.genes, study.y, cv=CV, params={"combat__batch": study.batch}
            )

    def test_pipeline_refuses_the_bare_keyword(self, study, pipe):
        with pytest.raises(ValueError, match="does not accept the batch parameter"):
            pipe.fit(study.genes, study.y, batch=study.batch)


# corrector, the constructor's words for its columns, and the columns that go by keyword
CORRECTORS = {
    "ComBat": (ComBat(covariates=["age"]), {"batch": "batch", "covariates": ["age"]}),
    "ComBat preserve_y": (ComBat(preserve_y="fit_only"), {"batch": "batch"}),
    "ComBatGAM": (
        ComBatGAM(covariates=["age"], smooth_terms=["age"], n_splines=5),
        {"batch": "batch", "covariates": ["age"]},
    ),
    "ComBatSeq": (ComBatSeq(covariates=["age"]), {"batch": "batch", "covariates": ["age"]}),
    "CovBat": (CovBat(), {"batch": "batch"}),
    "HarmonyEmbedding": (HarmonyEmbedding(random_state=0), {"batch": "batch"}),
    "LimmaBatchRemover": (
        LimmaBatchRemover(batch2="machine", covariates=["age"]),
        {"batch": "batch", "batch2": "machine", "covariates": ["age"]},
    ),
    "LongitudinalComBat": (
        LongitudinalComBat(covariates=["age"]),
        {"batch": "batch", "subject": "subject", "covariates": ["age"]},
    ),
    "NestedComBat": (NestedComBat(["batch", "machine"]), {"batch": ["batch", "machine"]}),
    "BatchStandardizer": (BatchStandardizer(scale=True), {"batch": "batch"}),
    "QuantileAligner": (QuantileAligner(scope="per_batch"), {"batch": "batch"}),
}


@pytest.fixture(params=CORRECTORS)
def case(request, study):
    """A corrector, its table with all columns of labels, the features, and labels by keyword."""
    corrector, columns = CORRECTORS[request.param]
    n_samples = len(study.y)
    genes = study.genes
    if isinstance(corrector, ComBatSeq):
        genes = genes.add(8.0).clip(lower=1.0).round()
    names = sorted({name for value in columns.values() for name in np.atleast_1d(value)})
    labels = pd.DataFrame(
        {
            "batch": study.batch,
            "age": study.age,
            "machine": np.array(["x", "y"])[np.arange(n_samples) // 7 % 2],
            "subject": np.char.add("p", (np.arange(n_samples) % 30).astype(str)),
        },
        index=genes.index,
    )[names]
    keywords = {role: labels[value] for role, value in columns.items()}
    return clone(corrector), pd.concat([genes, labels], axis=1), genes, keywords


@pytest.mark.filterwarnings("ignore:.*subject:UserWarning")
class TestEveryCorrector:
    """What the classes above show for ComBat holds for the others."""

    @pytest.mark.usefixtures("routing")
    def test_column_works_under_any_scorer(self, study, case):
        corrector, table, _, _ = case
        pipe = make_pipeline(corrector, StandardScaler(), LogisticRegression())
        scores = cross_validate(
            pipe, table, study.y, cv=CV, scoring=["roc_auc", "accuracy"], error_score="raise"
        )
        assert scores["test_roc_auc"].mean() > 0.8
        proba = cross_val_predict(pipe, table, study.y, cv=CV, method="predict_proba")
        assert np.isfinite(proba).all()

    @pytest.mark.usefixtures("routing_on")
    def test_keyword_gives_the_rows_of_the_column(self, study, case):
        corrector, table, genes, keywords = case
        by_column = clone(corrector).fit(table, study.y)
        by_keyword = clone(corrector).fit(genes, study.y, **keywords)
        needed = {
            role: values.iloc[10:40]
            for role, values in keywords.items()
            if role in corrector.get_metadata_routing().transform.requests
        }
        expected = by_column.transform(table.iloc[10:40])
        found = by_keyword.transform(genes.iloc[10:40], **needed)
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found - genes.iloc[10:40]).max(axis=None) > 0.1

    @pytest.mark.usefixtures("routing_on")
    def test_keyword_goes_through_a_pipeline(self, study, case):
        corrector, table, genes, keywords = case
        pipe = make_pipeline(corrector, StandardScaler(), LogisticRegression())
        found, expected = (
            cross_val_score(pipe, X, study.y, cv=CV, params=params, error_score="raise")
            for X, params in ((genes, keywords), (table, None))
        )
        np.testing.assert_array_equal(found, expected)
        with pytest.raises(ValueError, match=NO_LABELS):
            cross_validate(
                pipe,
                genes,
                study.y,
                cv=CV,
                scoring="roc_auc",
                params=keywords,
                error_score="raise",
            )

    @pytest.mark.usefixtures("routing_on")
    def test_labels_are_requested_by_the_class(self, case):
        corrector, _, _, keywords = case
        requests = corrector.get_metadata_routing()
        assert set(keywords) <= set(requests.fit.requests)
        assert "batch" in requests.transform.requests
        assert set(requests.fit.requests.values()) == {True}
        assert set(requests.transform.requests.values()) == {True}
