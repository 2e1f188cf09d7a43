# Every target is one line over tasks.py, which also runs without make: `python tasks.py COMMAND`.
# Variables: CHAPTER=id (or several), ID=id of an open row of the map, SEEDS=20, CLUSTER=address of a Dask scheduler, PORT=8000, PYTHON=python3.12, and
# TORCH_INDEX=address, from where to take PyTorch (on Linux, its CPU wheels spare gigabytes of GPU packages).

TRIED = python3.13 python3.12 python3.11 python3 python
ifeq ($(origin PYTHON),undefined)
PYTHON = $(shell for p in $(TRIED); do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)
endif
NONE = This book needs Python 3.11 or newer, and none was found: install one, or name it with PYTHON=
RUN = $(or $(PYTHON),$(error $(NONE))) tasks.py

flag = $(if $($(1)),--$(shell echo $(1) | tr A-Z a-z) "$($(1))")
HANDED_IN = $(if $(SUBMISSIONS),"$(SUBMISSIONS)",$(error Name a folder or a zip: SUBMISSIONS=))
GRADING = ASSIGNMENT ROSTER DUE STUDENT PROBLEM JOBS UNSANDBOXED
COURSEWORK = $(if $(FROM),--from "$(FROM)") $(if $(COURSE),--course "$(COURSE)")

.DEFAULT_GOAL := list
.PHONY: list book serve pdf test lab chapter run text notebook freeze trust machines assignments solutions grade bench notebooks lint mutants lock clean

list: ## show these lines
	@sed -n 's/^\([a-z]*\): ## \(.*\)/make \1	\2/p' Makefile | expand -t 16

book: ## build the site in _build/html (no PyTorch needed)
	@$(RUN) book

serve: ## serve the site on this machine (PORT=8000)
	@$(RUN) serve $(PORT:%=--port %)

pdf: ## print the whole book into _build/pdf/claimbook.pdf (needs Chromium)
	@$(RUN) pdf

test: ## test everything: style, units, notebooks, site
	@$(RUN) test

lab: ## open the chapters in JupyterLab
	@$(RUN) lab

chapter: ## lay out a new chapter from its row of the map (ID=id)
	@$(RUN) chapter $(or $(ID),$(CHAPTER))

run: ## run a chapter and store it (CHAPTER=id)
	@$(RUN) run $(CHAPTER)

text: ## write a chapter as Python text to text/id.py, for editing (CHAPTER=id)
	@$(RUN) text $(CHAPTER)

notebook: ## bring text/id.py back into the chapter (CHAPTER=id)
	@$(RUN) notebook $(CHAPTER)

freeze: ## freeze what a chapter's checks expect (CHAPTER=id)
	@$(RUN) freeze $(CHAPTER) $(SEEDS:%=--seeds %) $(CLUSTER:%=--cluster %)

trust: ## repeat chapters under many seeds (SEEDS=20)
	@$(RUN) trust $(SEEDS:%=--seeds %) $(CHAPTER:%=--chapter %) $(CLUSTER:%=--cluster %)

machines: ## run chapters as other machines would, and compare (CHAPTER=id, NEWEST=1)
	@$(RUN) machines $(CHAPTER:%=--chapter %) $(if $(NEWEST),--newest)

assignments: ## make the notebooks that students get (FROM=folder, COURSE=folder)
	@$(RUN) assignments $(COURSEWORK) $(if $(STORE),--store)

solutions: ## run the solutions of assignments, which earn all points (FROM=folder)
	@$(RUN) solutions $(COURSEWORK)

grade: ## grade submissions (SUBMISSIONS=folder-or-zip ASSIGNMENT=id ROSTER=roster.csv DUE=2027-02-01T23:59)
	@$(RUN) grade $(HANDED_IN) $(foreach name,$(GRADING),$(call flag,$(name))) $(COURSEWORK)

bench: ## measure how fast ensembles of networks train (STORE=1: for the book's page)
	@$(RUN) bench $(if $(STORE),--store)

notebooks: ## run chapters and compare them with what is stored
	@$(RUN) notebooks $(CHAPTER)

lint: ## check the code's style
	@$(RUN) lint

mutants: ## change the code on purpose and count how often the tests notice (an hour or more)
	@$(RUN) mutants

lock: ## resolve all packages afresh into constraints.txt
	@$(RUN) lock

clean: ## remove what was built (ALL=1: the environment too)
	@$(RUN) clean $(if $(ALL),--all)
