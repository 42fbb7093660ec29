"""Best weights, the bridge to scikit-learn, and the check of callbacks."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler

from synth_estimators._compat import CallbackSupportMixin, with_callbacks
from synth_estimators._engine import (
    BestWeights,
    EpochBridge,
    EpochEngine,
    Rows,
    StopTraining,
    TrainingRows,
    check_callbacks,
)
from synth_estimators._random import torch_rng


class Linear(torch.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = torch.nn.Linear(width, width)
        self.norm = torch.nn.BatchNorm1d(width)

    def forward(self, X):
        return self.norm(self.layer(X))

    def objective(self, output, X):
        return (output - X).square().sum(dim=1)


class Losses(Callback):
    """Replace the validation loss by given values and remember the weights."""

    def __init__(self, values):
        self.values = values

    def initialize(self):
        self.states = []
        return self

    def on_epoch_end(self, net, **kwargs):
        epoch = net.history[-1, "epoch"]
        net.history.record("valid_loss", self.values[epoch - 1])
        self.states.append(copy.deepcopy(net.module_.state_dict()))


def trained(losses, epochs=None, **params):
    data = TrainingRows(Rows(np.random.default_rng(0).normal(size=(40, 3))))
    script, best = Losses(losses), BestWeights(**params)
    with torch_rng(0):
        net = EpochEngine(Linear, batch_size=8, lr=0.1, callbacks=[script, best]).initialize()
        net.partial_fit(data, epochs=epochs or len(losses))
    return net, script, best


def assert_state(net, state):
    current = net.module_.state_dict()
    assert all(torch.equal(current[name], state[name]) for name in state)


def test_best_weights_and_buffers_are_restored():
    net, script, best = trained([3.0, 1.0, 2.0, 1.5])
    assert best.best_epoch_ == 2
    assert best.best_loss_ == 1.0
    assert_state(net, script.states[1])
    assert not torch.equal(
        script.states[1]["norm.running_mean"], script.states[3]["norm.running_mean"]
    )


def test_last_epoch_may_be_the_best():
    net, script, best = trained([3.0, 2.0, 1.0])
    assert best.best_epoch_ == 3
    assert_state(net, script.states[2])


def test_weights_stay_without_restore():
    net, script, best = trained([3.0, 1.0, 2.0], restore=False)
    assert best.best_epoch_ == 2
    assert_state(net, script.states[2])


def test_training_stops_after_patience():
    net, _, best = trained([3.0, 1.0, 2.0, 2.0, 0.5, 0.1], patience=2)
    assert len(net.history) == 4
    assert best.best_epoch_ == 2
    assert net.interrupted_ is False


def test_improvements_up_to_tol_do_not_renew_patience_but_are_kept():
    net, _, best = trained([1.0, 0.95, 0.92, 0.91, 0.0], patience=3, tol=0.1)
    assert len(net.history) == 4
    assert best.best_epoch_ == 4


def test_small_improvements_add_up():
    net, _, _ = trained([1.0, 0.94, 0.88, 0.82, 0.76, 0.70], patience=2, tol=0.1)
    assert len(net.history) == 6


def test_ctrl_c_within_an_own_callback_is_no_wish_to_stop(monkeypatch):
    """Ours ask for a stop in another way; those of others end training without an error."""

    def broken_off(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Losses, "on_epoch_end", broken_off)
    assert trained([1.0, 1.0])[0].interrupted_ is False
    monkeypatch.undo()
    monkeypatch.setattr(BestWeights, "_state", broken_off)
    assert trained([1.0, 1.0])[0].interrupted_ is True


def test_losses_that_are_not_numbers_never_win():
    _, _, best = trained([2.0, float("nan"), 3.0])
    assert best.best_epoch_ == 1


def test_patience_starts_again_with_each_training():
    net, _, best = trained([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], epochs=2, patience=2)
    assert len(net.history) == 2
    net.partial_fit(Rows(np.ones((8, 3), dtype=np.float32)), epochs=2)
    assert len(net.history) == 4
    assert best.best_epoch_ == 3


def test_train_loss_can_be_monitored_without_validation():
    data = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    net = EpochEngine(Linear, callbacks=[BestWeights(monitor="train_loss")])
    net.initialize().partial_fit(data, epochs=3)
    assert dict(net.callbacks_)["BestWeights"].best_epoch_ in (1, 2, 3)


def test_no_copies_are_held_after_training_nor_in_pickles():
    _, _, best = trained([3.0, 1.0, 2.0])
    assert best.kept_ is None
    best.kept_ = [torch.zeros(100_000)]
    assert len(pickle.dumps(best)) < 1000
    assert copy.deepcopy(best).kept_ is None


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping(), ("stop", EarlyStopping()), EarlyStopping, BestWeights(), Checkpoint()],
)
def test_waiting_for_a_validation_loss_that_never_comes_is_refused(callback):
    with pytest.raises(ValueError, match="but validation_fraction is None; set validation_f"):
        check_callbacks([callback], validation=None)
    check_callbacks([callback], validation=0.2)


def test_message_about_early_stopping():
    message = (
        r"^EarlyStopping monitors 'valid_loss' but validation_fraction is None; set "
        r"validation_fraction=0\.2 or monitor='train_loss'\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_callbacks([EarlyStopping()], validation=False)


@pytest.mark.parametrize(
    "callbacks",
    [
        None,
        [],
        "disable",
        [EarlyStopping(monitor="train_loss"), LRScheduler(), Losses([1.0])],
        [("schedule", LRScheduler), Checkpoint(monitor=None)],
    ],
)
def test_other_callbacks_need_no_validation(callbacks):
    check_callbacks(callbacks, validation=None)


class Recorder:
    """A scikit-learn callback that stops at a given epoch."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.log = []

    def setup(self, estimator, context):
        self.log.append("setup")

    def teardown(self, estimator, context):
        self.log.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.log.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        epochs = len(fitted_estimator.net_.history) if context.task_name == "epoch" else None
        self.log.append(("end", context.task_name, epochs))
        return epochs is not None and epochs == self.stop_at


class Owner(CallbackSupportMixin, BaseEstimator):
    def __init__(self, max_epochs=4, callbacks=None):
        self.max_epochs = max_epochs
        self.callbacks = callbacks

    @with_callbacks
    def fit(self, X, y=None):
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        net = EpochEngine(Linear, callbacks=copy.deepcopy(self.callbacks)).initialize()
        bridge = ("bridge", EpochBridge(self, context))
        net.callbacks_.append(bridge)
        try:
            net.partial_fit(X, epochs=self.max_epochs)
        finally:
            net.callbacks_.remove(bridge)
        self.net_ = net
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self


X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def epochs_of(log):
    return [entry for entry in log if isinstance(entry, tuple) and entry[1] == "epoch"]


def test_bridge_reports_every_epoch():
    recorder = Recorder()
    Owner().set_callbacks(recorder).fit(X)
    expected = [x for n in range(1, 5) for x in (("begin", "epoch"), ("end", "epoch", n))]
    assert epochs_of(recorder.log) == expected
    assert recorder.log[-1] == "teardown"


def test_bridge_stops_when_a_callback_asks():
    recorder = Recorder(stop_at=2)
    owner = Owner().set_callbacks(recorder).fit(X)
    assert len(owner.net_.history) == 2
    assert owner.net_.interrupted_ is False
    assert owner.net_.history[-1, "batches"] == []


class StopsFirst(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise StopTraining


def test_bridge_closes_an_epoch_that_another_callback_ended():
    recorder = Recorder()
    Owner(callbacks=[StopsFirst()]).set_callbacks(recorder).fit(X)
    assert epochs_of(recorder.log) == [("begin", "epoch"), ("end", "epoch", 1)]


def test_copies_of_the_bridge_do_nothing():
    context = object()
    bridge = pickle.loads(pickle.dumps(EpochBridge(Owner(), None)))
    assert bridge.owner is None
    bridge.on_epoch_begin(None)
    bridge.on_epoch_end(None)
    assert copy.deepcopy(EpochBridge(Owner(), context)).context is None


def test_bridge_can_pass_more_attributes():
    recorder = Recorder()

    class Wider(Owner):
        pass

    bridge = EpochBridge(Wider(), None, lambda net: {"net_": net, "extra_": 1})
    assert bridge._fitted("net") == {"net_": "net", "extra_": 1}
    assert recorder.log == []
