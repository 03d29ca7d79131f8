"""What ships is executed: every config loads, every Python block of the README compiles, its operation conforms."""

import re
from pathlib import Path

import pytest
import yaml

from evospace.config import load_config
from evospace.ops.kinds import KINDS
from evospace.ops.user import load_ops_file
from evospace.testing import check_operation

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_config_loads_and_is_complete(path: Path) -> None:
    config = load_config(path)
    config.check_required()
    assert config.to_dict().items() >= yaml.safe_load(path.read_text()).items()


def test_the_readmes_python_compiles() -> None:
    assert len(BLOCKS) == 2
    for block in BLOCKS:
        compile(block, "README.md", "exec")


def test_the_readmes_operation_conforms(tmp_path: Path) -> None:
    path = tmp_path / "my_ops.py"
    path.write_text(BLOCKS[1])
    (kind,) = load_ops_file(path)
    for spec in KINDS[kind].specs:
        check_operation(spec)


def test_the_readmes_files_exist() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)|`((?:evospace|docs)/[\w/.]+)`", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
