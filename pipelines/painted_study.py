"""One painted study: a head CT with drawn bleedings and another appearance, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.studies import Study
from sliceweave.pipelines.study_source import PAINTED, source_of
from sliceweave.transforms.appearance import RandomizeAppearance
from sliceweave.transforms.hard_negatives import SynthesizeHardNegatives
from sliceweave.transforms.head_scan import HeadScan, Orientation
from sliceweave.transforms.head_transform import HeadTransform
from sliceweave.transforms.hematoma import draw_bleedings
from sliceweave.transforms.hematoma_growth import Bleeding
from sliceweave.transforms.hematoma_tissue import bleed
from sliceweave.transforms.reader_outline import reader_outline
from sliceweave.transforms.skull import bone_and_air_hu, intensity_range

_TRIES = 8
_LEAST_ML = 0.02
_SEEN_HU = 8.0  # above the brain at least: what nobody could outline is not the truth
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class PaintOptions:
    """What is painted.

    Attributes:
        odds: of each kind of bleeding.
        healthy_share: share of studies without blood.
        is_varied: whether they also get hard negatives and another appearance.
        is_outlined: whether labels are what a reader would outline; else where at least half of a voxel is blood.
    """

    odds: Mapping[str, float]
    healthy_share: float = 0.2
    is_varied: bool = True
    is_outlined: bool = False


@dataclass(frozen=True, eq=False)
class PaintedStudy:
    """One study.

    Attributes:
        image: (I, J, K) int16, HU.
        label: (I, J, K) uint8, 1 where at least half of the voxel is blood, or what a reader would outline.
        affine_ras: (4, 4).
        kinds: of bleedings.
        volume_ml: of the exact share of blood.
        contrast_hu: mean of the blood above the head's brain, before its appearance was changed; None without blood.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine_ras: NDArray[np.float64]
    kinds: tuple[str, ...]
    volume_ml: float
    contrast_hu: float | None


def paint_study(head: Study, seed: tuple[int, int], options: PaintOptions) -> PaintedStudy:
    """The study of a head, a seed and an index; the same every time.

    Raises:
        InputError: the head cannot be read, has unevenly spaced slices, or shows no brain inside a skull.
    """
    rng = np.random.RandomState(np.random.SeedSequence(seed).generate_state(8))
    is_healthy = rng.uniform() < options.healthy_share
    scan, turn = _opened(head)
    if options.is_varied:
        scan = _varied(scan, SynthesizeHardNegatives(), rng)
    plain = scan
    bleedings: tuple[Bleeding, ...] = ()
    if not is_healthy:
        scan, bleedings = _bled(scan, rng, options.odds)
    contrast_hu = _contrast_of(scan, plain) if bleedings else None
    if options.is_varied:
        scan = _varied(scan, RandomizeAppearance(), rng)
    label = scan.share >= 0.5
    if options.is_outlined:
        bone_hu, _ = bone_and_air_hu(*intensity_range(scan.hu[:, ::3, ::3].ravel()))
        label = reader_outline(label, scan.hu > bone_hu, scan.spacing_mm[:2])
    return _closed(scan, label, turn, bleedings, contrast_hu)


def _opened(head: Study) -> tuple[HeadScan, Orientation]:
    source = read_scan(head.image, head.study_id)
    if source_of(source.header) == PAINTED or (head.label and read_scan(head.label).voxels.any()):
        raise InputError(f"{head.image.name}: expected a head without haemorrhage, got one that has some; leave it out")
    if "uneven_slices" in source.geometry.flags:
        raise InputError(f"{head.image.name}: expected evenly spaced slices, got uneven ones; leave it out")
    affine_ras = np.asarray(source.geometry.affine_ras, np.float64)
    turn = Orientation.of(affine_ras)
    hu = np.maximum(turn.to_planes(source.voxels), -1024)  # padding of any value becomes air
    scan = HeadScan(hu, np.zeros_like(hu), affine_ras @ turn.matrix(hu))
    if scan.head is None:
        raise InputError(f"{head.image.name}: expected a head CT in HU, found no brain inside a skull; leave it out")
    return scan, turn


def _varied(scan: HeadScan, transform: HeadTransform, rng: np.random.RandomState) -> HeadScan:
    transform.set_random_state(state=rng)
    transform.randomize()
    return transform.apply(scan, transform.drawn)


def _bled(
    scan: HeadScan, rng: np.random.RandomState, odds: Mapping[str, float]
) -> tuple[HeadScan, tuple[Bleeding, ...]]:
    """Bleedings are drawn again where the head has no place for them, as ventricles that cannot be seen, and where
    nobody could tell them from the brain, as thin blood diluted by CSF.
    """
    for _ in range(_TRIES):
        bleedings = draw_bleedings(rng, odds)
        painted = scan
        grown: list[Bleeding] = []
        for bleeding in bleedings:
            after = bleed(painted, (bleeding,))
            if after.blood_ml > painted.blood_ml + _LEAST_ML and _contrast_of(after, painted) >= _SEEN_HU:
                painted = after
                grown.append(bleeding)
        if grown:
            return painted, tuple(grown)
    return scan, ()


def _contrast_of(after: HeadScan, before: HeadScan) -> float:
    """HU above the brain, in the mean, of the blood that one has and the other has not."""
    added = np.maximum(after.share - before.share, 0)
    return float(np.average(after.hu, weights=added)) - (before.head.brain_hu if before.head else 0.0)


def _closed(
    scan: HeadScan,
    label: NDArray[np.bool_],
    turn: Orientation,
    bleedings: tuple[Bleeding, ...],
    contrast_hu: float | None,
) -> PaintedStudy:
    image = turn.from_planes(np.clip(np.rint(scan.hu), _INT16.min, _INT16.max)).astype(np.int16)
    affine_ras = scan.affine_ras @ np.linalg.inv(turn.matrix(scan.hu))
    kinds = tuple(sorted({bleeding.kind for bleeding in bleedings}))
    return PaintedStudy(image, turn.from_planes(label).astype(np.uint8), affine_ras, kinds, scan.blood_ml, contrast_hu)
