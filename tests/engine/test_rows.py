"""Rows, streams and mini-batches."""

import warnings
import weakref

import numpy as np
import pytest
import torch
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import DataLoader, Subset

from synth_estimators._engine import Rows, RowStream, TensorBatches, TrainingRows, chunk_rows


def table(n_rows, width=2):
    return np.arange(n_rows * width, dtype=np.float32).reshape(n_rows, width)


def first_column(batches):
    return torch.cat([X[:, 0] for X, _ in batches]).tolist()


def test_rows_share_a_writable_float32_array():
    X = table(3)
    rows = Rows(X)
    X[0, 0] = 7
    assert rows.X[0, 0] == 7


@pytest.mark.parametrize(
    "X", [table(3).astype(np.float64), np.asfortranarray(table(3)), table(3).astype(int).tolist()]
)
def test_rows_convert_everything_else_to_float32(X):
    rows = Rows(X)
    assert rows.X.dtype == torch.float32
    assert rows.X.is_contiguous()
    np.testing.assert_array_equal(rows.X.numpy(), table(3))


def test_read_only_rows_are_copied_without_a_warning():
    X = table(3)
    X.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = Rows(X)
    rows.X[0, 0] = 5
    assert X[0, 0] == 0


def test_rows_are_a_dataset_for_a_data_loader():
    batches = list(DataLoader(Rows(table(5), weight=[1, 2, 3, 4, 5]), batch_size=2))
    assert [len(X) for X, _ in batches] == [2, 2, 1]
    assert batches[1][1].tolist() == [3.0, 4.0]


def test_unweighted_rows_have_unit_weights_in_a_data_loader():
    _, weight = next(iter(DataLoader(Rows(table(3)), batch_size=3)))
    assert weight.tolist() == [1.0, 1.0, 1.0]


def test_rows_refuse_wrong_shapes():
    with pytest.raises(ValueError, match="two-dimensional table"):
        Rows(np.zeros(3))
    with pytest.raises(ValueError, match="weight has shape"):
        Rows(table(3), weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="at least one row"):
        Rows(np.zeros((0, 2)))


def test_rows_on_their_device_are_not_moved():
    rows = Rows(table(3))
    assert rows.to("cpu") is rows
    assert rows.to(None) is rows


def test_batches_in_order_hold_every_row_once():
    batches = TensorBatches(Rows(table(7)), batch_size=3)
    assert [len(X) for X, _ in batches] == [3, 3, 1]
    assert first_column(batches) == table(7)[:, 0].tolist()
    assert len(batches) == 3


def test_shuffled_batches_hold_every_row_once_and_differ_between_passes():
    generator = torch.Generator().manual_seed(0)
    batches = TensorBatches(Rows(table(50)), batch_size=8, shuffle=True, generator=generator)
    first, second = first_column(batches), first_column(batches)
    assert sorted(first) == sorted(second) == table(50)[:, 0].tolist()
    assert first != second


@pytest.mark.parametrize("weight", [None, np.arange(50)])
def test_gathering_per_batch_gives_the_same_batches_as_per_pass(weight):
    rows = Rows(table(50), weight=weight)

    def batches(gather_bytes):
        generator = torch.Generator().manual_seed(3)
        return list(
            TensorBatches(
                rows, batch_size=8, shuffle=True, generator=generator, gather_bytes=gather_bytes
            )
        )

    for (X, w), (X_ref, w_ref) in zip(batches(0), batches(10**9), strict=True):
        assert torch.equal(X, X_ref)
        assert (w is None and w_ref is None) or torch.equal(w, w_ref)


@pytest.mark.parametrize("shuffle", [False, True])
def test_weights_stay_with_their_rows(shuffle):
    rows = Rows(table(11), weight=table(11)[:, 0] + 1)
    for X, weight in TensorBatches(rows, batch_size=4, shuffle=shuffle):
        assert torch.equal(X[:, 0] + 1, weight)


@pytest.mark.parametrize(
    ("n_rows", "size", "options", "sizes"),
    [
        (7, 3, {}, [3, 3, 1]),
        (7, 3, {"drop_last": True}, [3, 3]),
        (7, 3, {"drop_single": True}, [3, 3]),
        (8, 3, {"drop_single": True}, [3, 3, 2]),
        (8, 3, {"drop_last": True}, [3, 3]),
        (3, 100, {"drop_last": True}, [3]),
        (3, 100, {"drop_single": True}, [3]),
        (5, -1, {}, [5]),
        (5, 1, {"drop_single": True}, [2, 2]),
        (4, 1, {}, [1, 1, 1, 1]),
        (1, 1, {"drop_single": True}, [1]),
        (1, 1, {"drop_last": True}, [1]),
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("gather_bytes", [0, 10**9])
def test_sizes_of_batches(n_rows, size, options, sizes, shuffle, gather_bytes):
    batches = TensorBatches(
        Rows(table(n_rows)), size, shuffle=shuffle, gather_bytes=gather_bytes, **options
    )
    assert [len(X) for X, _ in batches] == sizes
    assert len(batches) == len(sizes)


def test_batches_of_a_subset_and_of_a_skorch_dataset():
    rows = Rows(table(10), weight=np.arange(10))
    X, weight = next(iter(TensorBatches(Subset(rows, [1, 5]), batch_size=9)))
    assert X[:, 0].tolist() == [2.0, 10.0]
    assert weight.tolist() == [1.0, 5.0]
    X, weight = next(iter(TensorBatches(SkorchDataset(table(4)), batch_size=9)))
    assert len(X) == 4
    assert weight is None


def test_batches_refuse_other_datasets_and_sizes():
    with pytest.raises(TypeError, match="wrap the table in Rows"):
        TensorBatches([1, 2, 3])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        TensorBatches(Rows(table(3)), batch_size=0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_stream_carries_remainders_into_the_next_chunk(shuffle):
    chunks = [table(5), table(1) + 100, table(7) + 200]
    batches = TensorBatches(RowStream(chunks, n_rows=13), batch_size=4, shuffle=shuffle)
    for _ in range(2):  # two epochs
        parts = list(batches)
        assert [len(X) for X, _ in parts] == [4, 4, 4, 1]
        expected = np.concatenate(chunks)[:, 0]
        assert sorted(first_column(parts)) == expected.tolist()
    assert len(batches) == 4


def test_stream_is_shuffled_inside_a_chunk_only():
    chunks = [table(20), table(20) + 1000]
    generator = torch.Generator().manual_seed(0)
    batches = TensorBatches(RowStream(chunks), batch_size=10, shuffle=True, generator=generator)
    column = first_column(batches)
    assert max(column[:20]) < 1000 <= min(column[20:])
    assert column != np.concatenate(chunks)[:, 0].tolist()


@pytest.mark.parametrize(
    ("options", "sizes"),
    [({}, [4, 4, 1]), ({"drop_last": True}, [4, 4]), ({"drop_single": True}, [4, 4])],
)
def test_stream_drops_the_last_batch_when_asked(options, sizes):
    stream = RowStream([table(6), table(3)])
    assert [len(X) for X, _ in TensorBatches(stream, batch_size=4, **options)] == sizes


def test_stream_smaller_than_a_batch_still_gives_one():
    batches = TensorBatches(RowStream([table(3)]), batch_size=10, drop_last=True)
    assert [len(X) for X, _ in batches] == [3]


def test_stream_takes_weights_and_fills_missing_ones_with_one():
    stream = RowStream([(table(3), [5, 6, 7]), table(2)])
    weights = torch.cat([w for _, w in TensorBatches(stream, batch_size=4) if w is not None])
    assert weights.tolist() == [5.0, 6.0, 7.0, 1.0]


def test_stream_of_a_function_is_read_again_in_each_epoch():
    calls = []

    def source():
        calls.append(1)
        yield table(3).astype(np.float64)

    batches = TensorBatches(RowStream(source), batch_size=3)
    assert [X.dtype for X, _ in batches] == [torch.float32]
    assert len(list(batches)) == 1
    assert len(calls) == 2


def test_stream_holds_one_chunk_at_a_time():
    alive = []

    class Chunk(np.ndarray):
        pass

    def source():
        for _ in range(4):
            chunk = table(8).view(Chunk)
            alive.append(weakref.ref(chunk))
            yield chunk
            del chunk
            assert sum(ref() is not None for ref in alive) == 0

    batches = TensorBatches(RowStream(source), batch_size=5, shuffle=True)
    assert sum(len(X) for X, _ in batches) == 32


def test_stream_refuses_iterators_empty_streams_and_uneven_chunks():
    with pytest.raises(TypeError, match="empty after one epoch"):
        RowStream(iter([table(3)]))
    with pytest.raises(TypeError, match="must be an iterable or a function"):
        RowStream(3)
    with pytest.raises(ValueError, match="gave no rows"):
        list(TensorBatches(RowStream([]), batch_size=2))
    with pytest.raises(ValueError, match="Chunk 1 has 3 columns but earlier chunks have 2"):
        list(TensorBatches(RowStream([table(3), table(3, 3)]), batch_size=2))
    with pytest.raises(TypeError, match="pass n_rows"):
        len(RowStream([table(3)]))


def test_training_rows_hold_both_parts():
    both = TrainingRows(Rows(table(4)), Rows(table(2)))
    assert len(both) == 4
    assert len(both.valid) == 2


def test_chunks_stay_in_cache_within_bounds():
    assert chunk_rows(1) == 4096
    assert chunk_rows(1000) == 1048
    assert chunk_rows(10**6) == 256
