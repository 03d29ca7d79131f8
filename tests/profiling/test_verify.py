"""The verification itself, with measurements that follow a known rule."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evospace.cost.latency_file import read_latency_table, table_to_json
from evospace.cost.latency_table import LatencyTable, TimedNetwork
from evospace.errors import DataError
from evospace.ops.pools import pool_names
from evospace.profiling import verify as module
from evospace.profiling.measure import doubts
from evospace.profiling.profile import reference_watch
from evospace.profiling.timing import Watch
from evospace.profiling.verify import verification_lines, verify
from evospace.space.architecture import Architecture
from tests.profiling.tables import OPS, TINY, made_table, timing


def saved(path: Path, table: LatencyTable) -> Path:
    path.write_text(json.dumps(table_to_json(table)))
    return path


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Networks take this many times what the table predicts, in turn."""
    factors = [1.0]

    class Watch:
        best = 50e-6

    def measured(table: LatencyTable, networks: Sequence[Architecture], *_: object) -> list[TimedNetwork]:
        turns = np.resize(factors, len(networks))
        pairs = zip(networks, turns, strict=True)
        return [TimedNetwork(architecture=a, timing=timing(round(float(f) * table.predict_ns(a)))) for a, f in pairs]

    monkeypatch.setattr(module, "reference_watch", lambda table, say: Watch())
    monkeypatch.setattr(module, "time_networks", measured)
    return factors


@pytest.mark.parametrize("factor", [1, 2])
def test_a_machine_that_is_slower_than_it_was_is_told(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "warm_up", lambda watch: factor * watch.best)
    heard = list[str]()
    watch = reference_watch(made_table(TINY, ()), heard.append)
    assert watch.best == 50e-6
    assert heard == (["warning: the machine is 2.00 times slower now than when it was profiled"] if factor > 1 else [])


def run(path: Path) -> LatencyTable:
    return verify(path, networks=40, seed=0, say=lambda text: None, live=lambda text: None)


def test_a_table_that_is_right(tmp_path: Path, off: list[float]) -> None:
    path = saved(tmp_path / "t.json", made_table(TINY, pool_names("mobile27")))
    table = run(path)
    assert read_latency_table(path) == table
    found = table.verification
    assert found is not None
    assert len(found["networks"]) == 40
    assert found["mape"] == found["worst"] == found["repeat_error"] == 0.0
    assert found["tau"] == pytest.approx(1.0)
    assert found["tau_band"] == pytest.approx(1.0)
    low, high = found["band_ns"]
    near = [n for n in found["networks"] if low <= n["predicted_ns"] <= high]
    assert len(near) >= 20
    assert path.with_suffix(".png").stat().st_size > 1000
    assert any("MAPE" in line for line in verification_lines(table))


def test_a_table_that_is_one_tenth_off_every_second_time(tmp_path: Path, off: list[float]) -> None:
    off[:] = [1.0, 1.25]
    found = run(saved(tmp_path / "t.json", made_table(TINY, pool_names("mobile27")))).verification
    assert found is not None
    assert found["mape"] == pytest.approx(0.1, abs=1e-3)
    assert found["worst"] == pytest.approx(0.2, abs=1e-3)
    assert found["tau_band"] < found["tau"] < 1.0


def test_networks_of_the_fit_are_not_unseen(tmp_path: Path, off: list[float]) -> None:
    table = made_table(TINY, pool_names("mobile27"))
    first = run(saved(tmp_path / "a.json", table)).verification
    assert first is not None
    seen = [Architecture.from_json(n["architecture"]) for n in first["networks"][:10]]
    networks = [{"architecture": a.to_json(), "ns": 1, "spread": 0.0, "passes": 3} for a in seen]
    data = table_to_json(table) | {"networks": networks}
    path = tmp_path / "b.json"
    path.write_text(json.dumps(data))
    second = run(path).verification
    assert second is not None
    assert not set(seen) & {Architecture.from_json(n["architecture"]) for n in second["networks"]}


def test_an_unfinished_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(table_to_json(made_table(TINY, pool_names("mobile27"))) | {"fit": None}))
    with pytest.raises(DataError, match="unfinished"):
        run(path)


def test_an_unverified_table_says_so() -> None:
    assert "not verified" in verification_lines(made_table(TINY, ["mbconv_k3_e1"]))[0]


def test_a_table_that_does_not_tell_its_machine_is_one_of_another() -> None:
    table = replace(made_table(TINY, OPS), machine={})
    (told,) = [line for line in doubts(table, "t.json") if "measured elsewhere" in line]
    assert "processor: unknown -> " in told
