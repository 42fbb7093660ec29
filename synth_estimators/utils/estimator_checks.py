"""Checks of the contract of a generator, for the package's own and for third-party ones.

Each check is a function ``check_generator_<fact>(name, estimator)`` that clones the estimator, fits
it to a small table and raises ``AssertionError`` with a message when the fact does not hold. A
check that does not apply (for example for want of an optional package) raises
``unittest.SkipTest``.
"""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
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

__all__ = ["check_generator", "generator_checks", "parametrize_generators"]

_N_ROWS = 48
_LOCATIONS = np.array([30.0, 500.0, 120.0, 2000.0])
_SCALES = np.array([1.0, 20.0, 5.0, 100.0])
_NAMES = ["weight", "age", "height", "dose"]
_LABELS = np.array(["blue", "green", "red"])


# Tables and small helpers.


def _table(*, n_rows=_N_ROWS, seed=0, labels=None):
    """Correlated positive columns far apart from each other; classes shift them by 8 sd."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_rows, len(_LOCATIONS)))
    noise[:, 1] = 0.7 * noise[:, 0] + 0.7 * noise[:, 1]
    if labels is not None:
        noise += 8.0 * (labels == _LABELS[1])[:, None] - 8.0 * (labels == _LABELS[2])[:, None]
    return np.maximum(_LOCATIONS + _SCALES * noise, 0.0)


def _labels(n_rows=_N_ROWS):
    """Three classes in the proportions 1/2, 1/4, 1/4."""
    return _LABELS[np.resize([0, 0, 1, 2], n_rows)]


def _data(estimator, *, n_rows=_N_ROWS, seed=0):
    """Return a table and labels; labels are None for generators without classes."""
    labels = _labels(n_rows) if _is_conditional(estimator) else None
    X = _table(n_rows=n_rows, seed=seed, labels=labels)
    return (np.rint(X) if _wants_counts(estimator) else X), labels


def _wants_counts(estimator):
    return bool(getattr(get_tags(estimator).input_tags, "positive_only", False))


def _frame(estimator, *, seed=0):
    """Return the table as a data frame with an integer, a float32 and two float columns."""
    X, labels = _data(estimator, seed=seed)
    frame = pd.DataFrame(X, columns=_NAMES)
    frame["age"] = np.rint(frame["age"]).astype("int64")
    frame["height"] = frame["height"].astype("float32")
    return frame, labels


def _is_conditional(estimator):
    """Whether ``sample`` takes labels; some generators know only after ``fit``."""
    if hasattr(estimator, "sample_labeled"):
        return True
    parts = estimator.get_params(deep=False)
    inner = parts["steps"][-1][1] if "steps" in parts else parts.get("generator")
    if inner is not None and hasattr(inner, "sample"):
        return _is_conditional(inner)
    return "y" in inspect.signature(estimator.sample).parameters


def _is_latent(estimator):
    return hasattr(estimator, "transform") and hasattr(estimator, "inverse_transform")


def _has_parameter(estimator, name):
    return name in estimator.get_params(deep=False)


def _seed_names(estimator):
    return [
        name
        for name in estimator.get_params(deep=True)
        if name == "random_state" or name.endswith("__random_state")
    ]


def _seeded(estimator, random_state=0):
    """Return a clone all of whose ``random_state`` parameters are set."""
    estimator = clone(estimator)
    names = _seed_names(estimator)
    return estimator.set_params(**dict.fromkeys(names, random_state)) if names else estimator


def _fit(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X) if y is None else estimator.fit(X, y)


def _fitted(estimator, *, random_state=0):
    X, y = _data(estimator)
    return _fit(_seeded(estimator, random_state), X, y)


def _array(rows):
    return np.asarray(rows, dtype=np.float64)


def _require(condition, message):
    if not condition:
        raise AssertionError(message)


def _require_raises(kinds, match, message, function, *args, **kwargs):
    """Require that the call fails with one of ``kinds`` and a text that names each of ``match``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    except kinds as exc:
        for text in [match] if isinstance(match, str) else match:
            _require(
                text.lower() in str(exc).lower(),
                f"{message}, and the message must contain {text!r}; got: {exc}",
            )
        return
    except Exception as exc:
        raise AssertionError(f"{message}; got {type(exc).__name__}: {exc}") from exc
    raise AssertionError(f"{message}; nothing was raised.")


def _call(estimator, method, *args):
    return getattr(estimator, method)(*args)


def _different(A, B):
    return not np.array_equal(_array(A), _array(B))


def _numpy_state():
    return np.random.get_state(legacy=False)  # noqa: NPY002


def _global_random_states():
    states = {"python": random.getstate(), "numpy": pickle.dumps(_numpy_state())}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states


def _polars():
    try:
        import polars
    except ImportError as exc:
        raise SkipTest("polars is not installed") from exc
    return polars


# Checks of every generator.


def check_generator_unfitted(name, estimator):
    """Before ``fit`` every method raises NotFittedError."""
    X, _ = _data(estimator)
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
            _require_raises(
                NotFittedError,
                "",
                f"{name}.{method} must raise NotFittedError before fit",
                _call,
                unfitted,
                method,
                *args,
            )


def check_generator_fitted_attributes(name, estimator):
    """``fit`` returns self and sets the number and names of columns; public ones end with ``_``."""
    frame, y = _frame(estimator)
    fitted = _seeded(estimator)
    params = set(fitted.get_params(deep=False))
    _require(_fit(fitted, frame, y) is fitted, f"{name}.fit must return self.")
    _require(
        fitted.n_features_in_ == frame.shape[1],
        f"{name}.n_features_in_ is {fitted.n_features_in_}, expected {frame.shape[1]}.",
    )
    assert_array_equal(
        fitted.feature_names_in_, _NAMES, err_msg=f"{name}.feature_names_in_ after a data frame"
    )
    added = [
        attribute
        for attribute in vars(fitted)
        if not attribute.startswith("_") and not attribute.endswith("_") and attribute not in params
    ]
    _require(not added, f"{name}.fit sets public attributes without trailing underscore: {added}.")
    X, _ = _data(estimator)
    _fit(fitted, X, y)
    _require(
        not hasattr(fitted, "feature_names_in_"),
        f"{name}.feature_names_in_ must be gone after a refit on an array.",
    )
    kind = getattr(fitted, "score_kind", None)
    _require(
        kind in (None, "loglik", "elbo", "neg_energy"),
        f"{name}.score_kind must be 'loglik', 'elbo' or 'neg_energy', got {kind!r}.",
    )
    if _is_conditional(estimator):
        assert_array_equal(fitted.classes_, _LABELS, err_msg=f"{name}.classes_ must be sorted")


def check_generator_shapes(name, estimator):
    """``sample(n)`` has n rows and the fitted columns; also for n = 0 and for the default 1."""
    X, _ = _data(estimator)
    fitted = _fitted(estimator)
    for n_samples in (0, 1, 7, 3 * len(X)):
        rows = fitted.sample(n_samples)
        _require(
            isinstance(rows, np.ndarray) and rows.shape == (n_samples, X.shape[1]),
            f"{name}.sample({n_samples}) after an array must be an ndarray of shape "
            f"{(n_samples, X.shape[1])}, got {type(rows).__name__} of shape {np.shape(rows)}.",
        )
    _require(fitted.sample().shape == (1, X.shape[1]), f"{name}.sample() must draw one row.")
    _require(
        fitted.sample(np.int64(2)).shape == (2, X.shape[1]),
        f"{name}.sample must accept numpy integers.",
    )


def check_generator_n_samples(name, estimator):
    """Impossible numbers of rows are refused."""
    fitted = _fitted(estimator)
    _require_raises(
        ValueError, "n_samples", f"{name}.sample(-1) must raise ValueError", fitted.sample, -1
    )
    for wrong in (True, 1.5, "3"):
        _require_raises(
            TypeError,
            "n_samples",
            f"{name}.sample({wrong!r}) must raise TypeError",
            fitted.sample,
            wrong,
        )


def check_generator_finite(name, estimator):
    """Sampled rows are finite."""
    rows = _array(_fitted(estimator).sample(200))
    bad = ~np.isfinite(rows)
    _require(not bad.any(), f"{name}.sample returned {int(bad.sum())} NaN or infinite cells.")


def check_generator_column_order(name, estimator):
    """Column j of the sampled rows is column j of the table."""
    X, _ = _data(estimator)
    rows = _array(_fitted(estimator).sample(200))
    spread = X.std(axis=0)
    # Columns lie at least 40 standard deviations of one of them apart, so a permutation is seen.
    distance = np.abs(rows.mean(axis=0) - X.mean(axis=0)) / spread
    _require(
        (distance < 3).all(),
        f"{name}.sample: column means are up to {distance.max():.1f} standard deviations from "
        "those of the table; are the columns permuted or not in data units?",
    )


def check_generator_repeats(name, estimator):
    """Two calls of ``sample`` give the same rows, another ``random_state`` gives others."""
    fitted = _fitted(estimator)
    first = _array(fitted.sample(12))
    assert_array_equal(
        first,
        _array(fitted.sample(12)),
        err_msg=f"{name}: with an int random_state two calls of sample must give the same rows",
    )
    with_seed = _array(fitted.sample(12, random_state=1))
    assert_array_equal(
        with_seed,
        _array(fitted.sample(12, random_state=1)),
        err_msg=f"{name}: sample with the same random_state must give the same rows",
    )
    _require(
        _different(with_seed, fitted.sample(12, random_state=2)),
        f"{name}.sample ignores its random_state: seeds 1 and 2 gave the same rows.",
    )
    stream = np.random.RandomState(3)
    _require(
        _different(fitted.sample(12, random_state=stream), fitted.sample(12, random_state=stream)),
        f"{name}.sample with one RandomState instance must give other rows at the second call.",
    )


def check_generator_seeds(name, estimator):
    """Same seed, same rows; a RandomState instance moves on from fit to fit."""
    if not _seed_names(estimator):
        raise SkipTest(f"{name} has no random_state")
    X, y = _data(estimator)
    first = _array(_fitted(estimator).sample(12))
    assert_array_equal(
        first,
        _array(_fitted(estimator).sample(12)),
        err_msg=f"{name}: two fits with random_state=0 must sample the same rows",
    )
    _require(
        _different(first, _fitted(estimator, random_state=1).sample(12)),
        f"{name} ignores random_state: seeds 0 and 1 gave the same rows.",
    )
    if not _has_parameter(estimator, "random_state"):
        # A meta-estimator clones its parts and with them the state of the instance.
        return
    moving = _seeded(estimator).set_params(random_state=np.random.RandomState(0))
    first = _array(_fit(moving, X, y).sample(12))
    second = _array(_fit(moving, X, y).sample(12))
    _require(
        _different(first, second),
        f"{name}: consecutive fits with one RandomState instance must differ.",
    )


def check_generator_global_rng(name, estimator):
    """No public call moves the global random state of torch, numpy or python."""
    X, y = _data(estimator)
    _fitted(estimator).sample(1)  # Imports what is needed, so that all states to compare exist.
    fitted = _seeded(estimator)
    score_args = (X,) if y is None else (X, y)

    def use(method, *args):
        before = _global_random_states()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = getattr(fitted, method)(*args)
            if method == "sample_iter":
                list(result)
        after = _global_random_states()
        for library, state in before.items():
            _require(
                after[library] == state,
                f"{name}.{method} changed the global random state of {library}.",
            )
        return result

    use("fit", *score_args)
    use("sample", 5)
    if hasattr(fitted, "sample_iter"):
        use("sample_iter", 5)
    if _is_conditional(fitted):
        use("sample_labeled", 5)
    if hasattr(fitted, "score"):
        use("score", *score_args)
    for method in ("score_samples", "transform", "reconstruct"):
        if hasattr(fitted, method):
            use(method, X)
    if _is_latent(fitted):
        use("inverse_transform", fitted.transform(X))
    moving = clone(fitted)
    names = _seed_names(moving)
    if names:
        fitted = moving.set_params(**dict.fromkeys(names, None))
        use("fit", *score_args)
        use("sample", 5)


def _fit_and_sample(estimator, X, y):
    fitted = _fit(clone(estimator), X, y)
    return _array(fitted.sample(12, random_state=5))


def check_generator_parallel(name, estimator):
    """Same seed, same rows: serial, in threads and in processes."""
    X, y = _data(estimator)
    seeded = _seeded(estimator)
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


def check_generator_container(name, estimator):
    """A data frame comes back as one: columns, order, dtypes, a fresh index."""
    frame, y = _frame(estimator)
    fitted = _fit(_seeded(estimator), frame.set_index(np.arange(len(frame)) + 1000), y)
    rows = fitted.sample(9)
    _require(
        isinstance(rows, pd.DataFrame),
        f"{name}.sample must return a DataFrame after fit on one, got {type(rows).__name__}.",
    )
    _require(
        list(rows.columns) == list(frame.columns),
        f"{name}.sample returned columns {list(rows.columns)}, expected {list(frame.columns)}.",
    )
    _require(
        rows.dtypes.tolist() == frame.dtypes.tolist(),
        f"{name}.sample returned dtypes {rows.dtypes.to_dict()}, expected "
        f"{frame.dtypes.to_dict()}.",
    )
    _require(
        rows.index.tolist() == list(range(9)), f"{name}.sample must return a fresh RangeIndex."
    )
    empty = fitted.sample(0)
    _require(
        empty.shape == (0, frame.shape[1]) and empty.dtypes.tolist() == frame.dtypes.tolist(),
        f"{name}.sample(0) must be an empty frame with the fitted columns and dtypes.",
    )
    X, _ = _data(estimator)
    single = _fit(_seeded(estimator), X.astype(np.float32), y).sample(3)
    _require(
        single.dtype == np.float32,
        f"{name}.sample after a float32 array has dtype {single.dtype}, expected float32.",
    )
    whole = _fit(_seeded(estimator), np.rint(X).astype(np.int64), y).sample(3)
    _require(
        whole.dtype == np.int64,
        f"{name}.sample after an int64 array has dtype {whole.dtype}, expected int64.",
    )
    listed = _fit(_seeded(estimator), X.tolist(), y if y is None else y.tolist()).sample(3)
    _require(
        isinstance(listed, np.ndarray), f"{name}.sample must return an ndarray after fit on a list."
    )


def check_generator_set_output(name, estimator):
    """``set_output`` chooses the container of ``sample``."""
    X, y = _data(estimator)
    fitted = _fit(_seeded(estimator).set_output(transform="pandas"), X, y)
    rows = fitted.sample(4)
    _require(
        isinstance(rows, pd.DataFrame),
        f"{name}: set_output(transform='pandas') before fit, but sample returned "
        f"{type(rows).__name__}.",
    )
    _require(
        list(rows.columns) == [f"x{j}" for j in range(X.shape[1])],
        f"{name}.sample must name the columns of an array x0, x1, ..., got {list(rows.columns)}.",
    )
    fitted.set_output(transform="default")
    _require(
        isinstance(fitted.sample(4), np.ndarray),
        f"{name}: set_output(transform='default') must give back the container of fit.",
    )
    _require(
        isinstance(
            _fit(clone(_seeded(estimator).set_output(transform="pandas")), X, y).sample(2),
            pd.DataFrame,
        ),
        f"{name}: set_output must survive clone.",
    )


def check_generator_set_output_polars(name, estimator):
    """``set_output(transform='polars')`` and a polars table give polars frames."""
    polars = _polars()
    X, y = _data(estimator)
    rows = _fit(_seeded(estimator).set_output(transform="polars"), X, y).sample(4)
    _require(
        isinstance(rows, polars.DataFrame) and rows.shape == (4, X.shape[1]),
        f"{name}: set_output(transform='polars'), but sample returned {type(rows).__name__}.",
    )
    frame, y = _frame(estimator)
    table = polars.DataFrame({column: frame[column].to_numpy() for column in frame})
    rows = _fit(_seeded(estimator), table, y).sample(4)
    _require(
        isinstance(rows, polars.DataFrame) and rows.schema == table.schema,
        f"{name}.sample must return a polars table of the schema given to fit.",
    )


def check_generator_feature_names(name, estimator):
    """Other columns, or the same in another order, are refused after ``fit``."""
    frame, y = _frame(estimator)
    fitted = _fit(_seeded(estimator), frame, y)
    methods = [m for m in ("score", "score_samples", "transform") if hasattr(fitted, m)]
    for method in methods:
        args = (y,) if method == "score" and y is not None else ()
        call = getattr(fitted, method)
        _require_raises(
            ValueError,
            "feature names",
            f"{name}.{method} must refuse columns in another order",
            call,
            frame[_NAMES[::-1]],
            *args,
        )
        _require_raises(
            ValueError,
            "feature names",
            f"{name}.{method} must refuse renamed columns",
            call,
            frame.rename(columns={"dose": "amount"}),
            *args,
        )
        _require_raises(
            ValueError,
            "",
            f"{name}.{method} must refuse a table with a column too few",
            call,
            frame[_NAMES[:-1]].to_numpy(),
            *args,
        )


def check_generator_input_unchanged(name, estimator):
    """``fit`` and ``score`` leave the user's table as it is, and ``fit`` its parameters."""
    X, y = _data(estimator)
    fitted = _seeded(estimator)
    before, params = X.copy(), joblib.hash(fitted.get_params(deep=False))
    is_meta = any(hasattr(value, "fit") for value in fitted.get_params(deep=True).values())
    _fit(fitted, X, y)
    if hasattr(fitted, "score"):
        fitted.score(X) if y is None else fitted.score(X, y)
    assert_array_equal(X, before, err_msg=f"{name} changed the table given to fit or score")
    if not is_meta:
        _require(
            joblib.hash(fitted.get_params(deep=False)) == params,
            f"{name}.fit changed one of its parameters.",
        )


def check_generator_pickle(name, estimator):
    """Pickle and joblib keep the model: equal rows, equal scores."""
    X, y = _data(estimator)
    fitted = _fitted(estimator)
    expected = _array(fitted.sample(8))
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    for way, loaded in [
        ("pickle", pickle.loads(pickle.dumps(fitted))),
        ("joblib", joblib.load(buffer)),
        ("copy.deepcopy", copy.deepcopy(fitted)),
    ]:
        assert_array_equal(
            _array(loaded.sample(8)), expected, err_msg=f"{name}: other rows after {way}"
        )
        if hasattr(fitted, "score"):
            args = (X,) if y is None else (X, y)
            assert_allclose(
                loaded.score(*args), fitted.score(*args), err_msg=f"{name}: other score after {way}"
            )


def _state(fitted):
    """Hash of every attribute, without those whose hash is not reproducible."""
    hashes = {}
    for attribute, value in vars(fitted).items():
        try:
            first, second = joblib.hash(value), joblib.hash(copy.copy(value))
        except (TypeError, pickle.PicklingError):
            first = second = None
        hashes[attribute] = first if first == second else None
    return hashes


def check_generator_state_unchanged(name, estimator):
    """``sample``, ``score`` and ``transform`` leave the fitted state equal."""
    X, y = _data(estimator)
    fitted = _fitted(estimator)
    args = (X,) if y is None else (X, y)
    calls = [("sample", (6,))]
    if hasattr(fitted, "sample_iter"):
        calls.append(("sample_iter", (6,)))
    if _is_conditional(fitted):
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
        _require(not changed, f"{name}.{method} changed attributes of the estimator: {changed}.")


def check_generator_refit(name, estimator):
    """A second ``fit`` forgets the first one."""
    X, y = _data(estimator)
    other, _ = _data(estimator, seed=7)
    twice = _fit(_fit(_seeded(estimator), other * 3.0 + 1.0, y), X, y)
    assert_array_equal(
        _array(twice.sample(10)),
        _array(_fitted(estimator).sample(10)),
        err_msg=f"{name}: fit on an already fitted estimator must forget the first fit",
    )


def check_generator_bad_values(name, estimator):
    """NaN, infinity and text are refused with the column named, unless tagged as accepted."""
    tags = get_tags(estimator).input_tags
    frame, y = _frame(estimator)
    cases = [("inf", np.inf)]
    if not tags.allow_nan:
        cases.append(("nan", np.nan))
    for text, value in cases:
        broken = frame.copy()
        broken.loc[3, "weight"] = value
        _require_raises(
            ValueError,
            [text, "weight"],
            f"{name}.fit must refuse {value} with a ValueError that names the column",
            _fit,
            _seeded(estimator),
            broken,
            y,
        )
        if hasattr(estimator, "score"):
            args = () if y is None else (y,)
            _require_raises(
                ValueError,
                text,
                f"{name}.score must refuse {value} with a ValueError",
                _fit(_seeded(estimator), frame, y).score,
                broken,
                *args,
            )
    if not (tags.string or tags.categorical):
        broken = frame.copy()
        broken["weight"] = np.where(np.arange(len(frame)) % 2, "low", "high")
        _require_raises(
            ValueError,
            "weight",
            f"{name}.fit must refuse a text column with a ValueError that names it",
            _fit,
            _seeded(estimator),
            broken,
            y,
        )


def check_generator_sample_iter(name, estimator):
    """``sample_iter`` yields chunks in the container of ``sample`` that add up."""
    frame, y = _frame(estimator)
    fitted = _fit(_seeded(estimator), frame, y)
    _require(hasattr(fitted, "sample_iter"), f"{name} has no sample_iter.")
    chunks = list(fitted.sample_iter(10, chunk_size=4))
    _require(
        [len(chunk) for chunk in chunks] == [4, 4, 2],
        f"{name}.sample_iter(10, chunk_size=4) gave chunks of {[len(c) for c in chunks]} rows.",
    )
    for chunk in chunks:
        _require(
            isinstance(chunk, pd.DataFrame) and chunk.dtypes.tolist() == frame.dtypes.tolist(),
            f"{name}.sample_iter must yield tables like those of sample.",
        )
    _require(
        _different(chunks[0], chunks[1]),
        f"{name}.sample_iter yields the same chunk again.",
    )
    again = list(fitted.sample_iter(10, chunk_size=4))
    assert_array_equal(
        _array(pd.concat(chunks)),
        _array(pd.concat(again)),
        err_msg=f"{name}: sample_iter with the same seed must repeat its rows",
    )
    total = sum(len(chunk) for chunk in fitted.sample_iter(11))
    _require(total == 11, f"{name}.sample_iter(11) gave {total} rows in all.")
    _require(list(fitted.sample_iter(0)) == [], f"{name}.sample_iter(0) must yield nothing.")
    _require_raises(
        ValueError,
        "chunk_size",
        f"{name}.sample_iter with chunk_size=0 must raise ValueError",
        lambda: list(fitted.sample_iter(5, chunk_size=0)),
    )


def check_generator_score(name, estimator):
    """``score`` is a finite float, takes ``sample_weight`` and prefers the right table."""
    X, y = _data(estimator)
    fitted = _fitted(estimator)
    args = (X,) if y is None else (X, y)
    score = fitted.score(*args)
    _require(
        isinstance(score, float) and np.isfinite(score),
        f"{name}.score must be a finite float, got {score!r}.",
    )
    _require(score == fitted.score(*args), f"{name}.score must be deterministic.")
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
        _require(
            hasattr(fitted, "score_samples"),
            f"{name} has score_kind={fitted.score_kind!r} but no score_samples.",
        )
        _require(
            np.shape(fitted.score_samples(X)) == (len(X),),
            f"{name}.score_samples must return one value a row.",
        )
    shifted = X + 30.0 * X.std(axis=0)
    far = fitted.score(shifted) if y is None else fitted.score(shifted, y)
    _require(
        far < score,
        f"{name}.score: a table far from the training rows scores {far:.4g}, the training rows "
        f"score {score:.4g}; higher must be better.",
    )


def check_generator_ignores_labels(name, estimator):
    """A generator without classes accepts ``y`` and ignores it."""
    if _is_conditional(estimator):
        raise SkipTest(f"{name} uses labels")
    X, _ = _data(estimator)
    with_labels = _fit(_seeded(estimator), X, _labels())
    assert_array_equal(
        _array(with_labels.sample(8)),
        _array(_fitted(estimator).sample(8)),
        err_msg=f"{name} has no classes, so fit must ignore y",
    )


# Checks of conditional generators.


def _require_conditional(name, estimator):
    if not _is_conditional(estimator):
        raise SkipTest(f"{name} is not conditional")


def _nearest_class(rows, X, y):
    """Label of the nearest class mean of every row, in standard deviations of the columns."""
    scale = X.std(axis=0)
    means = np.stack([X[y == label].mean(axis=0) for label in _LABELS])
    distance = (((_array(rows)[:, None, :] - means) / scale) ** 2).sum(axis=2)
    return _LABELS[distance.argmin(axis=1)]


def check_generator_labels_aligned(name, estimator):
    """Row i of ``sample(n, y=labels)`` belongs to label i."""
    _require_conditional(name, estimator)
    X, y = _data(estimator)
    fitted = _fitted(estimator)
    wanted = np.random.default_rng(1).choice(_LABELS, size=60)
    for labels in (wanted, wanted.tolist()):
        agree = np.mean(_nearest_class(fitted.sample(60, y=labels), X, y) == wanted)
        _require(
            agree >= 0.9,
            f"{name}.sample(n, y=labels): only {agree:.0%} of the rows lie nearest to the mean of "
            "their class, although the classes are 8 standard deviations apart.",
        )
    for label in _LABELS:
        agree = np.mean(_nearest_class(fitted.sample(30, y=label), X, y) == label)
        _require(agree >= 0.9, f"{name}.sample(n, y={label!r}) returned rows of other classes.")
    _require(fitted.sample(0, y=[]).shape == (0, X.shape[1]), f"{name}.sample(0, y=[]) must work.")


def check_generator_labels_refused(name, estimator):
    """Unknown, missing or miscounted labels are refused."""
    _require_conditional(name, estimator)
    X, y = _data(estimator)
    fitted = _fitted(estimator)
    for wrong in ("purple", ["blue", "purple", "red"]):
        _require_raises(
            ValueError,
            "purple",
            f"{name}.sample(3, y={wrong!r}) must raise a ValueError that names the label",
            fitted.sample,
            3,
            y=wrong,
        )
    _require_raises(
        ValueError,
        "labels",
        f"{name}.sample(3, y=<2 labels>) must raise ValueError",
        fitted.sample,
        3,
        y=["blue", "red"],
    )
    _require_raises(
        ValueError,
        "purple",
        f"{name}.sample_labeled with an unknown class must raise ValueError",
        fitted.sample_labeled,
        None,
        class_counts={"purple": 2},
    )
    if get_tags(estimator).target_tags.required:
        _require_raises(
            ValueError,
            "y",
            f"{name}.fit without y must raise ValueError",
            _seeded(estimator).fit,
            X,
        )
    _require_raises(
        ValueError,
        "labels",
        f"{name}.fit with one label too few must raise ValueError",
        _fit,
        _seeded(estimator),
        X,
        y[:-1],
    )
    _require_raises(
        ValueError,
        "missing",
        f"{name}.fit must refuse missing labels",
        _fit,
        _seeded(estimator),
        X,
        np.r_[[None], y[1:].astype(object)],
    )


def check_generator_sample_labeled(name, estimator):
    """``sample_labeled`` returns rows with their labels, in the proportions asked for."""
    _require_conditional(name, estimator)
    X, y = _data(estimator)
    fitted = _fitted(estimator)
    X_gen, y_gen = fitted.sample_labeled(400)
    _require(
        np.shape(X_gen) == (400, X.shape[1]) and np.shape(y_gen) == (400,),
        f"{name}.sample_labeled(400) has shapes {np.shape(X_gen)} and {np.shape(y_gen)}.",
    )
    agree = np.mean(_nearest_class(X_gen, X, y) == y_gen)
    _require(
        agree >= 0.9,
        f"{name}.sample_labeled: only {agree:.0%} of the rows lie nearest to the mean of their "
        "class.",
    )
    # Five standard deviations of a binomial share of 400 rows: 5 * sqrt(0.5 * 0.5 / 400).
    for label, share in zip(_LABELS, (0.5, 0.25, 0.25), strict=True):
        found = np.mean(y_gen == label)
        _require(
            abs(found - share) < 0.125,
            f"{name}.sample_labeled: class {label!r} is {share:.0%} of the training rows but "
            f"{found:.0%} of the sampled ones.",
        )
    counts = {"red": 9, "blue": 4}
    for n_samples in (None, 13):
        X_gen, y_gen = fitted.sample_labeled(n_samples, class_counts=counts)
        labels, found = np.unique(y_gen, return_counts=True)
        _require(
            dict(zip(labels.tolist(), found.tolist(), strict=True)) == counts and len(X_gen) == 13,
            f"{name}.sample_labeled(class_counts={counts}) returned {found} of {labels}.",
        )
        agree = np.mean(_nearest_class(X_gen, X, y) == y_gen)
        _require(
            agree >= 0.8, f"{name}.sample_labeled(class_counts=...): labels do not fit their rows."
        )
    X_again, y_again = fitted.sample_labeled(400)
    X_gen, y_gen = fitted.sample_labeled(400)
    assert_array_equal(y_again, y_gen, err_msg=f"{name}.sample_labeled must repeat its labels")
    assert_array_equal(_array(X_again), _array(X_gen), err_msg=f"{name}.sample_labeled rows")
    _require(
        fitted.sample_labeled(0)[0].shape == (0, X.shape[1]),
        f"{name}.sample_labeled(0) must return an empty table.",
    )
    _require_raises(
        ValueError,
        "class_counts",
        f"{name}.sample_labeled with counts that do not add up must raise ValueError",
        fitted.sample_labeled,
        5,
        class_counts=counts,
    )


def check_generator_label_kinds(name, estimator):
    """Any number of classes from one up, of strings, integers or booleans."""
    _require_conditional(name, estimator)
    X, _ = _data(estimator)
    n_rows = len(X)
    for labels in (
        np.zeros(n_rows, dtype=int),
        np.arange(n_rows) % 2 == 0,
        np.resize([5, -1, 12, 7], n_rows),
        pd.Series(np.resize(["b", "a"], n_rows), index=np.arange(n_rows) + 50),
    ):
        fitted = _fit(_seeded(estimator), X, labels)
        assert_array_equal(fitted.classes_, np.unique(labels), err_msg=f"{name}.classes_")
        X_gen, y_gen = fitted.sample_labeled(6)
        _require(
            len(X_gen) == 6 and np.isin(y_gen, np.unique(labels)).all(),
            f"{name}.sample_labeled returned labels that were not in y.",
        )
        _require(
            y_gen.dtype.kind == np.asarray(labels).dtype.kind,
            f"{name}.sample_labeled returned labels of dtype {y_gen.dtype}, fit got "
            f"{np.asarray(labels).dtype}.",
        )


def check_generator_labels_optional(name, estimator):
    """Where labels are not required, a fit without them forgets those of an earlier fit."""
    _require_conditional(name, estimator)
    if get_tags(estimator).target_tags.required:
        raise SkipTest(f"{name} requires labels")
    X, y = _data(estimator)
    plain = _fit(_seeded(estimator), X, None)
    refitted = _fit(_fit(_seeded(estimator), X, y), X, None)
    rows = _array(plain.sample(12))
    _require(
        rows.shape == (12, X.shape[1]) and np.isfinite(rows).all(),
        f"{name}.sample after a fit without labels must return finite rows.",
    )
    assert_array_equal(
        _array(refitted.sample(12)),
        rows,
        err_msg=f"{name}: a fit without labels must forget those of the fit before",
    )
    _require(
        not hasattr(refitted, "classes_"),
        f"{name}.classes_ must be gone after a refit without labels.",
    )
    _require_raises(
        (ValueError, TypeError),
        "",
        f"{name}.sample(3, y=...) must fail after a fit without labels",
        plain.sample,
        3,
        y="blue",
    )


# Checks of latent generators.


def _require_latent(name, estimator):
    if not _is_latent(estimator):
        raise SkipTest(f"{name} has no latent space")


def check_generator_latent(name, estimator):
    """``transform`` and back: shapes, names, determinism, row by row."""
    _require_latent(name, estimator)
    X, _ = _data(estimator)
    fitted = _fitted(estimator)
    Z = fitted.transform(X)
    _require(
        isinstance(Z, np.ndarray) and Z.ndim == 2 and len(Z) == len(X),
        f"{name}.transform must return an ndarray with one row of codes a row, got {np.shape(Z)}.",
    )
    _require(np.isfinite(Z).all(), f"{name}.transform returned NaN or infinity.")
    _require(
        len(fitted.get_feature_names_out()) == Z.shape[1],
        f"{name}.get_feature_names_out does not name the {Z.shape[1]} columns of transform.",
    )
    assert_array_equal(Z, fitted.transform(X), err_msg=f"{name}.transform must be deterministic")
    order = np.random.default_rng(0).permutation(len(X))
    assert_allclose(
        fitted.transform(X[order]),
        Z[order],
        rtol=1e-6,
        atol=1e-9,
        err_msg=f"{name}.transform must work row by row",
    )
    decoded = fitted.inverse_transform(Z)
    _require(
        np.shape(decoded) == X.shape and np.isfinite(_array(decoded)).all(),
        f"{name}.inverse_transform must return finite rows of shape {X.shape}, got "
        f"{np.shape(decoded)}.",
    )
    _require_raises(
        ValueError,
        "",
        f"{name}.inverse_transform must refuse codes of another width",
        fitted.inverse_transform,
        np.c_[Z, Z],
    )


def check_generator_reconstruct(name, estimator):
    """``reconstruct`` keeps rows, columns and container."""
    _require_latent(name, estimator)
    frame, y = _frame(estimator)
    fitted = _fit(_seeded(estimator), frame, y)
    _require(hasattr(fitted, "reconstruct"), f"{name} is a latent generator without reconstruct.")
    rows = fitted.reconstruct(frame)
    _require(
        isinstance(rows, pd.DataFrame)
        and rows.shape == frame.shape
        and list(rows.columns) == list(frame.columns),
        f"{name}.reconstruct must return a table like the one given.",
    )
    part = fitted.reconstruct(frame.iloc[[5, 2, 9]])
    assert_allclose(
        _array(part),
        _array(rows)[[5, 2, 9]],
        # Integer columns are rounded, so the last bit may move a value by one.
        rtol=1e-5,
        atol=1.0,
        err_msg=f"{name}.reconstruct: rows are not aligned with those given",
    )


# Checks of generators trained by gradient steps.


def _require_neural(name, estimator):
    if not _has_parameter(estimator, "max_epochs"):
        raise SkipTest(f"{name} is not trained in epochs")


def check_generator_training_record(name, estimator):
    """The record of training has one entry an epoch."""
    _require_neural(name, estimator)
    fitted = _fitted(estimator)
    _require(
        1 <= fitted.n_iter_ <= estimator.max_epochs,
        f"{name}.n_iter_ is {fitted.n_iter_} after max_epochs={estimator.max_epochs}.",
    )
    _require(
        len(fitted.loss_curve_) == fitted.n_iter_ and np.isfinite(fitted.loss_curve_).all(),
        f"{name}.loss_curve_ must hold n_iter_={fitted.n_iter_} finite losses.",
    )
    _require(
        len(fitted.history_) == fitted.n_iter_,
        f"{name}.history_ must have one row an epoch ({fitted.n_iter_}), got "
        f"{len(fitted.history_)}.",
    )
    _require(hasattr(fitted, "net_"), f"{name} must keep its network as net_.")


def check_generator_callbacks(name, estimator):
    """Callbacks given by the user are copied, never changed."""
    _require_neural(name, estimator)
    if not _has_parameter(estimator, "callbacks"):
        raise SkipTest(f"{name} takes no callbacks")
    from skorch.callbacks import EarlyStopping

    X, y = _data(estimator)
    stopper = EarlyStopping(monitor="train_loss", patience=50)
    before = dict(vars(stopper))
    callbacks = [stopper]
    fitted = _fit(_seeded(estimator).set_params(callbacks=callbacks), X, y)
    _require(
        vars(stopper) == before and callbacks == [stopper],
        f"{name}.fit changed the callbacks given as a parameter; copy them first.",
    )
    _require(fitted.callbacks is callbacks, f"{name}.fit replaced its callbacks parameter.")


def check_generator_warm_start(name, estimator):
    """``warm_start`` goes on training and refuses another architecture or width."""
    _require_neural(name, estimator)
    if not _has_parameter(estimator, "warm_start"):
        raise SkipTest(f"{name} has no warm_start")
    X, y = _data(estimator)
    fitted = _seeded(estimator).set_params(warm_start=True)
    if _has_parameter(fitted, "early_stopping"):
        fitted.set_params(early_stopping=False)
    _fit(fitted, X, y)
    first = fitted.n_iter_
    _fit(fitted, X, y)
    _require(
        fitted.n_iter_ == first + fitted.max_epochs and len(fitted.loss_curve_) == fitted.n_iter_,
        f"{name}: warm_start=True must add {fitted.max_epochs} epochs to the {first} before, "
        f"n_iter_ is {fitted.n_iter_}.",
    )
    _require_raises(
        ValueError,
        "features",
        f"{name}: warm_start=True must refuse a table with another number of columns",
        _fit,
        fitted,
        X[:, :-1],
        y,
    )
    if _has_parameter(fitted, "latent_dim"):
        fitted.set_params(latent_dim=3 if fitted.latent_dim != 3 else 2)
        _require_raises(
            ValueError,
            ["warm_start", "latent_dim"],
            f"{name}: warm_start=True must refuse another latent_dim",
            _fit,
            fitted,
            X,
            y,
        )
    cold = fitted.set_params(**_seeded(estimator).get_params(deep=False))
    assert_array_equal(
        _array(_fit(cold, X, y).sample(6)),
        _array(_fitted(estimator).sample(6)),
        err_msg=f"{name}: with warm_start=False a refit must start afresh",
    )


_CHECKS = (
    check_generator_unfitted,
    check_generator_fitted_attributes,
    check_generator_shapes,
    check_generator_n_samples,
    check_generator_finite,
    check_generator_column_order,
    check_generator_repeats,
    check_generator_seeds,
    check_generator_global_rng,
    check_generator_parallel,
    check_generator_container,
    check_generator_set_output,
    check_generator_set_output_polars,
    check_generator_feature_names,
    check_generator_input_unchanged,
    check_generator_pickle,
    check_generator_state_unchanged,
    check_generator_refit,
    check_generator_bad_values,
    check_generator_sample_iter,
    check_generator_score,
    check_generator_ignores_labels,
    check_generator_labels_aligned,
    check_generator_labels_refused,
    check_generator_sample_labeled,
    check_generator_label_kinds,
    check_generator_labels_optional,
    check_generator_latent,
    check_generator_reconstruct,
    check_generator_training_record,
    check_generator_callbacks,
    check_generator_warm_start,
)


def _applies(check, estimator):
    kind = check.__name__
    if "label" in kind and kind != "check_generator_ignores_labels":
        return _is_conditional(estimator)
    if check is check_generator_ignores_labels:
        return not _is_conditional(estimator)
    if check in (check_generator_latent, check_generator_reconstruct):
        return _is_latent(estimator)
    if check in (
        check_generator_training_record,
        check_generator_callbacks,
        check_generator_warm_start,
    ):
        return _has_parameter(estimator, "max_epochs")
    return True


def _check_name(check):
    return (check.func if isinstance(check, partial) else check).__name__


def generator_checks(estimator: Any) -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """Iterate over the checks that apply to a generator.

    Parameters
    ----------
    estimator : estimator instance
        Unfitted generator with small settings (few epochs, a tiny network). It is cloned, never
        fitted.

    Yields
    ------
    estimator : estimator instance
        The one given.

    check : callable
        ``check(estimator)`` raises ``AssertionError`` when the contract is broken and
        ``unittest.SkipTest`` when it cannot be tested here.

    Examples
    --------
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.utils.estimator_checks import generator_checks
    >>> for estimator, check in generator_checks(IndependentColumns()):
    ...     if "shapes" in check.func.__name__:
    ...         check(estimator)
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"Pass an instance, not the class: {estimator.__name__}(...) with small settings."
        )
    name = type(estimator).__name__
    for check in _CHECKS:
        if _applies(check, estimator):
            yield estimator, partial(check, name)


def check_generator(
    estimator: Any,
    *,
    on_fail: str | None = "raise",
    expected_failed_checks: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Check that a generator keeps the contract.

    Run it beside :func:`sklearn.utils.estimator_checks.check_estimator`, which tests what all
    estimators of scikit-learn share.

    Parameters
    ----------
    estimator : estimator instance
        Unfitted generator with small settings (few epochs, a tiny network).

    on_fail : {"raise", "warn"} or None, default="raise"
        What to do when a check fails; None only records it.

    expected_failed_checks : dict, default=None
        Reasons for checks that are known to fail, ``{check name: reason}``.

    Returns
    -------
    results : list of dict
        One entry a check with the keys ``estimator``, ``check_name``, ``status`` ("passed",
        "failed", "xfail" or "skipped"), ``exception`` and ``expected_to_fail_reason``.

    Raises
    ------
    Exception
        What the first failing check raised, when ``on_fail="raise"``.

    Examples
    --------
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.utils.estimator_checks import check_generator
    >>> results = check_generator(IndependentColumns())  # doctest: +SKIP
    >>> {result["status"] for result in results}  # doctest: +SKIP
    {'passed'}
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f"on_fail must be 'raise', 'warn' or None, got {on_fail!r}.")
    expected = expected_failed_checks or {}
    _refuse_unknown_checks(expected)
    results = []
    for _, check in generator_checks(estimator):
        check_name = _check_name(check)
        reason = expected.get(check_name)
        status, exception = "passed", None
        try:
            check(estimator)
        except SkipTest as exc:
            status, exception = "skipped", exc
        except Exception as exc:
            status, exception = ("failed" if reason is None else "xfail"), exc
            if status == "failed" and on_fail == "raise":
                raise
            if status == "failed" and on_fail == "warn":
                warnings.warn(f"{check_name} failed: {exc}", stacklevel=2)
        results.append(
            {
                "estimator": estimator,
                "check_name": check_name,
                "status": status,
                "exception": exception,
                "expected_to_fail_reason": reason,
            }
        )
    return results


def _refuse_unknown_checks(expected):
    unknown = sorted(set(expected) - {check.__name__ for check in _CHECKS})
    if unknown:
        raise ValueError(f"expected_failed_checks names unknown checks: {unknown}.")


def _check_id(value):
    if isinstance(value, partial):
        return _check_name(value)
    return " ".join(repr(value).split())


def parametrize_generators(
    estimators: list[Any],
    *,
    expected_failed_checks: Callable[[Any], dict[str, str]] | None = None,
) -> Any:
    """Decorator that makes one pytest test of every pair of generator and check.

    Parameters
    ----------
    estimators : list of estimator instances
        Unfitted generators with small settings.

    expected_failed_checks : callable, default=None
        Takes an estimator and returns the reasons for checks that are known to fail,
        ``{check name: reason}``. These become strict expected failures.

    Returns
    -------
    decorator : pytest.mark.parametrize
        For a test function with the arguments ``estimator`` and ``check``.

    Examples
    --------
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.utils.estimator_checks import parametrize_generators
    >>> @parametrize_generators([IndependentColumns()])
    ... def test_contract(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases = []
    for estimator in estimators:
        expected = {} if expected_failed_checks is None else expected_failed_checks(estimator)
        _refuse_unknown_checks(expected)
        for _, check in generator_checks(estimator):
            reason = expected.get(_check_name(check))
            marks = () if reason is None else pytest.mark.xfail(reason=reason, strict=True)
            cases.append(pytest.param(estimator, check, marks=marks))
    return pytest.mark.parametrize(("estimator", "check"), cases, ids=_check_id)
