"""Settings of runs and studies that an earlier version began."""

from pathlib import Path

import pytest

from evospace.config import NOT_PART_OF_THE_RESULT, SearchConfig, load_config
from evospace.errors import UsageError
from evospace.retraining.config import RetrainConfig
from evospace.settings_file import changed_settings, completed
from evospace.study.directory import StudyDirectory


def test_what_an_earlier_version_did_without_asking_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: digits\n")
    assert load_config(path, begun=True).initial_weights == "independent"
    assert load_config(path).initial_weights == "aligned"  # a file that somebody wrote for a new search
    path.write_text("data: digits\ninitial_weights: aligned\n")
    assert load_config(path, begun=True).initial_weights == "aligned"


def test_a_study_that_an_earlier_version_began_goes_on_as_it_began(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("kind: ablation\n")
    begun = StudyDirectory(tmp_path).require()
    assert (begun.initial_weights, begun.initial_gates) == ("independent", "uniform")


def test_a_choice_that_came_later_counts_as_changed() -> None:
    old = {key: value for key, value in SearchConfig().to_dict().items() if key != "initial_weights"}
    listed = changed_settings(SearchConfig, old, SearchConfig().to_dict(), NOT_PART_OF_THE_RESULT)
    assert listed == ["initial_weights: 'independent' -> 'aligned'"]
    same = SearchConfig(initial_weights="independent").to_dict()
    assert not changed_settings(SearchConfig, old, same, NOT_PART_OF_THE_RESULT)


def test_settings_that_a_command_does_not_have_are_not_added() -> None:
    assert completed(RetrainConfig, {"seeds": 2}) == {"seeds": 2}


def test_an_unknown_choice_is_told() -> None:
    with pytest.raises(UsageError, match="--initial-weights 'alike': allowed are aligned, independent"):
        SearchConfig(initial_weights="alike")  # type: ignore[arg-type]
