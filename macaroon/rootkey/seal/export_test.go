package seal

const MaxKept = maxKept

// NewCheapPassphrase is NewPassphrase with another derivation.
func NewCheapPassphrase(text string, derive func(passphrase []byte, salt [16]byte) [32]byte) *Sealer {
	return &Sealer{[]form{newPassphrase([]byte(text), derive)}}
}
