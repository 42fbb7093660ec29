"""Checks of conditional and latent generators and of those trained by gradient steps."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import get_tags

from synth_estimators.utils import _check_tools as tools

# Checks of conditional generators.


def _require_conditional(name: str, estimator: Any) -> None:
    if not tools.is_conditional(estimator):
        raise SkipTest(f"{name} is not conditional")


def _nearest_class(rows: Any, X: Any, y: Any) -> np.ndarray:
    """Label of the nearest class mean of every row, in standard deviations of the columns."""
    scale = X.std(axis=0)
    means = np.stack([X[y == label].mean(axis=0) for label in tools.LABELS])
    distance = (((tools.array(rows)[:, None, :] - means) / scale) ** 2).sum(axis=2)
    return tools.LABELS[distance.argmin(axis=1)]


def check_generator_labels_aligned(name: str, estimator: Any) -> None:
    """Row i of ``sample(n, y=labels)`` belongs to label i."""
    _require_conditional(name, estimator)
    X, y = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    wanted = np.random.default_rng(1).choice(tools.LABELS, size=60)
    for labels in (wanted, wanted.tolist()):
        agree = np.mean(_nearest_class(fitted.sample(60, y=labels), X, y) == wanted)
        tools.require(
            agree >= 0.9,
            f"{name}.sample(n, y=labels): only {agree:.0%} of the rows lie nearest to the mean of "
            "their class, although the classes are 8 standard deviations apart.",
        )
    for label in tools.LABELS:
        agree = np.mean(_nearest_class(fitted.sample(30, y=label), X, y) == label)
        tools.require(
            agree >= 0.9, f"{name}.sample(n, y={label!r}) returned rows of other classes."
        )
    tools.require(
        fitted.sample(0, y=[]).shape == (0, X.shape[1]), f"{name}.sample(0, y=[]) must work."
    )


def check_generator_labels_refused(name: str, estimator: Any) -> None:
    """Unknown, missing or miscounted labels are refused."""
    _require_conditional(name, estimator)
    X, _ = tools.make_data(estimator)
    y = tools.make_labels()
    fitted = tools.fitted(estimator)
    for wrong in ("purple", ["blue", "purple", "red"]):
        tools.require_raises(
            ValueError,
            "purple",
            f"{name}.sample(3, y={wrong!r}) must raise a ValueError that names the label",
            fitted.sample,
            3,
            y=wrong,
        )
    tools.require_raises(
        ValueError,
        "labels",
        f"{name}.sample(3, y=<2 labels>) must raise ValueError",
        fitted.sample,
        3,
        y=["blue", "red"],
    )
    tools.require_raises(
        ValueError,
        "purple",
        f"{name}.sample_labeled with an unknown class must raise ValueError",
        fitted.sample_labeled,
        None,
        class_counts={"purple": 2},
    )
    if get_tags(estimator).target_tags.required:
        tools.require_raises(
            ValueError,
            "y",
            f"{name}.fit without y must raise ValueError",
            tools.seeded(estimator).fit,
            X,
        )
    tools.require_raises(
        ValueError,
        "labels",
        f"{name}.fit with one label too few must raise ValueError",
        tools.fit,
        tools.seeded(estimator),
        X,
        y[:-1],
    )
    tools.require_raises(
        ValueError,
        "missing",
        f"{name}.fit must refuse missing labels",
        tools.fit,
        tools.seeded(estimator),
        X,
        np.r_[[None], y[1:].astype(object)],
    )


def check_generator_sample_labeled(name: str, estimator: Any) -> None:
    """``sample_labeled`` returns rows with their labels, in the proportions asked for."""
    _require_conditional(name, estimator)
    X, y = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    X_gen, y_gen = fitted.sample_labeled(400)
    tools.require(
        np.shape(X_gen) == (400, X.shape[1]) and np.shape(y_gen) == (400,),
        f"{name}.sample_labeled(400) has shapes {np.shape(X_gen)} and {np.shape(y_gen)}.",
    )
    agree = np.mean(_nearest_class(X_gen, X, y) == y_gen)
    tools.require(
        agree >= 0.9,
        f"{name}.sample_labeled: only {agree:.0%} of the rows lie nearest to the mean of their "
        "class.",
    )
    # Five standard deviations of a binomial share of 400 rows: 5 * sqrt(0.5 * 0.5 / 400).
    for label, share in zip(tools.LABELS, (0.5, 0.25, 0.25), strict=True):
        found = np.mean(y_gen == label)
        tools.require(
            abs(found - share) < 0.125,
            f"{name}.sample_labeled: class {label!r} is {share:.0%} of the training rows but "
            f"{found:.0%} of the sampled ones.",
        )
    counts = {"red": 9, "blue": 4}
    for n_samples in (None, 13):
        X_gen, y_gen = fitted.sample_labeled(n_samples, class_counts=counts)
        labels, found = np.unique(y_gen, return_counts=True)
        tools.require(
            dict(zip(labels.tolist(), found.tolist(), strict=True)) == counts and len(X_gen) == 13,
            f"{name}.sample_labeled(class_counts={counts}) returned {found} of {labels}.",
        )
        agree = np.mean(_nearest_class(X_gen, X, y) == y_gen)
        tools.require(
            agree >= 0.8, f"{name}.sample_labeled(class_counts=...): labels do not fit their rows."
        )
    X_again, y_again = fitted.sample_labeled(400)
    X_gen, y_gen = fitted.sample_labeled(400)
    assert_array_equal(y_again, y_gen, err_msg=f"{name}.sample_labeled must repeat its labels")
    assert_array_equal(
        tools.array(X_again), tools.array(X_gen), err_msg=f"{name}.sample_labeled rows"
    )
    tools.require(
        fitted.sample_labeled(0)[0].shape == (0, X.shape[1]),
        f"{name}.sample_labeled(0) must return an empty table.",
    )
    tools.require_raises(
        ValueError,
        "class_counts",
        f"{name}.sample_labeled with counts that do not add up must raise ValueError",
        fitted.sample_labeled,
        5,
        class_counts=counts,
    )


def check_generator_label_kinds(name: str, estimator: Any) -> None:
    """Any number of classes from one up, of strings, integers or booleans."""
    _require_conditional(name, estimator)
    X, _ = tools.make_data(estimator)
    n_rows = len(X)
    for labels in (
        np.zeros(n_rows, dtype=int),
        np.arange(n_rows) % 2 == 0,
        np.resize([5, -1, 12, 7], n_rows),
        pd.Series(np.resize(["b", "a"], n_rows), index=np.arange(n_rows) + 50),
    ):
        fitted = tools.fit(tools.seeded(estimator), X, labels)
        assert_array_equal(fitted.classes_, np.unique(labels), err_msg=f"{name}.classes_")
        X_gen, y_gen = fitted.sample_labeled(6)
        tools.require(
            len(X_gen) == 6 and np.isin(y_gen, np.unique(labels)).all(),
            f"{name}.sample_labeled returned labels that were not in y.",
        )
        tools.require(
            y_gen.dtype.kind == np.asarray(labels).dtype.kind,
            f"{name}.sample_labeled returned labels of dtype {y_gen.dtype}, fit got "
            f"{np.asarray(labels).dtype}.",
        )


def check_generator_labels_optional(name: str, estimator: Any) -> None:
    """Where labels are not required, a fit without them forgets those of an earlier fit."""
    _require_conditional(name, estimator)
    if get_tags(estimator).target_tags.required:
        raise SkipTest(f"{name} requires labels")
    X, y = tools.make_data(estimator)
    plain = tools.fit(tools.seeded(estimator), X, None)
    refitted = tools.fit(tools.fit(tools.seeded(estimator), X, y), X, None)
    rows = tools.array(plain.sample(12))
    tools.require(
        rows.shape == (12, X.shape[1]) and np.isfinite(rows).all(),
        f"{name}.sample after a fit without labels must return finite rows.",
    )
    assert_array_equal(
        tools.array(refitted.sample(12)),
        rows,
        err_msg=f"{name}: a fit without labels must forget those of the fit before",
    )
    tools.require(
        not hasattr(refitted, "classes_"),
        f"{name}.classes_ must be gone after a refit without labels.",
    )
    tools.require_raises(
        (ValueError, TypeError),
        "",
        f"{name}.sample(3, y=...) must fail after a fit without labels",
        plain.sample,
        3,
        y="blue",
    )


# Checks of latent generators.


def _require_latent(name: str, estimator: Any) -> None:
    if not tools.is_latent(estimator):
        raise SkipTest(f"{name} has no latent space")


def check_generator_latent(name: str, estimator: Any) -> None:
    """``transform`` and back: shapes, names, determinism, row by row."""
    _require_latent(name, estimator)
    X, _ = tools.make_data(estimator)
    fitted = tools.fitted(estimator)
    Z = fitted.transform(X)
    tools.require(
        isinstance(Z, np.ndarray) and Z.ndim == 2 and len(Z) == len(X),
        f"{name}.transform must return an ndarray with one row of codes a row, got {np.shape(Z)}.",
    )
    tools.require(np.isfinite(Z).all(), f"{name}.transform returned NaN or infinity.")
    tools.require(
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
    tools.require(
        np.shape(decoded) == X.shape and np.isfinite(tools.array(decoded)).all(),
        f"{name}.inverse_transform must return finite rows of shape {X.shape}, got "
        f"{np.shape(decoded)}.",
    )
    tools.require_raises(
        ValueError,
        "",
        f"{name}.inverse_transform must refuse codes of another width",
        fitted.inverse_transform,
        np.c_[Z, Z],
    )


def check_generator_reconstruct(name: str, estimator: Any) -> None:
    """``reconstruct`` keeps rows, columns and container."""
    _require_latent(name, estimator)
    frame, y = tools.make_frame(estimator)
    fitted = tools.fit(tools.seeded(estimator), frame, y)
    tools.require(
        hasattr(fitted, "reconstruct"), f"{name} is a latent generator without reconstruct."
    )
    rows = fitted.reconstruct(frame)
    tools.require(
        isinstance(rows, pd.DataFrame)
        and rows.shape == frame.shape
        and list(rows.columns) == list(frame.columns),
        f"{name}.reconstruct must return a table like the one given.",
    )
    part = fitted.reconstruct(frame.iloc[[5, 2, 9]])
    assert_allclose(
        tools.array(part),
        tools.array(rows)[[5, 2, 9]],
        # Integer columns are rounded, so the last bit may move a value by one.
        rtol=1e-5,
        atol=1.0,
        err_msg=f"{name}.reconstruct: rows are not aligned with those given",
    )


# Checks of generators trained by gradient steps.


def _require_neural(name: str, estimator: Any) -> None:
    if not tools.has_parameter(estimator, "max_epochs"):
        raise SkipTest(f"{name} is not trained in epochs")


def check_generator_training_record(name: str, estimator: Any) -> None:
    """The record of training has one entry an epoch."""
    _require_neural(name, estimator)
    fitted = tools.fitted(estimator)
    tools.require(
        1 <= fitted.n_iter_ <= estimator.max_epochs,
        f"{name}.n_iter_ is {fitted.n_iter_} after max_epochs={estimator.max_epochs}.",
    )
    tools.require(
        len(fitted.loss_curve_) == fitted.n_iter_ and np.isfinite(fitted.loss_curve_).all(),
        f"{name}.loss_curve_ must hold n_iter_={fitted.n_iter_} finite losses.",
    )
    tools.require(
        len(fitted.history_) == fitted.n_iter_,
        f"{name}.history_ must have one row an epoch ({fitted.n_iter_}), got "
        f"{len(fitted.history_)}.",
    )
    tools.require(hasattr(fitted, "net_"), f"{name} must keep its network as net_.")


def check_generator_callbacks(name: str, estimator: Any) -> None:
    """Callbacks given by the user are copied, never changed."""
    _require_neural(name, estimator)
    if not tools.has_parameter(estimator, "callbacks"):
        raise SkipTest(f"{name} takes no callbacks")
    from skorch.callbacks import EarlyStopping

    X, y = tools.make_data(estimator)
    stopper = EarlyStopping(monitor="train_loss", patience=50)
    before = dict(vars(stopper))
    callbacks = [stopper]
    fitted = tools.fit(tools.seeded(estimator).set_params(callbacks=callbacks), X, y)
    tools.require(
        vars(stopper) == before and callbacks == [stopper],
        f"{name}.fit changed the callbacks given as a parameter; copy them first.",
    )
    tools.require(fitted.callbacks is callbacks, f"{name}.fit replaced its callbacks parameter.")


def check_generator_warm_start(name: str, estimator: Any) -> None:
    """``warm_start`` goes on training and refuses another architecture or width."""
    _require_neural(name, estimator)
    if not tools.has_parameter(estimator, "warm_start"):
        raise SkipTest(f"{name} has no warm_start")
    X, y = tools.make_data(estimator)
    fitted = tools.seeded(estimator).set_params(warm_start=True)
    if tools.has_parameter(fitted, "early_stopping"):
        fitted.set_params(early_stopping=False)
    tools.fit(fitted, X, y)
    first = fitted.n_iter_
    tools.fit(fitted, X, y)
    tools.require(
        fitted.n_iter_ == first + fitted.max_epochs and len(fitted.loss_curve_) == fitted.n_iter_,
        f"{name}: warm_start=True must add {fitted.max_epochs} epochs to the {first} before, "
        f"n_iter_ is {fitted.n_iter_}.",
    )
    tools.require_raises(
        ValueError,
        "features",
        f"{name}: warm_start=True must refuse a table with another number of columns",
        tools.fit,
        fitted,
        X[:, :-1],
        y,
    )
    if tools.has_parameter(fitted, "latent_dim"):
        fitted.set_params(latent_dim=3 if fitted.latent_dim != 3 else 2)
        tools.require_raises(
            ValueError,
            ["warm_start", "latent_dim"],
            f"{name}: warm_start=True must refuse another latent_dim",
            tools.fit,
            fitted,
            X,
            y,
        )
    cold = fitted.set_params(**tools.seeded(estimator).get_params(deep=False))
    assert_array_equal(
        tools.array(tools.fit(cold, X, y).sample(6)),
        tools.array(tools.fitted(estimator).sample(6)),
        err_msg=f"{name}: with warm_start=False a refit must start afresh",
    )
