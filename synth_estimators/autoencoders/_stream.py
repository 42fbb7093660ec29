"""Training on chunks of rows that do not fit in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from synth_estimators._random import draw_seed
from synth_estimators._validation import TableSchema, check_n_samples, check_rows

__all__ = ["StreamingMixin"]

_VALIDATION_ROWS = 20_000


class _Reservoir:
    """Uniform sample of a stream of rows (algorithm R, by blocks)."""

    def __init__(self, capacity, rng):
        self.capacity, self.rng = capacity, rng
        self.rows, self.labels, self.seen = None, [], 0

    def add(self, rows, labels):
        for start in range(0, len(rows), max(1, self.capacity)):
            part = slice(start, start + self.capacity)
            self._add(rows[part], None if labels is None else labels[part])

    def _add(self, rows, labels):
        if self.rows is None:
            self.rows = np.empty((0, rows.shape[1]), dtype=rows.dtype)
        free = max(0, min(len(rows), self.capacity - len(self.rows)))
        self.rows = np.concatenate([self.rows, rows[:free]])
        if labels is not None:
            self.labels.extend(labels[:free])
        self.seen += free
        for index in range(free, len(rows)):
            self.seen += 1
            place = self.rng.integers(self.seen)
            if place < self.capacity:
                self.rows[place] = rows[index]
                if labels is not None:
                    self.labels[place] = labels[index]


class StreamingMixin:
    """``fit_stream`` for the autoencoders."""

    def fit_stream(
        self,
        chunks: Iterable[Any] | Callable[[], Iterator[Any]],
        *,
        n_reference: int = 10_000,
    ) -> Any:
        """Train on a table that arrives in chunks.

        The chunks are read once to check them and to draw a uniform reference sample, and once
        an epoch for training. Margins, covariance and the distribution of codes come from the
        reference sample; the network sees every row.

        Parameters
        ----------
        chunks : iterable or callable
            Tables with the same columns, for example the batches of an Arrow data set, or a
            function that returns a new iterator over them. For CVAE each item is ``(X, y)``. It
            must be possible to iterate more than once.

        n_reference : int, default=10000
            Rows kept in memory for the frame.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        TypeError
            When ``chunks`` can be read only once.
        ValueError
            When a chunk does not fit the first one, or there are too few rows.

        Notes
        -----
        With ``validation_fraction`` every k-th row, at most 20,000 in total, is held out and kept
        in memory. Rows are shuffled within a chunk, so chunks should not be sorted.
        """
        self._validate_params()
        self._check_training()
        self._check_hidden()
        n_reference = check_n_samples(n_reference, name="n_reference")
        if not callable(chunks) and iter(chunks) is chunks:
            raise TypeError(
                "chunks is an iterator, which can be read only once; pass a list, another "
                "re-iterable, or a function that returns a new iterator."
            )
        read = chunks if callable(chunks) else chunks.__iter__
        seed = draw_seed(self.random_state)
        self._sample_seed = int(np.random.SeedSequence(seed).generate_state(2)[1] >> 1)
        rng = np.random.default_rng(seed)
        every = None
        if self.validation_fraction is not None:
            every = max(2, round(1.0 / self.validation_fraction))
        reference, held_out, n_train = self._first_pass(read, n_reference, every, rng)
        labels = np.array(reference.labels) if reference.labels else None
        _, design = self._fit_terms(
            labels, None, len(reference.rows), warm=False, **self._stream_classes()
        )
        self._count_stream_labels()
        self._fit_space(reference.rows, design, rng)
        batch = self._training_batch(reference.rows, design)
        valid = None
        if every is not None:
            rows, labels = held_out
            valid = self._stream_batch(rows, labels)
        with self._torch_rng(seed):
            self._start_net(batch, self._resolve_batch_size(n_train))
            self._apply_freeze()
            self._train(self._streamed_rows(read, every, n_train, valid), epochs=self.max_epochs)
        self._fit_codes(batch)
        self._fit_calibration(design, rng)
        self._trained_params = self._snapshot()
        return self

    def _first_pass(self, read, n_reference, every, rng):
        reference = _Reservoir(max(n_reference, self._min_samples), rng)
        held_rows, held_labels, n_rows, n_held = [], [], 0, 0
        self._label_counts: dict = {}
        for number, (rows, labels, X) in enumerate(self._checked_chunks(read, reset=True)):
            if number == 0:
                self._schema = TableSchema.from_data(X)
            for label in [] if labels is None else labels:
                self._label_counts[label] = self._label_counts.get(label, 0) + 1
            held = self._held_out(n_rows, len(rows), every)
            held_rows.append(rows[held])
            n_held += int(held.sum())
            if labels is not None:
                held_labels.extend(labels[held])
            reference.add(rows[~held], None if labels is None else labels[~held])
            n_rows += len(rows)
        if reference.rows is None or len(reference.rows) < self._min_samples:
            raise ValueError(
                f"chunks hold {n_rows} rows; {type(self).__name__} needs at least "
                f"{self._min_samples} beside the held-out ones."
            )
        held = (np.concatenate(held_rows), np.array(held_labels) if held_labels else None)
        return reference, held, n_rows - n_held

    def _checked_chunks(self, read, *, reset):
        for number, item in enumerate(read()):
            X, labels = item if isinstance(item, tuple) else (item, None)
            rows = check_rows(self, X, reset=reset and number == 0, float32=True)
            yield rows, None if labels is None else np.asarray(labels), X

    @staticmethod
    def _held_out(first, n_rows, every):
        """Rows of a chunk that are held out, by their number in the stream."""
        index = np.arange(first, first + n_rows)
        if every is None:
            return np.zeros(n_rows, dtype=bool)
        return (index % every == 0) & (index // every < _VALIDATION_ROWS)

    def _stream_classes(self):
        return {"classes": list(self._label_counts)} if self._label_counts else {}

    def _count_stream_labels(self):
        if self._label_counts:
            counts = np.array([self._label_counts[label] for label in self.classes_.tolist()])
            self.class_prior_ = counts / counts.sum()
        del self._label_counts

    def _stream_batch(self, rows, labels):
        design = None
        if labels is not None:
            design = self._known_terms(labels, None, len(rows))[1]
        return self._training_batch(rows, design)

    def _streamed_rows(self, read, every, n_train, valid):
        from synth_estimators._engine import Rows, RowStream, TrainingRows

        def training_chunks():
            first = 0
            for rows, labels, _ in self._checked_chunks(read, reset=False):
                keep = ~self._held_out(first, len(rows), every)
                first += len(rows)
                if keep.any():
                    part = None if labels is None else labels[keep]
                    yield self._stream_batch(rows[keep], part).astype(np.float32)

        stream = RowStream(training_chunks, n_rows=n_train)
        return TrainingRows(stream, None if valid is None else Rows(valid.astype(np.float32)))
