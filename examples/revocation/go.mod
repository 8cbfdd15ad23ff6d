module github.com/amaretti-go/amaretti/examples/revocation

go 1.26.0

replace github.com/amaretti-go/amaretti => ../..

require (
	github.com/amaretti-go/amaretti v0.0.0-00010101000000-000000000000
	// The newest versions require an untagged commit of modernc.org/cc/v4, which not every
	// module proxy has.
	modernc.org/sqlite v1.46.1
)

require (
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/exp v0.0.0-20251023183803-a4bb9ffd2546 // indirect
	golang.org/x/sys v0.49.0 // indirect
	gopkg.in/macaroon.v2 v2.1.0 // indirect
	modernc.org/libc v1.67.6 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.11.0 // indirect
)
