"""A page for one study that holds NiiVue, the scan and the mask: it opens from the disk and needs nothing else."""

import base64
import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from markupsafe import Markup
from numpy.typing import NDArray

from sliceweave.pipelines.atomic import remove, write_atomically
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError, reason_of
from sliceweave.pipelines.measuring import Mask
from sliceweave.pipelines.page_folder import VIEWER_PAGE, PageSources, fingerprint, scan_with_mask
from sliceweave.pipelines.page_tables import StudyTables
from sliceweave.pipelines.page_templates import filled_in, part
from sliceweave.pipelines.reading import Scan
from sliceweave.pipelines.tiles import label_colour

LARGEST_PAGE_MB = 200.0
HOW_TO_GET_IT = "`npm pack @niivue/niivue` gets it"

_SCRIPT = "dist/niivue.umd.js"
_GLOBAL = b".niivue={}"  # what the single-file build defines, near its beginning
_BEGINNING = 2000
_ENDS_A_SCRIPT = re.compile(r"<(?=/script|!--)", re.IGNORECASE)
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class Viewer:
    """NiiVue's single-file build, to be put into a page for each study.

    Attributes:
        script: its text.
        largest_mb: of a page; a browser takes no more than some hundred.
    """

    script: str
    largest_mb: float = LARGEST_PAGE_MB

    @classmethod
    def found(cls, place: str, largest_mb: float = LARGEST_PAGE_MB) -> "Viewer":
        """NiiVue from its script, from the archive that npm packs, or with ``auto`` from what lies in this folder.

        Raises:
            InputError: it is not there, or is another build.
        """
        path = _in_this_folder() if place == "auto" else Path(place).expanduser()
        content = _script_of(path)
        if _GLOBAL not in content[:_BEGINNING]:
            raise InputError(f"{path}: expected NiiVue's single-file build, {_SCRIPT}; {HOW_TO_GET_IT}")
        return cls(content.decode("utf-8"), largest_mb)

    def write(self, sources: PageSources, study: StudyTables) -> str:
        """Writes a study's page where the one that is there shows something else; the reason if there can be none.

        Raises:
            InputError: the folder cannot be written to.
        """
        path, made_from = sources.folder(study) / VIEWER_PAGE, fingerprint(sources, study)
        if not made_from:
            return f"no page to look around in: {sources.mask(study).name} is missing"
        if path.is_file() and f'content="{made_from}"' in _beginning(path):
            return ""
        remove(path)
        try:
            content = self._page(sources, study, made_from)
        except InputError as error:
            return f"no page to look around in: {reason_of(error)}"
        write_atomically(path, content)
        return ""

    def _page(self, sources: PageSources, study: StudyTables, made_from: str) -> bytes:
        scan, mask = scan_with_mask(sources, study)
        voxels = sources.kind.shown(scan)
        volumes = {"image": encoded(_plain(voxels), scan), "mask": encoded(mask, scan)}
        size_mb = (len(self.script) + sum(map(len, volumes.values()))) / 1e6
        if size_mb > self.largest_mb:
            raise InputError(
                f"it would have {size_mb:.0f} MB, more than {self.largest_mb:g}, which browsers refuse; "
                "raise --viewer-limit if yours does not"
            )
        window = sources.kind.shown_range(voxels)
        settings = {
            "window": window,
            "colours": colour_table(mask),
            "centre_ras_mm": _centre_ras_mm(scan, mask),
            "made_from": made_from,
        }
        notice, script = part("niivue_notice.txt"), Markup(_ENDS_A_SCRIPT.sub("<\\\\", self.script))
        text = filled_in("viewer.html.j2", title=study.study_id, script=script, notice=notice, **settings, **volumes)
        return printable(text).encode()


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_BEGINNING)


def encoded(voxels: NDArray[Any], scan: Scan) -> str:
    """Base64 of a NIfTI file that holds these voxels and the scan's affine, and nothing else of its header."""
    image, buffer = nib.Nifti1Image(voxels, scan.geometry.affine_ras), io.BytesIO()
    with igzip.IGzipFile("", "wb", 2, buffer, mtime=0) as compressed:
        image.to_stream(compressed)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def colour_table(mask: Mask) -> dict[str, list[int]]:
    """NiiVue's colour table of a mask's labels, in the colours of their contours."""
    labels = [0, *(int(value) for value in np.unique(mask) if value)]
    colours = [(0, 0, 0), *map(label_colour, labels[1:])]
    red, green, blue = (list(channel) for channel in zip(*colours, strict=True))
    return {"I": labels, "R": red, "G": green, "B": blue, "A": [0] + [255] * (len(labels) - 1)}


def _centre_ras_mm(scan: Scan, mask: Mask) -> list[float]:
    """Where to begin: near the middle of what the slice of largest area holds; without a lesion the scan's middle."""
    if not mask.any():
        return scan.geometry.to_ras_mm((np.array(mask.shape) - 1) / 2).tolist()
    largest = int(np.argmax(np.count_nonzero(mask, axis=(0, 1))))
    pixels = np.argwhere(mask[..., largest])
    nearest = pixels[np.argmin(((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1))]
    return scan.geometry.to_ras_mm([*nearest, largest]).tolist()


def _plain(voxels: NDArray[np.float32]) -> NDArray[Any]:
    """Whole numbers in half the space where they are whole."""
    fits = voxels.min() >= _INT16.min and voxels.max() <= _INT16.max and np.array_equal(voxels, np.rint(voxels))
    return voxels.astype(np.int16) if fits else voxels


def _in_this_folder() -> Path:
    candidates = [Path("niivue.umd.js"), Path("node_modules/@niivue/niivue") / _SCRIPT]
    candidates += sorted(Path().glob("niivue-niivue-*.tgz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(
        f"--viewer auto: found no niivue.umd.js, node_modules/@niivue or niivue-niivue-*.tgz here; {HOW_TO_GET_IT}"
    )


def _script_of(path: Path) -> bytes:
    try:
        if path.suffix != ".tgz":
            return path.read_bytes()
        with tarfile.open(path) as archive:
            member = archive.extractfile(f"package/{_SCRIPT}")
            return member.read() if member else b""
    except KeyError as error:
        raise InputError(
            f"{path}: expected npm's archive of @niivue/niivue, with {_SCRIPT}; {HOW_TO_GET_IT}"
        ) from error
    except (OSError, tarfile.TarError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is no archive"
        raise InputError(f"--viewer {path}: cannot be read: {reason}; {HOW_TO_GET_IT}") from error
