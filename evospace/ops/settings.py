"""Reading a spec's settings in a factory; `build_op` turns what is raised here into a `UsageError`. No torch here."""

from evospace.ops.spec import OpSpec

_UNSET = {"kernel": None, "expansion": None, "dilation": 1, "groups": (1, 1)}


def settings(spec: OpSpec, *names: str, groups: bool = False) -> tuple[int, ...]:
    """The values of kernel, expansion or dilation as `names` orders them; raises `AssertionError` otherwise.

    A setting that is not asked for has to be left out of the spec, so that no two names mean one operation.
    """
    used = {*names, "groups"} if groups else {*names}
    for name, unset in _UNSET.items():
        assert name in used or getattr(spec, name) == unset, f"{spec.kind} has no {name}"
    values = [getattr(spec, name) for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    assert not missing, f"{' and '.join(missing)} missing"
    assert spec.kernel is None or spec.kernel % 2, "the kernel must be odd"
    return tuple(values)
