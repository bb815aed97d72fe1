package fleet

// Every chance is a pure function of the seed, the host and a purpose, so that
// nothing has to be remembered and the order of asking does not matter. The
// mixing is that of SplitMix64 (public domain).

// purpose keeps chances apart that must not depend on each other.
type purpose uint64

const (
	forKind purpose = iota + 1
	forVariant
	forEdition
	forLine
	forUpdate
	forKeenness
	forKeennessShared
	forTogether
	forChangingLine
	forLag
	forCadence
	forPhase
	forMigration
	forSubscription
	forGone
	forHow
	forHiding
	forMoving
	forMissing
	forCountry
	forSector
	forNetwork
	forWord
	forFrontend
	forServer
	forCertificate
	forKey
	forTLS
	forManifest
	forMembers
	forTenant
	forRequest
	forTime
	forHealth
	forInsight
	forTool
	forSerial
	forReach
	forName
	forChallenge
)

func scramble(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// dice are the chances of one thing: a host, a front end, an operator.
type dice uint64

func diceOf(seed uint64, parts ...uint64) dice {
	x := scramble(seed)
	for _, p := range parts {
		x = scramble(x ^ p)
	}
	return dice(x)
}

func (d dice) bits(p purpose) uint64 { return scramble(uint64(d) ^ uint64(p)<<48) }

// share gives a number from 0 to 1, without 1.
func (d dice) share(p purpose) float64 { return float64(d.bits(p)>>11) / (1 << 53) }

// n gives 0 to n-1.
func (d dice) n(p purpose, n int) int { return int(d.bits(p) >> 33 % uint64(n)) }

// one gives one of the choices.
func one[T any](d dice, p purpose, choices []T) T { return choices[d.n(p, len(choices))] }

// weighted is a choice with shares that need not add up to one.
type weighted[T any] struct {
	values []T
	upTo   []float64
}

func (w *weighted[T]) add(v T, weight float64) {
	if weight <= 0 {
		return
	}
	last := 0.0
	if n := len(w.upTo); n > 0 {
		last = w.upTo[n-1]
	}
	w.values, w.upTo = append(w.values, v), append(w.upTo, last+weight)
}

// at gives the value at a share from 0 to 1.
func (w *weighted[T]) at(share float64) (v T) {
	if len(w.upTo) == 0 {
		return v
	}
	share *= w.upTo[len(w.upTo)-1]
	for i, up := range w.upTo {
		if share < up {
			return w.values[i]
		}
	}
	return w.values[len(w.values)-1]
}
