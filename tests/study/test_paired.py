from dataclasses import replace

import pytest

from evospace.study.paired import difference, effects, of_whole_seeds
from tests.study.made import finished, result

JOBS = [
    *(finished("nse", s, a, 5) for s, a in enumerate((0.90, 0.92, 0.94))),
    *(finished("nse", s, a, 27) for s, a in enumerate((0.93, 0.93, 0.96))),
    finished("nse", 0, 0.99, 9),
    *(finished("spos", s, a, 5) for s, a in enumerate((0.91, 0.91))),
    finished("spos", 0, 0.90, 27),
    finished("spos", 1, None, 27),
    finished("spos", 7, 0.10, 5),
]


def test_an_interval_is_students() -> None:
    assert difference([]) is None
    one = difference([2.0])
    assert one is not None
    assert (one.mean, one.spread, one.half_width) == (2.0, None, None)
    two = difference([1.0, 3.0])
    assert two is not None
    assert two.half_width == pytest.approx(12.7062047)  # t of one degree, times sqrt(2) / sqrt(2)


def test_growth_is_from_the_smallest_to_the_largest_of_the_seeds_that_have_both() -> None:
    nse, spos = effects(JOBS, ["nse", "spos"])
    assert nse.growth is not None
    assert nse.growth.values == pytest.approx((3.0, 1.0, 2.0))
    assert spos.growth is not None
    assert spos.growth.values == pytest.approx((-1.0,))


def test_nse_is_compared_on_the_sizes_that_both_have_in_the_seeds_that_have_them_all() -> None:
    nse, spos = effects(JOBS, ["nse", "spos"])
    assert nse.behind is None
    assert spos.behind is not None
    assert spos.behind.values == pytest.approx((1.0,))  # ((90 - 91) + (93 - 90)) / 2; seed 1 has 5 operations alone
    assert nse.behind_in_largest is None
    assert spos.behind_in_largest is not None
    assert spos.behind_in_largest.values == pytest.approx((3.0,))


def test_one_size_of_several_is_no_mean_over_sizes() -> None:
    """It would be the same interval twice, beside others that are of all sizes."""
    jobs = [finished("nse", s, 0.9, n) for s in (0, 1) for n in (5, 27)]
    jobs += [finished("spos", s, 0.8, 27) for s in (0, 1)]
    (_, spos) = effects(jobs, ["nse", "spos"])
    assert spos.behind is None
    assert spos.behind_in_largest is not None
    assert spos.behind_in_largest.mean == pytest.approx(10.0)


def test_scores_grow_by_themselves_where_a_supernet_gave_them() -> None:
    """Of the seeds that have both sizes; what saw no image has no score to compare."""
    scores = {(0, 5): 0.8, (0, 27): 0.5, (1, 5): 0.7, (1, 27): 0.6, (2, 5): 0.1}
    jobs = [replace(finished("spos", s, 0.9, n), result=result(0.9, score=x)) for (s, n), x in scores.items()]
    unseen = [replace(job, variant="random-draw", result=result(0.9, images=0)) for job in jobs]
    spos, drawn = effects([*jobs, *unseen], ["spos"])
    assert spos.score_growth is not None
    assert spos.score_growth.values == pytest.approx((-30.0, -10.0))
    assert spos.growth is not None
    assert spos.growth.mean == pytest.approx(0.0)
    assert drawn.growth is not None
    assert drawn.score_growth is None


def test_a_study_of_one_size_has_no_growth_and_lengths_stand_apart() -> None:
    rows = effects([finished("spos", 0, 0.5, length=2), finished("nse", 0, 0.6)], ["nse", "spos"])
    assert [(row.method, row.length, row.growth, row.behind, row.behind_in_largest) for row in rows] == [
        ("nse", 1, None, None, None),
        ("spos", 2, None, None, None),
        ("nse", None, None, None, None),
        ("spos", None, None, None, None),
    ]


def test_all_lengths_together_are_the_mean_of_those_seeds_that_have_every_one() -> None:
    longer = [
        *(finished("nse", s, a, 5, length=4) for s, a in enumerate((0.95, 0.96))),
        *(finished("nse", s, a, 27, length=4) for s, a in enumerate((0.96, 0.99))),
        finished("spos", 0, 0.95, 27, length=4),
    ]
    *_, nse, spos = effects([*JOBS, *longer], ["nse", "spos"])
    assert (nse.length, nse.method, spos.length, spos.method) == (None, "nse", None, "spos")
    assert nse.growth is not None
    assert nse.growth.values == pytest.approx((2.0, 2.0))  # (3 + 1) / 2 and (1 + 3) / 2; seed 2 has length 1 alone
    assert spos.growth is None  # at length 4 it has no smallest space
    assert spos.behind_in_largest is not None
    assert spos.behind_in_largest.values == pytest.approx((2.0,))  # (93 - 90 + 96 - 95) / 2


def test_a_line_is_of_the_seeds_that_have_every_size() -> None:
    nse = [finished("nse", seed, 0.5, size) for seed in (0, 1) for size in (5, 27)]
    odd = [finished("nse", 2, 0.5, 5), finished("nse", 3, None, 27), finished("nse", 2, 0.5, 5, length=2)]
    apart = [finished("spos", 0, 0.5, 5), finished("spos", 1, 0.5, 27)]
    kept = of_whole_seeds([*nse, *odd, *apart])
    assert {job.key for job in kept} == {job.key for job in [*nse, odd[2], *apart]}


def test_nothing_finished_has_no_effects() -> None:
    assert effects([finished("nse", 0, None, 5)], ["nse"]) == []
