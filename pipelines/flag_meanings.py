"""What the flags of a study mean, in the words a reader of the report sees."""

from collections.abc import Mapping

FLAG_MEANINGS: Mapping[str, str] = {
    "windowed_input": "The values are confined to a window or to 8 bits: bone or air has lost its HU.",
    "implausible_hu": "The values are no HU at all.",
    "not_brain": "No slice shows soft tissue enclosed by bone.",
    "head": "Bone encloses most of what is shown, as in a head, and the task is about another part of the body.",
    "unknown_pixel_size": "The header does not say how long a pixel is: there are no areas.",
    "sheared": "Slices are displaced against each other, as by gantry tilt; measured as they are.",
    "oblique": "Slices do not lie along the patient's axes; measured as they are.",
    "uneven_slices": "Slice gaps differ; each slice counts with its own thickness.",
    "missing_slices": "A gap is far wider than those beside it: slices seem to be missing; others count for them.",
    "touches_border": "A lesion reaches the edge of the scan and may go on beyond it.",
    "tiny_lesion": "The largest lesion is under 0.1 ml.",
    "high_uncertainty": "More than 1 ml, and more than half the lesion, is neither clearly lesion nor clearly not.",
    "no_image": "There is no image of this mask: only the mask was looked at.",
    "other_source": "The calibration was made from another kind of scan, so there is no interval.",
}


def meaning_of(flag: str) -> str:
    """One sentence; empty for a flag of somebody else's."""
    return FLAG_MEANINGS.get(flag, "")
