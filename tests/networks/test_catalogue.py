import inspect

import pytest
import torch

from sliceweave import networks
from sliceweave.networks.catalogue import ENTRIES, TASKS, Entry, build, find

_BOTH = ["U-Net", "proposed"]
ROWS_OF_THE_PAPERS = {
    ("hematoma", 1): ["FCN8s", "SegNet", "U-Net", "proposed"],
    ("hematoma", 2): ["FCN8s", "SegNet", "U-Net", "proposed"],
    ("hematoma", 3): _BOTH,
    ("hematoma", 4): _BOTH,
    ("hematoma", 5): _BOTH,
    ("hematoma", 6): _BOTH,
    ("hematoma", 7): ["SA", "SA+CA", "SA+CA+SPA"],
    ("lung_infection", 1): ["SegNet", "U²-Net", "LG-Net"],
    ("lung_infection", 2): ["U-Net", "+ multi-level residual", "+ LG-attention", "+ FF", "all"],
    ("liver_tumor", 1): ["U-Net", "U-Net + attention", "U-Net + residual", "RA-U-Net", "3D U-Net"],
    ("knee_cartilage", 1): ["U-Net", "U-Net++", "Att U-Net", "EAS U-Net"],
    ("echo_left_ventricle", 2): ["U-Net", "ResUNet", "proposed"],
}
PARAMETERS = {
    "hematoma/fcn8s": 134_272_995,
    "hematoma/segnet": 29_442_433,
    "hematoma/unet": 31_042_369,
    "hematoma/self_attention_unet": 9_638_484,
    "hematoma/sa": 9_593_548,
    "hematoma/sa_ca": 9_638_088,
    "lung_infection/segnet": 29_442_433,
    "lung_infection/u2net": 44_008_717,
    "lung_infection/lg_net": 82_928_981,
    "lung_infection/unet": 31_383_681,
    "lung_infection/multi_level_residual": 51_652_225,
    "lung_infection/lg_attention": 31_427_321,
    "lung_infection/ff": 62_616_797,
    "liver_tumor/unet": 31_042_369,
    "liver_tumor/unet_attention": 31_393_901,
    "liver_tumor/unet_residual": 6_937_857,
    "liver_tumor/ra_unet": 7_289_389,
    "liver_tumor/unet_3d": 18_941_930,
    "knee_cartilage/unet": 31_042_499,
    "knee_cartilage/unet_plus_plus": 9_118_723,
    "knee_cartilage/attention_unet": 31_739_315,
    "knee_cartilage/eas_unet": 16_153_189,
    "echo_left_ventricle/unet": 31_043_521,
    "echo_left_ventricle/res_unet": 33_136_449,
    "echo_left_ventricle/inception_res_unet": 57_198_919,
    "comparator/seg_res_net": 6_298_497,
    "comparator/dyn_unet": 5_684_545,
    "comparator/u2net_lite": 1_130_029,
}
PRINTED = {"unet": "31.04 M", "unet_attention": "31.39 M", "unet_residual": "6.94 M", "ra_unet": "7.29 M"}

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(name).parameters())


def narrow_widths(entry: Entry) -> list[int] | None:
    """A sixteenth of the network's own widths, where it has some to choose."""
    widths = inspect.signature(entry.network).parameters.get("widths")
    return [width // 16 for width in widths.default] if widths else None


def test_every_row_of_every_table_stands_in_the_catalogue_once() -> None:
    rows = [
        (entry.name.split("/")[0], table, label)
        for entry in ENTRIES
        for label, tables in entry.rows.items()
        for table in tables
    ]
    expected = [(task, table, label) for (task, table), labels in ROWS_OF_THE_PAPERS.items() for label in labels]
    assert sorted(rows) == sorted(expected)


def test_names_are_unique_and_begin_with_their_task() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert {name.split("/")[0] for name in names} == set(TASKS)


def test_every_network_of_the_package_stands_in_the_catalogue() -> None:
    everything = {getattr(networks, name) for name in networks.__all__}
    assert everything <= {entry.network for entry in ENTRIES}


@each_entry
@torch.no_grad()
def test_each_builds_by_name_and_gives_its_tasks_channels(entry: Entry) -> None:
    network = build(entry.name, widths=narrow_widths(entry)).eval()
    size = (33, 17, 9)[: len(entry.size)]
    logits = network(torch.rand(1, entry.task.in_channels, *size))
    assert logits.shape == (1, entry.task.out_channels, *size)


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_parameter_counts_are_pinned(name: str, expected: int) -> None:
    assert parameters(name) == expected


def test_every_parameter_count_is_pinned() -> None:
    assert set(PARAMETERS) == {entry.name for entry in ENTRIES}


def test_counts_that_a_paper_prints_are_met_to_the_digit() -> None:
    printed = {entry.name: entry.printed for entry in ENTRIES if entry.printed}
    assert printed == {f"liver_tumor/{name}": count for name, count in PRINTED.items()}
    assert {name: f"{parameters(name) / 1e6:.2f} M" for name in printed} == printed


def test_what_is_given_replaces_the_papers_preset() -> None:
    network = build("hematoma/unet", spatial_dims=3, in_channels=5, out_channels=2, widths=(4, 8))
    assert network(torch.rand(1, 5, 7, 9, 11)).shape == (1, 2, 7, 9, 11)


def test_a_network_of_two_dimensions_refuses_a_third() -> None:
    with pytest.raises(ValueError, match="U2Net is defined in 2D only"):
        build("lung_infection/u2net", spatial_dims=3)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("echo_left_ventricle/unetr", "echo_left_ventricle/unet, echo_left_ventricle/res_unet, echo_left"),
        ("echo_left_ventricle", "echo_left_ventricle/unet, echo_left_ventricle/res_unet, echo_left"),
        ("segnet", "hematoma/segnet, lung_infection/segnet"),
        ("spleen/segnet", "hematoma/segnet, lung_infection/segnet"),
        ("unetr", ", ".join(entry.name for entry in ENTRIES)),
    ],
)
def test_an_unknown_name_lists_those_close_to_it_or_all(name: str, listed: str) -> None:
    with pytest.raises(ValueError, match=f"^no network is called '{name}': choose from {listed}"):
        find(name)
