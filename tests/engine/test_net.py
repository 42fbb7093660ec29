"""The epoch loop beside skorch's own."""

import copy
import io
import pickle

import cloudpickle
import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
)
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader

from synth_estimators._engine import (
    BestWeights,
    EpochEngine,
    Rows,
    RowStream,
    StopTraining,
    TensorBatches,
    TrainingRows,
)
from synth_estimators._random import torch_rng


class Autoencoder(torch.nn.Module):
    def __init__(self, width=6, hidden=4, batch_norm=False):
        super().__init__()
        layers = [torch.nn.Linear(width, hidden), torch.nn.Dropout(0.2), torch.nn.ReLU()]
        if batch_norm:
            layers.insert(1, torch.nn.BatchNorm1d(hidden))
        self.stack = torch.nn.Sequential(*layers, torch.nn.Linear(hidden, width))

    def forward(self, X):
        return self.stack(X)

    def objective(self, output, X):
        return (output - X).square().sum(dim=1)


class ListensToBatches(Callback):
    def __init__(self):
        self.events = []

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.events.append((training, len(batch[0]), float(kwargs["loss"].detach())))


class StopsAt(Callback):
    def __init__(self, epoch, error=KeyboardInterrupt):
        self.epoch = epoch
        self.error = error

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1, "epoch"] == self.epoch:
            raise self.error


def rows(n_rows=90, width=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, width)).astype(np.float32)


def fitted(X, epochs=6, *, seed=0, **params):
    params = {"batch_size": 16, **params}
    with torch_rng(seed):
        net = EpochEngine(Autoencoder, **params).initialize()
        net.partial_fit(X, epochs=epochs)
    return net


def weights(net):
    return [tensor.clone() for tensor in net.module_.state_dict().values()]


def assert_bit_equal(net, other):
    assert all(torch.equal(a, b) for a, b in zip(weights(net), weights(other), strict=True))


@pytest.mark.parametrize("valid", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("params", [{}, {"clip_norm": 0.5}, {"module__batch_norm": True}])
def test_fast_loop_and_skorch_loop_give_bit_equal_parameters(valid, weighted, params):
    weight = np.random.default_rng(1).uniform(0.1, 2, size=97) if weighted else None
    data = TrainingRows(Rows(rows(97), weight), Rows(rows(20, seed=2)) if valid else None)
    fast = fitted(data, **params)
    listener = ListensToBatches()
    slow = fitted(data, callbacks=[listener], **params)
    assert_bit_equal(fast, slow)
    assert listener.events
    assert fast.history[-1, "batches"] == []
    assert len(slow.history[-1, "batches"]) > 0
    for name in ("train_loss", "valid_loss") if valid else ("train_loss",):
        np.testing.assert_allclose(fast.history[:, name], slow.history[:, name], rtol=1e-6)
        best = f"{name}_best"
        assert fast.history[:, best] == slow.history[:, best]
    assert fast.history[:, "train_batch_count"] == slow.history[:, "train_batch_count"]
    assert fast.history[-1].keys() >= {"epoch", "train_loss", "train_loss_best", "dur"}


def test_training_loss_is_the_mean_over_rows_not_over_batches():
    net = fitted(rows(50), epochs=1, lr=0.0, batch_size=16)
    # Dropout makes the loss random, so compare with skorch's record of the same batches.
    listener = ListensToBatches()
    slow = fitted(rows(50), epochs=1, lr=0.0, batch_size=16, callbacks=[listener])
    assert [size for _, size, _ in listener.events] == [16, 16, 16, 2]
    mean = np.average([x[2] for x in listener.events], weights=[x[1] for x in listener.events])
    assert net.history[-1, "train_loss"] == pytest.approx(mean, rel=1e-6)
    assert slow.history[-1, "train_loss"] == pytest.approx(mean, rel=1e-6)


def test_validation_loss_is_the_weighted_mean_over_all_held_out_rows():
    X, weight = rows(40, seed=3), np.random.default_rng(0).uniform(size=40)
    data = TrainingRows(rows(50), Rows(X, weight))
    net = fitted(data, epochs=2, iterator_valid__batch_size=7)
    with torch.inference_mode():
        module = net.module_.eval()
        losses = module.objective(module(torch.from_numpy(X)), torch.from_numpy(X)).numpy()
    assert net.history[-1, "valid_loss"] == pytest.approx(np.average(losses, weights=weight))
    assert net.history[-1, "valid_batch_count"] == 6


def test_validation_uses_large_chunks_of_its_own():
    net = fitted(TrainingRows(rows(50), rows(200)), epochs=1, batch_size=8)
    assert net.history[-1, "valid_batch_count"] == 1


def test_row_of_weight_zero_has_no_influence():
    X = rows(12)
    spoilt = X.copy()
    spoilt[5] = 1e3
    weight = np.ones(12)
    weight[5] = 0
    nets = [fitted(Rows(data, weight), epochs=3, batch_size=12) for data in (X, spoilt)]
    assert_bit_equal(*nets)


def test_batch_whose_weights_are_all_zero_has_loss_zero():
    net = fitted(Rows(rows(8), np.zeros(8)), epochs=1, batch_size=4)
    assert net.history[-1, "train_loss"] == 0


def test_plain_arrays_and_skorch_train_split_still_work():
    net = fitted(rows(60).astype(np.float64), train_split=ValidSplit(3), epochs=2)
    assert len(net.history[:, "valid_loss"]) == 2
    assert net.history[-1, "train_batch_count"] == 3  # 40 of 60 rows
    assert net.predict(rows(5)).shape == (5, 6)


def test_fit_runs_max_epochs_and_starts_again():
    net = EpochEngine(Autoencoder, max_epochs=3)
    net.fit(rows()).fit(rows())
    assert len(net.history) == 3


def test_warm_start_continues():
    net = EpochEngine(Autoencoder, max_epochs=3, warm_start=True)
    net.fit(rows()).fit(rows())
    assert net.history[:, "epoch"] == [1, 2, 3, 4, 5, 6]


def test_partial_fit_keeps_the_optimizer_state():
    with torch_rng(0):
        once = EpochEngine(Autoencoder).initialize().partial_fit(rows(), epochs=4)
    with torch_rng(0):
        twice = EpochEngine(Autoencoder).initialize()
        twice.partial_fit(rows(), epochs=1).partial_fit(rows(), epochs=3)
    assert_bit_equal(once, twice)
    assert once.history[:, "train_loss"] == twice.history[:, "train_loss"]
    assert once.history[:, "train_loss_best"] == twice.history[:, "train_loss_best"]


def test_initialisation_repeats_under_a_local_seed_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    assert_bit_equal(fitted(rows(), epochs=1, seed=3), fitted(rows(), epochs=1, seed=3))
    assert torch.equal(before, torch.get_rng_state())


def test_prediction_draws_no_random_numbers():
    net = fitted(rows(), epochs=1)
    before = torch.get_rng_state()
    net.predict(rows())
    assert torch.equal(before, torch.get_rng_state())


def test_new_lr_reaches_the_optimizer():
    net = fitted(rows(), epochs=1)
    net.set_params(lr=0.25)
    assert net.optimizer_.param_groups[0]["lr"] == 0.25
    net.partial_fit(rows(), epochs=1)
    assert net.optimizer_.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize(
    ("optimizer", "fused"),
    [
        (torch.optim.Adam, True),
        (torch.optim.AdamW, True),
        (torch.optim.SGD, True),
        (torch.optim.Adagrad, True),
        (torch.optim.RMSprop, None),
        (torch.optim.NAdam, None),
    ],
)
def test_optimizer_is_fused_where_torch_can(optimizer, fused):
    net = fitted(rows(), epochs=1, optimizer=optimizer)
    assert net.optimizer_.defaults.get("fused") is fused
    assert "optimizer__fused" not in net.get_params()


def test_user_decides_about_the_fused_step():
    net = fitted(rows(), epochs=1, optimizer__fused=False)
    assert net.optimizer_.defaults["fused"] is False
    net = fitted(rows(), epochs=1, optimizer__foreach=True)
    assert not net.optimizer_.defaults["fused"]
    assert net.optimizer_.defaults["foreach"] is True


class RefusesFused(torch.optim.SGD):
    def __init__(self, params, fused=False, **kwargs):
        if fused:
            raise RuntimeError("no fused step here")
        super().__init__(params, **kwargs)


def test_fused_step_is_given_up_where_torch_refuses_it(monkeypatch):
    monkeypatch.setattr("synth_estimators._engine._net._WITH_FUSED_STEP", (RefusesFused,))
    net = fitted(rows(), epochs=1, optimizer=RefusesFused, optimizer__momentum=0.5)
    assert net.optimizer_.defaults["momentum"] == 0.5
    with pytest.raises(RuntimeError, match="no fused step"):
        fitted(rows(), epochs=1, optimizer=RefusesFused, optimizer__fused=True)


def test_parameter_groups_keep_working():
    net = fitted(rows(), epochs=1, optimizer__param_groups=[("stack.0*", {"lr": 0.0})])
    assert [group["lr"] for group in net.optimizer_.param_groups] == [0.0, 1e-3]


def test_lbfgs_gets_its_closure():
    net = fitted(rows(), epochs=3, optimizer=torch.optim.LBFGS, lr=1e-3, batch_size=-1)
    state = next(iter(net.optimizer_.state.values()))
    assert state["func_evals"] > 3


def test_clipping_bounds_the_gradient():
    net = fitted(rows() * 100, epochs=1, clip_norm=0.01)
    norm = torch.cat([p.grad.ravel() for p in net.module_.parameters()]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


def events_wanted(*callbacks, **params):
    net = EpochEngine(Autoencoder, callbacks=list(callbacks), **params).initialize()
    return net._batch_events_wanted()


def score(net, X, y=None):
    return float(np.mean((net.predict(X) - getattr(X, "X", X).numpy()) ** 2))


@pytest.mark.parametrize(
    ("callback", "wanted"),
    [
        (EarlyStopping(), False),
        (BestWeights(), False),
        (Checkpoint(), False),
        (Checkpoint(f_params="{last_batch[train_loss]}.pt"), True),
        (PassthroughScoring("train_loss", on_train=True), False),
        (PassthroughScoring("train_kl", on_train=True), True),
        (LRScheduler("StepLR", step_size=2), False),
        (LRScheduler("StepLR", step_size=2, step_every="batch"), True),
        (EpochScoring(score, name="a", use_caching=False), False),
        (EpochScoring(score, name="a"), True),
        (BatchScoring(score, name="a"), True),
        (GradientNormClipping(1.0), True),
        (ProgressBar(), True),
        (ListensToBatches(), True),
    ],
    ids=lambda value: value if isinstance(value, bool) else type(value).__name__,
)
def test_only_callbacks_that_listen_to_batches_leave_the_fast_loop(callback, wanted):
    assert events_wanted(callback) is wanted


def test_net_wide_caching_switch_is_heard():
    assert events_wanted(EpochScoring(score, name="a"), use_caching=False) is False
    assert events_wanted(EpochScoring(score, name="a", use_caching=False), use_caching=True) is True


def test_net_that_overrides_batch_events_gets_them():
    class Counts(EpochEngine):
        count_ = 0

        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            self.count_ += 1

    net = Counts(Autoencoder, batch_size=30).initialize().partial_fit(rows(90), epochs=1)
    assert net.count_ == 3


def test_early_stopping_and_schedules_work_on_the_fast_loop():
    callbacks = [
        LRScheduler("StepLR", step_size=1, gamma=0.5),
        EarlyStopping(monitor="train_loss", patience=2, threshold=1e9, threshold_mode="abs"),
    ]
    net = fitted(rows(), epochs=20, callbacks=callbacks)
    assert len(net.history) < 20
    assert net.history[-1, "batches"] == []
    assert net.history[1, "event_lr"] == pytest.approx(5e-4)
    assert net.interrupted_ is False


def test_epoch_scoring_without_cache_sees_the_rows():
    scoring = EpochScoring(score, name="mse", use_caching=False)
    net = fitted(TrainingRows(rows(), rows(20)), epochs=2, callbacks=[scoring])
    assert net.history[-1, "mse"] == pytest.approx(score(net, Rows(rows(20))))


def test_callback_may_leave_the_module_in_evaluation_mode():
    scoring = EpochScoring(score, name="mse", use_caching=False, on_train=True)
    assert_bit_equal(fitted(rows(), callbacks=[scoring]), fitted(rows()))


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopTraining])
def test_stop_of_a_callback_is_no_interruption(error):
    net = fitted(rows(), callbacks=[StopsAt(2, error)])
    assert len(net.history) == 2
    assert net.interrupted_ is False


def test_ctrl_c_is_told_apart():
    class Interrupted(Autoencoder):
        calls = 0

        def forward(self, X):
            Interrupted.calls += 1
            if Interrupted.calls == 9:
                raise KeyboardInterrupt
            return super().forward(X)

    with torch_rng(0):
        net = EpochEngine(Interrupted, batch_size=30).initialize().partial_fit(rows(90), epochs=9)
    assert net.interrupted_ is True
    assert len(net.history) == 3
    net.partial_fit(rows(90), epochs=1)
    assert net.interrupted_ is False


@pytest.mark.parametrize("callbacks", [[], [ListensToBatches()]])
def test_divergence_is_an_error_that_names_the_owner(callbacks):
    X = rows()
    X[3, 2] = np.inf
    net = EpochEngine(Autoencoder, owner="VAE", lr=0.5, callbacks=callbacks).initialize()
    message = r"VAE: training loss became (nan|inf) in epoch 1; lower lr \(now 0\.5\) or scale X\."
    with pytest.raises(FloatingPointError, match=message):
        net.partial_fit(X, epochs=3)
    assert len(net.history) == 1


def test_one_host_synchronisation_an_epoch(monkeypatch):
    reads = []

    def counted(method):
        def read(tensor, *args):
            reads.append(1)
            return method(tensor, *args)

        return read

    for name in ("__float__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, counted(getattr(torch.Tensor, name)))
    fitted(rows(90), epochs=3, optimizer=torch.optim.SGD)
    assert len(reads) == 3


@pytest.mark.parametrize("batch_size", [17, 34])
def test_no_single_row_reaches_batch_normalisation(batch_size):
    net = fitted(rows(103), batch_size=batch_size, module__batch_norm=True, epochs=2)
    assert net.history[-1, "train_batch_count"] == 102 // batch_size


def test_single_row_is_kept_without_batch_normalisation():
    net = fitted(rows(103), batch_size=17, epochs=1)
    assert net.history[-1, "train_batch_count"] == 7


def test_drop_last_never_leaves_nothing():
    net = fitted(rows(10), batch_size=64, epochs=1, iterator_train__drop_last=True)
    assert net.history[-1, "train_batch_count"] == 1


def test_stream_trains_like_one_table():
    X = rows(96)
    chunks = [X[:40], X[40:41], X[41:]]
    params = {"iterator_train__shuffle": False, "epochs": 3}
    stream = fitted(TrainingRows(RowStream(chunks), RowStream([X[:9]])), **params)
    table = fitted(TrainingRows(X, X[:9]), **params)
    assert_bit_equal(stream, table)
    np.testing.assert_allclose(stream.history[:, "valid_loss"], table.history[:, "valid_loss"])


def test_data_loader_can_replace_the_batches():
    params = {"iterator_train__shuffle": False, "optimizer": torch.optim.SGD}
    loader = fitted(rows(), iterator_train=DataLoader, iterator_valid=DataLoader, **params)
    own = fitted(rows(), iterator_train=TensorBatches, **params)
    assert loader.history[-1, "train_loss"] == pytest.approx(own.history[-1, "train_loss"], rel=0.2)
    assert loader.history[-1, "train_batch_count"] == own.history[-1, "train_batch_count"]


def test_table_of_losses_is_printed_only_when_verbose(capsys):
    fitted(rows(), epochs=1)
    assert capsys.readouterr().out == ""
    net = EpochEngine(Autoencoder)
    assert not any(name.startswith("callbacks__print_log") for name in net.get_params())
    net = fitted(rows(), epochs=1, verbose=1)
    assert any(isinstance(callback, PrintLog) for _, callback in net.callbacks_)
    assert "train_loss" in capsys.readouterr().out


def test_without_callbacks_the_loss_is_recorded_all_the_same():
    net = fitted(rows(), epochs=2, callbacks="disable")
    assert len(net.history[:, "train_loss"]) == 2


def test_clone_keeps_the_parameters():
    net = EpochEngine(Autoencoder, module__hidden=3, clip_norm=2.0, owner="VAE", lr=0.3)
    copied = clone(net)
    for name in ("module__hidden", "clip_norm", "owner", "lr", "iterator_train__shuffle"):
        assert copied.get_params()[name] == net.get_params()[name]
    assert clone(net.initialize()).initialize().module_.stack[0].out_features == 3


def test_misspelt_parameter_is_named():
    with pytest.raises(ValueError, match="optimizr__weight_decay"):
        EpochEngine(Autoencoder, optimizr__weight_decay=1).initialize()


def through_joblib(net):
    buffer = io.BytesIO()
    joblib.dump(net, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize(
    "copied",
    [
        lambda net: pickle.loads(pickle.dumps(net)),
        lambda net: cloudpickle.loads(cloudpickle.dumps(net)),
        copy.deepcopy,
        through_joblib,
    ],
    ids=["pickle", "cloudpickle", "deepcopy", "joblib"],
)
def test_copies_continue_exactly_like_the_original(copied):
    net = fitted(TrainingRows(rows(), rows(20)), callbacks=[BestWeights(patience=50)])
    twin = copied(net)
    assert_bit_equal(net, twin)
    for each in (net, twin):
        with torch_rng(9):
            each.partial_fit(TrainingRows(rows(), rows(20)), epochs=2)
    assert_bit_equal(net, twin)
    assert net.history[:, "train_loss"] == twin.history[:, "train_loss"]


def test_pickle_holds_weights_and_moments_only():
    net = EpochEngine(Autoencoder, module__hidden=2000, callbacks=[BestWeights()])
    net.initialize().partial_fit(TrainingRows(rows(), rows(20)), epochs=2)
    n_parameters = sum(p.numel() for p in net.module_.parameters())
    assert len(pickle.dumps(net)) < 12 * n_parameters + 30_000


def test_parameters_travel_through_files(tmp_path):
    net = fitted(rows())
    net.save_params(f_params=tmp_path / "w.pt", f_optimizer=tmp_path / "o.pt")
    other = fitted(rows(), epochs=1, seed=5)
    other.load_params(f_params=tmp_path / "w.pt", f_optimizer=tmp_path / "o.pt")
    assert_bit_equal(net, other)


def test_checkpoint_saves_and_restores(tmp_path):
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=tmp_path, load_best=True)
    net = fitted(rows(), callbacks=[checkpoint])
    assert {path.name for path in tmp_path.iterdir()} >= {"params.pt", "optimizer.pt"}
    assert net.history[-1, "batches"] == []
    net.partial_fit(rows(), epochs=1)  # the history now comes from the file
    assert net.history[-1, "batches"] == []
    with pytest.raises(IndexError):
        net.history[99, "batches", -1]


def test_metadata_routing_does_not_get_in_the_way():
    with sklearn.config_context(enable_metadata_routing=True):
        net = fitted(TrainingRows(rows(), rows(20)), epochs=2)
    assert len(net.history) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_rows_and_training_live_on_the_gpu():
    data = TrainingRows(Rows(rows(), np.ones(90)), rows(20))
    with torch_rng(0, "cuda"):
        net = EpochEngine(Autoencoder, device="cuda", batch_size=16).initialize()
        net.partial_fit(data, epochs=3)
    assert next(net.module_.parameters()).is_cuda
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
    assert np.isfinite(net.history[-1, "valid_loss"])
    assert net.predict(rows(5)).shape == (5, 6)
    with torch_rng(0, "cuda"):
        slow = EpochEngine(
            Autoencoder, device="cuda", batch_size=16, callbacks=[ListensToBatches()]
        ).initialize()
        slow.partial_fit(data, epochs=3)
    assert_bit_equal(net, slow)
