"""Whether two volumes of a study lie on one grid, and if not, why not."""

import numpy as np

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, same_grid


def check_same_grid(expected: Geometry, found: Geometry, expected_name: str, found_name: str) -> None:
    """Raises InputError where voxels of the two are not the same places in the patient; says how far they are off.

    Args:
        expected_name, found_name: what the two are called in the message, such as "image" and "label".
    """
    if same_grid(expected, found):
        return
    if expected.shape != found.shape:
        sizes = [" x ".join(map(str, geometry.shape)) for geometry in (expected, found)]
        raise InputError(
            f"expected a {found_name} of the {expected_name}'s {sizes[0]} voxels, got {sizes[1]}; "
            f"is it another {expected_name}'s?"
        )
    corners = np.array(np.meshgrid(*((0, size - 1) for size in expected.shape))).reshape(3, -1)
    apart_mm = np.abs((expected.affine_ras - found.affine_ras)[:3] @ np.vstack([corners, np.ones(8)]))
    raise InputError(
        f"expected a {found_name} on the {expected_name}'s grid, got one whose voxels lie up to "
        f"{apart_mm.max():.3g} mm elsewhere; resample the {found_name} onto the {expected_name}, or repair its header"
    )
