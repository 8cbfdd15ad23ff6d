package legacy

import (
	"encoding/json"
	"io"
	"strings"
)

const whiteSpace = " \t\r\n" // as JSON has it (RFC 8259 §2)

// jsonText is JSON text in UTF-8, which encoding/json divides into tokens.
type jsonText struct {
	data     string
	tokens   *json.Decoder
	spelling string // of the last token, as it stands in data
}

func newJSONText(data string) *jsonText {
	return &jsonText{data: data, tokens: json.NewDecoder(strings.NewReader(data))}
}

// next reads a token. Its errors are not those of encoding/json: they quote.
func (t *jsonText) next() (json.Token, error) {
	start := t.tokens.InputOffset()
	token, err := t.tokens.Token()
	if err != nil {
		return nil, malformed("JSON: bad syntax, or cut off, behind byte %d", start)
	}
	t.spelling = strings.TrimLeft(t.data[start:t.tokens.InputOffset()], whiteSpace+",:")
	if text, isString := token.(string); isString && replaced(text, t.spelling) {
		return nil, malformed("JSON: half of a surrogate pair")
	}
	return token, nil
}

// replaced reports whether encoding/json put U+FFFD in place of an escape that is
// half of a surrogate pair: the string then has more of them than are spelled.
func replaced(text, spelling string) bool {
	const replacement = "\uFFFD"
	inText := strings.Count(text, replacement)
	if inText == 0 {
		return false
	}
	// Without escaped backslashes each that is left begins an escape.
	spelling = strings.ToLower(strings.ReplaceAll(spelling, `\\`, ""))
	return inText > strings.Count(spelling, replacement)+strings.Count(spelling, `\ufffd`)
}

// until reads what is left of an array or object, whose end is a token. each gets
// the first token of every element, or every key, and reads what belongs to it.
func (t *jsonText) until(end json.Delim, each func(json.Token) error) error {
	for {
		token, err := t.next()
		if err != nil || token == end {
			return err
		}
		if err := each(token); err != nil {
			return err
		}
	}
}

// end fails if there is more than white space.
func (t *jsonText) end() error {
	if _, err := t.tokens.Token(); err != io.EOF {
		return malformed("JSON: something after the end")
	}
	return nil
}
