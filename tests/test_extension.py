"""A search goes on with operations that were not in its pool."""

import errno
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from evospace.cli import main
from evospace.extension import extension_defaults
from evospace.ops.pools import pool_names
from evospace.report.page.gather import gather
from evospace.runs.run_directory import RunDirectory
from tests.bad_input import folder
from tests.interruptions import SEARCH, content

OPS = """
import evospace
from torch import nn

@evospace.operation(kernel=(3, 5))
def added_later(spec, shape):
    return nn.Conv2d(shape.in_channels, shape.out_channels, spec.kernel, stride=shape.stride, padding=spec.kernel // 2)
"""


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("base") / "run"
    assert main([*SEARCH, "--out", str(run), "--max-rounds", "1"]) == 0
    return run


def test_new_operations_are_traversed_beside_the_inherited_front_and_the_old_run_stays(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, ops, out = hashes(base), tmp_path / "later.py", tmp_path / "run2"
    ops.write_text(OPS)
    flags = ["extend", str(base), "--ops", str(ops), "--out", str(out), "--candidates", "27"]
    assert main([*flags, "--max-rounds", "1"]) == 0
    assert f"operations of a block wait since {base} and come before the new ones" in capsys.readouterr().out
    old, new = RunDirectory(base).database, RunDirectory(out).database
    first, last = new.states()
    assert first.front == old.states()[0].front
    assert new.ledger()[: len(old.ledger())] == old.ledger()
    rows = [row for row in new.ledger() if row.round == 2]
    for block, names in enumerate(first.inherited):
        here = {row.operation for row in rows if row.block == block}
        assert set(names) <= here
        assert {row.operation for row in rows if row.block == block and row.inherited} == set(names)
    scored = {text for text, *_ in new.evaluations(2)}
    assert {str(e.architecture.to_json()).replace("'", '"') for e in first.front} <= scored  # rehearsed
    assert last.round == 2
    assert hashes(base) == before
    command = f"evospace extend {base} --candidates 27 --max-rounds 1 --ops {ops}"
    facts = gather(out)
    assert facts.extended_from == f"{base} after round 1"
    assert sorted(facts.extended_by.split(" --")) == sorted(command.split(" --"))
    # The rest: with the round limit lifted the queues run empty, in every block.
    assert main([*flags, "--resume"]) == 0
    states = new.states()
    assert not any(states[-1].waiting)
    traversed = {(row.block, row.operation) for row in new.ledger() if row.outcome != "postponed"}
    assert len(traversed) == 29 * len(first.inherited)
    assert hashes(base) == before
    capsys.readouterr()
    assert main(flags) == 2
    assert "is in use already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ([], "--pool or --ops"),
        (["--pool", "mobile27"], "every operation of that pool already"),
        (["--pool", "grouped72", "--budget", "macs=2M"], "budget: 'macs=0.3M' -> 'macs=2M'"),
        (["--pool", "grouped73"], "grouped72"),
    ],
)
def test_an_extension_that_cannot_be_says_why(
    extra: list[str], text: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["extend", str(base), *extra, "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert text in error[0]
    assert not list(tmp_path.iterdir())
    assert main(["extend", str(tmp_path / "nowhere"), *extra]) == 2


def test_an_extension_that_cannot_be_written_is_one_line(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    flags = ["extend", str(base), "--pool", "grouped72", "--out"]
    assert main([*flags, str(tmp_path / "file/new")]) == 2
    assert main([*flags, str(tmp_path / ("a" * 300))]) == 2
    monkeypatch.setattr("shutil.copyfile", lambda *paths: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    assert main([*flags, str(tmp_path / "new")]) == 1
    seen = capsys.readouterr().err.strip().splitlines()
    assert len(seen) == 3
    assert all("cannot be written" in line and "nothing was made" in line for line in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_extended_run_is_complete_in_itself(base: Path, tmp_path: Path) -> None:
    ops = tmp_path / "later.py"
    ops.write_text(OPS)
    for name in ("one", "two"):
        flags = ["extend", str(base), "--ops", str(ops), "--out", str(tmp_path / name)]
        assert main([*flags, "--max-rounds", "1", "--epochs", "1"]) == 0
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert main(["search", "--out", str(tmp_path / "one"), "--resume"]) == 0


def test_a_run_without_its_weights_cannot_be_extended(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(base, bare)
    RunDirectory(bare).checkpoint(1).unlink()
    assert main(["extend", str(bare), "--pool", "grouped72", "--out", str(tmp_path / "run2")]) == 4
    assert "lacks the weights of its last round (checkpoints/round-01" in capsys.readouterr().err
    assert not (tmp_path / "run2").exists()


def test_operations_that_were_changed_since_are_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ops, run = tmp_path / "later.py", tmp_path / "run"
    ops.write_text(OPS)
    short = ["--max-rounds", "1", "--epochs", "1"]
    assert main(["extend", str(base), "--ops", str(ops), "--out", str(run), *short]) == 0
    path = run / "environment.json"
    seen = json.loads(path.read_text())
    key = next(key for key in seen["contents"] if key.startswith("operation "))
    seen["contents"][key] = "0" * 64  # as if the file had held another source then
    path.write_text(json.dumps(seen))
    capsys.readouterr()
    assert main(["extend", str(run), "--pool", "grouped72", "--out", str(tmp_path / "new"), *short]) == 4
    assert f"{key}: {'0' * 64} -> " in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_extension_of_an_earlier_versions_run_begins_as_that_run_did(base: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    lines = (base / "config.yaml").read_text().splitlines()
    (earlier / "config.yaml").write_text("\n".join(line for line in lines if not line.startswith("initial_")))
    assert extension_defaults(earlier).initial_gates == "uniform"
    assert extension_defaults(base).initial_gates == "sparse"


def test_a_search_of_a_part_of_the_pool_is_extended_by_all_that_a_block_has_not_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part, out, ops = tmp_path / "part", tmp_path / "run2", tmp_path / "later.py"
    ops.write_text(OPS)
    assert main([*SEARCH, "--out", str(part), "--operations", "3"]) == 0
    flags = ["--pool", "mobile27:kernel<=3", "--ops", str(ops), "--out", str(out), "--max-rounds", "1"]
    assert main(["extend", str(part), *flags]) == 0
    first = RunDirectory(out).database.states()[0]
    asked = {*pool_names("mobile27:kernel<=3"), "added_later_k3", "added_later_k5"}
    for block, waiting in enumerate(first.waiting):
        had = {row.operation for row in RunDirectory(part).database.ledger() if row.block == block}
        assert len(had) == 3
        assert set(waiting) == asked - had
    capsys.readouterr()
    assert main(["extend", str(part), *flags[:4], "--out", str(tmp_path / "run3"), "--operations", "3"]) == 2
    assert "--operations has no effect on an extension" in capsys.readouterr().err


def test_blocks_that_have_all_the_new_operations_get_none(tmp_path: Path) -> None:
    """20 of 27 operations: some required block has the one that is asked for, and another has not."""
    part, out, pool = tmp_path / "part", tmp_path / "run2", "mobile27:kernel<=3:expansion<=1:dilation<=1"
    assert main([*SEARCH, "--out", str(part), "--operations", "20", "--max-rounds", "1"]) == 0
    before = RunDirectory(part).database.states()[-1].waiting
    assert main(["extend", str(part), "--pool", pool, "--out", str(out), "--max-rounds", "1"]) == 0
    after = RunDirectory(out).database.states()[0].waiting
    counts = {len(new) - len(old) for old, new in zip(before, after, strict=True)}
    assert counts == {0, 1}


def test_an_extension_takes_the_same_images_from_wherever_they_lie_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder("images", count=20)
    folder("others", count=30)
    quick = ["--epochs", "1", "--samples", "6", "--max-rounds", "1", "--calibration-batches", "1"]
    assert main(["search", "--data", "images", "--budget", "macs=1M", "--operations", "5", *quick, "--out", "run"]) == 0
    Path("images").rename("moved")
    more = ["extend", "run", "--pool", "grouped72:kernel=3", "--max-rounds", "1", "--out"]
    assert main([*more, "refused", "--data", "others"]) == 4
    assert "the data or the operations are not what run was begun with" in capsys.readouterr().err
    assert not Path("refused").exists()
    assert main([*more, "run2", "--data", "moved"]) == 0


def test_an_extension_that_was_ended_goes_on_as_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extend", "--resume", "--out", "run2"]) == 2
    assert "goes on with: evospace search --out RUN2 --resume" in capsys.readouterr().err
