import json
import re
from pathlib import Path
from typing import Any

import pytest

from evospace.deploy.card import card, text
from evospace.deploy.results import evaluations_of, spread
from evospace.deploy.subject import Shipped, Subject, config_of
from evospace.errors import DataError
from tests.deploy.networks import described_of, trained

HOSTILE = "<script>alert(1)</script>\n# [x](http://e.org) ```` `a` | **b** www.e.org @me ![i](j)"


def shipped(**changes: Any) -> Shipped:
    described = described_of([["conv_k3_e1"]])
    network = trained(described)
    values: dict[str, Any] = {"described": described, "network": network, "trained": True} | changes
    costs = {"macs": 1234567, "params": 4321}
    checks = {"the written file": {"absolute": 1e-6, "relative": 2e-7}}
    return Shipped(subject=Subject(**values), network=network, folded=False, costs=costs, checks=checks)


def result(top1: float, **more: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "macs": 1,
        "params": 1,
        "calibration_error": 0.1,
        "top1": top1,
        "top5": 1.0,
        "loss": 0.5,
        "images": 100,
        "seed": 0,
        "weights": "last",
        "data": "digits",
    } | more


def test_a_card_tells_what_is_known() -> None:
    results = [result(0.9, latency_ms=1.5), result(0.8)]
    training = {"recipe": {"epochs": 30, "aa": ""}, "seed": 4}
    made = card(
        shipped(
            evaluations=results,
            own_evaluation=results[0],
            training=training,
            search={"budget": "macs=1M"},
            license="Apache-2.0",
        ),
        "torch",
    )
    for part in (
        "1,234,567 multiply-adds",
        "| top-1 | 0.9000 | 0.8500 | 0.0707 | 2 |",
        "- recipe.epochs: 30",
        "- seed: 4",
        "- budget: macs=1M",
        "- latency_ms: 1.5",
        "## Licence\n\nApache-2.0",
        "load_file",
        "mean 0.5, 0.5, 0.5",
        "2. 16 x 8 x 8 -> 24 x 4 x 4: conv_k3_e1",
        "2e-07 of the largest logit",
    ):
        assert part in made
    assert "recipe.aa" not in made
    assert "random" not in made.split("## Checked")[0]


def test_fresh_weights_are_told() -> None:
    made = card(shipped(trained=False), "onnx")
    for part in ("fresh random ones", "Not trained", "Not measured", "Not stated", "onnxruntime"):
        assert part in made


def test_hostile_texts_stay_texts() -> None:
    described = described_of([["conv_k3_e1"]]).trained_on(HOSTILE, ["a", HOSTILE], [0.5] * 3, [0.2] * 3)
    made = card(shipped(described=described, license=HOSTILE, training={HOSTILE: HOSTILE}), "timm")
    for part in ("<script", "\n# [x]", "![i]", "://e.org", "www.e"):
        assert part not in made
    assert not re.search(r"(?<!\\)(\[|\]\(|`a|\*\*| \|(?= ?b))", made.split("## Data")[1].split("## Training")[0])
    assert made.count("\n# ") == 0
    assert text("# x") == "\\# x"
    assert text("12. x") == "12\\. x"
    assert text("- x") == "\\- x"
    assert text("x" * 999) == "x" * 297 + "..."


def test_the_config_is_plain_and_whole() -> None:
    config = config_of(shipped(training={"epochs": 3}), "torch")
    assert json.loads(json.dumps(config)) == config
    assert config["input_size"] == [3, 8, 8]
    assert config["class_names"] == [f"class {i}" for i in range(5)]
    assert config["provenance"]["training"] == {"epochs": 3}
    assert config["feature_info"][0] == {"module": "blocks.0", "channels": 16, "reduction": 1}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def test_evaluations_of_sibling_seeds_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, top1 in enumerate((0.5, 0.7, 0.9)):
        write(tmp_path / f"seed-{seed}" / "last-evaluation.json", result(top1))
    write(tmp_path / "seed-3" / "last-evaluation.json", result(0.1, data="other"))
    write(tmp_path / "seed-0" / "ema-evaluation.json", result(0.2, weights="ema"))
    write(tmp_path / "seed-4" / "last-evaluation.json", result(0.2, weights="ema"))  # not of its own name
    own, found = evaluations_of(tmp_path / "seed-1" / "last.safetensors")
    assert own == found[0]
    assert [r["top1"] for r in found] == [0.7, 0.5, 0.9]
    assert spread(found, "top1") == pytest.approx((0.7, 0.2, 3))
    assert spread(found, "latency_ms") is None
    assert spread(found[:1], "loss") == (0.5, 0.0, 1)
    assert evaluations_of(tmp_path / "none.safetensors") == (None, [])
    monkeypatch.chdir(tmp_path / "seed-1")
    assert evaluations_of(Path("last.safetensors")) == (own, found)


def test_another_seeds_result_is_not_told_of_a_checkpoint_that_was_not_tested(tmp_path: Path) -> None:
    write(tmp_path / "seed-0" / "last-evaluation.json", result(0.5, latency_ms=1.5))
    own, found = evaluations_of(tmp_path / "seed-1" / "last.safetensors")
    made = card(shipped(evaluations=found, own_evaluation=own), "torch")
    assert own is None
    assert "| top-1 | - | 0.5000 | - | 1 |" in made
    assert "latency_ms" not in made


@pytest.mark.parametrize("content", ["", "[1]", '{"top1": "high"}', '{"top1": NaN}', '{"top1": 1e999}'])
def test_a_damaged_evaluation_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "last-evaluation.json").write_text(content)
    with pytest.raises(DataError, match=r"last-evaluation\.json"):
        evaluations_of(tmp_path / "last.safetensors")
