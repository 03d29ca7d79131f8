"""Real measurements of tiny networks: what is stored and gone on with, not how long anything took."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evospace.cli import main
from evospace.cost.latency_file import read_latency_table, table_to_json
from evospace.cost.latency_setting import Setting
from evospace.cost.latency_table import LatencyTable, shapes_of
from evospace.errors import DataError, UsageError
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS
from evospace.ops.modern.reparam import RepConv
from evospace.ops.spec import BlockShape, OpSpec
from evospace.ops.user import load_ops_file
from evospace.profiling import profile as profile_module
from evospace.profiling import timing
from evospace.profiling.profile import Profile, alone_at
from evospace.profiling.runtimes import differences, machine, prepare, require_runtime
from evospace.profiling.verify import verify
from evospace.space.search_space import SearchSpace
from evospace.supernet.network import make_stem
from tests.profiling.tables import OPS, TINY


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short pass: nothing here depends on the times."""
    torch.set_num_threads(1)
    monkeypatch.setattr(timing, "MAX_PASSES", 1)
    monkeypatch.setattr(timing, "BLOCK", 1e-5)
    monkeypatch.setattr(timing, "REFERENCE_SECONDS", 0.0)
    monkeypatch.setattr(profile_module, "FITTED", 12)


def profile(out: Path, names: tuple[str, ...] = OPS[:2], say: Callable[[str], None] = lambda text: None) -> Profile:
    return Profile(setting=Setting(), skeleton=TINY, classes=3, names=names, out=out, say=say)


def test_every_operation_at_every_shape_and_the_fixed_parts(tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    table = profile(out).run()
    assert read_latency_table(out) == table
    assert tuple(table.blocks) == shapes_of(TINY)
    assert all(tuple(block.operations) == OPS[:2] for block in table.blocks.values())
    assert set(table.fixed) == {"stem", "head"}
    assert len({network.architecture for network in table.networks}) == profile_module.FITTED
    assert table.fit is not None
    assert table.machine == machine(Setting())
    assert table.predict_ns(table.networks[0].architecture) > 0


def test_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, real = tmp_path / "t.json", timing.time_in_turn
    calls = 0

    def interrupted(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:  # the fixed parts, the first block, then this
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(profile_module, "time_in_turn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        profile(out).run()
    half = read_latency_table(out)
    assert len(half.blocks) == 1
    heard: list[str] = []
    whole = profile(out, say=heard.append).run()
    first = shapes_of(TINY)[0]
    assert whole.blocks[first] == half.blocks[first]
    assert whole.fixed == half.fixed
    assert heard[0] == f"going on with {out}"
    assert sum("operations" in line for line in heard) == len(shapes_of(TINY)) - 1


SOURCE = """
import evospace
from torch import nn

@evospace.operation(kernel=(3,))
def profiled_later(spec, shape):
    return nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride=shape.stride, padding=1, groups={groups})
"""


def test_an_operation_whose_source_has_changed_is_measured_anew(tmp_path: Path) -> None:
    out, ops = tmp_path / "t.json", tmp_path / "ops.py"
    names = (*OPS[:2], "profiled_later_k3")
    space = SearchSpace.over(TINY.blocks(), names)
    tables, heard = list[LatencyTable](), list[str]()
    for groups in (1, 1, 2):
        ops.write_text(SOURCE.format(groups=groups), encoding="utf-8")
        try:
            (kind,) = load_ops_file(ops)
            if groups == 2:
                with pytest.raises(DataError, match=r"profiled_later.* is not the one stored .*same --out"):
                    read_latency_table(out).cost_table(space)
            tables.append(profile(out, names, say=heard.append).run())
            read_latency_table(out).cost_table(space)
        finally:
            KINDS.remove("profiled_later")
    first, second, third = tables
    assert second == first
    assert [line for line in heard if "anew" in line] == [f"measured anew, since --ops has changed: {kind}"]
    for shape in shapes_of(TINY):
        assert 2 * (third.blocks[shape].params[names[2]] - shape.out_channels) == (
            first.blocks[shape].params[names[2]] - shape.out_channels
        )
        assert third.blocks[shape].operations[OPS[0]] == first.blocks[shape].operations[OPS[0]]
    assert third.networks != first.networks  # some held the operation
    assert third.fit is not None
    with pytest.raises(DataError, match="give its file with --ops"):
        third.cost_table(space)
    third.cost_table(SearchSpace.over(TINY.blocks(), OPS[:2]))


def test_new_operations_join_a_finished_table_and_change_no_prediction(tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    before = profile(out).run()
    after = profile(out, OPS).run()
    assert after.fit == before.fit
    assert all(OPS[2] in block.operations for block in after.blocks.values())
    for network in before.networks:
        assert after.predict_ns(network.architecture) == before.predict_ns(network.architecture)


def test_a_table_of_something_else_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    profile(out).run()
    content = out.read_bytes()
    other = Profile(setting=Setting(batch=2), skeleton=TINY, classes=3, names=OPS, out=out)
    with pytest.raises(UsageError, match="another setting"):
        other.run()
    assert out.read_bytes() == content


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_prepared_module_runs(runtime: str) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    setting = Setting(runtime=runtime, batch=3)  # type: ignore[arg-type]
    require_runtime(setting)
    run = prepare(make_stem(TINY), (1, 8, 8), setting)
    run()
    run()
    assert "torch" in machine(setting)
    assert differences(machine(setting)) == []


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_branches_are_timed_merged(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    calls = list[bool]()
    forward = RepConv.forward

    def seen(self: RepConv, images: torch.Tensor) -> torch.Tensor:
        calls.append(self.training)
        return forward(self, images)

    monkeypatch.setattr(RepConv, "forward", seen)
    shape = BlockShape(in_channels=4, out_channels=4, stride=1, resolution=8)
    run = prepare(build_op(OpSpec.parse("repvgg_k3"), shape), (4, 8, 8), Setting(runtime=runtime))  # type: ignore[arg-type]
    run()
    assert calls == [True]  # of the statistics that BatchNorm needs; what is timed has no branches left


def test_what_is_not_so_here_is_listed() -> None:
    there = machine(Setting()) | {"processor": "abacus", "torch": "0.1"}
    lines = differences(there)
    assert len(lines) == 2
    assert any(line.startswith("processor: abacus -> ") for line in lines)


def test_limits_of_this_machine() -> None:
    with pytest.raises(UsageError, match="cores"):
        require_runtime(Setting(threads=1000))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no GPU"):
            require_runtime(Setting(device="cuda"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.json"
    flags = ["--skeleton", "small8", "--image-size", "4", "--image-channels", "1", "--classes", "3"]
    args = ["profile", *flags, "--pool", "mobile27:kernel<=3:expansion==1:kind==mbconv", "--out", str(out)]
    assert main(args) == 0
    printed = capsys.readouterr().out
    assert "x the sum of its parts" in printed
    assert f"wrote {out}" in printed
    assert main([*args, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["operations"] == 3 * 5
    assert not result["verified"]
    assert main(["profile", "--verify", str(out), "--networks", "6"]) == 0
    printed = capsys.readouterr().out
    assert "Kendall's tau" in printed
    assert (tmp_path / "t.png").stat().st_size > 0
    verification = read_latency_table(out).verification
    assert verification is not None
    assert 3 <= len(verification["networks"]) <= 6


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ([], 2, "--out table.json"),
        (["--out", "a.json", "--verify", "b.json"], 2, "--out table.json"),
        (["--out", "a.json", "--batch", "0"], 2, "--batch 0: allowed are 1 to 4096"),
        (["--out", "a.json", "--threads", "999"], 2, "cores"),
        (["--out", "a.json", "--classes", "0"], 2, "--classes 0: allowed"),
        (["--out", "a.json", "--pool", "moble27"], 2, "mobile27"),
        (["--out", "a.json", "--skeleton", "smal8"], 2, "small8"),
        (["--verify", "absent.json"], 4, "absent.json"),
        (["--verify", "absent.json", "--networks", "1"], 2, "--networks 1: allowed"),
    ],
)
def test_bad_flags(args: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *args]) == code
    assert text in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: Profile) -> LatencyTable:
        raise KeyboardInterrupt

    monkeypatch.setattr(Profile, "run", interrupt)
    assert main(["profile", "--out", str(tmp_path / "t.json")]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_table_of_another_machine_cannot_be_verified_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.json"
    table = profile(out).run()
    data = table_to_json(table)
    data["machine"] = {**table.machine, "processor": "abacus"}
    out.write_text(json.dumps(data))
    assert main(["profile", "--verify", str(out)]) == 2
    assert "processor: abacus" in capsys.readouterr().err


def test_an_operation_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    setting = Setting(runtime="onnxruntime")
    work = Profile(setting=setting, skeleton=TINY, classes=3, names=("attention_k3_e1",), out=tmp_path / "t.json")
    with pytest.raises(UsageError, match=r"attention_k3_e1 at block 1 of 3 .*cannot be exported.*kind!=attention"):
        work.run()
    assert read_latency_table(tmp_path / "t.json").fixed


def test_an_out_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    for out in (tmp_path / "nowhere" / "t.json", tmp_path):
        with pytest.raises(UsageError, match="give a file in a folder that exists"):
            profile(out).run()


def test_two_processes_do_not_measure_into_one_table(tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    profile(out).run()
    before = out.read_bytes()
    with alone_at(out):
        with pytest.raises(UsageError, match=r"t\.json is being measured by another process"):
            profile(out, names=OPS).run()
        with pytest.raises(UsageError, match="another process"):
            verify(out, networks=2, seed=0, say=print, live=print)
    assert out.read_bytes() == before


def test_an_interrupted_verification_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evospace.profiling.command.verify", interrupt)
    assert main(["profile", "--verify", "t.json"]) == 130
    assert "t.json is as it was" in capsys.readouterr().err
