"""What DICOM calls our labels."""

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

_ABNORMAL = codes.SCT.MorphologicallyAbnormalStructure
_CODES = {
    "hematoma": (_ABNORMAL, codes.SCT.Hematoma),
    "tumor": (_ABNORMAL, codes.SCT.Neoplasm),
    "infection": (_ABNORMAL, codes.SCT.Lesion),
    "femoral_cartilage": (codes.SCT.Tissue, codes.SCT.CartilageTissue),
    "tibial_cartilage": (codes.SCT.Tissue, codes.SCT.CartilageTissue),
    "left_ventricle": (codes.SCT.AnatomicalStructure, codes.SCT.LeftVentricle),
}
_UNKNOWN = codes.SCT.Tissue, codes.SCT.Tissue
_PROCEDURES = {"CT": codes.LN.CTUnspecifiedBodyRegion, "MR": codes.LN.MRIUnspecifiedBodyRegion}


def category_of(label: str) -> Code:
    """Category of what the label marks; `Tissue` for a label that is none of ours."""
    return _CODES.get(label, _UNKNOWN)[0]


def type_of(label: str) -> Code:
    """What the label marks; `Tissue` for a label that is none of ours, whose name tells more."""
    return _CODES.get(label, _UNKNOWN)[1]


def procedure_of(modality: str) -> Code:
    """What was done to the patient, as far as the modality says."""
    return _PROCEDURES.get(modality, codes.LN.XRUnspecifiedBodyRegion)
