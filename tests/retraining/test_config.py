from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from evospace.errors import UsageError
from evospace.retraining.config import RetrainConfig, load_recipe, recipe_names
from evospace.training.recipe import RANGES, Recipe


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_changes_only_the_recipe(name: str) -> None:
    config = load_recipe(name)
    for field in fields(RetrainConfig):
        if field.name not in {f.name for f in fields(Recipe)}:
            assert getattr(config, field.name) == field.default
    assert config.recipe() == Recipe(**{f.name: getattr(config, f.name) for f in fields(Recipe)})


def test_the_recipes_are_there() -> None:
    assert recipe_names() == ("imagenet", "small-images")


def test_every_number_of_a_recipe_has_its_range() -> None:
    numbers = {f.name for f in fields(Recipe) if f.type in (int, float) or "int" in str(f.type)}
    assert numbers == {name for name, _, _ in RANGES}
    for name, low, high in RANGES:
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
            RetrainConfig(**cast(Any, {name: low - 1}))
        with pytest.raises(UsageError, match="allowed are"):
            RetrainConfig(**cast(Any, {name: high * 2 + 1}))


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 7\nmixup: 0.2\n")
    assert load_recipe(str(path)) == replace(load_recipe("small-images"), epochs=7, mixup=0.2)
    path.write_text("epoch: 7\n")
    with pytest.raises(UsageError, match="did you mean epochs"):
        load_recipe(str(path))
