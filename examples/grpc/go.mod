module github.com/amaretti-go/amaretti/examples/grpc

go 1.26.0

replace (
	github.com/amaretti-go/amaretti => ../..
	github.com/amaretti-go/amaretti/verifier/grpcauth => ../../verifier/grpcauth
)

require (
	github.com/amaretti-go/amaretti v0.0.0-00010101000000-000000000000
	github.com/amaretti-go/amaretti/verifier/grpcauth v0.0.0-00010101000000-000000000000
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261110000943-09e21b237f2c
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	gopkg.in/macaroon.v2 v2.1.0 // indirect
)
