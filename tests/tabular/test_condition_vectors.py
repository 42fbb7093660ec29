"""Tests of the draws of conditions."""

import numpy as np
import pandas as pd
import pytest
import torch

from synth_estimators.preprocessing import TabularEncoder
from synth_estimators.tabular._condition_vectors import LevelFields, LevelRows, MaskedRows


@pytest.fixture
def seeded():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        yield


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    n_rows = 1_000
    number = rng.standard_normal(n_rows)
    number[rng.random(n_rows) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "many": rng.choice([f"level {k}" for k in range(30)], n_rows),
            "sex": rng.choice(["f", "m"], n_rows, p=[0.99, 0.01]),
            "number": number,
            "color": rng.choice(["red", "green", "blue"], n_rows, p=[0.6, 0.3, 0.1]),
        }
    )


@pytest.fixture
def encoded(frame):
    encoder = TabularEncoder(binary_encoder_cutoff=20, random_state=0).fit(frame)
    return encoder, encoder._codes(frame)


@pytest.fixture
def fields(encoded):
    encoder, codes = encoded
    return LevelFields(encoder.layout_, codes)


def test_levels_and_flags_take_part_but_neither_modes_nor_binary_codes(encoded, fields):
    spans = encoded[0].layout_.coded_spans
    assert [spans[place].name for place in fields.places] == ["sex", "number.is_null", "color"]
    assert fields.columns.tolist() == [1, 2, 3]
    assert fields.n_conditions == 2 + 2 + 3


def test_every_level_of_every_field_has_its_entry(frame, encoded, fields):
    encoder, _ = encoded
    entries = {}
    for column, values in {"sex": ["f", "m"], "color": ["red", "green", "blue"]}.items():
        place = list(frame).index(column)
        for value in values:
            some = frame[frame[column] == value].head(1)
            (entry,) = fields.wanted(encoder._codes(some), [place])
            entries[column, value] = entry
            assert fields.counts[entry] == (frame[column] == value).sum()
    assert len(set(entries.values())) == 5
    missing = frame[frame["number"].isna()].head(1)
    assert (
        fields.counts[fields.wanted(encoder._codes(missing), [2])[0]]
        == frame["number"].isna().sum()
    )


def test_rarest_of_several_levels_steers(frame, encoded, fields):
    some = frame[(frame["sex"] == "m") & (frame["color"] == "red")].head(1)
    (entry,) = fields.wanted(encoded[0]._codes(some), [0, 1, 3])
    assert fields.counts[entry] == (frame["sex"] == "m").sum()


def test_sampling_draws_levels_by_their_true_shares(fields):
    n_samples = 60_000
    drawn = np.bincount(fields.draw(n_samples, np.random.default_rng(1)), minlength=7)
    expected = fields.weights(log_frequency=False) * n_samples / 3
    # 99.99 % point of the chi-square distribution with six degrees of freedom.
    assert ((drawn - expected) ** 2 / expected).sum() < 27.9
    assert drawn[fields.starts[0] + 1] < 0.03 * n_samples / 3


@pytest.mark.parametrize("log_frequency", [True, False])
def test_training_draws_levels_by_log_frequency_or_frequency(
    encoded, fields, seeded, log_frequency
):
    rows = LevelRows(encoded[1], fields, log_frequency=log_frequency)
    drawn = np.concatenate([own.numpy() for *_, own in rows.draw(100, 500)])
    counts = np.log(fields.counts + 1.0) if log_frequency else fields.counts
    for start, stop in zip(fields.starts[:-1], fields.starts[1:], strict=True):
        shares = counts[start:stop] / counts[start:stop].sum()
        found = np.bincount(drawn, minlength=7)[start:stop]
        # A third of 50,000 draws: standard errors of at most 0.004.
        np.testing.assert_allclose(found / found.sum(), shares, atol=0.02)


@pytest.mark.parametrize("few_entries", [False, True])
def test_real_rows_have_the_level_they_were_drawn_for(
    encoded, fields, seeded, few_entries, monkeypatch
):
    if few_entries:
        monkeypatch.setattr("synth_estimators.tabular._condition_vectors._MOST_ENTRIES", 7 * 50)
    encoder, codes = encoded
    rows = LevelRows(codes, fields)
    assert (
        len(rows.sorted_rows)
        == (np.minimum(fields.counts, 50) if few_entries else fields.counts).sum()
    )
    first = encoder.layout_.n_scalars
    seen = set()
    for real, on_real, on_fake, _ in rows.draw(5, 400):
        assert sorted(on_real.tolist()) == sorted(on_fake.tolist())
        for row, entry in zip(real.numpy(), on_real.tolist(), strict=True):
            field = np.searchsorted(fields.starts, entry, side="right") - 1
            assert row[first + fields.places[field]] == entry - fields.starts[field]
            seen.add((entry, tuple(row)))
    levels = [entry for entry, _ in seen]
    assert levels.count(int(fields.counts.argmax())) > 30


def test_table_without_discrete_fields_gives_rows_without_conditions(seeded):
    frame = pd.DataFrame({"a": np.linspace(0.0, 1.0, 50), "b": np.linspace(3.0, 7.0, 50)})
    encoder = TabularEncoder(random_state=0).fit(frame)
    codes = encoder._codes(frame)
    fields = LevelFields(encoder.layout_, codes)
    assert fields.n_conditions == 0
    assert not fields.follows([0, 1])
    real, *conditions = next(iter(LevelRows(codes, fields).draw(1, 20)))
    assert real.shape == (20, 4)
    assert conditions == [None, None, None]


def test_epoch_has_a_step_for_each_full_batch(encoded, fields, seeded):
    rows = LevelRows(encoded[1], fields)
    assert len(list(rows.batches(300))) == 3
    assert len(list(rows.batches(300, 5))) == 15
    assert len(list(rows.batches(5_000))) == 1


def test_masks_name_columns_with_their_chance(encoded, seeded):
    chance, n_draws = 0.3, 40_000
    rows = MaskedRows(encoded[1], 4, chance, free_share=0.0)
    masks = torch.cat([wanted[1] for _, _, wanted, _ in rows.draw(80, 500)])
    error = (chance * (1 - chance) / n_draws) ** 0.5
    np.testing.assert_allclose(masks.mean(dim=0), chance, atol=4 * error)
    rows = MaskedRows(encoded[1], 4, 1.0, free_share=0.25)
    masks = torch.cat([own[1] for *_, own in rows.draw(80, 500)])
    assert set(masks.sum(dim=1).tolist()) == {0.0, 4.0}
    np.testing.assert_allclose(masks.mean(), 0.75, atol=0.01)


def test_real_rows_are_those_of_the_fakes_in_another_order(encoded, seeded):
    rows = MaskedRows(encoded[1], 4, 0.5)
    real, on_real, on_fake, own = next(iter(rows.draw(1, 200)))
    assert real is on_real[0]
    together = [torch.cat(part, dim=1).numpy() for part in (on_real, on_fake, own)]
    ordered = [part[np.lexsort(part.T)] for part in together]
    np.testing.assert_array_equal(ordered[0], ordered[1])
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(ordered[0], ordered[2])
