package filestore

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// header begins each file. It stands in the place of a key's id in what the seal is
// bound to, so that nothing sealed for another purpose opens here.
const header = "amaretti root keys 1\n"

// maxFile is the size of the largest file that is read or written.
const maxFile = 4 << 20

// contents is what is sealed.
type contents struct {
	// Write is different in each write. A seal is random anyway, but there are
	// files without one (seal.InsecurePlaintext).
	Write   string            `json:"write"`
	Records map[string][]byte `json:"records"`
}

// versionOf gives the version of a file: its hash, so that no file needs to be opened to
// tell that it is the same as before.
func versionOf(file []byte) string {
	sum := sha256.Sum256(file)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func sealSet(sealer *seal.Sealer, name string, records map[string][]byte) ([]byte, error) {
	for id := range records {
		if !utf8.ValidString(id) { // It would come back as another.
			return nil, errors.New("a key id is no valid text")
		}
	}
	c := contents{rand.Text(), records}
	if records == nil {
		c.Records = map[string][]byte{} // an empty set, and not none
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sealed, err := sealer.Seal(name, header, text)
	if err != nil {
		return nil, err
	}
	if len(header)+len(sealed) > maxFile {
		return nil, fmt.Errorf("the keys are too large for a file of %d bytes", maxFile)
	}
	return append([]byte(header), sealed...), nil
}

func openSet(sealer *seal.Sealer, name string, file []byte) (map[string][]byte, error) {
	sealed, ok := bytes.CutPrefix(file, []byte(header))
	if !ok {
		return nil, errors.New("not a file of root keys, or one of a later release")
	}
	text, err := sealer.Open(name, header, sealed)
	if err != nil {
		return nil, err
	}
	var c contents
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || c.Write == "" || c.Records == nil {
		return nil, errNotOurs
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNotOurs
	}
	return c.Records, nil
}

// errNotOurs does not wrap the decoder's error, which might show a piece of what was
// sealed.
var errNotOurs = errors.New("it opens, but holds no set of root keys")
