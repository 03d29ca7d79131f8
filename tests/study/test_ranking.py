import errno
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, spearmanr

from evospace.cli import main
from evospace.errors import UsageError
from evospace.retraining.config import RetrainConfig
from evospace.runs.files import write_json
from evospace.runs.front import read_front
from evospace.runs.signals import Signals
from evospace.study import ranking_command
from evospace.study.ranking import Scored, correlations, in_budget, spread_evenly
from evospace.study.ranking_command import _entries, _told, rank
from evospace.study.settings import RankingSettings
from tests.bad_input import folder
from tests.report.made_run import make_run

ROWS = [(f'[["op{i}"]]', 100 + i, 10, (i * 7 % 10) / 10) for i in range(10)]


def test_networks_in_the_budget_come_worst_first_and_once() -> None:
    found = in_budget([*ROWS, ROWS[9]], "macs=103..109,params=10")
    assert sorted(s.macs for s in found) == list(range(103, 110))
    assert [s.score for s in found] == sorted(s.score for s in found)
    assert len({s.key for s in found}) == len(found)
    with pytest.raises(UsageError, match="macs and params only"):
        in_budget(ROWS, "latency=3ms")


@given(total=st.integers(3, 200), data=st.data())
def test_the_chosen_are_distinct_in_order_and_hold_both_ends(total: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(3, total))
    scored = [Scored(architecture=str(i), macs=1, params=1, score=float(i)) for i in range(total)]
    chosen = [int(s.score) for s in spread_evenly(scored, n)]
    assert len(set(chosen)) == n
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (0, total - 1)
    gaps = [b - a for a, b in pairwise(chosen)]
    assert max(gaps) - min(gaps) <= 1 + 1  # each place is rounded by at most a half


def test_more_networks_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match="--networks 11: the last round scored 10"):
        spread_evenly(in_budget(ROWS, "macs=1..109"), 11)


def test_correlations_are_those_by_hand() -> None:
    # pairs (1,1) (2,3) (3,2) (4,4) (5,5): one of ten pairs of pairs is discordant, and two ranks differ by one
    found = correlations([0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.8, 0.7, 0.85, 0.9], seed=0)
    assert found["kendall"]["value"] == pytest.approx((9 - 1) / 10)
    assert found["spearman"]["value"] == pytest.approx(1 - 6 * 2 / (5 * 24))
    for measure in found.values():
        assert -1 <= measure["low"] <= measure["value"] <= measure["high"] <= 1 + 1e-9
        assert measure["pairs"] == 5


def test_the_interval_is_the_same_each_time_and_narrows_with_more_pairs() -> None:
    few, many = ([float(i) for i in range(n)] for n in (8, 48))
    noisy = [[x + 3 * (-1) ** int(x) for x in xs] for xs in (few, many)]
    widths = []
    for xs, ys in zip((few, many), noisy, strict=True):
        first = correlations(xs, ys, seed=1)["spearman"]
        assert first == correlations(xs, ys, seed=1)["spearman"]
        widths.append(first["high"] - first["low"])
    assert widths[1] < widths[0]


def test_the_interval_is_the_95_percent_percentile_bootstrap_over_pairs() -> None:
    rng = np.random.default_rng(3)
    x = rng.random(40)
    y = x + 2 * rng.random(40)
    found = correlations(x.tolist(), y.tolist(), seed=0)["spearman"]
    other = bootstrap(
        (x, y),
        lambda a, b: spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (found["low"], found["high"]) == pytest.approx((other.low, other.high), abs=0.03)
    assert other.high - other.low > 0.3


def test_too_few_or_equal_values_have_no_correlation() -> None:
    none = {"kendall": None, "spearman": None}
    assert correlations([], [], seed=0) == none
    assert correlations([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], seed=0) == none
    assert correlations([0.1] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], seed=0) == none


def test_where_most_networks_tested_alike_there_is_no_interval_to_tell() -> None:
    """One sample of three leaves the sixth out: of the others alone the interval did not hold the value itself."""
    found = correlations([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.5, 0.5, 0.5, 0.5, 0.5, 0.7], seed=0)
    for measure in found.values():
        assert 0.5 < measure["value"] < 0.7
        assert (measure["low"], measure["high"]) == (None, None)
    told = _told({**found, "networks": [{"top1": 0.5}] * 6})
    assert told[1] == f"Kendall's tau {found['kendall']['value']:.2f}, 95 % interval not known: ties"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a run that searched them."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("searched")
    folder(str(root / "images"), count=20)
    quick = ["--epochs", "1", "--samples", "6", "--max-rounds", "1", "--calibration-batches", "1"]
    searched = ["search", "--data", str(root / "images"), "--budget", "macs=1M", *quick, "--out", str(root / "run")]
    assert main(searched) == 0
    return root


def test_why_a_correlation_is_not_defined_is_told() -> None:
    none = {"kendall": None, "spearman": None}
    few = ranking_command._told({**none, "networks": [{}] * 4})
    alike = ranking_command._told({**none, "networks": [{}] * 6})
    assert few[1] == "Kendall's tau not defined: fewer than 5 networks"
    assert alike[1] == "Kendall's tau not defined: all are equal"


@pytest.mark.parametrize(
    ("searched_so", "recipe", "flip"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_ranking_trains_as_it_was_told_and_mirrors_where_the_search_and_the_recipe_do(
    searched_so: bool, recipe: bool, flip: bool, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = read_front(searched / "run/front.json")
    architecture = json.dumps(front.members[0].architecture.to_json())
    scored = Scored(score=0.5, macs=1, params=1, architecture=architecture)
    monkeypatch.setattr(ranking_command, "recipe_alone", lambda name: RetrainConfig(flip=recipe))
    seen = list[RetrainConfig]()

    def tested(config: RetrainConfig) -> dict[str, Any]:
        seen.append(config)
        return {}

    monkeypatch.setattr(ranking_command, "retrained_and_tested", tested)
    with Signals() as signals:
        asked = RankingSettings(run="r", epochs=7, batch_size=48, lr=0.05, seed=3)
        ranking_command._Train(asked, front, scored, searched_so)(tmp_path, signals)
    (config,) = seen
    assert config.flip == flip
    assert (config.epochs, config.batch_size, config.lr, config.seed) == (7, 48, 0.05, 3)


def test_a_ranking_tests_on_what_the_search_left_for_the_test_alone(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, run = searched / "images", searched / "run"
    rank_again = ["study", "ranking", str(run), "--networks", "3", "--epochs", "1"]
    moved = images.rename(searched / "moved")
    assert main(rank_again) == 2
    assert "put the images of" in capsys.readouterr().err
    moved.rename(images)
    gone = next((images / "a").iterdir()).rename(searched / "gone.png")  # which divides the folder anew
    assert main(rank_again) == 4
    assert "are not what" in capsys.readouterr().err
    assert not (run / "ranking").exists()
    gone.rename(images / "a" / "000.png")


def test_a_run_that_nothing_can_be_written_to_is_not_ranked(
    searched: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def closed(path: Path, *args: Any, **flags: Any) -> None:
        if path.name == "ranking":
            raise PermissionError(errno.EACCES, "Permission denied")
        mkdir(path, *args, **flags)

    monkeypatch.setattr(Path, "mkdir", closed)
    monkeypatch.setattr("evospace.study.ranking_command._require_same_images", lambda *_: None)
    assert main(["study", "ranking", str(searched / "run"), "--networks", "3"]) == 2
    assert "ranking: cannot be made (Permission denied)" in capsys.readouterr().err


def test_a_finished_training_is_judged_by_the_score_of_the_last_round(tmp_path: Path) -> None:
    """The run may have gone on since: the network was scored again, under other weights."""
    network = Scored(architecture="[[]]", macs=1, params=1, score=0.25)
    (tmp_path / network.key).mkdir()
    write_json(tmp_path / network.key / "entry.json", {"key": network.key, "score": 0.75, "top1": 0.5})
    other = Scored(architecture="[[],[]]", macs=1, params=1, score=0.5)
    assert _entries(tmp_path, [network, other]) == [{"key": network.key, "score": 0.25, "top1": 0.5}]


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rounds=1, max_rounds=2)
    with pytest.raises(UsageError, match="not finished; go on with: evospace search"):
        rank(RankingSettings(run=str(run.path), networks=3))


def test_operations_of_ones_own_have_to_be_given(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ops="mine.py")
    with pytest.raises(UsageError, match=r"operations of your own \(mine.py\); give their files with --ops"):
        rank(RankingSettings(run=str(run.path), networks=3))
