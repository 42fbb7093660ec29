"""What CTGAN, ACTGAN and TVAE share: the encoder, constraints, conditions and the training run."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from synth_estimators._compat import Interval, StrOptions
from synth_estimators._neural import NEURAL_CONSTRAINTS, NeuralGenerator
from synth_estimators.preprocessing._row_codes import RowCodes
from synth_estimators.preprocessing._tabular_encoder import TabularEncoder
from synth_estimators.tabular._constraint_set import ConstraintSet
from synth_estimators.tabular._known_columns import KnownColumns
from synth_estimators.tabular._raking import level_shares, rake, systematic_rows
from synth_estimators.tabular._sampling import ConditionedSamplingMixin

__all__ = ["TABULAR_CONSTRAINTS", "BaseTabularGenerator", "EncodedConditions", "EpochInfo"]

#: Constraints of the parameters that every neural generator of mixed tables takes.
TABULAR_CONSTRAINTS: dict[str, Any] = {
    **NEURAL_CONSTRAINTS,
    **{
        name: TabularEncoder._parameter_constraints[name]
        for name in ("discrete_columns", "max_clusters", "weight_threshold", "spike_threshold")
    },
    "latent_dim": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "constraints": [list, tuple, None],
    "calibrate": ["boolean"],
    "lr_schedule": [StrOptions({"constant", "cosine"})],
    "preset": [StrOptions({"tuned", "reference"})],
    "monitor": [StrOptions({"quality", "c2st"}), callable],
    "eval_every": [Interval(Integral, 1, None, closed="left")],
    "epoch_callback": "no_validation",
    "tol": [Interval(Real, 0, None, closed="left")],
}

# Rows that are decoded at once.
_BLOCK_ROWS = 65_536

# Rows that pass through a network at once.
_CHUNK_ROWS = 2_048
_MONITOR_ROWS = 10_000

# Calibrated rows are chosen from a pool of so many a row, and never from less than the second.
_POOL_FACTOR = 4
_LEAST_POOL = 2_000


@dataclass(frozen=True)
class EpochInfo:
    """What an ``epoch_callback`` is told after every epoch.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1.

    loss_g : float
        Loss of the generator, or of the whole model, rounded to four places.

    loss_d : float or None
        Loss of the critic, rounded to four places.

    loss_r : float or None
        Loss of the reconstruction of the conditions.
    """

    epoch: int
    loss_g: float
    loss_d: float | None = None
    loss_r: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as a dict."""
        return asdict(self)


@dataclass
class EncodedConditions:
    """Conditions in the columns of the encoder, one row a wanted row.

    Attributes
    ----------
    codes : RowCodes
        Whole rows; cells of columns without a condition mean nothing.

    columns : tuple of int
        Columns of the encoder's table that have a condition.
    """

    codes: RowCodes
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Any) -> EncodedConditions:
        """Return the chosen rows."""
        return EncodedConditions(self.codes.take(rows), self.columns)


def compact_rows(codes: RowCodes) -> np.ndarray:
    """Rows as one float32 a span, which ``SpanTable.expand`` turns into encoded rows."""
    return np.column_stack([codes.scalars, *codes.codes]).astype(np.float32, copy=False)


class BaseTabularGenerator(ConditionedSamplingMixin, NeuralGenerator):
    """Base class of neural generators of mixed tables.

    A subclass implements ``_train_codes``, which trains ``net_`` on row codes through ``_run``, and
    ``_draw``, which returns row codes. One that follows conditions also implements
    ``_follows``. The encoder, constraints, validation, conditions, rejection, early stopping and
    containers are handled here.
    """

    _mixed: ClassVar[bool] = True

    #: Parameters of the encoder under another name: of the encoder -> of the estimator.
    _encoder_names: ClassVar[dict[str, str]] = {}

    constraints: Any = None
    epoch_callback: Any = None
    enforce_min_max_values = True
    calibrate = False
    lr_schedule = "constant"

    #: What to do when sampled rows collapse.
    _collapse_advice: ClassVar[str] = "Raise max_epochs, or try TabularAR."

    def _train_codes(
        self, codes: RowCodes, valid: RowCodes | None, seed: int, context: Any, *, warm: bool
    ) -> None:
        """Train ``net_`` on row codes; ``valid`` are held out for early stopping."""
        raise NotImplementedError(f"{type(self).__name__} must implement _train_codes.")

    def _draw(
        self, n_samples: int, rng: np.random.Generator, conditions: EncodedConditions | None
    ) -> RowCodes:
        """Draw rows as codes, given one condition a row or none."""
        raise NotImplementedError(f"{type(self).__name__} must implement _draw.")

    def _follows(self, columns: tuple[int, ...]) -> bool:
        """Whether draws follow conditions on these columns of the encoder's table."""
        return False

    # Fit

    def _setting(self, name: str) -> Any:
        """Value of a parameter, for subclasses that let another one stand for it."""
        return getattr(self, name)

    def _check_tabular(self) -> None:
        self._check_training()
        if self.epoch_callback is not None and not callable(self.epoch_callback):
            raise ValueError(
                f"epoch_callback must be callable with one EpochInfo, got {self.epoch_callback!r}."
            )
        from synth_estimators.tabular._watchers import sets_rates

        if self.lr_schedule != "constant" and sets_rates(self.callbacks):
            raise ValueError(
                f"lr_schedule={self.lr_schedule!r} and an LRScheduler in callbacks both set the "
                "learning rate; use lr_schedule='constant' or leave the callback out."
            )

    def _fit_table(self, X: Any, context: Any) -> Any:
        self._check_tabular()
        warm = self.warm_start and hasattr(self, "net_")
        frame, seed = self._start_fit_table(X, reset=not warm)
        rng = np.random.default_rng(seed)
        index = getattr(X, "index", None) if isinstance(X, pd.DataFrame) else None
        if not warm:
            self._rules = ConstraintSet(self._setting("constraints")).fit(frame, index=index)
            self.constraints_ = self._rules.all
        model = self._rules.to_model(frame)
        if not warm:
            self._fit_encoder(frame, model, rng)
        codes = self.encoder_._codes(model, rng)
        self._level_shares = level_shares(self.encoder_.layout_, codes)
        valid = None
        if self.early_stopping:
            train_rows, valid_rows = self._split_validation(len(frame), None, rng)
            codes, valid = codes.take(train_rows), codes.take(valid_rows)
        try:
            self._train_codes(codes, valid, seed, context, warm=warm)
        finally:
            if hasattr(self, "net_"):
                self._trained_params = self._snapshot()
        if valid is None or self.monitor == "valid_loss":
            self._look_for_collapse(codes)
        return self

    def _fit_encoder(self, frame, model, rng):
        discrete = self._discrete_labels(frame)
        self._known = KnownColumns(
            frame, discrete_columns=discrete, in_range=self.enforce_min_max_values
        )
        settings = {
            name: self._setting(self._encoder_names.get(name, name))
            for name in inspect.signature(TabularEncoder).parameters
            if hasattr(self, self._encoder_names.get(name, name))
        }
        settings["discrete_columns"] = [label for label in discrete if label in model] or None
        settings["random_state"] = int(rng.integers(2**31 - 1))
        self.encoder_ = TabularEncoder(**settings).fit(model)
        self._model_labels = list(model.columns)
        self._filler = KnownColumns(model, in_range=False)

    def _discrete_labels(self, frame):
        """Columns named as discrete, whether by label, position or mask."""
        given = self._setting("discrete_columns")
        if given is None:
            return []
        given = list(given)
        labels = list(frame.columns)
        if given and all(isinstance(part, bool | np.bool_) for part in given):
            return [label for label, chosen in zip(labels, given, strict=True) if chosen]
        unknown = [part for part in given if part not in labels]
        if all(isinstance(part, Integral) and 0 <= part < len(labels) for part in unknown):
            return [part if part in labels else labels[part] for part in given]
        raise ValueError(
            f"Invalid columns found in discrete_columns: {unknown}; the columns of X are {labels}."
        )

    def _snapshot(self) -> dict[str, Any]:
        names = (*self._architecture, "lr", "weight_decay", "clip_norm")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def _run(self, rows: Any, *, epochs: int, context: Any, valid: RowCodes | None = None) -> None:
        """Train ``net_``; call inside ``torch_rng``. Ctrl-C leaves the best weights so far."""
        net = self.net_
        regular = list(net.callbacks_)
        added = self._watchers(valid, epochs)
        for _, callback in added:
            callback.initialize()
        net.callbacks_ = [*regular, *added]
        try:
            self._train(rows, epochs=epochs, context=context)
        except KeyboardInterrupt:
            while len(net.history) and "train_loss" not in net.history[-1]:
                net.history.pop()
            net.module_.eval()
            self._read_history()
            self._after_training()
            what = "best" if valid is not None else "last"
            warnings.warn(
                f"Training of {type(self).__name__} was interrupted after {self.n_iter_} of "
                f"{epochs} epochs; the {what} weights so far are kept, and the model can sample.",
                stacklevel=4,
            )
            raise
        finally:
            net.callbacks_ = regular
            for name, callback in added:
                if name == "cosine_rates":
                    callback.restore()
        stop = next((callback for name, callback in added if name == "two_sample"), None)
        if stop is not None:
            self.best_epoch_ = stop.best_epoch_
        self._after_training()

    def _watchers(self, valid, epochs):
        from synth_estimators.tabular._watchers import CosineRates, EpochReport, TwoSampleStop

        added: list[tuple[str, Any]] = []
        if self.lr_schedule == "cosine" and epochs:
            added.append(("cosine_rates", CosineRates(epochs)))
        if valid is not None and self.monitor != "valid_loss":
            score = self._monitored(valid)
            stop = TwoSampleStop(score, every=self.eval_every, patience=self.patience, tol=self.tol)
            added.append(("two_sample", stop))
        if self.epoch_callback is not None:
            added.append(("epoch_report", EpochReport(self.epoch_callback, self._epoch_info)))
        return added

    def _monitored(self, valid):
        """Return a function that scores freshly drawn rows against held-out ones."""
        from synth_estimators.tabular._quality import TableQuality, detection_score

        some = np.arange(min(len(valid), _MONITOR_ROWS))
        real = self._decoded(valid.take(some))
        quality = TableQuality(real, self._known)
        alarm = self._collapse_alarm(quality)

        def score():
            rng = np.random.default_rng(self._sample_seed)
            rows = self._candidates(len(real), rng, None)
            alarm(rows, self.net_.history[-1, "epoch"])
            if self.monitor == "quality":
                return quality(rows)
            if self.monitor == "c2st":
                return detection_score(real, rows, self._known)
            return float(self.monitor(real, rows))

        return score

    def _collapse_alarm(self, quality):
        from synth_estimators.tabular._collapse import CollapseAlarm

        return CollapseAlarm(quality, owner=type(self).__name__, advice=self._collapse_advice)

    def _look_for_collapse(self, codes):
        """Compare a few sampled rows with training rows; draws from a generator of its own."""
        from synth_estimators.tabular._collapse import ALARM_EPOCHS, ALARM_ROWS
        from synth_estimators.tabular._quality import TableQuality

        if self.n_iter_ < ALARM_EPOCHS:
            return
        rng = np.random.default_rng(self._sample_seed)
        n_rows = min(len(codes), ALARM_ROWS)
        real = self._decoded(codes.take(rng.choice(len(codes), n_rows, replace=False)))
        alarm = self._collapse_alarm(TableQuality(real, self._known))
        alarm(self._candidates(n_rows, rng, None), self.n_iter_)

    def _epoch_info(self, record: dict[str, Any]) -> EpochInfo:
        return EpochInfo(record["epoch"], round(float(record["train_loss"]), 4))

    def _after_training(self) -> None:
        """Finish what sampling needs once the weights are final."""

    # Sampling

    def _decoded(self, codes):
        return self._rules.from_model(self.encoder_._frame(codes))

    def _candidates(self, n_samples, rng, wanted):
        encoded = None if wanted is None else self._encode_conditions(wanted, rng)
        parts = []
        for start in range(0, max(1, n_samples), _BLOCK_ROWS):
            rows = slice(start, min(start + _BLOCK_ROWS, n_samples))
            some = None if encoded is None else encoded.take(rows)
            parts.append(self._decoded(self._draw(rows.stop - rows.start, rng, some)))
        return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)

    def _plain_rows(self, n_samples, rng):
        calibrated = self.calibrate and n_samples > 0
        return (self._calibrated if calibrated else super()._plain_rows)(n_samples, rng)

    def _calibrated(self, n_samples, rng):
        """Rows chosen from a larger pool, so that levels have their shares in training."""
        parts = []
        for start in range(0, n_samples, _BLOCK_ROWS):
            n_rows = min(_BLOCK_ROWS, n_samples - start)
            pool = self._draw(max(_POOL_FACTOR * n_rows, _LEAST_POOL), rng, None)
            rows = systematic_rows(rake(pool, self._level_shares), n_rows, rng)
            parts.append(self._decoded(pool.take(rows)))
        return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)

    def _draw_codes(self, n_samples, draw, *, body, generator):
        """Codes of rows that a network makes of noise, a few rows at a time.

        ``draw(noise, rows)`` returns encoded rows, ``body`` holds the weights that take part.
        """
        import torch

        from synth_estimators._engine import fast_matmul

        device = self.net_.device
        n_weights = sum(parameter.numel() for parameter in body.parameters())
        flop = 2 * n_weights * min(n_samples, _CHUNK_ROWS)
        parts = []
        with torch.inference_mode(), fast_matmul(flop, mode=self.matmul, device=device):
            for start in range(0, max(1, n_samples), _CHUNK_ROWS):
                rows = slice(start, min(start + _CHUNK_ROWS, n_samples))
                noise = torch.empty((rows.stop - start, int(self.latent_dim)), device=device)
                outputs = draw(noise.normal_(generator=generator), rows)
                parts.append(self.encoder_._codes_from_outputs(outputs.cpu().numpy()))
        return RowCodes.joined(parts)

    def _encode_conditions(self, wanted, rng):
        model = self._rules.conditions_to_model(wanted)
        columns = tuple(k for k, label in enumerate(self._model_labels) if label in model.columns)
        return EncodedConditions(self.encoder_._codes(self._filler.fill(model), rng), columns)

    def _steers(self, labels):
        """Whether the conditions reach the model, and the model follows them."""
        rules = self._rules
        kept = set(labels)
        for rule in rules.built:
            columns = set(rule.involved() or rule.written())
            if columns <= kept:
                added = [x for x in rule.model_labels() if x in self._model_labels]
                kept = (kept - set(rule.written())) | set(added)
            else:
                kept -= set(rule.written())
        columns = tuple(k for k, label in enumerate(self._model_labels) if label in kept)
        return bool(columns) and self._follows(columns)

    def load_weights(self, path: Any) -> BaseTabularGenerator:
        """Restore a model written by ``save_weights`` into this estimator.

        Training goes on from there with ``warm_start=True``; only the moments of the optimizer
        start anew.

        Parameters
        ----------
        path : str or path-like
            File name without suffix.

        Returns
        -------
        self : fitted estimator
            With the parameters of the saved model.

        Raises
        ------
        ValueError
            When the files hold another class, are damaged or come from a newer version.
        """
        super().load_weights(path)
        records = self.history_.to_dict("records")
        self.net_.history = [
            {name: value for name, value in epoch.items() if value == value} | {"batches": []}
            for epoch in records
        ]
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if state.get("epoch_callback") is not None and "net_" in state:
            warnings.warn(
                f"The epoch_callback of {type(self).__name__} is left out of the saved model.",
                stacklevel=2,
            )
            state = {**state, "epoch_callback": None}
        return state
