"""Every row of every table of the five papers, and a few more comparators, each built by one name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from sliceweave.networks import (
    EASUNet,
    FCN8s,
    InceptionResUNet,
    LGNet,
    RAUNet,
    ResUNet,
    SegNet,
    SelfAttentionUNet,
    U2Net,
    UNet,
    presets,
    u2net_lite,
)


class Task(NamedTuple):
    """What a paper's networks take and give; `size` is the paper's image size in pixels."""

    in_channels: int
    out_channels: int
    size: tuple[int, ...] = (512, 512)


class Entry(NamedTuple):
    """One network of the catalogue.

    Args:
        name: `<task>/<network>`, the task a key of `TASKS`.
        rows: in which tables of the paper the network stands, by the label of its row; empty for a network of no table.
        network: what is called with spatial_dims, in_channels, out_channels and `options`.
        printed: the parameter count as the paper prints it; empty where it prints none.
        own_size: the input size where it is not the task's; as many numbers as the network has dimensions.
    """

    name: str
    rows: Mapping[str, Sequence[int]]
    network: Callable[..., nn.Module]
    options: Mapping[str, Any] = {}
    printed: str = ""
    own_size: tuple[int, ...] = ()

    @property
    def task(self) -> Task:
        return TASKS[self.name.split("/")[0]]

    @property
    def size(self) -> tuple[int, ...]:
        return self.own_size or self.task.size


TASKS = {
    "hematoma": Task(in_channels=1, out_channels=1),
    "lung_infection": Task(in_channels=1, out_channels=1),
    "liver_tumor": Task(in_channels=1, out_channels=1),
    "knee_cartilage": Task(in_channels=1, out_channels=3, size=(384, 384)),
    "echo_left_ventricle": Task(in_channels=3, out_channels=1, size=(256, 256)),
    "comparator": Task(in_channels=1, out_channels=1),
}
_EVERY_CASE, _HARD_CASES = (1, 2), (3, 4, 5, 6)  # of the haematoma paper

ENTRIES = (
    Entry("hematoma/fcn8s", {"FCN8s": _EVERY_CASE}, FCN8s),
    Entry("hematoma/segnet", {"SegNet": _EVERY_CASE}, SegNet),
    Entry("hematoma/unet", {"U-Net": _EVERY_CASE + _HARD_CASES}, UNet),
    Entry(
        "hematoma/self_attention_unet",
        {"proposed": _EVERY_CASE + _HARD_CASES, "SA+CA+SPA": (7,)},
        SelfAttentionUNet,
    ),
    # The paper's ablation starts from plain U-Net; here a part is taken off the network, all else being equal.
    Entry("hematoma/sa", {"SA": (7,)}, SelfAttentionUNet, {"parts": ("SA",)}),
    Entry("hematoma/sa_ca", {"SA+CA": (7,)}, SelfAttentionUNet, {"parts": ("SA", "CA")}),
    Entry("lung_infection/segnet", {"SegNet": (1,)}, SegNet),
    Entry("lung_infection/u2net", {"U²-Net": (1,)}, U2Net),
    Entry("lung_infection/lg_net", {"LG-Net": (1,), "all": (2,)}, LGNet),
    # LG-Net without its parts is a U-Net, from which each row of the ablation differs in that part alone.
    Entry("lung_infection/unet", {"U-Net": (2,)}, LGNet, {"parts": ()}),
    Entry("lung_infection/multi_level_residual", {"+ multi-level residual": (2,)}, LGNet, {"parts": ("MLR",)}),
    Entry("lung_infection/lg_attention", {"+ LG-attention": (2,)}, LGNet, {"parts": ("LGA",)}),
    Entry("lung_infection/ff", {"+ FF": (2,)}, LGNet, {"parts": ("FF", "RSE")}),
    Entry("liver_tumor/unet", {"U-Net": (1,)}, RAUNet, {"attention": False, "residual": False}, "31.04 M"),
    Entry("liver_tumor/unet_attention", {"U-Net + attention": (1,)}, RAUNet, {"residual": False}, "31.39 M"),
    Entry("liver_tumor/unet_residual", {"U-Net + residual": (1,)}, RAUNet, {"attention": False}, "6.94 M"),
    Entry("liver_tumor/ra_unet", {"RA-U-Net": (1,)}, RAUNet, printed="7.29 M"),
    # The paper states no size for it: as many pixels as its slices have, 32 of them.
    Entry("liver_tumor/unet_3d", {"3D U-Net": (1,)}, presets.residual_unet_3d, own_size=(512, 512, 32)),
    Entry("knee_cartilage/unet", {"U-Net": (1,)}, UNet),
    Entry("knee_cartilage/unet_plus_plus", {"U-Net++": (1,)}, presets.unet_plus_plus),
    Entry("knee_cartilage/attention_unet", {"Att U-Net": (1,)}, presets.attention_unet),
    Entry("knee_cartilage/eas_unet", {"EAS U-Net": (1,)}, EASUNet),
    Entry("echo_left_ventricle/unet", {"U-Net": (2,)}, UNet),
    # The paper's ResUNet goes down four times, Zhang's own three times.
    Entry("echo_left_ventricle/res_unet", {"ResUNet": (2,)}, ResUNet, {"widths": (64, 128, 256, 512, 1024)}),
    Entry("echo_left_ventricle/inception_res_unet", {"proposed": (2,)}, InceptionResUNet),
    Entry("comparator/seg_res_net", {}, presets.seg_res_net),
    Entry("comparator/dyn_unet", {}, presets.dyn_unet),
    Entry("comparator/u2net_lite", {}, u2net_lite),
)


def find(name: str) -> Entry:
    """The catalogue's entry of that name.

    Raises:
        ValueError: there is none; the message lists those of its task, or of its network, or all.
    """
    known = {entry.name: entry for entry in ENTRIES}
    if name in known:
        return known[name]
    task, _, network = name.rpartition("/")
    close = [other for other in known if other.startswith(f"{task or network}/") or other.endswith(f"/{network}")]
    raise ValueError(f"no network is called {name!r}: choose from {', '.join(close or known)}")


def build(
    name: str,
    spatial_dims: int | None = None,
    in_channels: int | None = None,
    out_channels: int | None = None,
    widths: Sequence[int] | None = None,
    **options: Any,
) -> nn.Module:
    """The network of that name, as its paper has it except for what is given.

    Args:
        options: what else its constructor takes, such as `parts`.

    Raises:
        ValueError: no such network, or it cannot be had in so many dimensions or at such widths.
    """
    entry = find(name)
    dims = len(entry.size) if spatial_dims is None else spatial_dims
    ins = entry.task.in_channels if in_channels is None else in_channels
    outs = entry.task.out_channels if out_channels is None else out_channels
    options = {**entry.options, **options}
    if widths is not None:
        if entry.network is u2net_lite:
            raise ValueError(f"{name} has no widths to choose: take lung_infection/u2net")
        options["widths"] = widths
    return entry.network(dims, ins, outs, **options)
