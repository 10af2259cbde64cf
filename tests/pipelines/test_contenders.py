import pytest

from sliceweave.networks.catalogue import ENTRIES, TASKS
from sliceweave.pipelines.contenders import Contender, contenders, known_parts
from sliceweave.pipelines.errors import InputError

PAPERS = [task for task in TASKS if task != "comparator"]


def names(task: str, text: str) -> list[str]:
    return [contender.name for contender in contenders(task, text)]


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        ("hematoma", "UNet,SelfAttentionUNet", ["hematoma/unet", "hematoma/self_attention_unet"]),
        ("hematoma", "U-Net, proposed ,FCN8s", ["hematoma/unet", "hematoma/self_attention_unet", "hematoma/fcn8s"]),
        ("hematoma", "sa_ca,SA+CA", ["hematoma/sa_ca"]),
        ("lung_infection", "U²-Net,u2net,LGNet", ["lung_infection/u2net", "lung_infection/lg_net"]),
        ("lung_infection", "unet,+ FF", ["lung_infection/unet", "lung_infection/ff"]),
        ("liver_tumor", "RAUNet,unet,3D U-Net", ["liver_tumor/ra_unet", "liver_tumor/unet", "liver_tumor/unet_3d"]),
        ("knee_cartilage", "U-Net++,UNet", ["knee_cartilage/unet_plus_plus", "knee_cartilage/unet"]),
        ("echo_left_ventricle", "ResUNet", ["echo_left_ventricle/res_unet"]),
        ("hematoma", "lung_infection/lg_net,comparator/dyn_unet", ["lung_infection/lg_net", "comparator/dyn_unet"]),
    ],
)
def test_a_network_is_found_by_name_row_or_class(task: str, text: str, expected: list[str]) -> None:
    assert names(task, text) == expected


@pytest.mark.parametrize("task", PAPERS)
def test_all_is_every_row_of_the_tasks_tables_once(task: str) -> None:
    assert names(task, "all") == [entry.name for entry in ENTRIES if entry.name.startswith(f"{task}/")]


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.rows], ids=lambda entry: entry.name)
def test_every_row_is_found_by_its_short_name_and_by_its_label(entry: object) -> None:
    (wanted,) = [one for one in ENTRIES if one is entry]
    task, short = wanted.name.split("/")
    assert names(task, short) == [wanted.name]
    for label in set(wanted.rows) - {"all"}:
        assert names(task, label) == [wanted.name]


@pytest.mark.parametrize(
    ("task", "text", "name", "options"),
    [
        ("lung_infection", "LGNet[MLR+LGA]", "lung_infection/lg_net[MLR+LGA]", {"parts": ["MLR", "LGA"]}),
        ("lung_infection", "lgnet[lga + mlr]", "lung_infection/lg_net[MLR+LGA]", {"parts": ["MLR", "LGA"]}),
        ("hematoma", "SelfAttentionUNet[CA]", "hematoma/self_attention_unet[CA]", {"parts": ["CA"]}),
        ("hematoma", "SelfAttentionUNet[]", "hematoma/self_attention_unet[]", {"parts": []}),
        ("echo_left_ventricle", "proposed[SA]", "echo_left_ventricle/inception_res_unet[SA]", {"parts": ["SA"]}),
        ("hematoma", "lung_infection/lg_net[LGA]", "lung_infection/lg_attention", {}),
    ],
)
def test_an_ablation_has_the_parts_that_stand_in_brackets(
    task: str, text: str, name: str, options: dict[str, object]
) -> None:
    (found,) = contenders(task, text)
    assert (found.name, found.options) == (name, options)


@pytest.mark.parametrize(
    ("task", "text", "row"),
    [
        ("hematoma", "SelfAttentionUNet[CA+SA]", "hematoma/sa_ca"),
        ("hematoma", "SelfAttentionUNet[SA+CA+SPA]", "hematoma/self_attention_unet"),
        ("lung_infection", "LGNet[]", "lung_infection/unet"),
        ("lung_infection", "LGNet[FF+RSE]", "lung_infection/ff"),
        ("liver_tumor", "RAUNet[attention]", "liver_tumor/unet_attention"),
        ("liver_tumor", "RAUNet[]", "liver_tumor/unet"),
    ],
)
def test_parts_that_are_a_row_of_a_table_are_that_row(task: str, text: str, row: str) -> None:
    (found,) = contenders(task, text)
    assert found.name == row
    assert found.rows


def test_an_ablation_of_no_table_stands_in_no_row_and_has_a_folder_of_its_own() -> None:
    found = contenders("lung_infection", "LGNet,LGNet[MLR+LGA],LGNet[MLR]")
    assert [bool(one.rows) for one in found] == [True, False, True]
    assert [one.slug for one in found] == [
        "lung_infection-lg_net",
        "lung_infection-lg_net-MLR+LGA",
        "lung_infection-multi_level_residual",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("UNetr", "no network of hematoma is called 'UNetr': choose from fcn8s, segnet, unet, self_attention_unet, sa"),
        ("lung_infection/unetr", "no network of hematoma is called 'lung_infection/unetr': choose from fcn8s"),
        ("lg_net", "no network of hematoma is called 'lg_net'"),
        ("UNet[SA]", "hematoma/unet has no part 'sa': it has none to take off"),
        ("SelfAttentionUNet[SA+MLR]", "hematoma/self_attention_unet has no part 'mlr': choose from SA, CA, SPA"),
        ("UNet[SA", "expected a name, or a name and parts such as LGNet[MLR+LGA]; got 'UNet[SA'"),
        (" , ", "--networks names none: choose from fcn8s"),
    ],
)
def test_what_cannot_be_found_is_one_line_with_the_choices(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        contenders("hematoma", text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_widths_are_the_networks_own_times_the_share() -> None:
    found = {one.entry.name: one for one in contenders("hematoma", "all,echo_left_ventricle/res_unet")}
    assert found["hematoma/unet"].widths(0.25) == [16, 32, 64, 128, 256]
    assert found["hematoma/self_attention_unet"].widths(0.25) == [16, 32, 64, 128]
    assert found["hematoma/fcn8s"].widths(1) == [64, 128, 256, 512, 512, 4096]
    assert found["echo_left_ventricle/res_unet"].widths(0.125) == [8, 16, 32, 64, 128]
    assert found["hematoma/unet"].widths(0.001) == [1, 1, 1, 1, 1]


def test_a_network_without_widths_is_compared_at_full_width_only() -> None:
    (lite,) = contenders("lung_infection", "comparator/u2net_lite")
    assert lite.widths(1) is None
    with pytest.raises(InputError, match="comparator/u2net_lite has no widths to choose"):
        lite.widths(0.5)


def test_parts_are_those_the_constructor_names_or_switches() -> None:
    parts = {entry.name: known_parts(entry) for entry in ENTRIES}
    assert parts["lung_infection/lg_net"] == ("MLR", "LGA", "FF", "RSE")
    assert parts["liver_tumor/unet"] == ("attention", "residual")
    assert parts["hematoma/unet"] == ()


def test_a_3d_row_is_known_as_such() -> None:
    assert [Contender(entry).name for entry in ENTRIES if Contender(entry).is_3d] == ["liver_tumor/unet_3d"]
