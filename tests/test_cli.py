"""The commands as a user runs them, on the embedded digits."""

import dataclasses
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import evospace
from evospace import search_command
from evospace.cli import COMMANDS, main
from evospace.config import SearchConfig, parse_window
from evospace.cost.budget import Budget
from evospace.errors import BudgetError, DataError, UsageError
from evospace.estimation.evaluation import Evaluation
from evospace.problem import make_problem
from evospace.report.figures import draw_fronts, draw_space
from evospace.runs.front import Front
from evospace.runs.lock import claimed
from evospace.runs.run_directory import RunDirectory
from evospace.show import describe_network
from evospace.space.architecture import Architecture
from evospace.space.skeleton import make_skeleton

QUICK = [
    "--data",
    "digits",
    "--epochs",
    "1",
    "--samples",
    "6",
    "--max-rounds",
    "2",
    "--calibration-batches",
    "1",
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_search_writes_a_self_contained_run_that_resumes_to_the_same_front(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for draw in (draw_fronts, draw_space):
        monkeypatch.setattr(search_command, draw.__name__, draw)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    quick = [*QUICK, "--budget", "macs=1M"]
    assert main(["search", *quick, "--out", str(whole)]) == 0
    front = json.loads((whole / "front.json").read_text())
    assert front["format"] == 1
    assert front["classes"] == 10
    assert front["origin"] == {"data": "digits", "place": "", "test": "", "flip": True}
    costs = [m["macs"] for m in front["front"]]
    assert costs == sorted(costs)
    assert all(900_000 <= c <= 1_000_000 for c in costs)
    for name in ("config.yaml", "environment.json", "run.db", "front/round-02-0.safetensors"):
        assert (whole / name).stat().st_size > 0
    for name in ("fronts.png", "space.png"):
        Image.open(whole / name).verify()
    assert main(["search", *quick, "--out", str(whole)]) == 2
    config = evospace.SearchConfig(
        data="digits",
        budget="macs=1M",
        epochs=1,
        samples=6,
        max_rounds=2,
        calibration_batches=1,
        out=str(halved),
    )
    result = evospace.search(config)
    assert json.loads((halved / "front.json").read_text())["front"] == front["front"]
    member = result.front[-1]
    assert member.class_names == tuple("0123456789")
    network = member.build(supernet_weights=True)
    assert not network.training
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert member.build().training
    capsys.readouterr()
    assert main(["show", str(whole)]) == 0
    shown = capsys.readouterr().out
    assert "Rounds" in shown
    assert "Pareto front" in shown
    assert "(2 x MACs)" in shown
    assert main(["show", str(whole), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["front"] == front["front"]
    assert told["macs"] == front["front"][told["member"]]["macs"]
    assert [summary["round"] for summary in told["rounds"]] == [1, 2]
    assert main(["search", *quick, "--out", str(whole), "--resume"]) == 0
    assert main(["search", *quick, "--out", str(whole), "--resume", "--seed", "1"]) == 2


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["search", "--data", "digits", "--budget", "macs=1"], 3, "the space reaches"),
        (["search", "--data", "digits", "--budget", "mac=1M"], 2, "did you mean macs"),
        (["search", "--budget", "macs=1M"], 2, "--data is missing"),
        (["search", "--data", "digitz", "--budget", "macs=1M"], 2, "digits"),
        (["search", "--data", "digits", "--budget", "macs=1M", "--pool", "mobile"], 2, "mobile27"),
        (["shw"], 2, "show"),
        (["show", "nsenet-28"], 2, "nsenet-27"),
        (["pools", "mobile28"], 2, "mobile27"),
        (["pools", "modern:kernl<=5"], 2, "did you mean kernel"),
        (["search", "--data", "digits", "--budget", "macs=1M", "--pool", "modern:kernel<3"], 2, "no operation"),
        (["search", "--data", "digits", "--budgt", "macs=1M"], 2, "did you mean --budget"),
        (["search", "--epochs", "x"], 2, "--epochs: 'x' is not a whole number; evospace"),
        (["search", "--epochs", "it's"], 2, '--epochs: "it\'s" is not a whole number; evospace'),
        (["search", "--lr", "0,1"], 2, "--lr: '0,1' is not a number; evospace"),
        (["search", "--branches", "both"], 2, "'multi'"),
        (["export", "--to", "onxx"], 2, "evospace export --help"),
        (["check"], 2, "error: an argument is missing: A folder of images, or digits"),
        (["study", "space-size", "--out"], 2, "--out needs a value"),
        (["search", "--resume", "--out", "nowhere"], 2, "holds no run that --resume could go on with"),
        (["search", "--resume", "--out", "x" * 300], 2, "holds no run that --resume could go on with"),
        (["check", "imagenet", "--data-dir", "nowhere"], 2, "data folder nowhere is not a folder"),
        (["retrain", "--resume", "--out", "nowhere"], 2, "holds no retraining that --resume could go on with"),
        (["report", "nowhere"], 2, "nowhere: holds no config.yaml (No such file or directory); give a run directory"),
        (["study", "ranking", "nowhere"], 2, "nowhere: holds no search"),
        (["study", "ranking", "begun"], 4, "begun/config.yaml: damaged (no mapping of settings); restore it"),
        (
            ["show", "begun"],
            2,
            "begun: no round is finished yet, or front.json was removed; go on with: evospace search --out",
        ),
        (["extend", "retrained", "--pool", "grouped72", "--out", "e"], 2, "retrained: holds no search"),
        (["retrain", "--out", "begun", "--resume"], 2, "begun: holds a search, not a retraining"),
        (["search", "--out", "retrained", "--resume"], 2, "retrained: holds a retraining, not a search"),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(
    args: list[str],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("retrained/net-00").mkdir(parents=True)
    Path("retrained/config.yaml").touch()
    Path("begun").mkdir()
    for name in ("config.yaml", "run.db"):  # a search in its first round
        Path("begun", name).touch()
    assert main(args) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert text in lines[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_network_is_not_measured_on_a_gpu_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "nsenet", "--measure", "--device", "cuda"]) == 2
    assert "--device cuda: PyTorch finds no GPU here" in capsys.readouterr().err


def test_show_and_pools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "nsenet", "--se", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["macs"], shown["params"]) == (333_940_328, 7_563_774)
    assert shown["flops"] == 2 * shown["macs"]
    assert len(shown["blocks"]) == 18
    assert main(["pools", "mobile27", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 27


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("mobile27,latency19", 31),
        ("latency19:kind=conv,latency19", 19),
        ("mobile27:kernel<=5:expansion<=3:kind!=mbconv", 2),
        ("modern:kind=repvgg", 2),
    ],
)
def test_pools_are_joined_and_filtered(text: str, operations: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pools", text, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == operations


def test_se_touches_only_kinds_that_honour_it_and_makes_no_operation_twice() -> None:
    pool = "modern:kind=mbconv:kernel=3:dilation=1,modern:kind=repvgg"
    config = SearchConfig(data="digits", budget="macs=1M", pool=pool, se=True)
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    problem = make_problem(config, skeleton, (), 10)
    names = ("mbconv_k3_e1_se", "mbconv_k3_e3_se", "mbconv_k3_e6_se", "repvgg_k3", "repvgg_k5")
    assert problem.full.candidates[0] == names


def test_a_config_file_is_read_and_flags_win(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: digits\nbudget: macs=1M\nepochs: 1\n")
    assert main(["search", "--config", str(path), "--budget", "macs=2", "--out", str(tmp_path / "run")]) == 3
    path.write_text("data: digits\nepoch: 1\n")
    assert main(["search", "--config", str(path)]) == 2
    assert "epochs" in capsys.readouterr().err


def test_a_path_that_cannot_be_used_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    search = ["search", *QUICK, "--budget", "macs=1M"]
    for args in (
        [*search, "--out", "file"],
        [*search, "--out", "file/below"],
        [*search, "--resume"],
        ["show", "a" * 5000],
    ):
        assert main(args) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_show_tells_a_bad_position_and_a_damaged_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    architecture = Architecture.of([["mbconv_k3_e1"]] * len(skeleton.blocks()))
    member = Evaluation(architecture=architecture, macs=5, params=6, accuracy=0.5, round=1)
    front = Front(
        budget="macs=1M", data="digits", class_names=("a", "b"), skeleton=skeleton, seed=0, members=(member,)
    ).to_json()
    path = tmp_path / "front.json"
    path.write_text(json.dumps(front))
    assert main(["show", f"{path}#0"]) == 0
    for position in ("x", "\N{SUPERSCRIPT TWO}", "-1", "1", "9" * 5000, ""):
        assert main(["show", f"{path}#{position}"]) == 2, position
    entry = front["front"][0]
    for changed in (
        [],
        [entry | {"macs": float("inf")}],
        [entry | {"architecture": [["nope!"]] * len(skeleton.blocks())}],
        [entry | {"architecture": [["mbconv_k3_e1"]]}],
    ):
        path.write_text(json.dumps(front | {"front": changed}))
        assert main(["show", str(path)]) == 4
    capsys.readouterr()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("environment.json", "[]"),
        ("environment.json", ""),
        ("environment.json", "[" * 100_000),
        ("config.yaml", "[1]"),
        ("config.yaml", "data: ["),
    ],
)
def test_a_damaged_run_directory_is_named(name: str, text: str, tmp_path: Path) -> None:
    config = evospace.SearchConfig(resume=True)
    directory = RunDirectory(tmp_path / "run")
    directory.open(config, {"classes": "2"})
    directory.open(config, {"classes": "2"})
    (directory.path / name).write_text(text)
    with pytest.raises(DataError, match=name):
        directory.open(config, {"classes": "2"})


@pytest.mark.parametrize(("command", "flag"), [("search", "--config"), ("extend", "--candidates")])
def test_the_flags_are_in_the_help(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert flag in capsys.readouterr().out


def test_python_settings_are_checked_as_flags_are() -> None:
    with pytest.raises(UsageError, match="multi, single"):
        evospace.SearchConfig(branches="both")  # type: ignore[arg-type]


OPS = """
import evospace
from torch import nn

@evospace.operation(kernel=(3,))
def plain_{name}(spec, shape):
    return nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride=shape.stride, padding=1)
"""


def test_a_users_operation_is_searched_and_its_source_is_held_to(tmp_path: Path) -> None:
    ops, run = tmp_path / "my_ops.py", tmp_path / "run"
    ops.write_text(OPS.format(name="first"))
    flags = ["--data", "digits", "--budget", "macs=1M", "--epochs", "1", "--samples", "6", "--candidates", "30"]
    flags += ["--calibration-batches", "1", "--ops", str(ops), "--out", str(run)]
    assert main(["search", *flags]) == 0
    stored = sqlite3.connect(run / "run.db")
    assert stored.execute("SELECT COUNT(*) FROM ledger WHERE operation = 'plain_first_k3'").fetchone()[0] == 7
    stored.close()
    ops.write_text(OPS.format(name="second"))
    assert main(["search", *flags, "--resume"]) == 4


def test_an_impossible_budget_writes_nothing(tmp_path: Path) -> None:
    assert main(["search", "--data", "digits", "--budget", "macs=1", "--out", str(tmp_path / "run")]) == 3
    assert not (tmp_path / "run").exists()


def test_keywords_win_over_a_config() -> None:
    with pytest.raises(BudgetError):
        evospace.search(evospace.SearchConfig(data="digits", budget="macs=1M"), budget="macs=2")


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(args: object) -> int:
        raise KeyboardInterrupt

    for command, again in (("search", "go on with --resume"), ("show", "give the command again")):
        monkeypatch.setitem(COMMANDS, command, interrupt)
        assert main([command, "nsenet"]) == 130
        assert capsys.readouterr().err.rstrip().endswith(again)


def test_help_does_not_load_torch() -> None:
    script = "import sys; from evospace.cli import main\ntry: main(['search', '--help'])\nexcept SystemExit: pass\n"
    script += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_the_flags_are_those_that_users_know() -> None:
    flags = {f.name.replace("_", "-") for f in dataclasses.fields(evospace.SearchConfig)}
    assert flags == {
        *("data", "budget", "out", "seed", "epochs", "samples", "max-rounds", "candidates", "pool", "ops", "skeleton"),
        *("strategy", "operations", "train-images", "lock", "rehearse", "inherit-from", "darts-order", "shrink-by"),
        *("then", "score-by", "sampling", "refill", "flip"),
        *("branches", "image-size", "data-dir", "activation", "se", "batch-size", "lr", "calibration-batches"),
        *(
            "weights",
            "initial-weights",
            "initial-gates",
            "train-gates",
            "gates-window",
            "fitness-pairs",
            "latency-table",
            "prune-threshold",
            "device",
            "workers",
            "resume",
            "debug",
        ),
    }


@pytest.mark.parametrize(
    "extra",
    [
        ["--branches", "single", "--budget", "macs=0.3M"],
        ["--weights", "fresh", "--train-gates", "fitness", "--fitness-pairs", "unconditional", "--budget", "macs=1M"],
        ["--pool", "latency19", "--se", "--activation", "swish", "--budget", "params=50K"],
        pytest.param(
            ["--skeleton", "small32", "--image-size", "16", "--budget", "macs=1M..1.2M"], marks=pytest.mark.slow
        ),
    ],
    ids=lambda extra: " ".join(extra),
)
def test_every_kind_of_search_ends_with_a_front_inside_its_budget(extra: list[str], tmp_path: Path) -> None:
    assert main(["search", *QUICK, *extra, "--out", str(tmp_path / "run")]) == 0
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    metric = front["budget"].partition("=")[0]
    window = Budget.parse(front["budget"])
    assert all(member[metric] in window for member in front["front"])
    if "single" in extra:
        assert all(len(block) <= 1 for member in front["front"] for block in member["architecture"])
    shown = describe_network(f"{tmp_path / 'run' / 'front.json'}#0")
    assert shown["macs"] == front["front"][0]["macs"]
    assert shown["params"] == front["front"][0]["params"]


@pytest.mark.parametrize(
    "text", ["", "0.5", "0.5..", "a..b", "2..3", "0.5..0.9", "-1..2", "nan..2", "0.5..nan", "0.5..1e9"]
)
def test_gates_windows_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--gates-window"):
        SearchConfig(gates_window=text)


def test_a_gates_window() -> None:
    assert parse_window("0.5..1.5") == (0.5, 1.5)
    assert parse_window("0..1000") == (0.0, 1000.0)


def test_a_reader_that_has_enough_ends_it_without_a_traceback() -> None:
    program = [sys.executable, "-m", "evospace", "pools", "modern"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_the_directory_alone_goes_on_with_what_was_asked_for_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    quick = [*QUICK, "--budget", "macs=1M", "--max-rounds", "1", "--out", str(run)]
    assert main(["search", *quick]) == 0
    assert "not tried yet; go on with: evospace search --out" in capsys.readouterr().out
    assert main(["search", "--out", str(run), "--resume", "--max-rounds", "2", "--debug"]) == 0
    stored = yaml.safe_load((run / "config.yaml").read_text())
    assert (stored["max_rounds"], stored["resume"], stored["debug"]) == (2, False, False)


def test_a_run_is_searched_by_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    quick = [*QUICK, "--budget", "macs=1M", "--max-rounds", "1", "--out", str(run)]
    assert main(["search", *quick]) == 0
    before = (run / "config.yaml").read_bytes()
    with claimed(run):
        assert main(["search", "--out", str(run), "--resume", "--max-rounds", "2"]) == 2
    assert "is being searched by another process" in capsys.readouterr().err
    assert (run / "config.yaml").read_bytes() == before


def test_gates_are_shown_where_nothing_else_has_loaded_the_operations() -> None:
    """In a process of its own: here they are registered by other tests' imports."""
    command = [sys.executable, "-m", "evospace", "show", "nsenet", "--se", "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["params"] == 7_563_774


@pytest.mark.parametrize(
    "command",
    [
        "search --data digits --budget macs=1M --out",
        "search --resume --out",
        "retrain nsenet-27 --data digits --out",
        "study space-size --preset",
        "extend",
        "report",
        "export nsenet-27 --out",
    ],
)
def test_a_name_that_the_file_system_does_not_take_is_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "a" * 300]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_check_of_nothing_is_no_check_of_the_folder_one_is_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", ""]) == 2
    assert "no folder of images is given" in capsys.readouterr().err
