"""Generated chests: lungs with vessels, and infections that lie in them and hold what is claimed."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from torso_phantoms import SMALL, VARIANTS, litres, looks, only, scanned, volumes_ml

from sliceweave.pipelines.phantom_chest import CHEST_OPTIONS, grow_chest
from sliceweave.pipelines.phantom_infection import KINDS
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.transforms.lattice import Field, Fields, ramp

TURNS = [0, 1, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(2, len(KINDS)))]


@cache
def chest(turn: int, healthy: bool = False) -> Subject:
    return grow_chest(np.random.default_rng([6, turn]), healthy, turn)


@cache
def chest_hu(turn: int) -> Field:
    return looks(chest(turn))


@cache
def plain_volumes_ml(turn: int) -> tuple[float, float]:
    return volumes_ml(chest(turn), SMALL, "infection")


def aerated(fields: Fields) -> Field:
    free = (fields["vessel_far"] > 6) & (fields["trunk"] < -5) & (fields["airway"] < -5)
    return (fields["lung"] > 8) & free & (fields["infection"] < -9)


def test_a_chest_is_the_same_every_time() -> None:
    first, second = chest(0), grow_chest(np.random.default_rng([6, 0]), False, 0)
    assert all(np.array_equal(first.fields[name], second.fields[name]) for name in first.fields)
    assert np.array_equal(chest_hu(0), looks(second))
    assert np.array_equal(first.shift_ras_mm, second.shift_ras_mm)


def test_a_healthy_chest_has_no_infection() -> None:
    healthy = chest(1, healthy=True)
    assert healthy.kinds == ()
    assert volumes_ml(healthy, SMALL, "infection") == (0.0, 0.0)
    # The lowest part of a lung may be collapsed in a patient who lies on the back.
    lung_hu = looks(healthy)[aerated(healthy.fields) & (healthy.fields["front"] > -55)]
    assert np.mean(lung_hu > -600) < 0.002


@pytest.mark.slow
def test_all_kinds_of_infection_take_turns() -> None:
    assert tuple(chest(turn).kinds[0] for turn in range(len(KINDS))) == KINDS


@pytest.mark.parametrize("turn", TURNS)
def test_tissues_of_the_chest_have_their_ct_numbers(turn: int) -> None:
    subject = chest(turn)
    fields, hu = subject.fields, chest_hu(turn)
    assert -920 < np.median(hu[aerated(fields)]) < -740
    assert -120 < np.median(hu[(fields["skin"] > 3) & (fields["muscle"] < -3) & (fields["sheet"] > 12)]) < -80
    assert 30 < np.median(hu[(fields["muscle"] > 3) & (fields["bone"] < -4) & (fields["sheet"] > 6)]) < 80
    assert np.median(hu[np.abs(fields["bone"] - 1.2) < 0.5]) > 400
    assert np.median(hu[(fields["airway"] > 4)]) < -950
    assert (hu[fields["skin"] < -1] == -1000).all()


@pytest.mark.parametrize("turn", TURNS)
def test_ground_glass_is_denser_than_lung_and_consolidation_is_soft_tissue(turn: int) -> None:
    subject = chest(turn)
    fields, hu = subject.fields, chest_hu(turn)
    lung_hu = np.median(hu[aerated(fields)])
    glass = (fields["infection"] > 4) & (fields["firm"] < -4) & (fields["vessel_far"] > 4)
    firm = (fields["firm"] > 4) & (fields["infection"] > 4) & (fields["vessel_far"] > 4)
    assert glass.sum() > 50 or firm.sum() > 50
    if glass.sum() > 50:
        assert lung_hu + 80 < np.median(hu[glass]) < -120
    if firm.sum() > 50:
        assert -130 < np.median(hu[firm]) < 90


@pytest.mark.parametrize("turn", TURNS)
def test_infection_lies_in_the_lungs(turn: int) -> None:
    fields = chest(turn).fields
    infected = fields["infection"] > 0
    assert infected.any()
    assert (fields["infection"] <= fields["lung"])[infected].all()


@pytest.mark.parametrize("turn", TURNS)
def test_infection_of_the_label_is_the_infection_of_the_truth(turn: int) -> None:
    label_ml, truth_ml = plain_volumes_ml(turn)
    # A border voxel counts whole or not at all: 63 mm³ each, and lobulated foci lose their smallest gaps.
    assert truth_ml > 1
    assert label_ml == pytest.approx(truth_ml, rel=0.08, abs=0.7)


@pytest.mark.parametrize("variant", VARIANTS)
def test_infection_is_the_same_however_the_chest_is_scanned(variant: str) -> None:
    label_ml, truth_ml = volumes_ml(chest(0), VARIANTS[variant], "infection")
    assert truth_ml == pytest.approx(plain_volumes_ml(0)[1], rel=1e-6)
    assert label_ml == pytest.approx(truth_ml, rel=0.08)


@pytest.mark.slow
def test_chests_differ() -> None:
    lungs = [litres(chest(turn), "lung") for turn in range(6)]
    lesions = [litres(chest(turn), "infection") for turn in range(6)]
    assert all(2 < volume < 7 for volume in lungs)
    assert max(lungs) > 1.1 * min(lungs)
    assert max(lesions) > 3 * min(lesions)


def test_the_usual_scan_covers_the_lungs() -> None:
    lungs = replace(only(chest(1), "lung"), labels={1: lambda samples: ramp(samples["lung"])})
    coarse = replace(CHEST_OPTIONS, size=(64, 60), spacing_mm=(5.6, 5.9, CHEST_OPTIONS.spacing_mm[2]))
    label = scanned(lungs, coarse)[1]
    areas = label.sum((0, 1))
    # The recesses behind the diaphragm may go on below.
    assert max(areas[0], areas[-1]) < 0.12 * areas.max()
    assert not label[[0, -1]].any()
    assert not label[:, [0, -1]].any()


def test_vessels_are_seen_in_the_lungs_even_where_they_are_finer_than_the_lattice() -> None:
    subject = chest(1, healthy=True)
    fields, hu = subject.fields, looks(subject)
    fine = (
        (fields["vessel_radius"] < 1.2) & (fields["vessel_far"] < 0.6) & (fields["lung"] > 6) & (fields["airway"] < -5)
    )
    assert fine.sum() > 50
    assert np.median(hu[fine]) > np.median(hu[aerated(fields)]) + 300
