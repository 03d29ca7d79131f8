import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from evospace.deploy import torch_folder
from evospace.deploy.prepare import logits_of
from evospace.deploy.torch_folder import load_written, torch_source, write_torch
from evospace.errors import UsageError
from evospace.supernet.network import Network
from tests.deploy.networks import SHIPPED, described_of, shipped_of, subject_of, trained

ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("evospace", "timm", "torchvision"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, ".")
import torch
from safetensors.torch import load_file
from network import Network
network = Network()
network.load_state_dict(load_file("model.safetensors"))
torch.save(network.eval()(torch.load("images.pt")), "logits.pt")
"""


def imported(text: str) -> set[str]:
    """The packages that a file imports."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in found]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("name", [*SHIPPED, "mbconv_k3_e1_se", "ghost_k3_e2_se", "mbconv_k3_e3_d2_g2x1"])
def test_every_kind_is_written_and_loads_again(name: str, tmp_path: Path) -> None:
    shipped, images, wanted = shipped_of(subject_of(described_of([[name]])))
    (found,) = write_torch(tmp_path, shipped, images, wanted).values()
    assert found.relative < 1e-4
    assert float(wanted.abs().max()) > 1e-3
    text = (tmp_path / "network.py").read_text()
    assert imported(text) == {"torch"}
    assert "evospace" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert load_written(tmp_path).state_dict().keys() == shipped.network.state_dict().keys()


def test_a_file_of_several_kinds_has_the_pyramid_too(tmp_path: Path) -> None:
    described = described_of(
        [["mbconv_k3_e1_se", "involution_k3_e1"], ["attention_k3_e1", "repvgg_k3"], ["maxpool_k3"]]
    )
    shipped, images, wanted = shipped_of(subject_of(described))
    write_torch(tmp_path, shipped, images, wanted)
    written, source = load_written(tmp_path), shipped.network
    assert isinstance(source, Network)
    assert written.feature_info == source.feature_info
    with torch.no_grad():
        pairs = zip(written.forward_pyramid(images), source.forward_pyramid(images), strict=True)  # type: ignore[operator]
        assert all(torch.equal(a, b) for a, b in pairs)


def test_empty_blocks_are_written(tmp_path: Path) -> None:
    described = described_of([[], ["conv_k3_e1"], [], [], ["conv_k3_e1"], [], []])
    shipped, images, wanted = shipped_of(subject_of(described))
    assert write_torch(tmp_path, shipped, images, wanted)


def test_folded_batch_norm_is_written(tmp_path: Path) -> None:
    shipped, images, wanted = shipped_of(subject_of(described_of([["mbconv_k3_e1", "mobileone_k3"]])), fold_bn=True)
    write_torch(tmp_path, shipped, images, wanted)
    assert "BatchNorm" not in (tmp_path / "network.py").read_text()


def test_what_is_not_the_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, images, wanted = shipped_of(subject_of(described_of([["conv_k3_e1"]])))
    source = torch_source(shipped)
    monkeypatch.setattr(torch_folder, "torch_source", lambda _: source.replace("nn.ReLU(inplace=True)", "nn.SiLU()"))
    with pytest.raises(UsageError, match="the written file changes the logits"):
        write_torch(tmp_path, shipped, images, wanted)
    monkeypatch.setattr(torch_folder, "torch_source", lambda _: source.replace("class Network", "class Other"))
    with pytest.raises(UsageError, match="does not run"):
        write_torch(tmp_path, shipped, images, wanted)


def test_blocks_are_commented() -> None:
    shipped, _, _ = shipped_of(subject_of(described_of([["conv_k3_e1"]])))
    assert "# 1: 16 x 8 x 8 -> 24 x 4 x 4: conv_k3_e1\n" in torch_source(shipped)


def test_a_pyramid_has_the_last_output_of_each_resolution() -> None:
    described = described_of([["conv_k3_e1"]])
    network = trained(described)
    maps = network.forward_pyramid(torch.zeros(2, 3, 8, 8))
    assert [tuple(m.shape) for m in maps] == [(2, 16, 8, 8), (2, 24, 4, 4), (2, 40, 2, 2)]
    assert [(i["module"], i["channels"], i["reduction"]) for i in network.feature_info] == [
        ("blocks.0", 16, 1),
        ("blocks.3", 24, 2),
        ("blocks.6", 40, 4),
    ]
    assert torch.equal(maps[-1], network.forward_features(torch.zeros(2, 3, 8, 8)))


@pytest.mark.slow
def test_the_folder_runs_where_there_is_no_evospace(tmp_path: Path) -> None:
    kinds = [["mbconv_k3_e1_se", "involution_k3_e1"], ["attention_k3_e1", "replk_k9_e1"], ["shufflev2_k3_e1"]]
    shipped, images, wanted = shipped_of(subject_of(described_of(kinds)))
    write_torch(tmp_path, shipped, images, wanted)
    torch.save(images, tmp_path / "images.pt")
    subprocess.run([sys.executable, "-I", "-c", ALONE], cwd=tmp_path, check=True, timeout=200)
    assert torch.allclose(torch.load(tmp_path / "logits.pt"), logits_of(shipped.network, images), atol=1e-5)


def test_shared_layers_are_written_twice(tmp_path: Path) -> None:
    described = described_of([["conv_k3_e1"]])
    network = trained(described)
    network.blocks[2] = network.blocks[3]
    shipped, images, wanted = shipped_of(subject_of(described, network))
    write_torch(tmp_path, shipped, images, wanted)
    assert isinstance(load_written(tmp_path), nn.Module)
