# make demo      the whole story on embedded defaults: no key, no network
# make test      everything that proves it
# make check     what the automatic checks do
GO ?= go
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/writ

.PHONY: demo test check bench bench-peers crash fuzz generate zones claims model svg vectors build interop

# The packages of each program under web/ that has a lock file. Without npm the tests that need them are skipped.
NODE := $(patsubst %/package-lock.json,%/node_modules/.package-lock.json,$(wildcard web/*/package-lock.json))
web/%/node_modules/.package-lock.json: web/%/package-lock.json
	@if command -v npm >/dev/null; then cd web/$* && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json; \
	else echo "there is no npm: tests that need web/$* are skipped"; fi

demo:
	$(GO) run ./cmd/writ demo

build:
	$(GO) build -trimpath -o bin/ ./cmd/writ ./cmd/writ-audit

# The whole proof. -shuffle finds tests that lean on each other; the race detector runs in check.
test: $(NODE)
	$(GO) vet ./...
	$(GO) test -shuffle=on -timeout 15m ./...

# The policy sets that come with writ.
SETS := $(wildcard policies/sets/*.yaml examples/*/policies.yaml)

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

# Each as a ratio to a floor that is measured in the same run.
bench:
	@$(GO) run ./internal/bench $(BENCHFLAGS)

# Kills a real process at random moments, and tears what it leaves. In memory if that can be had: a kill does not ask
# whether the disk has it, and the torn writes stand for a disk that has not. make test does 20 on the disk.
TRIALS ?= 1000
crash:
	TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo /tmp) \
	  $(GO) test ./internal/crash -run 'TestCrash$$' -count=1 -v -timeout 2h -trials $(TRIALS)

# The policies beside expr alone, cel-go and cedar-go, which the product does not depend on: a module of its own.
bench-peers:
	@cd internal/bench/peers && $(GO) run .

FUZZTIME ?= 60s
fuzz:
	@grep -rEo --include='*_test.go' '^func Fuzz\w+' . | sort | sed -E 's,/[^/]+:func , ,' | while read -r p f; do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; \
	done

# Everything in the repository that is made from something else: tampered files, the protocol's description, the config's
# schema, the token's bytecode. What it changes is to be read before it is committed.
generate:
	$(GO) generate ./...
	$(GO) test ./agent/wire -run TestOpenRPC -update
	$(GO) test ./internal/config -run TestSchema -update
	cd internal/chain/contracts && { test -d node_modules/solc || npm ci; } && npm run build

# The time zones that policies read by, as Go has them. Recorded decisions stay as they are: their zones are recorded.
zones:
	cp "$$($(GO) env GOROOT)/lib/time/zoneinfo.zip" policies/calendar/zoneinfo.zip
	$(GO) test ./policies/calendar

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
