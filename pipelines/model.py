"""The model of an inference run, as its rows name it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.calibration import Calibration, calibration_for, digest
from sliceweave.pipelines.checkpoints import fingerprint
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.rows import LabelResult
from sliceweave.pipelines.study_source import source_of


@dataclass(frozen=True)
class Model:
    """What a row says of the model: name, version with the weights' fingerprint, and the label names by value.

    With a calibration the version ends in the calibration's fingerprint too.
    """

    name: str
    version: str
    labels: Mapping[int, str]
    calibration: Calibration | None = None

    def flags(self, header: nib.Nifti1Header) -> tuple[str, ...]:
        """`other_source` where the calibration was made from another kind of scan than the one of that header."""
        return ("other_source",) if self.calibration and self.calibration.source != source_of(header) else ()

    def with_certainty(
        self, results: Sequence[LabelResult], spreads_ml: NDArray[np.float64] | None, header: nib.Nifti1Header
    ) -> Sequence[LabelResult]:
        """The results of the model's labels with their spreads, and with intervals where the calibration applies.

        Args:
            spreads_ml: (labels,) by value, from 1; None leaves the results as they are.
            header: of the scan.
        """
        if spreads_ml is None:
            return results
        by_value = zip(self.labels, results, strict=True)
        spread = [replace(result, spread_ml=float(spreads_ml[value - 1])) for value, result in by_value]
        if self.calibration is None or self.flags(header):
            return spread
        return [self.calibration.applied(result) for result in spread]


def describe_model(
    metadata: Mapping[str, Any], checkpoint: str, settings: Mapping[str, Any], calibration: str | None = None
) -> Model:
    """The model as its metadata and its weights file describe it; channel 0 is the background.

    Args:
        settings: the options that change a result; another value is another version. With a calibration they hold the
            `members` of the test-time augmentation.
        calibration: a file; None gives no intervals.

    Raises:
        InputError: no calibration of this model, or one without test-time augmentation.
    """
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    labels = {int(channel): label for channel, label in channels.items() if int(channel) > 0}
    name, version = metadata["name"], f"{metadata['version']}+{fingerprint(checkpoint, dict(settings))}"
    if calibration is None:
        return Model(name, version, labels)
    if len(settings["members"]) < 2:
        raise InputError(f"--calibration {calibration} needs a spread: give --tta True as well")
    calibrated = calibration_for(str(calibration), name, version)
    return Model(name, f"{version}.{digest(str(calibration))}", labels, calibrated)
