"""ComBatSeq: batch effects of counts, adjusted by negative binomial regression."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from synth_estimators._compat import Interval, StrOptions
from synth_estimators._distances import row_blocks
from synth_estimators._validation import is_polars
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._combat import warn_about_sizes
from synth_estimators.batch_effects._combat_seq_model import apply_counts, fit_counts
from synth_estimators.batch_effects._design import (
    BatchLevels,
    CovariateCoder,
    check_confounding,
    match_batches,
)

__all__ = ["ComBatSeq"]

# Growth over the largest count of a feature that calls for a warning.
_EXPLOSION = 1e3


class ComBatSeq(BaseBatchCorrector):
    r"""Adjust batch effects of counts by negative binomial regression (Zhang et al.).

    The count of feature g in a row of batch i with covariates c and total N is negative binomial
    with dispersion :math:`\phi_{ig}` and mean :math:`\mu`,

    .. math:: \log \mu = \log N + \alpha_g + c^\top \beta_g + \gamma_{ig}.

    Without its batch it has the mean :math:`\mu e^{-\gamma_{ig}}` and the average dispersion of
    the batches, and every count moves to the same quantile of that distribution. Counts come in
    and counts come out. ``fit`` learns from its own rows; ``transform`` applies it to any rows,
    one by one, so that nothing leaks from held-out rows.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of ``X`` that holds the batch labels, by name or position. A keyword ``batch=`` of
        the methods comes first. A table without the default column and without the keyword is
        left as it is, with a warning.

    covariates : list of str or int, or None, default=None
        Columns of ``X`` whose effects are kept. They are needed in ``transform`` too.

    categorical : list or None, default=None
        Covariates to take as categories although they hold numbers. Text, categories and booleans
        always are.

    shrink : bool, default=False
        Replace the effect of a batch on a feature by the mean over the other features, weighted
        by how well they explain its counts. Costs a time proportional to the square of the number
        of features.

    shrink_disp : bool, default=False
        Do the same with the dispersions. Takes effect with ``shrink=True`` only.

    max_factor : float or None, default=None
        Refuse tables with an adjusted count of more than ``max_factor`` times the largest count
        of the feature: the largest of the training rows, or the count before the adjustment if
        that is larger. None warns beyond a factor of 1000.

    unseen : {"error", "passthrough"}, default="error"
        What ``transform`` does with rows of batches that ``fit`` has not seen: raise, or leave
        them as they are with a warning.

    keep_metadata : bool, default=False
        Append the columns of labels to the output.

    Attributes
    ----------
    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted.

    n_per_batch_ : ndarray of int of shape (n_batches,)
        Rows of every batch.

    kept_features_ : ndarray of bool of shape (n_features,)
        Features that are adjusted. Those without any count in some batch are not.

    log_rate_ : ndarray of shape (n_kept,)
        :math:`\alpha`, the logarithm of the share of a feature in the total of a row, at the base
        level of categorical covariates and the mean of numeric ones.

    coef_ : ndarray of shape (n_columns, n_kept)
        Coefficients of the coded covariates; their names are in ``covariate_names_``.

    gamma_fit_ : ndarray of shape (n_batches, n_kept)
        Effects of the batches on the logarithm of the mean by maximum likelihood. They and
        ``coef_`` give the mean before the adjustment.

    gamma_hat_, gamma_star_ : ndarray of shape (n_batches, n_kept)
        Effects of the batches that are removed, before and after shrinkage. A small count added
        to every cell keeps them finite.

    common_dispersion_ : ndarray of shape (n_batches,)
        Dispersion that the features of a batch share.

    dispersion_ : ndarray of shape (n_batches, n_kept)
        Dispersion of every feature in every batch.

    dispersion_star_ : ndarray of shape (n_kept,)
        Dispersion after the adjustment.

    covariate_names_ : list of str
        Names of the coded covariates.

    identity_ : bool
        Whether ``fit`` found no labels, so that every table is left as it is.

    n_features_in_ : int
        Number of columns seen during ``fit``, columns of labels included.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : The same for logarithms and other continuous values.
    BatchEffectSimulator : Adds batch effects of known size.

    Notes
    -----
    Whole numbers in any dtype are accepted. Counts come back as int64 if all features have an
    integer dtype, else in the dtype of ``X``. Counts of 0 and 1 stay as they are, and so do counts
    in the upper tail of their distribution, beyond a probability of 0.9999.

    Results equal those of the R package sva, but for a few counts in a thousand that differ by 1.
    With ``shrink=True`` weights are taken relative to the largest, which keeps them from
    underflow; sva leaves features whose weights all underflow without shrinkage. Numeric covariates
    are centred, so that their origin does not matter; sva needs centred covariates for that.

    A batch with no more rows than coefficients, or whose rows cannot tell its covariates apart,
    gets one dispersion for all features.

    Library sizes are totals over the adjusted features, so a row whose counts are all 0 is
    refused. ``fit`` takes time linear in the table: some forty passes of regression over it.

    References
    ----------
    .. [1] :doi:`Zhang, Y., Parmigiani, G. and Johnson, W. E. (2020). "ComBat-seq: batch effect
       adjustment for RNA-seq count data". NAR Genomics and Bioinformatics 2, lqaa078.
       <10.1093/nargab/lqaa078>`

    .. [2] :doi:`McCarthy, D. J., Chen, Y. and Smyth, G. K. (2012). "Differential expression
       analysis of multifactor RNA-Seq experiments with respect to biological variation". Nucleic
       Acids Research 40, 4288-4297. <10.1093/nar/gks042>`

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import ComBatSeq, attach_batch
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat(["a", "b"], 30)
    >>> mean = np.full((60, 20), 100.0)
    >>> mean[batch == "b", :5], mean[batch == "b", 5:] = 250.0, 50.0
    >>> table = attach_batch(rng.negative_binomial(5, 5 / (5 + mean)), batch)
    >>> table.groupby("batch")[["x0", "x9"]].mean().round().to_numpy()
    array([[100.,  95.],
           [269.,  50.]])
    >>> adjusted = ComBatSeq().fit_transform(table)
    >>> adjusted.groupby(batch)[["x0", "x9"]].mean().round().to_numpy()
    array([[161.,  69.],
           [169.,  70.]])
    >>> adjusted.dtypes.unique().tolist()
    [dtype('int64')]
    """

    _parameter_constraints: ClassVar[dict] = {
        "batch": [str, Integral, None],
        "covariates": ["array-like", None],
        "categorical": ["array-like", None],
        "shrink": ["boolean"],
        "shrink_disp": ["boolean"],
        "max_factor": [Interval(Real, 1, None, closed="left"), None],
        "unseen": [StrOptions({"error", "passthrough"})],
        "keep_metadata": ["boolean"],
    }
    _counts = True

    def __init__(
        self,
        batch="batch",
        *,
        covariates=None,
        categorical=None,
        shrink=False,
        shrink_disp=False,
        max_factor=None,
        unseen="error",
        keep_metadata=False,
    ):
        self.batch = batch
        self.covariates = covariates
        self.categorical = categorical
        self.shrink = shrink
        self.shrink_disp = shrink_disp
        self.max_factor = max_factor
        self.unseen = unseen
        self.keep_metadata = keep_metadata

    def _fit(self, rows, y):
        batches = BatchLevels.from_labels(rows.batch)
        self._check_batches(batches)
        C = self._fit_covariates(rows, batches)
        self._store(
            fit_counts(
                rows.X,
                batches.codes,
                len(batches.levels),
                C,
                shrink=self.shrink,
                shrink_disp=self.shrink_disp,
            )
        )

    def _check_batches(self, batches):
        self.batches_, self.n_per_batch_ = batches.levels, batches.counts
        single = self.batches_[self.n_per_batch_ == 1].tolist()
        if single:
            raise ValueError(
                f"batch {single[0]!r} has one row only, so its dispersion is not known; drop it "
                "or merge it with another batch."
            )
        warn_about_sizes(self.batches_, self.n_per_batch_, owner=type(self).__name__)

    def _fit_covariates(self, rows, batches):
        covariates = rows.covariates
        self._coder = CovariateCoder(self.categorical).fit(
            pd.DataFrame(index=range(len(rows.X))) if covariates is None else covariates
        )
        self.covariate_names_ = list(self._coder.names)
        self._center = np.zeros(len(self.covariate_names_))
        C = self._coded(rows)
        check_confounding(batches.codes, len(batches.levels), C, self._coder)
        # The prior count is felt where the mean at the origin of the covariates is small.
        numeric = [source not in self._coder.levels for source in self._coder.sources]
        self._center = np.where(numeric, C.mean(axis=0), 0.0)
        return C - self._center

    def _coded(self, rows):
        if not self._coder.columns:
            return np.empty((len(rows.X), 0))
        if rows.covariates is None:
            raise ValueError(
                f"{type(self).__name__} was fitted with the covariates {self._coder.columns}; "
                "pass them here too, as columns of X or as covariates=."
            )
        return self._coder.transform(rows.covariates) - self._center

    def _store(self, model):
        self._model = model
        self.kept_features_ = model.kept
        self.log_rate_, self.coef_ = model.log_rate, model.coef
        self.gamma_fit_ = model.gamma_fit
        self.gamma_hat_, self.gamma_star_ = model.gamma_hat, model.gamma_star
        self.common_dispersion_ = model.common_dispersion
        self.dispersion_, self.dispersion_star_ = model.dispersion, model.dispersion_star

    def _transform(self, rows):
        codes = match_batches(
            rows.batch, self.batches_, unseen=self.unseen, owner=type(self).__name__
        )
        adjusted = apply_counts(self._model, rows.X, codes, self._coded(rows))
        self._check_growth(adjusted, rows.X)
        return adjusted

    def _check_growth(self, adjusted, counts):
        """Refuse counts beyond ``max_factor``, warn of counts that explode."""
        limit = _EXPLOSION if self.max_factor is None else self.max_factor
        kept = np.flatnonzero(self.kept_features_)
        for part in row_blocks(*adjusted.shape):
            largest = np.maximum(counts[part][:, kept], self._model.largest)
            factor = adjusted[part][:, kept] / largest
            row, column = np.unravel_index(factor.argmax(), factor.shape)
            if factor[row, column] > limit:
                break
        else:
            return
        name = str(self.get_feature_names_out()[kept[column]])
        what = (
            f"The adjusted count of {name!r} in row {part.start + int(row)} is "
            f"{adjusted[part.start + row, kept[column]]:.0f}, {factor[row, column]:.3g} times its "
            f"largest count of {largest[row, column]:.0f}"
        )
        advice = "drop features with few counts in some batch, or covariates with small groups"
        if self.max_factor is not None:
            raise ValueError(
                f"{what}, more than max_factor={self.max_factor!r}; {advice}, or raise max_factor."
            )
        warnings.warn(f"{what}; {advice}.", UserWarning, stacklevel=2)

    def _read(self, X, given, *, reset):
        rows, source = super()._read(X, given, reset=reset)
        if rows.batch is not None:
            super()._refuse_non_counts(rows.X, source)
        return rows, source

    def _refuse_non_counts(self, data, source):
        # Without labels nothing is adjusted, and values between counts do no harm.
        if data.size and data.min() < 0:
            super()._refuse_non_counts(np.minimum(data, 0.0), source)

    def _result_dtype(self, X, source):
        return np.dtype(np.int64) if _all_integers(source, self._label_positions) else X.dtype


def _all_integers(source: Any, label_positions: list) -> bool:
    """Whether all features have an integer dtype."""
    X = source.X.X if source.anndata else source.X
    if isinstance(X, pd.DataFrame) or is_polars(X):
        kinds = [dtype for j, dtype in enumerate(X.dtypes) if j not in label_positions]
        if is_polars(X):
            return all(dtype.is_integer() for dtype in kinds)
        return all(pd.api.types.is_integer_dtype(dtype) for dtype in kinds)
    return X.dtype.kind in "iu"
