"""What is promised of every strategy, shown for each that is registered, in real searches on tiny images."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from evospace import experiment, score_book
from evospace.cli import main
from evospace.config import SearchConfig
from evospace.cost.budget import parse_budget
from evospace.data import ImageData, load_data
from evospace.errors import InterruptedRunError
from evospace.experiment import prepare
from evospace.lab import SupernetLab
from evospace.ops.kinds import KINDS
from evospace.ops.pools import pool_names
from evospace.problem import part_of
from evospace.runs.checkpoints import KeptWeights
from evospace.runs.front import read_front
from evospace.runs.run_directory import RunDirectory
from evospace.strategies.strategy import STRATEGIES
from evospace.study.plan import PUBLISHED
from tests.interruptions import Moments, content

VARIANTS = {
    "darts": [[], ["--darts-order", "2"]],
    "shrinking": [[], ["--shrink-by", "fitness", "--then", "one-shot", "--branches", "multi"]],
    "regularized-evolution": [[], ["--score-by", "training"], ["--branches", "multi"]],
    "random": [[], ["--branches", "multi"]],
    "random-draw": [[], ["--branches", "single"]],
    "one-shot": [[], ["--branches", "single"]],
    "spos": [[], ["--branches", "multi"]],
    "nse": [
        [],
        [f"--{name.replace('_', '-')}={value}" for name, value in PUBLISHED.items()],
        ["--branches", "single", "--no-lock", "--no-rehearse", "--inherit-from", "best", "--sampling", "evolution"],
    ],
}
CASES = [(name, tuple(flags)) for name in STRATEGIES for flags in VARIANTS.get(name, [[]])]
POOL = "mobile27:kernel<=5:expansion<=3"
BUDGET = "macs=0.25M,params=60K"
cases = pytest.mark.parametrize(
    ("name", "flags"), CASES, ids=lambda value: value if isinstance(value, str) else "".join(value)
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 8 x 8 pixels, one bright above, the other below."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", 340), ("test", 8)):
        for label in ("above", "below"):
            (root / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (8, 8), dtype=np.uint8)
                pixels[slice(0, 4) if label == "above" else slice(4, 8)] += 100
                Image.fromarray(pixels).save(root / part / label / f"{i}.png")
    return root


def arguments(images: Path, name: str, flags: tuple[str, ...], out: Path) -> list[str]:
    base = ["search", "--data", str(images), "--image-size", "8", "--strategy", name, "--budget", BUDGET, *flags]
    base += ["--epochs", "1", "--samples", "6", "--calibration-batches", "1", "--batch-size", "128", "--lr", "0.3"]
    base += ["--pool", POOL, "--operations", "6", "--out", str(out)]
    return [*base, "--candidates", "3"] if "candidates" in STRATEGIES[name].honours else base


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, tuple[Path, int]]:
    """Every case's run, made without ever reading a test image, and how many moments it had."""
    torch.set_num_threads(1)
    made = {}
    for name, flags in CASES:
        out = tmp_path_factory.mktemp("run") / "run"
        with pytest.MonkeyPatch.context() as patch:
            moments = Moments(patch)
            patch.setattr(experiment, "load_data", _without_test)
            assert main(arguments(images, name, flags, out)) == 0
        made[name, flags] = out, moments.count
    return made


class NeverRead:
    def epoch(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a search reads no test image")


def _without_test(*args: Any, **kwargs: Any) -> ImageData:
    return replace(load_data(*args, **kwargs), test=cast(Any, NeverRead()))


@cases
def test_the_front_is_valid_and_inside_the_budget(name: str, flags: tuple[str, ...], undisturbed: Any) -> None:
    run = RunDirectory(undisturbed[name, flags][0])
    front = read_front(run.front)
    budget, limits = parse_budget(BUDGET)
    assert front.members
    assert all(e.macs in budget and e.params <= limits["params"] for e in front.members)
    assert [e.macs for e in front.members] == sorted({e.macs for e in front.members})
    assert [e.accuracy for e in front.members] == sorted({e.accuracy for e in front.members})
    if STRATEGIES[name].branches == ("single",) or "single" in flags:
        assert all(len(names) <= 1 for e in front.members for names in e.architecture.blocks)
    state = run.database.states()[-1]
    assert state.round == state.rounds
    assert state.front == front.members
    scored = [row for r in range(1, state.rounds + 1) for row in run.database.evaluations(r)]
    assert len(scored) >= len(front.members)
    used = {(b, n) for e in front.members for b, names in enumerate(e.architecture.blocks) for n in names}
    kept = {
        (row.block, row.operation)
        for row in run.database.ledger()
        if row.outcome == "kept" and row.round == state.round
    }
    assert kept == used
    gone = Counter(row.round for row in run.database.ledger() if row.outcome == "pruned")
    assert [s["pruned"] for s in run.database.summaries()] == [gone[s["round"]] for s in run.database.summaries()]
    assert gone or name != "shrinking"


@cases
def test_a_search_that_was_ended_twice_comes_to_the_same_bits_as_one_that_was_not(
    name: str, flags: tuple[str, ...], undisturbed: Any, images: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    expected, count = undisturbed[name, flags]
    args = [*arguments(images, name, flags, tmp_path / "run"), "--resume"]

    def end() -> None:
        raise InterruptedRunError("ended by the test", 130)

    for share in (0.35, 0.3):  # each counted from where the run is taken up
        with pytest.MonkeyPatch.context() as patch:
            Moments(patch, int(share * count), end)
            assert main(args) == 130
    assert main(args) == 0
    assert content(tmp_path / "run") == content(expected)


def test_an_architecture_trained_by_itself_goes_on_where_a_signal_ended_its_training(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    args = arguments(images, "regularized-evolution", ("--score-by", "training"), tmp_path / "run")
    args += ["--samples", "2", "--epochs", "3", "--resume"]  # two architectures of three epochs of two steps
    steps, step = 0, torch.optim.SGD.step

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 9:  # the third of the second architecture
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", counted)
        assert main(args) == 143
        assert "an architecture by itself, epoch 2, step 1; everything is saved" in capsys.readouterr().err
        assert main(args) == 0
    assert steps == 12


DRAWING = """
import evospace
from torch import nn


@evospace.operation(kernel=(3,))
def drops(spec, shape):
    convolution = nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride=shape.stride, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(shape.out_channels), nn.Dropout(0.5))
"""


@pytest.fixture
def _no_kind_stays() -> Iterator[None]:
    before = set(KINDS)
    yield
    for kind in set(KINDS) - before:
        KINDS.remove(kind)


@pytest.mark.usefixtures("_no_kind_stays")
def test_operations_that_draw_for_themselves_draw_the_same_after_an_end(images: Path, tmp_path: Path) -> None:
    """Ended when all is scored and nothing of the round is stored: other draws came before in the next process."""
    torch.set_num_threads(1)
    (tmp_path / "drops.py").write_text(DRAWING)
    flags = ("--ops", str(tmp_path / "drops.py"), "--pool", "latency19:kernel<=3:expansion<=1")
    whole, ended = (arguments(images, "random", flags, tmp_path / name)[:-6] for name in ("whole", "ended"))
    whole, ended = ([*args, "--out", str(tmp_path / name)] for args, name in ((whole, "whole"), (ended, "ended")))
    assert main(whole) == 0

    def end(*args: object) -> None:
        raise InterruptedRunError("ended by the test", 130)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupernetLab, "save", end)
        patch.setattr(score_book, "SECONDS", 0.0)
        assert main(ended) == 130
    torch.manual_seed(1)
    assert main([*ended, "--resume"]) == 0
    assert content(tmp_path / "ended") == content(tmp_path / "whole")


NOISY = """
import evospace
import torch
from torch import nn


class Noise(nn.Module):
    def forward(self, images):
        return images + 30 * torch.randn_like(images)


@evospace.operation(kernel=(3,))
def noisy(spec, shape):
    convolution = nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride=shape.stride, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(shape.out_channels), Noise())
"""


@pytest.mark.usefixtures("_no_kind_stays")
def test_an_architecture_whose_training_was_kept_scores_as_it_would_have(images: Path, tmp_path: Path) -> None:
    """Ended when its weights are kept and its score is not: an operation that draws has drawn nothing since."""
    torch.set_num_threads(1)
    (tmp_path / "noisy.py").write_text(NOISY)
    base = ["search", "--data", str(images), "--image-size", "8", "--strategy", "random-draw", "--budget", "macs=2M"]
    base += ["--epochs", "12", "--lr", "0.3", "--pool", "latency19:kernel<=3:expansion<=1"]
    base += ["--ops", str(tmp_path / "noisy.py")]
    assert main([*base, "--out", str(tmp_path / "whole")]) == 0
    assert "noisy" in (tmp_path / "whole/front.json").read_text()
    put = KeptWeights.put

    def end(*args: Any) -> None:
        put(*args)
        raise InterruptedRunError("ended by the test", 130)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeptWeights, "put", end)
        assert main([*base, "--out", str(tmp_path / "ended")]) == 130
    assert main([*base, "--out", str(tmp_path / "ended"), "--resume"]) == 0
    assert content(tmp_path / "ended") == content(tmp_path / "whole")


def test_the_part_is_the_same_for_one_branch_and_for_several() -> None:
    multi = prepare(SearchConfig(data="digits", budget="macs=0.15M")).problem
    single = replace(multi, full=replace(multi.full, branches="single"))
    for seed in range(20):
        for count in (2, 3):
            asked = SearchConfig(data="digits", budget="macs=0.15M", operations=count, seed=seed)
            assert part_of(multi, asked).candidates == part_of(single, asked).candidates


def test_a_part_of_the_pool_is_nested_and_the_same_for_all(images: Path) -> None:
    def part(strategy: str, count: int) -> list[set[str]]:
        config = SearchConfig(data=str(images), image_size=8, budget="macs=1M", strategy=strategy, operations=count)
        return [set(names) for names in prepare(config).problem.full.candidates]

    small, large = part("nse", 5), part("nse", 9)
    assert all(len(names) == 5 for names in small)
    assert all(a < b for a, b in zip(small, large, strict=True))
    assert part("spos", 9) == large
    assert len({frozenset(names) for names in large}) > 1
    assert set.union(*large) <= set(pool_names("mobile27", ()))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--strategy", "sposs"], "spos"),
        (
            ["--strategy", "regularized-evolution", "--score-by", "training", "--gates-window", "0..2"],
            "no effect where",
        ),
        (["--strategy", "spos", "--train-gates", "fitness"], "--strategy spos learns none; give in-budget or uniform"),
        (["--strategy", "spos", "--train-gates", "uniform", "--gates-window", "0..2"], "with --train-gates uniform;"),
        (
            ["--train-gates", "fitness", "--fitness-pairs", "unconditional", "--gates-window", "0..2"],
            "no effect with --train-gates fitness and --fitness-pairs unconditional",
        ),
        (["--strategy", "spos", "--darts-order", "2"], "--darts-order has no effect with --strategy spos"),
        (["--strategy", "shrinking", "--fitness-pairs", "unconditional"], "no effect with --shrink-by angle"),
        (["--strategy", "darts", "--branches", "multi"], "--branches multi: --strategy darts is defined for single"),
        (["--strategy", "one-shot", "--max-rounds", "2"], "it belongs to nse"),
        (["--operations", "28"], "--operations 28: the pool has 27"),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--data", "digits", "--budget", "macs=1M", *flags]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.splitlines()) == 1
