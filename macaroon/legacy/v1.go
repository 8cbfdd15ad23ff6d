package legacy

import (
	"fmt"
	"strings"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// The v1 binary form is a row of packets:
//
//	macaroon = location identifier *( cid [ vid [ cl ] ] ) signature
//	packet   = length key SP value LF
//	length   = 4 lower-case hex digits: the size of the packet, with themselves
//	key      = the names above
//
// cid is a condition or caveat id, vid the verification id, cl the location of a
// third-party caveat. A value may hold any bytes, LF included.

const maxPacket = 0xffff

// packet reads the packet at the start of data.
func packet(data string) (key, value, rest string, err error) {
	const minPacket = len("0000k \n")
	size, ok := packetSize(data)
	switch {
	case !ok:
		return "", "", "", malformed("v1: packet length: not four lower-case hex digits")
	case size < minPacket:
		return "", "", "", malformed("v1: packet length: %d is too little", size)
	case size > len(data):
		return "", "", "", malformed("v1: packet: cut off")
	}
	body, terminated := strings.CutSuffix(data[4:size], "\n")
	key, value, separated := strings.Cut(body, " ")
	if !terminated || !separated {
		return "", "", "", malformed("v1: packet: no key, or no line feed at its end")
	}
	return key, value, data[size:], nil
}

func packetSize(data string) (size int, ok bool) {
	if len(data) < 4 {
		return 0, false
	}
	for i := range 4 {
		digit := strings.IndexByte("0123456789abcdef", data[i])
		if digit < 0 {
			return 0, false
		}
		size = size<<4 | digit
	}
	return size, true
}

// follows reports whether the grammar has a packet of one key behind another.
func follows(previous, key string) bool {
	switch key {
	case "location":
		return previous == ""
	case "identifier":
		return previous == "location"
	case "cid", "signature":
		return previous != "" && previous != "location"
	case "vid":
		return previous == "cid"
	case "cl":
		return previous == "vid"
	}
	return false
}

// startsV1 looks behind the length, which may be wrong.
func startsV1(data string) bool {
	return len(data) > 4 && strings.HasPrefix(data[4:], "location ")
}

// v1Binary reads the macaroon at the start of data.
func (r *reader) v1Binary(data string) (string, error) {
	if err := r.begin(V1Binary); err != nil {
		return "", err
	}
	var m wire.Macaroon
	var caveat *wire.Caveat
	for previous := ""; previous != "signature"; {
		key, value, rest, err := packet(data)
		if err != nil {
			return "", err
		}
		if !follows(previous, key) {
			return "", malformed("v1: no such packet belongs behind %q", previous)
		}
		switch key {
		case "location":
			m.Location = value
		case "identifier":
			m.Identifier = value
		case "cid":
			if caveat, err = r.caveat(&m); err == nil {
				caveat.ID = value
			}
		case "vid":
			caveat.VerificationID, err = value, wire.CheckVerificationID(value)
		case "cl":
			caveat.Location = value
		case "signature":
			m.Signature, err = signature(value)
		}
		if err != nil {
			return "", err
		}
		previous, data = key, rest
	}
	r.out = wire.Append(r.out, &m)
	return data, nil
}

// appendV1 appends the v1 binary form of m, with a cl for every vid, as all
// readers take it.
func appendV1(b []byte, m *wire.Macaroon) ([]byte, error) {
	var err error
	put := func(key, value string) {
		size := 4 + len(key) + 1 + len(value) + 1
		if size > maxPacket && err == nil {
			err = fmt.Errorf("%s of %d bytes: too long for a packet", key, len(value))
		}
		b = fmt.Appendf(b, "%04x%s %s\n", size, key, value)
	}
	put("location", m.Location)
	put("identifier", m.Identifier)
	for i := range m.Caveats {
		c := &m.Caveats[i]
		put("cid", c.ID)
		if c.VerificationID != "" {
			put("vid", c.VerificationID)
			put("cl", c.Location)
		}
	}
	put("signature", string(m.Signature[:]))
	if err != nil {
		return nil, err
	}
	return b, nil
}
