"""Covariates with smooth effects: one column of numbers becomes a spline basis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import SplineTransformer

__all__ = ["SmoothTerms"]

_DEGREE = 3


class SmoothTerms:
    """Numeric covariates replaced by the columns of a cubic B-spline basis.

    Parameters
    ----------
    terms : list
        Covariates with a smooth effect.

    n_splines : int
        Functions of the basis. The first one is left out, since all of them add up to 1 as the
        indicators of the batches do.

    Attributes
    ----------
    splines : dict
        Fitted ``SplineTransformer`` of every term.
    """

    def __init__(self, terms: Any, n_splines: int):
        self.terms = list(terms)
        self.n_splines = n_splines

    def fit(self, frame: pd.DataFrame) -> SmoothTerms:
        """Learn the knots of every term from the rows of ``frame``."""
        unknown = [term for term in self.terms if term not in frame.columns]
        if unknown:
            raise ValueError(
                f"smooth_terms names {unknown!r}, which are not among the covariates "
                f"{list(frame.columns)!r}; name these columns in covariates as well."
            )
        self.splines = {term: self._fit_spline(frame, term) for term in self.terms}
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return ``frame`` with the basis, values beyond the range of ``fit`` at its ends."""
        columns = {name: frame[name] for name in frame.columns if name not in self.splines}
        for term, spline in self.splines.items():
            if term not in frame.columns:
                raise ValueError(
                    f"covariates lack the smooth term {term!r}, which was there during fit."
                )
            basis = spline.transform(_numbers(frame[term], term))
            for number in range(1, basis.shape[1]):
                columns[f"{term}_spline{number}"] = basis[:, number]
        return pd.DataFrame(columns, index=frame.index)

    def _fit_spline(self, frame, term):
        values = _numbers(frame[term], term)
        n_distinct = len(np.unique(values))
        if n_distinct < self.n_splines:
            raise ValueError(
                f"The smooth term {term!r} has fewer distinct values ({n_distinct}) than its basis "
                f"has functions (n_splines={self.n_splines}); lower n_splines, or take it out of "
                "smooth_terms."
            )
        shares = np.linspace(0, 100, self.n_splines - _DEGREE + 1)
        # Ties may put two quantiles on one value, which then is one knot.
        knots = np.unique(np.percentile(values, shares))
        spline = SplineTransformer(knots=knots[:, None], degree=_DEGREE, extrapolation="constant")
        return spline.fit(values)


def _numbers(values, term):
    dtype = values.dtype
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        raise ValueError(
            f"The smooth term {term!r} does not hold numbers (dtype {dtype}); convert it, or take "
            "it out of smooth_terms."
        )
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
    if not np.isfinite(numbers).all():
        raise ValueError(f"The smooth term {term!r} holds infinite values; mend or drop the rows.")
    return numbers
