# Plain "go build", "go vet" and "go test ./..." do everything; this file only
# names them. "make demo" shows the program, "make test" is everything CI runs.

GO        ?= go
PLATFORMS := linux/amd64 linux/arm64 windows/amd64 darwin/arm64
FUZZTIME  ?= 60s
# make RELEASE=1.0 linux/amd64 builds what is handed out.
RELEASE   ?=

# One static binary for each platform, with no C anywhere.
export CGO_ENABLED := 0

.PHONY: build test demo demo-night demo-scan demo-reports fuzz race bench lint vulns clean $(PLATFORMS)

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

# The night of one server, and three weeks of a whole country: half a minute in all. What
# a step says at length goes to a file in demo/; the answer is shown.
demo: build
	rm -rf demo
	@$(MAKE) --no-print-directory demo-night demo-scan demo-reports
	$(call step,What to look at)
	@echo "The hunt as a page            demo/report.html (as text: demo/report.txt)"
	@echo "The plan as a page            demo/plan.html (as text: demo/plan.txt)"
	@echo "The sealed evidence           demo/EX01.bundle (its key: demo/case.key)"
	@echo "What mitigating changed       demo/mitigate.txt"
	@echo "What lies in quarantine       demo/evidence/EX01/postern-quarantine"
	@echo "The three answers             demo/verify.txt"
	@echo "What was planted              demo/evidence/truth.json"
	@echo "The scans as a page           demo/scanned.html"
	@echo "The owners' reports as a page demo/reported.html"
	@echo "What was true day by day      demo/true-curve.jsonl"
	@echo "To take the night back        bin/postern respond restore demo/evidence/EX01"
	@echo "                              bin/postern respond rollback demo/evidence/EX01"

# A heading. No commas in it: make would take them for more arguments.
step = @printf '\n\n== %s\n\n' '$(1)'
# Lines that are made for copying are wider than a terminal.
fold = fold -s -w 80

# A simulated server with a back door: hunt, plan, preserve, mitigate, clean, verify, in
# the order of docs/responder.md. Exit code 3 says that something was found or is not
# proved, as it should be here.
demo-night:
	$(call step,1. Hunt: how far did the intruder get?)
	bin/postern exercise evidence --out demo/evidence \
		--seed 1 --size 12MB --story shell-used
	bin/postern hunt --format jsonl -o demo/hunt.jsonl demo/evidence/EX01 \
		|| test $$? -eq 3
	bin/postern report demo/hunt.jsonl >demo/report.txt || test $$? -eq 3
	@sed '/^EVIDENCE/,$$d' demo/report.txt
	@bin/postern report --format html -o demo/report.html demo/hunt.jsonl || test $$? -eq 3
	$(call step,2. Plan: what to do with this server and in which order?)
	bin/postern respond plan --root demo/evidence/EX01 --bundle demo/EX01.bundle \
		demo/hunt.jsonl >demo/plan.txt || test $$? -eq 3
	@sed -n -e '/^[A-Z].* --/p' -e '/^\[ \]/p' demo/plan.txt
	@bin/postern respond plan --format html -o demo/plan.html demo/hunt.jsonl || test $$? -eq 3
	$(call step,3. Preserve: the evidence in a sealed bundle before anything is changed)
	bin/postern respond custody key demo/case.key >demo/recipients.txt
	bin/postern respond preserve demo/evidence/EX01 --out demo/EX01.bundle \
		--recipients-file demo/recipients.txt --from demo/hunt.jsonl
	bin/postern respond custody verify --identity demo/case.key demo/EX01.bundle
	$(call step,4. Mitigate: the published rules into the configuration of IIS)
	bin/postern respond mitigate --apply --yes demo/evidence/EX01 >demo/mitigate.txt
	@sed -n '/^---/,$$p' demo/mitigate.txt | $(fold)
	$(call step,5. Clean: what is malicious for certain goes into quarantine)
	bin/postern respond clean demo/evidence/EX01 --from demo/hunt.jsonl \
		--preserved demo/EX01.bundle --apply --yes >demo/clean.txt 2>&1
	@$(fold) demo/clean.txt
	$(call step,6. Verify: patched? mitigated? clean?)
	bin/postern respond verify demo/evidence/EX01 --since demo/hunt.jsonl \
		>demo/verify.txt || test $$? -eq 3
	@grep -v -e '^  - ' -e '^  STILL' demo/verify.txt | $(fold)

# Plays a country of 1,000 hosts on loopback from 2 to 22 March 2021 and scans it on five
# of these days; each scan is told what the ones before it found. The fleet reads its clock
# from a pipe, and ends with the recipe.
demo-scan:
	$(call step,A country from outside: a fleet on loopback on five days of three weeks)
	@mkdir -p demo; rm -f demo/clock; mkfifo demo/clock; \
	bin/postern exercise fleet --hosts 1000 --port 0 --for 5m --targets demo/targets.txt --scope demo/scope.yaml --truth demo/hosts.jsonl \
		<demo/clock >demo/ready.txt 2>demo/fleet.txt & fleet=$$!; \
	trap 'kill $$fleet; wait $$fleet; $(fold) demo/fleet.txt' EXIT; exec 3>demo/clock; \
	earlier=; for day in 0 3 6 11 20; do \
		echo "day $$day" >&3; \
		until grep -q " day=$$day " demo/ready.txt; do kill -0 $$fleet || exit 1; sleep 0.1; done; \
		date=$$(printf '2021-03-%02d' $$((day + 2))); echo "$$date"; \
		bin/postern exposure scan --lab --timeout 2s --targets demo/targets.txt --scope demo/scope.yaml --at $${date}T12:00:00Z $$earlier \
			-o demo/$$date.jsonl 2>demo/scan.txt || { cat demo/scan.txt; exit 1; }; \
		$(fold) demo/scan.txt; \
		earlier="$$earlier --earlier demo/$$date.jsonl"; \
	done; echo; echo "What the fleet says of its visitors on these five days:"
	@echo
	bin/postern exposure adoption demo/2021-03-*.jsonl
	@bin/postern exposure adoption --format html -o demo/scanned.html demo/2021-03-*.jsonl

# From outside, hardly any build of March 2021 could be told. The same hosts, if all
# their owners had reported what they run:
demo-reports:
	$(call step,The same country had all owners reported what they run)
	@bin/postern exercise sightings --hosts 1000 --insight 1 --days 0,3,6,11,20 --truth demo/true-curve.jsonl >demo/reports.jsonl
	bin/postern exposure adoption demo/reports.jsonl
	@echo; echo "What was true on Friday, 5 March:"; grep 2021-03-05 demo/true-curve.jsonl | $(fold)
	@bin/postern exposure adoption --format html -o demo/reported.html demo/reports.jsonl

# What seals and changes files, as Windows programs in Debian's wine; says so where there
# is none. Some minutes.
.PHONY: test-windows
test-windows:
	$(GO) run ./internal/wine

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
bench:
	$(GO) run ./internal/bench -large

# Optional, as they fetch what the program itself does not need.
lint:
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run
	$(GO) mod tidy -diff

vulns:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0 ./...

clean:
	rm -rf bin dist demo
