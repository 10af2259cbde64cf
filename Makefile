# Everything a fresh machine with Python and make needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
# Waiting threads leave the cores to whatever else runs: four times faster beside a busy neighbour.
RUN := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m monai.bundle run
TASK := hematoma
BUNDLE = $(shell $(BIN)/sliceweave bundle $(TASK))

TRAINED_ON_hematoma := --studies 170
TRAINED_ON_lung_infection := --studies 90
TRAINED_ON_liver_tumor := --studies 240 --even_kinds
TRAINED_ON_knee_cartilage := --studies 24 --slices 80
TRAINED_ON_echo_left_ventricle := --studies 160 --slices 8
# Head CT without haemorrhage, for the hematoma bundle: what is painted into them is trained on beside the generated heads.
HEADS :=
# By seed: ventricles are narrow in most heads and rims thin, so there are more of these, and more heads that look ill and are not.
PAINTED := 1 4 7 8 22 23 31 32 33
PAINTED_1 := --studies 320 --share-healthy 0.15
PAINTED_4 := --studies 80 --share-healthy 0 --kinds ventricular=0.7,subdural=0.15,epidural=0.15
PAINTED_7 := --studies 200 --kinds intraparenchymal=0.25,ventricular=0.3,subarachnoid=0.2,subdural=0.15,epidural=0.1
PAINTED_8 := --studies 180 --share-healthy 0.5
PAINTED_22 := --studies 520 --share-healthy 0.3
PAINTED_23 := --studies 640 --share-healthy 0.3
PAINTED_31 := --studies 320 --kinds intraparenchymal=0.25,ventricular=0.2,subarachnoid=0.2,subdural=0.25,epidural=0.1
PAINTED_32 := --studies 320 --share-healthy 0.25 --kinds intraparenchymal=0.2,ventricular=0.2,subarachnoid=0.2,subdural=0.3,epidural=0.1
PAINTED_33 := --studies 233 --share-healthy 0.22 --kinds intraparenchymal=0.2,ventricular=0.13,subarachnoid=0.12,subdural=0.15,epidural=0.4
# Half again as fast where the processor knows bf16.
TRAINED_WITH_hematoma := --bf16 auto
TRAINED_WITH_lung_infection := --bf16 auto
TRAINED_WITH_liver_tumor := --bf16 auto
# Studies that the weights are scored on, 10 unless told otherwise. These differ most from one another.
SCORED_ON_hematoma := 20
SCORED_ON_liver_tumor := 20
# How the first of two trainings differs; the second goes on from its weights. The lungs' begins on single slices.
BEGUN_WITH_liver_tumor := --epochs 10 --learning_rate 0.002 --lr_decay 0.75 --ema_share 0
BEGUN_WITH_lung_infection := --slab 1 --epochs 10 --learning_rate 0.002 --lr_decay 0.83 --ema_share 0

.PHONY: demo test soak test-numpy1 lint types wheel check weights standard scores learning audit clean

.venv/installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[openvino]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/installed  ## volumes of three generated studies, beside the truth
	$(BIN)/sliceweave phantom hematoma $(DEMO)/studies --studies 3 --seed 0
	$(RUN) --bundle_root $(BUNDLE) --config_file $(BUNDLE)/configs/inference.yaml \
		--dataset_dir $(DEMO)/studies --output_dir $(DEMO)/results
	$(BIN)/python benchmarks/phantom_scores.py $(DEMO)/studies $(DEMO)/results

test: .venv/installed-dev  ## the whole test suite, one process for each core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

soak: .venv/installed-dev  ## ten thousand damaged inputs, twenty kills; ten minutes
	SLICEWEAVE_SOAK=2500 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -W ignore tests/pipelines/test_fuzz.py \
		tests/pipelines/test_cohort.py::test_nothing_is_lost_or_doubled_however_often_the_run_or_a_worker_is_killed

test-numpy1: constraints-numpy1.txt  ## the quick tests with numpy 1.26
	test -x .venv-numpy1/bin/python || $(PYTHON) -m venv .venv-numpy1
	.venv-numpy1/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-numpy1.txt -e '.[test]'
	.venv-numpy1/bin/python -m pytest -m "not slow"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

wheel: .venv/installed-dev  ## a wheel, its contents checked
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python tests/check_wheel.py dist/*.whl

types: wheel  ## of the package as it is installed
	$(BIN)/python -m pip install --quiet --no-deps --target build/types dist/*.whl
	MYPYPATH=build/types $(BIN)/mypy

check: lint types test wheel

TRAIN = $(RUN) --bundle_root $(BUNDLE) --config_file "['$(BUNDLE)/configs/train.yaml','$(BUNDLE)/configs/compact.yaml']" \
	--dataset_dir weights/$(TASK)/studies --resume True $(TRAINED_WITH_$(TASK))
BEGIN = $(if $(BEGUN_WITH_$(TASK)),weights/$(TASK)/begun)

weights: .venv/installed  ## trains a task's shipped weights (hematoma's with HEADS=folder); resumes if interrupted
	$(if $(filter hematoma,$(TASK)),$(if $(HEADS),,$(error HEADS=FOLDER of head CT without haemorrhage is missing)))
	$(BIN)/sliceweave phantom $(TASK) weights/$(TASK)/studies --seed 1000 $(TRAINED_ON_$(TASK))
	$(if $(HEADS),$(foreach seed,$(PAINTED),$(BIN)/sliceweave paint $(HEADS) weights/$(TASK)/painted$(seed) \
		--seed $(seed) --part 0:16 --outlined $(PAINTED_$(seed)) &&) true)
	$(if $(HEADS),cp -lf weights/$(TASK)/painted*/images/* weights/$(TASK)/studies/images/)
	$(if $(HEADS),cp -lf weights/$(TASK)/painted*/labels/* weights/$(TASK)/studies/labels/)
	$(if $(BEGIN),$(TRAIN) --output_dir $(BEGIN) $(BEGUN_WITH_$(TASK)))
	$(TRAIN) --output_dir weights/$(TASK)/training $(BEGIN:%=--start_from %/model.pt)
	cp weights/$(TASK)/training/model.pt $(BUNDLE)/models/model.pt

standard: .venv/installed  ## hematoma's larger network, trained on from the shipped one; after `make weights`
	$(TRAIN) --output_dir weights/$(TASK)/standard --widths "[48,96,192,384]" --start_from $(BUNDLE)/models/model.pt \
		--epochs 2 --learning_rate 0.0003 --lr_decay 0.3 --ema_share 0.004
	cp weights/$(TASK)/standard/model.pt $(BUNDLE)/models/model_standard.pt

scores: .venv/installed  ## a task's shipped weights on unseen generated studies
	$(BIN)/sliceweave phantom $(TASK) weights/$(TASK)/unseen --studies $(or $(SCORED_ON_$(TASK)),10) --seed 2000
	$(RUN) --bundle_root $(BUNDLE) --config_file "['$(BUNDLE)/configs/train.yaml','$(BUNDLE)/configs/evaluate.yaml']" \
		--dataset_dir weights/$(TASK)/unseen --output_dir weights/$(TASK)/scores
	$(BIN)/python benchmarks/shipped_weights.py weights/$(TASK)/unseen weights/$(TASK)/scores

learning: .venv/installed  ## what each network learns from the same small budget; ten minutes on two cores
	$(BIN)/sliceweave phantom hematoma weights/learning --studies 32 --seed 3000
	$(BIN)/python benchmarks/learning.py weights/learning

audit:  ## known vulnerabilities among the pinned packages; fails where the index has no data on one of them
	test -x .venv-audit/bin/pip-audit || ($(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit)
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off

clean:
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache
