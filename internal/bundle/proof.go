package bundle

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Everybody can read the proofs of a bundle, and nobody learns from them what is in it:
// each is a hash of a file's path and content together, with the number of the bundle. Only
// who has such a file can find out that it lies there. A person at a server needs that
// before moving it, and has no key, which does not belong on that server.

const proofSuffix = ".proof"

// ProofLen is the length of a proof: 128 bits of SHA-256.
const ProofLen = 16

// proofScheme separates proofs from all other hashes.
const proofScheme = "postern.proof/1\n"

// ProofPart names the proofs of a segment.
func ProofPart(n int) string { return fmt.Sprintf("%s%05d%s", segmentFolder, n, proofSuffix) }

// Proof gives that of a file in the bundle of a number: its path there, and the SHA-256
// of its content in hex.
func Proof(id, path, sum string) [ProofLen]byte {
	h := sha256.Sum256([]byte(proofScheme + id + "\nfile\n" + strings.ToLower(sum) + "\n" + path))
	return [ProofLen]byte(h[:])
}

// ServerProof gives that of the name of a server, in hex. A name can be guessed: the log
// of custody says more.
func ServerProof(id, name string) string {
	h := sha256.Sum256([]byte(proofScheme + id + "\nserver\n" + strings.ToLower(name)))
	return hex.EncodeToString(h[:ProofLen])
}

// Proves says whether the bundle has proofs for all its segments. Those of earlier
// versions have none.
func (b *Bundle) Proves() bool {
	lists, proofs := 0, 0
	for _, p := range b.Parts {
		n, list := SegmentOf(p.Name)
		switch {
		case n > 0 && list:
			lists++
		case p.Name == ProofPart(proofs+1):
			proofs++
		}
	}
	return lists == proofs
}

// Lacking gives those of some files, by their paths with their SHA-256, that have no
// proof in the bundle of a number, sorted. The bundle must be sound: proofs are
// worth what its signature is.
func (b *Bundle) Lacking(id string, files map[string]string) ([]string, error) {
	wanted := make(map[[ProofLen]byte]string, len(files))
	for path, sum := range files {
		wanted[Proof(id, path, sum)] = path
	}
	n := 1
	for _, p := range b.Parts {
		if p.Name != ProofPart(n) {
			continue
		}
		n++
		r := bufio.NewReaderSize(b.Reader(p), 64<<10)
		for {
			var one [ProofLen]byte
			if _, err := io.ReadFull(r, one[:]); err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("read %s: %w", p.Name, err)
			}
			delete(wanted, one)
		}
	}
	return slices.Sorted(maps.Values(wanted)), nil
}
