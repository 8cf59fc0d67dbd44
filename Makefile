# make run     build the release and try the gateway on this machine
# make test    every test: units, the assembled program, real MCP clients and servers
# make bench   requests a second beside nginx as a plain proxy; the record beside PostgreSQL; admission beside Redis
# make torture kills, power cuts and locks at length
# make lint    check the formatting; make format mends it

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := run
.PHONY: run test unit-test interop-test crash-test pacing-test torture bench lint format fuzz clean packages-build packages-test packages-bench

SWIFT_SOURCES := Sources Tests schema Package.swift

run: packages-build
	@echo "== building the release (some minutes the first time)"
	@swift build -c release --product mreg
	@exec .build/release/mreg evaluate $(ARGS)

test: lint unit-test interop-test crash-test pacing-test
	@echo "== all tests passed"

unit-test: packages-build packages-test
	@echo "== building the program and its tests (some minutes the first time)"
	@swift build --build-tests
	@echo "== running the tests of the rooms, of conversations with servers, and of the assembled program"
	@swift test --skip-build --parallel --skip '^(UpstreamsTests|IntegrationTests)\.'
	@swift test --skip-build --parallel --filter '^UpstreamsTests\.'
	@swift test --skip-build --parallel --filter '^IntegrationTests\.'

interop-test: packages-build packages-test
	@swift build --product mreg
	@echo "== running real MCP clients and servers (environments are made from PyPI the first time)"
	@Tests/Interop/run.sh

crash-test: packages-build packages-test
	@swift build --product mreg
	@echo "== killing the program, replaying power cuts, watching its locks (a minute and a half)"
	@Tests/Crash/run.sh .build/debug/mreg

pacing-test: packages-build packages-test
	@swift build --product mreg
	@echo "== counting what tenants get, and attacking the limits (a minute and a half)"
	@Tests/Pacing/run.sh .build/debug/mreg

# The same at length: some twenty minutes, with the release.
torture: packages-build packages-test
	@swift build -c release --product mreg
	@for durability in answered strict batched; do python3 Tests/Crash/kill_loop.py --mreg .build/release/mreg --rounds 150 --durability $$durability; done
	@python3 Tests/Crash/kill_loop.py --mreg .build/release/mreg --rounds 150 --clients 64
	@python3 Tests/Crash/replay.py --mreg .build/release/mreg --states 20000 --calls 9000 --self-test
	@for durability in answered strict; do python3 Tests/Crash/replay.py --mreg .build/release/mreg --states 20000 --calls 9000 --clients 64 --durability $$durability; done
	@python3 Tests/Crash/locks.py --mreg .build/release/mreg --seconds 60
	@python3 Tests/Crash/faults.py --mreg .build/release/mreg

bench: packages-build packages-bench
	@echo "== building the release (some minutes the first time)"
	@swift build -c release --product mreg
	@swift build -c release --product record-benchmark
	@swift build -c release --product pacing-benchmark
	@swift build -c release --product identity-benchmark
	@python3 Benchmarks/run.py --mreg .build/release/mreg $(ARGS)
	@python3 Benchmarks/record.py --benchmark .build/release/record-benchmark
	@python3 Benchmarks/pacing.py --benchmark .build/release/pacing-benchmark --million
	@python3 Benchmarks/identity.py --benchmark .build/release/identity-benchmark

lint:
	@echo "== checking the formatting and the imports"
	@swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)
	@python3 Tests/imports.py

format:
	@swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

fuzz:
	@Fuzzing/run.sh $(ARGS)

clean:
	@rm -rf .build .venv

# Installs what is missing; without anything missing it needs no rights.
packages-build packages-test packages-bench: packages-%:
	@missing=""; \
	for package in $$(awk '$$1 == "$*" { print $$2 }' packages.txt); do \
		dpkg-query --show --showformat='$${db:Status-Status}\n' "$$package" 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "== installing Debian packages:$$missing"; \
		if [ "$$(id -u)" != 0 ]; then echo "This needs root. Either run it as root, or install them yourself: apt-get install$$missing" >&2; exit 1; fi; \
		apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
