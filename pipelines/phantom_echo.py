"""Generated echocardiography: cines of the apical four-chamber view with the left ventricle's cavity as label."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.phantom_case import PhantomCase
from sliceweave.pipelines.phantom_echo_marks import Marks, draw_marks
from sliceweave.pipelines.phantom_grid import PhantomOptions, ScanGrid
from sliceweave.pipelines.phantom_heart import Heart, draw_heart, leaflets_mm, moment_at, outline_mm, resting_mm
from sliceweave.pipelines.phantom_heart_chambers import lattice_index
from sliceweave.pipelines.phantom_heart_tissue import Echoes, draw_echoes
from sliceweave.pipelines.phantom_sector import Sector, draw_sector
from sliceweave.pipelines.phantom_ultrasound import Reflections, Scanner, Speckle, draw_scanner
from sliceweave.transforms.lattice import Field

_LABEL = 1
_FLIPPED_SHARE = 0.3
_SCREEN_PIXELS = (32, 4096)
_MARGIN = 0.03


@dataclass(frozen=True)
class Pose:
    """How a heart lies before the probe: its apex right of and below the sector's tip, its axis turned from the beam.

    Over the beat it sways by `sway_mm` to the side and `rock` radians; over the cine it drifts by `drift_mm`.
    """

    apex_mm: tuple[float, float]
    turn: float
    sway_mm: float
    rock: float
    drift_mm: tuple[float, float]

    def at(self, ejected: float, progress: float) -> "Pose":
        """The pose at a moment, with nothing left to move."""
        x = self.apex_mm[0] + self.sway_mm * ejected + self.drift_mm[0] * np.sin(3 * progress)
        z = self.apex_mm[1] + self.drift_mm[1] * np.sin(3 * progress)
        return Pose((x, z), self.turn + self.rock * ejected, 0, 0, (0, 0))

    def to_probe(self, x: Field, z: Field) -> tuple[Field, Field]:
        """From the heart's frame to the sector's."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return self.apex_mm[0] + cosine * x + sine * z, self.apex_mm[1] - sine * x + cosine * z

    def to_heart(self, x: Field | float, z: Field | float) -> tuple[Field, Field]:
        """From the sector's frame to the heart's."""
        x, z = x - self.apex_mm[0], z - self.apex_mm[1]
        cosine, sine = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        return cosine * x - sine * z, sine * x + cosine * z


@dataclass(frozen=True)
class Exam:
    """One patient before one scanner: everything but the speckle.

    Attributes:
        beats: moments of the frames, counted in beats from an end of diastole.
        flipped: the left heart is shown on the left.
        valve: amplitude of the leaflets.
    """

    heart: Heart
    pose: Pose
    sector: Sector
    scanner: Scanner
    marks: Marks
    beats: Field
    flipped: bool
    valve: float


def make_echo(seed: int, index: int, options: PhantomOptions) -> PhantomCase:
    """The study `index` of a seed: (columns, rows, frames) of greys 0…255, and 1 in the left ventricle's cavity.

    `options.slices` is the number of frames and `options.spacing_mm` is not heeded: the scanner chooses the depth, and
    the affine holds the pixel size that follows from it. The third axis is time, with a step of 1.

    Raises:
        InputError: options that a cine does not have, or a size that is none.
    """
    exam = draw_exam(seed, index, options)
    _, tissue_rng, speckle_rng = np.random.default_rng([seed, index]).spawn(3)
    echoes = draw_echoes(exam.heart, tissue_rng, np.array(exam.pose.to_heart(0.0, exam.sector.cap_mm - 4)))
    image = np.empty(options.shape, np.int16)
    label = np.empty(options.shape, np.uint8)
    for frame, (picture, mask) in enumerate(_frames(exam, echoes, speckle_rng)):
        image[..., frame], label[..., frame] = picture.T, mask.T
    kinds = (*exam.scanner.kinds, *(("flipped",) if exam.flipped else ()))
    truth = {"ejection_fraction": exam.heart.ejection_fraction}
    return PhantomCase(image, label, _grid(options, exam.sector.pixel_mm), truth, kinds)


def echo_grid(seed: int, index: int, options: PhantomOptions) -> ScanGrid:
    """The grid that `make_echo` gives the same study, without making it. Raises InputError as it does."""
    return _grid(options, draw_exam(seed, index, options).sector.pixel_mm)


def draw_exam(seed: int, index: int, options: PhantomOptions) -> Exam:
    """The patient, the scanner and the view that was found, with the whole cavity in the sector.

    Raises:
        InputError: as `make_echo`.
    """
    _check(options)
    rng = np.random.default_rng([seed, index]).spawn(1)[0]
    heart = draw_heart(rng)
    columns, rows, frames = options.shape
    beats = rng.uniform() + np.linspace(0, rng.uniform(1.0, 2.2), frames)
    while True:
        pose, depth_mm = _draw_pose(rng, heart)
        sector = draw_sector(rng, depth_mm, (rows, columns))
        if _holds_cavity(sector, heart, pose):
            break
    scanner = draw_scanner(rng, sector)
    flipped, valve = bool(rng.uniform() < _FLIPPED_SHARE), rng.uniform(0.7, 2.2)
    return Exam(heart, pose, sector, scanner, draw_marks(rng, sector, beats), beats, flipped, valve)


def _check(options: PhantomOptions) -> None:
    if options.tilt_deg or options.oblique or options.uneven:
        raise InputError(
            "echo_left_ventricle: tilted, oblique and uneven scans are of volumes; leave them out for cines"
        )
    least, most = _SCREEN_PIXELS
    if not all(least <= pixels <= most for pixels in options.shape[:2]) or options.slices < 1:
        raise InputError(
            f"echo_left_ventricle: expected {least} to {most} pixels a side and a frame or more, got "
            f"{options.shape[0]}x{options.shape[1]} and {options.slices}; give another size"
        )


def _draw_pose(rng: np.random.Generator, heart: Heart) -> tuple[Pose, float]:
    """A pose, and the depth (mm) that shows the atria, or most of them."""
    turn = np.radians(rng.normal(2, 9))
    apex_mm = rng.normal(4, 9), rng.uniform(17, 38)
    pose = Pose(apex_mm, turn, rng.normal(0, 1.5), np.radians(rng.normal(0, 2)), (rng.normal(0, 1.5), rng.normal(0, 1)))
    depth_mm = apex_mm[1] + heart.length_mm + rng.uniform(0.45, 1.25) * heart.atria_mm[0]
    return pose, float(np.clip(depth_mm, 120, 180))


def _holds_cavity(sector: Sector, heart: Heart, pose: Pose) -> bool:
    beams, samples = sector.angles.size, len(sector.ranges_mm)
    for ejected in (0.0, 1.0):
        for progress in (0.0, 0.5, 1.0):
            beam, sample = sector.index(*pose.at(ejected, progress).to_probe(*outline_mm(heart, ejected).T))
            within = [np.abs(beam / beams - 0.5) < 0.5 - _MARGIN, np.abs(sample / samples - 0.5) < 0.5 - _MARGIN]
            if not np.all(within):
                return False
    return True


def _frames(exam: Exam, echoes: Echoes, rng: np.random.Generator) -> Iterator[tuple[Field, NDArray[np.uint8]]]:
    """Picture 0…255 and mask (rows, columns) of each frame."""
    speckle = Speckle(exam.scanner, exam.sector, rng)
    grains = rng.standard_normal((*echoes.tissue.shape, 4), dtype=np.float32)
    for frame, beat in enumerate(exam.beats):
        moment = moment_at(exam.heart, beat)
        progress = frame / max(len(exam.beats) - 1, 1)
        pose = exam.pose.at(moment.ejected, progress)
        scan = speckle.grey(_reflections(exam, echoes, grains, pose, float(beat)))
        outline = np.stack(pose.to_probe(*outline_mm(exam.heart, moment.ejected).T), axis=-1)
        if exam.flipped:
            scan, outline = scan[:, ::-1], outline * [-1, 1]
        picture = _stored(exam.sector.on_screen(scan), exam.scanner.lines)
        yield np.rint(np.clip(exam.marks.added(picture, progress), 0, 255)), _cavity(exam.sector, outline)


def _reflections(exam: Exam, echoes: Echoes, grains: Field, pose: Pose, beat: float) -> Reflections:
    """What the beams meet at a moment; grains follow the tissue and turn over slowly, as it moves through the plane."""
    moment = moment_at(exam.heart, beat)
    resting = resting_mm(exam.heart, moment.ejected, *pose.to_heart(*exam.sector.samples_mm()))
    maps = lattice_index(*resting)
    tissue, blood = (
        cv2.remap(field, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for field in (echoes.tissue, echoes.blood)
    )
    white = cv2.remap(grains, *maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
    turned = 0.9 * moment.ejected
    white = np.float32(np.cos(turned)) * white[..., :2] + np.float32(np.sin(turned)) * white[..., 2:]
    return Reflections(np.maximum(tissue, _leaflets(exam, pose, beat)), blood, white)


def _leaflets(exam: Exam, pose: Pose, beat: float) -> Field:
    """Amplitude (samples, beams) of the valves' leaflets, weaker where they lie along the beam."""
    canvas = np.zeros((len(exam.sector.ranges_mm), exam.sector.angles.size), np.uint8)
    for points in leaflets_mm(exam.heart, moment_at(exam.heart, beat)):
        at = np.stack(pose.to_probe(*points.T), axis=-1)
        step, middle = np.diff(at, axis=0), at[1:] + at[:-1]
        along = np.sum(step * middle, axis=-1) / (np.linalg.norm(step, axis=-1) * np.linalg.norm(middle, axis=-1))
        scan = np.rint(np.stack(exam.sector.index(*at.T), axis=-1) * 16).astype(np.int32)
        for number, share in enumerate(along**2):
            cv2.polylines(canvas, [scan[number : number + 2]], False, round(255 - 190 * share), 2, cv2.LINE_AA, 4)
    return canvas * np.float32(exam.valve / 255)


def _cavity(sector: Sector, outline: Field) -> NDArray[np.uint8]:
    """Pixels in the sector whose centre lies in the outline (right of and below the tip, mm)."""
    mask = np.zeros(sector.screen, np.uint8)
    columns, rows = sector.pixels(outline).T
    mask[polygon(rows, columns, mask.shape)] = _LABEL
    return mask * sector.mask.astype(np.uint8)


def _stored(picture: Field, lines: int) -> Field:
    """The picture as a file of so many lines keeps it, enlarged again; as it is for 0."""
    rows, columns = picture.shape
    if not 0 < lines < rows:
        return picture
    small = cv2.resize(picture, (max(1, round(columns * lines / rows)), lines), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (columns, rows), interpolation=cv2.INTER_CUBIC)


def _grid(options: PhantomOptions, pixel_mm: float) -> ScanGrid:
    """Columns to the left and rows down, as for other cines; the third axis is time."""
    affine_ras = np.diag([-pixel_mm, -pixel_mm, 1.0, 1.0])
    origins = np.outer(np.arange(options.slices), affine_ras[:3, 2])
    return ScanGrid(options.shape, origins, np.ones(options.slices), affine_ras[:3, :2], affine_ras)
