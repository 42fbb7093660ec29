"""Mixed tables as float32 matrices on which generators learn, and back."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from synth_estimators._compat import Interval, StrOptions, check_feature_names_in, fit_context
from synth_estimators._random import draw_seed
from synth_estimators._validation import TableSchema, check_table
from synth_estimators.preprocessing._column_checks import warn_of_hidden_numbers
from synth_estimators.preprocessing._column_coders import CustomCoder, column_coder
from synth_estimators.preprocessing._field_kinds import field_kinds
from synth_estimators.preprocessing._row_codes import EncodedLayout, RowCodes, code_dtype
from synth_estimators.preprocessing._value_codes import fit_value_codes

__all__ = ["TabularEncoder"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class TabularEncoder(TransformerMixin, BaseEstimator):
    r"""Encode a mixed table as numbers for a generator and decode rows in their own dtypes.

    A column of numbers or dates becomes a scalar and a one-hot mode: with the components
    :math:`(w_k, m_k, s_k)` of a mixture of the column, a mode :math:`k` is drawn by its
    probability given the value :math:`x`, and the scalar is :math:`(x - m_k) / (4 s_k)`. Text,
    categories and booleans become one-hot levels, or the bits of the level's number where there
    are many.

    Read more in the :ref:`User Guide <preprocessing>`.

    Parameters
    ----------
    discrete_columns : array-like or None, default=None
        Columns of levels whatever their type: names, positions or a boolean mask. Text,
        categories, booleans, and numbers that are zeros and ones are so by themselves.

    numeric : {"modes", "normal_scores", "quantile_bins"}, default="modes"
        How numbers are encoded: by modes of a mixture; by one normal score and no mode; or by bins
        of equally many rows and the place in the bin, from -1 to 1.

    max_clusters : int, default=10
        Most modes (or bins) of a column. A column of at most so many distinct values gets one
        mode a value.

    weight_threshold : float, default=0.005
        Modes of a smaller share are dropped.

    spike_threshold : float, default=0.02
        A number that at least this share of the rows (and at least five) hold becomes a mode of
        zero width, which returns exactly that number.

    binary_encoder_cutoff : int, default=500
        Columns of at least so many levels are coded by the bits of the level's number.

    binary_encoder_nan_handler : {"mode", "none"} or None, default=None
        Bits that are the number of no level: None takes the level with the largest likelihood of
        the bits; "none" cuts them at one half and leaves the cell missing; "mode" puts one of the
        most frequent levels there.

    field_types : dict or None, default=None
        Column -> ``"numerical"``, ``"categorical"``, ``"boolean"`` or ``"datetime"``, or a dict
        ``{"type": ..., "format": ...}`` with the format of dates written as text.

    field_transformers : dict or None, default=None
        Column -> ``"FloatFormatter"``, ``"OneHotEncoder"``, ``"BinaryEncoder"`` or
        ``"UnixTimestampEncoder"``, or an object with ``fit``, ``transform`` and
        ``inverse_transform`` of tables of one column; the numbers it returns are encoded.

    auto_transform_datetimes : bool, default=False
        Take columns of text for dates if one format fits all their cells.

    max_fit_rows : int or None, default=250_000
        Rows that the mixtures are fitted on; 0 or None takes all.

    learn_rounding_scheme : bool, default=True
        Round decoded numbers to the step of the training values: 0.25, 1, 100.

    enforce_min_max_values : bool, default=True
        Keep decoded numbers inside the training range.

    handle_unknown : {"error", "ignore"}, default="error"
        Levels in ``transform`` that fit did not see: "ignore" encodes them by zeros (and a missing
        number in a column that had none by its mean).

    random_state : int, RandomState instance or None, default=None
        Seeds the starts of the mixtures, the rows they are fitted on and the draws of modes. Pass
        an int for reproducible output. See :term:`Glossary <random_state>`.

    Attributes
    ----------
    layout_ : EncodedLayout
        Encoded columns of every field: ``spans`` with ``column``, ``name``, ``field``, ``kind``,
        ``start`` and ``stop``, scalars first, then bits, then one-hot levels.

    column_kinds_ : dict
        Column -> "numeric", "datetime", "boolean", "categorical", "empty" or "custom".

    n_features_in_ : int
        Number of columns seen in fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen in fit; only if all of them are text.

    See Also
    --------
    NormalScores : Normal scores of numeric columns alone.
    synth_estimators.compose.TransformedGenerator : Any numeric generator behind an encoder.

    Notes
    -----
    Missing numbers get a flag of their own, two one-hot columns, and are encoded as the mean of
    their column; a missing level is a level. A column without any value is a constant.

    ``transform`` draws the mode of a number from a generator that is seeded by the cells of its
    row: the same row is always encoded in the same way, whatever stands beside it.

    All mixtures are fitted together on at most 512 weighted points a column, its distinct values
    or the means of bins of equally many rows: :math:`O(n \log n)` a column for the sorting, and
    milliseconds for the mixtures. ``transform`` takes :math:`O(n \cdot \text{modes})` a column.

    References
    ----------
    .. [1] :doi:`Xu, Skoularidou, Cuesta-Infante and Veeramachaneni (2019). "Modeling Tabular Data
       using Conditional GAN". <10.48550/arXiv.1907.00503>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.preprocessing import TabularEncoder
    >>> X = pd.DataFrame({"age": [20, 41, 67, 35], "sex": ["f", "m", None, "f"]})
    >>> encoder = TabularEncoder(max_clusters=1, random_state=0).fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['age.value', 'age.mode_0', 'sex=f', 'sex=m', 'sex=<NA>']
    >>> encoder.inverse_transform(encoder.transform(X)).equals(X)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "discrete_columns": ["array-like", None],
        "numeric": [StrOptions({"modes", "normal_scores", "quantile_bins"})],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        "weight_threshold": [Interval(Real, 0, 1, closed="left")],
        "spike_threshold": [Interval(Real, 0, None, closed="neither")],
        "binary_encoder_cutoff": [Interval(Integral, 1, None, closed="left")],
        "binary_encoder_nan_handler": [StrOptions({"mode", "none"}), None],
        "field_types": [dict, None],
        "field_transformers": [dict, None],
        "auto_transform_datetimes": ["boolean"],
        "max_fit_rows": [Interval(Integral, 0, None, closed="left"), None],
        "learn_rounding_scheme": ["boolean"],
        "enforce_min_max_values": ["boolean"],
        "handle_unknown": [StrOptions({"error", "ignore"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        discrete_columns=None,
        numeric="modes",
        max_clusters=10,
        weight_threshold=0.005,
        spike_threshold=0.02,
        binary_encoder_cutoff=500,
        binary_encoder_nan_handler=None,
        field_types=None,
        field_transformers=None,
        auto_transform_datetimes=False,
        max_fit_rows=250_000,
        learn_rounding_scheme=True,
        enforce_min_max_values=True,
        handle_unknown="error",
        random_state=None,
    ):
        self.discrete_columns = discrete_columns
        self.numeric = numeric
        self.max_clusters = max_clusters
        self.weight_threshold = weight_threshold
        self.spike_threshold = spike_threshold
        self.binary_encoder_cutoff = binary_encoder_cutoff
        self.binary_encoder_nan_handler = binary_encoder_nan_handler
        self.field_types = field_types
        self.field_transformers = field_transformers
        self.auto_transform_datetimes = auto_transform_datetimes
        self.max_fit_rows = max_fit_rows
        self.learn_rounding_scheme = learn_rounding_scheme
        self.enforce_min_max_values = enforce_min_max_values
        self.handle_unknown = handle_unknown
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> TabularEncoder:
        """Learn kinds, levels, mixtures, rounding and bounds of the columns.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
            Numbers, text, categories, booleans, dates; missing cells are allowed.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : TabularEncoder
            The fitted transformer.

        Raises
        ------
        ValueError
            For infinite or complex cells, declared columns that X does not have, and unknown
            types or transformers.

        TypeError
            For cells that are themselves containers.
        """
        frame = check_table(self, X, reset=True)
        self._schema = TableSchema.from_data(X, mixed=True)
        self._seed = draw_seed(self.random_state)
        rng = np.random.default_rng(self._seed)
        self._labels = [str(name) for name in check_feature_names_in(self)]
        if hasattr(X, "columns"):
            self._labels = [str(label) for label in frame.columns]
        kinds = field_kinds(
            frame,
            self._labels,
            discrete_columns=self.discrete_columns,
            field_types=self.field_types,
            field_transformers=self.field_transformers,
            find_dates=self.auto_transform_datetimes,
        )
        if self.discrete_columns is None and hasattr(X, "columns"):
            warn_of_hidden_numbers(frame, name="X")
        self.column_kinds_ = {
            label: kind.kind for label, kind in zip(frame.columns, kinds, strict=True)
        }
        options = {
            "rounding": self.learn_rounding_scheme,
            "bounds": self.enforce_min_max_values,
            "cutoff": self.binary_encoder_cutoff,
        }
        self._coders = [
            column_coder(frame.iloc[:, j], kind, index=j, label=self._labels[j], options=options)
            for j, kind in enumerate(kinds)
        ]
        self._fit_numbers(frame, rng)
        self._place_fields()
        return self

    def _fit_numbers(self, frame, rng):
        rows = None
        if self.max_fit_rows and len(frame) > self.max_fit_rows:
            rows = np.sort(rng.choice(len(frame), size=self.max_fit_rows, replace=False))
        parts, values = [], []
        for j, coder in enumerate(self._coders):
            column = frame.iloc[:, j]
            columns = [column]
            if isinstance(coder, CustomCoder):
                columns = coder.training_columns(column)
            for part, training in zip(coder.numbers, columns, strict=False):
                parts.append(part)
                values.append(part.training_values(training, rows))
        codes = fit_value_codes(
            values,
            numeric=self.numeric,
            max_clusters=self.max_clusters,
            weight_threshold=self.weight_threshold,
            spike_threshold=self.spike_threshold,
            rng=rng,
        )
        for part, code in zip(parts, codes, strict=True):
            part.codes = code

    def _place_fields(self):
        """Order the fields by kind and note the place of each column's own ones."""
        fields = [coder.fields() for coder in self._coders]
        self.layout_ = EncodedLayout.from_fields(spec for specs in fields for spec in specs)
        next_scalar, places = 0, {}
        order = [spec for specs in fields for spec in specs]
        coded = [spec for kind in ("binary", "one_hot") for spec in order if spec.kind == kind]
        position = {id(spec): place for place, spec in enumerate(coded)}
        for j, specs in enumerate(fields):
            places[j] = []
            for spec in specs:
                if spec.kind == "scalar":
                    places[j].append(("scalar", next_scalar))
                    next_scalar += 1
                else:
                    places[j].append(("code", position[id(spec)]))
        self._places = places

    def transform(self, X: Any) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
            Rows with the columns seen in fit.

        Returns
        -------
        Z : ndarray of float32 of shape (n_samples, n_features_out)
            Scalars, bits and one-hot levels, as ``layout_`` tells.

        Raises
        ------
        ValueError
            For levels, or missing cells, that fit did not see.
        """
        check_is_fitted(self)
        return self._dense(self._codes(check_table(self, X, reset=False)))

    def inverse_transform(self, Z: Any) -> Any:
        """Decode rows.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_features_out)
            Encoded rows, or outputs of a model: the largest of the one-hot columns of a field
            counts, bits are probabilities, scalars are clipped to the range from -1 to 1.

        Returns
        -------
        X : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container, column order and dtypes of the table given to ``fit``, with a
            fresh index.
        """
        check_is_fitted(self)
        encoded = check_array(
            Z,
            dtype=[np.float32, np.float64],
            estimator=self,
            input_name="Z",
            ensure_min_samples=0,
        )
        if encoded.shape[1] != self.layout_.width:
            raise ValueError(
                f"Z has {encoded.shape[1]} columns, but the table is encoded in "
                f"{self.layout_.width}; pass the columns that transform returns."
            )
        frame = self._frame(self._codes_from_outputs(encoded))
        return self._schema.restore_frame(frame, names=self._labels)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the encoded columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns seen in fit; None takes ``feature_names_in_``, or ``x0``, ``x1``,
            … where there are none.

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            ``age.value``, ``age.mode_3``, ``age.is_null=1``, ``sex=male``, ``tail.bit_2``.
        """
        check_is_fitted(self)
        names = self._labels
        if input_features is not None or not self._names_are_odd():
            names = check_feature_names_in(self, input_features)
        found, taken = [], set()
        for span in self.layout_.spans:
            prefix = len(self._labels[span.column])
            for label in self.layout_.names[span.start : span.stop]:
                name = f"{names[span.column]}{label[prefix:]}"
                while name in taken:
                    name += "'"
                taken.add(name)
                found.append(name)
        return np.array(found, dtype=object)

    def _names_are_odd(self):
        """Whether the columns have labels that scikit-learn does not take for names."""
        return self._schema.columns is not None and not hasattr(self, "feature_names_in_")

    def _codes(self, frame: pd.DataFrame, rng: np.random.Generator | None = None) -> RowCodes:
        """Return validated rows as codes; without ``rng`` the row itself draws the modes."""
        raw = [
            coder.read(frame.iloc[:, j], unknown=self.handle_unknown)
            for j, coder in enumerate(self._coders)
        ]
        state = None if rng is not None else self._row_state(raw, len(frame))
        layout = self.layout_
        scalars = np.empty((len(frame), layout.n_scalars), dtype=np.float32)
        codes: list[Any] = [None] * len(layout.coded_spans)
        spans = layout.coded_spans
        for j, coder in enumerate(self._coders):
            uniform = None
            if coder.numbers:
                uniform = rng.random(len(frame)) if rng is not None else _uniform(state, j)
            for (kind, place), part in zip(
                self._places[j], coder.encode(raw[j], uniform), strict=True
            ):
                if kind == "scalar":
                    scalars[:, place] = part
                else:
                    codes[place] = part.astype(code_dtype(spans[place].n_codes))
        return RowCodes(scalars, codes)

    def _row_state(self, raw, n_rows):
        """Hash of the cells of every row."""
        state = np.full(n_rows, self._seed, dtype=np.uint64)
        for coder, part in zip(self._coders, raw, strict=True):
            for bits in coder.bits(part):
                state ^= bits
                state *= _GOLDEN
                state ^= state >> np.uint64(29)
        return state

    def _dense(self, codes: RowCodes) -> np.ndarray:
        """Return the encoded rows, float32 of shape (n_rows, width)."""
        return self.layout_.dense(codes)

    def _codes_from_outputs(self, Z: np.ndarray) -> RowCodes:
        """Return the likeliest codes of outputs of a model."""
        return self.layout_.codes(Z, likely=self.binary_encoder_nan_handler is None)

    def _frame(self, codes: RowCodes) -> pd.DataFrame:
        """Return the decoded rows in the column types of the training table."""
        rng = None
        if self.binary_encoder_nan_handler == "mode":
            rng = np.random.default_rng(self._seed)
        columns = {}
        for j, coder in enumerate(self._coders):
            parts = [
                codes.scalars[:, place] if kind == "scalar" else codes.codes[place]
                for kind, place in self._places[j]
            ]
            columns[j] = coder.decode(parts, rng)
        frame = pd.DataFrame(columns)
        labels = self._schema.columns
        return frame if labels is None else frame.set_axis(labels, axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _uniform(state, column):
    """Numbers in [0, 1) from a hash of the rows, others for each column."""
    mixed = state + np.array([column + 1], dtype=np.uint64) * _GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= _FACTORS[0]
    mixed ^= mixed >> np.uint64(27)
    mixed *= _FACTORS[1]
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) * 2.0**-53
