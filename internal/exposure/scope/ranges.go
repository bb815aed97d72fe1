package scope

import (
	"net/netip"
	"slices"
)

// ranges is a set of addresses: ranges that do not touch, ascending.
type ranges []span

type span struct{ from, to netip.Addr }

// newRanges makes the set of all addresses of the networks.
func newRanges(networks []netip.Prefix) ranges {
	all := make(ranges, 0, len(networks))
	for _, n := range networks {
		n = n.Masked()
		all = append(all, span{n.Addr(), last(n)})
	}
	slices.SortFunc(all, func(a, b span) int { return a.from.Compare(b.from) })
	merged := all[:0]
	for _, s := range all {
		if n := len(merged); n > 0 && s.from.BitLen() == merged[n-1].to.BitLen() && (s.from.Compare(merged[n-1].to) <= 0 || s.from == merged[n-1].to.Next()) {
			if s.to.Compare(merged[n-1].to) > 0 {
				merged[n-1].to = s.to
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// last gives the highest address of a network.
func last(n netip.Prefix) netip.Addr {
	b := n.Addr().As16()
	host := n.Addr().BitLen() - n.Bits()
	for i := 15; host > 0; i-- {
		bits := min(host, 8)
		b[i] |= byte(1<<bits - 1)
		host -= bits
	}
	a := netip.AddrFrom16(b)
	if n.Addr().Is4() {
		return a.Unmap()
	}
	return a
}

func (r ranges) contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(r, a, func(s span, a netip.Addr) int { return s.from.Compare(a) })
	if found {
		return true
	}
	return i > 0 && r[i-1].from.BitLen() == a.BitLen() && a.Compare(r[i-1].to) <= 0
}
