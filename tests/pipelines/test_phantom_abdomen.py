"""Generated abdomens: organs with their CT numbers, and tumours that lie in the liver and hold what is claimed."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from torso_phantoms import SMALL, VARIANTS, litres, looks, only, scanned, volumes_ml

from sliceweave.pipelines.phantom_abdomen import ABDOMEN_OPTIONS, grow_abdomen
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.pipelines.phantom_torso import TORSO
from sliceweave.pipelines.phantom_tumor import BRIGHT, KINDS, draw_tumors
from sliceweave.transforms.lattice import Field, ramp

TURNS = [0, 1, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(2, len(KINDS)))]
LARGE = 1


@cache
def abdomen(turn: int, healthy: bool = False) -> Subject:
    return grow_abdomen(np.random.default_rng([2, turn]), healthy, turn)


def test_an_abdomen_is_the_same_every_time() -> None:
    first, second = abdomen(0), grow_abdomen(np.random.default_rng([2, 0]), False, 0)
    assert all(np.array_equal(first.fields[name], second.fields[name]) for name in first.fields)
    assert np.array_equal(abdomen_hu(0), looks(second))
    assert np.array_equal(first.turn, second.turn)


def test_a_healthy_abdomen_has_no_tumour() -> None:
    healthy = abdomen(1, healthy=True)
    assert healthy.kinds == ()
    assert volumes_ml(healthy, SMALL, "tumor") == (0.0, 0.0)


@pytest.mark.slow
def test_all_kinds_of_tumour_take_turns() -> None:
    leads = [abdomen(turn).kinds[0] for turn in range(len(KINDS))]
    assert all(lead in (kind, BRIGHT) for lead, kind in zip(leads, KINDS, strict=True))
    assert len(set(leads)) > 3


def test_a_rare_kind_of_tumour_is_as_frequent_as_the_others_on_request() -> None:
    numbers = range(200)
    liver = np.full(TORSO.shape, 20.0, np.float32)
    drawn = [
        [focus.kind for n in numbers for focus in draw_tumors(np.random.default_rng(n), liver, "plain", even)[1:]]
        for even in (False, True)
    ]
    shares = [kinds.count(BRIGHT) / len(kinds) for kinds in drawn]
    assert shares[0] < 0.1 < 0.13 < shares[1] < 0.21


@cache
def plain_volumes_ml(turn: int) -> tuple[float, float]:
    return volumes_ml(abdomen(turn), SMALL, "tumor")


@cache
def abdomen_hu(turn: int) -> Field:
    return looks(abdomen(turn))


@pytest.mark.parametrize("turn", TURNS)
def test_tissues_of_the_abdomen_have_their_ct_numbers(turn: int) -> None:
    subject = abdomen(turn)
    fields, hu = subject.fields, abdomen_hu(turn)
    healthy = (fields["liver"] > 6) & (fields["tumor"] < -8) & (fields["vessel_far"] > 8)
    assert 45 < np.median(hu[healthy]) < 135
    assert -120 < np.median(hu[(fields["skin"] > 3) & (fields["muscle"] < -3) & (fields["sheet"] > 12)]) < -80
    assert np.median(hu[np.abs(fields["bone"] - 1.2) < 0.5]) > 400
    assert np.median(hu[(fields["lung"] > 8) & (fields["vessel_far"] > 6)]) < -700
    great = (fields["vessel_radius"] > 9) & (fields["vessel_far"] < 4) & (fields["liver"] < -3)
    assert 125 < np.median(hu[great & (fields["content"] < -3)]) < 195


@pytest.mark.parametrize("turn", TURNS)
def test_tumours_are_darker_than_the_liver_unless_drawn_bright(turn: int) -> None:
    subject = abdomen(turn)
    fields, hu = subject.fields, abdomen_hu(turn)
    inside = (fields["tumor"] > 5) & (fields["drop"] > 0)
    liver_hu = np.median(hu[(fields["liver"] > 6) & (fields["tumor"] < -8) & (fields["vessel_far"] > 8)])
    assert inside.any() or subject.kinds == (BRIGHT,)
    if inside.any():
        assert 10 < np.median(hu[inside]) < liver_hu - 10


@pytest.mark.parametrize("turn", TURNS)
def test_no_rim_of_a_tumour_looks_like_the_liver_around_it(turn: int) -> None:
    fields = abdomen(turn).fields
    rims = (fields["tumor"] > 0) & (fields["rim"] > 0)
    assert rims.any() or KINDS[turn % len(KINDS)] not in ("rim", "necrotic")
    assert (np.abs(fields["drop"] - fields["rim"])[rims] > 11.9).all()


@pytest.mark.parametrize("turn", TURNS)
def test_tumours_lie_in_the_liver(turn: int) -> None:
    fields = abdomen(turn).fields
    inside = fields["tumor"] > 0
    assert inside.any()
    assert (fields["tumor"] <= fields["liver"])[inside].all()


@pytest.mark.parametrize("turn", TURNS)
def test_tumour_of_the_label_is_the_tumour_of_the_truth(turn: int) -> None:
    label_ml, truth_ml = volumes_ml(abdomen(turn), replace(SMALL, slices=70, spacing_mm=(3.4, 3.7, 3.0)), "tumor")
    # A border voxel counts whole or not at all, 38 mm³ each: a tumour of 8 mm has no more than a few that do not.
    assert truth_ml > 0.2
    assert label_ml == pytest.approx(truth_ml, rel=0.08, abs=0.4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_tumour_is_the_same_however_the_abdomen_is_scanned(variant: str) -> None:
    label_ml, truth_ml = volumes_ml(abdomen(LARGE), VARIANTS[variant], "tumor")
    assert truth_ml == pytest.approx(plain_volumes_ml(LARGE)[1], rel=1e-6)
    assert label_ml == pytest.approx(truth_ml, rel=0.08)


@pytest.mark.slow
def test_abdomens_differ() -> None:
    livers = [litres(abdomen(turn), "liver") for turn in range(6)]
    tumors = [litres(abdomen(turn), "tumor") for turn in range(6)]
    assert all(0.6 < volume < 2.5 for volume in livers)
    assert max(livers) > 1.1 * min(livers)
    assert max(tumors) > 3 * min(tumors)


def test_the_usual_scan_holds_the_whole_liver() -> None:
    subject = abdomen(1)
    coarse = replace(ABDOMEN_OPTIONS, size=(64, 60), spacing_mm=(6.0, 6.2, ABDOMEN_OPTIONS.spacing_mm[2]))
    as_label = replace(only(subject, "liver"), labels={1: lambda samples: ramp(samples["liver"])})
    _, liver = scanned(as_label, coarse)
    assert not liver[..., [0, -1]].any()
    assert not liver[[0, -1]].any()
    assert not liver[:, [0, -1]].any()
