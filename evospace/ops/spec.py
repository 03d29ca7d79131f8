"""What an operation is called and where it stands: no torch here.

An operation is known by its canonical *name*; the name and the `OpSpec` determine each other.
"""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from evospace.errors import DataError, UsageError

_NAME = re.compile(
    r"(?P<kind>[a-z][a-z0-9]*(?:_[a-z0-9]+)*?)"
    r"(?:_k(?P<kernel>[1-9][0-9]{0,4}))?(?:_e(?P<expansion>[1-9][0-9]{0,4}))?(?:_d(?P<dilation>[1-9][0-9]{0,4}))?"
    r"(?:_g(?P<g1>[1-9][0-9]{0,4})x(?P<g2>[1-9][0-9]{0,4}))?(?P<se>_se)?"
)
_KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SETTING = re.compile(r"[ked][0-9]+|g[0-9]+x[0-9]+|se")


@dataclass(frozen=True, kw_only=True)
class OpSpec:
    """One candidate operation, e.g. `mbconv_k3_e6`.

    `kernel` and `expansion` are `None` for kinds that have none. Raises `UsageError` for values that
    would make the name ambiguous or the module impossible.
    """

    kind: str
    kernel: int | None = None
    expansion: int | None = None
    dilation: int = 1
    groups: tuple[int, int] = (1, 1)
    """Groups of the first and of the last 1x1 convolution."""
    se: bool = False
    """Squeeze-excite before the last 1x1 convolution."""

    def __post_init__(self) -> None:
        numbers = [self.dilation, *self.groups]
        numbers += [n for n in (self.kernel, self.expansion) if n is not None]
        if not all(isinstance(n, int) and 1 <= n <= 99999 for n in numbers) or len(self.groups) != 2:
            raise UsageError(
                f"operation {self.kind!r}: kernel, expansion, dilation and groups are whole numbers, from 1 to 99999"
            )
        confusing = any(_SETTING.fullmatch(part) for part in self.kind.split("_"))
        if confusing or not _KIND.fullmatch(self.kind) or parse_name(self.name) != asdict(self):
            raise UsageError(
                f"operation kind {self.kind!r}: use lower-case letters, digits and single underscores,"
                " and no part that reads like a setting (k3, e6, d2, g1x2, se)"
            )

    @property
    def name(self) -> str:
        """Canonical name: kind, then k, e, then d, g and se where they differ from the default."""
        parts = [self.kind]
        parts += [f"k{self.kernel}"] if self.kernel is not None else []
        parts += [f"e{self.expansion}"] if self.expansion is not None else []
        parts += [f"d{self.dilation}"] if self.dilation != 1 else []
        parts += [f"g{self.groups[0]}x{self.groups[1]}"] if self.groups != (1, 1) else []
        parts += ["se"] if self.se else []
        return "_".join(parts)

    @classmethod
    def parse(cls, name: str) -> "OpSpec":
        """The spec of a canonical name; raises `UsageError` for anything else."""
        spec = cls(**parse_name(name))
        if spec.name != name:
            raise UsageError(f"operation {name!r} is not a canonical name; write {spec.name!r}")
        return spec

    def with_se(self) -> "OpSpec":
        """The same operation with squeeze-excite."""
        return replace(self, se=True)

    def to_json(self) -> dict[str, Any]:
        """A full description in plain JSON values."""
        return asdict(self) | {"groups": list(self.groups)}

    @classmethod
    def from_json(cls, data: Any) -> "OpSpec":
        """The inverse of `to_json`; raises `DataError` for another form."""
        try:
            return cls(**(dict(data) | {"groups": tuple(data["groups"])}))
        except (TypeError, KeyError, ValueError, AttributeError, UsageError) as error:
            raise DataError(f"not an operation's description: {data!r:.120}") from error


def parse_name(name: str) -> dict[str, Any]:
    """The settings in an operation's name, as keyword arguments of `OpSpec`."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"{name!r} is not an operation's name; names look like mbconv_k3_e6 or mbconv_k3_e1_d2_se")
    text = match.groupdict()
    return {
        "kind": text["kind"],
        "kernel": int(text["kernel"]) if text["kernel"] else None,
        "expansion": int(text["expansion"]) if text["expansion"] else None,
        "dilation": int(text["dilation"] or 1),
        "groups": (int(text["g1"] or 1), int(text["g2"] or 1)),
        "se": text["se"] is not None,
    }


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Where an operation stands.

    It maps (in_channels, H, W) to (out_channels, ceil(H/stride), ceil(W/stride)).
    """

    in_channels: int
    out_channels: int
    stride: int
    resolution: int
    """Height and width of the block's input, in pixels."""
    activation: str = "relu"
    """`relu` or `swish`."""

    @property
    def keeps_shape(self) -> bool:
        """Whether the input itself can be a term of the block's mean; otherwise this is a reduction block."""
        return self.in_channels == self.out_channels and self.stride == 1

    @property
    def out_resolution(self) -> int:
        """Height and width of the output, in pixels."""
        return -(-self.resolution // self.stride)
