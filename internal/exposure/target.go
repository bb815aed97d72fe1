package exposure

import (
	"hash/maphash"
	"net/netip"
	"strconv"

	"postern"
)

// Target is one thing that the operator wants looked at: an address, or a name
// that still has to be resolved.
type Target struct {
	Text    string     // as the list wrote it; the record repeats it
	Address netip.Addr // invalid where only a name is given
	Name    string     // for SNI and Host, lower case; "" if there is none
	Port    uint16
	Plain   bool // HTTP without TLS
	// What an import knows beside the address; zero if nothing.
	ASN             uint32
	Country, Sector string
}

// keySeed makes the keys of one run. They are never written down.
var keySeed = maphash.MakeSeed()

// Key names a target among the others of this run: the same line twice is one target.
func (t *Target) Key() uint64 { return TargetKey(t.Text, t.Name) }

// TargetKey is the key of a target from the two fields that its record keeps.
func TargetKey(text, name string) uint64 {
	var h maphash.Hash
	h.SetSeed(keySeed)
	h.WriteString(text)
	h.WriteByte(0)
	h.WriteString(name)
	return h.Sum64()
}

// Place is where a look at a target goes: an address that the scope has checked.
type Place struct {
	Name    string
	Address netip.Addr
	Port    uint16
	Plain   bool
	ASN     uint32
}

// AddrPort gives the place as the network wants it.
func (p Place) AddrPort() netip.AddrPort { return netip.AddrPortFrom(p.Address, p.Port) }

// Host gives the value of the Host header: the name, or else the address, with
// the port where it is not the usual one.
func (p Place) Host() string {
	host := p.Name
	if host == "" {
		if host = p.Address.String(); p.Address.Is6() {
			host = "[" + host + "]"
		}
	}
	if usual := uint16(443); p.Port == usual && !p.Plain || p.Port == 80 && p.Plain {
		return host
	}
	return host + ":" + strconv.Itoa(int(p.Port))
}

// Stop says why a target is not looked at, or no further: an outcome and a
// sentence. It is an error so that it can come out of a dialer.
type Stop struct {
	Outcome Outcome
	Why     postern.Text
}

func (s *Stop) Error() string { return string(s.Outcome) + ": " + s.Why.Key }

// PortText gives a port as text.
func PortText(p uint16) string { return strconv.Itoa(int(p)) }
