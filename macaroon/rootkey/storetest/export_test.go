package storetest

// Patience is how long a call may go on after its context is done.
var Patience = &patience
