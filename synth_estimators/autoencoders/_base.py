"""What AE, VAE and CVAE share: rows to network space, training, codes, calibration."""

from __future__ import annotations

import fnmatch
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from synth_estimators._calibrated import CalibratedSamplingMixin
from synth_estimators._compat import Interval, StrOptions
from synth_estimators._neural import NEURAL_CONSTRAINTS, NeuralGenerator
from synth_estimators._validation import check_n_samples, check_rows
from synth_estimators.autoencoders._stream import StreamingMixin
from synth_estimators.autoencoders._transfer import load_source, transfer_weights
from synth_estimators.base import LatentMixin
from synth_estimators.preprocessing._calibration import (
    CalibratedFrame,
    fit_covariance,
)

__all__ = ["AUTOENCODER_CONSTRAINTS", "FramedAutoencoder"]

AUTOENCODER_CONSTRAINTS = {
    "latent_dim": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "hidden": [StrOptions({"auto"}), tuple, list],
    "network": [StrOptions({"factor", "published"})],
    "prior": [StrOptions({"aggregate", "standard"})],
    "calibration": [StrOptions({"full", "margins"}), None],
    "clip": [StrOptions({"range"}), None],
    "compress": [StrOptions({"span"}), None],
    "init_from": "no_validation",
    "freeze": [tuple, list, None],
    **NEURAL_CONSTRAINTS,
}
POSITIVE_WEIGHT = [Interval(Real, 0, None, closed="left")]

_SPAN_COLUMNS = 2_000
_COMPLETION_ROWS = 4_000
_CLIP_WARNING = 0.1


class FramedAutoencoder(CalibratedSamplingMixin, StreamingMixin, LatentMixin, NeuralGenerator):
    """Shared machinery; the estimators add their parameters, module and code distribution.

    Rows become coordinates in four steps: standardise, remove the location (class means), take
    residuals, and with ``compress="span"`` rotate them onto the span of the training rows. The
    network learns coordinates; sampling goes the same way back through the frame.
    """

    #: Encoder widths of ``network="published"``.
    _published_hidden: ClassVar[tuple[int, ...]] = (256, 128, 64)

    _architecture = ("latent_dim", "hidden", "network", "calibration", "compress")
    _min_samples = 3

    def _fit(self, X, y, conditions, context):
        self._check_training()
        self._check_hidden()
        warm = self.warm_start and hasattr(self, "net_")
        data, seed = self._start_fit(X, reset=not warm, float32=True)
        rng = np.random.default_rng(seed)
        label_idx, design = self._fit_terms(y, conditions, len(data), warm=warm)
        train, valid = self._split_validation(len(data), label_idx, rng)
        batch_size = self._resolve_batch_size(len(train))
        self._fit_space(data, design, rng)
        batch = self._training_batch(data, design)
        with self._torch_rng(seed):
            if warm:
                self._continue_net()
                self.net_.set_params(batch_size=batch_size)
            else:
                # held-out rows must not shape the start, or early stopping comes too late
                self._start_net(batch[train], batch_size, n_rows=len(batch))
            self._apply_freeze()
            self._train(self._rows(batch, train, valid), epochs=self.max_epochs, context=context)
        self._fit_codes(batch)
        self._fit_calibration(design, rng)
        self._trained_params = self._snapshot()
        return self

    def _partial_fit(self, X, y, conditions, n_epochs, classes=None):
        n_epochs = check_n_samples(n_epochs, name="n_epochs")
        first = not hasattr(self, "net_")
        if first:
            self._check_hidden()
        data, seed = self._start_fit(X, reset=first, float32=True)
        if not first:
            seed = (self._sample_seed + self.n_iter_) % (2**31 - 1)
        rng = np.random.default_rng(seed)
        _, design = self._fit_terms(y, conditions, len(data), warm=not first, classes=classes)
        if first:
            self._fit_space(data, design, rng)
        batch = self._training_batch(data, design)
        everyone = np.arange(len(data))
        with self._torch_rng(seed):
            batch_size = self._resolve_batch_size(len(data), lower=True)
            if first:
                self._start_net(batch, batch_size)
            else:
                self._continue_net()
                self.net_.set_params(batch_size=batch_size)
            self._apply_freeze()
            self._train(self._rows(batch, everyone, None), epochs=n_epochs, monitor=False)
        self._fit_codes(batch, accumulate=not first)
        self._fit_calibration(design, rng)
        self._trained_params = self._snapshot()
        return self

    def _snapshot(self):
        names = (*self._architecture, "lr", "weight_decay", "clip_norm")
        return {name: getattr(self, name) for name in names}

    def _check_hidden(self):
        widths = () if isinstance(self.hidden, str) else self.hidden
        if not all(isinstance(w, Integral) and not isinstance(w, bool) and w > 0 for w in widths):
            raise ValueError(f"hidden must hold positive integers, got {widths!r}.")
        if self.init_from is not None and self.compress == "span":
            raise ValueError(
                "init_from cannot be combined with compress='span', whose coordinates belong to "
                "one training table; set compress=None."
            )

    def _fit_terms(self, y, conditions, n_samples, *, warm, classes=None):
        """Return class indices (for stratified validation) and the design of the rows."""
        return None, None

    def _fit_space(self, data, design, rng):
        self.frame_, span = None, None
        if self.calibration is not None:
            n_classes = len(getattr(self, "classes_", ()))
            self.frame_ = CalibratedFrame().fit(data, design, rng, n_classes=n_classes)
            n_columns = len(self.frame_.varying_)
            if self.compress == "span" and self.frame_.covariance_.rank:
                span = self.frame_.covariance_
        else:
            n_columns = data.shape[1]
            standardised = self.network == "factor" or self.compress == "span"
            if standardised:
                self._center = data.mean(axis=0, dtype=np.float64)
            else:
                self._center = np.zeros(n_columns)
            spread = np.ones(n_columns)
            if self.network == "factor":
                spread = data.std(axis=0, dtype=np.float64)
                spread[spread == 0] = 1.0
            self._spread = spread
            self._low, self._high = data.min(axis=0), data.max(axis=0)
            if self.compress == "span":
                # a rotation for the network needs no more than the float32 it trains in
                rows = (data - self._center).astype(np.float32)
                rows /= spread.astype(np.float32)
                covariance = fit_covariance(rows, rng)
                span = covariance if covariance.rank else None
        self._span = span
        self._n_coordinates = n_columns if span is None else span.rank

    def _coordinates(self, data, design):
        """Rows in data units to network coordinates, in the dtype of ``data``."""
        if self.frame_ is not None:
            rows = self.frame_.residuals(data, design)
        else:
            rows = data - self._center.astype(data.dtype)
            rows /= self._spread.astype(data.dtype)
        rows = rows.astype(data.dtype, copy=False)
        if self._span is not None:
            rows = rows @ self._span.components.astype(data.dtype, copy=False)
        return rows

    def _standard_from(self, coordinates, design):
        """Decoded coordinates to standardised rows (frame) or data units (no frame)."""
        rows = coordinates
        if self._span is not None:
            rows = rows @ self._span.components.T
        if self.frame_ is not None:
            return self.frame_.relocate(rows, design)
        return rows * self._spread + self._center

    def _training_batch(self, data, design):
        """Network inputs of the training rows, in the float32 that the network trains in."""
        if self.frame_ is None:
            data = data.astype(np.float32, copy=False)
        return self._batch(self._coordinates(data, design), design)

    def _batch(self, coordinates, design):
        if design is None:
            return coordinates
        return np.hstack([coordinates, design.astype(coordinates.dtype)])

    def _rows(self, batch, train, valid):
        from synth_estimators._engine import Rows, TrainingRows

        batch = np.ascontiguousarray(batch, dtype=np.float32)
        everyone = len(train) == len(batch)
        return TrainingRows(
            Rows(batch.copy() if everyone else batch[train]),
            None if valid is None else Rows(batch[valid]),
        )

    def _start_net(self, batch, batch_size, *, n_rows=None):
        n_rows = len(batch) if n_rows is None else n_rows
        source = None if self.init_from is None else load_source(self.init_from, self)
        self.latent_dim_ = self._n_features_out = self._resolve_latent_dim(n_rows, source)
        self.hidden_ = self._resolve_hidden(n_rows, source)
        self._module_params = {
            "n_features": self._n_coordinates,
            "n_conditions": batch.shape[1] - self._n_coordinates,
            "latent_dim": self.latent_dim_,
            "hidden": self.hidden_,
            **self._module_settings(),
        }
        if self.network == "published":
            plain = self.calibration is None and self.compress is None
            self._module_params |= {
                "activation": "relu",
                "batch_norm": True,
                "skip": False,
                "output": "relu" if plain else "linear",
            }
        self.net_ = self._build_net(self._module_class(), self._module_params, batch_size)
        if self.network == "factor":
            self._start_weights(np.asarray(batch[:, : self._n_coordinates], dtype=np.float64))
        if source is not None:
            self.transfer_report_ = transfer_weights(self, source, batch)
        self.n_iter_ = 0

    def _resolve_latent_dim(self, n_rows, source):
        if self.latent_dim != "auto":
            return int(self.latent_dim)
        if source is not None:
            return source.latent_dim_
        return max(1, min(16, max(2, n_rows // 28), self._n_coordinates))

    def _resolve_hidden(self, n_rows, source):
        """Widths of the encoder: few rows get a narrow net, which leaks less of them."""
        if self.hidden != "auto":
            return tuple(int(width) for width in self.hidden)
        if source is not None:
            return source.hidden_
        if self.network == "published":
            return self._published_hidden
        return (int(np.clip(n_rows // 7, 16, 128)),)

    def _apply_freeze(self):
        patterns = tuple(self.freeze or ())
        named = dict(self.net_.module_.named_parameters())
        for pattern in patterns:
            if not fnmatch.filter(named, pattern):
                raise ValueError(
                    f"freeze pattern {pattern!r} matches no parameter; the network has "
                    f"{sorted(named)}."
                )
        frozen = {name for name in named if any(fnmatch.fnmatch(name, p) for p in patterns)}
        if len(frozen) == len(named):
            raise ValueError(f"freeze={self.freeze!r} leaves no parameter to train.")
        for name, parameter in named.items():
            parameter.requires_grad_(name not in frozen)

    @property
    def _network_names(self):
        """Names of the network's features, or None when the table had no names."""
        names = getattr(self, "feature_names_in_", None)
        if names is None or self._span is not None:
            return None
        return list(names if self.frame_ is None else names[self.frame_.varying_])

    def _encode_batch(self, batch):
        return self._apply(batch, _encode_rows, like=batch)

    def _decode_codes(self, codes, design):
        """Decode in chunks that stay in cache, into one array."""
        import torch

        from synth_estimators._engine import chunk_rows, fast_matmul

        net = self.net_
        module = net.module_.eval()
        n_columns = self._n_coordinates
        widest = max([n_columns, *self._module_params["hidden"]])
        chunk = chunk_rows(widest + n_columns)
        result = np.empty((len(codes), n_columns), dtype=np.float32)
        n_weights = sum(p.numel() for p in module.decoder.parameters())
        switch = fast_matmul(2 * n_weights * chunk, mode=self.matmul, device=self.device)
        with torch.inference_mode(), switch:
            for start in range(0, len(codes), chunk):
                part = slice(start, start + chunk)
                block = torch.as_tensor(
                    np.ascontiguousarray(codes[part], dtype=np.float32), device=net.device
                )
                terms = None
                if design is not None:
                    terms = torch.as_tensor(
                        np.ascontiguousarray(design[part], dtype=np.float32), device=net.device
                    )
                result[part] = module.decode(block, terms).cpu().numpy()
        return result

    def _fit_calibration(self, design, rng):
        if self.frame_ is None:
            return
        frame = self.frame_
        if self.calibration == "margins":
            n_rows = frame.reference_rows()
            terms = None if design is None else design[rng.integers(len(design), size=n_rows)]
            frame.tabulate(self._model_rows(n_rows, rng, terms))
            return
        self._fit_completion(design, rng)
        frame.fit_reference(self._draw_scores, design, rng)

    def _fit_completion(self, design, rng):
        """Noise that completes the covariance of decoded means to that of the frame."""
        frame = self.frame_
        wanted = frame.covariance_
        n_columns = len(frame.varying_)
        self._in_span = self._span is not None or n_columns > _SPAN_COLUMNS
        n_rows = int(np.clip(40_000_000 // max(1, n_columns), 1_000, _COMPLETION_ROWS))
        terms = None if design is None else design[rng.integers(len(design), size=n_rows)]
        decoded = self._span_rows(self._decode_codes(self._draw_codes(n_rows, rng), terms))
        # the frame holds the location of every class; the network must not move it
        terms = np.ones((n_rows, 1)) if terms is None else terms
        self._decoded_location = np.linalg.lstsq(terms, decoded.astype(np.float64), rcond=1e-10)[0]
        decoded = decoded - terms @ self._decoded_location
        seen = decoded.T.astype(np.float64) @ decoded / max(1, len(decoded))
        if self._in_span:
            target = np.diag(wanted.variances)
        else:
            lifted = wanted.components * (wanted.variances - wanted.floor)
            target = lifted @ wanted.components.T + wanted.floor * np.eye(n_columns)
        values, vectors = np.linalg.eigh(target - seen)
        total = float(np.trace(target))
        self.completion_clip_ = float(-values[values < 0].sum() / total) if total > 0 else 0.0
        keep = values > 1e-12
        self._completion = vectors[:, keep] * np.sqrt(values[keep])
        if self.completion_clip_ > _CLIP_WARNING:
            warnings.warn(
                f"{type(self).__name__} decodes {self.completion_clip_:.0%} more variance than the "
                "table has in some directions, which calibration cannot take back; use a smaller "
                "latent_dim, a lower lr or early_stopping=True.",
                UserWarning,
                stacklevel=2,
            )

    def _span_rows(self, coordinates):
        """Network coordinates to the coordinates in which the covariance is completed."""
        if self._in_span and self._span is None:
            return coordinates @ self.frame_.covariance_.components.astype(coordinates.dtype)
        return coordinates

    def _draw_scores(self, n_samples, rng, design):
        decoded = self._decode_codes(self._draw_codes(n_samples, rng), design)
        terms = np.ones((n_samples, 1)) if design is None else design
        rows = self._span_rows(decoded) - terms @ self._decoded_location
        noise = rng.standard_normal((n_samples, self._completion.shape[1]))
        rows = rows + noise @ self._completion.T
        if self._in_span:
            return self.frame_.split_span(rows, rng)
        return self.frame_.split_rows(rows)

    def _model_rows(self, n_samples, rng, design):
        """Rows of the network alone: decoded codes plus its own noise."""
        decoded = self._decode_codes(self._draw_codes(n_samples, rng), design)
        noise = self._network_noise()
        if noise is not None:
            decoded = decoded + noise * rng.standard_normal(decoded.shape)
        return self._standard_from(decoded, design)

    def _network_noise(self):
        """Standard deviation of every coordinate, or None for a model without noise."""
        return None

    def _sample_design(self, n_samples, rng, design, stratified, matches):
        if stratified and self.calibration is None:
            raise ValueError(
                "stratified=True needs a calibrated generator; set calibration='full' or "
                "'margins', or sample independent rows."
            )
        if self.calibration == "full":
            return self._frame_rows(
                n_samples, rng, design, stratified=stratified, matches_training=matches
            )
        if self.calibration == "margins":
            rows = self._model_rows(n_samples, rng, design)
            ranked = stratified and matches and n_samples >= 30
            return self.frame_.to_data(rows, stratified=ranked, clip=self.clip)
        result = np.empty((n_samples, self.n_features_in_))
        chunk = max(1, self._chunk_elements // self.n_features_in_)
        for start in range(0, n_samples, chunk):
            part = slice(start, min(start + chunk, n_samples))
            terms = None if design is None else design[part]
            result[part] = self._model_rows(part.stop - part.start, rng, terms)
        if self.clip == "range":
            np.clip(result, self._low, self._high, out=result)
        return result

    def _encode(self, data, design=None):
        batch = self._batch(self._coordinates(data, design), design)
        return self._encode_batch(batch)[0]

    def _decode(self, codes, design=None):
        def decode(module, block):
            latent, terms = block[:, : self.latent_dim_], block[:, self.latent_dim_ :]
            return (module.decode(latent, terms),)

        batch = self._batch(codes, design)
        decoded = self._apply(batch, decode, like=codes)[0]
        rows = self._standard_from(decoded, design)
        if self.frame_ is not None:
            rows = self.frame_.decode_mean(rows)
        return rows.astype(codes.dtype, copy=False)

    def sample(
        self, n_samples: int = 1, *, stratified: bool = False, random_state: Any = None
    ) -> Any:
        """Draw new rows from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        stratified : bool, default=False
            Draw the table as a whole so that its margins are those of the model without sampling
            noise. Single rows are still draws from the model and stand in random order, but they
            are not independent: means over the table vary less than in independent rows, so leave
            it off for standard errors or a bootstrap. Tables of fewer than 30 rows are always
            drawn independently. Needs ``calibration``.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container and dtypes of the table given to ``fit``.
        """
        return self._sample_rows(n_samples, random_state, stratified=stratified)

    def _sample(self, n_samples, rng, *, stratified=False):
        return self._sample_design(n_samples, rng, None, stratified, True)

    def _checked(self, X):
        check_is_fitted(self)
        return check_rows(self, X, reset=False)

    def _module_settings(self):
        return {}


def _encode_rows(module, batch):
    mean, logvar = module.encode(batch)
    return (mean,) if logvar is None else (mean, logvar)
