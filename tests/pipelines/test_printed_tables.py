from sliceweave.networks.catalogue import ENTRIES, TASKS
from sliceweave.pipelines.bundles import everywhere, labels_of
from sliceweave.pipelines.printed_tables import PAPERS, PRINTED_TABLES, tables_of
from sliceweave.pipelines.score_summary import ALL, METRIC_NAMES

TESTED = [task for task in TASKS if task != "comparator"]


def test_every_row_of_the_catalogue_has_printed_values_in_each_of_its_tables_and_no_other_has() -> None:
    in_catalogue = {
        (entry.name.split("/")[0], table, row)
        for entry in ENTRIES
        for row, tables in entry.rows.items()
        for table in tables
    }
    assert {(table.task, table.number, row) for table in PRINTED_TABLES for row in table.rows} == in_catalogue


def test_every_row_has_a_number_for_every_metric() -> None:
    for table in PRINTED_TABLES:
        for row in table.rows:
            values = [float(text) for text in table.printed(row).values()]
            assert len(values) == len(table.metrics)
            assert all(0 < value < 100 for value in values)


def test_a_row_that_is_not_printed_has_no_values() -> None:
    assert PRINTED_TABLES[0].printed("U-Net++") == {}


def test_every_metric_is_one_of_the_tasks_own_and_of_a_label_of_its() -> None:
    for table in PRINTED_TABLES:
        labels = {*labels_of(table.task).values(), ALL}
        assert {metric.name for metric in table.metrics} <= METRIC_NAMES & set(everywhere(table.task)["paper_metrics"])
        assert {metric.label for metric in table.metrics} <= labels


def test_what_a_paper_prints_of_the_same_network_twice_is_the_same() -> None:
    first, _, *_, ablation = tables_of("hematoma")
    assert list(first.printed("proposed").values()) == list(ablation.printed("SA+CA+SPA").values())
    segmentation, parts = tables_of("lung_infection")
    assert list(segmentation.printed("LG-Net").values()) == list(parts.printed("all").values())


def test_iou_lies_between_half_of_dice_and_dice() -> None:
    """Of means over cases, IoU lies between Dice / 2 and Dice: Dice = 2 IoU / (1 + IoU) for each."""
    for table in PRINTED_TABLES:
        by_name = {metric.name: metric for metric in table.metrics}
        if not {"dice", "iou"} <= by_name.keys():
            continue
        for row in table.rows:
            printed = table.printed(row)
            dice, iou = (float(printed[by_name[name]]) for name in ("dice", "iou"))
            assert dice / 2 < iou < dice


def test_a_root_mean_square_error_is_never_below_the_mean_absolute_error() -> None:
    tables = [table for table in PRINTED_TABLES if table.title.startswith("bleeding volume")]
    assert [table.number for table in tables] == [2, 4, 6]
    for table in tables:
        for row in table.rows:
            rmse_ml, mae_ml = map(float, table.printed(row).values())
            assert rmse_ml > mae_ml


def test_improvements_that_the_haematoma_papers_text_states_follow_from_its_table() -> None:
    """Over U-Net, Rvd falls by 14.90 %, Dice rises by 2.76 % and IOU by 4.69 %."""
    table = tables_of("hematoma")[0]
    ours, unet = ([float(text) for text in table.printed(row).values()] for row in ("proposed", "U-Net"))
    changes = [f"{100 * (a - b) / b:.2f}" for a, b in zip(ours, unet, strict=True)]
    assert changes == ["-14.90", "2.76", "4.69"]


def test_improvements_that_the_ventricle_papers_text_states_follow_from_its_table() -> None:
    """Over U-Net 5.03 points of Dice and 1.37 of accuracy, over ResUNet 1.71 and 0.91."""
    (table,) = tables_of("echo_left_ventricle")
    rows = {row: [float(text) for text in table.printed(row).values()] for row in table.rows}
    for row, expected in {"U-Net": ["5.03", "1.37"], "ResUNet": ["1.71", "0.91"]}.items():
        assert [f"{a - b:.2f}" for a, b in zip(rows["proposed"], rows[row], strict=True)] == expected


def test_every_task_has_a_paper_and_a_table_over_all_its_test_patients() -> None:
    assert set(PAPERS) == set(TESTED)
    assert [table.number for table in tables_of("hematoma")] == [1, 2, 7]
    assert all(tables_of(task) for task in TESTED)
    assert {table.subgroup for table in PRINTED_TABLES} == {"", "irregular", "near skull"}


def test_values_of_ours_are_shown_in_the_papers_unit_and_digits() -> None:
    lung, knee = tables_of("lung_infection")[0], tables_of("knee_cartilage")[0]
    assert (lung.metrics[0].scale, lung.decimals(lung.metrics[0])) == (100, 1)
    assert (knee.metrics[3].scale, knee.decimals(knee.metrics[3])) == (1, 2)
