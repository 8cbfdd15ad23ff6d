package main

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// What README shows of gRPC. A test in the folder above holds the one to the other; here it is
// only compiled.
var _ = readme

func readme(v *verifier.Verifier, tls credentials.TransportCredentials) (*grpc.Server, error) {
	auth, err := grpcauth.New(v, grpcauth.Options{Operations: map[string]string{"/shop.Orders/Get": "orders.read"}})
	server := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(tls))...)
	return server, err
}
