package thirdparty

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Party is what has to be known of a third party to add a caveat for it.
type Party struct {
	// Location is where clients find it, such as "https://id.example". In a token it is a hint and not
	// authenticated; the caveat is sealed to Key wherever it is sent.
	Location string

	// Key is its public key.
	Key PublicKey

	// Version is the newest version of caveat ids that it reads. 2 is written for 2, and 3 for more. Zero means
	// 3. Version 1 is not written, so a party of that age is an error.
	Version int
}

// The versions of caveat ids.
const (
	version1 = 1
	version2 = 2
	version3 = 3
)

// check gives the version to be written.
func (p Party) check() (version byte, err error) {
	switch {
	case trimmed(p.Location) == "" || !isText(p.Location):
		return 0, errors.New("no location, or not text")
	case p.Key.IsZero():
		return 0, errors.New("no public key")
	case p.Version == 0 || p.Version >= version3:
		return version3, nil
	case p.Version == version2:
		return version2, nil
	}
	return 0, fmt.Errorf("version %d: want 2 or later", p.Version)
}

// A Locator finds third parties. Whoever can change what it answers can discharge the caveats that are made from
// it, so it must answer from authenticated knowledge, and know only parties that are to be trusted.
type Locator interface {
	// ThirdParty gives the party at a location. found is false if the locator knows none there, and err is not
	// nil if that could not be found out; then party is not looked at. It must be safe for concurrent use and
	// heed ctx.
	ThirdParty(ctx context.Context, location string) (party Party, found bool, err error)
}

// StaticLocator makes a Locator that knows these parties and no others. A slash at the end of a location does not
// count. It fails if a party is not complete, or if two share a location.
func StaticLocator(parties ...Party) (Locator, error) {
	known := make(staticLocator, len(parties))
	for i, party := range parties {
		if _, err := party.check(); err != nil {
			return nil, fmt.Errorf(prefix+"party %d: %w", i, err)
		}
		at := trimmed(party.Location)
		if _, found := known[at]; found {
			return nil, fmt.Errorf(prefix+"party %d: another one has the same location", i)
		}
		known[at] = party
	}
	return known, nil
}

type staticLocator map[string]Party

func (l staticLocator) ThirdParty(_ context.Context, location string) (Party, bool, error) {
	party, found := l[trimmed(location)]
	return party, found, nil
}

// trimmed is the location as the bakery compares them.
func trimmed(location string) string { return strings.TrimSuffix(location, "/") }
