"""Tiny copies of EchoNet-Dynamic and CAMUS as they are distributed, and what they truly hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES = 40, 32, 7
TRACED = (5, 2)  # as in the table: systole may come before diastole
LIST_HEADER = "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split"
TRACING_HEADER = "FileName,X1,Y1,X2,Y2,Frame"


@dataclass(frozen=True)
class EchoStudy:
    """Image and cavity (W, H, frames), pixel size (x, y), patient and split of a study."""

    image: NDArray[np.uint8]
    cavity: NDArray[np.uint8]
    pixel_mm: tuple[float, float]
    patient: str
    split: str


def write_echonet(folder: Path) -> dict[str, EchoStudy]:
    """Three traced videos, one for each split, and one that nobody traced."""
    videos = folder / "Videos"
    videos.mkdir(parents=True)
    listed, traced, studies = [LIST_HEADER], [TRACING_HEADER], {}
    splits = {"0X1A3C": "TRAIN", "0X2B4D": "VAL", "0X3C5E": "TEST", "0X4D6F": "TRAIN"}
    for index, (name, split) in enumerate(splits.items()):
        frames = write_video(videos / f"{name}.avi", index)
        listed.append(f"{name}{'.avi' if index % 2 else ''},55.5,30.1,67.9,600,800,50,{FRAMES},{split}")
        if index == 3:
            continue
        outlines = {frame: _chords(index, frame) for frame in TRACED}
        traced += [
            f"{name}{'' if index % 2 else '.avi'},{','.join(map(repr, row))},{frame}"
            for frame, rows in outlines.items()
            for row in [(20.3, 1.2, 33.7, 30.4), *rows.tolist()]  # the long axis, slanted as it is in truth
        ]
        order = sorted(TRACED)
        cavity = np.stack([_between(outlines[frame]) for frame in order], axis=2)
        side = {"TRAIN": "training", "VAL": "validation", "TEST": "test"}[split]
        studies[name] = EchoStudy(frames[..., order], cavity, (1.0, 1.0), name, side)
    (videos / "._0X1A3C.avi").write_bytes(b"\0\5\x16\7")
    (folder / "FileList.csv").write_text("\n".join(listed) + "\n")
    (folder / "VolumeTracings.csv").write_text("\n".join(traced) + "\n")
    return studies


def write_video(path: Path, seed: int) -> NDArray[np.uint8]:
    """Frames (W, H, FRAMES) that differ by more than JPEG loses: grey 8 x 8 tiles, as JPEG's own."""
    rng = np.random.default_rng([seed, 7])
    tiles = rng.integers(40, 110, (WIDTH // 8, HEIGHT // 8, FRAMES)) + 20 * np.arange(FRAMES)
    frames = tiles.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50, (WIDTH, HEIGHT))
    for frame in np.moveaxis(frames, 2, 0):
        writer.write(cv2.cvtColor(np.ascontiguousarray(frame.T), cv2.COLOR_GRAY2BGR))
    writer.release()
    return frames


def _chords(index: int, frame: int) -> NDArray[np.float64]:
    """Twenty level chords across a cavity, (20, 4): x1, y1, x2, y2."""
    y = np.linspace(4.37, 27.21 - index, 20)
    half = (4.13 + frame) * np.sin(np.linspace(0.3, 2.9, 20))
    return np.stack([17.77 + index - half, y, 19.11 + index + 1.3 * half, y], axis=1)


def _between(chords: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(W, H): the pixels whose centre lies between the ends of the chords, interpolated along y."""
    x, y = np.arange(WIDTH)[:, None], np.arange(HEIGHT)[None, :]
    left, right = (np.interp(y, chords[:, 1], chords[:, column]) for column in (0, 2))
    within = (y >= chords[0, 1]) & (y <= chords[-1, 1])
    return (within & (x >= left) & (x <= right)).astype(np.uint8)


def write_camus(folder: Path, suffix: str) -> dict[str, EchoStudy]:
    """Three patients of two views and two phases, with sequences, settings and the lists of the split.

    `suffix` is `.mhd` (with `.raw`, as in 2019), `.zraw` (the same, compressed) or `.nii.gz` (as of today).
    """
    studies = {}
    for number, split in enumerate(("training", "validation", "testing"), start=1):
        patient = f"patient{number:04d}"
        home = folder / "database_nifti" / patient
        home.mkdir(parents=True)
        for view in ("2CH", "4CH"):
            for phase in ("ED", "ES"):
                study = _camus_study(patient, "test" if split == "testing" else split, len(studies))
                studies[f"{patient}_{view}_{phase}"] = study
                structures = study.cavity + 2 * np.roll(study.cavity, 4, axis=0) * (1 - study.cavity)
                structures[0, :3] = 3
                write_frame(home / f"{patient}_{view}_{phase}{suffix}", study.image, study.pixel_mm)
                write_frame(home / f"{patient}_{view}_{phase}_gt{suffix}", structures, study.pixel_mm)
            for ending in ("sequence", "half_sequence", "half_sequence_gt"):
                write_frame(home / f"{patient}_{view}_{ending}{suffix}", np.ones((5, 7, 3), np.uint8), (0.3, 0.2))
            (home / f"Info_{view}.cfg").write_text("ED: 1\nES: 19\nNbFrame: 19\n")
        (folder / "database_split").mkdir(exist_ok=True)
        (folder / "database_split" / f"subgroup_{split}.txt").write_text(f"{patient}\r\n")
    (folder / "database_nifti" / "patient0001" / f"._patient0001_2CH_ED{suffix}").write_bytes(b"\0\5\x16\7")
    return studies


def _camus_study(patient: str, split: str, seed: int) -> EchoStudy:
    rng = np.random.default_rng(seed)
    shape = (23 + 2 * seed, 37 + seed, 1)
    cavity = np.zeros(shape, np.uint8)
    cavity[7 : 12 + seed, 9:21] = 1
    return EchoStudy(rng.integers(0, 256, shape).astype(np.uint8), cavity, (0.308, 0.154), patient, split)


def write_frame(path: Path, voxels: NDArray[Any], pixel_mm: tuple[float, float]) -> None:
    """A MetaImage of three dimensions, or a NIfTI of two where there is one frame."""
    if path.name.endswith(".nii.gz"):
        plane = voxels[..., 0] if voxels.shape[2] == 1 else voxels
        nib.save(nib.Nifti1Image(plane, np.diag([-pixel_mm[0], -pixel_mm[1], 1, 1])), path)
        return
    image = sitk.GetImageFromArray(voxels.transpose())
    image.SetSpacing((*pixel_mm, 3.5))  # what stands there means nothing
    sitk.WriteImage(image, str(path.with_suffix(".mhd")), useCompression=path.suffix == ".zraw")
