package caveat

// ParseDeclared reads the argument of a declared condition, by which a third party states an attribute in its
// discharge. The key ends at the first space and is not empty; the value is all that follows, spaces too, and an
// empty one means that the third party has nothing to say. Its error is [ErrMalformed]; it does not quote the value.
//
// Anybody may append a condition that declares anything. What a declaration is worth depends on where it stands, and
// only a verifier can tell that.
func ParseDeclared(argument string) (key, value string, err error) {
	key, value = nextWord(argument)
	switch {
	case key == "":
		return "", "", malformed("no key")
	case len(key) == len(argument):
		return "", "", malformed("no space behind the key")
	case !isText(argument):
		return "", "", errNotText
	}
	return key, value, nil
}
