"""Scores of masks that are already there, whoever drew them, against true ones: one pair after the other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.errors import InputError, logged_reason
from sliceweave.pipelines.grid_match import check_same_grid
from sliceweave.pipelines.label_maps import WHITE, LabelMap, read_label_map
from sliceweave.pipelines.mask_measuring import MaskOptions
from sliceweave.pipelines.mask_sources import MaskStudy, find_masks, with_images
from sliceweave.pipelines.reading import read_grid
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.score_conventions import CONVENTIONS
from sliceweave.pipelines.score_summary import ALL
from sliceweave.pipelines.score_tables import ScoreTables
from sliceweave.pipelines.scoring import CaseScore, score_case
from sliceweave.pipelines.studies import image_suffix

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskPair:
    """The prediction and the truth of a study, one of which may be missing, and its image where that is known."""

    study_id: str
    prediction: Path | None
    truth: Path | None
    image: Path | None = None


def find_pairs(predictions: str, truths: str, images: str = "") -> list[MaskPair]:
    """The masks of both sources by study, in the order of the truths; two single files are a pair whatever their names.

    Args:
        predictions, truths: folder, glob, CSV or file, as `find_masks` takes them.
        images: the same for the images; empty for none.

    Raises:
        InputError: a source has no masks, or two of one study.
    """
    predicted, true = find_masks(predictions), find_masks(truths)
    sources = [Path(source).expanduser() for source in (predictions, truths)]
    if all(source.is_file() and image_suffix(source) for source in sources):
        predicted = [replace(predicted[0], study_id=true[0].study_id)]
    if images:
        predicted, true = (with_images(masks, images) for masks in (predicted, true))
    by_id = [{mask.study_id: mask for mask in masks} for masks in (predicted, true)]
    return [_pair(study_id, *(masks.get(study_id) for masks in by_id)) for study_id in {**by_id[1], **by_id[0]}]


def _pair(study_id: str, predicted: MaskStudy | None, true: MaskStudy | None) -> MaskPair:
    image = (true and true.image) or (predicted and predicted.image) or None
    return MaskPair(study_id, predicted.mask if predicted else None, true.mask if true else None, image)


def evaluate_masks(pairs: Sequence[MaskPair], tables: ScoreTables, options: MaskOptions) -> list[Row]:
    """Scores each pair, then writes the summary and what the tables mean; one that fails is a row of `failed.csv`.

    Every label that is given a name, or occurs in any mask, has a row in every study.

    Returns:
        The rows of the summary.

    Raises:
        InputError: the output folder cannot be written to, or a label is called as the rows of all.
    """
    if ALL in options.label_names([]).values():
        raise InputError(f"--labels: '{ALL}' is what the rows over all labels are called; choose another name")
    tables.start()
    write_atomically(tables.directory / "conventions.txt", CONVENTIONS.encode())
    values = _scored(pairs, tables, options)
    occurring = {value for found in values.values() for value in found}
    if white_means(occurring, options) != WHITE:
        occurring.discard(WHITE)
    elif recoded := [pair for pair in pairs if _was_recoded(values.get(pair.study_id, set()), options)]:
        _scored(recoded, tables, options, WHITE)  # other studies tell what these two masks by themselves did not
    tables.complete(list(options.label_names(sorted(occurring)).values()))
    return tables.finish()


def _scored(
    pairs: Sequence[MaskPair], tables: ScoreTables, options: MaskOptions, white: int | None = None
) -> dict[str, set[int]]:
    """Puts each pair into the tables; the values that occur in it, by study."""
    values = {}
    for pair in tqdm(pairs, desc="studies", unit="study", disable=None):
        try:
            score, values[pair.study_id] = score_pair(pair, options, white)
        except Exception as error:  # whatever is wrong with one study, the others go on
            reason = logged_reason(error)
            logger.warning("%s failed: %s", pair.study_id, reason)
            tables.fail(pair.study_id, reason)
        else:
            tables.add(pair.study_id, score)
    return values


def white_means(values: set[int], options: MaskOptions) -> int:
    """The value that 255 stands for where these occur: that of the one name, if nothing else does; else its own."""
    names = options.label_names([])
    return next(iter(names)) if len(names) == 1 and values <= {*names, WHITE} else WHITE


def _was_recoded(values: set[int], options: MaskOptions) -> bool:
    return WHITE in values and white_means(values, options) != WHITE


def score_pair(pair: MaskPair, options: MaskOptions, white: int | None = None) -> tuple[CaseScore, set[int]]:
    """The scores of the labels that are named or occur in either mask, and the values that occur in the files.

    Args:
        white: the value that 255 stands for; None if these two masks tell (see `white_means`).

    Raises:
        InputError: a mask is missing or cannot be used, or they are not on one grid.
    """
    prediction, truth = _read(pair)
    kind = options.kind_of(truth)
    occurring = {*prediction.values, *truth.values}
    meant = white_means(occurring, options) if white is None else white
    prediction, truth = (_with_white(label_map, meant) for label_map in (prediction, truth))
    values = {*prediction.values, *truth.values}
    named = {*options.label_names([])} if options.names or options.task else set()
    names = options.label_names(sorted(values | named)) if values or named else {}
    score = score_case(prediction.labels, truth.labels, truth.geometry, names, kind.has_volume)
    return score if kind.has_lengths(truth.header) else score.without_distances(), occurring


def _read(pair: MaskPair) -> tuple[LabelMap, LabelMap]:
    """Prediction and truth; the truth's geometry knows the slice positions that either of them, or the image, has."""
    for path, other, kind in ((pair.prediction, pair.truth, "prediction"), (pair.truth, pair.prediction, "truth")):
        if path is None:
            there = "" if other is None else f" to go with {other.name}"
            raise InputError(f"expected a {kind}{there}, found none; name it {pair.study_id} with or without _mask")
    prediction, truth = (read_label_map(Path(str(path)), pair.study_id) for path in (pair.prediction, pair.truth))
    check_same_grid(truth.geometry, prediction.geometry, "truth", "prediction")
    others = [prediction.geometry]
    if pair.image:
        others.append(read_grid(pair.image, pair.study_id)[0])
        check_same_grid(others[1], truth.geometry, "image", "truth")
    for geometry in others:
        truth = truth.on(geometry) if geometry.slice_origins_ras_mm is not None else truth
    return prediction, truth


def _with_white(label_map: LabelMap, value: int) -> LabelMap:
    """The mask with this value in place of 255, if that is all there is."""
    if value == WHITE or not label_map.is_white:
        return label_map
    return replace(label_map, labels=(label_map.labels > 0) * label_map.labels.dtype.type(value))
