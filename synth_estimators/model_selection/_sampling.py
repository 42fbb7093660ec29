"""Rows that scorers and loops compare: sampling from estimators, tables with labels."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators.preprocessing._columns import category_label, is_discrete_dtype

__all__ = [
    "as_tables",
    "draw_rows",
    "free_name",
    "is_conditional",
    "label_column",
    "own_discrete",
    "remaining_rows",
    "resolve",
    "sample",
    "standardise",
    "with_label",
]


def resolve(estimator):
    """Find the generator and the inverse transforms that lead from its rows to data units."""
    inverses = []
    while True:
        if hasattr(estimator, "sample"):
            return estimator, inverses
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            earlier = []
            for name, step in reversed(estimator.steps[:-1]):
                if step is None or step == "passthrough":
                    continue
                if not hasattr(step, "inverse_transform"):
                    raise TypeError(
                        f"Step {name!r} ({type(step).__name__}) of the pipeline has no "
                        "inverse_transform, so sampled rows cannot be brought back to data units; "
                        "use a transformer that has one."
                    )
                earlier.append(step.inverse_transform)
            # The inner pipeline is undone first.
            inverses = earlier + inverses
            estimator = estimator.steps[-1][1]
        else:
            raise TypeError(
                f"{type(estimator).__name__} cannot be scored as a generator: it has no sample "
                "method, is no pipeline that ends in a generator and no fitted search."
            )


def _takes(method, keyword):
    parameters = inspect.signature(method).parameters
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def is_conditional(generator):
    return hasattr(generator, "classes_") and _takes(generator.sample, "y")


def sample(generator, n_rows, seed, **request):
    """Sample with a seed of its own, so that the fitted estimator stays as it is."""
    if _takes(generator.sample, "random_state"):
        rows = generator.sample(n_rows, random_state=seed, **request)
    elif "random_state" in getattr(generator, "__dict__", {}):
        # scikit-learn's GaussianMixture draws from its own random_state.
        generator = copy.copy(generator)
        generator.random_state = seed
        rows = generator.sample(n_rows, **request)
    else:
        raise TypeError(
            f"{type(generator).__name__}.sample takes no random_state, so its score could not be "
            "repeated; add the keyword."
        )
    return rows[0] if isinstance(rows, tuple) else rows


def draw_rows(generator, n_rows, *, y, seed, conditional):
    """Sample rows, and their labels if labels are given to be judged."""
    if y is None:
        return sample(generator, n_rows, seed), None
    if conditional == "prior":
        return generator.sample_labeled(n_rows, random_state=seed)
    y = np.asarray(y)
    labels = y if n_rows == len(y) else _spread(y, n_rows, seed)
    return sample(generator, n_rows, seed, y=labels), labels


def _spread(y, n_rows, seed):
    """Labels for another number of rows in the proportions of ``y``."""
    rng = np.random.default_rng(seed)
    whole, rest = divmod(n_rows, len(y))
    return np.concatenate([np.tile(y, whole), rng.permutation(y)[:rest]])


def as_tables(X, rows):
    """Data frames with the same column names; arrays take those of the other table."""
    real, synth = _frame(X), _frame(rows)
    if real is None and synth is None:
        real, synth = _numbered(X), _numbered(rows)
    elif real is None:
        real = _numbered(X, synth.columns)
    elif synth is None:
        synth = _numbered(rows, real.columns)
    return real, synth


def _frame(X):
    if isinstance(X, pd.DataFrame):
        return X.reset_index(drop=True)
    if type(X).__module__.split(".")[0] == "polars":
        return pd.DataFrame(X.to_dict(as_series=False))
    return None


def _numbered(X, columns=None):
    values = X.toarray() if sparse.issparse(X) else np.asarray(X)
    if values.ndim != 2:
        raise ValueError(f"Expected a table, got an array of shape {values.shape}.")
    if columns is None:
        columns = [f"x{j}" for j in range(values.shape[1])]
    elif len(columns) != values.shape[1]:
        raise ValueError(
            f"Sampled rows and test rows differ in width ({values.shape[1]} and {len(columns)} "
            "columns); they must have the same columns."
        )
    frame = pd.DataFrame(values, columns=columns)
    return frame.infer_objects() if values.dtype == object else frame


def standardise(real, *others):
    """Divide the numeric columns of all tables by the scale of the real ones."""
    numeric = [
        label
        for label, dtype in real.dtypes.items()
        if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
    ]
    mean, scale = real[numeric].mean(), real[numeric].std(ddof=0)
    scale = scale.where(scale > 0, 1.0)
    tables = [table.copy() for table in (real, *others)]
    for table in tables:
        table[numeric] = (table[numeric] - mean) / scale
    return tables


def remaining_rows(X_all, X):
    """Rows of the whole table that are not among ``X``; equal rows count one by one."""
    whole, part = as_tables(X_all, X)
    if list(whole.columns) != list(part.columns):
        raise ValueError("X_all and the held-out rows must have the same columns.")
    keys, taken = _row_hashes(whole), _row_hashes(part)
    counts = pd.Series(taken).value_counts()
    wanted = pd.Series(keys).map(counts).fillna(0).to_numpy()
    number = pd.Series(keys).groupby(keys).cumcount().to_numpy()
    held_out = number < wanted
    if held_out.sum() != len(part):
        raise ValueError(
            f"{len(part) - int(held_out.sum())} of the {len(part)} rows to judge are not rows of "
            "X_all; pass the table that is split, before any transformation."
        )
    if held_out.all():
        raise ValueError("X_all has no rows besides the held-out ones, so none to train on.")
    return whole[~held_out].reset_index(drop=True)


def _row_hashes(frame):
    """One number a row, the same for equal rows whatever the rest of the table holds."""
    columns = {}
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if is_discrete_dtype(column.dtype):
            column = column.astype(object).map(category_label).astype(object)
        columns[place] = column
    return pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()


def free_name(frame):
    name = "y"
    while name in frame.columns:
        name += "_"
    return name


def label_column(labels):
    return pd.Series(np.asarray(labels)).astype("category")


def own_discrete(generator, real):
    """Columns of text and those that the generator itself lists as discrete, None without a list.

    What it lists goes by name, as a mask or, in an array, by position; columns that the judged
    table does not have belong to a step of a pipeline and are passed over.
    """
    listed = getattr(generator, "discrete_columns_", None)
    if listed is None:
        listed = getattr(generator, "discrete_columns", None)
    if listed is None or isinstance(listed, str):
        return None
    labels, listed = list(real.columns), list(listed)
    if listed and all(isinstance(item, (bool, np.bool_)) for item in listed):
        listed = [label for label, flag in zip(labels, listed, strict=False) if flag]
    found = [
        labels[item]
        if item not in labels and isinstance(item, (int, np.integer)) and 0 <= item < len(labels)
        else item
        for item in listed
    ]
    text = [label for label, dtype in real.dtypes.items() if is_discrete_dtype(dtype)]
    return list(dict.fromkeys([*text, *(label for label in found if label in labels)]))


def with_label(discrete_columns, name):
    if isinstance(discrete_columns, str):
        return discrete_columns
    chosen = [] if discrete_columns is None else list(discrete_columns)
    if chosen and all(isinstance(item, (bool, np.bool_)) for item in chosen):
        return [*chosen, True]
    return [*chosen, name]
