# make demo | make test | make clean. Everything they need, they install: system packages, and Python packages into .venv.
SHELL := /bin/bash
INVENTORY ?= inventories/demo
export ANSIBLE_HOME := $(CURDIR)/.ansible
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PLAY := ansible-playbook -i $(INVENTORY) -i molecule/lab/inventory -i .ansible/lab/inventory

.PHONY: help setup demo lab test test-all checks lint unit sanity test-install test-matrix test-importer bench-ha bench-http bench-ipvs bench-play bench-storage clean

help:
	@printf '%s\n' \
	'make demo [INVENTORY=path]   boot the hosts, build the cluster, verify it, report' \
	'make test                    lint, unit tests, sanity and the Molecule scenarios' \
	'make test-all                the same with its long tests and ten times as many random cases, the scenarios ha, ids, forwarding and trixie, the matrix and the importer' \
	'make test-install            only: the built artifact in a repository that has roles, a site and a firewall of its own' \
	"make test-importer           only: what Galaxy's own importer says of the built artifact" \
	'make test-matrix             only: the oldest and the newest ansible-core that are promised, without hosts' \
	'make checks                  lint, unit tests and sanity only; each of them: make lint, make unit, make sanity' \
	'make scenario-NAME           one Molecule scenario: default, ipvs, storage, ids, ha, forwarding or trixie' \
	'make bench-ipvs              what the IPVS module costs beside ipvsadm itself' \
	'make bench-http             images read and written beside a bare nginx and a bare file system' \
	'make bench-play             the tasks of site.yml and their seconds beside a task that does nothing' \
	'make bench-storage           what is read in the moment of its acknowledgement, and when the backup has it' \
	'make bench-ha                what readers miss when directors and image servers go away' \
	'make lab [INVENTORY=path]    boot the hosts only' \
	'make clean                   remove every host, network and image of the lab'

setup:
	@molecule/lab/setup

demo: setup
	@tests/demo $(INVENTORY)

lab: setup
	@$(PLAY) molecule/lab/create.yml

test: setup
	@tests/all

test-install: setup
	@tests/install

test-all: setup
	@IMAGEOPS_ROUNDS=10 tests/all checks default ipvs storage ids ha forwarding trixie
	@tests/matrix
	@tests/importer

test-importer: setup
	@tests/importer

test-matrix: setup
	@tests/matrix

checks lint unit sanity: setup
	@tests/all $@

scenario-%: setup
	@tests/all $*

bench-ha: setup
	@tests/bench/ha

bench-ipvs: setup
	@tests/bench/ipvs

bench-http: setup
	@tests/bench/http

bench-play: setup
	@tests/bench/play

bench-storage: setup
	@tests/bench/storage

clean:
	@molecule/lab/clean
