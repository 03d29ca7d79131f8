from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.errors import UsageError
from evospace.problem import check_strategy, check_window, make_problem
from evospace.space.skeleton import make_skeleton
from evospace.strategies.strategy import STRATEGIES
from evospace.study.plan import COMPARED, FURTHER, TOLERANCE, VARIANTS, off_by, plan_jobs, reference_of, scaled_epochs
from evospace.study.settings import Kind, StudySettings, load_preset, merged, preset_names
from tests.study.made import a_job, settings

PRESETS: list[tuple[Kind, str]] = [(k, n) for k in ("space-size", "ablation") for n in preset_names(k)]


def test_every_kind_has_the_four_presets() -> None:
    assert {n for k, n in PRESETS if k == "space-size"} == {"tiny", "small", "gpu", "imagenet"}
    assert {n for k, n in PRESETS if k == "ablation"} == {"tiny", "small", "gpu", "imagenet"}


@pytest.mark.parametrize(("kind", "name"), PRESETS)
def test_a_preset_gives_equal_images_within_5_percent_under_unique_keys(kind: Kind, name: str) -> None:
    chosen = load_preset(kind, name)
    jobs = plan_jobs(chosen)
    assert len({job.key for job in jobs}) == len(jobs)
    for job in jobs:
        if job.variant == "random-draw":
            assert job.config.epochs == 1
            continue
        total = chosen.epochs * job.length
        assert abs(job.rounds * job.config.epochs - total) <= TOLERANCE * total
        scoring = job.rounds if job.config.strategy == "nse" else 1
        assert 0 <= chosen.samples - scoring * job.config.samples < job.rounds


@given(epochs=st.integers(1, 200), sizes=st.sets(st.integers(1, 27), min_size=1), lengths=st.sets(st.integers(1, 4)))
def test_images_are_equal_or_totals_that_make_them_so_are_named(
    epochs: int, sizes: set[int], lengths: set[int]
) -> None:
    lists = {"operations": ",".join(map(str, sizes)), "lengths": ",".join(map(str, lengths | {1}))}
    asked = settings(epochs=epochs, seeds=1, strategies="nse,one-shot,shrinking", **lists)
    try:
        jobs = plan_jobs(asked)
    except UsageError as error:
        totals = [int(text) for text in str(error).rpartition(": ")[2].split(", ")]
        assert totals
        for total in totals:
            plan_jobs(settings(epochs=total, seeds=1, strategies="nse,one-shot,shrinking", **lists))
        return
    assert all(off_by(epochs * job.length, job.rounds) <= TOLERANCE for job in jobs)


def test_one_seed_of_everything_comes_first_and_the_short_trainings_before_the_long() -> None:
    jobs = plan_jobs(settings(seeds=2, lengths="2,1", operations="5,27", strategies="nse,spos"))
    order = [(job.seed, job.length, job.operations, job.variant) for job in jobs]
    assert order[:5] == [(0, 1, 5, "nse"), (0, 1, 5, "spos"), (0, 1, 27, "nse"), (0, 1, 27, "spos"), (0, 2, 5, "nse")]
    assert [job.seed for job in jobs] == [0] * 8 + [1] * 8
    assert jobs[0].key == "nse-n5-x1-s0"


def test_a_strategy_is_given_only_what_it_reads() -> None:
    jobs = plan_jobs(settings(strategies="all", operations="5", seeds=1, candidates=3, train_gates="fitness"))
    assert {job.variant for job in jobs} == {*STRATEGIES, "nse-single", "nse-published"}
    by_name = {job.variant: job.config for job in jobs}
    assert (by_name["nse"].candidates, by_name["nse"].train_gates) == (3, "fitness")
    assert (by_name["spos"].candidates, by_name["spos"].train_gates) == (5, "in-budget")
    jobs = plan_jobs(settings(strategies="all", operations="5", seeds=1, refill="even", train_gates="uniform"))
    by_name = {job.variant: job.config for job in jobs}
    assert {name for name, config in by_name.items() if config.refill == "even"} == {
        "nse",
        "nse-single",
        "nse-published",
    }
    reading = {name for name, config in by_name.items() if config.train_gates == "uniform"}
    assert reading >= {"nse", "spos", "random", "shrinking", "regularized-evolution"}
    assert not reading & {"darts", "proxyless", "one-shot", "random-draw"}


@pytest.mark.parametrize(
    "changes",
    [
        {"candidates": 3},
        {"refill": "even"},
        {"weights": "fresh"},
        {"train_gates": "uniform"},
        {"train_gates": "fitness"},
        {"fitness_pairs": "unconditional"},
    ],
    ids=str,
)
def test_no_job_is_given_what_its_search_would_refuse(changes: dict[str, Any]) -> None:
    for job in plan_jobs(settings(strategies=",".join({**COMPARED, **FURTHER}), operations="5", seeds=1, **changes)):
        check_strategy(job.config)
        check_window(job.config)


def test_shrinking_by_fitness_trains_by_it_where_that_is_asked_for() -> None:
    by_name = {
        job.variant: job.config
        for job in plan_jobs(
            settings(
                strategies="shrinking,shrinking-by-fitness",
                operations="5",
                seeds=1,
                train_gates="fitness",
                fitness_pairs="unconditional",
            )
        )
    }
    default, by_fitness = by_name["shrinking"], by_name["shrinking-by-fitness"]
    assert (default.train_gates, default.fitness_pairs) == ("in-budget", "in-budget")
    assert (by_fitness.train_gates, by_fitness.fitness_pairs) == ("fitness", "unconditional")


def test_an_ablation_changes_one_thing_at_the_largest_size() -> None:
    jobs = plan_jobs(settings(kind="ablation", epochs=27, operations="5,27", seeds=1))
    assert [job.variant for job in jobs] == list(VARIANTS)
    assert {job.operations for job in jobs} == {27}
    base = jobs[0].config.to_dict()
    for job in jobs[1:]:
        changed = {k for k, v in job.config.to_dict().items() if v != base[k]} - {"epochs", "samples"}
        assert changed == {k for k, v in VARIANTS[job.variant].items() if v != base[k]}
        assert changed
    assert {job.variant: job.rounds for job in jobs if job.rounds != 7} == {"k3": 13, "k8": 4}


def test_variants_are_chosen_by_name_beside_the_base() -> None:
    jobs = plan_jobs(settings(kind="ablation", epochs=27, operations="27", seeds=1, variants="k3,published"))
    assert [job.variant for job in jobs] == ["base", "k3", "published"]
    with pytest.raises(UsageError, match="unknown variant 'k4'; did you mean k8 or k3"):
        plan_jobs(settings(kind="ablation", variants="k4"))
    with pytest.raises(UsageError, match="--variants is empty; known: base"):
        plan_jobs(settings(kind="ablation", variants=","))


def test_the_published_settings_stand_beside_ours() -> None:
    jobs = plan_jobs(settings(strategies="nse,nse-published", operations="27", seeds=1, epochs=28))
    ours, published = (job.config for job in jobs)
    assert (ours.strategy, published.strategy) == ("nse", "nse")
    assert (published.train_gates, published.fitness_pairs, published.weights) == ("uniform", "unconditional", "fresh")
    assert (ours.initial_weights, published.initial_weights) == ("aligned", "independent")
    assert (ours.initial_gates, published.initial_gates) == ("sparse", "uniform")
    assert [job.key for job in jobs] == ["nse-n27-x1-s0", "nse-published-n27-x1-s0"]


def test_images_that_must_not_be_mirrored_are_not_by_any_job() -> None:
    assert {job.config.flip for job in plan_jobs(settings(strategies="all"))} == {True}
    assert {job.config.flip for job in plan_jobs(settings(strategies="all", flip=False))} == {False}


def test_every_strategy_begins_as_the_study_says() -> None:
    for how in ("aligned", "independent"):
        jobs = plan_jobs(settings(strategies="all", operations="27", seeds=1, epochs=28, initial_weights=how))
        assert {job.config.initial_weights for job in jobs if job.variant != "nse-published"} == {how}
    for gates in ("sparse", "uniform"):
        jobs = plan_jobs(settings(strategies="all", operations="27", seeds=1, epochs=28, initial_gates=gates))
        assert {job.config.initial_gates for job in jobs if job.variant != "nse-published"} == {gates}


def test_the_subsets_of_a_seed_lie_inside_each_other() -> None:
    jobs = plan_jobs(settings(strategies="nse", operations="9,14,27", seeds=2))
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    spaces = {(j.seed, j.operations): make_problem(j.config, skeleton, (), 10).full.candidates for j in jobs}
    for seed in (0, 1):
        for small, large in pairwise((9, 14, 27)):
            pairs = zip(spaces[seed, small], spaces[seed, large], strict=True)
            assert all(set(mine) < set(other) for mine, other in pairs)
    assert spaces[0, 9] != spaces[1, 9]


def test_equal_seconds_scale_the_epochs_to_those_of_nse() -> None:
    assert scaled_epochs(28, seconds=10.0, reference=5.0) == 14
    assert scaled_epochs(4, seconds=10.0, reference=15.0) == 6
    assert scaled_epochs(1, seconds=10.0, reference=1.0) == 1
    assert scaled_epochs(28, seconds=0.0, reference=5.0) == 28  # trains no supernet
    asked = settings(strategies="spos", operations="27", seeds=1, epochs=3, equal="seconds")  # 3 are not divided by 7
    (job,) = plan_jobs(asked)
    reference = reference_of(job, asked)
    assert (reference.strategy, reference.operations, reference.epochs) == ("nse", 27, 1)


def test_a_study_is_given_more_to_do() -> None:
    old = settings(strategies="nse", operations="5,9", lengths="1", seeds=3)
    new = merged(old, settings(strategies="spos", operations="9,27", lengths="2", seeds=2))
    assert (new.strategies, new.operations, new.lengths, new.seeds) == ("nse,spos", "5,9,27", "1,2", 3)
    everything = merged(old, settings(strategies="all,darts-second-order", operations="5", lengths="1", seeds=1))
    assert {job.variant for job in plan_jobs(everything)} == {*COMPARED, "darts-second-order"}


@pytest.mark.parametrize("name", FURTHER)
def test_a_further_form_is_compared_where_it_is_named(name: str) -> None:
    strategy = FURTHER[name].get("strategy", "nse")
    further, usual = plan_jobs(settings(strategies=f"{name},{strategy}", operations="5", seeds=1))
    changed = {k for k, v in further.config.to_dict().items() if v != usual.config.to_dict()[k]}
    assert changed == set(FURTHER[name]) - {"strategy"}
    assert name not in {job.variant for job in plan_jobs(settings(strategies="all", operations="5", seeds=1))}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategies": "nse,spoos"}, "unknown strategy 'spoos'; did you mean spos"),
        ({"strategies": ","}, "--strategies is empty"),
        ({"operations": "5,72"}, "pool mobile27 has 27"),
        ({"operations": "5,x"}, "--operations '5,x': write whole numbers"),
        ({"operations": ""}, "--operations ''"),
        ({"lengths": "0"}, "--lengths '0'"),
        ({"lengths": "½"}, "--lengths '½'"),
        ({"epochs": 3, "operations": "27"}, "totals that do for rounds 1 and 7: 7, 14"),
        ({"epochs": 30, "operations": "5,27"}, "29, 34, 35"),
        ({"budget": "latency=3ms"}, "counts macs and params"),
        ({"seeds": 0}, "--seeds 0: allowed are 1 to 1000"),
        ({"equal": "time"}, "--equal 'time': allowed are images, seconds"),
        ({"pool": "mobile72"}, "mobile72"),
        ({"variants": "k3"}, "--variants has no effect with space-size; leave it out"),
        ({"kind": "ablation"}, "--strategies has no effect with ablation; leave it out"),
    ],
)
def test_what_cannot_be_planned_is_said(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_jobs(settings(**{"strategies": "nse,one-shot", **changes}))
    assert said in str(caught.value)


def test_what_is_missing_is_said_with_an_example() -> None:
    with pytest.raises(UsageError, match="--out is missing"):
        StudySettings().check_required()
    with pytest.raises(UsageError, match=r"--data is missing.*--preset gpu\|imagenet\|small\|tiny"):
        StudySettings(out="x").check_required()
    with pytest.raises(UsageError, match="did you mean tiny"):
        load_preset("space-size", "tinny")


def test_a_job_is_one_search() -> None:
    job = a_job(epochs=28, samples=140)
    assert (job.rounds, job.config.epochs, job.config.samples, job.config.operations) == (1, 28, 140, 5)
