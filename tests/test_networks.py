from pathlib import Path

import pytest

from evospace.errors import DataError, UsageError
from evospace.networks import find_network, find_networks, run_of
from evospace.runs.contents import Origin
from evospace.runs.network_file import load_description, save_description
from tests.retraining.runs import front


def test_a_front_stands_for_all_of_its_members_and_a_number_for_one(tmp_path: Path) -> None:
    path = front(tmp_path / "front.json", members=3)
    for name in (str(path), str(tmp_path)):
        found = find_networks(name)
        assert [f.index for f in found] == [0, 1, 2]
        assert [f.described.name for f in found] == [f"{name}#{i}" for i in range(3)]
    (one,) = find_networks(f"{path}#1")
    assert one.described.architecture == found[1].described.architecture
    assert find_network(str(path)).index == 2
    assert run_of(str(path)) is None


@pytest.mark.parametrize("place", ["#3", "#-1", "#", "#x", "#99999999999999999999"])
def test_a_member_that_is_not_there_is_named(place: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="members #0 to #1"):
        find_networks(f"{front(tmp_path / 'front.json')}{place}")


def test_a_folder_may_have_a_hash_in_its_name(tmp_path: Path) -> None:
    for name in ("photos #2", "photos", "#1"):
        (tmp_path / name).mkdir()
        front(tmp_path / name / "front.json", members=2)
    for folder in ("photos #2", "#1"):
        assert len(find_networks(str(tmp_path / folder))) == 2
        (one,) = find_networks(f"{tmp_path / folder}#1")
        assert (one.index, one.described.name) == (1, f"{tmp_path / folder}#1")
    description = tmp_path / "photos #2" / "network.json"
    save_description(description, find_network("nsenet").described)
    assert find_network(str(description)).described.name == "nsenet"
    (tmp_path / "photos#1").mkdir()
    front(tmp_path / "photos#1/front.json", members=1)
    (tmp_path / "photos#1/run.db").touch()
    found = run_of(f"{tmp_path}/photos#1")
    assert found is not None
    assert found.path.name == "photos#1"


def test_a_description_is_found_by_its_file_or_folder(tmp_path: Path) -> None:
    described = find_network("nsenet").described
    origin = Origin(data="images", place="here", test="these", flip=False)
    save_description(tmp_path / "network.json", described, 3, origin)
    found = find_network(str(tmp_path))
    assert (found.described, found.data_seed, found.origin) == (described, 3, origin)
    assert load_description(tmp_path / "network.json") == (described, 3, origin)
    content = (tmp_path / "network.json").read_text()
    (tmp_path / "network.json").write_text(content.replace('"data_seed": 3', '"data_seed": "3"'))
    with pytest.raises(DataError, match=r"network\.json: data_seed is a whole number"):
        find_network(str(tmp_path))
    (tmp_path / "network.json").write_text(content.replace('"place": "here"', '"place": 1'))
    with pytest.raises(DataError, match=r"network\.json: .*an origin holds texts"):
        find_network(str(tmp_path))
    (tmp_path / "network.json").write_text("{}")
    with pytest.raises(DataError, match=r"network\.json: not a network's description"):
        find_network(str(tmp_path / "network.json"))


def test_published_names_do_not_depend_on_case() -> None:
    assert find_network("NSENet").described.name == "nsenet"
    assert find_network("nsenet-gpu", se=True).described.architecture.blocks[1][0].endswith("_se")
