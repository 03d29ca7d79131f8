"""What ships is executed: every config loads, every Python block of the README compiles, its operation conforms."""

import re
from pathlib import Path

import pytest
import yaml

import evospace.testing
from evospace.config import load_config
from evospace.ops.spec import OpSpec
from evospace.study.plan import PUBLISHED
from evospace.testing import check_operation

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_config_loads_and_is_complete(path: Path) -> None:
    config = load_config(path)
    config.check_required()
    assert config.to_dict().items() >= yaml.safe_load(path.read_text()).items()


def test_the_papers_settings_are_those_that_the_studies_compare() -> None:
    assert yaml.safe_load((ROOT / "configs/published.yaml").read_text()).items() >= PUBLISHED.items()


def test_the_readmes_python_compiles() -> None:
    assert len(BLOCKS) == 3
    for block in BLOCKS:
        compile(block, "README.md", "exec")


def test_the_readmes_operation_conforms_as_the_readme_checks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def spy(spec: OpSpec) -> None:
        check_operation(spec)
        checked.append(spec.name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evospace.testing, "check_operation", spy)
    Path("my_ops.py").write_text(BLOCKS[1])
    exec(compile(BLOCKS[2], "README.md", "exec"), {})
    assert checked == ["plain_k3", "plain_k5"]


def test_the_readmes_files_exist() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)|`((?:evospace|docs)/[\w/.]+)`", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
