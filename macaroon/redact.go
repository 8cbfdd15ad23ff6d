package macaroon

import (
	"fmt"
	"io"
	"log/slog"
)

// The signature must not reach a log by accident, whatever the verb. A Formatter
// answers for every verb and flag; LogValue answers for log/slog, which would
// otherwise ask MarshalText for the real token; the box answers where neither is
// called.

// String describes m without its secret.
func (m Macaroon) String() string { return describe("macaroon", m.box.Value()) }

// Format writes what String gives, whatever the verb.
func (m Macaroon) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// LogValue gives what String gives.
func (m Macaroon) LogValue() slog.Value { return slog.StringValue(m.String()) }

// String describes w without its secrets.
func (w Wallet) String() string { return describe("wallet", w.box.Value()) }

// Format writes what String gives, whatever the verb.
func (w Wallet) Format(f fmt.State, _ rune) { io.WriteString(f, w.String()) }

// LogValue gives what String gives.
func (w Wallet) LogValue() slog.Value { return slog.StringValue(w.String()) }

// String describes c without its secrets.
func (c Credential) String() string { return describe("credential", c.box.Value()) }

// Format writes what String gives, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue gives what String gives.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }
