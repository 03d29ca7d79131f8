"""The settings that each kind of the pool `modern` comes in. No torch here."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from evospace.ops.kinds import F, operation
from evospace.ops.spec import OpSpec


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One operation per combination of these settings; `se` says whether the kind honours squeeze-excite."""

    kernel: tuple[int | None, ...] = (None,)
    expansion: tuple[int | None, ...] = (None,)
    dilation: tuple[int, ...] = (1,)
    se: bool = False

    def specs(self, kind: str) -> tuple[OpSpec, ...]:
        """The operations, without squeeze-excite; the last setting varies fastest."""
        settings = itertools.product(self.kernel, self.expansion, self.dilation)
        return tuple(OpSpec(kind=kind, kernel=k, expansion=e, dilation=d) for k, e, d in settings)


GRIDS: dict[str, Grid] = {
    "mbconv_eca": Grid(kernel=(3, 5, 7), expansion=(1, 3, 6)),
    "fused_mbconv": Grid(kernel=(3, 5), expansion=(1, 2, 4), se=True),
    "uib_extra": Grid(kernel=(3, 5, 7), expansion=(2, 3, 4, 6)),
    "uib_convnext": Grid(kernel=(3, 5, 7), expansion=(2, 3, 4, 6)),
    "uib_ffn": Grid(expansion=(2, 3, 4, 6)),
    "sandglass": Grid(kernel=(3, 5, 7), expansion=(2, 4)),
    "sepconv": Grid(kernel=(3, 5, 7)),
    "dilconv": Grid(kernel=(3, 5), dilation=(2, 3)),
    "ghost": Grid(kernel=(3, 5), expansion=(1, 2, 3, 6), se=True),
    "shufflev2": Grid(kernel=(3, 5, 7, 9), expansion=(1, 2)),
    "shufflev2_xception": Grid(kernel=(3, 5)),
    "mixconv": Grid(kernel=(5, 7, 9, 11), expansion=(1, 3, 6), se=True),
    "fasternet": Grid(kernel=(3, 5, 7), expansion=(1, 2, 4)),
    "inceptionnext": Grid(kernel=(7, 11), expansion=(2, 4)),
    "basic": Grid(kernel=(3,)),
    "bottleneck": Grid(kernel=(3, 5, 7), expansion=(1, 2), se=True),
    "resnext": Grid(kernel=(3, 5, 7), expansion=(1, 2)),
    "repvgg": Grid(kernel=(3, 5)),
    "mobileone": Grid(kernel=(3, 5, 7)),
    "replk": Grid(kernel=(9, 13, 17), expansion=(1, 2)),
    "convnext": Grid(kernel=(3, 5, 7, 9, 11), expansion=(2, 4)),
    "convnextv2": Grid(kernel=(5, 7, 9), expansion=(2, 4)),
    "starnet": Grid(kernel=(3, 5, 7), expansion=(2, 3, 4)),
    "lka": Grid(kernel=(5, 7), expansion=(1, 2), dilation=(2, 3)),
    "avgpool": Grid(kernel=(3, 5, 7)),
    "maxpool": Grid(kernel=(3, 5, 7)),
    "poolformer": Grid(kernel=(3, 5, 7), expansion=(2, 4)),
    "attention": Grid(kernel=(3, 5, 7), expansion=(1, 2)),
    "pvt": Grid(kernel=(3, 5, 7), expansion=(2, 4)),
    "involution": Grid(kernel=(3, 5, 7), expansion=(1, 2)),
}


def modern(factory: F) -> F:
    """Register a factory under its own name with the settings of its grid."""
    grid = GRIDS[factory.__name__]
    register: Callable[[F], F] = operation(
        kernel=grid.kernel, expansion=grid.expansion, dilation=grid.dilation, se=grid.se
    )
    return register(factory)
