"""Named, ordered sets of operations. The order matters only to read the published networks. No torch here."""

from evospace.ops.filters import parse_pools
from evospace.ops.kinds import KINDS, gated
from evospace.ops.modern.grids import GRIDS
from evospace.ops.spec import OpSpec
from evospace.registry import Registry

Pool = tuple[OpSpec, ...]
POOLS: Registry[Pool] = Registry("pool")


def _mbconv(kernel: int, expansion: int, dilation: int = 1, groups: tuple[int, int] = (1, 1)) -> OpSpec:
    return OpSpec(kind="mbconv", kernel=kernel, expansion=expansion, dilation=dilation, groups=groups)


def _grid(kind: str, kernels: tuple[int, ...], expansions: tuple[int, ...]) -> Pool:
    return tuple(OpSpec(kind=kind, kernel=k, expansion=e) for k in kernels for e in expansions)


_KERNELS = (3, 5, 7, 9, 11)
_EXPANSIONS = (1, 3, 6)
_FACTORIZED = _grid("factorized", (5, 7), (1, 2, 4))

MOBILE27: Pool = (
    *(_mbconv(k, e, d) for k in _KERNELS for e in _EXPANSIONS for d in ((1, 2, 3) if k == 3 else (1,))),
    *_FACTORIZED,
)
GROUPED72: Pool = (
    *MOBILE27,
    *(_mbconv(k, e, groups=g) for k in _KERNELS for e in _EXPANSIONS for g in ((1, 2), (2, 1), (2, 2))),
)
LATENCY19: Pool = (
    *_grid("mbconv", (3, 5, 7), _EXPANSIONS),
    *_grid("conv", (3,), (1, 2)),
    *_grid("dualconv", (3,), (1, 2)),
    *_FACTORIZED,
)
_MBCONV = _grid("mbconv", (3, 5, 7), _EXPANSIONS)
MODERN: Pool = (
    *_MBCONV,
    *_grid("mbconv", (9, 11), (1, 3)),
    *(_mbconv(k, e, d) for k, d in ((3, 2), (3, 3), (5, 2)) for e in _EXPANSIONS),
    *(spec for kind, grid in GRIDS.items() for spec in grid.specs(kind)),
    *(spec.with_se() for spec in _MBCONV),
    *(spec.with_se() for kind, grid in GRIDS.items() if grid.se for spec in grid.specs(kind)),
)
POOLS.add("mobile27", MOBILE27)
POOLS.add("grouped72", GROUPED72)
POOLS.add("latency19", LATENCY19)
POOLS.add("modern", MODERN)


def pool_with(text: str, user_kinds: tuple[str, ...] = ()) -> Pool:
    """The pools that `text` names, followed by the operations of the given user kinds (no operation twice).

    `text` is as `parse_pools` reads it, e.g. ``mobile27,modern:kernel<=5``; its conditions do not touch user kinds.
    With some of those it may be empty.
    """
    named = parse_pools(text, POOLS) if text or not user_kinds else ()
    specs = [*named, *(spec for kind in user_kinds for spec in KINDS[kind].specs)]
    return tuple(dict.fromkeys(specs))


def pool_names(text: str, user_kinds: tuple[str, ...] = (), *, se: bool = False) -> tuple[str, ...]:
    """The names of `pool_with`'s operations, each once; `se` gives every one a squeeze-excite gate that can have it."""
    specs = pool_with(text, user_kinds)
    return tuple(dict.fromkeys((gated(spec) if se else spec).name for spec in specs))
