"""Training of the autoregressive model: order, networks, stopping, forest of small tables."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral

import numpy as np
import pandas as pd

from synth_estimators._engine import Rows, TrainingRows
from synth_estimators._networks.autoregressive import AutoregressiveNet
from synth_estimators.preprocessing._column_order import column_position, order_columns
from synth_estimators.tabular._ar_codes import pack
from synth_estimators.tabular._ar_net import AREngine, BestColumns
from synth_estimators.tabular._ar_table import ModelTable
from synth_estimators.tabular._constraint_set import ConstraintSet
from synth_estimators.tabular._known_columns import KnownColumns
from synth_estimators.tabular._small_table import (
    fit_small_table,
    fold_rows,
    member_rows,
    spike_limit,
)

__all__ = ["ARTrainingMixin"]

_CLIP_NORM = 5.0
_FEW_ROWS = 20
_FEWER_ROWS = 10_000
_SMALL_TABLE_ROWS = 5_000
_N_FOLDS = 5
_WIDTH, _SMALL_WIDTH, _N_LAYERS = 64, 32, 3


class ARTrainingMixin:
    """Training of ``TabularAR``: from a validated table to the weights of all columns."""

    def _fit(self, X, context):
        self._check_training()
        self._check_hidden()
        vars(self).pop("forest_shares_", None)
        warm = self.warm_start and hasattr(self, "net_")
        frame, seed = self._start_fit_table(X, reset=not warm)
        if not warm:
            index = getattr(X, "index", None) if isinstance(X, pd.DataFrame) else None
            self._rules = ConstraintSet(self.constraints).fit(frame, index=index, build=False)
            self.constraints_ = self._rules.all
            self._n_rows = len(frame)
            self._is_small = self._counts_as_small(len(frame))
            self._table = ModelTable(
                frame,
                discrete_columns=self.discrete_columns,
                settings=self._code_settings(len(frame)),
            )
        cells = self._table.cells(frame)
        if not warm:
            self._arrange(frame, cells)
        codes = self._table.codes(cells)
        rows = pack(codes)
        train, valid = self._split_members(len(rows), np.random.default_rng(seed))
        broken_off = False
        with self._torch_rng(seed):
            batch_size = self._resolve_batch_size(len(train))
            if warm:
                self._continue_net()
                self.net_.set_params(batch_size=batch_size)
            else:
                self._start_net(codes, train, batch_size)
            if len(rows) < _FEW_ROWS:
                self._keep_margins(len(rows))
            else:
                held_out = None if valid is None else Rows(member_rows(rows, valid))
                training = TrainingRows(Rows(member_rows(rows, train)), held_out)
                broken_off = self._train_columns(training, context)
        self._mixture = None
        self._trained_params = self._snapshot()
        if broken_off:
            raise KeyboardInterrupt
        if self._is_small and valid is not None:
            self._mix_with_forest(cells, codes, rows, valid, seed)

    def _counts_as_small(self, n_rows):
        if self.small_table == "auto":
            small = self.early_stopping and n_rows < _SMALL_TABLE_ROWS
        else:
            small = self.small_table
        return small and n_rows >= _FEW_ROWS

    def _split_members(self, n_rows, rng):
        """Training and validation rows of every network, of shape (n_rows, n_networks)."""
        if self._is_small:
            return fold_rows(n_rows, _N_FOLDS, rng)
        train, valid = self._split_validation(n_rows, None, rng)
        return train[:, None], None if valid is None else valid[:, None]

    def _keep_margins(self, n_rows):
        warnings.warn(
            f"TabularAR has {n_rows} rows, too few to learn from (at least {_FEW_ROWS} are "
            "needed); its columns are independent, with the margins of the table.",
            stacklevel=5,
        )
        self._read_history()
        self.best_epochs_ = dict.fromkeys(self.column_order_, 0)

    def _mix_with_forest(self, cells, codes, rows, valid, seed):
        """Mix the networks of a small table with a forest, by the rows that they left out."""
        columns = self._table.seen
        mixed = fit_small_table(
            columns,
            [cells[j] for j in self._table.order],
            codes,
            rows,
            valid,
            self.net_.module_,
            seed=seed,
            device=self.net_.device,
        )
        self._mixture = {
            "forest": mixed.forest,
            "weights": mixed.weights,
            "bandwidths": mixed.bandwidths,
            "log_likelihood": mixed.log_likelihood,
        }
        weights = [
            weight
            for weight, column in zip(mixed.weights.tolist(), columns, strict=True)
            if column.source is None
        ]
        self.forest_shares_ = dict(zip(self.column_order_, weights, strict=True))

    def _resolve_hidden(self):
        if isinstance(self.hidden, str):
            return (_SMALL_WIDTH if self._is_small else _WIDTH,) * _N_LAYERS
        return tuple(int(width) for width in self.hidden)

    def _check_hidden(self):
        if isinstance(self.hidden, str):
            return
        widths = tuple(self.hidden)
        whole = all(isinstance(w, Integral) and not isinstance(w, bool) and w > 0 for w in widths)
        if not widths or not whole or len(set(widths)) > 1:
            raise ValueError(
                f"hidden must hold equal positive integers, got {self.hidden!r}; layers after the "
                "first are residual, for example hidden=(64, 64, 64)."
            )

    def _code_settings(self, n_rows):
        names = ("max_value_embeddings", "n_bins", "n_input_bins")
        names = (*names, "spike_share", "spike_prominence")
        max_levels = self.max_levels
        if n_rows < _SMALL_TABLE_ROWS:
            max_levels = spike_limit(max_levels, n_rows)
        return {"max_levels": max_levels, **{name: getattr(self, name) for name in names}}

    def _arrange(self, frame, cells):
        """Fix the order of the columns and those that are looked up."""
        table, first = self._table, list(self.condition_columns or ())
        target = None
        if self.target is not None:
            target = column_position(table.labels, self.target, "target")
        at_first = self.target_position == "first"
        if self.target_position == "auto" and target is not None:
            others = [column.continuous for j, column in enumerate(table.columns) if j != target]
            smooth = 2 * sum(others) > len(others)
            at_first = table.columns[target].discrete and (self._is_small or smooth)
        order = order_columns(
            table.labels,
            [column.n_values for column in table.columns],
            column_order=self.column_order,
            target=target,
            target_first=at_first,
            first=first,
        )
        listed = [] if isinstance(self.column_order, str) else list(self.column_order)
        keep = [] if target is None else [target]
        table.arrange(order, cells, exclude=keep + order[: len(first)], named=len(first + listed))
        labels = table.labels
        self.column_order_ = [labels[j] for j in table.drawn]
        discrete = [name for name, c in zip(labels, table.columns, strict=True) if c.discrete]
        self._known = KnownColumns(frame, discrete_columns=discrete)
        self.determined_by_ = {labels[c]: labels[p] for c, (p, _) in table.lookup.items()}

    def _module_class(self):
        return AutoregressiveNet

    def _start_net(self, codes, train, batch_size):
        """Build the net at the margins of the training rows."""
        columns = self._table.seen
        self._module_params = {
            "n_tokens": tuple(int(column.n_tokens) for column in columns),
            "n_choices": tuple(int(column.n_choices) for column in columns),
            "continuous": tuple(bool(column.continuous) for column in columns),
            "embedding_dim": int(self.embedding_dim),
            "hidden": self._resolve_hidden(),
            "n_components": int(self.n_components),
            "n_members": train.shape[1],
        }
        self.net_ = self._build_net(self._module_class(), self._module_params, batch_size)
        self.net_.module_.start(
            [
                [np.bincount(code.choice[rows], minlength=column.n_choices) for rows in train.T]
                for column, code in zip(columns, codes, strict=True)
                if column.source is None
            ]
        )
        self.n_iter_ = 0

    def _build_net(self, module, module_params, batch_size):
        settings = {
            "module": module,
            "optimizer__weight_decay": self._resolve_weight_decay(),
            "optimizer__param_groups": [("*bias_*", {"weight_decay": 0.0})],
            "lr": float(self.lr),
            "max_epochs": int(self.max_epochs),
            "batch_size": batch_size,
            "device": self.device,
            "clip_norm": _CLIP_NORM,
            "ema": float(self.ema),
            "max_seconds": self.max_seconds,
            "owner": type(self).__name__,
            "verbose": max(0, int(self.verbose) - 1),
            "callbacks": copy.deepcopy(self.callbacks) or [],
            **{f"module__{name}": value for name, value in module_params.items()},
        }
        net = AREngine(**{**settings, **(self.net_params or {})})
        net.initialize()
        return net

    def _train_columns(self, rows, context):
        """Train and keep the best weights of every column; return whether it was broken off."""
        stopping = self.early_stopping and rows.valid is not None
        best = BestColumns(self.patience if stopping else None, self.tol, select=stopping)
        net = self.net_
        regular = net.callbacks_
        net.callbacks_ = [*regular, ("best_columns", best)]
        try:
            self._train(rows, epochs=self.max_epochs, context=context, monitor=False)
        except KeyboardInterrupt:
            if not net.interrupted_:
                raise
            net.module_.eval()
            if len(net.history) and "dur" not in net.history[-1]:  # broken off within an epoch
                del net.history[-1]
            self._read_history()
        finally:
            net.callbacks_ = regular
        if net.interrupted_:
            warnings.warn(
                f"Training of TabularAR was interrupted after {self.n_iter_} of {self.max_epochs} "
                "epochs; the best weights so far are kept"
                f"{', without the forest' if self._is_small else ''}.",
                stacklevel=6,
            )
        epochs = best.best_epochs_.double().mean(0).tolist()
        if len(best.best_epochs_) == 1:
            epochs = [int(epoch) for epoch in epochs]
        self.best_epochs_ = dict(zip(self.column_order_, epochs, strict=True))
        return net.interrupted_

    def _resolve_weight_decay(self):
        if self.weight_decay != "auto":
            return float(self.weight_decay)
        return 0.4 if self._n_rows < _FEWER_ROWS else 0.1

    def _resolve_batch_size(self, n_train, *, lower=False):
        if self.batch_size == "auto":
            size = 64 if self._is_small else 128 if n_train < _FEWER_ROWS else 256
            return min(size, n_train)
        return super()._resolve_batch_size(n_train, lower=lower)

    def _continue_net(self):
        self._refuse_compact()
        before = self._trained_params
        for name in self._architecture:
            if repr(getattr(self, name)) != repr(before[name]):
                raise ValueError(
                    f"warm_start=True cannot change {name} ({before[name]!r} → "
                    f"{getattr(self, name)!r}); refit with warm_start=False."
                )
        self.net_.lr = float(self.lr)
        self.net_.ema, self.net_.max_seconds = float(self.ema), self.max_seconds
        for group in self.net_.optimizer_.param_groups:
            group["lr"] = float(self.lr)
            if group["weight_decay"]:
                group["weight_decay"] = self._resolve_weight_decay()

    def _snapshot(self):
        return {name: getattr(self, name) for name in (*self._architecture, "lr", "weight_decay")}
