"""Checks of what every generator promises."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any
from unittest import SkipTest

import joblib
import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.parallel import Parallel, delayed

from synth_estimators.utils import _check_tools as tools


def check_generator_unfitted(name: str, estimator: Any) -> None:
    """Before ``fit`` every method raises NotFittedError."""
    X, _ = tools.make_data(estimator)
    for method, args in [
        ("sample", (2,)),
        ("sample_labeled", (2,)),
        ("sample_iter", (2,)),
        ("score", (X,)),
        ("score_samples", (X,)),
        ("transform", (X,)),
        ("reconstruct", (X,)),
    ]:
        unfitted = clone(estimator)
        if hasattr(unfitted, method):
            tools.require_raises(
                NotFittedError,
                "",
                f"{name}.{method} must raise NotFittedError before fit",
                tools.call,
                unfitted,
                method,
                *args,
            )


def check_generator_fitted_attributes(name: str, estimator: Any) -> None:
    """``fit`` returns self and sets the number and names of columns; public ones end with ``_``."""
    frame, y = tools.make_frame(estimator)
    fitted = tools.seeded(estimator)
    params = set(fitted.get_params(deep=False))
    tools.require(tools.fit(fitted, frame, y) is fitted, f"{name}.fit must return self.")
    tools.require(
        fitted.n_features_in_ == frame.shape[1],
        f"{name}.n_features_in_ is {fitted.n_features_in_}, expected {frame.shape[1]}.",
    )
    assert_array_equal(
        fitted.feature_names_in_,
        tools.NAMES,
        err_msg=f"{name}.feature_names_in_ after a data frame",
    )
    added = [
        attribute
        for attribute in vars(fitted)
        if not attribute.startswith("_") and not attribute.endswith("_") and attribute not in params
    ]
    tools.require(
        not added, f"{name}.fit sets public attributes without trailing underscore: {added}."
    )
    X, _ = tools.make_data(estimator)
    tools.fit(fitted, X, y)
    tools.require(
        not hasattr(fitted, "feature_names_in_"),
        f"{name}.feature_names_in_ must be gone after a refit on an array.",
    )
    kind = getattr(fitted, "score_kind", None)
    tools.require(
        kind in (None, "loglik", "elbo", "neg_energy"),
        f"{name}.score_kind must be 'loglik', 'elbo' or 'neg_energy', got {kind!r}.",
    )
    if tools.is_conditional(estimator):
        assert_array_equal(fitted.classes_, tools.LABELS, err_msg=f"{name}.classes_ must be sorted")


def check_generator_shapes(name: str, estimator: Any) -> None:
    """``sample(n)`` has n rows and the fitted columns; also for n = 0 and for the default 1."""
    X, _ = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    for n_samples in (0, 1, 7, 3 * len(X)):
        rows = fitted.sample(n_samples)
        tools.require(
            isinstance(rows, np.ndarray) and rows.shape == (n_samples, X.shape[1]),
            f"{name}.sample({n_samples}) after an array must be an ndarray of shape "
            f"{(n_samples, X.shape[1])}, got {type(rows).__name__} of shape {np.shape(rows)}.",
        )
    tools.require(fitted.sample().shape == (1, X.shape[1]), f"{name}.sample() must draw one row.")
    tools.require(
        fitted.sample(np.int64(2)).shape == (2, X.shape[1]),
        f"{name}.sample must accept numpy integers.",
    )


def check_generator_n_samples(name: str, estimator: Any) -> None:
    """Impossible numbers of rows are refused."""
    fitted = tools.fitted(estimator)
    tools.require_raises(
        ValueError, "n_samples", f"{name}.sample(-1) must raise ValueError", fitted.sample, -1
    )
    for wrong in (True, 1.5, "3"):
        tools.require_raises(
            TypeError,
            "n_samples",
            f"{name}.sample({wrong!r}) must raise TypeError",
            fitted.sample,
            wrong,
        )


def check_generator_finite(name: str, estimator: Any) -> None:
    """Sampled rows are finite."""
    rows = tools.array(tools.fitted(estimator).sample(200))
    bad = ~np.isfinite(rows)
    tools.require(not bad.any(), f"{name}.sample returned {int(bad.sum())} NaN or infinite cells.")


def check_generator_column_order(name: str, estimator: Any) -> None:
    """Column j of the sampled rows is column j of the table."""
    X, _ = tools.make_data(estimator)
    rows = tools.array(tools.fitted(estimator).sample(200))
    spread = X.std(axis=0)
    # Columns lie at least 40 standard deviations of one of them apart, so a permutation is seen.
    distance = np.abs(rows.mean(axis=0) - X.mean(axis=0)) / spread
    tools.require(
        (distance < 3).all(),
        f"{name}.sample: column means are up to {distance.max():.1f} standard deviations from "
        "those of the table; are the columns permuted or not in data units?",
    )


def check_generator_repeats(name: str, estimator: Any) -> None:
    """Two calls of ``sample`` give the same rows, another ``random_state`` gives others."""
    fitted = tools.fitted(estimator)
    first = tools.array(fitted.sample(12))
    assert_array_equal(
        first,
        tools.array(fitted.sample(12)),
        err_msg=f"{name}: with an int random_state two calls of sample must give the same rows",
    )
    with_seed = tools.array(fitted.sample(12, random_state=1))
    assert_array_equal(
        with_seed,
        tools.array(fitted.sample(12, random_state=1)),
        err_msg=f"{name}: sample with the same random_state must give the same rows",
    )
    tools.require(
        tools.different(with_seed, fitted.sample(12, random_state=2)),
        f"{name}.sample ignores its random_state: seeds 1 and 2 gave the same rows.",
    )
    stream = np.random.RandomState(3)
    tools.require(
        tools.different(
            fitted.sample(12, random_state=stream), fitted.sample(12, random_state=stream)
        ),
        f"{name}.sample with one RandomState instance must give other rows at the second call.",
    )


def check_generator_seeds(name: str, estimator: Any) -> None:
    """Same seed, same rows; a RandomState instance moves on from fit to fit."""
    if not tools.seed_names(estimator):
        raise SkipTest(f"{name} has no random_state")
    X, y = tools.make_data(estimator)
    first = tools.array(tools.fitted(estimator).sample(12))
    assert_array_equal(
        first,
        tools.array(tools.fitted(estimator).sample(12)),
        err_msg=f"{name}: two fits with random_state=0 must sample the same rows",
    )
    tools.require(
        tools.different(first, tools.fitted(estimator, random_state=1).sample(12)),
        f"{name} ignores random_state: seeds 0 and 1 gave the same rows.",
    )
    if not tools.has_parameter(estimator, "random_state"):
        # A meta-estimator clones its parts and with them the state of the instance.
        return
    moving = tools.seeded(estimator).set_params(random_state=np.random.RandomState(0))
    first = tools.array(tools.fit(moving, X, y).sample(12))
    second = tools.array(tools.fit(moving, X, y).sample(12))
    tools.require(
        tools.different(first, second),
        f"{name}: consecutive fits with one RandomState instance must differ.",
    )


def check_generator_global_rng(name: str, estimator: Any) -> None:
    """No public call moves the global random state of torch, numpy or python."""
    X, y = tools.make_data(estimator)
    tools.fitted(estimator).sample(
        1
    )  # Imports what is needed, so that all states to compare exist.
    fitted = tools.seeded(estimator)
    score_args = (X,) if y is None else (X, y)

    def use(method: str, *args: Any) -> Any:
        before = tools.global_random_states()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = getattr(fitted, method)(*args)
            if method == "sample_iter":
                list(result)
        after = tools.global_random_states()
        for library, state in before.items():
            tools.require(
                after[library] == state,
                f"{name}.{method} changed the global random state of {library}.",
            )
        return result

    use("fit", *score_args)
    use("sample", 5)
    if hasattr(fitted, "sample_iter"):
        use("sample_iter", 5)
    if tools.is_conditional(fitted):
        use("sample_labeled", 5)
    if hasattr(fitted, "score"):
        use("score", *score_args)
    for method in ("score_samples", "transform", "reconstruct"):
        if hasattr(fitted, method):
            use(method, X)
    if tools.is_latent(fitted):
        use("inverse_transform", fitted.transform(X))
    moving = clone(fitted)
    names = tools.seed_names(moving)
    if names:
        fitted = moving.set_params(**dict.fromkeys(names, None))
        use("fit", *score_args)
        use("sample", 5)


def _fit_and_sample(estimator: Any, X: Any, y: Any) -> np.ndarray:
    fitted = tools.fit(clone(estimator), X, y)
    return tools.array(fitted.sample(12, random_state=5))


def check_generator_parallel(name: str, estimator: Any) -> None:
    """Same seed, same rows: serial, in threads and in processes."""
    X, y = tools.make_data(estimator)
    seeded = tools.seeded(estimator)
    expected = _fit_and_sample(seeded, X, y)
    for backend in ("threading", "loky"):
        for rows in Parallel(n_jobs=2, backend=backend)(
            delayed(_fit_and_sample)(seeded, X, y) for _ in range(2)
        ):
            # Processes may use another number of threads, which changes the last bits of sums.
            assert_allclose(
                rows,
                expected,
                rtol=1e-5,
                err_msg=f"{name}: rows of a fit under {backend!r} differ from a serial fit",
            )


def check_generator_container(name: str, estimator: Any) -> None:
    """A data frame comes back as one: columns, order, dtypes, a fresh index."""
    frame, y = tools.make_frame(estimator)
    fitted = tools.fit(tools.seeded(estimator), frame.set_index(np.arange(len(frame)) + 1000), y)
    rows = fitted.sample(9)
    tools.require(
        isinstance(rows, pd.DataFrame),
        f"{name}.sample must return a DataFrame after fit on one, got {type(rows).__name__}.",
    )
    tools.require(
        list(rows.columns) == list(frame.columns),
        f"{name}.sample returned columns {list(rows.columns)}, expected {list(frame.columns)}.",
    )
    tools.require(
        rows.dtypes.tolist() == frame.dtypes.tolist(),
        f"{name}.sample returned dtypes {rows.dtypes.to_dict()}, expected "
        f"{frame.dtypes.to_dict()}.",
    )
    tools.require(
        rows.index.tolist() == list(range(9)), f"{name}.sample must return a fresh RangeIndex."
    )
    empty = fitted.sample(0)
    tools.require(
        empty.shape == (0, frame.shape[1]) and empty.dtypes.tolist() == frame.dtypes.tolist(),
        f"{name}.sample(0) must be an empty frame with the fitted columns and dtypes.",
    )
    X, _ = tools.make_data(estimator)
    single = tools.fit(tools.seeded(estimator), X.astype(np.float32), y).sample(3)
    tools.require(
        single.dtype == np.float32,
        f"{name}.sample after a float32 array has dtype {single.dtype}, expected float32.",
    )
    whole = tools.fit(tools.seeded(estimator), np.rint(X).astype(np.int64), y).sample(3)
    tools.require(
        whole.dtype == np.int64,
        f"{name}.sample after an int64 array has dtype {whole.dtype}, expected int64.",
    )
    listed = tools.fit(tools.seeded(estimator), X.tolist(), y if y is None else y.tolist()).sample(
        3
    )
    tools.require(
        isinstance(listed, np.ndarray), f"{name}.sample must return an ndarray after fit on a list."
    )


def check_generator_set_output(name: str, estimator: Any) -> None:
    """``set_output`` chooses the container of ``sample``."""
    X, y = tools.make_data(estimator)
    fitted = tools.fit(tools.seeded(estimator).set_output(transform="pandas"), X, y)
    rows = fitted.sample(4)
    tools.require(
        isinstance(rows, pd.DataFrame),
        f"{name}: set_output(transform='pandas') before fit, but sample returned "
        f"{type(rows).__name__}.",
    )
    tools.require(
        list(rows.columns) == [f"x{j}" for j in range(X.shape[1])],
        f"{name}.sample must name the columns of an array x0, x1, ..., got {list(rows.columns)}.",
    )
    fitted.set_output(transform="default")
    tools.require(
        isinstance(fitted.sample(4), np.ndarray),
        f"{name}: set_output(transform='default') must give back the container of fit.",
    )
    tools.require(
        isinstance(
            tools.fit(clone(tools.seeded(estimator).set_output(transform="pandas")), X, y).sample(
                2
            ),
            pd.DataFrame,
        ),
        f"{name}: set_output must survive clone.",
    )


def check_generator_set_output_polars(name: str, estimator: Any) -> None:
    """``set_output(transform='polars')`` and a polars table give polars frames."""
    polars = tools.polars()
    X, y = tools.make_data(estimator)
    rows = tools.fit(tools.seeded(estimator).set_output(transform="polars"), X, y).sample(4)
    tools.require(
        isinstance(rows, polars.DataFrame) and rows.shape == (4, X.shape[1]),
        f"{name}: set_output(transform='polars'), but sample returned {type(rows).__name__}.",
    )
    frame, y = tools.make_frame(estimator)
    table = polars.DataFrame({column: frame[column].to_numpy() for column in frame})
    rows = tools.fit(tools.seeded(estimator), table, y).sample(4)
    tools.require(
        isinstance(rows, polars.DataFrame) and rows.schema == table.schema,
        f"{name}.sample must return a polars table of the schema given to fit.",
    )


def check_generator_feature_names(name: str, estimator: Any) -> None:
    """Other columns, or the same in another order, are refused after ``fit``."""
    frame, y = tools.make_frame(estimator)
    fitted = tools.fit(tools.seeded(estimator), frame, y)
    methods = [m for m in ("score", "score_samples", "transform") if hasattr(fitted, m)]
    for method in methods:
        args = (y,) if method == "score" and y is not None else ()
        call = getattr(fitted, method)
        tools.require_raises(
            ValueError,
            "feature names",
            f"{name}.{method} must refuse columns in another order",
            call,
            frame[tools.NAMES[::-1]],
            *args,
        )
        tools.require_raises(
            ValueError,
            "feature names",
            f"{name}.{method} must refuse renamed columns",
            call,
            frame.rename(columns={"dose": "amount"}),
            *args,
        )
        tools.require_raises(
            ValueError,
            "",
            f"{name}.{method} must refuse a table with a column too few",
            call,
            frame[tools.NAMES[:-1]].to_numpy(),
            *args,
        )


def check_generator_input_unchanged(name: str, estimator: Any) -> None:
    """``fit`` and ``score`` leave the user's table as it is, and ``fit`` its parameters."""
    X, y = tools.make_data(estimator)
    fitted = tools.seeded(estimator)
    before, params = X.copy(), joblib.hash(fitted.get_params(deep=False))
    is_meta = any(hasattr(value, "fit") for value in fitted.get_params(deep=True).values())
    tools.fit(fitted, X, y)
    if hasattr(fitted, "score"):
        fitted.score(X) if y is None else fitted.score(X, y)
    assert_array_equal(X, before, err_msg=f"{name} changed the table given to fit or score")
    if not is_meta:
        tools.require(
            joblib.hash(fitted.get_params(deep=False)) == params,
            f"{name}.fit changed one of its parameters.",
        )


def check_generator_pickle(name: str, estimator: Any) -> None:
    """Pickle and joblib keep the model: equal rows, equal scores."""
    X, y = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    expected = tools.array(fitted.sample(8))
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    for way, loaded in [
        ("pickle", pickle.loads(pickle.dumps(fitted))),
        ("joblib", joblib.load(buffer)),
        ("copy.deepcopy", copy.deepcopy(fitted)),
    ]:
        assert_array_equal(
            tools.array(loaded.sample(8)), expected, err_msg=f"{name}: other rows after {way}"
        )
        if hasattr(fitted, "score"):
            args = (X,) if y is None else (X, y)
            assert_allclose(
                loaded.score(*args), fitted.score(*args), err_msg=f"{name}: other score after {way}"
            )


def _state(fitted: Any) -> dict[str, Any]:
    """Hash of every attribute, without those whose hash is not reproducible."""
    hashes = {}
    for attribute, value in vars(fitted).items():
        try:
            first, second = joblib.hash(value), joblib.hash(copy.copy(value))
        except (TypeError, pickle.PicklingError):
            first = second = None
        hashes[attribute] = first if first == second else None
    return hashes


def check_generator_state_unchanged(name: str, estimator: Any) -> None:
    """``sample``, ``score`` and ``transform`` leave the fitted state equal."""
    X, y = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    args = (X,) if y is None else (X, y)
    calls: list[tuple[str, tuple[Any, ...]]] = [("sample", (6,))]
    if hasattr(fitted, "sample_iter"):
        calls.append(("sample_iter", (6,)))
    if tools.is_conditional(fitted):
        calls.append(("sample_labeled", (6,)))
    if hasattr(fitted, "score"):
        calls.append(("score", args))
    calls += [(m, (X,)) for m in ("transform", "reconstruct") if hasattr(fitted, m)]
    before = _state(fitted)
    for method, arguments in calls:
        result = getattr(fitted, method)(*arguments)
        if method == "sample_iter":
            list(result)
        after = _state(fitted)
        changed = sorted(
            attribute
            for attribute in before.keys() | after.keys()
            if before.get(attribute, "") != after.get(attribute, "")
        )
        tools.require(
            not changed, f"{name}.{method} changed attributes of the estimator: {changed}."
        )


def check_generator_refit(name: str, estimator: Any) -> None:
    """A second ``fit`` forgets the first one."""
    X, y = tools.make_data(estimator)
    other, _ = tools.make_data(estimator, seed=7)
    twice = tools.fit(tools.fit(tools.seeded(estimator), other * 3.0 + 1.0, y), X, y)
    assert_array_equal(
        tools.array(twice.sample(10)),
        tools.array(tools.fitted(estimator).sample(10)),
        err_msg=f"{name}: fit on an already fitted estimator must forget the first fit",
    )


def check_generator_bad_values(name: str, estimator: Any) -> None:
    """NaN, infinity and text are refused with the column named, unless tagged as accepted."""
    tags = get_tags(estimator).input_tags
    frame, y = tools.make_frame(estimator)
    cases = [("inf", np.inf)]
    if not tags.allow_nan:
        cases.append(("nan", np.nan))
    for text, value in cases:
        broken = frame.copy()
        broken.loc[3, "weight"] = value
        tools.require_raises(
            ValueError,
            [text, "weight"],
            f"{name}.fit must refuse {value} with a ValueError that names the column",
            tools.fit,
            tools.seeded(estimator),
            broken,
            y,
        )
        if hasattr(estimator, "score"):
            args = () if y is None else (y,)
            tools.require_raises(
                ValueError,
                text,
                f"{name}.score must refuse {value} with a ValueError",
                tools.fit(tools.seeded(estimator), frame, y).score,
                broken,
                *args,
            )
    if not (tags.string or tags.categorical):
        broken = frame.copy()
        broken["weight"] = np.where(np.arange(len(frame)) % 2, "low", "high")
        tools.require_raises(
            ValueError,
            "weight",
            f"{name}.fit must refuse a text column with a ValueError that names it",
            tools.fit,
            tools.seeded(estimator),
            broken,
            y,
        )


def check_generator_sample_iter(name: str, estimator: Any) -> None:
    """``sample_iter`` yields chunks in the container of ``sample`` that add up."""
    frame, y = tools.make_frame(estimator)
    fitted = tools.fit(tools.seeded(estimator), frame, y)
    tools.require(hasattr(fitted, "sample_iter"), f"{name} has no sample_iter.")
    chunks = list(fitted.sample_iter(10, chunk_size=4))
    tools.require(
        [len(chunk) for chunk in chunks] == [4, 4, 2],
        f"{name}.sample_iter(10, chunk_size=4) gave chunks of {[len(c) for c in chunks]} rows.",
    )
    for chunk in chunks:
        tools.require(
            isinstance(chunk, pd.DataFrame) and chunk.dtypes.tolist() == frame.dtypes.tolist(),
            f"{name}.sample_iter must yield tables like those of sample.",
        )
    tools.require(
        tools.different(chunks[0], chunks[1]),
        f"{name}.sample_iter yields the same chunk again.",
    )
    again = list(fitted.sample_iter(10, chunk_size=4))
    assert_array_equal(
        tools.array(pd.concat(chunks)),
        tools.array(pd.concat(again)),
        err_msg=f"{name}: sample_iter with the same seed must repeat its rows",
    )
    total = sum(len(chunk) for chunk in fitted.sample_iter(11))
    tools.require(total == 11, f"{name}.sample_iter(11) gave {total} rows in all.")
    tools.require(list(fitted.sample_iter(0)) == [], f"{name}.sample_iter(0) must yield nothing.")
    tools.require_raises(
        ValueError,
        "chunk_size",
        f"{name}.sample_iter with chunk_size=0 must raise ValueError",
        lambda: list(fitted.sample_iter(5, chunk_size=0)),
    )


def check_generator_score(name: str, estimator: Any) -> None:
    """``score`` is a finite float, takes ``sample_weight`` and prefers the right table."""
    X, y = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    args = (X,) if y is None else (X, y)
    score = fitted.score(*args)
    tools.require(
        isinstance(score, float) and np.isfinite(score),
        f"{name}.score must be a finite float, got {score!r}.",
    )
    tools.require(score == fitted.score(*args), f"{name}.score must be deterministic.")
    weighted = fitted.score(*args, sample_weight=np.ones(len(X)))
    assert_allclose(
        weighted, score, rtol=1e-7, err_msg=f"{name}.score: weights of one must change nothing"
    )
    if getattr(fitted, "score_kind", "neg_energy") != "neg_energy":
        half = len(X) // 2
        weight = np.r_[np.ones(half), np.zeros(len(X) - half)]
        part = (X[:half],) if y is None else (X[:half], y[:half])
        assert_allclose(
            fitted.score(*args, sample_weight=weight),
            fitted.score(*part),
            rtol=1e-3,
            err_msg=f"{name}.score: rows of weight zero must not count",
        )
        tools.require(
            hasattr(fitted, "score_samples"),
            f"{name} has score_kind={fitted.score_kind!r} but no score_samples.",
        )
        tools.require(
            np.shape(fitted.score_samples(X)) == (len(X),),
            f"{name}.score_samples must return one value a row.",
        )
    shifted = X + 30.0 * X.std(axis=0)
    far = fitted.score(shifted) if y is None else fitted.score(shifted, y)
    tools.require(
        far < score,
        f"{name}.score: a table far from the training rows scores {far:.4g}, the training rows "
        f"score {score:.4g}; higher must be better.",
    )


def check_generator_ignores_labels(name: str, estimator: Any) -> None:
    """A generator without classes accepts ``y`` and ignores it."""
    if tools.is_conditional(estimator):
        raise SkipTest(f"{name} uses labels")
    X, _ = tools.make_data(estimator)
    with_labels = tools.fit(tools.seeded(estimator), X, tools.make_labels())
    assert_array_equal(
        tools.array(with_labels.sample(8)),
        tools.array(tools.fitted(estimator).sample(8)),
        err_msg=f"{name} has no classes, so fit must ignore y",
    )
