import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sliceweave.networks import UNet
from sliceweave.networks.attention import SelfAttention
from sliceweave.networks.catalogue import ENTRIES, find
from sliceweave.pipelines.cli import main
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.network_table import COLUMNS, as_text, network_row, network_rows, operations, write_networks


@pytest.fixture
def sliceweave(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Any, str, str]]:
    """The console command, run in an empty folder: what it exits with, its output and its messages."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["sliceweave", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code, *capsys.readouterr()

    return run


def test_operations_of_a_small_unet_are_those_counted_by_hand() -> None:
    with torch.device("meta"):
        net = UNet(2, in_channels=1, out_channels=1, widths=(2, 3))
    full, half = 8 * 12, 4 * 6
    multiplications = (
        *(9 * 1 * 2 * full, 9 * 2 * 2 * full),  # 3×3 convolutions, 1 → 2 → 2
        *(9 * 2 * 3 * half, 9 * 3 * 3 * half),  # 2 → 3 → 3
        4 * 3 * 2 * half,  # each of the smaller map's pixels gives 2×2 pixels
        *(9 * 4 * 2 * full, 9 * 2 * 2 * full),  # 2 + 2 → 2 → 2
        2 * full,  # 1×1, 2 → 1
    )
    assert operations(net, (1, 8, 12)) == 2 * sum(multiplications)


def test_operations_of_attention_are_those_counted_by_hand() -> None:
    with torch.device("meta"):
        attention = SelfAttention(8)
    pixels, channels = 3 * 5, 8
    projections, scores, gathering = 3 * pixels * channels**2, pixels**2 * channels, pixels**2 * channels
    assert operations(attention, (8, 3, 5)) == 2 * (projections + scores + gathering)


def test_a_row_says_where_the_network_stands_and_what_it_costs() -> None:
    row = network_row(find("hematoma/self_attention_unet"))
    assert tuple(row) == COLUMNS
    gflops = row.pop("gflops")
    assert isinstance(gflops, float)
    assert round(gflops) == 225
    assert row == {
        "name": "hematoma/self_attention_unet",
        "paper": "hematoma",
        "table": "1–6, 7",
        "row": "proposed, SA+CA+SPA",
        "parameters": 9_638_484,
        "input": "1×512×512",
        "printed_parameters": "",
    }


def test_a_volume_network_is_measured_on_a_volume_and_a_printed_count_is_repeated() -> None:
    assert network_row(find("liver_tumor/unet_3d"))["input"] == "1×512×512×32"
    assert network_row(find("liver_tumor/ra_unet"))["printed_parameters"] == "7.29 M"


def test_the_rows_of_one_task_are_chosen() -> None:
    names = ["knee_cartilage/unet", "knee_cartilage/unet_plus_plus", "knee_cartilage/attention_unet"]
    assert [row["name"] for row in network_rows("knee_cartilage")] == [*names, "knee_cartilage/eas_unet"]


def test_an_unknown_task_names_the_tasks() -> None:
    with pytest.raises(InputError, match=r"^no networks for a task 'spleen': choose from hematoma, lung_infection"):
        network_rows("spleen")


def test_the_printed_table_fits_a_terminal_and_its_numbers_stand_to_the_right() -> None:
    heading, *lines = as_text(network_rows()).splitlines()
    assert len(lines) == len(ENTRIES)
    assert max(map(len, [heading, *lines])) <= 120
    at = {line.split()[0]: line for line in lines}
    count, gflops = at["liver_tumor/ra_unet"].index("7,289,389"), at["lung_infection/lg_net"].index("15,")
    assert at["liver_tumor/unet"].index("31,042,369") == count - 1
    assert at["hematoma/fcn8s"].index("134,272,995") == count - 2
    assert at["hematoma/unet"].index("384.7") == gflops + 3


def test_the_file_holds_the_rows_with_plain_numbers(tmp_path: Path) -> None:
    write_networks(tmp_path / "networks.csv", "liver_tumor")
    rows = list(csv.DictReader((tmp_path / "networks.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 5
    assert rows[0] == {
        "name": "liver_tumor/unet",
        "paper": "liver_tumor",
        "table": "1",
        "row": "U-Net",
        "parameters": "31042369",
        "gflops": "384.735",
        "input": "1×512×512",
        "printed_parameters": "31.04 M",
    }


def test_the_command_prints_a_task_or_writes_a_file(sliceweave: Callable[..., Any], tmp_path: Path) -> None:
    status, printed, messages = sliceweave("networks", "--task", "echo_left_ventricle")
    assert (status, messages) == (0, "")
    assert [line.split()[0] for line in printed.splitlines()] == [
        "name",
        "echo_left_ventricle/unet",
        "echo_left_ventricle/res_unet",
        "echo_left_ventricle/inception_res_unet",
    ]
    assert sliceweave("networks", "--task", "echo_left_ventricle", "--csv", "n.csv") == (0, "", "")
    assert len((tmp_path / "n.csv").read_text("utf-8").splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--task", "spleen"],
            "error: no networks for a task 'spleen': choose from hematoma, lung_infection, liver_tumor, "
            "knee_cartilage, echo_left_ventricle, comparator",
        ),
        (["--csv", "nowhere/n.csv"], "error: cannot write nowhere/n.csv: there is no folder nowhere; create it"),
    ],
)
def test_a_mistake_is_one_line(sliceweave: Callable[..., Any], arguments: list[str], message: str) -> None:
    assert sliceweave("networks", *arguments) == (message, "", "")


def test_a_folder_in_place_of_the_file_is_wrong_usage(sliceweave: Callable[..., Any]) -> None:
    status, printed, messages = sliceweave("networks", "--csv", ".")
    assert (status, printed) == (2, "")
    assert "is a directory" in messages
