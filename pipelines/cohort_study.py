"""A bundle's inference on one study after another, in a worker process: the model is loaded once."""

from typing import final

from sliceweave.pipelines.cohort_jobs import Job, Lost
from sliceweave.pipelines.cohort_recipe import Recipe
from sliceweave.pipelines.errors import input_error_in, reason_of
from sliceweave.pipelines.inference import segment
from sliceweave.pipelines.record_writer import RecordWriter


@final
class StudyEngine:
    """The config's own evaluator with all that belongs to it, over a data set of one study at a time.

    Raises:
        InputError: the config, an option or the weights cannot be used.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._load()

    def _load(self) -> None:
        self._writer = RecordWriter(self._recipe.options["output_dir"])
        parser = self._recipe.parser(report=self._writer, **{"dataset::data": [{}]})
        if "initialize" in parser:
            parser.get_parsed_content("initialize")
        self._evaluator = parser.get_parsed_content("evaluator")
        self._dataset = parser.get_parsed_content("dataset")

    def outcome(self, job: Job) -> bytes | Lost:
        """Writes the study's mask, picture and record, or the record that says why there is none. Returns the record.

        Raises:
            InputError: the output folder cannot be written to.
        """
        self._writer.number, self._writer.written = job.number, b""
        self._dataset.data = [dict(job.case)]
        try:
            segment(self._evaluator)
        except Exception as error:
            if input_error_in(error):
                raise
            self._load()  # ignite would go on with the run that was broken off
            return Lost(reason_of(error))
        return self._writer.written or Lost("its worker wrote no record of it")
