package indicator

import (
	"path"
	"strconv"
	"strings"
	"time"

	"postern"
)

// event0 is what the attributes of one event of MISP share.
type event0 struct {
	source, info string
	tlp          TLP
}

// event reads an event, or a list of attributes without one, of MISP.
func (f *reader) event(raw []byte) {
	f.Format = "misp"
	e := &event0{source: path.Base(f.Name)}
	var lists [][]byte
	var objects []byte
	fields(raw, func(key, v []byte) {
		switch string(key) {
		case "info":
			e.info = text0(v)
		case "Orgc":
			fields(v, func(key, v []byte) {
				if string(key) == "name" && text0(v) != "" {
					e.source = text0(v)
				}
			})
		case "Tag":
			e.tlp = max(e.tlp, tlpOfTags(v))
		case "Attribute":
			lists = append(lists, v)
		case "Object":
			objects = v
		}
	})
	for _, list := range lists {
		elements(list, func(v []byte) { f.attribute(v, e, nil) })
	}
	elements(objects, func(v []byte) { f.mispObject(v, e) })
}

// tlpOfTags gives the strictest marking among the tags of MISP.
func tlpOfTags(tags []byte) (t TLP) {
	elements(tags, func(v []byte) {
		fields(v, func(key, v []byte) {
			if string(key) != "name" {
				return
			}
			if name := strings.ToLower(text0(v)); strings.HasPrefix(name, "tlp:") {
				mark, _ := ParseTLP(name)
				t = max(t, mark)
			}
		})
	})
	return t
}

// shared is what the attributes of one object of MISP share.
type shared struct {
	size  int64
	until time.Time
}

// mispObject reads an object: its hashes are of a file of its size, and a date by
// which it ends is one for all of it.
func (f *reader) mispObject(raw []byte, e *event0) {
	var list []byte
	deleted := false
	fields(raw, func(key, v []byte) {
		switch string(key) {
		case "Attribute":
			list = v
		case "deleted":
			deleted = isTrue(v)
		}
	})
	if deleted {
		return
	}
	var s shared
	elements(list, func(v []byte) {
		var relation, typ, value string
		fields(v, func(key, v []byte) {
			switch string(key) {
			case "object_relation":
				relation = text0(v)
			case "type":
				typ = text0(v)
			case "value":
				value = text0(v)
			}
		})
		switch {
		case typ == "size-in-bytes":
			s.size, _ = strconv.ParseInt(value, 10, 64)
		case relation == "valid-until", relation == "valid_until", relation == "expiration-date", relation == "expiration":
			s.until, _ = when(value)
		}
	})
	elements(list, func(v []byte) { f.attribute(v, e, &s) })
}

// attribute reads one attribute.
func (f *reader) attribute(raw []byte, e *event0, s *shared) {
	entry := Entry{About: About{Source: e.source, TLP: e.tlp}}
	var typ, comment, until string
	context, deleted := false, false
	fields(raw, func(key, v []byte) {
		switch string(key) {
		case "type":
			typ = text0(v)
		case "value":
			entry.Value = text0(v)
		case "uuid":
			entry.ID = text0(v)
		case "comment":
			comment = text0(v)
		case "to_ids":
			context = isFalse(v)
		case "deleted":
			deleted = isTrue(v)
		case "first_seen":
			entry.FirstSeen, _ = when(text0(v))
		case "valid_until", "expiration":
			until = text0(v)
		case "Tag":
			entry.TLP = max(entry.TLP, tlpOfTags(v))
		}
	})
	if deleted {
		return
	}
	if context || typ == "size-in-bytes" {
		f.Context++
		return
	}
	entry.Note = comment
	if e.info != "" {
		entry.Note = strings.TrimPrefix(comment+" · "+e.info, " · ")
	}
	var ok bool
	if entry.Until, ok = when(until); !ok {
		f.unsupported(postern.Malformed, postern.Say("indicator.bad-time", "where", entry.ID, "value", cut(until, 40)))
		return
	}
	if s != nil {
		entry.Size = s.size
		if entry.Until.IsZero() {
			entry.Until = s.until
		}
	}
	if typ == "malware-sample" {
		typ = "filename|md5"
	}
	f.typed(entry, typ, entry.ID)
}
