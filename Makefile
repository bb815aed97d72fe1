# Plain "go build", "go vet" and "go test ./..." do everything; this file only
# names them. "make demo" shows the program, "make test" is everything CI runs.

GO        ?= go
PLATFORMS := linux/amd64 linux/arm64 windows/amd64 darwin/arm64
FUZZTIME  ?= 60s
# make RELEASE=1.0 linux/amd64 builds what is handed out.
RELEASE   ?=

# One static binary for each platform, with no C anywhere.
export CGO_ENABLED := 0

.PHONY: build test demo demo-hunt demo-scan demo-reports fuzz race bench lint vulns clean $(PLATFORMS)

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

# Three looks at the simulated world, a minute in all.
demo: build
	rm -rf demo
	@$(MAKE) --no-print-directory demo-hunt demo-scan demo-reports
	@echo
	@echo "The hunt as a page:        $(CURDIR)/demo/report.html"
	@echo "What to do, as a page:     $(CURDIR)/demo/plan.html"
	@echo "What was planted:          $(CURDIR)/demo/evidence/truth.json"
	@echo "The scans as a page:       $(CURDIR)/demo/scanned.html"
	@echo "The reports as a page:     $(CURDIR)/demo/reported.html"
	@echo "What was true day by day:  $(CURDIR)/demo/true-curve.jsonl"

# Lays out a simulated server with a back door, hunts it, and shows the verdict.
# Exit code 3 of a hunt says that it found something, as it should here.
demo-hunt:
	bin/postern exercise evidence --seed 1 --size 12MB --story shell-used --out demo/evidence
	bin/postern hunt --format jsonl -o demo/hunt.jsonl demo/evidence || test $$? -eq 3
	bin/postern report demo/hunt.jsonl || test $$? -eq 3
	bin/postern report --format html -o demo/report.html demo/hunt.jsonl || test $$? -eq 3
	bin/postern respond plan --format html -o demo/plan.html demo/hunt.jsonl || test $$? -eq 3

# Plays a country of 1,000 hosts on loopback from 2 to 22 March 2021 and scans it on ten
# of these days. The fleet reads its clock from a pipe, and ends with the recipe.
demo-scan:
	@echo; echo "== A fleet on loopback, scanned on ten days of three weeks"; mkdir -p demo; rm -f demo/clock; mkfifo demo/clock; \
	bin/postern exercise fleet --hosts 1000 --port 0 --for 5m --targets demo/targets.txt --scope demo/scope.yaml --truth demo/hosts.jsonl \
		<demo/clock >demo/ready.txt & fleet=$$!; \
	trap 'kill $$fleet; wait $$fleet' EXIT; exec 3>demo/clock; \
	for day in 0 1 2 3 6 8 10 13 16 20; do \
		echo "day $$day" >&3; \
		until grep -q " day=$$day " demo/ready.txt; do kill -0 $$fleet || exit 1; sleep 0.1; done; \
		date=$$(printf '2021-03-%02d' $$((day + 2))); echo; echo "$$date"; \
		bin/postern exposure scan --lab --timeout 2s --targets demo/targets.txt --scope demo/scope.yaml --at $${date}T12:00:00Z -o demo/$$date.jsonl || exit 1; \
	done; echo; echo "What the fleet says of its visitors on these ten days:"
	@echo
	bin/postern exposure adoption demo/2021-03-*.jsonl
	bin/postern exposure adoption --format html -o demo/scanned.html demo/2021-03-*.jsonl

# From outside, hardly any build of March 2021 could be told. The same hosts, if all
# their owners had reported what they run:
demo-reports:
	@echo; echo "== The same hosts, had their owners reported what they run"
	bin/postern exercise sightings --hosts 1000 --insight 1 --days 0,1,2,3,6,8,10,13,16,20 --truth demo/true-curve.jsonl >demo/reports.jsonl
	bin/postern exposure adoption demo/reports.jsonl
	@echo; echo "What was true on Friday, 5 March:"; grep 2021-03-05 demo/true-curve.jsonl
	bin/postern exposure adoption --format html -o demo/reported.html demo/reports.jsonl

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
