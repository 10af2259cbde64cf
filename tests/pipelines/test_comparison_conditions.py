import pytest
from monai.bundle import ConfigParser

from sliceweave.networks import LGNet, SegNet
from sliceweave.pipelines.bundles import task_settings, tasks
from sliceweave.pipelines.comparison_conditions import Conditions, parse_overrides, parse_seeds
from sliceweave.pipelines.contenders import Contender, contenders
from sliceweave.pipelines.errors import InputError


def one(task: str, name: str) -> Contender:
    (contender,) = contenders(task, name)
    return contender


def merged(conditions: Conditions, stages: list[str], overlay: dict[str, object]) -> ConfigParser:
    """The configuration as MONAI merges it from the files and what is laid over them."""
    parser = ConfigParser(ConfigParser.load_config_files(conditions.files(stages)))
    for name, value in overlay.items():
        parser[name] = value
    return parser


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("task", tasks())
def test_networks_differ_in_their_definition_and_widths_alone(task: str, compact: bool) -> None:
    conditions = Conditions(task, compact)
    first, *others = [one for one in contenders(task, "all") if not one.is_3d]
    stages = conditions.stages()
    reference = merged(conditions, stages, conditions.training(first)).get()
    for other in others:
        config = merged(conditions, stages, conditions.training(other)).get()
        assert {name for name in config if config[name] != reference[name]} <= {"network_def", "widths"}


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("task", tasks())
def test_what_was_trained_is_scored_as_it_was_trained_not_as_the_shipped_weights_are(task: str, compact: bool) -> None:
    conditions = Conditions(task, compact, {"plane_size": [48, 40]})
    contender = contenders(task, "all")[-1]
    stages = conditions.stages(contender.is_3d)
    training = merged(conditions, stages, conditions.training(contender))
    scoring = merged(conditions, [*stages, "evaluate"], conditions.evaluation(contender))
    for name in (*task_settings(task)["evaluate"], "network_def", "network_settings", "axcodes", "intensity"):
        assert scoring[name] == training[name]
    assert scoring["plane_size"] == [48, 40]
    assert scoring["ema_share"] == 0  # as evaluation has it, whatever the training's


def test_an_override_that_evaluation_settles_itself_is_left_to_it() -> None:
    conditions = Conditions("hematoma", False, {"amp": True, "ema_share": 0.1, "threshold": 0.4})
    overlay = conditions.evaluation(one("hematoma", "unet"))
    assert overlay["threshold"] == 0.4
    assert {"amp", "ema_share"} & overlay.keys() == set()


def test_the_recipe_is_the_bundles_but_for_what_is_given() -> None:
    recipe = Conditions("hematoma").configuration()
    assert (recipe["epochs"], recipe["learning_rate"], recipe["batch_size"]) == (50, 1e-4, 2)
    compact = Conditions("hematoma", compact=True).configuration()
    assert (compact["epochs"], compact["learning_rate"], compact["batch_size"]) == (12, 0.0015, 8)
    given = Conditions("hematoma", True, {"learning_rate": 0.1, "loss::pos_weight": None}, epochs=3).configuration()
    assert (given["epochs"], given["learning_rate"], given["loss"]["pos_weight"]) == (3, 0.1, None)


@pytest.mark.parametrize(("task", "share"), [("hematoma", 3 / 8), ("liver_tumor", 1 / 2), ("knee_cartilage", 1 / 8)])
def test_compact_narrows_every_network_as_it_narrows_the_bundles_own(task: str, share: float) -> None:
    assert Conditions(task).share == 1
    assert Conditions(task, compact=True).share == share
    assert Conditions(task, compact=True, width_share=0.3).share == 0.3


@pytest.mark.parametrize(
    ("task", "name", "parameters"),
    [
        ("hematoma", "unet", 31_042_369),
        ("liver_tumor", "ra_unet", 7_289_389),
        ("liver_tumor", "unet_3d", 18_941_930),
        ("knee_cartilage", "eas_unet", 16_153_189),
        ("echo_left_ventricle", "proposed", 57_198_919),
        ("lung_infection", "lg_net", 82_928_981),
    ],
)
def test_without_further_settings_networks_are_the_papers(task: str, name: str, parameters: int) -> None:
    assert Conditions(task).parameters(one(task, name)) == parameters


def test_a_network_gets_the_tasks_own_options_where_it_takes_them() -> None:
    conditions = Conditions("lung_infection", compact=True)
    definitions = [conditions.training(one("lung_infection", name))["network_def"] for name in ("lg_net", "segnet")]
    assert [definition.get("key_pooling") for definition in definitions] == ["@key_pooling", None]


def test_an_ablation_lacks_the_parts_it_is_without() -> None:
    conditions = Conditions("lung_infection", width_share=1 / 16)
    overlay = conditions.training(one("lung_infection", "LGNet[MLR+LGA]"))
    network = merged(conditions, ["train"], overlay).get_parsed_content("network_def")
    assert isinstance(network, LGNet)
    names = {type(module).__name__ for module in network.modules()}
    assert {"MultiLevelResidual", "LGAttention"} <= names
    assert "FeatureFusion" not in names


def test_a_row_of_another_paper_takes_this_tasks_channels() -> None:
    conditions = Conditions("echo_left_ventricle", width_share=1 / 16)
    overlay = conditions.training(one("echo_left_ventricle", "hematoma/segnet"))
    network = merged(conditions, ["train"], overlay).get_parsed_content("network_def")
    assert isinstance(network, SegNet)
    assert next(network.parameters()).shape[1] == 3


def test_side_outputs_are_supervised_by_the_tasks_own_loss() -> None:
    import torch

    conditions = Conditions("lung_infection", width_share=1 / 16)
    parser = merged(conditions, ["train"], conditions.training(one("lung_infection", "u2net")))
    loss, plain = (parser.get_parsed_content(name) for name in ("train::trainer::loss_function", "loss"))
    logits, truth = torch.randn(3, 2, 1, 8, 8), torch.randint(0, 2, (2, 1, 8, 8)).float()
    assert torch.isclose(loss(list(logits), truth), sum(plain(each, truth) for each in logits))
    assert torch.equal(loss(logits[0], truth), plain(logits[0], truth))


def test_a_loss_that_takes_side_outputs_stays_as_it_is() -> None:
    overlay = Conditions("knee_cartilage").training(one("knee_cartilage", "unet"))
    assert "train::trainer::loss_function" not in overlay


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"plane_sise": [64, 64]}, "--set plane_sise: the bundle's configuration has no 'plane_sise'"),
        ({"widths": [4, 8]}, "--set widths: a comparison sets that itself; give --width-share"),
        ({"epochs": 3}, "--set epochs: a comparison sets that itself; give --epochs"),
        ({"network_def::widths": [4]}, "--set network_def::widths: a comparison sets that itself; give --networks"),
        ({"epochs::x": 3}, "give --epochs"),
        ({"learning_rate::x": 3}, "--set learning_rate::x: there is no such place"),
        ({"loss::a::b": 3}, "--set loss::a::b: there is no such place"),
    ],
)
def test_an_override_of_what_is_not_there_or_not_free_is_one_line(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Conditions("hematoma", overrides=overrides).configuration()
    assert words in str(caught.value)


def test_parts_that_make_no_network_are_one_line() -> None:
    with pytest.raises(InputError, match=r"lg_net\[RSE\] cannot be built at these settings: .*RSE stands within FF"):
        Conditions("lung_infection").parameters(one("lung_infection", "LGNet[RSE]"))


def test_overrides_are_values_by_name() -> None:
    texts = ["plane_size=[64, 64]", "loss::gamma=1e-2", "amp=true", "start_from=none", "region=whole", "a=b=c"]
    assert parse_overrides(texts) == {
        "plane_size": [64, 64],
        "loss::gamma": 0.01,
        "amp": True,
        "start_from": None,
        "region": "whole",
        "a": "b=c",
    }
    for text in ("plane_size", "=3"):
        with pytest.raises(InputError, match="--set is NAME=VALUE"):
            parse_overrides([text])


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [0, 1, 2]), ("1", [0]), ("3,7", [3, 7]), ("7,", [7]), ("0,0, 2", [0, 2])]
)
def test_seeds_are_a_number_or_a_list(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "x", "-1", "1.5", ",", "1,x"])
def test_seeds_that_are_neither_are_one_line(text: str) -> None:
    with pytest.raises(InputError, match="--seeds is how many"):
        parse_seeds(text)
