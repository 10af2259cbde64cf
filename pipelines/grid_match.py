"""Whether two volumes of a study lie on one grid, and if not, why not."""

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, apart_mm, same_grid


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
    farthest_mm = apart_mm(expected.affine_ras, found.affine_ras, expected.shape)
    raise InputError(
        f"expected a {found_name} on the {expected_name}'s grid, got one whose voxels lie up to "
        f"{farthest_mm:.3g} mm elsewhere; resample the {found_name} onto the {expected_name}, or repair its header"
    )
