"""Pipelines that can sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import dense_output
from synth_estimators._validation import TableSchema

__all__ = ["SynthesisPipeline", "make_synthesis_pipeline"]


def _last_step_has(name):
    """Return a check for ``available_if``: the last step has this attribute."""

    def check(self):
        return hasattr(self.steps[-1][1], name)

    return check


def _last_step_transforms(self):
    last = self.steps[-1][1]
    return last is None or last == "passthrough" or hasattr(last, "transform")


class SynthesisPipeline(Pipeline):
    """Pipeline whose last step is a generator.

    It is a :class:`~sklearn.pipeline.Pipeline` with ``sample``: rows drawn by the last step go
    back through ``inverse_transform`` of the earlier ones and come out as the kind of table that
    ``fit`` got.

    Read more in the :ref:`User Guide <compose>`.

    Parameters
    ----------
    steps : list of tuples
        ``(name, estimator)`` pairs. All but the last need ``transform`` and
        ``inverse_transform``; the last is a generator.

    transform_input : list of str, default=None
        Names of metadata that the steps before their consumer transform. Only with metadata
        routing.

    memory : str or object with the joblib.Memory interface, default=None
        Caches the fitted transformers.

    verbose : bool, default=False
        Print the time each step took.

    Attributes
    ----------
    named_steps : Bunch
        Steps by name.

    classes_ : ndarray of shape (n_classes,)
        Labels seen by the last step; only if that one has them.

    n_features_in_ : int
        Number of columns seen by the first step.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen by the first step.

    See Also
    --------
    make_synthesis_pipeline : The same without naming the steps.
    synth_estimators.compose.TransformedGenerator : Clones its parts and scores in data units.

    Notes
    -----
    ``score`` and ``score_samples`` are those of the last step on transformed rows and lack the
    Jacobian of the earlier steps. A search over the preprocessing therefore needs a scorer that
    compares rows in data units.

    Like ``Pipeline``, it fits its steps in place.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from synth_estimators import IndependentColumns, SynthesisPipeline
    >>> X = load_iris(as_frame=True).data
    >>> pipe = SynthesisPipeline(
    ...     [("scale", StandardScaler()), ("model", IndependentColumns(random_state=0))]
    ... ).fit(X)
    >>> list(pipe.sample(3).columns) == list(X.columns)
    True
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> SynthesisPipeline:
        """Fit all steps, one after the other.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows.

        y : array-like of shape (n_samples,), default=None
            Labels for a conditional generator.

        **params : dict
            As in :class:`~sklearn.pipeline.Pipeline`: ``step__keyword``, or metadata that steps
            requested when metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted pipeline.
        """
        super().fit(X, y, **params)
        self._remember_table(X)
        return self

    @available_if(_last_step_transforms)
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit all steps and return the codes that the last one gives the rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows.

        y : array-like of shape (n_samples,), default=None
            Labels for a conditional generator.

        **params : dict
            As in ``fit``.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, n_codes)
            Output of the last step.
        """
        Z = super().fit_transform(X, y, **params)
        self._remember_table(X)
        return Z

    def _remember_table(self, X):
        is_table = hasattr(X, "columns") or (not issparse(X) and np.asarray(X).ndim == 2)
        self._table_schema = TableSchema.from_data(X) if is_table else None

    @available_if(_last_step_has("sample"))
    def sample(self, n_samples: int = 1, *, random_state: Any = None, **request: Any) -> Any:
        """Draw rows from the last step and bring them back to input space.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        random_state : int, RandomState instance or None, default=None
            As in ``sample`` of the last step.

        **request : dict
            Further keywords of ``sample`` of the last step, for example ``y``, ``conditions`` or
            ``stratified``.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container, column order and dtypes of the table given to ``fit``;
            ``set_output`` overrides the container.

        Raises
        ------
        AttributeError
            When an earlier step has no ``inverse_transform``.
        """
        check_is_fitted(self)
        self._check_way_back("sample")
        Xt = self.steps[-1][1].sample(n_samples, random_state=random_state, **request)
        return self._to_input_space(Xt)

    @available_if(_last_step_has("sample_labeled"))
    def sample_labeled(
        self,
        n_samples: int | None = 1,
        *,
        class_counts: Mapping | None = None,
        random_state: Any = None,
        **request: Any,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows together with their labels.

        Parameters
        ----------
        n_samples : int or None, default=1
            Number of rows; may be None when ``class_counts`` is given.

        class_counts : dict, default=None
            Exact number of rows of each class, ``{label: count}``.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``.

        **request : dict
            Further keywords of ``sample_labeled`` of the last step.

        Returns
        -------
        X_gen : ndarray or data frame of shape (n_samples, n_features)
            The rows, in input space.

        y_gen : ndarray of shape (n_samples,)
            The label of each row.
        """
        check_is_fitted(self)
        self._check_way_back("sample_labeled")
        Xt, y_gen = self.steps[-1][1].sample_labeled(
            n_samples, class_counts=class_counts, random_state=random_state, **request
        )
        return self._to_input_space(Xt), y_gen

    @available_if(_last_step_has("sample_iter"))
    def sample_iter(
        self,
        n_samples: int,
        *,
        chunk_size: int | None = None,
        random_state: Any = None,
        **request: Any,
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        chunk_size : int or None, default=None
            Rows a chunk; None lets the last step choose.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        **request : dict
            Further keywords of ``sample_iter`` of the last step, for example ``y``.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Rows in the container ``sample`` would return.
        """
        check_is_fitted(self)
        self._check_way_back("sample_iter")
        chunks = self.steps[-1][1].sample_iter(
            n_samples, chunk_size=chunk_size, random_state=random_state, **request
        )
        return (self._to_input_space(chunk) for chunk in chunks)

    @available_if(_last_step_has("reconstruct"))
    def reconstruct(self, X: Any) -> Any:
        """Encode and decode rows; row ``i`` of the result belongs to row ``i`` of ``X``.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in input space.

        Returns
        -------
        X_rec : ndarray or data frame of shape (n_samples, n_features)
            Decoded rows, in the container given to ``fit``.
        """
        check_is_fitted(self)
        self._check_way_back("reconstruct")
        Xt = X
        for _, step in self._earlier_steps():
            Xt = step.transform(Xt)
        return self._to_input_space(self.steps[-1][1].reconstruct(Xt))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        steps = [step for _, step in self.steps if step is not None and step != "passthrough"]
        tags.input_tags.allow_nan = all(
            get_tags(step).input_tags.allow_nan
            for step in steps
            if hasattr(step, "__sklearn_tags__")
        )
        return tags

    def set_output(self, *, transform: str | None = None) -> SynthesisPipeline:
        """Choose the container that ``sample`` and ``transform`` return.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            "default" is the container given to ``fit``; None leaves the configuration unchanged.

        Returns
        -------
        self : estimator instance
        """
        super().set_output(transform=transform)
        last = self.steps[-1][1]
        if not hasattr(last, "transform") and hasattr(last, "set_output"):
            last.set_output(transform=transform)
        return self

    def _earlier_steps(self):
        return [
            (name, step)
            for name, step in self.steps[:-1]
            if step is not None and step != "passthrough"
        ]

    def _check_way_back(self, method):
        for name, step in self._earlier_steps():
            if not hasattr(step, "inverse_transform"):
                raise AttributeError(
                    f"step {name!r} has no inverse_transform, so pipe.{method}() cannot return to "
                    "input space; drop the step or replace it with an invertible one."
                )

    def _to_input_space(self, Xt):
        earlier = self._earlier_steps()
        if len(Xt) == 0 and earlier:
            # Most transformers refuse a table without rows.
            Xt = np.empty((0, earlier[0][1].n_features_in_))
        else:
            for _, step in reversed(earlier):
                Xt = step.inverse_transform(Xt)
        return self._wrap_output(Xt)

    def _wrap_output(self, Xt):
        """Give rows the container and dtypes of the table given to ``fit``.

        ``inverse_transform`` of scikit-learn's transformers returns arrays whatever the input, so
        the frame that the last step sampled is lost on the way back.
        """
        if not self._earlier_steps():
            return Xt
        rows = Xt.toarray() if issparse(Xt) else np.asarray(Xt)
        output = dense_output(self.steps[-1][1])
        names = getattr(self, "feature_names_in_", None)
        schema = getattr(self, "_table_schema", None)
        if schema is None:
            # A slice of a fitted pipeline: only the names of its first step are known.
            frame = pd.DataFrame(rows, columns=names)
            schema = TableSchema.from_data(rows if names is None else frame)
        if rows.dtype.kind in "fiub":
            return schema.restore(rows, output=output, names=names)
        return _restore_objects(schema, rows, output)


def _restore_objects(schema, rows, output):
    """Restore rows that hold text, for pipelines that begin with an encoder."""
    if schema.kind == "array" and output == "default":
        return rows
    columns = schema.columns or [f"x{j}" for j in range(rows.shape[1])]
    if (schema.kind if output == "default" else output) == "polars":
        import polars

        return polars.DataFrame(
            {str(name): rows[:, j].tolist() for j, name in enumerate(columns)}, strict=False
        )
    series = []
    for j in range(rows.shape[1]):
        column = pd.Series(rows[:, j])
        if schema.kind == "pandas":
            if schema.integer[j]:
                column = pd.to_numeric(column).round()
            column = column.astype(schema.dtypes[j])
        series.append(column)
    frame = pd.concat(series, axis=1)
    frame.columns = pd.Index(columns)
    return frame


def make_synthesis_pipeline(
    *steps: Any, memory: Any = None, verbose: bool = False
) -> SynthesisPipeline:
    """Build a :class:`SynthesisPipeline`, naming its steps after their classes.

    Parameters
    ----------
    *steps : estimators
        Invertible transformers and, last, a generator.

    memory : str or object with the joblib.Memory interface, default=None
        Caches the fitted transformers.

    verbose : bool, default=False
        Print the time each step took.

    Returns
    -------
    pipe : SynthesisPipeline
        The unfitted pipeline.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from synth_estimators import IndependentColumns, make_synthesis_pipeline
    >>> pipe = make_synthesis_pipeline(StandardScaler(), IndependentColumns())
    >>> [name for name, _ in pipe.steps]
    ['standardscaler', 'independentcolumns']
    """
    return SynthesisPipeline(make_pipeline(*steps).steps, memory=memory, verbose=verbose)
