# Plain "go build", "go vet" and "go test ./..." do everything; this file only
# names them. "make demo" shows the program, "make test" is everything CI runs.

GO        ?= go
PLATFORMS := linux/amd64 linux/arm64 windows/amd64 darwin/arm64
FUZZTIME  ?= 60s
# make RELEASE=1.0 linux/amd64 builds what is handed out.
RELEASE   ?=

# One static binary for each platform, with no C anywhere.
export CGO_ENABLED := 0

.PHONY: build test demo fuzz race bench lint vulns clean $(PLATFORMS)

build:
	$(GO) build -o bin/ ./cmd/postern

test: format vet $(PLATFORMS)
	$(GO) test ./...

# gofmt knows what is not formatted; a list that is not empty is a failure.
.PHONY: format vet
format:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "run gofmt -w on:" $$files; exit 1; }

vet:
	$(GO) vet ./...
	GOOS=windows $(GO) vet ./...

$(PLATFORMS):
	GOOS=$(@D) GOARCH=$(@F) $(GO) build $(if $(RELEASE),-trimpath -ldflags '-s -w -X main.release=$(RELEASE)') -o dist/postern-$(@D)-$(@F)$(if $(filter windows,$(@D)),.exe) ./cmd/postern

# Lays out a simulated server with a back door, hunts it, and shows the verdict.
# Exit code 3 of a hunt says that it found something, as it should here.
demo: build
	rm -rf demo
	bin/postern exercise evidence --seed 1 --size 12MB --story shell-used --out demo/evidence
	bin/postern hunt --format jsonl -o demo/hunt.jsonl demo/evidence || test $$? -eq 3
	bin/postern report demo/hunt.jsonl || test $$? -eq 3
	bin/postern report --format html -o demo/report.html demo/hunt.jsonl || test $$? -eq 3
	@echo
	@echo "The same as a page: $(CURDIR)/demo/report.html"
	@echo "What was planted:   $(CURDIR)/demo/evidence/truth.json"

# Every fuzz target for FUZZTIME, found by asking the tests. Without a bound on
# minimising, Go spends the whole time shrinking one input.
fuzz:
	@list=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { t[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, t[i]; n = 0 }' | \
	while read package target; do \
		echo "== $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null || exit 1; \
	done

# The race detector needs a C compiler.
race:
	CGO_ENABLED=1 $(GO) test -race ./...

# Ratios against other programs, taken in one run; docs/benchmarks.md says what they mean.
bench: build
	$(GO) run ./internal/bench -large

# Optional, as they fetch what the program itself does not need.
lint:
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run
	$(GO) mod tidy -diff

vulns:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0 ./...

clean:
	rm -rf bin dist demo
