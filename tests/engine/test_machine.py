"""The matmul switch and the limit on threads."""

import subprocess
import sys
import threading

import pytest
import torch
from joblib import Parallel, delayed

from synth_estimators._engine import _machine, fast_matmul, limit_threads_in_workers


@pytest.fixture(autouse=True)
def highest_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def probe(monkeypatch):
    answer = {"value": True}
    monkeypatch.setattr(_machine, "_probe", lambda: answer["value"])
    return answer


def precision():
    return torch.get_float32_matmul_precision()


def test_large_steps_go_to_onednn_and_the_setting_returns(probe):
    with fast_matmul(1e9) as matmul:
        assert matmul == "onednn"
        assert precision() == "medium"
    assert precision() == "highest"


@pytest.mark.parametrize(
    ("flop", "options"),
    [(1e8, {}), (1e9, {"mode": "default"}), (1e9, {"device": "cuda"})],
    ids=["small step", "switched off", "other device"],
)
def test_nothing_is_switched(probe, flop, options):
    with fast_matmul(flop, **options) as matmul:
        assert matmul == "default"
        assert precision() == "highest"


def test_nothing_is_switched_where_the_probe_says_no(probe):
    probe["value"] = False
    with fast_matmul(1e9) as matmul:
        assert matmul == "default"


def test_choice_of_the_user_stands(probe):
    torch.set_float32_matmul_precision("high")
    with fast_matmul(1e9) as matmul:
        assert matmul == "default"
        assert precision() == "high"
    assert precision() == "high"


def test_setting_returns_after_an_error(probe):
    with pytest.raises(RuntimeError, match="stop"), fast_matmul(1e9):
        raise RuntimeError("stop")
    assert precision() == "highest"


def test_unknown_mode_is_refused():
    message = "matmul must be 'auto' or 'default', got 'fast'"
    with pytest.raises(ValueError, match=message), fast_matmul(1e9, "fast"):
        pass


def test_last_of_several_threads_restores(probe):
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = {}

    def first():
        with fast_matmul(1e9) as seen["first"]:
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with fast_matmul(1e9) as seen["second"]:
            second_in.set()
            first_out.wait(10)
            seen["while second works"] = precision()

    threads = [threading.Thread(target=task) for task in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == {"first": "onednn", "second": "onednn", "while second works": "medium"}
    assert precision() == "highest"


def test_blocks_may_nest(probe):
    with fast_matmul(1e9), fast_matmul(1e9) as inner:
        assert inner == "onednn"
    assert precision() == "highest"


def test_probe_is_asked_once_and_leaves_no_trace(monkeypatch):
    calls = []
    monkeypatch.setattr(_machine, "_probe_answer", None)
    measure = _machine._measure
    monkeypatch.setattr(_machine, "_measure", lambda: calls.append(1) or measure())
    state = torch.get_rng_state()
    assert _machine._probe() == _machine._probe()
    assert calls == [1]
    assert precision() == "highest"
    assert torch.equal(state, torch.get_rng_state())


def test_probe_refuses_products_that_are_rounded(monkeypatch):
    seconds = iter([3.0, 1.0] * 9)
    monkeypatch.setattr(_machine, "_time_of", lambda A, B: next(seconds))
    monkeypatch.setattr(_machine, "_LARGEST_ERROR", 1e-3)
    assert _machine._measure() is True
    seconds = iter([3.0, 1.0] * 9)
    monkeypatch.setattr(_machine, "_time_of", lambda A, B: next(seconds))
    monkeypatch.setattr(_machine, "_LARGEST_ERROR", 1e-12)
    assert _machine._measure() is False


@pytest.mark.parametrize(("slower", "answer"), [(1.2, False), (1.4, True)])
def test_probe_wants_a_gain_of_a_third(monkeypatch, slower, answer):
    seconds = iter([slower, 1.0] * 9)
    monkeypatch.setattr(_machine, "_time_of", lambda A, B: next(seconds))
    assert _machine._measure() is answer


def test_threads_of_the_main_process_stay():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with limit_threads_in_workers():
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_of_a_worker_are_limited_and_restored(monkeypatch):
    monkeypatch.setattr(_machine, "_in_worker_process", lambda: True)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with limit_threads_in_workers():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="stop"), limit_threads_in_workers():
            raise RuntimeError("stop")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


_IN_A_WORKER = """
from joblib import Parallel, delayed

def threads():
    import torch
    from synth_estimators._engine import limit_threads_in_workers
    torch.set_num_threads(3)
    with limit_threads_in_workers():
        inside = torch.get_num_threads()
    return inside, torch.get_num_threads()

if __name__ == "__main__":
    print(Parallel(2)(delayed(threads)() for _ in range(1)), threads())
"""


@pytest.mark.slow
def test_loky_workers_are_recognised(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_IN_A_WORKER)
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=300
    )
    assert result.stdout.strip() == "[(1, 3)] (3, 3)"


def in_worker(_):
    return _machine._in_worker_process()


def test_threads_of_joblib_are_no_worker_processes():
    assert Parallel(2, backend="threading")(delayed(in_worker)(i) for i in range(2)) == [False] * 2
