# make run   the dashboard on http://127.0.0.1:8501 (PORT=… for another port)
# make test  every test, in two processes, since browser tests wait a lot (ARGS="-k store" for some)
# make quick the tests that need no browser, no cluster and no training
# All make .venv and install requirements.lock first, when it has changed. PYTHON=… names the interpreter.

PORT ?= 8501
ARGS ?=
PY := .venv/bin/python
export PYTHON

.PHONY: run test quick setup

# The dashboard serves each window in a thread of its own; glibc would give each its own heap, which grow all day.
run: setup
	@$(PY) -m core demo || echo "The demo content could not be made; the dashboard starts without it."
	@echo "Afterimage: http://127.0.0.1:$(PORT) (Ctrl-C ends the dashboard; its jobs go on)"
	@MALLOC_ARENA_MAX=2 $(PY) -m streamlit run app.py --server.port $(PORT)

test: setup
	@AFTERIMAGE_CHROMIUM="$$(scripts/chromium.sh)"; export AFTERIMAGE_CHROMIUM; \
	if [ -z "$$AFTERIMAGE_CHROMIUM" ]; then \
	  echo "There is no chromium or chrome here, so the browser tests are skipped."; unset AFTERIMAGE_CHROMIUM; fi; \
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

quick: setup
	@$(PY) -m pytest -n 2 --dist loadfile -m "not slow and not browser and not cluster" $(ARGS)

setup:
	@scripts/setup.sh
