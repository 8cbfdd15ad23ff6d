package chain

// SealWithNonce lets known-answer tests choose the nonce.
var SealWithNonce = seal

// ReadState lets a test show it other layouts.
var ReadState = readState
