package pattern

import "github.com/VirusTotal/gyp/ast"

// maxHexTokens bounds a hex string; the longest in public rules has 12,000 bytes.
const maxHexTokens = 1 << 16

// hexTree turns the parser's tokens into a tree. Its jumps are lazy.
func hexTree(tokens ast.HexTokens) (n *node, alternatives bool, err error) {
	h := hexReader{}
	n, err = h.sequence(tokens, 0)
	return n, h.alternatives, err
}

type hexReader struct {
	nodes        int
	alternatives bool
}

func (h *hexReader) sequence(tokens ast.HexTokens, depth int) (*node, error) {
	if depth > maxNesting {
		return nil, refuse("nested", "hex string: alternatives nested deeper than %d", maxNesting)
	}
	n := &node{kind: nodeConcat}
	for i, t := range tokens {
		switch t := t.(type) {
		case *ast.HexBytes:
			for j, b := range t.Bytes {
				mask := byte(0xff)
				if j < len(t.Masks) {
					mask = t.Masks[j]
				}
				k := &node{kind: nodeSet, set: masked(b, mask), literal: mask == 0xff, lit: b & mask, mask: mask, any: mask == 0}
				if j < len(t.Nots) && t.Nots[j] {
					if mask == 0 {
						return nil, refuse("hex-nothing", "hex string: ~?? matches nothing")
					}
					k.set, k.literal, k.mask = k.set.negate(), false, 0
				}
				n.kids = append(n.kids, k)
			}
		case *ast.HexJump:
			if i == 0 || i == len(tokens)-1 {
				return nil, refuse("hex-end", "hex string: begins or ends with a jump")
			}
			k := &node{kind: nodeRepeat, kids: []*node{anyByte()}, min: t.Start, max: t.End, lazy: true}
			if t.End == 0 {
				k.max = endless
			}
			if t.Start < 0 || t.End < 0 || k.max != endless && k.max < k.min {
				return nil, refuse("hex-jump", "hex string: jump [%d-%d]", t.Start, t.End)
			}
			if depth > 0 && (k.min > chainGap || k.max > chainGap || k.max == endless) {
				return nil, refuse("hex-inside", "hex string: a jump over %d inside alternatives", chainGap)
			}
			if k.min == 1 && k.max == 1 {
				k = k.kids[0]
			}
			n.kids = append(n.kids, k)
		case *ast.HexOr:
			alt := &node{kind: nodeAlt}
			for _, a := range t.Alternatives {
				list, ok := a.(ast.HexTokens)
				if !ok {
					list = ast.HexTokens{a}
				}
				k, err := h.sequence(list, depth+1)
				if err != nil {
					return nil, err
				}
				alt.kids = append(alt.kids, k)
			}
			if len(alt.kids) == 1 {
				n.kids = append(n.kids, alt.kids[0])
				break
			}
			h.alternatives = true
			n.kids = append(n.kids, alt)
		default:
			return nil, refuse("hex", "hex string: a token of the unknown kind %T", t)
		}
		if h.nodes += 1; h.nodes+len(n.kids) > maxHexTokens {
			return nil, refuse("large", "hex string: more than %d bytes", maxHexTokens)
		}
	}
	if len(n.kids) == 0 {
		return nil, refuse("empty", "an empty hex string")
	}
	return n, nil
}

func anyByte() *node { return &node{kind: nodeSet, set: allBytes(), any: true} }
