# The front door. Meson and Ninja do the work, below build/; scripts/ has one script per task.
MAKEFLAGS += --no-print-directory
PREFIX ?= /usr/local
SECONDS ?= 60

build:          ## build/weir, optimised; installs missing packages first
	@scripts/build release

run: build      ## the demo: a backend, weir and a plugin on localhost
	@scripts/demo

test:           ## all tests; SUITES="unit e2e" chooses
	@scripts/test release $(SUITES)

test-long:      ## the tests that look for what only much load brings to light: an hour
	@scripts/test release long

check:          ## format, clang-tidy, cppcheck, dependencies, sizes
	@scripts/check

format:         ## put all C and C++ files into the house style
	@scripts/format

asan:           ## the tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/test asan $(SUITES)

tsan:           ## the tests with ThreadSanitizer
	@scripts/test tsan $(SUITES)

fuzz:           ## every fuzz target for SECONDS=60
	@scripts/fuzz $(SECONDS)

bench: build    ## weir beside nginx and HAProxy; writes docs/benchmarks.md
	@scripts/install-deps bench
	@scripts/bench

bench-path: build ## the same with TLS, HTTP/2, uploads, many routers; writes docs/benchmarks-path.md
	@scripts/install-deps bench
	@scripts/bench path

bench-middlewares: build ## what each middleware adds; writes docs/benchmarks-middlewares.md
	@scripts/install-deps bench
	@scripts/bench middlewares

bench-plugin: build ## the plugin host beside Traefik's; writes docs/benchmarks-plugin.md
	@scripts/install-deps bench
	@scripts/bench plugin

bench-firewall: build ## a real firewall as a plugin, beside Traefik; writes docs/benchmarks-firewall.md
	@scripts/install-deps bench
	@scripts/bench firewall

install:        ## after make: weir, its manual and unit, and libweir-plugin; DESTDIR, PREFIX, LIBDIR
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' scripts/install

clean:          ## remove build/ (the engine stays in the user's cache)
	rm -rf build compile_commands.json

help:           ## this list
	@sed -n 's/^\([a-z-]*\):[a-z ]*## /\1\t/p' Makefile | expand -t 16

.PHONY: build run test test-long check format asan tsan fuzz bench bench-path bench-middlewares bench-plugin bench-firewall install clean help
