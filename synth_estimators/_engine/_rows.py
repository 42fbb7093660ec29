"""Rows in memory, rows that stream, and the mini-batches cut from them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Subset

__all__ = ["RowStream", "Rows", "TensorBatches", "TrainingRows", "chunk_rows"]

_CACHE_BYTES = 4 * 2**20


def chunk_rows(width: int, *, budget_bytes: int = _CACHE_BYTES) -> int:
    """Rows to push through a network at once where no gradient is needed.

    Parameters
    ----------
    width : int
        Numbers held per row: widest layer plus output columns.

    budget_bytes : int, default=4 MiB
        Size a chunk of float32 rows should have to stay in cache.

    Returns
    -------
    rows : int
        Between 256 and 4096.

    Examples
    --------
    >>> chunk_rows(1256)
    834
    """
    return int(np.clip(budget_bytes // (4 * max(1, width)), 256, 4096))


def _float32(values: Any) -> torch.Tensor:
    """Float32 tensor; shares memory with a writable float32 array, copies everything else."""
    if isinstance(values, torch.Tensor):
        return values.detach().to(torch.float32).contiguous()
    array = np.asarray(values)
    if array.dtype != np.float32 or not array.flags.c_contiguous or not array.flags.writeable:
        array = np.array(array, dtype=np.float32, order="C")
    return torch.from_numpy(array)


def _checked(X: Any, weight: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    X = _float32(X)
    if X.ndim != 2:
        raise ValueError(
            f"Rows must form a two-dimensional table, got shape {tuple(X.shape)}; reshape each "
            "row to one dimension."
        )
    if weight is None:
        return X, None
    weight = _float32(weight).to(X.device)
    if weight.shape != (len(X),):
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} but X has {len(X)} rows; pass one weight a "
            "row."
        )
    return X, weight


class Rows(Dataset):
    """A table that stays in memory as one float32 tensor.

    Parameters
    ----------
    X : tensor, ndarray or data frame of shape (n_samples, width)
        The rows. A writable C-ordered float32 array is shared, not copied.

    weight : array-like of shape (n_samples,), default=None
        Weight of each row in the loss; None weighs all rows alike.

    Attributes
    ----------
    X : tensor of shape (n_samples, width)

    weight : tensor of shape (n_samples,) or None

    Examples
    --------
    >>> import numpy as np
    >>> rows = Rows(np.zeros((3, 2)))
    >>> len(rows), rows.X.dtype
    (3, torch.float32)
    """

    def __init__(self, X: Any, weight: Any = None) -> None:
        self.X, self.weight = _checked(X, weight)
        if len(self.X) == 0:
            raise ValueError("Rows needs at least one row, got none.")

    @property
    def y(self) -> torch.Tensor | None:
        """The weights, under the name that skorch looks for."""
        return self.weight

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, torch.Tensor]:
        X = self.X[index]
        if self.weight is None:
            return X, torch.ones(X.shape[:-1], device=X.device)
        return X, self.weight[index]

    def to(self, device: Any) -> Rows:
        """Return the rows on ``device``; the same object when they are there already."""
        if device is None or self.X.device == torch.empty(0, device=device).device:
            return self
        return Rows(self.X.to(device), None if self.weight is None else self.weight.to(device))


class RowStream(IterableDataset):
    """A table that is read chunk by chunk, once an epoch.

    Rows are shuffled within a chunk, and rows left over from a chunk join the first batch of the
    next one, so an epoch holds one chunk and one batch in memory. Chunks whose rows are sorted
    (by class, by date) should be mixed by the source.

    Parameters
    ----------
    chunks : iterable or callable
        Either an iterable that can be gone through many times (a list, a dataset object), or a
        function without arguments that returns a fresh iterator. Items are tables of shape
        (n_i, width), or pairs of a table and its row weights.

    n_rows : int or None, default=None
        Number of rows in all chunks together, where it is known; only ``len`` needs it.

    Raises
    ------
    TypeError
        When ``chunks`` is an iterator, which would be empty in the second epoch.

    Examples
    --------
    >>> import numpy as np
    >>> stream = RowStream(lambda: (np.ones((4, 2)) for _ in range(3)), n_rows=12)
    >>> [len(X) for X, _ in TensorBatches(stream, batch_size=5)]
    [5, 5, 2]
    """

    def __init__(self, chunks: Any, n_rows: int | None = None) -> None:
        if not callable(chunks):
            if not isinstance(chunks, Iterable):
                raise TypeError(
                    f"chunks must be an iterable or a function that returns an iterator, got "
                    f"{type(chunks).__name__}."
                )
            if iter(chunks) is chunks:
                raise TypeError(
                    "chunks is an iterator, which is empty after one epoch; pass a list or a "
                    "function without arguments that returns a fresh iterator."
                )
        self.chunks = chunks
        self.n_rows = n_rows
        self.device: Any = None

    def __len__(self) -> int:
        if self.n_rows is None:
            raise TypeError("The length of this RowStream is unknown; pass n_rows.")
        return self.n_rows

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for X, weight in self.iter_chunks():
            weight = torch.ones(len(X), device=X.device) if weight is None else weight
            yield from zip(X, weight, strict=True)

    def iter_chunks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Yield each chunk as float32 tensors ``(X, weight or None)``."""
        width, position = None, 0
        for chunk in self.chunks() if callable(self.chunks) else self.chunks:
            X, weight = _checked(*chunk) if isinstance(chunk, tuple) else _checked(chunk, None)
            if width is not None and X.shape[1] != width:
                raise ValueError(
                    f"Chunk {position} has {X.shape[1]} columns but earlier chunks have {width}."
                )
            width, position = X.shape[1], position + 1
            if self.device is not None:
                X = X.to(self.device)
                weight = None if weight is None else weight.to(self.device)
            if len(X):
                yield X, weight
            # Let go before the source makes the next chunk: one chunk in memory, not two.
            del chunk, X, weight

    def to(self, device: Any) -> RowStream:
        """Return a stream whose chunks are moved to ``device``."""
        moved = copy.copy(self)
        moved.device = device
        return moved


class TrainingRows:
    """Training and validation rows, handed to a net in one piece.

    Parameters
    ----------
    train : Rows, RowStream or array-like
        Rows to train on.

    valid : Rows, RowStream, array-like or None, default=None
        Rows to evaluate after each epoch.
    """

    def __init__(self, train: Any, valid: Any = None) -> None:
        self.train = train
        self.valid = valid

    def __len__(self) -> int:
        return len(self.train)


def _resident(dataset: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Tensors behind a dataset that is held in memory."""
    if isinstance(dataset, Rows):
        return dataset.X, dataset.weight
    if isinstance(dataset, Subset):
        X, weight = _resident(dataset.dataset)
        index = torch.as_tensor(np.asarray(dataset.indices), device=X.device)
        return X[index], None if weight is None else weight[index]
    if hasattr(dataset, "X"):
        return _checked(dataset.X, getattr(dataset, "y", None))
    raise TypeError(
        f"TensorBatches needs Rows or a RowStream, got {type(dataset).__name__}; wrap the table in "
        "Rows, or set iterator_train and iterator_valid to torch.utils.data.DataLoader."
    )


class TensorBatches:
    """Mini-batches cut from one tensor or from a stream of chunks.

    Yields pairs ``(X, weight)`` where ``weight`` is None for unweighted rows. A batch size above
    the number of rows is lowered to it, so a table always gives a batch.

    Parameters
    ----------
    dataset : Rows, RowStream, Subset of Rows, or object with arrays ``X`` and ``y``
        The rows.

    batch_size : int, default=1
        Rows per batch; -1 takes all rows at once.

    shuffle : bool, default=False
        New order in each pass: over all rows of a table, within each chunk of a stream.

    drop_last : bool, default=False
        Leave out the last batch when it is incomplete.

    drop_single : bool, default=False
        Leave out the last batch when it is a single row, which batch normalisation cannot take;
        raises a batch size of 1 to 2.

    generator : torch.Generator or None, default=None
        Source of the order; None is torch's default generator.

    gather_bytes : int, default=256 MiB
        Tables up to this size are put in order once a pass, larger ones batch by batch. The
        batches are the same.

    Examples
    --------
    >>> import numpy as np
    >>> batches = TensorBatches(Rows(np.zeros((103, 4))), batch_size=17, drop_single=True)
    >>> len(batches)
    6
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        drop_single: bool = False,
        generator: Any = None,
        gather_bytes: int = 256 * 2**20,
    ) -> None:
        if batch_size != -1 and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 (-1: all rows), got {batch_size}.")
        self.dataset = dataset
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.drop_single = drop_single
        self.generator = generator
        self.gather_bytes = gather_bytes
        self._streams = isinstance(dataset, RowStream)
        if self._streams:
            size = len(dataset) if batch_size == -1 else batch_size
        else:
            self._X, self._weight = _resident(dataset)
            n_rows = len(self._X)
            size = n_rows if batch_size == -1 else min(batch_size, n_rows)
        self.batch_size = max(2, size) if drop_single else size

    def _n_used(self, n_rows: int) -> int:
        rest = n_rows % self.batch_size
        dropped = self.drop_last or (self.drop_single and rest == 1)
        return n_rows - rest if dropped and rest < n_rows else n_rows

    def __len__(self) -> int:
        n_rows = len(self.dataset) if self._streams else len(self._X)
        return -(-self._n_used(n_rows) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        return self._from_stream() if self._streams else self._from_table()

    def _order(self, n_rows: int, device: Any) -> torch.Tensor:
        return torch.randperm(n_rows, generator=self.generator, device=device)

    def _from_table(self):
        X, weight, size = self._X, self._weight, self.batch_size
        n_used = self._n_used(len(X))
        if self.shuffle:
            order = self._order(len(X), X.device)[:n_used]
            if X.nbytes > self.gather_bytes:
                for index in order.split(size):
                    part = None if weight is None else weight.index_select(0, index)
                    yield X.index_select(0, index), part
                return
            X = X.index_select(0, order)
            weight = None if weight is None else weight.index_select(0, order)
        elif n_used < len(X):
            X = X[:n_used]
            weight = None if weight is None else weight[:n_used]
        if weight is None:
            for part in X.split(size):
                yield part, None
        else:
            yield from zip(X.split(size), weight.split(size), strict=True)

    def _from_stream(self):
        size, rest, any_batch = self.batch_size, None, False
        for X, weight in self.dataset.iter_chunks():
            n_rows = len(X)
            order = self._order(n_rows, X.device) if self.shuffle else None
            start = 0
            while start < n_rows:
                stop = min(n_rows, start + size - (0 if rest is None else len(rest[0])))
                batch = _take(X, weight, order, start, stop)
                start = stop
                if rest is not None:
                    batch, rest = _join(rest, batch), None
                if len(batch[0]) < size:
                    rest = batch
                else:
                    any_batch = True
                    yield batch
            if rest is not None and order is None:
                rest = (rest[0].clone(), rest[1] if rest[1] is None else rest[1].clone())
            del X, weight, order, batch
        if rest is None and not any_batch:
            raise ValueError(
                "The RowStream gave no rows; pass a list of chunks or a function without "
                "arguments that returns a fresh iterator."
            )
        if rest is not None:
            dropped = self.drop_last or (self.drop_single and len(rest[0]) == 1)
            if not (dropped and any_batch):
                yield rest


def _take(X, weight, order, start, stop):
    if order is None:
        return X[start:stop], None if weight is None else weight[start:stop]
    index = order[start:stop]
    return X.index_select(0, index), None if weight is None else weight.index_select(0, index)


def _join(first, second):
    X = torch.cat([first[0], second[0]])
    if first[1] is None and second[1] is None:
        return X, None
    weights = [torch.ones(len(x), device=x.device) if w is None else w for x, w in (first, second)]
    return X, torch.cat(weights)
