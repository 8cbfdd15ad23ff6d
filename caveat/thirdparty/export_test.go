package thirdparty

// Opened is what a caveat id holds, for tests.
type Opened struct {
	RootKey, Namespace, Condition string
	FirstParty                    PublicKey
	Version                       int
}

// Open opens a caveat id without asking anybody.
func (k Keys) Open(id string) (Opened, bool) {
	o, ok := k.open(id)
	return Opened{string(o.rootKey), o.namespace, o.condition, o.firstParty, int(o.version)}, ok
}

// Seal writes the caveat id that holds o.
func Seal(o Opened, to PublicKey, from PrivateKey, nonce [24]byte) string {
	return seal(byte(o.Version), to, from, nonce, secret{[]byte(o.RootKey), o.Namespace, o.Condition})
}

// SealPlain puts plain, whatever it is, where a caveat id has what it holds.
func SealPlain(version byte, plain string, to PublicKey, from PrivateKey, nonce [24]byte) string {
	return sealPlain(version, []byte(plain), to, from, nonce)
}
