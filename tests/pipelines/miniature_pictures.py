"""Miniatures of the data sets that come as pictures: LabelMe CT and echo, CT-ICH 1.0.0, slices with an index.

Each writer fills a folder and returns what it knows of each patient. Arrays are (columns, rows, slices).
"""

import base64
import csv
import io
import json
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

COLUMNS, ROWS = 24, 18
HEMATOMA = "hematoma"


@dataclass
class Patient:
    """What the generator drew: slice numbers in order, grey values, and the structure."""

    numbers: list
    grey: np.ndarray
    label: np.ndarray
    pixel_mm: float | None = None
    thickness_mm: float | None = None
    bone: np.ndarray | None = None
    files: dict = field(default_factory=dict)


def random_grey(slices, seed=0, low=3, high=253):
    return np.random.default_rng(seed).integers(low, high, (COLUMNS, ROWS, slices)).astype(np.uint8)


def smooth_grey(slices):
    """A ramp, which JPEG keeps to a grey level or two."""
    column, row, k = np.ogrid[:COLUMNS, :ROWS, :slices]
    return (20 + 4 * column + 3 * row + 5 * k).astype(np.uint8)


def box(left, top, right, bottom):
    """(columns, rows), 1 in columns left to right - 1 and rows top to bottom - 1."""
    mask = np.zeros((COLUMNS, ROWS), np.uint8)
    mask[left:right, top:bottom] = 1
    return mask


def write_picture(path, grey, rgb=False, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.ascontiguousarray(grey.T))
    (picture.convert("RGB") if rgb else picture).save(path, **options)
    return path


def encoded(grey):
    """A picture as LabelMe embeds it: base64 text of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey.T)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def shape(points, kind="polygon", label=HEMATOMA, **more):
    """A shape as LabelMe 4 and 5 write it."""
    fields = {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}
    return fields | more


def shape_v3(points, label=HEMATOMA):
    """A shape as LabelMe 3 writes it: always a polygon, and no word of it."""
    return {"label": label, "line_color": None, "fill_color": None, "points": points}


def corners(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def labelme(shapes, image_path, version="5.4.1", **changes):
    """A LabelMe file's content; None leaves a field out."""
    content = {
        "version": version,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": ROWS,
        "imageWidth": COLUMNS,
    }
    if version.startswith("3"):
        content |= {"lineColor": [0, 255, 0, 128], "fillColor": [255, 0, 0, 128]}
    content |= changes
    return {name: value for name, value in content.items() if value is not None or name == "imageData"}


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


def write_csv(path, rows, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
    return path


def labelme_ct(root):
    """Three patients, one by each version of LabelMe, and `spacing.csv` with a byte order mark."""
    patients = {"P01": _version_3(root / "P01"), "P02": _version_4(root / "P02"), "P03": _version_5(root / "P03")}
    spacing = [(name, patient.pixel_mm, patient.thickness_mm) for name, patient in patients.items()]
    write_csv(root / "spacing.csv", [("patient", "pixel_size_mm", "slice_thickness_mm"), *spacing], "utf-8-sig")
    return patients


def _version_3(folder):
    """Numbers without zeros in front, JSON in its own folder, imagePath with backslashes, no size, polygons only."""
    numbers, grey = [8, 9, 10, 11], random_grey(4, 3)
    label = np.zeros_like(grey)
    for k, number in enumerate(numbers):
        write_picture(folder / "images" / f"{number}.png", grey[..., k])
        label[..., k] = box(3, 2, 9, 7 + k)
        shapes = [shape_v3(corners(3, 2, 9, 7 + k))]
        sizes = {"imageHeight": None, "imageWidth": None, "imageData": encoded(grey[..., k])}
        write_json(folder / "json" / f"{number}.json", labelme(shapes, f"..\\images\\{number}.png", "3.16.7", **sizes))
    return Patient(numbers, grey, label, 0.45, 5.0)


def _version_4(folder):
    """RGB pictures; a circle, a rectangle from its lower right corner, a group of two; a slice without a file."""
    grey = random_grey(4, 4)
    label = np.zeros_like(grey)
    column, row = np.ogrid[:COLUMNS, :ROWS]
    label[..., 0] = (column + 0.5 - 10) ** 2 + (row + 0.5 - 8) ** 2 < 25
    label[..., 1] = box(5, 4, 12, 9)
    label[..., 2] = box(1, 1, 4, 5) | box(15, 10, 20, 16)
    shapes = {
        1: [shape([[10, 8], [13, 12]], "circle")],
        2: [shape([[12, 9], [5, 4]], "rectangle", "Hematoma ")],
        3: [shape(corners(1, 1, 4, 5), group_id=7), shape(corners(15, 10, 20, 16), group_id=7)],
    }
    for k in range(4):
        write_picture(folder / f"slice_{k + 1}.png", grey[..., k], rgb=True)
    for number, drawn in shapes.items():
        write_json(folder / f"slice_{number}.json", labelme(drawn, f"slice_{number}.png", "4.5.6"))
    return Patient([1, 2, 3, 4], grey, label, 0.5, 7.5)


def _version_5(folder):
    """A mask shape, a hole with an island, an ignored label, and an embedded picture without a file."""
    grey = random_grey(3, 5)
    label = np.zeros_like(grey)
    patch = (np.random.default_rng(6).random((6, 4)) < 0.5).astype(np.uint8)
    patch[0, 0] = patch[-1, -1] = 1
    label[7:13, 5:9, 0] = patch
    label[..., 1] = box(2, 2, 14, 14) - box(4, 4, 10, 10) + box(6, 6, 8, 8)
    label[..., 2] = box(20, 0, 24, 3)
    drawn = [
        [shape([[7, 5], [12, 8]], "mask", mask=encoded(255 * patch))],
        [
            shape(corners(2, 2, 14, 14)),
            shape(corners(4, 4, 10, 10), label="_background_"),
            shape(corners(6, 6, 8, 8)),
            shape(corners(0, 0, 24, 18), label="__ignore__"),
        ],
        [shape([[20, -0.6], [24.8, -0.6], [24.8, 3], [20, 3]])],
    ]
    for k in range(3):
        data = {"imageData": encoded(grey[..., k])} if k == 2 else {}
        write_json(folder / f"{k + 1:03d}.json", labelme(drawn[k], f"{k + 1:03d}.png", **data))
        if k < 2:
            write_picture(folder / f"{k + 1:03d}.png", grey[..., k])
    return Patient([1, 2, 3], grey, label, 0.4, 2.5)


def labelme_echo(root):
    """Two patients, each with five frames of which the second and fourth are annotated."""
    patients = {}
    for patient, seed in (("echo_a", 1), ("echo_b", 2)):
        grey = random_grey(5, seed)
        for k in range(5):
            write_picture(root / patient / f"frame{k + 7}.png", grey[..., k], rgb=True)
        label = np.stack([box(4, 3, 10 + k, 12) for k in (1, 3)], axis=2)
        for k in (1, 3):
            shapes = [shape(corners(4, 3, 10 + k, 12), label="LV")]
            write_json(root / patient / f"frame{k + 7}.json", labelme(shapes, f"frame{k + 7}.png"))
        patients[patient] = Patient([8, 10], grey[..., [1, 3]], label)
    return patients


def ct_ich(root):
    """CT-ICH 1.0.0: two patients, of whom one bleeds in two of three slices and the other has no bone pictures."""
    folder = root / "computed-tomography-images-for-intracranial-hemorrhage-1.0.0" / "Patients_CT"
    grey, bone = smooth_grey(3), smooth_grey(3)
    grey[:8, :8], grey[16:, 8:] = 0, 255  # blocks of JPEG, so that the ends of the window stay pure
    label = np.zeros_like(grey)
    for k in range(3):
        write_picture(folder / "049" / "brain" / f"{k + 9}.jpg", grey[..., k], quality=100)
        write_picture(folder / "049" / "bone" / f"{k + 9}.jpg", bone[..., k], quality=100)
    for k in (0, 1):
        label[..., k] = box(8, 0, 16, 8)
        write_picture(folder / "049" / "brain" / f"{k + 9}_HGE_Seg.jpg", 255 * label[..., k], quality=90)
    healthy = smooth_grey(2)
    for k in range(2):
        write_picture(folder / "050" / "brain" / f"{k + 1}.jpg", healthy[..., k], quality=100)
    return {
        "049": Patient([9, 10, 11], grey, label, bone=bone),
        "050": Patient([1, 2], healthy, np.zeros_like(healthy)),
    }


def indexed_slices(root):
    """Single slices of two patients in no order, with coloured masks and `index.csv`; one slice bleeds nowhere."""
    rows = [("101.jpg", 77, 20, "Epidural"), ("102.jpg", 80, 14, "Intraventricular"), ("103.jpg", 80, 9, "Subdural")]
    rows += [("104.jpg", 77, 21, ""), ("105.jpg", 80, 10, "unknown")]
    grey = smooth_grey(len(rows))
    for k, (name, *_) in enumerate(rows):
        write_picture(root / name, grey[..., k], rgb=True, quality=100)
    masks = [box(2, 3, 5 + k, 9) * (k != 3) for k in range(len(rows))]
    for k in (0, 1, 2, 4):
        coloured = masks[k].T[..., None] * np.array([210, 80, 0], np.uint8)
        Image.fromarray(coloured).save(root / f"{101 + k}_mask.png")
    write_csv(root / "index.csv", [("file", "patient", "slice", "types"), *rows])
    label = np.stack(masks, axis=2)
    return {
        "077": Patient([20, 21], grey[..., [0, 3]], label[..., [0, 3]]),
        "080": Patient([9, 10, 14], grey[..., [2, 4, 1]], label[..., [2, 4, 1]]),
    }
